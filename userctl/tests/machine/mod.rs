//! A machine with the real `lklfs.sys`, which `double serve` has loaded in the NT kernel double, for the real `userctl`.
//!
//! It ends with the end of the server's input, and passes only when the driver left nothing behind: the server's exit
//! code says so.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The server: it lies beside `userctl`, where `cargo test --workspace` has put both.
fn double() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_userctl")).with_file_name("double");
    assert!(
        path.exists(),
        "there is no {}: run cargo build -p ntos --bin double",
        path.display()
    );
    path
}

/// Who a program is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum As {
    Administrator,
    User,
}

/// A machine with the driver loaded.
pub struct Machine {
    pub child: Child,
    /// Closed, it ends the machine.
    input: Option<ChildStdin>,
    pub place: tempfile::TempDir,
}

impl Machine {
    /// With `folder` as drive C:.
    pub fn start(folder: &Path, options: &[&str]) -> Machine {
        let driver =
            std::env::var_os("LKLFS_SYS").expect("LKLFS_SYS names lklfs.sys: run this by `cargo xtask test`");
        let place = tempfile::tempdir().unwrap();
        let mut child = Command::new(double())
            .arg("serve")
            .arg("--socket")
            .arg(place.path().join("socket"))
            .arg("--user-socket")
            .arg(place.path().join("user-socket"))
            .arg("--drive-c")
            .arg(folder)
            .args(options)
            .env("LKLFS_SYS", driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("double: ready at "), "the server says {line:?}");
        Machine {
            input: child.stdin.take(),
            child,
            place,
        }
    }

    pub fn socket(&self, who: As) -> PathBuf {
        self.place.path().join(match who {
            As::Administrator => "socket",
            As::User => "user-socket",
        })
    }

    /// The real binary, with the driver in its reach.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_userctl"));
        command
            .args(arguments)
            .env("LKLFS_CONTROL", self.socket(As::Administrator));
        command
    }

    pub fn userctl(&self, arguments: &[&str]) -> assert_cmd::assert::Assert {
        self.userctl_as(As::Administrator, arguments)
    }

    pub fn userctl_as(&self, who: As, arguments: &[&str]) -> assert_cmd::assert::Assert {
        assert_cmd::Command::from_std(self.command(arguments))
            .env("LKLFS_CONTROL", self.socket(who))
            .timeout(Duration::from_secs(120))
            .assert()
    }

    /// What a command that does all it is asked for prints; it says nothing on stderr.
    pub fn bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let assert = self.userctl(arguments).code(0).stderr("");
        assert.get_output().stdout.clone()
    }

    pub fn says(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.bytes(arguments)).unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Mounts an image of drive C:; its letter.
    pub fn mount(&self, name: &str, more: &[&str]) -> String {
        let said = self.says(&[&["mount", &format!("C:\\{name}")], more].concat());
        said.trim_end().to_string()
    }

    /// One line on stderr with all of `words`, nothing on stdout, and the exit code.
    pub fn fails(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let assert = self.userctl(arguments).code(code).stdout("");
        one_line(&String::from_utf8_lossy(&assert.get_output().stderr), words);
    }

    /// Ends the machine; nothing may be left.
    pub fn end(mut self) {
        self.input = None;
        self.ended();
    }

    /// Waits for its end.
    pub fn ended(&mut self) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.code(), Some(0), "the driver left something behind");
                for who in [As::Administrator, As::User] {
                    assert!(!self.socket(who).exists(), "a socket is left");
                }
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "the server does not end"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What has ended is not hurt by this; what a failed test leaves goes.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn one_line(said: &str, words: &[&str]) {
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("userctl: "), "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}
