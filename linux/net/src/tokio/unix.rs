//! UNIX sockets for tasks.

use super::readiness::{Direction, Readiness};
use super::tcp::{read_for_tasks, write_for_tasks};
use crate::address::{Address, UnixAddress};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection.
#[derive(Debug)]
pub struct UnixStream(Readiness);

impl UnixStream {
    /// Connects. A listener whose queue is full is waited for on the calling thread.
    pub async fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::from_std(crate::UnixStream::connect(path)?)
    }

    /// Two that are connected.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = crate::UnixStream::pair()?;
        Ok((UnixStream::from_std(one)?, UnixStream::from_std(other)?))
    }

    /// One that was connected elsewhere.
    pub fn from_std(stream: crate::UnixStream) -> io::Result<UnixStream> {
        Ok(UnixStream(Readiness::new(stream.0)?))
    }

    fn io(&self) -> &Readiness {
        &self.0
    }
}

read_for_tasks!(UnixStream);
write_for_tasks!(UnixStream);

/// What takes connections.
#[derive(Debug)]
pub struct UnixListener(Readiness);

impl UnixListener {
    /// At a path.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::from_std(crate::UnixListener::bind(path)?)
    }

    /// One that was made elsewhere.
    pub fn from_std(listener: crate::UnixListener) -> io::Result<UnixListener> {
        Ok(UnixListener(Readiness::new(listener.0)?))
    }

    /// Waits for a connection.
    pub async fn accept(&self) -> io::Result<(UnixStream, UnixAddress)> {
        let (socket, from) = self
            .0
            .io(Direction::Read, |socket| socket.accept_as(true))
            .await?;
        match from {
            Address::Unix(from) => Ok((UnixStream(Readiness::new(socket)?), from)),
            other => Err(io::Error::other(format!("{other} is no UNIX socket's address"))),
        }
    }
}
