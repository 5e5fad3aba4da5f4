//! Many clients, such as vanish, and such as send noise.

use std::process::{Command, Stdio};

use crate::stage::exports::{ends_while_read, noise_does_no_harm, twenty_read_at_once, vanish};
use crate::stage::{Server, Stage, same, tree};
use crate::{copied, serve, shown};

fn reader(server: &Server) -> Command {
    let mut command = Command::new("smbclient");
    command.args(["-s", "/dev/null", "-N", "-E", "-p"]);
    command.arg(server.address.port().to_string());
    command.args(["//127.0.0.1/huge.img", "-c", "get huge -"]);
    command.stderr(Stdio::null());
    command
}

#[test]
fn twenty_clients_read_at_once() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let native = stage.native("disk.img");
    let expected = shown(tree(&native.0, false));
    twenty_read_at_once(&server, || {
        same(&expected, &copied(&stage, &server, "disk.img", &["-N"]));
    });
    server.end();
}

#[test]
fn clients_that_vanish_leave_nothing() {
    let stage = Stage::new();
    stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img", "disk.img"]);
    vanish(&server, reader);
    assert!(copied(&stage, &server, "disk.img", &["-N"]).len() > 300);
    server.end();
}

#[test]
fn noise_is_no_harm() {
    let stage = Stage::new();
    let server = serve(&stage, &["--memory", "64", "disk.img"]);
    // Heads of a record: as long as can be, of a packet that is too long, of one of SMB 2.
    let smb = [&[0, 0, 0x0b, 0xb8][..], b"\xfeSMB\x40\0"].concat();
    let heads: [&[u8]; 4] = [&[], &[0, 0xff, 0xff, 0xff], &[0, 0x7f, 0xff, 0xff], &smb];
    noise_does_no_harm(&server, heads, &smb[..7], || {
        assert!(copied(&stage, &server, "disk.img", &["-N"]).len() > 300);
    });
    server.end();
}

#[test]
fn a_server_ends_while_clients_read() {
    let stage = Stage::new();
    stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img"]);
    for mut reader in ends_while_read(server, reader) {
        assert!(!reader.wait().unwrap().success());
    }
}
