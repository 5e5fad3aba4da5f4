//! The program's calls, each answered at once or kept until it can be.

mod connect;
mod ioctl;
mod make;
mod options;
mod transfer;

use crate::linux::{self, End};
use crate::notify::Call;
use crate::proxy::{Carries, Phase, Proxy};
use crate::supervisor::Supervisor;
use crate::target::Descriptor;
use crate::{filter, stream};
use lkl::Errno;
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, fcntl_getfl};
use std::sync::Arc;
use std::time::Duration;

/// What the program is told.
pub enum Answer {
    Value(i64),
    Fail(i32),
    /// The machine's Linux does it.
    Pass,
    /// It was answered already.
    Done,
    /// Nothing, until something happens to this proxy, or the time is over.
    Wait(Arc<Proxy>, Option<Duration>),
}

/// An answer, or the error that is one.
type Result<T = Answer> = std::result::Result<T, i32>;

/// Linux's error as the program is told it.
fn number(errno: Errno) -> i32 {
    errno.number().into()
}

impl Supervisor {
    /// Answers a call.
    pub fn answer(&self, call: &Call) -> Answer {
        self.try_answer(call).unwrap_or_else(Answer::Fail)
    }

    fn try_answer(&self, call: &Call) -> Result {
        if call.architecture != filter::ARCHITECTURE {
            return refuse_architecture(call);
        }
        if call.number == libc::SYS_socket {
            return self.socket(call);
        }
        let fd = call.int(0);
        let proxy = match call.descriptor(fd) {
            Some(Descriptor::Socket(inode)) => self.proxy(inode),
            _ => return Ok(Answer::Pass),
        };
        let Some(proxy) = proxy else {
            return match call.number {
                libc::SYS_ioctl => self.ioctl_of_any(call),
                _ => Ok(Answer::Pass),
            };
        };
        match call.number {
            libc::SYS_connect => self.connect(call, &proxy),
            libc::SYS_accept | libc::SYS_accept4 => self.accept(call, &proxy),
            libc::SYS_bind => {
                linux::bind(&proxy.socket, &call.address(1)?).map_err(number)?;
                Ok(Answer::Value(0))
            }
            libc::SYS_listen => self.listen(call, &proxy),
            libc::SYS_getsockname => name(call, &proxy, End::Own),
            libc::SYS_getpeername => name(call, &proxy, End::Peer),
            libc::SYS_setsockopt => self.set_option(call, &proxy),
            libc::SYS_getsockopt => self.option(call, &proxy),
            libc::SYS_shutdown => self.shutdown(call, &proxy),
            libc::SYS_ioctl => self.ioctl(call, &proxy.socket),
            libc::SYS_sendto => self.send_to(call, &proxy),
            libc::SYS_sendmsg => self.send_message(call, &proxy),
            libc::SYS_sendmmsg => self.send_messages(call, &proxy),
            libc::SYS_recvfrom => self.receive_from(call, &proxy),
            libc::SYS_recvmsg => self.receive_message(call, &proxy),
            libc::SYS_recvmmsg => self.receive_messages(call, &proxy),
            _ => Ok(Answer::Pass),
        }
    }

    fn listen(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        linux::listen(&proxy.socket, call.int(1)).map_err(number)?;
        if proxy.carries == Carries::Stream {
            let mut state = proxy.state();
            state.phase = Phase::Listening;
            state.backlog = stream::arrivals(call.int(1));
            drop(state);
            self.take_connections(proxy);
        }
        Ok(Answer::Value(0))
    }

    fn shutdown(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        if proxy.carries == Carries::Stream && matches!(proxy.state().phase, Phase::Connected) {
            // The supervisor sees it at its end, behind what the program has written.
            return Ok(Answer::Pass);
        }
        linux::shutdown(&proxy.socket, call.int(1)).map_err(number)?;
        let mut state = proxy.state();
        if matches!(state.phase, Phase::Listening) {
            state.phase = Phase::Fresh;
            drop(state);
            // Who waits for connections is told that there will be none.
            let _ = rustix::net::shutdown(&proxy.host, rustix::net::Shutdown::Write);
            self.retry(proxy);
        }
        Ok(Answer::Value(0))
    }
}

fn name(call: &Call, proxy: &Proxy, end: End) -> Result {
    let name = linux::name(&proxy.socket, end).map_err(number)?;
    call.write_address(1, name.as_bytes())?;
    Ok(Answer::Value(0))
}

/// Whether a call on this open file returns instead of waiting.
fn is_nonblocking(near: &OwnedFd) -> bool {
    fcntl_getfl(near).is_ok_and(|flags| flags.contains(OFlags::NONBLOCK))
}

/// A program whose calls are i386's: their arguments are other ones, and it is better ended than misunderstood.
fn refuse_architecture(call: &Call) -> Result {
    use rustix::process::{Pid, Signal, kill_process};
    let name = std::fs::read_to_string(format!("/proc/{}/comm", call.thread)).unwrap_or_default();
    eprintln!(
        "lklrun: {}: a program of 32 bits, which cannot be run here; use one of 64 bits",
        name.trim()
    );
    if let Some(pid) = Pid::from_raw(call.thread.cast_signed()) {
        // It may have gone.
        let _ = kill_process(pid, Signal::SYS);
    }
    Err(libc::ENOSYS)
}
