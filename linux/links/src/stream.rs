//! Another network stack at the other end of a stream, each packet behind its length: four bytes, the highest first. QEMU calls it
//! `stream`; passt (user-mode NAT, without root) speaks it, too. When the program at the other end goes, Linux's carrier does.

use crate::descriptor::written;
use crate::error::{Kind, LinkError};
use crate::framing::{Deframer, Nonsense};
use crate::pump::{Medium, Pump};
use lkl_netdev::{Backend, Buffer, Header, Packet};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The UNIX socket at `path`, which a program listens to.
///
/// # Errors
/// That none does.
pub fn unix_stream(path: &Path) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("UNIX socket {}", path.display());
    UnixStream::connect(path)
        .and_then(|socket| {
            let writer = socket.try_clone()?;
            Frames::connected(socket.into(), writer.into(), Writer::Socket)
        })
        .map_err(|error| LinkError::new(Kind::Listener, &what, error))
}

/// A TCP connection to `address`, which a program listens to; or any other that there is.
///
/// # Errors
/// That none does.
pub fn tcp_stream(address: &str) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("TCP to {address}");
    TcpStream::connect(address)
        .and_then(|socket| {
            socket.set_nodelay(true)?;
            let writer = socket.try_clone()?;
            Frames::connected(socket.into(), writer.into(), Writer::Socket)
        })
        .map_err(|error| LinkError::new(Kind::Address, &what, error))
}

/// Two pipes or FIFOs, one to read and one to write, as `mkfifo` makes them. Opening waits for the other end.
///
/// # Errors
/// That there is none of that name.
pub fn pipe(read: &Path, write: &Path) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("pipes {} and {}", read.display(), write.display());
    let open = |path: &Path| std::fs::OpenOptions::new().read(true).write(true).open(path);
    // Both for reading and writing, so that neither waits, and neither ends when the peer is started again.
    open(read)
        .and_then(|read| Frames::connected(read.into(), open(write)?.into(), Writer::Pipe))
        .map_err(|error| LinkError::new(Kind::File, &what, error))
}

/// What packets are written to.
#[derive(Debug, Clone, Copy)]
enum Writer {
    Socket,
    Pipe,
}

struct Frames {
    read: OwnedFd,
    write: OwnedFd,
    writer: Writer,
    incoming: Mutex<Deframer>,
    /// The rest of a packet of which the stream has taken a part.
    rest: Mutex<Vec<u8>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Frames {
    fn connected(read: OwnedFd, write: OwnedFd, writer: Writer) -> io::Result<Arc<dyn Backend>> {
        rustix::io::ioctl_fionbio(&read, true)?;
        rustix::io::ioctl_fionbio(&write, true)?;
        let frames = Frames {
            read,
            write,
            writer,
            incoming: Mutex::new(Deframer::new()),
            rest: Mutex::default(),
        };
        Ok(Arc::new(Pump::new(frames)?))
    }

    fn write(&self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        match self.writer {
            Writer::Socket => written(self.write.as_fd(), pieces),
            // It is open for reading, too, so that it has another end always.
            Writer::Pipe => rustix::io::writev(&self.write, pieces),
        }
    }

    fn write_rest(&self, rest: &mut Vec<u8>) -> io::Result<()> {
        while !rest.is_empty() {
            let written = self.write(&[IoSlice::new(rest)])?;
            rest.drain(..written);
        }
        Ok(())
    }
}

impl Medium for Frames {
    fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        // Two descriptors of one socket are two, too.
        registry.register(&mut SourceFd(&self.read.as_raw_fd()), token, Interest::READABLE)?;
        if interest.is_writable() {
            registry.register(&mut SourceFd(&self.write.as_raw_fd()), token, Interest::WRITABLE)?;
        }
        Ok(())
    }

    fn send(&self, packet: &Packet) -> io::Result<()> {
        let mut rest = locked(&self.rest);
        self.write_rest(&mut rest)?;
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut pieces = Vec::new();
        packet.slices(&length, &mut pieces);
        let mut left: &mut [IoSlice<'_>] = &mut pieces;
        let mut begun = false;
        while !left.is_empty() {
            match self.write(left) {
                Ok(written) => {
                    begun = true;
                    IoSlice::advance_slices(&mut left, written);
                }
                // The stream has a part of it: the rest is owed, and the packet is sent.
                Err(_) if begun => {
                    rest.extend(left.iter().flat_map(|piece| piece.iter().copied()));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn finish(&self) -> io::Result<()> {
        self.write_rest(&mut locked(&self.rest))
    }

    fn receive(&self, buffer: &mut Buffer) -> io::Result<(usize, Header)> {
        let mut incoming = locked(&self.incoming);
        loop {
            let next = incoming.next();
            if let Some(packet) = next.map_err(|Nonsense| io::ErrorKind::UnexpectedEof)? {
                let (len, copied) = (packet.len(), buffer.copy_from(packet));
                if copied < len || len == 0 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                return Ok((len, Header::default()));
            }
            match rustix::io::read(&self.read, incoming.room())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => incoming.filled(count),
            }
        }
    }
}
