//! The guardian: the process between the launcher and a program.
//!
//! It starts the program under the filter, takes over its orphaned descendants and reaps all of them, and tells how the program has
//! ended and when the last descendant is gone. When its socket's other end is closed, by whatever the end of that process was, even
//! by SIGKILL, the guardian kills what is left; so nothing stays behind.

// UNSAFETY: code between fork and exec.

#![allow(unsafe_code)]

use crate::job::Job;
use crate::launcher::{receive_with, send_with};
use crate::{filter, names, notify};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getppid};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{SendFlags, send};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the guardian says; each is a message of its socket's.
#[derive(Debug, PartialEq, Eq)]
pub enum Word {
    /// The program is about to be executed: its process, and its number of the descriptor of notifications. It waits for a word.
    Ready { process: i32, notifications: i32 },
    /// It could not be started: the errno.
    Failed(i32),
    /// It has ended: its exit status, and the signal that has ended it, or none.
    Ended { status: i32, signal: i32 },
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
            Word::Ended { status, signal } => with(b'E', &[*status, *signal]),
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
            b'E' => Word::Ended {
                status: number(0)?,
                signal: number(4)?,
            },
            b'G' => Word::Gone,
            b'N' => Word::Note(String::from_utf8_lossy(rest).into_owned()),
            _ => return None,
        })
    }
}

/// What is asked of it, once the job is there: let the program go on, kill all.
const GO: u8 = b'A';
const KILL: u8 = b'K';

/// This process' side of it.
pub struct Guardian(OwnedFd);

/// Signals that a program may be sent by way of the process that has started it.
pub const SIGNALS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

impl Guardian {
    /// The one at the other end.
    pub fn new(socket: OwnedFd) -> Guardian {
        Guardian(socket)
    }

    /// Has it start a job.
    pub fn launch(&self, job: &Job) -> io::Result<()> {
        // Arguments may be longer than a message.
        let mut file = File::from(memfd_create("lklrun", MemfdFlags::CLOEXEC)?);
        file.write_all(&job.encode())?;
        let output = job.output.iter().flatten().map(AsFd::as_fd);
        let descriptors: Vec<BorrowedFd<'_>> = [file.as_fd()].into_iter().chain(output).collect();
        send_with(&self.0, b"L", &descriptors)
    }

    /// Lets a program go on that is ready.
    pub fn go(&self) -> io::Result<()> {
        send(&self.0, &[GO], SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for its next word. `None`: it has ended.
    pub fn listen(&self) -> io::Result<Option<Word>> {
        Ok(receive_with(&self.0)?.and_then(|(bytes, _)| Word::decode(&bytes)))
    }

    /// Has it kill what is left of the program.
    pub fn kill_all(&self) {
        // It may have gone with the last of them.
        let _ = send(&self.0, &[KILL], SendFlags::NOSIGNAL);
    }
}

/// The guardian's life. `mask` is the program's.
pub fn guard(socket: &OwnedFd, mask: SigSet) {
    let tell = |word: Word| send(socket, &word.encode(), SendFlags::NOSIGNAL).is_ok();
    let fail = |error: &io::Error| tell(Word::Failed(error.raw_os_error().unwrap_or(libc::EIO)));
    let children = match prepare() {
        Ok(children) => children,
        Err(error) => {
            fail(&error);
            return;
        }
    };
    // Nothing is to be started when the other end has gone.
    let Ok(Some((_, descriptors))) = receive_with(socket) else {
        return;
    };
    let job = match read_job(descriptors) {
        Ok(job) => job,
        Err(error) => {
            fail(&error);
            return;
        }
    };
    if let Err(why) = names::replace(&job.files) {
        tell(Word::Note(why));
    }
    let main = match spawn(socket, job, mask) {
        Ok(main) => main,
        Err(error) => {
            fail(&error);
            return;
        }
    };
    let mut killing = false;
    while !reap(main, &tell) {
        if killing {
            // The children of those that are killed become this process' own, and have their turn next.
            kill_children();
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let mut entries = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::new(&children, PollFlags::IN),
        ];
        // It fails when a signal has come, and no signal comes.
        let _ = poll(&mut entries, None);
        let [asked, ended] = entries.map(|entry| !entry.revents().is_empty());
        if ended {
            let _ = children.read_signal();
        }
        // A wish for the end, or the other side's own.
        killing = asked;
    }
    tell(Word::Gone);
}

/// What is told when children end. Orphaned descendants become children.
fn prepare() -> io::Result<SignalFd> {
    let mut awaited = SigSet::empty();
    awaited.add(Signal::SIGCHLD);
    awaited.thread_block()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&awaited, flags)?)
}

fn read_job(descriptors: Vec<OwnedFd>) -> io::Result<Job> {
    let mut files = descriptors.into_iter().map(File::from);
    let mut file = files.next().ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let mut job = Job::decode(&bytes).ok_or(io::ErrorKind::InvalidData)?;
    job.output = match (files.next(), files.next()) {
        (Some(output), Some(errors)) => Some([output, errors]),
        _ => None,
    };
    Ok(job)
}

/// Reaps who has ended. Whether none is left.
fn reap(main: Pid, tell: &impl Fn(Word) -> bool) -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == main => {
                tell(Word::Ended { status, signal: 0 });
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                tell(Word::Ended {
                    status: 0,
                    signal: signal as i32,
                });
            }
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return true,
        }
    }
}

/// Kills the children of this process.
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
fn spawn(socket: &OwnedFd, job: Job, mask: SigSet) -> io::Result<Pid> {
    let mut words = job.words.into_iter();
    let name = words.next().ok_or(io::ErrorKind::NotFound)?;
    let code = filter::program();
    let socket = socket.try_clone()?;
    let guardian = getpid();
    let mut command = Command::new(name);
    command.args(words).envs(job.environment);
    if let Some([output, errors]) = job.output {
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
    }
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
            1 if answer == [GO] => Ok(()),
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
            Word::Ended {
                status: 0,
                signal: 15,
            },
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
