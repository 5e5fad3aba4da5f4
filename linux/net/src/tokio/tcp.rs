//! [`TcpStream`] and [`TcpListener`] for tasks.

use super::lookup;
use super::readiness::{Direction, Readiness};
use crate::address::{Address, ToSocketAddrs, no_address};
use crate::namespace::Namespace;
use crate::socket::{Family, Protocol, Socket, Type};
use crate::tcp_info::TcpInfo;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads what there is into a buffer of tokio's.
pub(super) fn poll_read(
    io: &Readiness,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    // Linux writes into what is written first; a fresh buffer is made zeros once.
    let room = buffer.initialize_unfilled();
    io.poll_io(Direction::Read, context, |socket| socket.recv(room))
        .map_ok(|len| buffer.advance(len))
}

/// A type with one [`Readiness`] in it that is reached by `self.io()`: tokio's traits.
macro_rules! read_for_tasks {
    ($kind:ty) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                crate::tokio::tcp::poll_read(self.io(), context, buffer)
            }
        }
    };
}

macro_rules! write_for_tasks {
    ($kind:ty) => {
        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.io()
                    .poll_io(Direction::Write, context, |socket| socket.send(bytes))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.io().poll_io(Direction::Write, context, |socket| {
                    socket.send_vectored(pieces)
                })
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.io().socket().shutdown(Shutdown::Write))
            }
        }
    };
}

pub(super) use {read_for_tasks, write_for_tasks};

/// Connects a nonblocking socket.
pub(super) async fn connect(socket: Socket, to: &Address) -> io::Result<Readiness> {
    let raw = to.to_raw().map_err(crate::error::io_error)?;
    if socket.start_connect(&raw)? {
        return Readiness::new(socket);
    }
    let io = Readiness::new(socket)?;
    // Ready to write: connected, or failed.
    io.ready(Direction::Write).await;
    match io.socket().take_error()? {
        Some(error) => Err(error),
        None => Ok(io),
    }
}

/// A connection.
#[derive(Debug)]
pub struct TcpStream(Readiness);

impl TcpStream {
    /// Connects, from the name space that the task is in when it is first polled.
    pub async fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        TcpStream::connect_in(&Namespace::current()?, addr).await
    }

    /// Connects from that name space.
    pub async fn connect_in<A: ToSocketAddrs>(by: &Namespace, addr: A) -> io::Result<TcpStream> {
        let mut last = None;
        for address in lookup::addresses(by, addr).await? {
            let family = Family::of(&address);
            let socket = Socket::new_nonblocking(by, family, Type::STREAM, Protocol::TCP)?;
            match TcpStream::connect_socket(socket, address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// Connects a socket that has its options already: an algorithm, an interface, MPTCP.
    pub async fn connect_socket(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
        socket.set_nonblocking(true)?;
        Ok(TcpStream(connect(socket, &address.into()).await?))
    }

    /// One that was connected elsewhere.
    pub fn from_std(stream: crate::TcpStream) -> io::Result<TcpStream> {
        Ok(TcpStream(Readiness::new(stream.0)?))
    }

    /// The socket itself, with all of its options.
    pub fn socket(&self) -> &Socket {
        self.0.socket()
    }

    fn io(&self) -> &Readiness {
        &self.0
    }

    /// Its own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()?.inet()
    }

    /// The address that it is connected to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket().peer_addr()?.inet()
    }

    /// `TCP_NODELAY`
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_nodelay(nodelay)
    }

    /// `TCP_NODELAY`
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket().nodelay()
    }

    /// `TCP_INFO`
    pub fn info(&self) -> io::Result<TcpInfo> {
        self.socket().tcp_info()
    }

    /// Waits until a read would find something.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.ready(Direction::Read).await;
        Ok(())
    }

    /// Waits until there is room to write.
    pub async fn writable(&self) -> io::Result<()> {
        self.0.ready(Direction::Write).await;
        Ok(())
    }

    /// Reads what there is, or `WouldBlock`.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_io(Direction::Read, |socket| socket.recv(buffer))
    }

    /// Writes what there is room for, or `WouldBlock`.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_io(Direction::Write, |socket| socket.send(bytes))
    }

    /// Receives without taking it away.
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, |socket| socket.peek(buffer)).await
    }

    /// Two halves for two tasks. The writing half ends its direction when it is dropped.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        let shared = Arc::new(self);
        (OwnedReadHalf(Arc::clone(&shared)), OwnedWriteHalf(shared))
    }
}

read_for_tasks!(TcpStream);
write_for_tasks!(TcpStream);

/// See [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// See [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedWriteHalf(Arc<TcpStream>);

impl OwnedReadHalf {
    fn io(&self) -> &Readiness {
        &self.0.0
    }
}

impl OwnedWriteHalf {
    fn io(&self) -> &Readiness {
        &self.0.0
    }
}

read_for_tasks!(OwnedReadHalf);
write_for_tasks!(OwnedWriteHalf);

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        // ENOTCONN when the peer has gone already.
        let _ = self.0.socket().shutdown(Shutdown::Write);
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.0
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.0
    }
}

/// What takes connections.
#[derive(Debug)]
pub struct TcpListener(Readiness);

impl TcpListener {
    /// At the first of the addresses that is free.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        TcpListener::bind_in(&Namespace::current()?, addr).await
    }

    /// In that name space.
    pub async fn bind_in<A: ToSocketAddrs>(by: &Namespace, addr: A) -> io::Result<TcpListener> {
        let addresses = lookup::addresses(by, addr).await?;
        TcpListener::from_std(crate::TcpListener::bind_in(by, &*addresses)?)
    }

    /// One that was made elsewhere.
    pub fn from_std(listener: crate::TcpListener) -> io::Result<TcpListener> {
        Ok(TcpListener(Readiness::new(listener.0)?))
    }

    /// Its own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.socket().local_addr()?.inet()
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        self.0.socket()
    }

    /// Waits for a connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        std::future::poll_fn(|context| self.poll_accept(context)).await
    }

    /// The same for a `poll` function.
    pub fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.0
            .poll_io(Direction::Read, context, |socket| {
                let (socket, from) = socket.accept_as(true)?;
                Ok((socket, from.inet()?))
            })
            .map(|accepted| {
                let (socket, from) = accepted?;
                Ok((TcpStream(Readiness::new(socket)?), from))
            })
    }
}
