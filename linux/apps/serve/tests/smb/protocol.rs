//! What is read, who is let in, and what is refused.

use std::fs;

use crate::stage::exports::other_kinds;
use crate::stage::{Stage, lossy, run, same, tree, try_run};
use crate::{client, copied, serve, shown, try_client};

#[test]
fn a_whole_tree_is_what_this_machine_mounts() {
    // SMB does not show that one, and all else in its folder.
    let stage = Stage::crowded(b"\xff\xfe");
    let server = serve(&stage, &["disk.img"]);
    let native = stage.native("disk.img");
    let expected = shown(tree(&native.0, false));
    assert!(expected.len() > 5300);
    same(&expected, &copied(&stage, &server, "disk.img", &["-N"]));
    server.end();
}

#[test]
fn trees_of_other_file_systems_are_what_this_machine_mounts() {
    other_kinds(|stage, kind| {
        let server = serve(stage, &["disk.img"]);
        let native = stage.native("disk.img");
        let expected = shown(tree(&native.0, false));
        drop(native);
        assert!(expected.len() > 300, "{kind}");
        same(&expected, &copied(stage, &server, "disk.img", &["-N"]));
        server.end();
    });
}

#[test]
fn each_image_and_partition_is_a_share() {
    let stage = Stage::of_images();
    // The FAT has a file, by mtools.
    let fat = format!("{}@@{}", stage.name("parts.img"), 135_168 * 512);
    run("mcopy", &["-i", &fat, &stage.name("tree/text"), "::/Text.TXT"]);
    let before = fs::read(stage.path("parts.img")).unwrap();
    let server = serve(&stage, &["disk.img", "parts.img", "other/disk.img"]);
    let listed = client(&server, "", &["-N", "-g", "-L", "127.0.0.1"]);
    for share in ["disk.img", "disk.img (2)", "parts.img-part1", "parts.img-part3"] {
        assert!(listed.contains(&format!("Disk|{share}|")), "{listed}");
    }
    assert!(!listed.contains("part2"), "{listed}");
    let native = stage.native("disk.img");
    let expected = shown(tree(&native.0, false));
    for share in ["disk.img", "DISK.IMG (2)", "parts.img-part1"] {
        same(&expected, &copied(&stage, &server, share, &["-N"]));
    }
    let got = stage.name("got");
    client(
        &server,
        "parts.img-part3",
        &["-N", "-c", &format!("get text.txt {got}")],
    );
    assert_eq!(fs::read(&got).unwrap(), b"one\ntwo\n");
    server.end();
    assert!(fs::read(stage.path("parts.img")).unwrap() == before);
}

#[test]
fn a_file_above_4_gib_is_read_at_its_end() {
    let stage = Stage::new();
    let size = stage.huge(b"the very end");
    let server = serve(&stage, &["huge.img"]);
    assert!(client(&server, "huge.img", &["-N", "-c", "ls"]).contains(&size.to_string()));
    let port = server.address.port();
    let get =
        format!("smbclient -s /dev/null -N -E -p {port} //127.0.0.1/huge.img -c 'get huge -' | tail -c 12");
    assert_eq!(run("timeout", &["300", "sh", "-c", &get]), "the very end");
    server.end();
}

#[test]
fn nothing_can_be_changed() {
    let stage = Stage::new();
    let before = fs::read(stage.path("disk.img")).unwrap();
    let server = serve(&stage, &["disk.img"]);
    for command in [
        "put /etc/passwd new",
        "put /etc/passwd text",
        "mkdir folder",
        "del text",
        "rename text other",
        "deltree empty",
        "setmode text +h",
        "allinfo text; utimes text 2001:01:01-00:00:00 -1 -1 -1",
    ] {
        let output = try_client(&server, "disk.img", &["-N", "-c", command]);
        let said = lossy(&output.stdout) + &lossy(&output.stderr);
        assert!(said.contains("NT_STATUS_"), "{command}: {said}");
    }
    let native = stage.native("disk.img");
    let expected = shown(tree(&native.0, false));
    same(&expected, &copied(&stage, &server, "disk.img", &["-N"]));
    server.end();
    assert!(fs::read(stage.path("disk.img")).unwrap() == before);
}

