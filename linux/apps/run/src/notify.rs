//! The machine's seccomp user notification: the filter's installation, the calls that it hands over, and how they are answered.

// UNSAFETY: ioctls and a system call of the machine's Linux that have no safe function.

#![allow(unsafe_code)]

use libc::{c_ulong, seccomp_notif, seccomp_notif_addfd, seccomp_notif_resp, sock_filter};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::io;

/// A call of the program's that waits for its answer.
#[derive(Clone, Copy)]
pub struct Call {
    id: u64,
    /// The thread that makes it.
    pub thread: u32,
    /// `AUDIT_ARCH_*`
    pub architecture: u32,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// Whether it has waited already.
    pub again: bool,
}

impl Call {
    /// An argument that is a descriptor or another number of 32 bits.
    pub fn int(&self, n: usize) -> i32 {
        let value = self.arguments.get(n).copied().unwrap_or(0);
        // C's int is the low half; the rest is not defined.
        (value as u32).cast_signed()
    }

    /// An argument that is a pointer or a length.
    pub fn word(&self, n: usize) -> u64 {
        self.arguments.get(n).copied().unwrap_or(0)
    }
}

/// Installs a filter in this thread, which has `no_new_privs`: the number of the descriptor for its notifications. What it calls
/// may be called between fork and exec.
pub fn install(filter: &[sock_filter]) -> io::Result<RawFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: a filter and its length, which are only read.
    let value = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    if value < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(value).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The end at which calls arrive.
pub struct Notifier(OwnedFd);

fn ioctl<T>(fd: &OwnedFd, request: c_ulong, argument: &mut T) -> io::Result<i32> {
    // SAFETY: private to this module, whose callers pass what the request is defined with.
    let value = unsafe { libc::ioctl(fd.as_raw_fd(), request, &raw mut *argument) };
    if value < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(value)
}

impl Notifier {
    /// Takes the descriptor that [`install`] has made. With Linux 6.6 and later both sides then share a processor, which spares
    /// wake-ups across processors.
    pub fn new(fd: OwnedFd) -> Notifier {
        const SYNC_WAKE_UP: c_ulong = 1;
        // An older Linux has no such request, and works as well.
        // SAFETY: the request's argument is a number.
        let _ = unsafe { libc::ioctl(fd.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP) };
        Notifier(fd)
    }

    /// Waits for the next call. `None`: the program and all of its children are gone.
    pub fn receive(&self) -> io::Result<Option<Call>> {
        loop {
            // Before Linux 6.11 the request itself goes on waiting when all are gone.
            let mut entry = [PollFd::new(&self.0, PollFlags::IN)];
            if poll(&mut entry, None).is_ok() && entry[0].revents().contains(PollFlags::HUP) {
                return Ok(None);
            }
            // SAFETY: numbers alone; the call wants them zero.
            let mut notification: seccomp_notif = unsafe { std::mem::zeroed() };
            match ioctl(&self.0, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut notification) {
                Ok(_) => {
                    return Ok(Some(Call {
                        id: notification.id,
                        thread: notification.pid,
                        architecture: notification.data.arch,
                        number: notification.data.nr.into(),
                        arguments: notification.data.args,
                        again: false,
                    }));
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // The thread was killed before its call was received, or there is none any more.
                    Some(libc::ENOENT) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Whether the thread still waits for this answer.
    pub fn is_waiting(&self, call: &Call) -> bool {
        let mut id = call.id;
        ioctl(&self.0, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id).is_ok()
    }

    fn respond(&self, call: &Call, value: i64, error: i32, flags: u32) {
        let mut response = seccomp_notif_resp {
            id: call.id,
            val: value,
            error,
            flags,
        };
        // It fails when the thread has been interrupted or killed: there is none to tell.
        let _ = ioctl(&self.0, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut response);
    }

    /// The call's value.
    pub fn succeed(&self, call: &Call, value: i64) {
        self.respond(call, value, 0, 0);
    }

    /// The call fails so.
    pub fn fail(&self, call: &Call, errno: i32) {
        self.respond(call, 0, -errno, 0);
    }

    /// The machine's Linux does the call.
    pub fn pass(&self, call: &Call) {
        // SECCOMP_USER_NOTIF_FLAG_CONTINUE
        self.respond(call, 0, 0, 1);
    }

    /// The thread gets a descriptor of `file`, whose number is the call's value.
    ///
    /// # Errors
    /// ENOENT when the thread does not wait any more; EMFILE when it has no room.
    pub fn give(&self, call: &Call, file: BorrowedFd<'_>, cloexec: bool) -> io::Result<i32> {
        // SECCOMP_ADDFD_FLAG_SEND
        const SEND: u32 = 2;
        let mut request = seccomp_notif_addfd {
            id: call.id,
            flags: SEND,
            srcfd: file.as_raw_fd().unsigned_abs(),
            newfd: 0,
            newfd_flags: if cloexec {
                libc::O_CLOEXEC.unsigned_abs()
            } else {
                0
            },
        };
        ioctl(&self.0, libc::SECCOMP_IOCTL_NOTIF_ADDFD, &mut request)
    }
}

/// How many bytes that were written to a socket of the machine's have not been read at its other end, with what the machine's Linux
/// needs for them.
pub fn unread(socket: BorrowedFd<'_>) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: room for a number.
    let value = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if value < 0 {
        return 0;
    }
    usize::try_from(bytes).unwrap_or(0)
}
