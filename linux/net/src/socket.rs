//! [`Socket`]: a socket of any family, type and protocol, and how a thread waits with one.
//!
//! A blocking call waits inside Linux, on the calling thread. Nothing that waits there may keep [`lkl::Kernel::halt`] from ending, and
//! Linux knows nothing of a halt to come; so the socket's own timeouts (`SO_RCVTIMEO`, `SO_SNDTIMEO`) are a slice of
//! time, and a call whose slice is over is made again, unless the caller's own timeout is over, too. A kernel that is
//! being halted lets nothing in any more, so that this ends with ENODEV after a slice at the latest. Linux that has died ends each call at once.

use crate::address::{AF_UNIX, Address, RawAddress};
use crate::call::{self, End};
use crate::error::{about, io_error};
use crate::namespace::Namespace;
use lkl::{Errno, OwnedFd};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Address families: `AF_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family(pub i32);

#[allow(missing_docs)] // the names are the protocols'
impl Family {
    pub const UNIX: Family = Family(1);
    pub const IPV4: Family = Family(2);
    pub const IPV6: Family = Family(10);
    pub const NETLINK: Family = Family(16);
    pub const PACKET: Family = Family(17);

    /// The family of an address.
    pub fn of(address: &std::net::SocketAddr) -> Family {
        if address.is_ipv4() {
            Family::IPV4
        } else {
            Family::IPV6
        }
    }
}

/// Types: `SOCK_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type(pub i32);

#[allow(missing_docs)] // as above
impl Type {
    pub const STREAM: Type = Type(1);
    pub const DATAGRAM: Type = Type(2);
    pub const RAW: Type = Type(3);
    pub const SEQPACKET: Type = Type(5);
}

/// Protocols: `IPPROTO_*`, `NETLINK_*`, or for packet sockets an Ethernet protocol ([`Protocol::ethernet`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub i32);

#[allow(missing_docs)] // as above
impl Protocol {
    /// The usual one of the family and type.
    pub const DEFAULT: Protocol = Protocol(0);
    pub const ICMP: Protocol = Protocol(1);
    pub const TCP: Protocol = Protocol(6);
    pub const UDP: Protocol = Protocol(17);
    pub const ICMPV6: Protocol = Protocol(58);
    pub const SCTP: Protocol = Protocol(132);
    /// All of IP, header included, for raw sockets.
    pub const RAW: Protocol = Protocol(255);
    /// TCP over several paths. It falls back to TCP with a peer that has it not.
    pub const MPTCP: Protocol = Protocol(262);
    /// `NETLINK_ROUTE`
    pub const ROUTE: Protocol = Protocol(0);
    /// `NETLINK_NETFILTER`
    pub const NETFILTER: Protocol = Protocol(12);
    /// `NETLINK_GENERIC`
    pub const GENERIC: Protocol = Protocol(16);

    /// Frames of one Ethernet protocol, as 0x0806 of ARP; 3 for all.
    pub fn ethernet(protocol: u16) -> Protocol {
        Protocol(u16::from_ne_bytes(protocol.to_be_bytes()).into())
    }
}

/// How long a call waits in Linux before it looks whether it still may.
const SLICE: Duration = Duration::from_millis(200);

/// `SO_RCVTIMEO` or `SO_SNDTIMEO`, as the caller and as Linux have it.
pub(crate) struct Patience {
    option: i32,
    /// The caller's, in nanoseconds; 0 for none.
    asked: AtomicU64,
    /// How many slices that is; 0 for no end.
    slices: AtomicU32,
    /// Whether Linux has the slice.
    armed: AtomicBool,
}

impl Patience {
    fn new(option: i32) -> Self {
        Patience {
            option,
            asked: AtomicU64::new(0),
            slices: AtomicU32::new(0),
            armed: AtomicBool::new(false),
        }
    }

    fn timeout(&self) -> Option<Duration> {
        match self.asked.load(Ordering::Acquire) {
            0 => None,
            asked => Some(Duration::from_nanos(asked)),
        }
    }

    /// What one slice is, and how many there are.
    fn slices(timeout: Option<Duration>) -> (Duration, u32) {
        let Some(timeout) = timeout else {
            return (SLICE, 0);
        };
        let count = timeout.as_nanos().div_ceil(SLICE.as_nanos()).max(1);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        (timeout / count, count)
    }

