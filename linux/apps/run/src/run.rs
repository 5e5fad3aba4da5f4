//! A whole run: the guardian, Linux up, the program, Linux down.

use crate::cli::Cli;
use crate::guardian::{Guardian, SIGNALS, Word};
use crate::names;
use crate::notify::Notifier;
use crate::supervisor::Supervisor;
use lkl_net_setup::{Network, Settings};
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::program::Program;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open, pidfd_send_signal};
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a router's advertisement is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long, at the end, what was sent is waited to arrive for.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// The program, as a signal finds it.
enum Progress {
    /// Not started.
    Before,
    Running(OwnedFd),
    /// It has ended, and may have left others.
    After,
}

struct Shared {
    guardian: Guardian,
    progress: Mutex<Progress>,
    died: AtomicBool,
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what the command line says: the exit status.
pub fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let settings = settings(&cli)?;
    let name = cli
        .program
        .first()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let fault = |what: &'static str| {
        move |error: io::Error| Failure::new(Exit::Other, format_args!("{what}: {}", reason(&error)))
    };
    let shared = Arc::new(Shared {
        guardian: Guardian::start(cli.program).map_err(fault("processes"))?,
        progress: Mutex::new(Progress::Before),
        died: AtomicBool::new(false),
    });
    raise_descriptor_limit();
    forward_signals(&shared).map_err(fault("signals"))?;
    let network = Network::open(&settings)?;
    let servers = network.namespace.name_servers();
    let addresses: Vec<_> = servers.servers.iter().map(|server| server.ip()).collect();
    let names = names::text(&addresses, &servers.search);
    let guardian = &shared.guardian;
    guardian.launch(names.as_deref()).map_err(fault("processes"))?;
    let mut supervisor = None;
    let mut status = None;
    let mut failed = None;
    loop {
        match guardian.listen().map_err(fault("processes"))? {
            Some(Word::Note(text)) => Program::new("lklrun").note(text),
            Some(Word::Ready {
                process,
                notifications,
            }) => {
                let started = supervise(&shared, &network, process, notifications);
                supervisor = Some(started.map_err(fault("seccomp"))?);
            }
            Some(Word::Failed(errno)) => {
                failed = Some(io::Error::from_raw_os_error(errno));
                break;
            }
            Some(Word::Ended(code)) => {
                status = Some(code);
                *shared.progress() = Progress::After;
            }
            Some(Word::Gone) | None => break,
        }
    }
    if let Some(supervisor) = &supervisor {
        if !shared.died.load(Ordering::Acquire) {
            wait_for_last_bytes(supervisor, &network);
        }
        supervisor.stop();
    }
    let closed = network.close();
    guardian.reap();
    if let Some(error) = failed {
        return Ok(unstarted(&name, &error).into());
    }
    closed?;
    // A guardian that was killed has not told; the program was killed with it.
    Ok(u8::try_from(status.unwrap_or(137)).unwrap_or(u8::MAX).into())
}

/// Each socket of the program's takes a descriptor here, whatever the program's own limit is.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the limit that there is it works for fewer sockets.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn settings(cli: &Cli) -> Result<Settings, Failure> {
    let program = Program::new("lklrun");
    let Some(path) = &cli.config else {
        return Ok(cli.network.settings(program, PATIENCE));
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format_args!("{shown}: {}; name a file of LKL's JSON", reason(&error)),
        )
    })?;
    Settings::from_json(program, &shown, &text)
}

/// What is said of a program that was not started, and the exit status.
fn unstarted(name: &str, error: &io::Error) -> u8 {
    let (why, status) = match error.kind() {
        io::ErrorKind::NotFound => ("no such program".to_owned(), 127),
        _ => (reason(error), 126),
    };
    eprintln!("lklrun: {name}: {why}; name a program that can be executed");
    status
}

/// Serves the calls of a program that is ready, and lets it go on.
fn supervise(
    shared: &Arc<Shared>,
    network: &Network,
    process: i32,
    notifications: i32,
) -> io::Result<Arc<Supervisor>> {
    let pid = Pid::from_raw(process).ok_or(io::ErrorKind::InvalidData)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let notifier = Notifier::new(pidfd_getfd(&pidfd, notifications, PidfdGetfdFlags::empty())?);
    let supervisor = Arc::new(Supervisor::new(network.kernel(), notifier)?);
    let theirs = Arc::clone(shared);
    supervisor.start(move || {
        theirs.died.store(true, Ordering::Release);
        theirs.guardian.kill_all();
    })?;
    *shared.progress() = Progress::Running(pidfd);
    shared.guardian.go()?;
    Ok(supervisor)
}

/// Starts the thread that hands signals on to the program.
fn forward_signals(shared: &Arc<Shared>) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.extend(SIGNALS);
    let source = SignalFd::new(&signals)?;
    let shared = Arc::clone(shared);
    thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            let Ok(Some(signal)) = source.read_signal() else {
                continue;
            };
            // The terminal has sent it to the program, too, which is in the same group of processes.
            let of_terminal = signal.ssi_code == libc::SI_KERNEL;
            let number = signal.ssi_signo.cast_signed();
            match &*shared.progress() {
                Progress::Before => {
                    eprintln!("lklrun: interrupted; the program was not started yet");
                    std::process::exit(i32::from(Exit::Interrupted as u8));
                }
                Progress::Running(_) if of_terminal => {}
                Progress::Running(program) => {
                    if let Some(signal) = Signal::from_named_raw(number) {
                        // It may have ended.
                        let _ = pidfd_send_signal(program, signal);
                    }
                }
                Progress::After => shared.guardian.kill_all(),
            }
        }
    })?;
    Ok(())
}

/// Waits until what the program has sent has arrived: with a process, Linux's sockets do not end.
fn wait_for_last_bytes(supervisor: &Supervisor, network: &Network) {
    let end = Instant::now() + LAST_WAIT;
    while Instant::now() < end && !(supervisor.is_idle() && is_acknowledged(network)) {
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether no connection has bytes that its peer has not confirmed.
fn is_acknowledged(network: &Network) -> bool {
    ["thread-self/net/tcp", "thread-self/net/tcp6"]
        .iter()
        .filter_map(|table| network.namespace.read_proc(table).ok())
        .all(|table| table.lines().skip(1).all(is_confirmed))
}

/// A line of Linux's table of connections: number, own address, peer, state, and what is to be sent, in hexadecimal.
fn is_confirmed(line: &str) -> bool {
    const LISTENING: &str = "0A";
    let mut words = line.split_whitespace().skip(3);
    let (state, queues) = (words.next(), words.next());
    state == Some(LISTENING)
        || queues
            .and_then(|queues| queues.split(':').next())
            .is_none_or(|queue| queue.bytes().all(|digit| digit == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_waits_for_its_peer_is_told_from_one_that_does_not() {
        let line = |state: &str, queue: &str| {
            format!("   0: 0200090A:0050 0100090A:9C40 {state} {queue}:00000000 01:00000014 00000000  0 0 1")
        };
        assert!(is_confirmed(&line("01", "00000000")));
        assert!(!is_confirmed(&line("04", "00000001")));
        assert!(is_confirmed(&line("0A", "00000005")));
    }
}
