//! The system calls of sockets that a program has made, made in the Linux that is carried: bytes in, bytes out, and nothing that
//! waits.
//!
//! Addresses, options and control messages pass as they are: the program and the Linux here have one binary interface.

// UNSAFETY: passes pointers to Linux.

#![allow(unsafe_code)]

use lkl::{Errno, Kernel, OwnedFd};
use lkl_net::Namespace;

const SYS_POLL: i64 = 7;
const SYS_IOCTL: i64 = 16;
const SYS_SOCKET: i64 = 41;
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
const SYS_EPOLL_WAIT: i64 = 232;
const SYS_EPOLL_CTL: i64 = 233;
const SYS_ACCEPT4: i64 = 288;
const SYS_EVENTFD2: i64 = 290;
const SYS_EPOLL_CREATE1: i64 = 291;

/// `SOCK_NONBLOCK | SOCK_CLOEXEC`: each socket here is nonblocking, whatever the program's descriptor is.
const NONBLOCK_CLOEXEC: i64 = 0o4000 | 0o2_000_000;
/// `MSG_DONTWAIT | MSG_NOSIGNAL`
const QUIETLY: i32 = 0x40 | 0x4000;

/// An address of any family, at most as long as `struct sockaddr_storage`.
#[derive(Clone)]
pub struct Address {
    room: [u8; 128],
    len: u32,
}

impl Default for Address {
    fn default() -> Address {
        Address {
            room: [0; 128],
            len: 0,
        }
    }
}

impl Address {
    /// Room for Linux to write one.
    fn room() -> Address {
        Address {
            len: 128,
            ..Address::default()
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        let len = usize::try_from(self.len).unwrap_or(0);
        self.room.get(..len).unwrap_or(&self.room)
    }
}

/// Which end's address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Own,
    Peer,
}

