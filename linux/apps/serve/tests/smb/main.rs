//! `lklserve smb` as its clients find it. The judge is Samba's smbclient.

#![cfg(target_os = "linux")]

mod clients;
mod protocol;
#[path = "../stage/mod.rs"]
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use stage::{Server, Stage, lossy, run, tree, try_run};

fn serve(stage: &Stage, arguments: &[&str]) -> Server {
    Server::start(stage, "smb", arguments)
}

/// Runs smbclient with a server's share, or with `-L` for its list.
fn try_client(server: &Server, share: &str, arguments: &[&str]) -> Output {
    let port = server.address.port().to_string();
    let share = format!("//127.0.0.1/{share}");
    let fixed = [
        "120",
        "smbclient",
        "-s",
        "/dev/null",
        "-m",
        "SMB3",
        "-p",
        &port,
        &share,
    ];
    try_run("timeout", &[&fixed[..], arguments].concat())
}

/// The same, where it must do well: what it printed.
fn client(server: &Server, share: &str, arguments: &[&str]) -> String {
    let output = try_client(server, share, arguments);
    let said = lossy(&output.stdout) + &lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}\n{}", server.log());
    said
}

/// What a client copies of a share: files with their sizes, times and bytes, and folders.
fn copied(stage: &Stage, server: &Server, share: &str, arguments: &[&str]) -> BTreeMap<PathBuf, String> {
    let place = tempfile::tempdir_in(stage.place.path()).unwrap();
    let (tar, at) = (place.path().join("tar"), place.path().join("at"));
    fs::create_dir(&at).unwrap();
    let make = [arguments, &["-E", "-Tc", tar.to_str().unwrap()]].concat();
    let output = try_client(server, share, &make);
    assert!(tar.exists(), "{}", lossy(&output.stderr));
    run("tar", &["-xf", tar.to_str().unwrap(), "-C", at.to_str().unwrap()]);
    let mut found = tree(&at, false);
    // What is no file has no bytes for ksmbd.
    let fifo = found.remove(std::path::Path::new("fifo"));
    assert!(fifo.is_none_or(|what| what.starts_with("file 0 ")));
    found
}

/// What of a tree SMB shows: no links, and no names with marks that it has for other things.
fn shown(tree: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    let odd = |path: &PathBuf| {
        path.to_str()
            .is_none_or(|text| text.contains(['?', '"', '<', '>', '*', '|', ':', '\\']))
    };
    let kept = tree
        .into_iter()
        .filter(|(path, what)| !odd(path) && !what.starts_with("link"));
    kept.collect()
}
