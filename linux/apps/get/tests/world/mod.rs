//! A network of the test's own: a name space of this machine's with a TAP device, and a web server in it, by hyper over the
//! machine's own stack. lklget is at the other end of the TAP device.

#![allow(dead_code)] // each test uses a part

mod server;

pub use server::Server;

use networks::Machine;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The TAP device, and the options that have lklget at the other end of it.
const TAP: &str = "lklget0";
pub const NET: [&str; 4] = ["--net", "tap:lklget0", "--ip", "10.9.1.2/24"];
/// The server's address there.
pub const HERE: &str = "10.9.1.1";

pub struct World {
    pub server: Server,
    pub machine: Machine,
    place: TempDir,
}

impl World {
    pub fn new() -> World {
        let machine = Machine::new();
        machine.tap(TAP, 1, 1500, true);
        World {
            server: Server::new(),
            machine,
            place: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Where lklget runs.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// What a file there has.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.place().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Whether there is a file of that name.
    pub fn has(&self, name: &str) -> bool {
        self.place().join(name).exists()
    }

    /// A server without TLS.
    pub fn http(&self, address: &str) -> SocketAddr {
        let listener = self.machine.inside(|| std::net::TcpListener::bind(address));
        self.server.start(listener.expect("a free port"), None)
    }

    /// A server that cuts its answers.
    pub fn cut(&self, address: &str) -> SocketAddr {
        let listener = self.machine.inside(|| std::net::TcpListener::bind(address));
        self.server.cut(listener.expect("a free port"))
    }

    /// A server with TLS whose certificate is for `name`, as `IP:10.9.1.1`; and the certificate.
    pub fn https(&self, address: &str, name: &str) -> (SocketAddr, PathBuf) {
        let file = |end: &str| {
            self.place()
                .join(format!("{}.{end}", name.replace([':', '.'], "-")))
        };
        let (certificate, key) = (file("pem"), file("key"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
            .args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj"])
            .arg("/CN=server")
            .args(["-addext", &format!("subjectAltName={name}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()
            .expect("openssl starts");
        assert!(made.status.success(), "{made:?}");
        let listener = self.machine.inside(|| std::net::TcpListener::bind(address));
        let address = self
            .server
            .start(listener.expect("a free port"), Some((&certificate, &key)));
        (address, certificate)
    }

    /// lklget, not started yet: over the TAP device.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lklget"));
        command.args(NET).args(arguments).current_dir(self.place());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_command(&mut self.command(arguments))
    }

    /// Runs any program in the machine's name space.
    pub fn run_command(&self, command: &mut Command) -> Run {
        let Output {
            status,
            stdout,
            stderr,
        } = self.machine.inside(|| command.output()).expect("it starts");
        Run {
            code: status.code().expect("no signal"),
            out: stdout,
            err: String::from_utf8(stderr).expect("text"),
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Run {
    /// It went well.
    pub fn well(self) -> Run {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }

    /// The objects of `--json`.
    pub fn stats(&self) -> Vec<serde_json::Value> {
        let lines = self.err.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}
