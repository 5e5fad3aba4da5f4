//! Messages: datagrams, raw packets, netlink, frames.
//!
//! The program reads them from its end as they are. What belongs beside one (who sent it, control messages) stays with the supervisor, and is
//! given to calls that ask for it. So that it is known whose message the program reads next, one message at a time is between, unless
//! each comes from the same peer. An error of the socket's is an empty message, so that the program's waits end; calls that the
//! supervisor sees are told the error in its place.

use crate::linux::{self, Envelope};
use crate::notify::unread;
use crate::proxy::{Flow, Phase, Proxy};
use crate::supervisor::{Supervisor, with_buffer};
use lkl::Errno;
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many messages of one proxy are moved before others have their turn.
const TURN: usize = 64;
const MSG_PEEK: i32 = libc::MSG_PEEK;
const MSG_TRUNC: i32 = libc::MSG_TRUNC;

/// Gives the program's end a message; `false`: there is no room.
fn put(proxy: &Proxy, bytes: &[u8]) -> bool {
    loop {
        match send(&proxy.host, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => return false,
            // One that is too long for the machine is lost, as is any to a program that has gone.
            _ => return true,
        }
    }
}

impl Supervisor {
    /// Moves what Linux has received. Whether there may be more at once.
    pub fn pump_messages_down(&self, proxy: &Arc<Proxy>) -> bool {
        with_buffer(|buffer| {
            let mut down = proxy.down();
            for _ in 0..TURN {
                if let Some(envelope) = down.rest_envelope.take() {
                    if !put(proxy, &down.rest) {
                        down.rest_envelope = Some(envelope);
                        return false;
                    }
                    down.rest = Vec::new();
                    down.envelope = Some(envelope);
                }
                if !down.wide && unread(proxy.host.as_fd()) > 0 {
                    return false;
                }
                match take(proxy, buffer) {
                    Ok((len, envelope)) => {
                        let bytes = buffer.get(..len).unwrap_or(buffer);
                        if put(proxy, bytes) {
                            down.envelope = Some(envelope);
                        } else {
                            down.rest = bytes.to_vec();
                            down.rest_envelope = Some(envelope);
                            return false;
                        }
                    }
                    Err(Errno::EAGAIN) => return false,
                    Err(errno) => {
                        proxy.state().error = Some(errno.number().into());
                        // A program that does not read what is between has something to wake up for already.
                        if put(proxy, &[]) {
                            down.marks += 1;
                        }
                        // The next one may be there already; a Linux that is dead has none.
                        return errno != Errno::ENODEV;
                    }
                }
            }
            true
        })
    }

    /// Moves what the program has written without an address. Whether there may be more at once.
    pub fn pump_messages_up(&self, proxy: &Arc<Proxy>) -> bool {
        with_buffer(|buffer| {
            let mut up = proxy.up();
            for _ in 0..TURN {
                if up.rest_envelope.take().is_some() {
                    match linux::send(&proxy.socket, &up.rest) {
                        Err(Errno::EAGAIN) => {
                            up.rest_envelope = Some(Envelope::default());
                            proxy.up_blocked.store(true, Ordering::Release);
                            return false;
                        }
                        result => note(proxy, result),
                    }
                    up.rest = Vec::new();
                }
                proxy.up_blocked.store(false, Ordering::Release);
                let len = match recv(&proxy.host, &mut *buffer, RecvFlags::DONTWAIT) {
                    Ok((len, _)) => len,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(rustix::io::Errno::AGAIN) => return false,
                    Err(_) => 0,
                };
                if len == 0 && has_ended(&proxy.host) {
                    if proxy.hung_up.load(Ordering::Acquire) {
                        self.remove(proxy);
                    }
                    return false;
                }
                let bytes = buffer.get(..len).unwrap_or(buffer);
                match linux::send(&proxy.socket, bytes) {
                    Err(Errno::EAGAIN) => {
                        up.rest = bytes.to_vec();
                        up.rest_envelope = Some(Envelope::default());
                    }
                    result => note(proxy, result),
                }
            }
            true
        })
    }

    /// Takes the next message from a copy of the program's end, at most as long as `buffer`: its whole length, and what belongs to
    /// it. EAGAIN when there is none.
    pub fn next_message(
        &self,
        proxy: &Arc<Proxy>,
        near: &OwnedFd,
        buffer: &mut [u8],
        flags: i32,
    ) -> Result<(usize, Envelope), i32> {
        while self.pump_messages_down(proxy) {}
        let mut down = proxy.down();
        let peek = flags & MSG_PEEK != 0;
        let mut how = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        how.set(RecvFlags::PEEK, peek);
        let len = loop {
            match recv(near, &mut *buffer, how) {
                Ok((_, 0)) if down.marks > 0 => {
                    if peek {
                        // It is in the way of what is peeked at.
                        let _ = recv(near, &mut [0; 1], RecvFlags::DONTWAIT);
                    }
                    down.marks -= 1;
                    if let Some(errno) = proxy.state().error.take() {
                        return Err(errno);
                    }
                }
                Ok((_, len)) => break len,
                Err(errno) => {
                    down.marks = 0;
                    return Err(errno.raw_os_error());
                }
            }
        };
        let envelope = envelope_of(&mut down, peek);
        drop(down);
        if !peek {
            while self.pump_messages_down(proxy) {}
        }
        Ok((len, envelope))
    }
}

fn envelope_of(down: &mut Flow, peek: bool) -> Envelope {
    if peek || down.wide {
        return down.envelope.clone().unwrap_or_default();
    }
    down.envelope.take().unwrap_or_default()
}

/// A message of Linux's. Netlink makes its messages as long as the longest buffer that it has seen, which the program's buffer may be
/// shorter than; so netlink sees a buffer of just the message's length.
fn take(proxy: &Proxy, buffer: &mut [u8]) -> Result<(usize, Envelope), Errno> {
    if proxy.family != libc::AF_NETLINK {
        return linux::receive_message(&proxy.socket, buffer, 0);
    }
    let (len, _) = linux::receive_message(&proxy.socket, &mut [], MSG_PEEK | MSG_TRUNC)?;
    let room = buffer.get_mut(..len).ok_or(Errno::EMSGSIZE)?;
    linux::receive_message(&proxy.socket, room, 0)
}

/// An error of what the program has written is told by its next call that can.
fn note(proxy: &Proxy, result: Result<usize, Errno>) {
    if let Err(errno) = result {
        proxy.state().error = Some(errno.number().into());
    }
}

/// Whether the other end is closed, or will write no more. An empty message looks the same to who reads.
fn has_ended(host: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut entry = [PollFd::new(host, PollFlags::RDHUP)];
    let at_once = Timespec::default();
    poll(&mut entry, Some(&at_once)).is_ok()
        && entry[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP)
}

/// Whether many messages may be between from now on: the socket is connected, and nothing but bytes is asked for.
pub fn choose_width(proxy: &Proxy) {
    let mut down = proxy.down();
    let state = proxy.state();
    let one_peer = matches!(state.phase, Phase::Connected)
        && !state.controls
        && matches!(proxy.family, libc::AF_INET | libc::AF_INET6);
    // What is between already may be another's.
    let empty = unread(proxy.host.as_fd()) == 0 && down.rest_envelope.is_none();
    down.wide = one_peer && (down.wide || empty);
}
