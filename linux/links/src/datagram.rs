//! Another network stack at the other end of a datagram socket: a packet is a datagram, plain. QEMU calls it `dgram`; another
//! Linux of this kind, a simulator or a switch do as well. It needs no privilege, and UDP works on every system.
//!
//! The interface's MTU must leave room for an Ethernet header in what a datagram carries: 65,493 bytes by UDP over loopback.

use crate::error::{Kind, LinkError};
use crate::pump::Pump;
use lkl_netdev::Backend;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

/// From `local` to the peer at `remote`, both as `ADDRESS:PORT`.
///
/// # Errors
/// That an address is none, or is taken.
pub fn udp(local: &str, remote: &str) -> Result<Arc<dyn Backend>, LinkError> {
    let connected = || {
        let socket = UdpSocket::bind(resolved(local)?)?;
        socket.connect(resolved(remote)?)?;
        Pump::new(medium(socket)?)
    };
    match connected() {
        Ok(pump) => Ok(Arc::new(pump)),
        Err(error) => Err(LinkError::new(
            Kind::Listener,
            &format!("UDP from {local} to {remote}"),
            error,
        )),
    }
}

fn resolved(address: &str) -> io::Result<SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "there is no such address");
    address.to_socket_addrs()?.next().ok_or_else(none)
}

#[cfg(unix)]
fn medium(socket: UdpSocket) -> io::Result<crate::descriptor::Descriptor> {
    plain(socket.into())
}

#[cfg(unix)]
fn plain(fd: std::os::fd::OwnedFd) -> io::Result<crate::descriptor::Descriptor> {
    use crate::descriptor::{Descriptor, Preamble};
    Descriptor::new(fd, Preamble::None, lkl_netdev::Offloads::NONE)
}

/// From a UNIX socket at `local`, which is made, to the one at `remote`. That need not be there yet, and may be made again: what is
/// sent while there is none is lost.
///
/// # Errors
/// That `local` exists, or that one of the names is too long.
#[cfg(unix)]
pub fn unix_datagram(
    local: &std::path::Path,
    remote: &std::path::Path,
) -> Result<Arc<dyn Backend>, LinkError> {
    use crate::descriptor::Nature;
    use std::os::unix::net::UnixDatagram;
    let connected = || {
        let name = rustix::net::SocketAddrUnix::new(remote)?;
        let socket = UnixDatagram::bind(local)?;
        match socket.connect(remote) {
            Err(error) if !absent(&error) => return Err(error),
            _ => {}
        }
        Pump::new(plain(socket.into())?.of_nature(Nature::Named(name)))
    };
    match connected() {
        Ok(pump) => Ok(Arc::new(pump)),
        Err(error) => {
            let what = format!("UNIX socket from {} to {}", local.display(), remote.display());
            Err(LinkError::new(Kind::Listener, &what, error))
        }
    }
}

#[cfg(unix)]
fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

/// The UNIX socket of sequenced packets at `path`, which a program listens to: `slirp4netns --target-type=bess`, or user-mode Linux.
/// When that goes, Linux's carrier does.
///
/// # Errors
/// That none does.
#[cfg(unix)]
pub fn unix_packets(path: &std::path::Path) -> Result<Arc<dyn Backend>, LinkError> {
    use crate::descriptor::Nature;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let connected = || {
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Pump::new(plain(socket)?.of_nature(Nature::Connection))
    };
    match connected() {
        Ok(pump) => Ok(Arc::new(pump)),
        Err(error) => Err(LinkError::new(
            Kind::Listener,
            &format!("UNIX packets {}", path.display()),
            error,
        )),
    }
}

#[cfg(windows)]
fn medium(socket: UdpSocket) -> io::Result<copying::Datagrams> {
    copying::Datagrams::new(socket)
}

/// Windows' readiness is told to those only who read and write by functions that take one piece.
#[cfg(windows)]
mod copying {
    use crate::pump::Medium;
    use lkl_netdev::{Buffer, Header, Packet};
    use mio::net::UdpSocket;
    use mio::{Interest, Registry, Token};
    use std::io;
    use std::sync::{Mutex, PoisonError};

    pub(super) struct Datagrams {
        socket: Mutex<UdpSocket>,
        scratch: Mutex<Vec<u8>>,
    }

    impl Datagrams {
        pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Datagrams> {
            socket.set_nonblocking(true)?;
            Ok(Datagrams {
                socket: Mutex::new(UdpSocket::from_std(socket)),
                scratch: Mutex::new(vec![0; 65536]),
            })
        }
    }

    impl Medium for Datagrams {
        fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
            registry.register(&mut *socket, token, interest)
        }

        fn send(&self, packet: &Packet) -> io::Result<()> {
            let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
            socket.send(&packet.to_vec()).map(drop)
        }

        fn receive(&self, buffer: &mut Buffer) -> io::Result<(usize, Header)> {
            let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
            let len = {
                let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
                socket.recv(&mut scratch)?
            };
            let copied = buffer.copy_from(scratch.get(..len).unwrap_or(&[]));
            if copied < len {
                return Err(io::ErrorKind::InvalidData.into());
            }
            Ok((len, Header::default()))
        }
    }
}
