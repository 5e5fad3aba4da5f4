//! The guardian: the process between lklrun and the program.
//!
//! It starts the program under the filter, takes over its orphaned descendants and reaps all of them, and tells how the program has
//! ended and when the last descendant is gone. When lklrun ends without a word, even by SIGKILL, the guardian kills what is left; so nothing
//! stays behind. It is forked before lklrun has threads.

// UNSAFETY: forks while there is one thread; code between fork and exec.

#![allow(unsafe_code)]

use crate::{filter, names, notify};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// What the guardian says; each is a message of its socket's.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// The program is about to be executed: its process, and its number of the descriptor of notifications. It waits for a word.
    Ready { process: i32, notifications: i32 },
    /// It could not be started: the errno.
    Failed(i32),
    /// It has ended: its exit status, or 128 and the signal.
    Ended(i32),
    /// No descendant is left.
    Gone,
    /// Something that the user should know.
    Note(String),
}

impl Word {
    fn encode(&self) -> Vec<u8> {
        let with = |kind: u8, numbers: &[i32]| {
            let mut bytes = vec![kind];
            bytes.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
            bytes
        };
        match self {
            Word::Ready {
                process,
                notifications,
            } => with(b'R', &[*process, *notifications]),
            Word::Failed(errno) => with(b'F', &[*errno]),
            Word::Ended(status) => with(b'E', &[*status]),
            Word::Gone => with(b'G', &[]),
            Word::Note(text) => [b"N", text.as_bytes()].concat(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Word> {
        let (kind, rest) = bytes.split_first()?;
        let number = |at: usize| Some(i32::from_ne_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        Some(match kind {
            b'R' => Word::Ready {
                process: number(0)?,
                notifications: number(4)?,
            },
            b'F' => Word::Failed(number(0)?),
            b'E' => Word::Ended(number(0)?),
            b'G' => Word::Gone,
            b'N' => Word::Note(String::from_utf8_lossy(rest).into_owned()),
            _ => return None,
        })
    }
}

/// lklrun's side of it.
pub struct Guardian {
    socket: OwnedFd,
    process: Pid,
}

/// Signals that a program may be sent by way of lklrun.
pub const SIGNALS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Has the guardian kill all descendants.
const KILL: Signal = Signal::SIGUSR1;

impl Guardian {
    /// Forks it. The calling process has one thread and goes on with [`SIGNALS`] blocked.
    pub fn start(program: Vec<OsString>) -> io::Result<Guardian> {
        let mut blocked = SigSet::empty();
        blocked.extend(SIGNALS);
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), Some(&mut before))?;
        let flags = SocketFlags::CLOEXEC;
        let (mine, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let parent = getpid();
        // SAFETY: this process has one thread, so that its copy is whole.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Guardian {
                socket: mine,
                process: child,
            }),
            ForkResult::Child => {
                drop(mine);
                guard(&its, parent, program, before);
                std::process::exit(0);
            }
        }
    }

