//! What is asked of the kernel's own servers alike: trees of other file systems, many clients, such as vanish, and such as send noise.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::geteuid;

use super::{Server, Stage, noise};

/// Has a look at a tree on each other kind of file system, and none of the images is another one afterwards. Needs root.
pub fn other_kinds(look: impl Fn(&Stage, &str)) {
    if !geteuid().is_root() {
        return;
    }
    for (kind, mib) in [("btrfs", 128), ("xfs", 320)] {
        let stage = Stage::new();
        stage.blank(kind, "disk.img", mib);
        stage.filled("disk.img");
        let before = fs::read(stage.path("disk.img")).unwrap();
        look(&stage, kind);
        assert!(fs::read(stage.path("disk.img")).unwrap() == before, "{kind}");
    }
}

/// A connection of a client that does not wait for ever.
pub fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Twenty clients read at once, and nothing of them stays.
pub fn twenty_read_at_once(server: &Server, read: impl Fn() + Sync) {
    let before = server.holds();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(&read);
        }
    });
    server.settles_at(before);
}

/// Clients are killed while they read, and nothing of them stays.
pub fn vanish(server: &Server, reader: impl Fn(&Server) -> Command) {
    let before = server.holds();
    for _ in 0..5 {
        let mut client = reader(server).stdout(Stdio::piped()).spawn().unwrap();
        let mut some = [0; 1 << 20];
        client.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
        client.kill().unwrap();
        client.wait().unwrap();
    }
    server.settles_at(before);
}

/// A server is told to end while clients read, and does so soon. Those clients.
pub fn ends_while_read(server: Server, reader: impl Fn(&Server) -> Command) -> Vec<Child> {
    let readers = (0..4).map(|_| reader(&server).stdout(Stdio::null()).spawn().unwrap());
    let readers = readers.collect();
    sleep(Duration::from_millis(700));
    let took = server.end();
    assert!(took < Duration::from_secs(10), "{took:?}");
    readers
}

/// Noise behind each of these heads of a record, and clients that stop within one, do no harm: the server still does what `then` asks
/// of it, and has little more memory.
pub fn noise_does_no_harm(server: &Server, heads: [&[u8]; 4], part: &[u8], then: impl FnOnce()) {
    let before = server.holds();
    let resident = server.resident();
    for seed in 1..60 {
        let mut talk = connect(server);
        // The server may close before all is sent.
        let _ = talk.write_all(heads[seed as usize % 4]);
        let _ = talk.write_all(&noise(3000, seed));
        let _ = talk.shutdown(Shutdown::Write);
        let _ = talk.read_to_end(&mut Vec::new());
    }
    // A part of a record, and silence behind it.
    let parts = (0..50).map(|_| {
        let mut talk = connect(server);
        talk.write_all(part).unwrap();
        talk
    });
    let parts: Vec<TcpStream> = parts.collect();
    then();
    drop(parts);
    server.settles_at(before);
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 160 << 20, "{} MiB more", grown >> 20);
}
