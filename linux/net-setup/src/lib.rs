//! Linux as a library with its network, as a user asks for it.
//!
//! The story of one start: [`Settings`] say what is wanted. They come from options ([`NetworkArgs`]), from LKL's JSON
//! ([`Settings::from_json`]), from the variables `LKL_HIJACK_*` ([`Settings::from_environment`]), or from a program's own code.
//! [`Ends::open`] opens the other end of each [`Interface`], so that what cannot be opened is told before Linux boots.
//! [`Ends::attach`] gives the interfaces to a Linux that runs, with addresses, routes and name servers; [`Network::open`] is both,
//! with a boot between them.
//!
//! Whatever is refused is a [`Failure`](lkl_session::exit::Failure): one line that says what to do, and an exit code.

#![forbid(unsafe_code)]

mod apply;
#[cfg(feature = "args")]
mod args;
mod ends;
mod environment;
mod json;
mod network;
mod settings;
mod word;

#[cfg(feature = "args")]
pub use args::{NetworkArgs, interface_address};
pub use ends::Ends;
pub use network::Network;
pub use settings::{Addressing, Interface, Settings, Source};
