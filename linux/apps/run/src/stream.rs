//! Streams: bytes between the program's end and Linux's socket, connections that are made and connections that come.

use crate::linux;
use crate::proxy::{Arrived, Carries, Phase, Proxy, State, widen};
use crate::supervisor::{ERR, HUP, Supervisor, with_buffer};
use crate::target::{self, Descriptor};
use lkl::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{RecvFlags, SendFlags, recv, send, shutdown, sockopt};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How many pieces of one proxy are moved before others have their turn.
const TURN: usize = 16;
/// The most connections that are taken before the program accepts them; Linux's own queue holds the others.
const MOST_ARRIVED: usize = 128;

impl Supervisor {
    /// Moves what the program has written. Whether there may be more at once.
    pub fn pump_stream_up(&self, proxy: &Arc<Proxy>) -> bool {
        if !matches!(proxy.state().phase, Phase::Connected) {
            return false;
        }
        with_buffer(|buffer| {
            let mut up = proxy.up();
            for _ in 0..TURN {
                if up.ended {
                    if proxy.hung_up.load(Ordering::Acquire) {
                        self.remove(proxy);
                    }
                    return false;
                }
                if !up.pending().is_empty() {
                    match linux::send(&proxy.socket, up.pending()) {
                        Ok(len) => up.advance(len),
                        Err(Errno::EAGAIN) => {
                            proxy.up_blocked.store(true, Ordering::Release);
                            return false;
                        }
                        Err(errno) => {
                            drop(up);
                            self.break_off(proxy, errno);
                            return false;
                        }
                    }
                    continue;
                }
                proxy.up_blocked.store(false, Ordering::Release);
                let len = match recv(&proxy.host, &mut *buffer, RecvFlags::DONTWAIT) {
                    Ok((len, _)) => len,
                    Err(rustix::io::Errno::AGAIN) => return false,
                    Err(rustix::io::Errno::INTR) => continue,
                    // The program has closed it and left something unread.
                    Err(_) => 0,
                };
                let bytes = buffer.get(..len).unwrap_or(&[]);
                if bytes.is_empty() {
                    up.ended = true;
                    // Closing Linux's socket says to the peer what is to be said: a reset, too.
                    if has_hung_up(&proxy.host) {
                        self.remove(proxy);
                        return false;
                    }
                    // It fails when the connection has ended already.
                    let _ = linux::shutdown(&proxy.socket, libc::SHUT_WR);
                    continue;
                }
                match linux::send(&proxy.socket, bytes) {
                    Ok(sent) if sent == len => {}
                    Ok(sent) => up.keep(bytes.get(sent..).unwrap_or(&[])),
                    Err(Errno::EAGAIN) => up.keep(bytes),
                    Err(errno) => {
                        drop(up);
                        self.break_off(proxy, errno);
                        return false;
                    }
                }
            }
            true
        })
    }

    /// Moves what Linux has received. Whether there may be more at once.
    pub fn pump_stream_down(&self, proxy: &Arc<Proxy>) -> bool {
        if !matches!(proxy.state().phase, Phase::Connected) {
            return false;
        }
        with_buffer(|buffer| {
            let mut down = proxy.down();
            for _ in 0..TURN {
                if down.ended {
                    return false;
                }
                if !down.pending().is_empty() {
                    match send(
                        &proxy.host,
                        down.pending(),
                        SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                    ) {
                        Ok(len) => down.advance(len),
                        Err(rustix::io::Errno::AGAIN) => {
                            self.watch_room(proxy, true);
                            return false;
                        }
                        Err(rustix::io::Errno::INTR) => {}
                        // The program reads no more.
                        Err(_) => down.ended = true,
                    }
                    continue;
                }
                self.watch_room(proxy, false);
                let len = match linux::receive(&proxy.socket, buffer) {
                    Ok(len) => len,
                    Err(Errno::EAGAIN) => return false,
                    Err(errno) => {
                        drop(down);
                        self.break_off(proxy, errno);
                        return false;
                    }
                };
                let bytes = buffer.get(..len).unwrap_or(&[]);
                if bytes.is_empty() {
                    down.ended = true;
                    // It fails when the program has gone.
                    let _ = shutdown(&proxy.host, rustix::net::Shutdown::Write);
                    return false;
                }
                match send(&proxy.host, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                    Ok(sent) if sent == len => {}
                    Ok(sent) => down.keep(bytes.get(sent..).unwrap_or(&[])),
                    Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => down.keep(bytes),
                    Err(_) => down.ended = true,
                }
            }
            true
        })
    }

