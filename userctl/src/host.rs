//! The host that Linux runs on: this system's own.
use linux_driver as _;

#[cfg(unix)]
pub use lkl_host_posix::boot;

#[cfg(windows)]
pub use lkl_host_nt::boot;
