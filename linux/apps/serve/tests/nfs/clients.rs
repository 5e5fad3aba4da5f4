//! Many clients, such as vanish, and such as send noise.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::judge::{expected, found, judge, same};
use crate::stage::{Server, Stage, noise, run};
use crate::{serve, url};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[test]
fn twenty_clients_read_at_once() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let before = server.holds();
    let native = stage.native("disk.img");
    let expected = expected(&native.0);
    judge();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| same(&expected, &found(&server, "/disk.img")));
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
        let mut client = Command::new("nfs-cat")
            .arg(url(&server, "/huge.img/huge"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut some = [0; 1 << 20];
        client.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
    }
    server.settles_at(before);
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
    let before = server.holds();
    let resident = server.resident();
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
    for seed in 1..60 {
        let mut talk = connect(&server);
        let noise = noise(3000, seed);
        let heads: [&[u8]; 4] = [&[], &huge, &long, &compound];
        // The server may close before all is sent.
        let _ = talk.write_all(heads[seed as usize % 4]);
        let _ = talk.write_all(&noise);
        let _ = talk.shutdown(Shutdown::Write);
        let _ = talk.read_to_end(&mut Vec::new());
    }
    // Half a record, and silence behind it.
    let halves: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut talk = connect(&server);
            talk.write_all(&compound[..11]).unwrap();
            talk
        })
        .collect();
    // Records that never end.
    let endless: Vec<_> = (0..4)
        .map(|_| {
            let mut talk = connect(&server);
            std::thread::spawn(move || {
                let piece = [&[0x00, 0x10, 0x00, 0x00][..], &vec![7; 0x10_0000]].concat();
                (0..64).all(|_| talk.write_all(&piece).is_ok())
            })
        })
        .collect();
    for sender in endless {
        sender.join().unwrap();
    }
    assert!(found(&server, "/disk.img").len() > 300);
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
        .map(|_| {
            Command::new("nfs-cat")
                .arg(url(&server, "/huge.img/huge"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    sleep(Duration::from_millis(500));
    let took = server.end();
    assert!(took < Duration::from_secs(10), "{took:?}");
    for mut reader in readers {
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
