//! [`TcpStream`] and [`TcpListener`], as `std::net` has them.

use crate::address::{Address, ToSocketAddrs, each};
use crate::namespace::Namespace;
use crate::socket::{Family, Protocol, Socket, Type};
use crate::tcp_info::TcpInfo;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// How many connections wait to be accepted: as many as std asks for, and Linux has `net.core.somaxconn` besides.
const BACKLOG: i32 = 4096;

/// What a type of this crate says of its socket, whatever it is.
macro_rules! of_any_socket {
    ($kind:ty) => {
        impl $kind {
            /// The socket itself, with all of its options.
            pub fn socket(&self) -> &Socket {
                &self.0
            }

            /// Its own address.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                self.0.local_addr()?.inet()
            }

            /// Another handle of the same socket.
            pub fn try_clone(&self) -> io::Result<Self> {
                Ok(Self(self.0.clone()))
            }

            /// `IP_TTL`
            pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
                self.0.set_ttl(ttl)
            }

            /// `IP_TTL`
            pub fn ttl(&self) -> io::Result<u32> {
                self.0.ttl()
            }

            /// What has gone wrong since it was last asked.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.0.take_error()
            }

            /// Whether calls return `WouldBlock` instead of waiting.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.set_nonblocking(nonblocking)
            }
        }

        impl AsRef<Socket> for $kind {
            fn as_ref(&self) -> &Socket {
                &self.0
            }
        }
    };
}

/// What a type of this crate that sends and receives says.
macro_rules! of_socket_with_peer {
    ($kind:ty) => {
        impl $kind {
            /// The address that it is connected to.
            pub fn peer_addr(&self) -> io::Result<SocketAddr> {
                self.0.peer_addr()?.inet()
            }

            /// How long a read waits; see [`Socket::set_read_timeout`].
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.set_read_timeout(timeout)
            }

            /// How long a write waits.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.set_write_timeout(timeout)
            }

            /// What was set.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                self.0.read_timeout()
            }

            /// What was set.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                self.0.write_timeout()
            }
        }
    };
}

pub(crate) use {of_any_socket, of_socket_with_peer};

/// A connection.
#[derive(Debug)]
pub struct TcpStream(pub(crate) Socket);

of_any_socket!(TcpStream);
of_socket_with_peer!(TcpStream);

impl TcpStream {
    /// Connects to the first of the addresses that takes it.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        TcpStream::connect_in(&Namespace::current()?, addr)
    }

    /// Connects from that name space.
    pub fn connect_in<A: ToSocketAddrs>(by: &Namespace, addr: A) -> io::Result<TcpStream> {
        each(by, addr, |address| {
            let socket = Socket::new_in(by, Family::of(&address), Type::STREAM, Protocol::TCP)?;
            socket.connect(&address.into())?;
            Ok(TcpStream(socket))
        })
    }

    /// Connects, and waits no longer.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let socket = Socket::new(Family::of(addr), Type::STREAM, Protocol::TCP)?;
        socket.connect_timeout(&Address::from(*addr), timeout)?;
        Ok(TcpStream(socket))
    }

    /// One that was made as a [`Socket`]: with options set before it connects, of MPTCP or SCTP.
    pub fn from_socket(socket: Socket) -> TcpStream {
        TcpStream(socket)
    }

    /// Ends one direction or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    /// Receives without taking it away.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buffer)
    }

    /// `TCP_NODELAY`
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set_nodelay(nodelay)
    }

    /// `TCP_NODELAY`
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.nodelay()
    }

    /// `TCP_CONGESTION`; see [`Socket::set_congestion`].
    pub fn set_congestion(&self, algorithm: &str) -> io::Result<()> {
        self.0.set_congestion(algorithm)
    }

    /// `TCP_INFO`
    pub fn info(&self) -> io::Result<TcpInfo> {
        self.0.tcp_info()
    }
}

macro_rules! read_and_write {
    ($($kind:ty),*) => {$(
        impl Read for $kind {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0.recv(buffer)
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.recv_vectored(buffers)
            }
        }

        impl Write for $kind {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(bytes)
            }

            fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.send_vectored(buffers)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

pub(crate) use read_and_write;

read_and_write!(TcpStream, &TcpStream);

/// What takes connections.
#[derive(Debug)]
pub struct TcpListener(pub(crate) Socket);

of_any_socket!(TcpListener);

impl TcpListener {
    /// At the first of the addresses that is free; port 0 lets Linux choose.
    ///
    /// # Errors
    /// `AddrInUse` when another one has it, `AddrNotAvailable` when no interface has it.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        TcpListener::bind_in(&Namespace::current()?, addr)
    }

    /// In that name space.
    pub fn bind_in<A: ToSocketAddrs>(by: &Namespace, addr: A) -> io::Result<TcpListener> {
        each(by, addr, |address| {
            let socket = Socket::new_in(by, Family::of(&address), Type::STREAM, Protocol::TCP)?;
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener(socket))
        })
    }

    /// One that was made as a [`Socket`] and listens.
    pub fn from_socket(socket: Socket) -> TcpListener {
        TcpListener(socket)
    }

    /// Waits for a connection.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, from) = self.0.accept()?;
        Ok((TcpStream(socket), from.inet()?))
    }

    /// One connection after the other. It never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }
}

/// See [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.accept().map(|(stream, _)| stream))
    }
}
