//! The host that Linux runs on: this system's own. Which Linux it is, the program says.

#[cfg(unix)]
pub use lkl_host_posix::boot;

#[cfg(windows)]
pub use lkl_host_nt::boot;
