//! `lklsim`: a network simulator in which every node has Linux's whole network stack.
//!
//! A topology file becomes a [`topology::Topology`], each value of which knows its place in the text; [`plan`] checks it as a whole,
//! gives addresses and computes routes. [`simulation`] boots one Linux in virtual time, with a network name space a node,
//! and has the flows and events of the plan take place. Its results are files: [`results`], a capture a link, plots.
//!
//! Nothing depends on the machine's speed, or on chance beyond the seed: the same seed and topology give the same files, byte by byte.

#![forbid(unsafe_code)]

pub mod cli;
pub mod plan;
pub mod quantity;
pub mod results;
pub mod simulation;
pub mod topology;
