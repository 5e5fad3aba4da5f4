//! Messages that are sent and received with more than their bytes; and streams' calls that have an address.
//!
//! What streams send and receive without one is the machine's, at the program's end.

use super::{Answer, Result, is_nonblocking, number};
use crate::linux::{self, Envelope};
use crate::notify::Call;
use crate::proxy::{Carries, Phase, Proxy};
use crate::supervisor::Supervisor;
use lkl::Errno;
use rustix::net::{SendFlags, send};
use std::sync::Arc;

/// No message is longer.
const LONGEST: usize = 256 << 10;
/// `struct msghdr`, and `struct mmsghdr`, which has a length behind it.
const HEAD: usize = 56;
const HEAD_AND_LEN: u64 = 64;
const MSG_WAITFORONE: i32 = 0x10000;

/// `struct msghdr`, as the program has it.
struct Head {
    at: u64,
    name: u64,
    name_len: usize,
    pieces: Vec<(u64, usize)>,
    control: u64,
    control_len: usize,
}

impl Head {
    fn read(call: &Call, at: u64) -> Result<Head> {
        let bytes = call.bytes(at, HEAD)?;
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_ne_bytes)
        };
        let count = usize::try_from(word(24)).unwrap_or(usize::MAX);
        if count > 1024 {
            return Err(libc::EMSGSIZE);
        }
        let list = call.bytes(word(16), count * 16)?;
        let pieces = list.chunks_exact(16).map(|piece| {
            let (base, len) = piece.split_at(8);
            let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_ne_bytes);
            (number(base), usize::try_from(number(len)).unwrap_or(usize::MAX))
        });
        Ok(Head {
            at,
            name: word(0),
            // An int in the low half.
            name_len: usize::try_from(word(8) & 0xffff_ffff).unwrap_or(0).min(128),
            pieces: pieces.collect(),
            control: word(32),
            control_len: usize::try_from(word(40)).unwrap_or(usize::MAX),
        })
    }

    fn len(&self) -> usize {
        self.pieces
            .iter()
            .fold(0, |sum, (_, len)| usize::saturating_add(sum, *len))
    }

    /// What is to be sent, in one piece.
    fn gather(&self, call: &Call) -> Result<Vec<u8>> {
        let len = self.len();
        if len > LONGEST {
            return Err(libc::EMSGSIZE);
        }
        let mut bytes = vec![0; len];
        let mut rest = bytes.as_mut_slice();
        for (at, len) in &self.pieces {
            let (piece, further) = rest.split_at_mut((*len).min(rest.len()));
            call.read(*at, piece)?;
            rest = further;
        }
        Ok(bytes)
    }

    /// Writes what was received to where it is wanted.
    fn scatter(&self, call: &Call, mut bytes: &[u8]) -> Result<()> {
        for (at, len) in &self.pieces {
            let (piece, further) = bytes.split_at((*len).min(bytes.len()));
            call.write(*at, piece)?;
            bytes = further;
        }
        Ok(())
    }

    /// Writes what came beside the bytes.
    fn tell(&self, call: &Call, envelope: &Envelope, mut flags: i32) -> Result<()> {
        let name = envelope.from.as_bytes();
        if self.name != 0 {
            let short = name.get(..self.name_len.min(name.len())).unwrap_or(name);
            call.write(self.name, short)?;
            let len = u32::try_from(name.len()).unwrap_or(0);
            call.write(self.at + 8, &len.to_ne_bytes())?;
        }
        let control = envelope.control.as_slice();
        let fits = control
            .get(..self.control_len.min(control.len()))
            .unwrap_or(control);
        if fits.len() < control.len() {
            flags |= libc::MSG_CTRUNC;
        }
        call.write(self.control, fits)?;
        call.write(self.at + 40, &(fits.len() as u64).to_ne_bytes())?;
        call.write(self.at + 48, &flags.to_ne_bytes())
    }
}

/// What a call on a stream that the machine cannot do itself is told: the socket has no peer.
fn without_peer(proxy: &Proxy, errno: i32) -> Option<Result> {
    match proxy.state().phase {
        Phase::Connected => None,
        _ => Some(Err(errno)),
    }
}

