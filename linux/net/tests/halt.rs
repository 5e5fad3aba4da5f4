//! Threads and tasks that wait in Linux come back when it is halted. One test: a process boots Linux once.

#![cfg(target_os = "linux")]

mod world;

use lkl::{Errno, Halt};
use lkl_net::{Epoll, TcpListener, TcpStream, UdpSocket, errno};
use std::io::{self, Read};
use std::thread;
use std::time::Duration;
use world::{kernel, network};

#[test]
fn every_thread_that_waits_ends_with_enodev_when_linux_is_halted() {
    let network = network();
    let mut waiting: Vec<thread::JoinHandle<io::Result<()>>> = Vec::new();
    network.enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let mut quiet = TcpStream::connect(address).expect("connected");
        let mut busy = TcpStream::connect(address).expect("connected");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let epoll = Epoll::new(&network).expect("made");
        let ends = [(); 2].map(|()| listener.accept().expect("accepted"));
        waiting.push(thread::spawn(move || {
            let _ends = ends;
            listener.accept().map(drop)
        }));
        waiting.push(thread::spawn(move || quiet.read(&mut [0]).map(drop)));
        waiting.push(thread::spawn(move || udp.recv(&mut [0]).map(drop)));
        waiting.push(thread::spawn(move || epoll.wait(&mut Vec::new(), None)));
        waiting.push(thread::spawn(move || {
            loop {
                io::Write::write(&mut busy, &[0; 4096])?;
            }
        }));
    });
    #[cfg(feature = "tokio")]
    let task = {
        let network = network.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = lkl_net::tokio::TcpListener::bind_in(&network, "127.0.0.1:0").await?;
                listener.accept().await.map(drop)
            })
        })
    };
    #[cfg(feature = "tokio")]
    waiting.push(task);
    thread::sleep(Duration::from_millis(500));
    for thread in &waiting {
        assert!(!thread.is_finished());
    }
    assert_eq!(kernel().clone().halt(), Halt::Whole);
    for thread in waiting {
        let error = thread.join().expect("no panic").expect_err("Linux is gone");
        assert_eq!(errno(&error), Some(Errno::ENODEV), "{error}");
    }
    let error = network
        .enter(|| TcpStream::connect("127.0.0.1:1"))
        .expect_err("gone");
    assert_eq!(errno(&error), Some(Errno::ENODEV));
}
