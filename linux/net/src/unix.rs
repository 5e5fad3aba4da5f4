//! UNIX sockets, as `std::os::unix::net` has them. Their paths are in Linux's own tree of files.

use crate::address::{Address, UnixAddress};
use crate::socket::{Family, Protocol, Socket, Type};
use crate::tcp::read_and_write;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::time::Duration;

/// A connection.
#[derive(Debug)]
pub struct UnixStream(pub(crate) Socket);

impl UnixStream {
    /// Connects to a listener at a path.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&UnixAddress::Path(path.as_ref().into()))
    }

    /// Connects to a listener at any address.
    pub fn connect_addr(address: &UnixAddress) -> io::Result<UnixStream> {
        let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
        socket.connect(&Address::Unix(address.clone()))?;
        Ok(UnixStream(socket))
    }

    /// Two that are connected.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = Socket::pair(Type::STREAM)?;
        Ok((UnixStream(one), UnixStream(other)))
    }

    /// Another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        Ok(UnixStream(self.0.clone()))
    }

    /// Ends one direction or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// Whether calls return `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }

    /// How long a read waits; see [`Socket::set_read_timeout`].
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_read_timeout(timeout)
    }

    /// How long a write waits.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_write_timeout(timeout)
    }
}

impl AsRef<Socket> for UnixStream {
    fn as_ref(&self) -> &Socket {
        &self.0
    }
}

read_and_write!(UnixStream, &UnixStream);

/// What takes connections.
#[derive(Debug)]
pub struct UnixListener(pub(crate) Socket);

impl UnixListener {
    /// At a path, where a file is made. `AddrInUse` when there is one.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&UnixAddress::Path(path.as_ref().into()))
    }

    /// At any address.
    pub fn bind_addr(address: &UnixAddress) -> io::Result<UnixListener> {
        let socket = Socket::new(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
        socket.bind(&Address::Unix(address.clone()))?;
        socket.listen(4096)?;
        Ok(UnixListener(socket))
    }

    /// Waits for a connection.
    pub fn accept(&self) -> io::Result<(UnixStream, UnixAddress)> {
        match self.0.accept()? {
            (socket, Address::Unix(from)) => Ok((UnixStream(socket), from)),
            (_, other) => Err(io::Error::other(format!("{other} is no UNIX socket's address"))),
        }
    }

    /// Whether calls return `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }
}

impl AsRef<Socket> for UnixListener {
    fn as_ref(&self) -> &Socket {
        &self.0
    }
}
