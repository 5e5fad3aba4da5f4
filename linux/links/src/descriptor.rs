//! A descriptor that is read and written a packet at a time, with or without a header before each.

use crate::pump::Medium;
use lkl_netdev::{Buffer, Header, MacAddress, Offloads, Packet};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, SocketAddrUnix};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Which header is before each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// None: packets are plain.
    None,
    /// virtio-net's, of ten bytes.
    Short,
    /// virtio-net's, of twelve.
    Long,
}

impl Preamble {
    fn len(self) -> usize {
        match self {
            Preamble::None => 0,
            Preamble::Short => Header::SHORT,
            Preamble::Long => Header::LONG,
        }
    }
}

/// What is behind the descriptor.
#[derive(Debug)]
pub(crate) enum Nature {
    /// A device, or datagrams: it has no end.
    Endless,
    /// A connection that ends, by no bytes, with the other end.
    Connection,
    /// UNIX datagrams to a name that may be there later only, or be another program's by then.
    Named(SocketAddrUnix),
}

/// The descriptor. It does not block.
pub(crate) struct Descriptor {
    fd: OwnedFd,
    preamble: Preamble,
    offloads: Offloads,
    hardware: Option<MacAddress>,
    nature: Nature,
}

impl Descriptor {
    pub(crate) fn new(fd: OwnedFd, preamble: Preamble, offloads: Offloads) -> io::Result<Descriptor> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Descriptor {
            fd,
            preamble,
            offloads,
            hardware: None,
            nature: Nature::Endless,
        })
    }

    /// The same, which passes frames for that address alone.
    pub(crate) fn for_hardware(self, hardware: Option<MacAddress>) -> Descriptor {
        Descriptor { hardware, ..self }
    }

    /// The same, of that nature.
    pub(crate) fn of_nature(self, nature: Nature) -> Descriptor {
        Descriptor { nature, ..self }
    }

    fn write(&self, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
        match &self.nature {
            Nature::Endless => rustix::io::writev(&self.fd, pieces),
            Nature::Connection => written(self.fd.as_fd(), pieces),
            Nature::Named(name) => match rustix::io::writev(&self.fd, pieces) {
                // Where the name is no one's, the packet is lost.
                Err(Errno::CONNREFUSED | Errno::NOTCONN | Errno::DESTADDRREQ) => {
                    rustix::net::connect(&self.fd, name)?;
                    rustix::io::writev(&self.fd, pieces)
                }
                done => done,
            },
        }
    }
}

/// Writes to a socket. That its other end is gone is told as an error, and by no signal: not every program ignores that.
pub(crate) fn written(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let flags = SendFlags::NOSIGNAL;
    rustix::net::sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags)
}

/// The most pieces of a packet, with the header before it.
const PIECES: usize = 32;

impl Medium for Descriptor {
    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn hardware(&self) -> Option<MacAddress> {
        self.hardware
    }

    fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.register(&mut SourceFd(&self.fd.as_raw_fd()), token, interest)
    }

    fn send(&self, packet: &Packet) -> io::Result<()> {
        let header = packet.header().to_bytes();
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let head = header.get(..self.preamble.len()).unwrap_or(&[]);
        let all = std::iter::once(head).chain(packet.segments());
        let mut used = 0usize;
        for (place, piece) in pieces.iter_mut().zip(all) {
            *place = IoSlice::new(piece);
            used = used.saturating_add(1);
        }
        let whole = packet.len().saturating_add(head.len());
        let written = self.write(pieces.get(..used).unwrap_or(&[]))?;
        if written == whole {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    fn receive(&self, buffer: &mut Buffer) -> io::Result<(usize, Header)> {
        let mut header = [0; Header::LONG];
        let (head, _) = header.split_at_mut(self.preamble.len());
        let before = head.len();
        let read = {
            let mut pieces: [IoSliceMut<'_>; PIECES] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
            let all = std::iter::once(head).chain(buffer.segments_mut());
            let mut used = 0usize;
            for (place, piece) in pieces.iter_mut().zip(all) {
                *place = IoSliceMut::new(piece);
                used = used.saturating_add(1);
            }
            rustix::io::readv(&self.fd, pieces.get_mut(..used).unwrap_or(&mut []))
        };
        let read = match (read, &self.nature) {
            // A device that was taken away.
            (Err(Errno::BADFD), _) | (Ok(0), Nature::Connection) => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // An empty datagram: there may be others behind it.
            (Ok(0), _) => return Err(io::ErrorKind::InvalidData.into()),
            (read, _) => read?,
        };
        let len = read
            .checked_sub(before)
            .ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
        let header = match self.preamble {
            Preamble::None => Header::default(),
            _ => Header::from_bytes(&header).unwrap_or_default(),
        };
        Ok((len, header))
    }
}
