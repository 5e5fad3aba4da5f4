//! A whole run: the launcher, Linux up, the program, Linux down.

use crate::cli::{Cli, PROGRAM};
use crate::names;
use crate::{End, Job, Launcher, Running, SIGNALS};
use lkl_net_setup::{Network, Settings};
use lkl_session::exit::{Exit, Failure, reason};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use rustix::process::Signal;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long a router's advertisement is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long, at the end, what was sent is waited to arrive for.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// The program, as a signal finds it.
type Started = Arc<OnceLock<Arc<Running>>>;

/// Does what the command line says: the exit status.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let settings = settings(&cli)?;
    let fault = |what: &'static str| {
        move |error: io::Error| Failure::new(Exit::Other, format_args!("{what}: {}", reason(&error)))
    };
    let launcher = Launcher::start(PROGRAM).map_err(fault("processes"))?;
    raise_descriptor_limit();
    let started = Started::default();
    forward_signals(&started).map_err(fault("signals"))?;
    let network = Network::open(&settings)?;
    let mut job: Job = cli.program.iter().collect();
    let servers = network.namespace.name_servers();
    let addresses: Vec<_> = servers.servers.iter().map(|server| server.ip()).collect();
    let servers = names::servers(&addresses, &servers.search);
    job.files
        .extend(servers.map(|text| (names::SERVERS.into(), text)));
    let running = launcher.run(&job, &network.namespace);
    let running = Arc::new(running.map_err(fault("processes"))?);
    let running = started.get_or_init(|| running);
    let end = running.wait();
    if !network.kernel().is_dead() {
        wait_for_last_bytes(running, &network);
    }
    running.close();
    let closed = network.close();
    if let End::Unstarted(errno) = end {
        let name = cli.program.first().map(|name| name.to_string_lossy());
        say_unstarted(&name.unwrap_or_default(), errno);
        return Ok(end.status().into());
    }
    closed?;
    Ok(end.status().into())
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
    let Some(path) = &cli.config else {
        return Ok(cli.network.settings(PROGRAM, PATIENCE));
    };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format_args!("{shown}: {}; name a file of LKL's JSON", reason(&error)),
        )
    })?;
    Settings::from_json(PROGRAM, &shown, &text)
}

/// What is said of a program that was not started.
fn say_unstarted(name: &str, errno: i32) {
    let error = io::Error::from_raw_os_error(errno);
    let why = match error.kind() {
        io::ErrorKind::NotFound => "no such program".to_owned(),
        _ => reason(&error),
    };
    eprintln!("lklrun: {name}: {why}; name a program that can be executed");
}

/// Starts the thread that hands signals on to the program.
fn forward_signals(started: &Started) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.extend(SIGNALS);
    signals.thread_block()?;
    let source = SignalFd::new(&signals)?;
    let started = Arc::clone(started);
    thread::Builder::new().name("signals".into()).spawn(move || {
        loop {
            let Ok(Some(signal)) = source.read_signal() else {
                continue;
            };
            // The terminal has sent it to the program, too, which is in the same group of processes.
            let of_terminal = signal.ssi_code == libc::SI_KERNEL;
            let number = signal.ssi_signo.cast_signed();
            let running = started.get();
            let known = match (running, Signal::from_named_raw(number)) {
                (Some(running), _) if of_terminal && running.end().is_none() => true,
                (Some(running), Some(signal)) => running.signal(signal),
                _ => false,
            };
            if !known {
                eprintln!("lklrun: interrupted; the program was not started yet");
                std::process::exit(i32::from(Exit::Interrupted as u8));
            }
        }
    })?;
    Ok(())
}

/// Waits until what the program has sent has arrived: with a process, Linux's sockets do not end.
fn wait_for_last_bytes(running: &Running, network: &Network) {
    let end = Instant::now() + LAST_WAIT;
    while Instant::now() < end && !(running.is_idle() && is_acknowledged(network)) {
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