/// `struct iovec`
#[repr(C)]
struct Piece {
    base: i64,
    len: usize,
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

/// What came beside a message's bytes.
#[derive(Clone, Default)]
pub struct Envelope {
    /// The sender.
    pub from: Address,
    /// Control messages.
    pub control: Vec<u8>,
    /// `MSG_*`
    pub flags: i32,
}

/// `struct epoll_event` as x86-64 has it.
#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
pub struct Event {
    /// `EPOLL*`
    pub events: u32,
    /// The caller's own number.
    pub token: u64,
}

fn place<T: ?Sized>(place: *const T) -> i64 {
    place.cast::<u8>().expose_provenance().cast_signed() as i64
}

fn number(fd: &OwnedFd) -> i64 {
    fd.raw().into()
}

fn amount(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A call whose pointers are to this process' memory and outlive it.
fn call<const N: usize>(kernel: &Kernel, call: i64, arguments: [i64; N]) -> Result<u64, Errno> {
    let mut words = [0; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = argument;
    }
    loop {
        // SAFETY: private to this module, whose functions pass memory that is theirs, with its length.
        match unsafe { kernel.syscall(call, words) } {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

fn opened(kernel: &Kernel, value: u64) -> Result<OwnedFd, Errno> {
    let number = i32::try_from(value).map_err(|_| Errno::EBADF)?;
    // SAFETY: Linux has just opened it, for this caller.
    Ok(unsafe { OwnedFd::from_raw(kernel, number) })
}

/// A socket of that network, which never waits.
pub fn socket(by: &Namespace, family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    let kind = i64::from(kind) | NONBLOCK_CLOEXEC;
    let arguments = [family.into(), kind, protocol.into(), 0, 0, 0];
    let made = by.with_task(|task| match task {
        // SAFETY: numbers.
        Some(task) => unsafe { task.syscall(SYS_SOCKET, &arguments) },
        None => call(by.kernel(), SYS_SOCKET, arguments),
    });
    opened(by.kernel(), made?)
}

/// Begins to connect: EINPROGRESS, as a rule.
pub fn connect(fd: &OwnedFd, to: &[u8]) -> Result<(), Errno> {
    let arguments = [number(fd), place(to), to.len() as i64];
    call(fd.kernel(), SYS_CONNECT, arguments).map(drop)
}

pub fn bind(fd: &OwnedFd, to: &[u8]) -> Result<(), Errno> {
    let arguments = [number(fd), place(to), to.len() as i64];
    call(fd.kernel(), SYS_BIND, arguments).map(drop)
}

pub fn listen(fd: &OwnedFd, backlog: i32) -> Result<(), Errno> {
    call(fd.kernel(), SYS_LISTEN, [number(fd), backlog.into()]).map(drop)
}

pub fn shutdown(fd: &OwnedFd, how: i32) -> Result<(), Errno> {
    call(fd.kernel(), SYS_SHUTDOWN, [number(fd), how.into()]).map(drop)
}

/// A connection that waits, and its peer.
pub fn accept(fd: &OwnedFd) -> Result<(OwnedFd, Address), Errno> {
    let mut from = Address::room();
    let arguments = [
        number(fd),
        place(from.room.as_mut_ptr()),
        place(&raw mut from.len),
        NONBLOCK_CLOEXEC,
    ];
    let value = call(fd.kernel(), SYS_ACCEPT4, arguments)?;
    Ok((opened(fd.kernel(), value)?, from))
}

pub fn name(fd: &OwnedFd, end: End) -> Result<Address, Errno> {
    let mut name = Address::room();
    let arguments = [
        number(fd),
        place(name.room.as_mut_ptr()),
        place(&raw mut name.len),
    ];
    let of = match end {
        End::Own => SYS_GETSOCKNAME,
        End::Peer => SYS_GETPEERNAME,
    };
    call(fd.kernel(), of, arguments)?;
    Ok(name)
}

/// `value` has no pointers in it.
pub fn set_option(fd: &OwnedFd, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
    let arguments = [
        number(fd),
        level.into(),
        option.into(),
        place(value),
        value.len() as i64,
    ];
    call(fd.kernel(), SYS_SETSOCKOPT, arguments).map(drop)
}

/// An option whose value is `struct sock_fprog`: instructions of eight bytes.
pub fn set_filter(fd: &OwnedFd, option: i32, instructions: &[u8]) -> Result<(), Errno> {
    const SOL_SOCKET: i32 = 1;
    #[repr(C)]
    struct Program {
        len: u16,
        instructions: i64,
    }
    let program = Program {
        len: u16::try_from(instructions.len() / 8).map_err(|_| Errno::EINVAL)?,
        instructions: place(instructions),
    };
    let arguments = [
        number(fd),
        SOL_SOCKET.into(),
        option.into(),
        place(&raw const program),
        size_of::<Program>() as i64,
    ];
    call(fd.kernel(), SYS_SETSOCKOPT, arguments).map(drop)
}

/// How much of `value` Linux has written.
pub fn option(fd: &OwnedFd, level: i32, option: i32, value: &mut [u8]) -> Result<usize, Errno> {
    let mut len = i32::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    let arguments = [
        number(fd),
        level.into(),
        option.into(),
        place(value.as_mut_ptr()),
        place(&raw mut len),
    ];
    call(fd.kernel(), SYS_GETSOCKOPT, arguments)?;
    Ok(usize::try_from(len).unwrap_or(0).min(value.len()))
}

/// A request whose argument is plain bytes, without pointers, at least as many as it needs.
pub fn control(fd: &OwnedFd, request: u32, argument: &mut [u8]) -> Result<u64, Errno> {
    let arguments = [number(fd), request.into(), place(argument.as_mut_ptr())];
    call(fd.kernel(), SYS_IOCTL, arguments)
}

/// The same for an argument that has, at byte `at`, a pointer to `further`.
pub fn control_with(
    fd: &OwnedFd,
    request: u32,
    argument: &mut [u8],
    at: usize,
    further: &mut [u8],
) -> Result<u64, Errno> {
    let pointer = place(further.as_mut_ptr()).to_ne_bytes();
    let slot = argument.get_mut(at..at + 8).ok_or(Errno::EINVAL)?;
    slot.copy_from_slice(&pointer);
    let arguments = [number(fd), request.into(), place(argument.as_mut_ptr())];
    call(fd.kernel(), SYS_IOCTL, arguments)
}

/// Sends what is taken at once.
pub fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let arguments = [number(fd), place(bytes), bytes.len() as i64, QUIETLY.into(), 0, 0];
    call(fd.kernel(), SYS_SENDTO, arguments).map(amount)
}

/// Receives what is there. 0 at the end of a stream.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let arguments = [
        number(fd),
        place(buffer.as_mut_ptr()),
        buffer.len() as i64,
        QUIETLY.into(),
        0,
        0,
    ];
    call(fd.kernel(), SYS_RECVFROM, arguments).map(amount)
}

/// Sends a message, to an address unless that is empty.
pub fn send_message(
    fd: &OwnedFd,
    to: &[u8],
    bytes: &[u8],
    control: &[u8],
    flags: i32,
) -> Result<usize, Errno> {
    let piece = Piece {
        base: place(bytes),
        len: bytes.len(),
    };
    let message = Message {
        name: if to.is_empty() { 0 } else { place(to) },
        name_len: u32::try_from(to.len()).map_err(|_| Errno::EINVAL)?,
        pieces: place(&raw const piece),
        piece_count: 1,
        control: if control.is_empty() { 0 } else { place(control) },
        control_len: control.len(),
        flags: 0,
    };
    let arguments = [number(fd), place(&raw const message), i64::from(flags | QUIETLY)];
    call(fd.kernel(), SYS_SENDMSG, arguments).map(amount)
}

/// Receives a message, with what came beside it. With `MSG_TRUNC` it is its whole length, which may be more than the buffer's.
pub fn receive_message(fd: &OwnedFd, buffer: &mut [u8], flags: i32) -> Result<(usize, Envelope), Errno> {
    let mut from = Address::room();
    // Aligned as control messages are.
    let mut control = [0u64; 128];
    let mut piece = Piece {
        base: place(buffer.as_mut_ptr()),
        len: buffer.len(),
    };
    let mut message = Message {
        name: place(from.room.as_mut_ptr()),
        name_len: 128,
        pieces: place(&raw mut piece),
        piece_count: 1,
        control: place(control.as_mut_ptr()),
        control_len: size_of_val(&control),
        flags: 0,
    };
    let arguments = [number(fd), place(&raw mut message), i64::from(flags | QUIETLY)];
    let len = call(fd.kernel(), SYS_RECVMSG, arguments).map(amount)?;
    from.len = message.name_len;
    let mut bytes: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.truncate(message.control_len);
    let envelope = Envelope {
        from,
        control: bytes,
        flags: message.flags,
    };
    Ok((len, envelope))
}

/// What of `events`, in `poll()`'s bits, is there now.
pub fn poll(fd: &OwnedFd, events: i16) -> Result<i16, Errno> {
    #[repr(C)]
    struct Entry {
        fd: i32,
        events: i16,
        seen: i16,
    }
    let mut entry = Entry {
        fd: fd.raw(),
        events,
        seen: 0,
    };
    call(fd.kernel(), SYS_POLL, [place(&raw mut entry), 1, 0])?;
    Ok(entry.seen)
}

/// An epoll of Linux's.
pub struct Epoll {
    epoll: OwnedFd,
    waker: OwnedFd,
}

/// The waker's token.
pub const WOKEN: u64 = u64::MAX;

impl Epoll {
    pub fn new(kernel: &Kernel) -> Result<Epoll, Errno> {
        let epoll = opened(kernel, call(kernel, SYS_EPOLL_CREATE1, [0o2_000_000])?)?;
        let waker = opened(kernel, call(kernel, SYS_EVENTFD2, [0, NONBLOCK_CLOEXEC])?)?;
        let epoll = Epoll { epoll, waker };
        epoll.add(&epoll.waker, WOKEN, 1)?;
        Ok(epoll)
    }

    /// Ends each wait from now on, with an event of [`WOKEN`].
    pub fn wake(&self) {
        const SYS_WRITE: i64 = 1;
        let one = 1u64;
        let arguments = [number(&self.waker), place(&raw const one), 8];
        // Of a Linux that is dead there is nothing to wake.
        let _ = call(self.waker.kernel(), SYS_WRITE, arguments);
    }

    /// Waits for these events from now on. A socket that is closed is removed by itself.
    pub fn add(&self, fd: &OwnedFd, token: u64, events: u32) -> Result<(), Errno> {
        self.change(1, fd, token, events)
    }

    /// The same for one that is there; what it is ready for is told again.
    pub fn modify(&self, fd: &OwnedFd, token: u64, events: u32) -> Result<(), Errno> {
        self.change(3, fd, token, events)
    }

    fn change(&self, how: i64, fd: &OwnedFd, token: u64, events: u32) -> Result<(), Errno> {
        let event = Event { events, token };
        let arguments = [number(&self.epoll), how, number(fd), place(&raw const event)];
        call(self.epoll.kernel(), SYS_EPOLL_CTL, arguments).map(drop)
    }

    /// Waits for so many milliseconds at most: how many have come.
    pub fn wait(&self, events: &mut [Event], milliseconds: i32) -> Result<usize, Errno> {
        let arguments = [
            number(&self.epoll),
            place(events.as_mut_ptr()),
            events.len() as i64,
            milliseconds.into(),
        ];
        call(self.epoll.kernel(), SYS_EPOLL_WAIT, arguments).map(amount)
    }
}
