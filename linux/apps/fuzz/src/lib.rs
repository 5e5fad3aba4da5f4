//! Fuzz targets for Linux itself, which runs in the fuzzer's process: the flavour `linux-fuzz`, with counters of edges that libFuzzer
//! reads, and with checks that make a fault a death.
//!
//! One input of the target *image*: a volume that mkfs made, and a few bytes of it that are others ([`patches`]). It is mounted, walked
//! and unmounted ([`walk`]).
//!
//! - [`seed`]: volumes as they lie in `seeds/`; - [`image`]: one with changes, as a disk of Linux's; - [`mend`]: puts checksums right
//!   again, so that what they guard is reached; - [`mutate`]: how one input becomes another; - [`rng`]: chance that a seed decides.
//!
//! The program (`main.rs`) adds what libFuzzer and this Linux need: [`death`](../src/death.rs) and `reached.rs`.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

pub mod campaign;
pub mod image;
pub mod mend;
pub mod mutate;
pub mod patches;
pub mod rng;
pub mod seed;
pub mod smaller;
pub mod verdict;
pub mod walk;
