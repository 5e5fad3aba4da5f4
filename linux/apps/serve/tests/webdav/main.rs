//! `lklserve webdav` as its clients find it.

#![cfg(target_os = "linux")]

mod clients;
mod protocol;
#[path = "../stage/mod.rs"]
mod stage;

use std::fs;

use stage::{Server, Stage};
fn serve(stage: &Stage, arguments: &[&str]) -> Server {
    Server::start(stage, "lklserve", arguments)
}

/// A stage whose tree has no link to a folder above it, which the machine's own view would not end in.
fn stage() -> Stage {
    let stage = Stage::new();
    fs::remove_file(stage.path("tree/deep/back")).unwrap();
    stage.make("disk.img", 64);
    stage
}
