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
            Kind::Address,
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
/// sent while there is none is lost. A socket at `local` that a program has left behind is replaced.
///
/// # Errors
/// That `local` is another program's or no socket, or that one of the names is too long.
#[cfg(unix)]
pub fn unix_datagram(
    local: &std::path::Path,
    remote: &std::path::Path,
) -> Result<Arc<dyn Backend>, LinkError> {
    use crate::descriptor::Nature;
    let connected = || {
        let name = rustix::net::SocketAddrUnix::new(remote)?;
        let socket = bound(local)?;
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
            Err(LinkError::new(Kind::Name, &what, error))
        }
    }
}

/// A socket of that name. Nothing takes the name of one away when its program ends, so that the next run would not have it.
#[cfg(unix)]
fn bound(local: &std::path::Path) -> io::Result<std::os::unix::net::UnixDatagram> {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::UnixDatagram;
    let taken = match UnixDatagram::bind(local) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => error,
        done => return done,
    };
    let is_socket = std::fs::symlink_metadata(local).is_ok_and(|found| found.file_type().is_socket());
    // A program that has it takes the connection, or says that it is of another type.
    let is_left = UnixDatagram::unbound()?
        .connect(local)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if !is_socket || !is_left {
        return Err(taken);
    }
    std::fs::remove_file(local)?;
    UnixDatagram::bind(local)
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_program_has_left_behind_is_taken_and_one_that_it_has_is_not() {
        let place = tempfile::tempdir().unwrap();
        let name = place.path().join("socket");
        let first = bound(&name).unwrap();
        assert_eq!(bound(&name).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(name.exists());
        drop(bound(&name).unwrap());
        let stream = place.path().join("stream");
        let listener = std::os::unix::net::UnixListener::bind(&stream).unwrap();
        assert_eq!(bound(&stream).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        let file = place.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        assert_eq!(bound(&file).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }
}