    /// Lets the program start. `names` is what it is to have for `/etc/resolv.conf`.
    pub fn launch(&self, names: Option<&str>) -> io::Result<()> {
        let mut bytes = vec![b'L', u8::from(names.is_some())];
        bytes.extend_from_slice(names.unwrap_or("").as_bytes());
        send(&self.socket, &bytes, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Lets a program go on that is ready.
    pub fn go(&self) -> io::Result<()> {
        send(&self.socket, b"A", SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for its next word. `None`: it has ended.
    pub fn listen(&self) -> io::Result<Option<Word>> {
        Ok(receive(&self.socket)?.and_then(|bytes| Word::decode(&bytes)))
    }

    /// Has it kill what is left of the program.
    pub fn kill_all(&self) {
        // It may have gone with the last of them.
        let _ = nix::sys::signal::kill(self.process, KILL);
    }

    /// Waits for the guardian's own end.
    pub fn reap(&self) {
        let _ = waitpid(self.process, None);
    }
}

impl AsFd for Guardian {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message; `None` at the end.
fn receive(socket: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; 4096];
    loop {
        match recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Ok(None),
            Ok((len, _)) => return Ok(buffer.get(..len).map(<[u8]>::to_vec)),
            Err(rustix::io::Errno::INTR) => {}
            // The other end was closed with something unread.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The guardian's life.
fn guard(socket: &OwnedFd, parent: Pid, program: Vec<OsString>, mask: SigSet) {
    let mut awaited = SigSet::empty();
    awaited.extend([KILL, Signal::SIGCHLD]);
    let ready = awaited
        .thread_block()
        .map_err(io::Error::from)
        .and_then(|()| {
            Ok(rustix::process::set_child_subreaper(Some(
                rustix::process::getpid(),
            ))?)
        })
        .and_then(|()| {
            let signal = rustix::process::Signal::USR1;
            Ok(rustix::process::set_parent_process_death_signal(Some(signal))?)
        });
    let tell = |word: Word| send(socket, &word.encode(), SendFlags::NOSIGNAL).is_ok();
    if let Err(error) = ready {
        tell(Word::Failed(error.raw_os_error().unwrap_or(libc::EIO)));
        return;
    }
    // Nothing is to be started when Linux did not boot, or when lklrun has gone.
    let Ok(Some(order)) = receive(socket) else {
        return;
    };
    let text = String::from_utf8_lossy(order.get(2..).unwrap_or(&[]));
    if order.get(1) == Some(&1)
        && let Err(why) = names::replace(&text)
    {
        tell(Word::Note(why));
    }
    let main = match spawn(socket, program, mask) {
        Ok(main) => main,
        Err(error) => {
            tell(Word::Failed(error.raw_os_error().unwrap_or(libc::EIO)));
            return;
        }
    };
    loop {
        let lost = getppid() != parent;
        if lost || reap(main, &tell) {
            break;
        }
        if awaited.wait() == Ok(KILL) {
            kill_children();
        }
    }
    // What lklrun has left behind; its children become this process' own.
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok() {
        kill_children();
        std::thread::sleep(Duration::from_millis(5));
    }
    tell(Word::Gone);
}

/// Reaps who has ended. Whether none is left.
fn reap(main: Pid, tell: &impl Fn(Word) -> bool) -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == main => {
                tell(Word::Ended(status));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                tell(Word::Ended(128 + signal as i32));
            }
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}

/// Kills the children of this process. Theirs become its own, and have their turn next.
fn kill_children() {
    let me = getpid().as_raw();
    let Ok(all) = std::fs::read_dir("/proc") else {
        return;
    };
    for entry in all.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.filter(|pid: &i32| parent_of(*pid) == Some(me)) else {
            continue;
        };
        // It may have ended meanwhile; its number stays its own until it is reaped here.
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Starts the program under the filter.
fn spawn(socket: &OwnedFd, program: Vec<OsString>, mask: SigSet) -> io::Result<Pid> {
    let mut words = program.into_iter();
    let name = words.next().ok_or(io::ErrorKind::NotFound)?;
    let code = filter::program();
    let socket = socket.try_clone()?;
    let guardian = getpid();
    let mut command = Command::new(name);
    command.args(words);
    // Between fork and exec: system calls, and nothing that allocates.
    let prepare = move || {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        if getppid() != guardian {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        rustix::thread::set_no_new_privs(true)?;
        let notifications = notify::install(&code)?;
        let mut word = [b'R'; 9];
        let (process, number) = word[1..].split_at_mut(4);
        process.copy_from_slice(&getpid().as_raw().to_ne_bytes());
        number.copy_from_slice(&notifications.to_ne_bytes());
        // Neither is seen by the filter.
        rustix::io::write(&socket, &word)?;
        let mut answer = [0];
        match rustix::io::read(&socket, &mut answer)? {
            1 => Ok(()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: what it does may be done between fork and exec.
    let command = unsafe { command.pre_exec(prepare) };
    let child = command.spawn()?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_arrives_as_it_was_said() {
        for word in [
            Word::Ready {
                process: 7,
                notifications: 3,
            },
            Word::Failed(2),
            Word::Ended(143),
            Word::Gone,
            Word::Note("no".into()),
        ] {
            assert_eq!(Word::decode(&word.encode()), Some(word));
        }
        assert_eq!(Word::decode(b"E1"), None);
    }

    #[test]
    fn a_parent_is_found_whatever_a_process_is_called() {
        assert_eq!(parent_of(getpid().as_raw()), Some(getppid().as_raw()));
    }
}
