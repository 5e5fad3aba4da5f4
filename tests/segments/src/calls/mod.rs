//! The calls of a script's program: what each hands to Linux ([`prepare`]), and what it must have returned ([`verify`]).
//!
//! Descriptors in a script are the script's own numbers; [`Files`] knows which of Linux's each is, and how far its streams are. What is
//! written is [`byte_at`](crate::segment::byte_at) its place, and what is read is compared with that.

pub mod info;
pub mod names;
pub mod raw;
pub mod values;

mod files;
mod messages;
mod polls;
mod returned;

pub use files::{File, Files};
pub use returned::verify;

use crate::run::Settings;
use crate::script::Fault;
use crate::script::values::{Argument, Call};
use crate::segment::bytes_from;
use raw::Memory;
use values::{address, length, number, option, sockaddr, word};

mod numbers {
    pub const READ: i64 = 0;
    pub const WRITE: i64 = 1;
    pub const CLOSE: i64 = 3;
    pub const POLL: i64 = 7;
    pub const IOCTL: i64 = 16;
    pub const READV: i64 = 19;
    pub const WRITEV: i64 = 20;
    pub const SOCKET: i64 = 41;
    pub const CONNECT: i64 = 42;
    pub const ACCEPT: i64 = 43;
    pub const SENDTO: i64 = 44;
    pub const RECVFROM: i64 = 45;
    pub const SENDMSG: i64 = 46;
    pub const RECVMSG: i64 = 47;
    pub const SHUTDOWN: i64 = 48;
    pub const BIND: i64 = 49;
    pub const LISTEN: i64 = 50;
    pub const SETSOCKOPT: i64 = 54;
    pub const GETSOCKOPT: i64 = 55;
    pub const FCNTL: i64 = 72;
    pub const EPOLL_WAIT: i64 = 232;
    pub const EPOLL_CTL: i64 = 233;
    pub const EPOLL_CREATE1: i64 = 291;
}

/// A call that can be made.
#[derive(Debug)]
pub struct Prepared {
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub memory: Vec<Memory>,
    /// What it does besides.
    pub effect: Effect,
}

/// What a call does to descriptors and streams when it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Makes a socket, in the network of the script.
    Socket,
    /// Makes a descriptor of another kind.
    Opens,
    /// Makes a socket of a connection.
    Accepts,
    /// Begins a connection, whether it succeeds or not.
    Connects(i64),
    /// Ends the descriptor.
    Closes(i64),
    /// So many bytes were sent as it says. `true`: it may begin a connection too.
    Sends(i64, bool),
    /// So many bytes came as it says, with these flags.
    Receives(i64, i32),
    /// Urgent data are among the others from now on.
    Inlines(i64),
}

impl Effect {
    /// The descriptor, if it begins a connection even if it fails.
    pub fn begins(self) -> Option<i64> {
        match self {
            Effect::Connects(fd) | Effect::Sends(fd, true) => Some(fd),
            _ => None,
        }
    }
}

/// A call's arguments, each asked for by its place.
struct Arguments<'a> {
    call: &'a Call,
    files: &'a Files,
    settings: &'a Settings,
}

impl<'a> Arguments<'a> {
    fn at(&self, place: usize) -> Result<&'a Argument, Fault> {
        self.call.arguments.get(place).ok_or_else(|| Fault {
            place: self.call.place,
            what: format!("{} has more than {place} arguments", self.call.name),
        })
    }

    fn number(&self, place: usize) -> Result<i64, Fault> {
        number(self.at(place)?, self.settings)
    }

    fn word(&self, place: usize) -> Result<i32, Fault> {
        word(self.at(place)?, self.settings)
    }

    fn plain(&self, place: usize) -> Result<Memory, Fault> {
        Ok(Memory::Number(self.number(place)?))
    }

    /// Linux's descriptor of the script's one.
    fn fd(&self, place: usize) -> Result<Memory, Fault> {
        Ok(Memory::Number(self.files.live(self.number(place)?)))
    }

    fn outgoing(&self, fd: i64, len: usize) -> Vec<u8> {
        bytes_from(self.files.get(fd).map_or(0, |file| file.sent), len)
    }
}