impl Supervisor {
    pub(super) fn send_to(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        if proxy.carries == Carries::Stream {
            return send_to_peer(call, proxy);
        }
        let len = usize::try_from(call.word(2)).unwrap_or(usize::MAX);
        if len > LONGEST {
            return Err(libc::EMSGSIZE);
        }
        let to = call.address(4)?;
        let bytes = call.bytes(call.word(1), len)?;
        self.send_one(call, proxy, to.as_bytes(), &bytes, &[], call.int(3))
            .map(|sent| self.or_wait(proxy, sent))
    }

    /// Sends a message. `None`: the program waits until there is room.
    fn send_one(
        &self,
        call: &Call,
        proxy: &Arc<Proxy>,
        to: &[u8],
        bytes: &[u8],
        control: &[u8],
        flags: i32,
    ) -> Result<Option<i64>> {
        // What was written before goes first.
        while self.pump_messages_up(proxy) {}
        if let Some(errno) = proxy.state().error.take() {
            return Err(errno);
        }
        match linux::send_message(&proxy.socket, to, bytes, control, flags) {
            Ok(len) => Ok(Some(i64::try_from(len).unwrap_or(i64::MAX))),
            Err(Errno::EAGAIN) => {
                if flags & libc::MSG_DONTWAIT != 0 || is_nonblocking(&call.copy_of(call.int(0))?) {
                    return Err(libc::EAGAIN);
                }
                Ok(None)
            }
            Err(errno) => Err(number(errno)),
        }
    }

    fn or_wait(&self, proxy: &Arc<Proxy>, sent: Option<i64>) -> Answer {
        match sent {
            Some(len) => Answer::Value(len),
            None => Answer::Wait(Arc::clone(proxy), proxy.state().write_timeout),
        }
    }

    pub(super) fn send_message(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        if proxy.carries == Carries::Stream {
            return without_peer(proxy, libc::EPIPE).unwrap_or(Ok(Answer::Pass));
        }
        self.send_headed(call, proxy, call.word(1), call.int(2))
            .map(|sent| self.or_wait(proxy, sent))
    }

    fn send_headed(&self, call: &Call, proxy: &Arc<Proxy>, at: u64, flags: i32) -> Result<Option<i64>> {
        let head = Head::read(call, at)?;
        let bytes = head.gather(call)?;
        let to = match head.name {
            0 => Vec::new(),
            name => call.bytes(name, head.name_len)?,
        };
        if head.control_len > LONGEST {
            return Err(libc::ENOBUFS);
        }
        let control = call.bytes(head.control, head.control_len)?;
        self.send_one(call, proxy, &to, &bytes, &control, flags)
    }

