//! Many clients, slow ones, and such as vanish: what is left behind is nothing.

#![cfg(target_os = "linux")]

mod stage;

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stage::{Server, Stage, Talk, lossy, noise};

const AT_ONCE: usize = 100;

#[test]
fn a_hundred_ftp_clients_are_served_at_once() {
    let stage = Stage::new();
    let server = Server::start(&stage, "lklftpd", &["disk.img"]);
    let before = server.holds();
    let expected = noise(3_000_001, 7);
    // All are there before the first is served, and none leaves before the last is.
    let mut talks: Vec<Talk> = (0..AT_ONCE).map(|_| Talk::ftp(server.address)).collect();
    assert_eq!(server.holds().1, AT_ONCE);
    let mut datas: Vec<_> = talks.iter_mut().map(Talk::data).collect();
    for talk in &mut talks {
        assert!(talk.ask("TYPE I").starts_with("200 "));
        assert!(talk.ask("RETR disk.img/large").starts_with("150 "));
    }
    std::thread::scope(|scope| {
        for data in &mut datas {
            scope.spawn(|| {
                let mut bytes = Vec::new();
                data.read_to_end(&mut bytes).unwrap();
                assert!(bytes == expected);
            });
        }
    });
    for talk in &mut talks {
        assert!(talk.hear().starts_with("226 "));
        assert!(talk.ask("NOOP").starts_with("200 "));
    }
    drop((talks, datas));
    server.settles_at(before);
    server.end();
}

