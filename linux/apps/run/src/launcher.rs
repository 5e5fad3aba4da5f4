//! The launcher: a process that forks a guardian for each job.
//!
//! It is forked itself before there are threads, so that it and all guardians are whole processes, which may do anything. It ends
//! when the process that has started it does, or has dropped it, and all guardians have ended.

// UNSAFETY: forks while there is one thread.

#![allow(unsafe_code)]

use crate::guardian::{Guardian, SIGNALS, guard};
use crate::job::Job;
use crate::running::Running;
use lkl_net::Namespace;
use lkl_session::program::Program;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

/// What starts jobs. When it goes, it waits for the ends of all of them.
pub struct Launcher {
    program: Program,
    /// None when it goes.
    socket: Option<OwnedFd>,
    process: Pid,
}

impl Launcher {
    /// Starts its process. `program` is this program, for its notes.
    ///
    /// # Errors
    /// This process has more than one thread already; the system has no room for another process.
    pub fn start(program: Program) -> io::Result<Launcher> {
        if std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other(
                "programs are started by a process that is forked before there are threads",
            ));
        }
        let (mine, its) = pair()?;
        let mut blocked = SigSet::empty();
        blocked.extend(SIGNALS);
        let mut before = SigSet::empty();
        // What a terminal sends to all is the programs' own, or is handed on.
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), Some(&mut before))?;
        // SAFETY: this process has one thread, so that its copy is whole.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            drop(mine);
            launch(its, before);
            std::process::exit(0);
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        match forked? {
            ForkResult::Parent { child } => Ok(Launcher {
                program,
                socket: Some(mine),
                process: child,
            }),
            ForkResult::Child => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Starts a job, whose sockets are that network's. What it comes to is told by what this returns.
    ///
    /// # Errors
    /// The launcher's process was killed; the system has no room.
    pub fn run(&self, job: &Job, namespace: &Namespace) -> io::Result<Running> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        let (mine, its) = pair()?;
        send_with(socket, b"G", &[its.as_fd()])?;
        Running::begin(Guardian::new(mine), job, namespace, self.program)
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        drop(self.socket.take());
        let _ = waitpid(self.process, None);
    }
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (flags, kind) = (SocketFlags::CLOEXEC, SocketType::SEQPACKET);
    Ok(socketpair(AddressFamily::UNIX, kind, flags, None)?)
}

/// The launcher's life.
fn launch(socket: OwnedFd, mask: SigSet) {
    while let Ok(Some((_, descriptors))) = receive_with(&socket) {
        let Some(its) = descriptors.into_iter().next() else {
            break;
        };
        // SAFETY: this process has one thread, so that its copy is whole.
        if let Ok(ForkResult::Child) = unsafe { fork() } {
            drop(socket);
            guard(&its, mask);
            std::process::exit(0);
        }
        // Those that have ended meanwhile.
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            if status == WaitStatus::StillAlive {
                break;
            }
        }
    }
    while waitpid(None, None).is_ok() {}
}

/// Sends a message, with descriptors.
pub(crate) fn send_with(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The most descriptors of a message.
const MOST: usize = 3;

/// A message, and the descriptors that came with it; `None` at the end.
pub(crate) fn receive_with(socket: &OwnedFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = [0; 4096];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    loop {
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let pieces = &mut [IoSliceMut::new(&mut bytes)];
        match recvmsg(socket, pieces, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) if received.bytes == 0 => return Ok(None),
            Ok(received) => {
                let mut descriptors = Vec::new();
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(rights) = message {
                        descriptors.extend(rights);
                    }
                }
                let bytes = bytes.get(..received.bytes).unwrap_or(&bytes).to_vec();
                return Ok(Some((bytes, descriptors)));
            }
            Err(rustix::io::Errno::INTR) => {}
            // The other end was closed with something unread.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