    pub(super) fn send_messages(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        if proxy.carries == Carries::Stream {
            return without_peer(proxy, libc::EPIPE).unwrap_or(Ok(Answer::Pass));
        }
        let count = u64::from(call.int(2).cast_unsigned().min(1024));
        let mut done = 0;
        while done < count {
            let at = call.word(1) + done * HEAD_AND_LEN;
            // Only the first one waits, and only its error is told: the others have the next call.
            let flags = call.int(3) | if done > 0 { libc::MSG_DONTWAIT } else { 0 };
            match self.send_headed(call, proxy, at, flags) {
                Ok(Some(len)) => {
                    let len = u32::try_from(len).unwrap_or(0);
                    call.write(at + HEAD as u64, &len.to_ne_bytes())?;
                }
                Ok(None) => return Ok(self.or_wait(proxy, None)),
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            done += 1;
        }
        Ok(Answer::Value(done.cast_signed()))
    }

    pub(super) fn receive_from(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        if proxy.carries == Carries::Stream {
            return without_peer(proxy, libc::ENOTCONN).unwrap_or(Ok(Answer::Pass));
        }
        let room = usize::try_from(call.word(2)).unwrap_or(usize::MAX).min(LONGEST);
        let flags = call.int(3);
        let mut buffer = vec![0; room];
        let Some((len, envelope)) = self.receive_one(call, proxy, &mut buffer, flags)? else {
            return Ok(Answer::Wait(Arc::clone(proxy), proxy.state().read_timeout));
        };
        let copied = len.min(room);
        call.write(call.word(1), buffer.get(..copied).unwrap_or(&buffer))?;
        call.write_address(4, envelope.from.as_bytes())?;
        Ok(Answer::Value(returned(len, copied, flags)))
    }

    /// Receives a message: its whole length. `None`: the program waits until there is one.
    fn receive_one(
        &self,
        call: &Call,
        proxy: &Arc<Proxy>,
        buffer: &mut [u8],
        flags: i32,
    ) -> Result<Option<(usize, Envelope)>> {
        if flags & libc::MSG_ERRQUEUE != 0 {
            let received = linux::receive_message(&proxy.socket, buffer, flags);
            return received.map(Some).map_err(number);
        }
        let near = call.copy_of(call.int(0))?;
        match self.next_message(proxy, &near, buffer, flags) {
            Ok(received) => Ok(Some(received)),
            Err(libc::EAGAIN) => {
                if let Some(errno) = proxy.state().error.take() {
                    return Err(errno);
                }
                if flags & libc::MSG_DONTWAIT != 0 || is_nonblocking(&near) {
                    return Err(libc::EAGAIN);
                }
                Ok(None)
            }
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn receive_message(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        if proxy.carries == Carries::Stream {
            return without_peer(proxy, libc::ENOTCONN).unwrap_or(Ok(Answer::Pass));
        }
        match self.receive_headed(call, proxy, call.word(1), call.int(2))? {
            Some(len) => Ok(Answer::Value(len)),
            None => Ok(Answer::Wait(Arc::clone(proxy), proxy.state().read_timeout)),
        }
    }

    fn receive_headed(&self, call: &Call, proxy: &Arc<Proxy>, at: u64, flags: i32) -> Result<Option<i64>> {
        let head = Head::read(call, at)?;
        let room = head.len().min(LONGEST);
        let mut buffer = vec![0; room];
        let Some((len, envelope)) = self.receive_one(call, proxy, &mut buffer, flags)? else {
            return Ok(None);
        };
        let copied = len.min(room);
        head.scatter(call, buffer.get(..copied).unwrap_or(&buffer))?;
        let mut told = envelope.flags & !libc::MSG_CTRUNC;
        if len > room {
            told |= libc::MSG_TRUNC;
        }
        head.tell(call, &envelope, told)?;
        Ok(Some(returned(len, copied, flags)))
    }

    /// As many as are there, up to as many as there is room for: it waits for the first alone.
    pub(super) fn receive_messages(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        if proxy.carries == Carries::Stream {
            return without_peer(proxy, libc::ENOTCONN).unwrap_or(Ok(Answer::Pass));
        }
        let count = u64::from(call.int(2).cast_unsigned().min(1024));
        let mut done = 0;
        while done < count {
            let at = call.word(1) + done * HEAD_AND_LEN;
            let flags = (call.int(3) & !MSG_WAITFORONE) | if done > 0 { libc::MSG_DONTWAIT } else { 0 };
            match self.receive_headed(call, proxy, at, flags) {
                Ok(Some(len)) => {
                    let len = u32::try_from(len).unwrap_or(0);
                    call.write(at + HEAD as u64, &len.to_ne_bytes())?;
                }
                Ok(None) => return Ok(Answer::Wait(Arc::clone(proxy), proxy.state().read_timeout)),
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            done += 1;
        }
        Ok(Answer::Value(done.cast_signed()))
    }
}

/// What a receiving call returns.
fn returned(len: usize, copied: usize, flags: i32) -> i64 {
    let value = if flags & libc::MSG_TRUNC != 0 { len } else { copied };
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A stream's `sendto` with an address: it goes to the peer, as Linux has it. The machine would refuse the address.
fn send_to_peer(call: &Call, proxy: &Proxy) -> Result {
    if call.int(3) & libc::MSG_FASTOPEN != 0 {
        return Err(libc::EOPNOTSUPP);
    }
    if let Some(refused) = without_peer(proxy, libc::EPIPE) {
        return refused;
    }
    let near = call.copy_of(call.int(0))?;
    let len = usize::try_from(call.word(2)).unwrap_or(usize::MAX).min(LONGEST);
    let bytes = call.bytes(call.word(1), len)?;
    match send(&near, &bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(len) => Ok(Answer::Value(i64::try_from(len).unwrap_or(i64::MAX))),
        Err(errno) => Err(errno.raw_os_error()),
    }
}
