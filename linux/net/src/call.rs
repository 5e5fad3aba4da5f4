//! The system calls of sockets and of readiness, with safe arguments: slices, plain numbers, descriptors that are open.
//!
//! A call that waits takes the calling thread and no more: Linux's processor is free for the others meanwhile. What makes
//! new things (sockets, files of `/proc`) is made in the name of a [`Namespace`].

// UNSAFETY: passes pointers to Linux.

#![allow(unsafe_code)]

use crate::address::RawAddress;
use crate::namespace::Namespace;
use lkl::{Errno, Kernel, OwnedFd};
use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::time::Duration;

const SYS_READ: i64 = 0;
const SYS_WRITE: i64 = 1;
const SYS_POLL: i64 = 7;
const SYS_CONNECT: i64 = 42;
const SYS_SENDTO: i64 = 44;
const SYS_RECVFROM: i64 = 45;
const SYS_SENDMSG: i64 = 46;
const SYS_RECVMSG: i64 = 47;
const SYS_SHUTDOWN: i64 = 48;
const SYS_BIND: i64 = 49;
const SYS_LISTEN: i64 = 50;
const SYS_GETSOCKNAME: i64 = 51;
const SYS_GETPEERNAME: i64 = 52;
const SYS_SETSOCKOPT: i64 = 54;
const SYS_GETSOCKOPT: i64 = 55;
const SYS_FCNTL: i64 = 72;
const SYS_EPOLL_WAIT: i64 = 232;
const SYS_EPOLL_CTL: i64 = 233;
const SYS_ACCEPT4: i64 = 288;

/// `SOCK_CLOEXEC`, `O_CLOEXEC` and the like: one bit for all of them.
pub(crate) const CLOEXEC: i32 = 0o2_000_000;
/// `SOCK_NONBLOCK`, `O_NONBLOCK`.
pub const NONBLOCK: i32 = 0o4000;
/// `MSG_NOSIGNAL`
pub(crate) const MSG_NOSIGNAL: i32 = 0x4000;
/// `MSG_PEEK`
pub(crate) const MSG_PEEK: i32 = 2;
/// `MSG_TRUNC`
pub(crate) const MSG_TRUNC: i32 = 0x20;

/// A call in the name of a kernel's pool of tasks.
///
/// # Safety
/// As [`Kernel::syscall`].
unsafe fn pooled<const N: usize>(kernel: &Kernel, number: i64, arguments: [i64; N]) -> Result<u64, Errno> {
    // SAFETY: the caller's promise.
    unsafe { kernel.syscall(number, words(arguments)) }
}

fn words<const N: usize>(arguments: [i64; N]) -> [i64; 6] {
    let mut words = [0; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = argument;
    }
    words
}

fn address_of<T: ?Sized>(place: *const T) -> i64 {
    place.cast::<u8>().expose_provenance() as i64
}

fn amount(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn number(fd: &OwnedFd) -> i64 {
    i64::from(fd.raw())
}

/// Takes over what a call has opened.
fn opened(kernel: &Kernel, value: u64) -> Result<OwnedFd, Errno> {
    let number = i32::try_from(value).map_err(|_| Errno::EBADF)?;
    // SAFETY: Linux has just opened it, for this caller.
    Ok(unsafe { OwnedFd::from_raw(kernel, number) })
}

/// A call that opens something and takes no pointer but strings and arrays that live through it.
///
/// # Safety
/// As [`Kernel::syscall`].
unsafe fn open_by<const N: usize>(by: &Namespace, call: i64, arguments: [i64; N]) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller's promise.
    let value = unsafe { by.syscall(call, words(arguments)) }?;
    opened(by.kernel(), value)
}

/// A socket. `kind` may have [`NONBLOCK`] in it.
pub fn socket(by: &Namespace, family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    const SYS_SOCKET: i64 = 41;
    let arguments = [family.into(), i64::from(kind | CLOEXEC), protocol.into()];
    // SAFETY: no pointers.
    unsafe { open_by(by, SYS_SOCKET, arguments) }
}

