//! Threads and a task that wait in Linux for what does not come.

use lkl::Errno;
use lkl_net::{Epoll, Namespace, TcpListener, TcpStream, UdpSocket, errno};
use std::io::{self, Read, Write};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The threads of this process.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("procfs").count()
}

/// One for each way to wait.
pub struct Waiting(Vec<JoinHandle<io::Result<()>>>);

impl Waiting {
    /// All of them wait when this returns.
    pub fn new(network: &Namespace) -> Waiting {
        let mut all: Vec<JoinHandle<io::Result<()>>> = Vec::new();
        network.enter(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
            let address = listener.local_addr().expect("bound");
            let mut quiet = TcpStream::connect(address).expect("connected");
            let mut busy = TcpStream::connect(address).expect("connected");
            let ends = [(); 2].map(|()| listener.accept().expect("accepted"));
            let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
            let epoll = Epoll::new(network).expect("made");
            all.push(thread::spawn(move || {
                let _ends = ends;
                listener.accept().map(drop)
            }));
            all.push(thread::spawn(move || quiet.read(&mut [0]).map(drop)));
            all.push(thread::spawn(move || udp.recv(&mut [0]).map(drop)));
            all.push(thread::spawn(move || epoll.wait(&mut Vec::new(), None)));
            all.push(thread::spawn(move || {
                loop {
                    busy.write_all(&[0; 4096])?;
                }
            }));
        });
        #[cfg(feature = "tokio")]
        all.push({
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
        });
        thread::sleep(Duration::from_millis(500));
        for thread in &all {
            assert!(!thread.is_finished());
        }
        Waiting(all)
    }

    /// Each comes back, and says that Linux is gone.
    pub fn end(self) {
        for thread in self.0 {
            let error = thread.join().expect("no panic").expect_err("Linux is gone");
            assert_eq!(errno(&error), Some(Errno::ENODEV), "{error}");
        }
    }
}
