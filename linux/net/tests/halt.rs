//! Threads and tasks that wait in Linux come back when it is halted, and leave nothing. One test: its Linux is the only one of the process.

#![cfg(target_os = "linux")]

mod waiting;
mod world;

use lkl::{Errno, Halt};
use lkl_net::{TcpStream, errno};
use waiting::{Waiting, threads};
use world::{boot, network_of};

#[test]
fn every_thread_that_waits_ends_with_enodev_when_linux_is_halted() {
    let before = threads();
    let kernel = boot();
    let network = network_of(&kernel);
    let waiting = Waiting::new(&network);
    assert_eq!(kernel.clone().halt(), Halt::Whole);
    waiting.end();
    let error = network
        .enter(|| TcpStream::connect("127.0.0.1:1"))
        .expect_err("gone");
    assert_eq!(errno(&error), Some(Errno::ENODEV));
    drop((network, kernel));
    assert_eq!(threads(), before, "threads are left");
}