#[test]
fn a_hundred_webdav_clients_are_served_at_once() {
    let stage = Stage::new();
    let server = Server::start(&stage, "lklserve", &["disk.img"]);
    let before = server.holds();
    let expected = noise(3_000_001, 7);
    let mut talks: Vec<Talk> = (0..AT_ONCE).map(|_| Talk::with(server.address)).collect();
    for talk in &mut talks {
        talk.say(b"GET /disk.img/large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    }
    std::thread::scope(|scope| {
        for talk in &mut talks {
            scope.spawn(|| assert!(talk.rest().ends_with(&expected)));
        }
    });
    drop(talks);
    server.settles_at(before);
    server.end();
}

#[test]
fn one_client_too_many_is_told_so_and_the_others_stay() {
    let stage = Stage::new();
    let server = Server::start(&stage, "lklftpd", &["--max-clients", "2", "disk.img"]);
    let mut first = Talk::ftp(server.address);
    let held = server.holds();
    let second = Talk::ftp(server.address);
    assert!(Talk::with(server.address).hear().starts_with("421 "));
    assert!(first.ask("NOOP").starts_with("200 "));
    drop(second);
    server.settles_at(held);
    assert!(Talk::ftp(server.address).ask("NOOP").starts_with("200 "));
    server.end();
}

#[test]
fn a_client_that_is_killed_in_the_middle_leaves_nothing() {
    let stage = Stage::new();
    stage.huge(b"end");
    for (program, scheme) in [("lklftpd", "ftp"), ("lklserve", "http")] {
        let server = Server::start(&stage, program, &["huge.img"]);
        let before = server.holds();
        let url = format!("{scheme}://{}/huge.img/huge", server.address);
        let mut clients: Vec<_> = (0..10)
            .map(|_| {
                let mut client = Command::new("curl")
                    .args(["-sS", &url])
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                client
                    .stdout
                    .as_mut()
                    .unwrap()
                    .read_exact(&mut [0; 1 << 20])
                    .unwrap();
                client
            })
            .collect();
        assert_eq!(server.holds().1, 10, "{program}");
        for client in &mut clients {
            client.kill().unwrap();
            client.wait().unwrap();
        }
        server.settles_at(before);
        let again = Command::new("curl")
            .args(["-sS", "-r", "0-9", &url])
            .output()
            .unwrap();
        assert_eq!(again.stdout, [0; 10], "{}", lossy(&again.stderr));
        server.end();
    }
}

#[test]
fn slow_readers_keep_no_other_client_waiting() {
    let stage = Stage::new();
    stage.huge(b"end");
    for program in ["lklftpd", "lklserve"] {
        let server = Server::start(&stage, program, &["huge.img", "disk.img"]);
        let before = server.holds();
        let mut slow = Vec::new();
        for _ in 0..20 {
            if program == "lklftpd" {
                let mut talk = Talk::ftp(server.address);
                let data = talk.data();
                assert!(talk.ask("RETR huge.img/huge").starts_with("150 "));
                slow.push((talk, Some(data)));
            } else {
                let mut talk = Talk::with(server.address);
                talk.say(b"GET /huge.img/huge HTTP/1.1\r\nHost: localhost\r\n\r\n");
                slow.push((talk, None));
            }
        }
        let scheme = if program == "lklftpd" { "ftp" } else { "http" };
        let (url, to) = (
            format!("{scheme}://{}/disk.img/large", server.address),
            stage.name("got"),
        );
        let begun = Instant::now();
        stage::run("curl", &["-sS", "-o", &to, &url]);
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{program}: {:?}",
            begun.elapsed()
        );
        assert!(fs::read(&to).unwrap() == noise(3_000_001, 7));
        drop(slow);
        server.settles_at(before);
        server.end();
    }
}

#[test]
fn a_client_that_says_nothing_is_sent_away() {
    let stage = Stage::new();
    let server = Server::start(&stage, "lklftpd", &["--idle", "1", "disk.img"]);
    let before = server.holds();
    let (mut talk, mut stranger) = (Talk::ftp(server.address), Talk::with(server.address));
    assert!(talk.hear().starts_with("421 "));
    assert!(stranger.hear().starts_with("220 ") && stranger.hear().starts_with("421 "));
    server.settles_at(before);
    server.end();
    let server = Server::start(&stage, "lklserve", &["--idle", "1", "disk.img"]);
    let before = server.holds();
    let (mut silent, mut halfway) = (Talk::with(server.address), Talk::with(server.address));
    halfway.say(b"GET / HTTP/1.1\r\nHost: loc");
    let mut asking = Talk::with(server.address);
    asking.say(b"PROPFIND / HTTP/1.1\r\nHost: localhost\r\nDepth: 0\r\nContent-Length: 100\r\n\r\n<");
    assert!(lossy(&asking.rest()).contains(" 408 "));
    assert!(silent.rest().is_empty());
    halfway.rest();
    server.settles_at(before);
    server.end();
}

#[test]
fn a_signal_cuts_transfers_and_the_image_is_as_it_was() {
    let stage = Stage::new();
    stage.huge(b"end");
    let image = fs::read(stage.path("huge.img")).unwrap();
    for (program, scheme) in [("lklftpd", "ftp"), ("lklserve", "http")] {
        let server = Server::start(&stage, program, &["huge.img"]);
        let url = format!("{scheme}://{}/huge.img/huge", server.address);
        let mut client = Command::new("curl")
            .args(["-sS", &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 1 << 20])
            .unwrap();
        let took = server.end();
        assert!(took < Duration::from_secs(10), "{program}: {took:?}");
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_to_end(&mut Vec::new())
            .unwrap();
        assert!(
            !client.wait().unwrap().success(),
            "{program}: a cut file looks whole"
        );
        assert!(fs::read(stage.path("huge.img")).unwrap() == image, "{program}");
    }
}

#[test]
fn a_damaged_image_ends_a_transfer_and_not_the_server() {
    let stage = Stage::new();
    // The image ends before the file's bytes do.
    let image = fs::OpenOptions::new()
        .write(true)
        .open(stage.path("disk.img"))
        .unwrap();
    let len = image.metadata().unwrap().len();
    let server = Server::start(&stage, "lklftpd", &["disk.img"]);
    image.set_len(1 << 20).unwrap();
    let mut talk = Talk::ftp(server.address);
    assert!(talk.ask("TYPE I").starts_with("200 "));
    let mut data = talk.data();
    let begun = talk.ask("RETR disk.img/large");
    if begun.starts_with("150 ") {
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() < 3_000_001);
        let ended = talk.hear();
        assert!(ended.starts_with("451 "), "{ended}");
    } else {
        assert!(begun.starts_with("550 "), "{begun}");
    }
    assert!(talk.ask("NOOP").starts_with("200 "));
    image.set_len(len).unwrap();
    let _ = std::io::stderr().flush();
    server.end();
}
