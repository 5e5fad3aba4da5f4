//! Many clients, such as vanish, and such as send noise.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::stage::{Server, Stage, noise, same, tree};
use crate::{copied, serve, shown};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

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
    let before = server.holds();
    let native = stage.native("disk.img");
    let expected = shown(tree(&native.0, false));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| same(&expected, &copied(&stage, &server, "disk.img", &["-N"])));
        }
    });
    server.settles_at(before);
    server.end();
}

#[test]
fn clients_that_vanish_leave_nothing() {
    let stage = Stage::new();
    stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img", "disk.img"]);
    let before = server.holds();
    for _ in 0..5 {
        let mut client = reader(&server).stdout(Stdio::piped()).spawn().unwrap();
        let mut some = [0; 1 << 20];
        client.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
    }
    server.settles_at(before);
    assert!(copied(&stage, &server, "disk.img", &["-N"]).len() > 300);
    server.end();
}

#[test]
fn noise_is_no_harm() {
    let stage = Stage::new();
    let server = serve(&stage, &["--memory", "64", "disk.img"]);
    let before = server.holds();
    let resident = server.resident();
    // Heads of a record: as long as can be, of a packet that is too long, of one of SMB 2.
    let smb = [&[0, 0, 0x0b, 0xb8][..], b"\xfeSMB\x40\0"].concat();
    let heads: [&[u8]; 4] = [&[], &[0, 0xff, 0xff, 0xff], &[0, 0x7f, 0xff, 0xff], &smb];
    for seed in 1..60 {
        let mut talk = connect(&server);
        // The server may close before all is sent.
        let _ = talk.write_all(heads[seed as usize % 4]);
        let _ = talk.write_all(&noise(3000, seed));
        let _ = talk.shutdown(Shutdown::Write);
        let _ = talk.read_to_end(&mut Vec::new());
    }
    // Half a record, and silence behind it.
    let halves: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut talk = connect(&server);
            talk.write_all(&smb[..7]).unwrap();
            talk
        })
        .collect();
    assert!(copied(&stage, &server, "disk.img", &["-N"]).len() > 300);
    drop(halves);
    server.settles_at(before);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 160 << 20, "{} MiB more", grown >> 20);
    server.end();
}

#[test]
fn a_server_ends_while_clients_read() {
    let stage = Stage::new();
    stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img"]);
    let readers: Vec<_> = (0..4)
        .map(|_| reader(&server).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    sleep(Duration::from_millis(700));
    let took = server.end();
    assert!(took < Duration::from_secs(10), "{took:?}");
    for mut reader in readers {
        assert!(!reader.wait().unwrap().success());
    }
}
