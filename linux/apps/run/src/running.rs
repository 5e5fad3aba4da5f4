//! A job that runs: its supervisor, how it has ended, and its end with whoever has started it.

use crate::guardian::{Guardian, Word};
use crate::job::Job;
use crate::notify::Notifier;
use crate::supervisor::Supervisor;
use lkl_net::Namespace;
use lkl_session::program::Program;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open, pidfd_send_signal};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How a program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit status.
    Exited(u8),
    /// By this signal.
    Killed(i32),
    /// It was not started: the error's number.
    Unstarted(i32),
}

impl End {
    /// As shells have it: the exit status, 128 and the signal, 127 for a program that is not there, 126 for one that cannot be
    /// started.
    pub fn status(self) -> u8 {
        match self {
            End::Exited(status) => status,
            End::Killed(signal) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
            End::Unstarted(libc::ENOENT) => 127,
            End::Unstarted(_) => 126,
        }
    }
}

/// What the guardian has told.
#[derive(Default)]
struct Told {
    /// The program, while it runs.
    process: Option<OwnedFd>,
    /// How the program has ended, and when.
    end: Option<(End, Instant)>,
    /// All that it has left is gone, too.
    over: bool,
    supervisor: Option<Arc<Supervisor>>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    guardian: Guardian,
    told: Mutex<Told>,
    changed: Condvar,
}

/// A job that was started. When this goes, what is left of the job is killed, and its sockets are closed.
pub struct Running(Arc<Shared>);

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first of what is told of its end counts.
    fn end(&self, end: End) {
        let mut told = self.told();
        told.process = None;
        told.end.get_or_insert((end, Instant::now()));
        self.changed.notify_all();
    }

    /// Hears the guardian to its end.
    fn listen(self: &Arc<Shared>, namespace: &Namespace, program: Program) {
        while let Ok(Some(word)) = self.guardian.listen() {
            match word {
                Word::Note(text) => program.note(text),
                Word::Ready {
                    process,
                    notifications,
                } => {
                    if let Err(error) = self.supervise(namespace, process, notifications) {
                        self.end(End::Unstarted(error.raw_os_error().unwrap_or(libc::EIO)));
                        self.guardian.kill_all();
                    }
                }
                Word::Failed(errno) => self.end(End::Unstarted(errno)),
                Word::Ended { status, signal: 0 } => {
                    self.end(End::Exited(u8::try_from(status).unwrap_or(u8::MAX)));
                }
                Word::Ended { signal, .. } => self.end(End::Killed(signal)),
                Word::Gone => break,
            }
        }
        // A guardian that was killed has not told; the program was killed with it.
        self.end(End::Killed(libc::SIGKILL));
        self.told().over = true;
        self.changed.notify_all();
    }

    /// Serves the calls of a program that is ready, and lets it go on.
    fn supervise(
        self: &Arc<Shared>,
        namespace: &Namespace,
        process: i32,
        notifications: i32,
    ) -> io::Result<()> {
        let pid = Pid::from_raw(process).ok_or(io::ErrorKind::InvalidData)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let notifier = Notifier::new(pidfd_getfd(&pidfd, notifications, PidfdGetfdFlags::empty())?);
        let supervisor = Arc::new(Supervisor::new(namespace, notifier)?);
        let mut told = self.told();
        told.supervisor = Some(Arc::clone(&supervisor));
        told.process = Some(pidfd);
        drop(told);
        let shared = Arc::downgrade(self);
        supervisor.start(move || {
            if let Some(shared) = shared.upgrade() {
                shared.guardian.kill_all();
            }
        })?;
        self.guardian.go()
    }
}

impl Running {
    /// Has a guardian start a job.
    pub(crate) fn begin(
        guardian: Guardian,
        job: &Job,
        namespace: &Namespace,
        program: Program,
    ) -> io::Result<Running> {
        guardian.launch(job)?;
        let shared = Arc::new(Shared {
            guardian,
            told: Mutex::default(),
            changed: Condvar::new(),
        });
        let (its, namespace) = (Arc::clone(&shared), namespace.clone());
        let listener = thread::Builder::new().name("guardian".into());
        let listener = listener.spawn(move || its.listen(&namespace, program))?;
        shared.told().listener = Some(listener);
        Ok(Running(shared))
    }

    /// Waits until the program and all that it has started are gone: how the program has ended.
    pub fn wait(&self) -> End {
        let told = self.0.told();
        let told = self.0.changed.wait_while(told, |told| !told.over);
        let told = told.unwrap_or_else(PoisonError::into_inner);
        told.end.map_or(End::Killed(libc::SIGKILL), |(end, _)| end)
    }

    /// The same, for so long at most. `None`: it is not over yet.
    pub fn wait_timeout(&self, patience: Duration) -> Option<End> {
        let told = self.0.told();
        let waited = self
            .0
            .changed
            .wait_timeout_while(told, patience, |told| !told.over);
        let (told, _) = waited.unwrap_or_else(PoisonError::into_inner);
        told.end.filter(|_| told.over).map(|(end, _)| end)
    }

    /// How the program itself has ended, and when, if it has. What it has started may run still.
    pub fn end(&self) -> Option<(End, Instant)> {
        self.0.told().end
    }

    /// Sends the program a signal; when it has ended, all that it has left is killed. Whether it was started yet.
    pub fn signal(&self, signal: Signal) -> bool {
        let told = self.0.told();
        match (&told.process, told.end) {
            (Some(process), None) => {
                // It may have ended.
                let _ = pidfd_send_signal(process, signal);
            }
            (None, None) => return false,
            (_, Some(_)) => self.0.guardian.kill_all(),
        }
        true
    }

    /// Kills the program and all that it has started.
    pub fn kill(&self) {
        self.0.guardian.kill_all();
    }

    /// Whether no socket is left that the program has had: what it has sent is with Linux.
    pub fn is_idle(&self) -> bool {
        let told = self.0.told();
        told.supervisor
            .as_ref()
            .is_none_or(|supervisor| supervisor.is_idle())
    }
}

impl Running {
    /// Kills what is left of the job, and closes its sockets, as when this goes.
    pub fn close(&self) {
        self.kill();
        let listener = self.0.told().listener.take();
        if let Some(listener) = listener {
            // One that has panicked has said so.
            let _ = listener.join();
        }
        let supervisor = self.0.told().supervisor.take();
        if let Some(supervisor) = supervisor {
            supervisor.stop();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.close();
    }
}
