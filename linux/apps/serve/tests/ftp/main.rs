//! `lklftpd` as its clients find it.

#![cfg(target_os = "linux")]

mod clients;
mod protocol;
#[path = "../stage/mod.rs"]
mod stage;
mod starting;
mod uploads;
mod writing;

use stage::{Server, Stage};
fn serve(stage: &Stage, arguments: &[&str]) -> Server {
    Server::start(stage, "lklftpd", arguments)
}