fn words(list: &[i32]) -> Memory {
    Memory::Bytes(list.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

/// Room for an address, and its length.
fn room() -> [Memory; 2] {
    [Memory::Bytes(vec![0; 128]), words(&[128])]
}

/// What a script's call hands to Linux.
pub fn prepare(call: &Call, files: &Files, settings: &Settings) -> Result<Prepared, Fault> {
    use numbers as n;
    let a = Arguments {
        call,
        files,
        settings,
    };
    let zero = || Memory::Number(0);
    let (number, memory, effect) = match call.name.as_str() {
        "socket" => {
            let family = if a.at(0)?.is_any() {
                settings.family().into()
            } else {
                a.number(0)?
            };
            let memory = vec![Memory::Number(family), a.plain(1)?, a.plain(2)?];
            (n::SOCKET, memory, Effect::Socket)
        }
        "bind" | "connect" => {
            let binds = call.name == "bind";
            let usual = if binds {
                settings.local()
            } else {
                settings.remote()
            };
            let to = sockaddr(address(a.at(1)?, usual, settings)?);
            let len = Memory::Number(to.len() as i64);
            let memory = vec![a.fd(0)?, Memory::Bytes(to), len];
            if binds {
                (n::BIND, memory, Effect::None)
            } else {
                (n::CONNECT, memory, Effect::Connects(a.number(0)?))
            }
        }
        "listen" => (n::LISTEN, vec![a.fd(0)?, a.plain(1)?], Effect::None),
        "accept" => {
            let [name, len] = room();
            (n::ACCEPT, vec![a.fd(0)?, name, len], Effect::Accepts)
        }
        "read" => {
            let len = length(a.at(2)?, settings)?;
            let memory = vec![a.fd(0)?, Memory::Bytes(vec![0; len]), Memory::Number(len as i64)];
            (n::READ, memory, Effect::Receives(a.number(0)?, 0))
        }
        "recv" | "recvfrom" => {
            let (len, flags) = (length(a.at(2)?, settings)?, a.word(3)?);
            let buffer = Memory::Bytes(vec![0; len]);
            let len = Memory::Number(len as i64);
            let memory = vec![
                a.fd(0)?,
                buffer,
                len,
                Memory::Number(flags.into()),
                zero(),
                zero(),
            ];
            (n::RECVFROM, memory, Effect::Receives(a.number(0)?, flags))
        }
        "write" => {
            let (fd, len) = (a.number(0)?, length(a.at(2)?, settings)?);
            let bytes = Memory::Bytes(a.outgoing(fd, len));
            let memory = vec![a.fd(0)?, bytes, Memory::Number(len as i64)];
            (n::WRITE, memory, Effect::Sends(fd, false))
        }
        "send" | "sendto" => {
            let (fd, len, flags) = (a.number(0)?, length(a.at(2)?, settings)?, a.word(3)?);
            let begins = flags & libc::MSG_FASTOPEN != 0;
            let to = if call.name == "sendto" {
                sockaddr(address(a.at(4)?, settings.remote(), settings)?)
            } else {
                Vec::new()
            };
            let memory = vec![
                a.fd(0)?,
                Memory::Bytes(a.outgoing(fd, len)),
                Memory::Number(len as i64),
                Memory::Number((flags | libc::MSG_NOSIGNAL).into()),
                Memory::Bytes(to.clone()),
                Memory::Number(to.len() as i64),
            ];
            (n::SENDTO, memory, Effect::Sends(fd, begins))
        }
        "readv" | "writev" | "sendmsg" | "recvmsg" => return messages::prepare(&a),
        "setsockopt" => {
            let value = option(a.at(3)?, settings)?;
            let len = Memory::Number(value.len() as i64);
            let inline = a.number(1)? == libc::SOL_SOCKET.into() && a.number(2)? == libc::SO_OOBINLINE.into();
            let memory = vec![a.fd(0)?, a.plain(1)?, a.plain(2)?, Memory::Bytes(value), len];
            let effect = if inline {
                Effect::Inlines(a.number(0)?)
            } else {
                Effect::None
            };
            (n::SETSOCKOPT, memory, effect)
        }
        "getsockopt" => {
            let [value, len] = room();
            let memory = vec![a.fd(0)?, a.plain(1)?, a.plain(2)?, value, len];
            (n::GETSOCKOPT, memory, Effect::None)
        }
        "fcntl" => {
            let flags = if call.arguments.len() > 2 {
                a.plain(2)?
            } else {
                zero()
            };
            (n::FCNTL, vec![a.fd(0)?, a.plain(1)?, flags], Effect::None)
        }
        "ioctl" => (n::IOCTL, vec![a.fd(0)?, a.plain(1)?, words(&[-1])], Effect::None),
        "poll" | "epoll_create" | "epoll_create1" | "epoll_ctl" | "epoll_wait" => return polls::prepare(&a),
        "shutdown" => (n::SHUTDOWN, vec![a.fd(0)?, a.plain(1)?], Effect::None),
        "close" => (n::CLOSE, vec![a.fd(0)?], Effect::Closes(a.number(0)?)),
        other => {
            return Err(Fault {
                place: call.place,
                what: format!("this runner has no call '{other}'"),
            });
        }
    };
    Ok(Prepared {
        number,
        memory,
        effect,
    })
}