pub(crate) fn socketpair(by: &Namespace, family: i32, kind: i32) -> Result<[OwnedFd; 2], Errno> {
    const SYS_SOCKETPAIR: i64 = 53;
    let mut pair = [0i32; 2];
    let place = address_of(pair.as_mut_ptr());
    let arguments = [family.into(), i64::from(kind | CLOEXEC), 0, place];
    // SAFETY: room for two numbers.
    unsafe { by.syscall(SYS_SOCKETPAIR, words(arguments)) }?;
    // SAFETY: Linux has just opened it, for this caller.
    Ok(pair.map(|number| unsafe { OwnedFd::from_raw(by.kernel(), number) }))
}

/// A counter, which never waits.
pub fn eventfd(by: &Namespace) -> Result<OwnedFd, Errno> {
    const SYS_EVENTFD2: i64 = 290;
    // SAFETY: no pointers.
    unsafe { open_by(by, SYS_EVENTFD2, [0, i64::from(CLOEXEC | NONBLOCK)]) }
}

/// An epoll.
pub fn epoll(by: &Namespace) -> Result<OwnedFd, Errno> {
    const SYS_EPOLL_CREATE1: i64 = 291;
    // SAFETY: no pointers.
    unsafe { open_by(by, SYS_EPOLL_CREATE1, [i64::from(CLOEXEC)]) }
}

/// Opens a path, from a folder on.
pub(crate) fn open(by: &Namespace, folder: &OwnedFd, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    const SYS_OPENAT: i64 = 257;
    let arguments = [
        number(folder),
        address_of(path.as_ptr()),
        i64::from(flags | CLOEXEC),
    ];
    // SAFETY: a string that ends with a NUL.
    unsafe { open_by(by, SYS_OPENAT, arguments) }
}

/// The root of a procfs of its own, mounted nowhere.
pub(crate) fn proc_tree(by: &Namespace) -> Result<OwnedFd, Errno> {
    const SYS_FSOPEN: i64 = 430;
    const SYS_FSCONFIG: i64 = 431;
    const SYS_FSMOUNT: i64 = 432;
    const FSCONFIG_CMD_CREATE: i64 = 6;
    // SAFETY: a string.
    let fs = unsafe { open_by(by, SYS_FSOPEN, [address_of(c"proc".as_ptr()), 1]) }?;
    // SAFETY: no pointers but null.
    unsafe { by.syscall(SYS_FSCONFIG, words([number(&fs), FSCONFIG_CMD_CREATE])) }?;
    // SAFETY: no pointers.
    unsafe { open_by(by, SYS_FSMOUNT, [number(&fs), 1, 0]) }
}

