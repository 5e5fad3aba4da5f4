//! What the user-mode hosts of the Linux kernel library share: parts that the standard library suffices for.
//!
//! [`timer`] keeps one-shot timers in order on one thread; how that thread sleeps is the host's [`timer::Sleeper`].
//! [`readers`] finishes disk reads that cannot be answered at once, on a few threads.

#![forbid(unsafe_code)]

pub mod readers;
pub mod timer;
