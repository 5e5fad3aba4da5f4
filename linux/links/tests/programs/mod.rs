//! Programs of others that packets go through. Each ends with the test.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// In a line of `/proc/PID/net/unix`: the flag `__SO_ACCEPTCON`, and the type `SOCK_DGRAM`.
const ACCEPTS_CONNECTIONS: &str = "00010000";
const DATAGRAMS: &str = "0002";

/// A program that runs.
pub struct Program(Child);

impl Program {
    /// Starts it, and waits until the sockets that it makes at its start can be connected to.
    pub fn new(command: &Command, makes: &[&Path]) -> Program {
        // The thread that starts it is the test's: it ends with that, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(command.get_program())
            .args(command.get_args())
            // For some the end of it is theirs.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setpriv of util-linux");
        let mut program = Program(child);
        let end = Instant::now() + Duration::from_secs(20);
        while !makes.iter().all(|path| program.serves(path)) {
            if let Some(status) = program.0.try_wait().unwrap() {
                panic!("{command:?}: {status}");
            }
            assert!(Instant::now() < end, "{command:?} does not make {makes:?}");
            thread::sleep(Duration::from_millis(10));
        }
        program
    }

    /// A socket has its path before connections are accepted there. The kernel's table tells the two apart, where a connection made for
    /// trial would be the peer of a program that takes only one.
    fn serves(&self, path: &Path) -> bool {
        let path = path.to_str().expect("a path of the test's");
        let sockets = fs::read_to_string(format!("/proc/{}/net/unix", self.0.id())).unwrap_or_default();
        sockets.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(3);
            let (flags, kind) = (fields.next(), fields.next());
            line.ends_with(path) && (flags == Some(ACCEPTS_CONNECTIONS) || kind == Some(DATAGRAMS))
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// QEMU without a machine, which hands packets on between what these options of `-netdev` name: `KIND,ID-LESS OPTIONS`.
pub fn qemu(ends: &[String]) -> Command {
    let mut command = Command::new("qemu-system-sparc");
    command.args(["-M", "none", "-nodefaults", "-display", "none"]);
    command.args(["-monitor", "none", "-serial", "none"]);
    for (number, end) in ends.iter().enumerate() {
        let (kind, options) = end.split_once(',').unwrap_or((end, ""));
        let comma = if options.is_empty() { "" } else { "," };
        command.arg("-netdev");
        command.arg(format!("{kind},id=end{number}{comma}{options}"));
        command.arg("-netdev");
        command.arg(format!("hubport,id=hub{number},hubid=0,netdev=end{number}"));
    }
    command
}
