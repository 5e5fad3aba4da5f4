//! Uploads that go wrong, many at once, and servers that end: what was answered 226 is there whole, and nothing else is.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::process::{Child, Command, Stdio};

use crate::stage::{Stage, Talk, noise, run, same, tree, try_run};
use crate::writing::{KINDS, is_root, serve};

/// A client that has sent a part of a file, and waits with the rest.
fn halfway(url: &str, options: &[&str], bytes: &[u8]) -> Child {
    let mut client = Command::new("curl")
        .args(["-sS", "-T", "-", url])
        .args(options)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    client.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    client
}

#[test]
fn a_client_that_is_killed_leaves_nothing_and_the_old_file_whole() {
    if !is_root() {
        return;
    }
    for (kind, mib) in KINDS {
        let stage = Stage::new();
        stage.blank(kind, "new.img", mib);
        let server = serve(&stage, "new.img");
        let url = |name: &str| format!("{}/new.img/{name}", server.ftp());
        let before = server.holds();
        for name in ["replaced", "grown", "resumed"] {
            run("curl", &["-sS", "-T", &stage.name("tree/large"), &url(name)]);
        }
        let bytes = noise(4_000_000, 9);
        let mut clients = vec![
            halfway(&url("fresh"), &[], &bytes),
            halfway(&url("replaced"), &[], &bytes),
            halfway(&url("grown"), &["-a"], &bytes),
            halfway(&url("empty"), &[], b""),
        ];
        // The server has had most of it when the rest of it does not fit into sockets.
        for client in &mut clients {
            client.kill().unwrap();
            client.wait().unwrap();
        }
        // One that closes both connections in order, without a word, is gone as well.
        let mut talk = Talk::ftp(server.address);
        assert!(talk.ask("TYPE I").starts_with("200 "));
        assert!(talk.ask("REST 1000").starts_with("350 "));
        let mut data = talk.data();
        assert!(talk.ask("STOR new.img/resumed").starts_with("150 "));
        data.write_all(&bytes).unwrap();
        talk.reader.get_mut().shutdown(Shutdown::Both).unwrap();
        drop((talk, data));
        server.settles_at(before);
        server.end();
        stage.check(kind, "new.img");
        let native = stage.shown(kind, "new.img");
        let large = noise(3_000_001, 7);
        let mut names: Vec<_> = tree(&native.0, false).into_keys().collect();
        names.sort();
        assert_eq!(
            names,
            ["grown", "replaced", "resumed"].map(std::path::PathBuf::from),
            "{kind}"
        );
        for name in names {
            assert!(
                fs::read(native.0.join(&name)).unwrap() == large,
                "{kind}: {name:?}"
            );
        }
    }
}

#[test]
fn twenty_clients_write_at_once_and_each_file_is_one_clients() {
    if !is_root() {
        return;
    }
    for (kind, mib) in KINDS {
        let stage = Stage::new();
        stage.blank(kind, "new.img", mib);
        let server = serve(&stage, "new.img");
        let before = server.holds();
        let bytes = |client: usize| noise(700_000 + client, client as u64 + 1);
        std::thread::scope(|scope| {
            for client in 0..20 {
                let (server, bytes) = (&server, bytes(client));
                scope.spawn(move || {
                    let mut talk = Talk::ftp(server.address);
                    assert!(talk.ask("TYPE I").starts_with("200 "));
                    for name in [format!("own-{client}"), "shared".to_owned()] {
                        let mut data = talk.data();
                        let reply = talk.ask(&format!("STOR new.img/{name}"));
                        assert!(reply.starts_with("150 "), "{reply}");
                        data.write_all(&bytes).unwrap();
                        drop(data);
                        let reply = talk.hear();
                        assert!(reply.starts_with("226 "), "{reply}");
                    }
                });
            }
        });
        server.settles_at(before);
        server.end();
        stage.check(kind, "new.img");
        let native = stage.shown(kind, "new.img");
        assert_eq!(tree(&native.0, false).len(), 21, "{kind}");
        for client in 0..20 {
            let found = fs::read(native.0.join(format!("own-{client}"))).unwrap();
            assert!(found == bytes(client), "{kind}: {client}");
        }
        let shared = fs::read(native.0.join("shared")).unwrap();
        assert!((0..20).any(|client| shared == bytes(client)), "{kind}");
    }
}

