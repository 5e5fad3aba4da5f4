//! When a server ends: SIGTERM, SIGINT or SIGHUP, or the end of standard input, whichever comes first.
//!
//! The signals are blocked in every thread and taken from a descriptor: a handler could run on the stack of a driver's
//! thread, which is as small as NT's, and is measured.
//
// UNSAFETY: signal masks, a descriptor for signals, poll.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The signals, blocked.
pub struct Ending(OwnedFd);

impl Ending {
    /// To be called before there are other threads: they inherit what is blocked.
    pub fn new() -> io::Result<Ending> {
        // SAFETY: an empty set is made of any bytes by sigemptyset below.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is ours.
        unsafe { libc::sigemptyset(&raw mut set) };
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            // SAFETY: as above.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: as above; the old mask is not asked for.
        let blocked = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
        if blocked != 0 {
            return Err(io::Error::from_raw_os_error(blocked));
        }
        // SAFETY: as above; -1 asks for a new descriptor.
        let descriptor = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Ending(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Waits for the end.
    pub fn wait(&self) -> io::Result<()> {
        let mut input = io::stdin().lock();
        let watch = |fd: i32| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        loop {
            let mut watched = [watch(self.0.as_raw_fd()), watch(input.as_raw_fd())];
            // SAFETY: two structs of ours, for as long as the call lasts.
            let ready = unsafe { libc::poll(watched.as_mut_ptr(), 2, -1) };
            if ready < 0 {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(error),
                }
            }
            if watched[0].revents != 0 || (watched[1].revents != 0 && input.read(&mut [0; 512])? == 0) {
                return Ok(());
            }
        }
    }
}
