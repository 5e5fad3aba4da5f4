//! What the tests stand on: images and this machine's own mount of them ([`images`]), what a tree is ([`trees`]), servers
//! ([`server`]), conversations with them ([`talk`]), what clients of FTP and WebDAV read alike ([`reads`]), and what the kernel's own
//! servers are asked for alike ([`exports`]).

#![allow(dead_code, unused_imports)] // each test program uses a part of it

pub mod exports;
pub mod images;
pub mod reads;
pub mod server;
pub mod talk;
pub mod trees;

use std::process::{Command, Output, Stdio};

pub use images::Stage;
pub use server::Server;
pub use talk::Talk;
pub use trees::{noise, same, tree, without_time};

/// Runs a program that must do well; what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = try_run(program, arguments);
    let (text, said) = (lossy(&output.stdout), lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}: {text}{said}",
        output.status
    );
    text
}

/// Runs a program.
pub fn try_run(program: &str, arguments: &[&str]) -> Output {
    let command = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    command.unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask setup installs it"))
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
