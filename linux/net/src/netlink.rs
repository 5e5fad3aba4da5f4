//! Netlink: requests to Linux's own ends, and what they answer.
//!
//! A [`Request`] is a message under construction: its type, a head that each family has of its own, and attributes, which may
//! contain attributes. [`Netlink::exchange`] sends it and gathers the answers until Linux says that these were all. What Linux
//! has to say about a refusal, in words, is part of the error.
//!
//! Messages are built here and not by a crate since those that there are take their numbers from the host's C library, and
//! Windows has others or none. On Linux hosts their messages go through [`Netlink::exchange_bytes`] as well.

use crate::call;
use crate::error::{about_because, io_error};
use crate::namespace::Namespace;
use crate::socket::{Family, Protocol, Socket, Type};
use lkl::Errno;
use std::io;
use std::sync::Mutex;

/// `NLM_F_REQUEST`
const REQUEST: u16 = 1;
/// `NLM_F_MULTI`
const MULTI: u16 = 2;
/// `NLM_F_ACK`
const ACK: u16 = 4;
/// `NLM_F_DUMP_INTR`
const INTERRUPTED: u16 = 16;
/// `NLM_F_REPLACE`: what is there is changed.
pub const REPLACE: u16 = 0x100;
/// `NLM_F_EXCL`: not if it is there.
pub const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`: if it is not there.
pub const CREATE: u16 = 0x400;
/// `NLM_F_DUMP`: all of them.
pub const DUMP: u16 = 0x300;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Bytes of a message's head.
const HEAD: usize = 16;

/// The most that an attribute's length can say.
const LONGEST: usize = 0xffff;

/// A message under construction.
#[derive(Debug, Clone)]
pub struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
    /// An attribute was longer than one can be.
    too_long: bool,
    /// It is not answered, as a batch's ends are not.
    silent: bool,
}

impl Request {
    /// A request of a type, with flags besides "request"; `head` is the family's own structure.
    pub fn new(kind: u16, flags: u16, head: &[u8]) -> Request {
        let mut body = head.to_vec();
        pad(&mut body);
        Request {
            kind,
            flags,
            body,
            too_long: false,
            silent: false,
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Request {
        self.push(kind, value);
        self
    }

    /// Adds one that is a text, which ends with a NUL.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Request {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Adds one that is a number of 32 bits in the machine's order.
    #[must_use]
    pub fn with_u32(self, kind: u16, value: u32) -> Request {
        self.with(kind, &value.to_ne_bytes())
    }

    /// Adds one that contains attributes, which `fill` adds.
    #[must_use]
    pub fn nested(mut self, kind: u16, fill: impl FnOnce(Attributes) -> Attributes) -> Request {
        const NESTED: u16 = 0x8000;
        let inner = fill(Attributes::default());
        self.too_long |= inner.too_long;
        self.push(kind | NESTED, &inner.bytes);
        self
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        self.too_long |= !push(&mut self.body, kind, value);
    }

    fn bytes(&self, flags: u16, sequence: u32) -> Result<Vec<u8>, Errno> {
        if self.too_long {
            return Err(Errno::EINVAL);
        }
        let len = u32::try_from(HEAD + self.body.len()).map_err(|_| Errno::EINVAL)?;
        let flags = self.flags | REQUEST | flags;
        let head = [
            &len.to_ne_bytes()[..],
            &self.kind.to_ne_bytes(),
            &flags.to_ne_bytes(),
            &sequence.to_ne_bytes(),
            &[0; 4],
            &self.body,
        ];
        Ok(head.concat())
    }
}

/// Attributes inside of an attribute.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Attributes {
    /// Adds one.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Attributes {
        self.too_long |= !push(&mut self.bytes, kind, value);
        self
    }

    /// Adds a text.
    #[must_use]
    pub fn with_text(self, kind: u16, text: &str) -> Attributes {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// Adds a number in the machine's order.
    #[must_use]
    pub fn with_u32(self, kind: u16, value: u32) -> Attributes {
        self.with(kind, &value.to_ne_bytes())
    }

    /// Adds one that contains attributes.
    #[must_use]
    pub fn nested(mut self, kind: u16, fill: impl FnOnce(Attributes) -> Attributes) -> Attributes {
        let inner = fill(Attributes::default());
        self.too_long |= inner.too_long;
        self.with(kind | 0x8000, &inner.bytes)
    }

    /// Bytes that are no attribute: the head that some options begin with.
    #[must_use]
    pub fn head(mut self, bytes: &[u8]) -> Attributes {
        self.bytes.extend_from_slice(bytes);
        pad(&mut self.bytes);
        self
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// False when it is too long for one.
fn push(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) -> bool {
    let Some(len) = u16::try_from(value.len() + 4).ok() else {
        return false;
    };
    debug_assert!(usize::from(len) <= LONGEST);
    bytes.extend_from_slice(&len.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    pad(bytes);
    true
}

/// The attributes in a piece of an answer: their types, and their values.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const KIND: u16 = 0x3fff;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & KIND, value))
    })
}

/// One of an answer's attributes.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// A number of the machine's order at the start of a value.
pub(crate) fn u32_of(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A text, without its NUL.
pub(crate) fn text_of(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or(value);
    String::from_utf8_lossy(text).into_owned()
}

/// An answer: its type, and what is behind its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The type of the message.
    pub kind: u16,
    /// The family's structure, and attributes.
    pub body: Vec<u8>,
}

/// A connection to one of Linux's ends.
#[derive(Debug)]
pub struct Netlink {
    socket: Socket,
    /// The last request's number. Whoever holds it has the socket.
    sequence: Mutex<u32>,
}

impl Netlink {
    /// To the end of that protocol, in that network.
    pub fn new(by: &Namespace, protocol: Protocol) -> io::Result<Netlink> {
        Netlink::over(Socket::new_in(by, Family::NETLINK, Type::RAW, protocol)?)
    }

    /// By a netlink socket that there is.
    pub fn over(socket: Socket) -> io::Result<Netlink> {
        const SOL_NETLINK: i32 = 270;
        const NETLINK_CAP_ACK: i32 = 10;
        const NETLINK_EXT_ACK: i32 = 11;
        // Reasons in words, and no copy of the request in front of them.
        socket.set_number(SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
        socket.set_number(SOL_NETLINK, NETLINK_CAP_ACK, 1)?;
        let sequence = Mutex::new(0);
        Ok(Netlink { socket, sequence })
    }

    /// Sends a request, and waits for all of its answers.
    ///
    /// # Errors
    /// Linux's, about `thing`.
    pub fn exchange(&self, thing: &str, request: &Request) -> io::Result<Vec<Answer>> {
        // A dump that something has changed under is taken again.
        for _ in 0..8 {
            let (answers, disturbed) = self.exchange_once(thing, std::slice::from_ref(request))?;
            if !disturbed {
                return Ok(answers);
            }
        }
        Err(about_because(thing, Errno::EAGAIN, "it keeps changing"))
    }

    /// Sends requests of one of netfilter's subsystems as one: they are done as a whole or not at all.
    pub fn batch(&self, thing: &str, subsystem: u8, requests: &[Request]) -> io::Result<()> {
        const BATCH_BEGIN: u16 = 16;
        const BATCH_END: u16 = 17;
        let end = |kind| Request {
            silent: true,
            ..Request::new(kind, 0, &[0, 0, 0, subsystem])
        };
        let all = [&[end(BATCH_BEGIN)], requests, &[end(BATCH_END)]].concat();
        self.exchange_once(thing, &all).map(drop)
    }

    fn exchange_once(&self, thing: &str, requests: &[Request]) -> io::Result<(Vec<Answer>, bool)> {
        let mut sequence = self
            .sequence
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let (mut bytes, mut acks) = (Vec::new(), 0);
        for request in requests {
            *sequence = sequence.wrapping_add(1);
            let ack = if request.silent { 0 } else { ACK };
            acks += u32::from(ack != 0);
            bytes.extend(
                request
                    .bytes(ack, *sequence)
                    .map_err(|errno| about_because(thing, errno, "a value is too long"))?,
            );
        }
        self.send_all(&bytes)?;
        self.gather(thing, acks)
    }

    /// Sends messages that were built elsewhere, each of which asks for an acknowledgement or a dump, and waits for all answers.
    pub fn exchange_bytes(&self, thing: &str, message: &[u8]) -> io::Result<Vec<Answer>> {
        let _alone = self
            .sequence
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.send_all(message)?;
        self.gather(thing, 1).map(|(answers, _)| answers)
    }

    fn send_all(&self, bytes: &[u8]) -> io::Result<()> {
        match self.socket.send(bytes)? {
            sent if sent == bytes.len() => Ok(()),
            _ => Err(io_error(Errno::EIO)),
        }
    }

    /// The next datagram, however long.
    fn receive(&self) -> io::Result<Vec<u8>> {
        let len = self.socket.recv_with(&mut [], call::MSG_PEEK | call::MSG_TRUNC)?;
        let mut bytes = vec![0; len];
        let len = self.socket.recv(&mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Answers until as many acknowledgements have come; whether a dump was disturbed. The first refusal is told when
    /// all have come, so that the next request finds the socket empty.
    fn gather(&self, thing: &str, acks: u32) -> io::Result<(Vec<Answer>, bool)> {
        let (mut answers, mut disturbed, mut left, mut refused) = (Vec::new(), false, acks, None);
        while left != 0 {
            let bytes = self.receive()?;
            for (kind, flags, body) in messages(&bytes) {
                disturbed |= flags & INTERRUPTED != 0;
                match kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        left = left.saturating_sub(1);
                        refused = refused.or_else(|| refusal(thing, flags, body));
                    }
                    kind => answers.push(Answer {
                        kind,
                        body: body.to_vec(),
                    }),
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Ok((answers, disturbed)),
        }
    }
}

/// The messages in what was received: type, flags, what is behind the head.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::try_from(u32_of(rest)?).ok()?;
        let body = rest.get(HEAD..len)?;
        let kind = u16::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        let flags = u16::from_ne_bytes(*rest.get(6..)?.first_chunk()?);
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, flags, body))
    })
}

/// The error in an acknowledgement, if it is one.
fn refusal(thing: &str, flags: u16, body: &[u8]) -> Option<io::Error> {
    const CAPPED: u16 = 0x100;
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let code = i32::from_ne_bytes(*body.first_chunk()?);
    let errno = Errno::from_number(u16::try_from(code.checked_neg()?).ok()?)?;
    // An error of a dump has its words right behind the code; another one has the request's head between, and where that was
    // not asked to be left away all of the request.
    let words = match flags & (MULTI | CAPPED) {
        flags if flags & MULTI != 0 => body.get(4..),
        flags if flags & CAPPED != 0 => body.get(4 + HEAD..),
        _ => {
            let request = body
                .get(4..)
                .and_then(u32_of)
                .and_then(|len| usize::try_from(len).ok());
            request.and_then(|len| body.get(4 + len.next_multiple_of(4)..))
        }
    };
    let words = words.and_then(|words| attribute(words, NLMSGERR_ATTR_MSG));
    Some(about_because(
        thing,
        errno,
        &words.map(text_of).unwrap_or_default(),
    ))
}

/// One of generic netlink's families: a connection, and the number that Linux has given to the family.
///
/// A family may also speak without being asked. A program that serves one answers what [`Generic::receive`] brings by
/// [`Generic::send`].
#[derive(Debug)]
pub struct Generic {
    netlink: Netlink,
    family: u16,
    name: &'static str,
}

/// A message of a generic family's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about: the family's number for it.
    pub command: u8,
    /// Its attributes.
    pub attributes: Vec<u8>,
}

impl Generic {
    /// To the family of that name.
    ///
    /// # Errors
    /// `NotFound` when Linux has none.
    pub fn new(by: &Namespace, name: &'static str) -> io::Result<Generic> {
        const GENL_ID_CTRL: u16 = 16;
        const CTRL_CMD_GETFAMILY: u8 = 3;
        const CTRL_ATTR_FAMILY_ID: u16 = 1;
        const CTRL_ATTR_FAMILY_NAME: u16 = 2;
        let netlink = Netlink::new(by, Protocol::GENERIC)?;
        let request = Request::new(GENL_ID_CTRL, 0, &[CTRL_CMD_GETFAMILY, 1, 0, 0])
            .with_text(CTRL_ATTR_FAMILY_NAME, name);
        let answers = netlink.exchange(name, &request)?;
        let body = answers.first().and_then(|answer| answer.body.get(4..));
        let family = body.and_then(|body| attribute(body, CTRL_ATTR_FAMILY_ID)?.first_chunk());
        match family {
            Some(family) => Ok(Generic {
                netlink,
                family: u16::from_ne_bytes(*family),
                name,
            }),
            None => Err(about_because(name, Errno::EOPNOTSUPP, "")),
        }
    }

    /// A request of the family's.
    pub fn request(&self, command: u8, flags: u16) -> Request {
        Request::new(self.family, flags, &[command, 1, 0, 0])
    }

    /// Sends a request and waits for all of its answers: their attributes. Not while another thread is in [`Generic::receive`].
    ///
    /// # Errors
    /// Linux's, about `thing`.
    pub fn exchange(&self, thing: &str, request: &Request) -> io::Result<Vec<Vec<u8>>> {
        let thing = format!("{} {thing}", self.name);
        let answers = self.netlink.exchange(&thing, request)?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| answer.body.get(4..).map(<[u8]>::to_vec))
            .collect())
    }

    /// Sends a request that is not to be acknowledged. What Linux has against it is not told.
    ///
    /// # Errors
    /// EINVAL for a value that is too long.
    pub fn send(&self, request: &Request) -> io::Result<()> {
        let mut sequence = self
            .netlink
            .sequence
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *sequence = sequence.wrapping_add(1);
        let bytes = request.bytes(0, *sequence).map_err(io_error)?;
        self.netlink.send_all(&bytes)
    }

    /// Waits for what the family says by itself, no longer than `timeout`: then there is nothing in it.
    ///
    /// # Errors
    /// ENODEV when Linux is dead or halted; ENOBUFS when it had no room for something that was said.
    pub fn receive(&self, timeout: std::time::Duration) -> io::Result<Vec<Event>> {
        const POLLIN: i16 = 1;
        if self.netlink.socket.wait_for(POLLIN, Some(timeout))? == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.netlink.receive()?;
        let events = messages(&bytes).filter_map(|(kind, _, body)| {
            let (head, attributes) = body.split_at_checked(4)?;
            (kind == self.family).then(|| Event {
                command: head.first().copied().unwrap_or(0),
                attributes: attributes.to_vec(),
            })
        });
        Ok(events.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_went_and_garbage_ends_the_list() {
        let request = Request::new(1, 0, &[])
            .with(5, b"abc")
            .nested(6, |inner| inner.with_u32(1, 7).with_text(2, "x"));
        let found: Vec<(u16, &[u8])> = attributes(&request.body).collect();
        assert_eq!(found[0], (5, &b"abc"[..]));
        let inner: Vec<(u16, &[u8])> = attributes(found[1].1).collect();
        assert_eq!(inner, [(1, &7u32.to_ne_bytes()[..]), (2, b"x\0")]);
        for len in [0, 3, 4, 200] {
            let garbage = [len, 0, 1, 0, 9, 9];
            assert!(attributes(&garbage).count() <= 1, "{len}");
        }
        assert!(messages(&[255; 40]).next().is_none());
        assert!(messages(&[0; 16]).next().is_none());
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        let long = Request::new(1, 0, &[]).with(1, &vec![0; 65_536]);
        assert_eq!(long.bytes(0, 1), Err(Errno::EINVAL));
        let inside = Request::new(1, 0, &[]).nested(1, |inner| inner.with(1, &vec![0; 70_000]));
        assert_eq!(inside.bytes(0, 1), Err(Errno::EINVAL));
    }
}
