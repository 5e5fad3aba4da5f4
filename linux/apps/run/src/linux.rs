//! The system calls of sockets that a program has made, made in the Linux that is carried: bytes in, bytes out, and nothing that
//! waits. Most are crate lkl-net's; the others are here.
//!
//! Addresses, options and control messages pass as they are: the program and the Linux here have one binary interface.

// UNSAFETY: passes pointers to Linux.

#![allow(unsafe_code)]

use lkl::{Errno, OwnedFd};
use lkl_net::Namespace;
use lkl_net::raw::{self, EpollChange, NONBLOCK};
pub use lkl_net::raw::{
    End, EpollEvent as Event, RawAddress as Address, bind, connect, listen, name, option, set_option,
    shutdown,
};

const SYS_IOCTL: i64 = 16;
const SYS_SENDMSG: i64 = 46;
const SYS_RECVMSG: i64 = 47;
const SYS_SETSOCKOPT: i64 = 54;

/// `MSG_DONTWAIT | MSG_NOSIGNAL`
const QUIETLY: i32 = 0x40 | 0x4000;

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

fn place<T: ?Sized>(place: *const T) -> i64 {
    place.cast::<u8>().expose_provenance().cast_signed() as i64
}

fn amount(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A call of a descriptor's, whose pointers are to this process' memory and outlive it.
fn call<const N: usize>(fd: &OwnedFd, call: i64, arguments: [i64; N]) -> Result<u64, Errno> {
    let mut words = [i64::from(fd.raw()), 0, 0, 0, 0, 0];
    for (word, argument) in words.iter_mut().skip(1).zip(arguments) {
        *word = argument;
    }
    // SAFETY: private to this module, whose functions pass memory that is theirs, with its length.
    unsafe { fd.kernel().syscall(call, words) }
}

/// A socket of that network. Each socket here never waits, whatever the program's descriptor does.
pub fn socket(by: &Namespace, family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    raw::socket(by, family, kind | NONBLOCK, protocol)
}

/// A connection that waits, and its peer.
pub fn accept(fd: &OwnedFd) -> Result<(OwnedFd, Address), Errno> {
    raw::accept(fd, NONBLOCK)
}

/// Sends what is taken at once.
pub fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    raw::send(fd, bytes, QUIETLY, None)
}

/// Receives what is there. 0 at the end of a stream.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    raw::recv(fd, buffer, QUIETLY)
}

/// What of `events`, in `poll()`'s bits, is there now.
pub fn poll(fd: &OwnedFd, events: i16) -> Result<i16, Errno> {
    raw::poll(fd, events, 0)
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
        SOL_SOCKET.into(),
        option.into(),
        place(&raw const program),
        size_of::<Program>() as i64,
    ];
    call(fd, SYS_SETSOCKOPT, arguments).map(drop)
}

/// A request whose argument is plain bytes, without pointers, at least as many as it needs.
pub fn control(fd: &OwnedFd, request: u32, argument: &mut [u8]) -> Result<u64, Errno> {
    let arguments = [request.into(), place(argument.as_mut_ptr())];
    call(fd, SYS_IOCTL, arguments)
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
    let arguments = [request.into(), place(argument.as_mut_ptr())];
    call(fd, SYS_IOCTL, arguments)
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
    let arguments = [place(&raw const message), i64::from(flags | QUIETLY)];
    call(fd, SYS_SENDMSG, arguments).map(amount)
}

/// Receives a message, with what came beside it. With `MSG_TRUNC` it is its whole length, which may be more than the buffer's.
pub fn receive_message(fd: &OwnedFd, buffer: &mut [u8], flags: i32) -> Result<(usize, Envelope), Errno> {
    let mut from = Address::room();
    let (name, _) = from.place();
    // Aligned as control messages are.
    let mut control = [0u64; 128];
    let mut piece = Piece {
        base: place(buffer.as_mut_ptr()),
        len: buffer.len(),
    };
    let mut message = Message {
        name: place(name),
        name_len: 128,
        pieces: place(&raw mut piece),
        piece_count: 1,
        control: place(control.as_mut_ptr()),
        control_len: size_of_val(&control),
        flags: 0,
    };
    let arguments = [place(&raw mut message), i64::from(flags | QUIETLY)];
    let len = call(fd, SYS_RECVMSG, arguments).map(amount)?;
    from.set_len(message.name_len);
    let mut bytes: Vec<u8> = control.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes.truncate(message.control_len);
    let envelope = Envelope {
        from,
        control: bytes,
        flags: message.flags,
    };
    Ok((len, envelope))
}

/// An epoll of Linux's.
pub struct Epoll {
    epoll: OwnedFd,
    waker: OwnedFd,
}

/// The waker's token.
pub const WOKEN: u64 = u64::MAX;

impl Epoll {
    pub fn new(by: &Namespace) -> Result<Epoll, Errno> {
        let (epoll, waker) = (raw::epoll(by)?, raw::eventfd(by)?);
        let epoll = Epoll { epoll, waker };
        epoll.add(&epoll.waker, WOKEN, 1)?;
        Ok(epoll)
    }

    /// Ends each wait from now on, with an event of [`WOKEN`].
    pub fn wake(&self) {
        // Of a Linux that is dead there is nothing to wake.
        let _ = raw::write(&self.waker, &1u64.to_ne_bytes());
    }

    /// Waits for these events from now on. A socket that is closed is removed by itself.
    pub fn add(&self, fd: &OwnedFd, data: u64, events: u32) -> Result<(), Errno> {
        raw::epoll_change(&self.epoll, EpollChange::Add, fd, Event { events, data })
    }

    /// The same for one that is there; what it is ready for is told again.
    pub fn modify(&self, fd: &OwnedFd, data: u64, events: u32) -> Result<(), Errno> {
        raw::epoll_change(&self.epoll, EpollChange::Modify, fd, Event { events, data })
    }

    /// Waits for so many milliseconds at most: how many have come.
    pub fn wait(&self, events: &mut [Event], milliseconds: i32) -> Result<usize, Errno> {
        loop {
            match raw::epoll_wait(&self.epoll, events, milliseconds) {
                Err(Errno::EINTR) => {}
                done => return done,
            }
        }
    }
}
