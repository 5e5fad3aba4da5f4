//! A Linux that stops ends a server at once, whoever is connected.

#![cfg(target_os = "linux")]

mod stage;

use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser;
use lkl_net::Namespace;
use lkl_server::exported::{self, Forwarder};
use lkl_server::nfs;
use lkl_server::program::{Holding, Shared, Start};
use lkl_session::exit::Exit;
use lkl_session::program::Program;

use stage::Stage;

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    shared: Shared,
}

#[test]
fn a_linux_that_stops_ends_the_server_with_its_code() {
    const PANIC: u64 = 5;
    let stage = Stage::new();
    let shared = Options::parse_from(["test", "--quiet", &stage.name("disk.img")]).shared;
    // A port that is free now.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let start = Start {
        name: "test",
        scheme: "nfs",
        hint: |_| String::new(),
        address,
        refusal: b"",
        most: 10,
        last_wait: Duration::from_secs(10),
        report: shared.report(),
    };
    let (sender, receiver) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let open = || {
            let held = nfs::open(Program::new("test"), &shared)?;
            let kernel = held.kernel().unwrap().clone();
            let forwarder = Forwarder {
                network: Namespace::initial(&kernel),
                server: lkl_exports::nfs::Server::address(),
                idle: Duration::from_secs(300),
                report: shared.report(),
            };
            sender.send(kernel).unwrap();
            Ok((forwarder, held))
        };
        start.run(open, |to| {
            move |stream, from| exported::serve(to.clone(), stream, from)
        })
    });
    let kernel = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    let _ = kernel.self_test_of(PANIC);
    while !server.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let failure = server.join().unwrap().unwrap_err();
    assert_eq!(failure.exit, Exit::Kernel, "{failure}");
}