    fn set(&self, fd: &OwnedFd, timeout: Option<Duration>) -> Result<(), Errno> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Errno::EINVAL);
        }
        let nanos = timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        let (slice, count) = Patience::slices(timeout);
        self.asked.store(nanos, Ordering::Release);
        self.slices.store(count, Ordering::Release);
        self.arm(fd, slice)
    }

    fn arm(&self, fd: &OwnedFd, slice: Duration) -> Result<(), Errno> {
        let micros = i64::try_from(slice.as_micros().max(1)).unwrap_or(i64::MAX);
        let mut timeval = [0; 16];
        let (seconds, rest) = timeval.split_at_mut(8);
        seconds.copy_from_slice(&(micros / 1_000_000).to_ne_bytes());
        rest.copy_from_slice(&(micros % 1_000_000).to_ne_bytes());
        call::set_option(fd, crate::options::SOL_SOCKET, self.option, &timeval)?;
        self.armed.store(true, Ordering::Release);
        Ok(())
    }

    /// Before a call that may wait: how many slices it may.
    fn begin(&self, fd: &OwnedFd) -> Result<u32, Errno> {
        if !self.armed.load(Ordering::Acquire) {
            self.arm(fd, Patience::slices(self.timeout()).0)?;
        }
        Ok(self.slices.load(Ordering::Acquire))
    }
}

struct Inner {
    fd: OwnedFd,
    family: Family,
    nonblocking: AtomicBool,
    reads: Patience,
    writes: Patience,
}

/// A socket. Clones are the same socket, as after `dup()`; the last one closes it.
#[derive(Clone)]
pub struct Socket(Arc<Inner>);

impl Socket {
    /// A new one, of the current [`Namespace`]; blocking.
    ///
    /// # Errors
    /// Linux's: EAFNOSUPPORT, EPROTONOSUPPORT and the like for what it has not.
    pub fn new(family: Family, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        Socket::new_in(&Namespace::current()?, family, kind, protocol)
    }

    /// A new one, of that name space.
    pub fn new_in(by: &Namespace, family: Family, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let fd = call::socket(by, family.0, kind.0, protocol.0).map_err(io_error)?;
        Ok(Socket::adopt(fd, family, false))
    }

    /// As [`Socket::new_in`], nonblocking from the first.
    pub fn new_nonblocking(
        by: &Namespace,
        family: Family,
        kind: Type,
        protocol: Protocol,
    ) -> io::Result<Socket> {
        let fd = call::socket(by, family.0, kind.0 | call::NONBLOCK, protocol.0).map_err(io_error)?;
        Ok(Socket::adopt(fd, family, true))
    }

    /// Two UNIX sockets that are connected.
    pub fn pair(kind: Type) -> io::Result<(Socket, Socket)> {
        let pair = call::socketpair(&Namespace::current()?, Family::UNIX.0, kind.0).map_err(io_error)?;
        let [one, other] = pair.map(|fd| Socket::adopt(fd, Family::UNIX, false));
        Ok((one, other))
    }

    /// One that was made by a system call, and that blocks.
    pub fn from_descriptor(fd: OwnedFd, family: Family) -> Socket {
        Socket::adopt(fd, family, false)
    }

    fn adopt(fd: OwnedFd, family: Family, nonblocking: bool) -> Socket {
        const SO_RCVTIMEO: i32 = 20;
        const SO_SNDTIMEO: i32 = 21;
        Socket(Arc::new(Inner {
            fd,
            family,
            nonblocking: AtomicBool::new(nonblocking),
            reads: Patience::new(SO_RCVTIMEO),
            writes: Patience::new(SO_SNDTIMEO),
        }))
    }

    /// Its descriptor in Linux.
    pub fn descriptor(&self) -> &OwnedFd {
        &self.0.fd
    }

    /// Another handle of the same socket.
    pub fn try_clone(&self) -> io::Result<Socket> {
        Ok(self.clone())
    }