    /// Linux's connection has failed: the program is told with ECONNRESET, and the proxy ends.
    ///
    /// The machine's Linux says so at one end of a pair when the other is closed with something unread. So something is put there, from the
    /// program's end, if it is where it was.
    fn break_off(&self, proxy: &Proxy, errno: Errno) {
        // No thread may read what is put there, as if the program had written it.
        proxy.up().ended = true;
        let home = proxy.state().home;
        if errno != Errno::EPIPE
            && let Some((thread, fd)) = home
            && let Some(Descriptor::Socket(inode)) = target::descriptor(thread, fd)
            && inode == proxy.inode
            && let Ok(near) = target::copy_of(thread, fd)
        {
            // It is full already if this fails.
            let _ = send(&near, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
        self.remove(proxy);
    }

    /// A connection has begun: the program's end `near` is filled, so that it cannot be written to until there is one.
    pub fn begin_connection(&self, proxy: &Arc<Proxy>, near: OwnedFd) {
        let filling = fill(&near);
        proxy.state().phase = Phase::Connecting { near, filling };
        // It may have come meanwhile.
        self.look_at_connection(proxy);
    }

    /// Ends the waiting for a connection if it is there, or has failed. How, Linux tells the program.
    pub fn look_at_connection(&self, proxy: &Arc<Proxy>) {
        const POLLOUT: i16 = 4;
        let mut state = proxy.state();
        if !matches!(state.phase, Phase::Connecting { .. }) {
            return;
        }
        let seen = linux::poll(&proxy.socket, POLLOUT).map_or(ERR, |bits| u32::from(bits.cast_unsigned()));
        if seen == 0 {
            return;
        }
        let phase = match seen & (ERR | HUP) {
            0 => Phase::Connected,
            _ => Phase::Fresh,
        };
        let connected = matches!(phase, Phase::Connected);
        change(proxy, &mut state, phase);
        drop(state);
        if connected {
            self.tell_again(proxy);
        }
    }

    /// A connection was there at once.
    pub fn connected(&self, proxy: &Arc<Proxy>) {
        change(proxy, &mut proxy.state(), Phase::Connected);
        self.tell_again(proxy);
    }

    /// There is none.
    pub fn unconnected(&self, proxy: &Arc<Proxy>) {
        let mut state = proxy.state();
        if matches!(state.phase, Phase::Connecting { .. }) {
            change(proxy, &mut state, Phase::Fresh);
        }
    }

    /// Takes connections that have come to a listening socket, and makes the program's end readable: a byte for each.
    pub fn take_connections(&self, proxy: &Arc<Proxy>) {
        loop {
            let mut state = proxy.state();
            if !matches!(state.phase, Phase::Listening) || state.arrived.len() >= state.backlog {
                return;
            }
            // Anything but EAGAIN is of one connection, or passes.
            let Ok((socket, from)) = linux::accept(&proxy.socket) else {
                return;
            };
            let made = Proxy::new(socket, proxy.family, Carries::Stream, Phase::Connected);
            let Ok((new, near)) = made else {
                return;
            };
            if self.add(&new).is_err() {
                return;
            }
            state.arrived.push_back(Arrived {
                proxy: new,
                near,
                from,
            });
            announce(proxy);
        }
    }
}

/// How many connections of a backlog are taken at once.
pub fn arrivals(backlog: i32) -> usize {
    usize::try_from(backlog).unwrap_or(0).clamp(1, MOST_ARRIVED)
}

/// Whether the program has no end any more, or has shut it down in both directions.
fn has_hung_up(host: &OwnedFd) -> bool {
    let mut entry = [PollFd::new(host, PollFlags::empty())];
    let at_once = Timespec::default();
    poll(&mut entry, Some(&at_once)).is_ok() && entry[0].revents().contains(PollFlags::HUP)
}

/// The byte of a connection that has come. There is room for as many as may come.
pub fn announce(proxy: &Proxy) {
    let _ = send(&proxy.host, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Fills an end until it cannot be written to: how many bytes that took.
fn fill(near: &OwnedFd) -> usize {
    let _ = sockopt::set_socket_send_buffer_size(near, 1);
    let mut filling = 0;
    for _ in 0..64 {
        let mut entry = [PollFd::new(near, PollFlags::OUT)];
        let at_once = Timespec::default();
        let full = poll(&mut entry, Some(&at_once)).is_ok() && !entry[0].revents().contains(PollFlags::OUT);
        if full {
            break;
        }
        match send(near, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(len) => filling += len,
            Err(_) => break,
        }
    }
    filling
}

/// Takes back what fills the program's end, and only then lets bytes be moved: what fills it is none of the stream's.
fn change(proxy: &Proxy, state: &mut State, phase: Phase) {
    if let Phase::Connecting { near, filling } = &state.phase {
        empty(proxy, near, *filling);
    }
    state.phase = phase;
}

fn empty(proxy: &Proxy, near: &OwnedFd, mut filling: usize) {
    widen(near.as_fd());
    let mut buffer = [0; 64];
    while filling > 0 {
        let room = filling.min(buffer.len());
        let place = buffer.get_mut(..room).unwrap_or(&mut []);
        match recv(&proxy.host, place, RecvFlags::DONTWAIT) {
            Ok((len, _)) if len > 0 => filling -= len.min(filling),
            _ => return,
        }
    }
}
