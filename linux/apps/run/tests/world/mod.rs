//! A network of the test's own: a name space of this machine's with a TAP device, at the other end of which lklrun is.

#![allow(dead_code)] // each test uses a part

use networks::Machine;
use processes::{LONGEST, Run, Server};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The options that have lklrun at the other end of the TAP device.
pub const NET: [&str; 4] = ["--net", "tap:lklrun0", "--ip", "10.9.1.2/24"];
/// The machine's address there, and lklrun's.
pub const HERE: &str = "10.9.1.1";
pub const THERE: &str = "10.9.1.2";

pub struct World {
    pub machine: Machine,
    place: TempDir,
}

impl World {
    pub fn new() -> World {
        let machine = Machine::new();
        machine.tap("lklrun0", 1, 1500, true);
        World {
            machine,
            place: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A folder of its own, in which all is run.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// A program under lklrun, over the TAP device; not started yet.
    pub fn under(&self, program: &[&str]) -> Command {
        self.with(&NET, program)
    }

    /// A program under lklrun with these options.
    pub fn with(&self, options: &[&str], program: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lklrun"));
        command.args(options).arg("--").args(program);
        command.current_dir(self.place()).stdin(Stdio::null());
        command
    }

    /// A program of the machine's own, in the name space.
    pub fn own(&self, program: &[&str]) -> Command {
        let (name, arguments) = program.split_first().expect("a program");
        let mut command = Command::new(name);
        command.args(arguments).current_dir(self.place());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it in the name space to its end.
    pub fn run(&self, mut command: Command) -> Run {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.machine.inside(|| command.spawn()).expect("it starts");
        Run::of(child, LONGEST)
    }

    /// Starts a server under lklrun, and waits until it takes connections at that port.
    pub fn serve(&self, command: Command, port: u16) -> Server {
        self.listening(command, (THERE, port))
    }

    /// A web server of the machine's own that has the folder's files.
    pub fn web(&self) -> (Server, SocketAddr) {
        let port = self.free_port();
        let command = self.own(&["python3", "-m", "http.server", &port.to_string(), "--bind", HERE]);
        let server = self.listening(command, (HERE, port));
        (server, SocketAddr::new(HERE.parse().expect("an address"), port))
    }

    /// Starts a server, and waits until it takes connections there.
    fn listening(&self, mut command: Command, address: (&str, u16)) -> Server {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = self.machine.inside(|| command.spawn()).expect("it starts");
        let mut server = Server(child);
        let end = Instant::now() + LONGEST;
        while self.machine.inside(|| TcpStream::connect(address)).is_err() {
            assert!(server.0.try_wait().expect("a child").is_none(), "it has ended");
            assert!(Instant::now() < end, "nothing listens");
            thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn free_port(&self) -> u16 {
        let listener = self.machine.inside(|| TcpListener::bind((HERE, 0)));
        let address = listener.and_then(|listener| listener.local_addr());
        address.expect("a free port").port()
    }

    /// A server of the machine's own that sends back what it gets, and ends with the test's process.
    pub fn echo(&self) -> SocketAddr {
        let listener = self
            .machine
            .inside(|| TcpListener::bind((HERE, 0)))
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepted");
                thread::spawn(move || {
                    let mut room = [0; 65536];
                    // A client may reset it.
                    while let Ok(len @ 1..) = stream.read(&mut room) {
                        if stream.write_all(&room[..len]).is_err() {
                            break;
                        }
                    }
                });
            }
        });
        address
    }

    /// A file of noise in the folder.
    pub fn noise(&self, name: &str, len: usize) -> Vec<u8> {
        let bytes = networks::noise(0, len);
        std::fs::write(self.place().join(name), &bytes).expect("written");
        bytes
    }

    /// What a file there has.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.place().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Compiles a program in C, statically.
    pub fn compile(&self, name: &str) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/programs")
            .join(format!("{name}.c"));
        let program = self.place().join(name);
        let made = Command::new("cc")
            .args(["-static", "-O1", "-Wall", "-Werror", "-pthread", "-o"])
            .arg(&program)
            .arg(source)
            .output()
            .expect("cc");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        program
    }
}

/// A path to one of the test programs.
pub fn program(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(name);
    path.to_str().expect("UTF-8").to_owned()
}
