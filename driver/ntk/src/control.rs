//! The control device: what userctl asks.
//!
//! | module | what |
//! |---|---|
//! | [`device`] | requests and replies |
//! | [`mounts`] | what was mounted on request |
//! | [`security`] | who may open the driver's devices |
//! | [`standby`] | the driver is asked whether it may stop |
//! | `selftest` | the suite for hosts, inside the kernel |

pub mod device;
pub mod mounts;
pub mod security;
#[cfg(feature = "selftest")]
pub mod selftest;
pub mod standby;
