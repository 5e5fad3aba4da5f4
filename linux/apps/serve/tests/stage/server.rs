//! The servers, as processes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Stage;

/// A server that runs.
pub struct Server {
    child: Child,
    says: Mutex<BufReader<ChildStdout>>,
    pub address: SocketAddr,
    log: PathBuf,
    ended: bool,
}

impl Server {
    /// Starts `lklftpd`, or `lklserve` for a protocol (`lklserve` alone is WebDAV), at any port.
    pub fn start(stage: &Stage, program: &str, arguments: &[&str]) -> Server {
        Server::start_with(stage, program, arguments, &[])
    }

    /// At this address.
    pub fn start_at(stage: &Stage, program: &str, address: &str, arguments: &[&str]) -> Server {
        Server::start_as(stage, program, address, arguments, &[])
    }

    /// With variables of the environment.
    pub fn start_with(
        stage: &Stage,
        program: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Server {
        Server::start_as(stage, program, "127.0.0.1:0", arguments, variables)
    }

    fn start_as(
        stage: &Stage,
        program: &str,
        address: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Server {
        let log = stage.path(&format!("log-{}", arguments.len()));
        let (exe, protocol) = match program {
            "lklftpd" => (env!("CARGO_BIN_EXE_lklftpd"), None),
            "lklserve" => (env!("CARGO_BIN_EXE_lklserve"), Some("webdav")),
            protocol => (env!("CARGO_BIN_EXE_lklserve"), Some(protocol)),
        };
        let mut child = Command::new(exe)
            .args(protocol)
            .args(["--listen", address])
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(stage.place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut says = BufReader::new(child.stdout.take().unwrap());
        says.read_line(&mut line).unwrap();
        let address = line
            .trim()
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let said = || fs::read_to_string(&log).unwrap();
        let address = address
            .parse()
            .unwrap_or_else(|_| panic!("{program}: {line}{}", said()));
        Server {
            child,
            says: Mutex::new(says),
            address,
            log,
            ended: false,
        }
    }

    pub fn ftp(&self) -> String {
        format!("ftp://{}", self.address)
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next line that it has printed.
    pub fn line(&self) -> String {
        let mut line = String::new();
        self.says.lock().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// Bytes of memory that it has.
    pub fn resident(&self) -> u64 {
        let pages = fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).unwrap()
    }

    /// Its descriptors, and its threads but for Linux's own.
    pub fn holds(&self) -> (usize, usize) {
        let count = |what: &str| {
            let folder = format!("/proc/{}/{what}", self.child.id());
            fs::read_dir(folder).unwrap().count()
        };
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let clients = threads.flatten().filter(|thread| {
            fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name.trim() == "client")
        });
        (count("fd"), clients.count())
    }

    /// Waits until it holds no more than it did.
    pub fn settles_at(&self, before: (usize, usize)) {
        let begun = Instant::now();
        while self.holds() != before {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{:?}, before {before:?}\n{}",
                self.holds(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a loss of power would.
    pub fn kill(mut self) {
        self.ended = true;
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Time that it has had a processor.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name in parentheses: the state, ten numbers, user time, system time, in hundredths of a second.
        let (_, words) = stat.rsplit_once(") ").unwrap();
        let times = words.split(' ').skip(11).take(2);
        Duration::from_millis(times.map(|time| time.parse::<u64>().unwrap() * 10).sum())
    }

    /// Tells it to end; it must do so soon, and well.
    pub fn end(self) -> Duration {
        let (begun, log) = (Instant::now(), self.log.clone());
        assert_eq!(self.end_with(), 0, "{}", fs::read_to_string(log).unwrap());
        begun.elapsed()
    }

    /// Tells it to end, which it must do soon. Its exit code.
    pub fn end_with(mut self) -> i32 {
        self.ended = true;
        let begun = Instant::now();
        kill_process(self.pid(), Signal::TERM).unwrap();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status
                    .code()
                    .unwrap_or_else(|| panic!("{status}: {}", self.log()));
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
