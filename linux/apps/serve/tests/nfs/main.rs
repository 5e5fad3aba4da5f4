//! `lklserve nfs` as its clients find it. The judge is libnfs: its own programs, and one in C over it (`judge.c`).

#![cfg(target_os = "linux")]

mod clients;
mod judge;
mod protocol;
#[path = "../stage/mod.rs"]
mod stage;

use stage::{Server, Stage};

fn serve(stage: &Stage, arguments: &[&str]) -> Server {
    Server::start(stage, "nfs", arguments)
}

/// An address for libnfs.
fn url(server: &Server, path: &str) -> String {
    let (ip, port) = (server.address.ip(), server.address.port());
    format!("nfs://{ip}{path}?version=4&nfsport={port}")
}