#[test]
fn users_are_asked_for_their_passwords() {
    let stage = Stage::new();
    fs::write(stage.path("word"), "pass:wörd\n").unwrap();
    let user = format!("joe:{}", stage.name("word"));
    let server = serve(&stage, &["--user", &user, "disk.img"]);
    let got = stage.name("got");
    let get = format!("get text {got}");
    for right in [
        &["-U", "joe%pass:wörd"][..],
        &["-U", "JOE%pass:wörd"],
        &["-U", "joe%pass:wörd", "-m", "SMB2"],
    ] {
        client(&server, "disk.img", &[right, &["-c", &get]].concat());
        assert_eq!(fs::read(&got).unwrap(), b"one\ntwo\n");
        fs::remove_file(&got).unwrap();
    }
    // Signed, and sealed.
    for kind in ["sign", "encrypt"] {
        let protection = format!("--client-protection={kind}");
        client(
            &server,
            "disk.img",
            &["-U", "joe%pass:wörd", &protection, "-c", &get],
        );
        assert_eq!(fs::read(&got).unwrap(), b"one\ntwo\n");
        fs::remove_file(&got).unwrap();
    }
    for wrong in [
        &["-U", "joe%word"][..],
        &["-U", "joe%"],
        &["-U", "ann%pass:wörd"],
        &["-N"],
        &["-U", "guest%"],
    ] {
        let output = try_client(&server, "disk.img", &[wrong, &["-c", &get]].concat());
        let said = lossy(&output.stdout) + &lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("NT_STATUS_"),
            "{wrong:?}: {said}"
        );
        assert!(!fs::exists(&got).unwrap());
    }
    assert!(!server.log().contains("wörd"));
    server.end();
    let both = serve(&stage, &["--user", &user, "--anonymous", "disk.img"]);
    for arguments in [&["-N"][..], &["-U", "joe%pass:wörd"]] {
        client(&both, "disk.img", &[arguments, &["-c", "ls"]].concat());
    }
    let wrong = try_client(&both, "disk.img", &["-U", "joe%word", "-c", "ls"]);
    assert!(!wrong.status.success());
    both.end();
}

#[test]
fn what_is_not_there_is_not_found() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    for share in ["other", "disk.img$", "ADMIN$", "exports", "..", "0"] {
        let output = try_client(&server, share, &["-N", "-c", "ls"]);
        assert!(!output.status.success(), "{share}");
    }
    for path in [
        "nothing-of-this-name",
        "..\\..\\proc\\version",
        "out",
        "deep\\absolute",
    ] {
        let got = stage.name("got");
        let command = format!("get {path} {got}");
        let output = try_client(&server, "disk.img", &["-N", "-c", &command]);
        assert!(!output.status.success(), "{path}");
        assert!(fs::read(&got).unwrap_or_default().is_empty(), "{path}");
    }
    server.end();
}

#[test]
fn an_operator_is_told_what_to_type() {
    let stage = Stage::new();
    let server = serve(&stage, &["disk.img"]);
    let hint = server.line();
    let command = hint.trim().split_once("shares: ").unwrap().1.to_owned();
    assert!(run("sh", &["-c", &command]).contains("disk.img"));
    assert!(server.line().contains("mount -t cifs"));
    server.end();
    let long = format!("{}:{}", "x".repeat(60), stage.name("tree/text"));
    let wrong = try_run(
        env!("CARGO_BIN_EXE_lklserve"),
        &[
            "smb",
            "--listen",
            "127.0.0.1:0",
            "--user",
            &long,
            &stage.name("disk.img"),
        ],
    );
    assert_eq!(wrong.status.code(), Some(2), "{}", lossy(&wrong.stderr));
}
