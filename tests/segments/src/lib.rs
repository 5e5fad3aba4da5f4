//! Scripts of TCP: segments in, segments out, and the calls of a program between, each at its time, run against the Linux
//! that programs carry.
//!
//! The story of a script: [`script`] parses it; [`linux`] has booted Linux in virtual time and runs it; [`run`] makes a network with one TUN
//! interface, and goes through the events. What a segment is on the wire is [`segment`]'s, what a call is to Linux is [`calls`]'.
//! Nothing waits in the machine's time, and nothing is late: times are exact.

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

use linux_full as _;

pub mod calls;
pub mod linux;
pub mod run;
pub mod script;
pub mod segment;
