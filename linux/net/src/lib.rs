//! Linux's network as a library: sockets of the Linux that a program carries, as `std::net` has them.
//!
//! The story of one connection:
//!
//! 1. A program boots the Linux of crate `linux-full`. Its first network, and any further one, is a [`Namespace`]: a
//!    thread enters it, or all threads have one as their default.
//! 2. [`TcpStream`], [`TcpListener`], [`UdpSocket`] and the rest have the names, signatures and meanings of `std::net`. Each
//!    is a [`Socket`], which has the options ([`options`]): congestion control, [`TcpInfo`], the interface.
//! 3. A call that waits takes the calling thread, not Linux's processor. [`Epoll`] waits for many; the feature `tokio`
//!    has types that tasks wait for.
//!
//! A call that waits ends with ENODEV when Linux is halted or dies.

#![deny(unsafe_code)]

mod address;
pub mod arp;
mod boot_words;
mod call;
pub mod config;
#[cfg(feature = "dhcp")]
pub mod dhcp;
mod error;
mod namespace;
pub mod netlink;
pub mod options;
mod poll;
pub mod raw;
pub mod resolve;
mod socket;
mod tcp;
mod tcp_info;
#[cfg(feature = "tokio")]
pub mod tokio;
mod udp;
pub mod unix;

pub use address::{Address, PacketAddress, Target, ToSocketAddrs, UnixAddress};
pub use boot_words::{BootIp, BootWords};
pub use config::Configuration;
pub use error::{errno, io_error};
pub use lkl::Errno;
pub use namespace::{Namespace, Scope};
pub use poll::{Epoll, EpollWaker, Event, Events};
pub use resolve::NameServers;
pub use socket::{Family, Protocol, Socket, Type};
pub use tcp::{Incoming, TcpListener, TcpStream};
pub use tcp_info::TcpInfo;
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
