//! Fuzz targets for Linux itself, which runs in the fuzzer's process: the flavour `linux-fuzz`, with counters of edges that libFuzzer
//! reads, and with checks that make a fault a death.
//!
//! | target | an input |
//! |---|---|
//! | *image* | a volume that mkfs made, and a few bytes of it that are others ([`patches`]): it is mounted, walked and unmounted ([`walk`]) |
//! | *calls* | system calls on such a volume, mounted for writing ([`calls`]) |
//! | *schedules* | the same, some of them side by side, as a seed has them meet ([`strands`]) |
//! | *packets* | frames for an interface with sockets behind it ([`packets`]) |
//! | *netlink* | messages to Linux's ends of netlink ([`netlink`]) |
//!
//! - [`target`]: which there are; - [`seed`]: volumes as they lie in `seeds/`; - [`image`]: one with changes, as a disk of Linux's; -
//!   [`mend`]: puts checksums right again, so that what they guard is reached; - [`mutate`], [`records`]: how one input becomes another; - [`rng`]:
//!   chance that a seed decides; - [`planted`]: bugs that are there to be found.
//! - [`campaign`]: runs the program as often as it takes; - [`verdict`]: what it died of; - [`smaller`]: an input, made smaller.
//!
//! The program (`main.rs`) adds what libFuzzer and this Linux need: [`death`](../src/death.rs), `reached.rs`, and one module for each
//! target but *image*.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

pub mod calls;
pub mod campaign;
pub mod image;
pub mod mend;
pub mod mutate;
pub mod netlink;
pub mod packets;
pub mod patches;
pub mod planted;
pub mod records;
pub mod rng;
pub mod seed;
pub mod smaller;
pub mod strands;
pub mod target;
pub mod verdict;
pub mod walk;