#[test]
fn a_full_image_is_told_and_nothing_is_lost() {
    if !is_root() {
        return;
    }
    for (kind, mib) in KINDS {
        let stage = Stage::new();
        stage.blank(kind, "new.img", mib);
        let server = serve(&stage, "new.img");
        let large = stage.name("tree/large");
        let url = |name: &str| format!("{}/new.img/{name}", server.ftp());
        run("curl", &["-sS", "-T", &large, &url("kept")]);
        run("curl", &["-sS", "-T", &large, &url("grown")]);
        let huge = stage.name("huge");
        fs::write(&huge, noise((mib as usize + 8) << 20, 5)).unwrap();
        for (name, option) in [("fresh", "-s"), ("kept", "-s"), ("grown", "-a")] {
            let output = try_run("curl", &["-v", "-T", &huge, option, &url(name)]);
            assert!(!output.status.success(), "{kind} {name}");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("< 452 "), "{kind} {name}: {said}");
        }
        // What was promised beforehand is looked at beforehand.
        let mut talk = Talk::ftp(server.address);
        assert!(talk.ask(&format!("ALLO {}", mib << 20)).starts_with("200 "));
        drop(talk.data());
        assert!(talk.ask("STOR new.img/more").starts_with("452 "));
        drop(talk);
        // There is room again.
        run("curl", &["-sS", "-T", &large, &url("after")]);
        server.end();
        stage.check(kind, "new.img");
        let native = stage.shown(kind, "new.img");
        assert_eq!(tree(&native.0, false).len(), 3, "{kind}");
        for name in ["kept", "grown", "after"] {
            assert!(
                fs::read(native.0.join(name)).unwrap() == noise(3_000_001, 7),
                "{kind}: {name}"
            );
        }
    }
}

#[test]
fn what_was_answered_is_there_after_the_server_is_killed() {
    if !is_root() {
        return;
    }
    for (kind, mib) in KINDS {
        let stage = Stage::new();
        stage.blank(kind, "new.img", mib);
        for round in 0..3 {
            let server = serve(&stage, "new.img");
            let mut talk = Talk::ftp(server.address);
            assert!(talk.ask("TYPE I").starts_with("200 "));
            let folder = format!("new.img/folder-{round}/within");
            assert!(
                talk.ask(&format!("MKD new.img/folder-{round}"))
                    .starts_with("257 ")
            );
            assert!(talk.ask(&format!("MKD {folder}")).starts_with("257 "));
            for number in 0..10u64 {
                let mut data = talk.data();
                let name = format!("{folder}/file-{number}");
                assert!(talk.ask(&format!("STOR {name}")).starts_with("150 "));
                data.write_all(&noise(50_000 + number as usize, number + 1))
                    .unwrap();
                drop(data);
                assert!(talk.hear().starts_with("226 "));
            }
            assert!(talk.ask(&format!("RNFR {folder}/file-0")).starts_with("350 "));
            assert!(talk.ask(&format!("RNTO {folder}/file-1")).starts_with("250 "));
            assert!(talk.ask(&format!("DELE {folder}/file-2")).starts_with("250 "));
            // One is under way.
            let mut data = talk.data();
            assert!(talk.ask(&format!("STOR {folder}/half")).starts_with("150 "));
            data.write_all(&noise(1_000_000, 1)).unwrap();
            server.kill();
        }
        stage.recover(kind, "new.img");
        // FAT has no journal: what a crash leaves there is for its repair.
        if kind != "vfat" {
            stage.check(kind, "new.img");
        }
        let native = stage.shown(kind, "new.img");
        for round in 0..3 {
            let folder = native.0.join(format!("folder-{round}/within"));
            for number in 3..10u64 {
                let found = fs::read(folder.join(format!("file-{number}"))).unwrap();
                assert!(
                    found == noise(50_000 + number as usize, number + 1),
                    "{kind} {round} {number}"
                );
            }
            assert!(
                fs::read(folder.join("file-1")).unwrap() == noise(50_000, 1),
                "{kind}"
            );
            for gone in ["file-0", "file-2", "half"] {
                assert!(!folder.join(gone).exists(), "{kind} {round} {gone}");
            }
            if kind != "vfat" {
                assert_eq!(fs::read_dir(&folder).unwrap().count(), 8, "{kind}");
            }
        }
    }
}

#[test]
fn a_signal_in_the_middle_of_uploads_unmounts_what_is_whole() {
    if !is_root() {
        return;
    }
    for (kind, mib) in KINDS {
        let stage = Stage::new();
        stage.blank(kind, "new.img", mib);
        let server = serve(&stage, "new.img");
        let url = |name: &str| format!("{}/new.img/{name}", server.ftp());
        run("curl", &["-sS", "-T", &stage.name("tree/large"), &url("done")]);
        let mut clients: Vec<Child> = (0..5)
            .map(|client| halfway(&url(&format!("half-{client}")), &[], &noise(2_000_000, client)))
            .collect();
        clients.push(halfway(&url("done"), &["-a"], &noise(2_000_000, 8)));
        server.end();
        for client in &mut clients {
            drop(client.stdin.take());
            assert!(
                !client.wait().unwrap().success(),
                "{kind}: it was told that its file is stored"
            );
        }
        stage.check(kind, "new.img");
        let native = stage.shown(kind, "new.img");
        let found = tree(&native.0, false);
        same(
            &[("done".into(), found[std::path::Path::new("done")].clone())].into(),
            &found,
        );
        assert!(
            fs::read(native.0.join("done")).unwrap() == noise(3_000_001, 7),
            "{kind}"
        );
    }
}
