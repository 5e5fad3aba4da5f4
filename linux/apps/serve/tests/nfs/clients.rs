//! Many clients, such as vanish, and such as send noise.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::judge::{expected, found, judge};
use crate::stage::exports::{connect, ends_while_read, noise_does_no_harm, twenty_read_at_once, vanish};
use crate::stage::{Server, Stage, run, same};
use crate::{serve, url};

fn reader(server: &Server) -> Command {
    let mut command = Command::new("nfs-cat");
    command.arg(url(server, "/huge.img/huge")).stderr(Stdio::null());
    command
}

#[test]
fn twenty_clients_read_at_once() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let native = stage.native("disk.img");
    let expected = expected(&native.0);
    judge();
    twenty_read_at_once(&server, || same(&expected, &found(&server, "/disk.img")));
    server.end();
}

#[test]
fn clients_that_vanish_leave_nothing() {
    let stage = Stage::new();
    stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img", "disk.img"]);
    vanish(&server, reader);
    assert!(found(&server, "/disk.img").len() > 300);
    server.end();
}

#[test]
fn a_client_too_many_is_sent_away_and_a_silent_one_too() {
    let stage = Stage::new();
    let server = serve(&stage, &["--max-clients", "2", "--idle", "2", "disk.img"]);
    let before = server.holds();
    let mut talks = [connect(&server), connect(&server)];
    while server.holds().1 < 2 {
        sleep(Duration::from_millis(10));
    }
    assert!(matches!(connect(&server).read(&mut [0; 1]), Ok(0) | Err(_)));
    let begun = Instant::now();
    for talk in &mut talks {
        assert_eq!(talk.read(&mut [0; 1]).unwrap(), 0);
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    server.settles_at(before);
    assert!(found(&server, "/disk.img").len() > 300);
    server.end();
}

#[test]
fn noise_is_no_harm() {
    let stage = Stage::new();
    let server = serve(&stage, &["--memory", "64", "disk.img"]);
    let huge = [0xff, 0xff, 0xff, 0xff];
    let long = 0x7fff_0000u32.to_be_bytes();
    // A call of program 100003 in version 4 with a COMPOUND of very many operations.
    let words = |words: &[u32]| {
        words
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect::<Vec<u8>>()
    };
    let compound = words(&[
        0x8000_0040,
        7,
        0,
        2,
        100_003,
        4,
        1,
        0,
        0,
        0,
        0,
        0,
        1,
        0xffff_ffff,
        0,
        0,
        0,
    ]);
    let heads: [&[u8]; 4] = [&[], &huge, &long, &compound];
    noise_does_no_harm(&server, heads, &compound[..11], || {
        // Records that never end.
        let endless = (0..4).map(|_| {
            let mut talk = connect(&server);
            std::thread::spawn(move || {
                let piece = [&[0x00, 0x10, 0x00, 0x00][..], &vec![7; 0x10_0000]].concat();
                (0..64).all(|_| talk.write_all(&piece).is_ok())
            })
        });
        let endless: Vec<_> = endless.collect();
        for sender in endless {
            sender.join().unwrap();
        }
        assert!(found(&server, "/disk.img").len() > 300);
    });
    server.end();
}

#[test]
fn a_server_ends_while_clients_read() {
    let stage = Stage::new();
    stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img"]);
    for mut reader in ends_while_read(server, reader) {
        // libnfs tries to connect again for ever.
        let _ = reader.kill();
        reader.wait().unwrap();
    }
}

#[test]
fn an_operator_is_told_what_to_type() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let hint = server.line();
    let port = server.address.port().to_string();
    assert!(hint.contains("mount -t nfs4") && hint.contains(&port), "{hint}");
    let hint = server.line();
    let command = hint.trim().split_once("without root: ").unwrap().1.to_owned();
    assert!(run("sh", &["-c", &command]).contains("disk.img"));
    server.end();
    assert!(!fs::exists("/exports").unwrap());
}