    /// Whether calls return `WouldBlock` instead of waiting.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        call::set_nonblocking(&self.0.fd, nonblocking).map_err(io_error)?;
        self.0.nonblocking.store(nonblocking, Ordering::Release);
        Ok(())
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.0.nonblocking.load(Ordering::Acquire)
    }

    /// How long a read or an accept waits; `None` without end. As in std, a zero is refused, and a read whose time is over
    /// says `WouldBlock`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.reads.set(&self.0.fd, timeout).map_err(io_error)
    }

    /// The same for writes.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.writes.set(&self.0.fd, timeout).map_err(io_error)
    }

    /// What was set.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.reads.timeout())
    }

    /// What was set.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.0.writes.timeout())
    }

    /// Makes a call that may wait, slice after slice.
    fn wait<T>(
        &self,
        patience: &Patience,
        mut act: impl FnMut(&OwnedFd) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let fd = &self.0.fd;
        if self.is_nonblocking() {
            return loop {
                match act(fd) {
                    Err(Errno::EINTR) => {}
                    done => break done,
                }
            };
        }
        let most = patience.begin(fd)?;
        let mut slices = 0;
        loop {
            match act(fd) {
                Err(Errno::EINTR) => {}
                // Set to nonblocking by another thread meanwhile.
                Err(Errno::EAGAIN) if self.is_nonblocking() => return Err(Errno::EAGAIN),
                Err(Errno::EAGAIN) => {
                    slices = u32::saturating_add(slices, 1);
                    if most != 0 && slices >= most {
                        return Err(Errno::EAGAIN);
                    }
                }
                done => return done,
            }
        }
    }

    /// Gives it an address of its own.
    pub fn bind(&self, address: &Address) -> io::Result<()> {
        let raw = address.to_raw().map_err(|errno| about(address, errno))?;
        call::bind(&self.0.fd, &raw).map_err(io_error)
    }

    /// Takes connections, up to `backlog` that are not accepted yet.
    pub fn listen(&self, backlog: i32) -> io::Result<()> {
        call::listen(&self.0.fd, backlog).map_err(io_error)
    }

    /// Connects, and waits for it.
    ///
    /// # Errors
    /// Linux's; `WouldBlock` (or EINPROGRESS, an error of no kind) for one that does not wait.
    pub fn connect(&self, address: &Address) -> io::Result<()> {
        let raw = address.to_raw().map_err(|errno| about(address, errno))?;
        if self.is_nonblocking() {
            return self.start_connect(&raw).map(drop);
        }
        if self.0.family.0 == i32::from(AF_UNIX) {
            return self
                .wait(&self.0.writes, |fd| call::connect(fd, &raw))
                .map_err(io_error);
        }
        let within = self.0.writes.timeout();
        self.connect_within(&raw, within)
    }

    /// Connects, and waits no longer.
    ///
    /// # Errors
    /// `TimedOut`; InvalidInput for no time at all, as in std.
    pub fn connect_timeout(&self, address: &Address, timeout: Duration) -> io::Result<()> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot set a 0 duration timeout",
            ));
        }
        let raw = address.to_raw().map_err(|errno| about(address, errno))?;
        self.connect_within(&raw, Some(timeout))
    }

    /// Begins to connect. Whether that was all.
    pub(crate) fn start_connect(&self, raw: &RawAddress) -> io::Result<bool> {
        match call::connect(&self.0.fd, raw) {
            Ok(()) => Ok(true),
            Err(Errno::EISCONN) => Ok(true),
            Err(Errno::EINPROGRESS) => Ok(false),
            Err(errno) => Err(io_error(errno)),
        }
    }

    /// Without O_NONBLOCK Linux would wait for a connection as long as it likes.
    fn connect_within(&self, raw: &RawAddress, timeout: Option<Duration>) -> io::Result<()> {
        let blocking = !self.is_nonblocking();
        if blocking {
            call::set_nonblocking(&self.0.fd, true).map_err(io_error)?;
        }
        let connected = match self.start_connect(raw) {
            Ok(true) => Ok(()),
            Ok(false) => self.wait_for_connect(timeout),
            Err(error) => Err(error),
        };
        if blocking {
            call::set_nonblocking(&self.0.fd, false).map_err(io_error)?;
        }
        connected
    }

    fn wait_for_connect(&self, timeout: Option<Duration>) -> io::Result<()> {
        const POLLOUT: i16 = 4;
        match self.wait_for(POLLOUT, timeout)? {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out")),
            _ => self.take_error()?.map_or(Ok(()), Err),
        }
    }

    /// Waits for events, in `poll()`'s bits, whether it blocks or not. 0 when the time is over.
    pub fn wait_for(&self, events: i16, timeout: Option<Duration>) -> io::Result<i16> {
        let (slice, most) = Patience::slices(timeout);
        let milliseconds = i32::try_from(slice.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let mut slices = 0;
        loop {
            match call::poll(&self.0.fd, events, milliseconds) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io_error(errno)),
                Ok(0) => {
                    slices = u32::saturating_add(slices, 1);
                    if most != 0 && slices >= most {
                        return Ok(0);
                    }
                }
                Ok(seen) => return Ok(seen),
            }
        }
    }

    /// Waits for a connection, and takes it. It blocks.
    pub fn accept(&self) -> io::Result<(Socket, Address)> {
        self.accept_as(false)
    }

    /// The same; the new one is nonblocking if that is asked for.
    pub(crate) fn accept_as(&self, nonblocking: bool) -> io::Result<(Socket, Address)> {
        let flags = if nonblocking { call::NONBLOCK } else { 0 };
        let (fd, from) = self
            .wait(&self.0.reads, |fd| call::accept(fd, flags))
            .map_err(io_error)?;
        let socket = Socket::adopt(fd, self.0.family, nonblocking);
        Ok((socket, Address::from_raw(&from).map_err(io_error)?))
    }

    /// Its own address.
    pub fn local_addr(&self) -> io::Result<Address> {
        self.name(End::Own)
    }

    /// The address that it is connected to.
    pub fn peer_addr(&self) -> io::Result<Address> {
        self.name(End::Peer)
    }

    fn name(&self, end: End) -> io::Result<Address> {
        call::name(&self.0.fd, end)
            .and_then(|raw| Address::from_raw(&raw))
            .map_err(io_error)
    }

    /// Ends one direction or both.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => 0,
            Shutdown::Write => 1,
            Shutdown::Both => 2,
        };
        call::shutdown(&self.0.fd, how).map_err(io_error)
    }

    /// Sends to the peer. How much of it was taken.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send_with(bytes, 0)
    }

    /// Sends with `MSG_*` flags.
    pub fn send_with(&self, bytes: &[u8], flags: i32) -> io::Result<usize> {
        self.wait(&self.0.writes, |fd| call::send(fd, bytes, flags, None))
            .map_err(io_error)
    }

    /// Sends to an address.
    pub fn send_to(&self, bytes: &[u8], to: &Address) -> io::Result<usize> {
        let raw = to.to_raw().map_err(|errno| about(to, errno))?;
        self.wait(&self.0.writes, |fd| call::send(fd, bytes, 0, Some(&raw)))
            .map_err(io_error)
    }

    /// Receives. 0 at the end of a stream.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_with(buffer, 0)
    }

    /// Receives with `MSG_*` flags.
    pub fn recv_with(&self, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
        self.wait(&self.0.reads, |fd| call::recv(fd, buffer, flags))
            .map_err(io_error)
    }

    /// Receives without taking it away.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv_with(buffer, call::MSG_PEEK)
    }

    /// Receives, and tells from whom.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        self.recv_from_with(buffer, 0)
    }

    /// The same with `MSG_*` flags.
    pub fn recv_from_with(&self, buffer: &mut [u8], flags: i32) -> io::Result<(usize, Address)> {
        let (len, from) = self
            .wait(&self.0.reads, |fd| call::recv_from(fd, buffer, flags))
            .map_err(io_error)?;
        Ok((len, Address::from_raw(&from).map_err(io_error)?))
    }

    /// Has Linux remember when it saw each packet, for [`Socket::recv_stamped`].
    pub fn set_stamps(&self, on: bool) -> io::Result<()> {
        const SO_TIMESTAMPNS: i32 = 35;
        self.set_number(crate::options::SOL_SOCKET, SO_TIMESTAMPNS, on.into())
    }

    /// Receives with `MSG_*` flags, and tells from whom, and at which time of day Linux saw it: since 1970, UTC. It is
    /// `None` without [`Socket::set_stamps`].
    pub fn recv_stamped(
        &self,
        buffer: &mut [u8],
        flags: i32,
    ) -> io::Result<(usize, Address, Option<Duration>)> {
        let (len, from, when) = self
            .wait(&self.0.reads, |fd| call::recv_stamped(fd, buffer, flags))
            .map_err(io_error)?;
        Ok((len, Address::from_raw(&from).map_err(io_error)?, when))
    }

    /// Receives into several buffers.
    pub fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.wait(&self.0.reads, |fd| call::recv_vectored(fd, buffers, 0))
            .map_err(io_error)
    }

    /// Sends from several buffers.
    pub fn send_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.wait(&self.0.writes, |fd| call::send_vectored(fd, buffers, 0))
            .map_err(io_error)
    }
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.recv_vectored(buffers)
    }
}

impl Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.recv(buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.recv_vectored(buffers)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Socket");
        shown.field("fd", &self.0.fd.raw());
        if let Ok(address) = self.local_addr() {
            shown.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            shown.field("peer", &address);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_a_timeout_make_the_timeout() {
        for millis in [1, 50, 199, 200, 201, 300, 1000, 12_345] {
            let timeout = Duration::from_millis(millis);
            let (slice, count) = Patience::slices(Some(timeout));
            assert!(slice <= SLICE);
            assert!(timeout - slice * count < Duration::from_micros(1), "{millis}");
        }
        assert_eq!(Patience::slices(None), (SLICE, 0));
    }
}