/// Mounts a file system that needs no device at a folder, which is there afterwards. It may be mounted already.
pub(crate) fn mount(by: &Namespace, kind: &CStr, folder: &CStr) -> Result<(), Errno> {
    const SYS_MKDIR: i64 = 83;
    const SYS_MOUNT: i64 = 165;
    let (kind, folder) = (address_of(kind.as_ptr()), address_of(folder.as_ptr()));
    // SAFETY: a string that ends with a NUL.
    match unsafe { by.syscall(SYS_MKDIR, words([folder, 0o755])) } {
        Ok(_) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    // SAFETY: strings that end with a NUL.
    match unsafe { by.syscall(SYS_MOUNT, words([kind, folder, kind])) } {
        Ok(_) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Takes the namespace's own task into a new network.
pub(crate) fn unshare_network(by: &Namespace) -> Result<(), Errno> {
    const SYS_UNSHARE: i64 = 272;
    const CLONE_NEWNET: i64 = 0x4000_0000;
    // SAFETY: no pointers.
    unsafe { by.syscall(SYS_UNSHARE, words([CLONE_NEWNET])) }.map(drop)
}

pub(crate) fn read(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [
        number(fd),
        address_of(buffer.as_mut_ptr()),
        buffer.len().cast_signed() as i64,
    ];
    // SAFETY: Linux writes at most as many bytes.
    unsafe { pooled(fd.kernel(), SYS_READ, arguments) }.map(amount)
}

/// Writes to any descriptor: how much.
pub fn write(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let arguments = [
        number(fd),
        address_of(bytes.as_ptr()),
        bytes.len().cast_signed() as i64,
    ];
    // SAFETY: Linux reads as many bytes.
    unsafe { pooled(fd.kernel(), SYS_WRITE, arguments) }.map(amount)
}

pub(crate) fn set_nonblocking(fd: &OwnedFd, nonblocking: bool) -> Result<(), Errno> {
    const F_SETFL: i64 = 4;
    let flags = if nonblocking { NONBLOCK } else { 0 };
    // O_RDWR is no flag that can be changed.
    // SAFETY: no pointers.
    unsafe { pooled(fd.kernel(), SYS_FCNTL, [number(fd), F_SETFL, flags.into()]) }.map(drop)
}

/// Waits for events of one descriptor, in `poll()`'s bits, for so many milliseconds. Zero when the time is over.
pub fn poll(fd: &OwnedFd, events: i16, milliseconds: i32) -> Result<i16, Errno> {
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: i16,
        seen: i16,
    }
    let mut entry = PollFd {
        fd: fd.raw(),
        events,
        seen: 0,
    };
    let place = address_of(&raw mut entry);
    // SAFETY: one entry.
    unsafe { pooled(fd.kernel(), SYS_POLL, [place, 1, milliseconds.into()]) }?;
    Ok(entry.seen)
}

/// Begins to connect, or waits until there is a connection.
pub fn connect(fd: &OwnedFd, to: &RawAddress) -> Result<(), Errno> {
    let bytes = to.as_bytes();
    let arguments = [number(fd), address_of(bytes.as_ptr()), bytes.len() as i64];
    // SAFETY: an address and its length.
    unsafe { pooled(fd.kernel(), SYS_CONNECT, arguments) }.map(drop)
}

/// Gives it an address.
pub fn bind(fd: &OwnedFd, to: &RawAddress) -> Result<(), Errno> {
    let bytes = to.as_bytes();
    let arguments = [number(fd), address_of(bytes.as_ptr()), bytes.len() as i64];
    // SAFETY: an address and its length.
    unsafe { pooled(fd.kernel(), SYS_BIND, arguments) }.map(drop)
}

/// Has it take connections.
pub fn listen(fd: &OwnedFd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { pooled(fd.kernel(), SYS_LISTEN, [number(fd), backlog.into()]) }.map(drop)
}

/// Ends a direction or both: `SHUT_*`.
pub fn shutdown(fd: &OwnedFd, how: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    unsafe { pooled(fd.kernel(), SYS_SHUTDOWN, [number(fd), how.into()]) }.map(drop)
}

/// A connection that has come, and its peer. `flags` may be [`NONBLOCK`].
pub fn accept(fd: &OwnedFd, flags: i32) -> Result<(OwnedFd, RawAddress), Errno> {
    let mut from = RawAddress::room();
    let (place, len) = from.place();
    let arguments = [
        number(fd),
        address_of(place),
        address_of(len),
        i64::from(flags | CLOEXEC),
    ];
    // SAFETY: room for an address, and its length.
    let value = unsafe { pooled(fd.kernel(), SYS_ACCEPT4, arguments) }?;
    Ok((opened(fd.kernel(), value)?, from))
}

/// Which end's address is wanted.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The socket's own.
    Own,
    /// The other one.
    Peer,
}

/// The address of an end.
pub fn name(fd: &OwnedFd, end: End) -> Result<RawAddress, Errno> {
    let mut name = RawAddress::room();
    let (place, len) = name.place();
    let arguments = [number(fd), address_of(place), address_of(len)];
    let call = match end {
        End::Own => SYS_GETSOCKNAME,
        End::Peer => SYS_GETPEERNAME,
    };
    // SAFETY: room for an address, and its length.
    unsafe { pooled(fd.kernel(), call, arguments) }?;
    Ok(name)
}

/// Sends: how much. It raises no signal.
pub fn send(fd: &OwnedFd, bytes: &[u8], flags: i32, to: Option<&RawAddress>) -> Result<usize, Errno> {
    let to = to.map_or(&[][..], RawAddress::as_bytes);
    let arguments = [
        number(fd),
        address_of(bytes.as_ptr()),
        bytes.len() as i64,
        i64::from(flags | MSG_NOSIGNAL),
        if to.is_empty() { 0 } else { address_of(to.as_ptr()) },
        to.len() as i64,
    ];
    // SAFETY: bytes and an address, with their lengths.
    unsafe { pooled(fd.kernel(), SYS_SENDTO, arguments) }.map(amount)
}

/// Receives: how much, 0 at the end of a stream.
pub fn recv(fd: &OwnedFd, buffer: &mut [u8], flags: i32) -> Result<usize, Errno> {
    let arguments = [
        number(fd),
        address_of(buffer.as_mut_ptr()),
        buffer.len() as i64,
        flags.into(),
        0,
        0,
    ];
    // SAFETY: Linux writes at most as many bytes.
    unsafe { pooled(fd.kernel(), SYS_RECVFROM, arguments) }.map(amount)
}

pub(crate) fn recv_from(fd: &OwnedFd, buffer: &mut [u8], flags: i32) -> Result<(usize, RawAddress), Errno> {
    let mut from = RawAddress::room();
    let (place, len) = from.place();
    let arguments = [
        number(fd),
        address_of(buffer.as_mut_ptr()),
        buffer.len() as i64,
        flags.into(),
        address_of(place),
        address_of(len),
    ];
    // SAFETY: Linux writes at most as many bytes, and an address.
    let len = unsafe { pooled(fd.kernel(), SYS_RECVFROM, arguments) }.map(amount)?;
    Ok((len, from))
}

/// `struct iovec`; `IoSlice` is one on POSIX hosts only.
#[repr(C)]
#[derive(Clone, Copy)]
struct IoVec {
    base: i64,
    len: usize,
}

/// How many pieces one call takes; what is beyond is left for the next, as with any short transfer.
const PIECES: usize = 64;

struct Pieces([IoVec; PIECES], usize);

impl Pieces {
    fn new(pieces: impl Iterator<Item = IoVec>) -> Self {
        let mut all = Pieces([IoVec { base: 0, len: 0 }; PIECES], 0);
        for (place, piece) in all.0.iter_mut().zip(pieces.filter(|piece| piece.len != 0)) {
            *place = piece;
            all.1 += 1;
        }
        all
    }
}

/// `struct msghdr`
#[repr(C)]
struct Message {
    name: i64,
    name_len: u32,
    pieces: i64,
    piece_count: usize,
    control: i64,
    control_len: usize,
    flags: i32,
}

const _: () = assert!(size_of::<Message>() == 56);

impl Message {
    fn of(pieces: &Pieces) -> Self {
        Message {
            name: 0,
            name_len: 0,
            pieces: address_of(pieces.0.as_ptr()),
            piece_count: pieces.1,
            control: 0,
            control_len: 0,
            flags: 0,
        }
    }
}

pub(crate) fn send_vectored(fd: &OwnedFd, pieces: &[IoSlice<'_>], flags: i32) -> Result<usize, Errno> {
    let pieces = Pieces::new(pieces.iter().map(|piece| IoVec {
        base: address_of(piece.as_ptr()),
        len: piece.len(),
    }));
    let message = Message::of(&pieces);
    let arguments = [
        number(fd),
        address_of(&raw const message),
        i64::from(flags | MSG_NOSIGNAL),
    ];
    // SAFETY: the message and its pieces live through the call.
    unsafe { pooled(fd.kernel(), SYS_SENDMSG, arguments) }.map(amount)
}

pub(crate) fn recv_vectored(fd: &OwnedFd, pieces: &mut [IoSliceMut<'_>], flags: i32) -> Result<usize, Errno> {
    let pieces = Pieces::new(pieces.iter_mut().map(|piece| IoVec {
        base: address_of(piece.as_mut_ptr()),
        len: piece.len(),
    }));
    let mut message = Message::of(&pieces);
    let arguments = [number(fd), address_of(&raw mut message), flags.into()];
    // SAFETY: the message and its pieces live through the call, and the pieces are the caller's to be written.
    unsafe { pooled(fd.kernel(), SYS_RECVMSG, arguments) }.map(amount)
}

/// Receives; from whom; and when Linux has seen it, if the socket has `SO_TIMESTAMPNS`.
pub(crate) fn recv_stamped(
    fd: &OwnedFd,
    buffer: &mut [u8],
    flags: i32,
) -> Result<(usize, RawAddress, Option<Duration>), Errno> {
    const SOL_SOCKET: u32 = 1;
    const SCM_TIMESTAMPNS: u32 = 35;
    let mut from = RawAddress::room();
    let mut control = [0u64; 8];
    let mut piece = IoVec {
        base: address_of(buffer.as_mut_ptr()),
        len: buffer.len(),
    };
    let mut message = Message {
        name: address_of(from.place().0),
        name_len: 128,
        pieces: address_of(&raw mut piece),
        piece_count: 1,
        control: address_of(control.as_mut_ptr()),
        control_len: size_of_val(&control),
        flags: 0,
    };
    let arguments = [number(fd), address_of(&raw mut message), flags.into()];
    // SAFETY: the message, its piece, its address and its control data live through the call, and are the caller's to be written.
    let len = unsafe { pooled(fd.kernel(), SYS_RECVMSG, arguments) }.map(amount)?;
    from.set_len(message.name_len);
    // `struct cmsghdr`, which has the level below the type in its second word, and then a `struct timespec`.
    let [head, kind, seconds, nanos, ..] = control;
    let stamped = message.control_len >= 32
        && head == 32
        && kind == u64::from(SCM_TIMESTAMPNS) << 32 | u64::from(SOL_SOCKET);
    let nanos = u32::try_from(nanos).unwrap_or(0);
    Ok((len, from, stamped.then(|| Duration::new(seconds, nanos))))
}

/// Sets an option, whose value has no pointers in it.
pub fn set_option(fd: &OwnedFd, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
    let arguments = [
        number(fd),
        level.into(),
        option.into(),
        address_of(value.as_ptr()),
        value.len() as i64,
    ];
    // SAFETY: bytes and their length.
    unsafe { pooled(fd.kernel(), SYS_SETSOCKOPT, arguments) }.map(drop)
}

/// Sets a value of an interface's, by a request of `ethtool`'s. The name has at most 15 bytes.
pub(crate) fn device_value(socket: &OwnedFd, name: &str, command: u32, value: u32) -> Result<(), Errno> {
    /// `struct ethtool_value`
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    /// `struct ifreq`, which is as long as its longest member.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        value: i64,
        rest: [u8; 16],
    }
    const SYS_IOCTL: i64 = 16;
    const SIOCETHTOOL: i64 = 0x8946;
    let mut wanted = Value { command, data: value };
    let mut request = Request {
        name: [0; 16],
        value: address_of(&raw mut wanted),
        rest: [0; 16],
    };
    let place = request.name.get_mut(..name.len().min(15)).unwrap_or(&mut []);
    place.copy_from_slice(name.as_bytes().get(..place.len()).unwrap_or(&[]));
    let arguments = [number(socket), SIOCETHTOOL, address_of(&raw mut request)];
    // SAFETY: a request and its value, which outlive the call.
    unsafe { pooled(socket.kernel(), SYS_IOCTL, arguments) }.map(drop)
}

/// Bytes that Linux has written, at most the buffer's length.
pub fn option(fd: &OwnedFd, level: i32, option: i32, value: &mut [u8]) -> Result<usize, Errno> {
    let mut len = i32::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    let arguments = [
        number(fd),
        level.into(),
        option.into(),
        address_of(value.as_mut_ptr()),
        address_of(&raw mut len),
    ];
    // SAFETY: Linux writes at most as many bytes, and how many.
    unsafe { pooled(fd.kernel(), SYS_GETSOCKOPT, arguments) }?;
    Ok(usize::try_from(len).unwrap_or(0).min(value.len()))
}

/// `struct epoll_event` as x86-64 has it.
#[repr(C, packed)]
#[derive(Clone, Copy, Debug, Default)]
pub struct EpollEvent {
    /// `EPOLL*`
    pub events: u32,
    /// The caller's own number.
    pub data: u64,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
pub enum EpollChange {
    /// `EPOLL_CTL_ADD`
    Add = 1,
    /// `EPOLL_CTL_DEL`
    Remove = 2,
    /// `EPOLL_CTL_MOD`
    Modify = 3,
}

/// Changes what is waited for of a descriptor.
pub fn epoll_change(
    epoll: &OwnedFd,
    change: EpollChange,
    fd: &OwnedFd,
    event: EpollEvent,
) -> Result<(), Errno> {
    let place = address_of(&raw const event);
    let arguments = [number(epoll), change as i64, number(fd), place];
    // SAFETY: one event.
    unsafe { pooled(epoll.kernel(), SYS_EPOLL_CTL, arguments) }.map(drop)
}

/// How many events came within so many milliseconds.
pub fn epoll_wait(epoll: &OwnedFd, events: &mut [EpollEvent], milliseconds: i32) -> Result<usize, Errno> {
    let arguments = [
        number(epoll),
        address_of(events.as_mut_ptr()),
        events.len() as i64,
        milliseconds.into(),
    ];
    // SAFETY: room for as many events.
    unsafe { pooled(epoll.kernel(), SYS_EPOLL_WAIT, arguments) }.map(amount)
}
