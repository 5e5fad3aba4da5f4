//! Two networks of one Linux's that know of each other only what comes over their interfaces.

#![allow(dead_code)] // each program uses some of it

// UNSAFETY: what a signal does is changed.

use linux_full::Networks;
use lkl::{BootConfig, Kernel};
use lkl_links::Spec;
use lkl_net::config::{Configuration, InterfaceAddress};
use lkl_net::{Namespace, TcpListener, TcpStream};
use lkl_netdev::{Backend, Config, NetworkDevice};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are sent, and compared.
pub const MUCH: usize = 16 << 20;

/// The Linux of this program. It ends the program if it takes more than some minutes: a packet that does not come would be waited for
/// for ever.
pub fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(240));
            eprintln!("still there after four minutes");
            std::process::abort();
        });
        // As it is in programs in C: a socket whose other end is gone ends them, unless it is written to with care.
        // SAFETY: no handler is put in the place of another one.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let config = BootConfig {
            pool_size: 256 << 20,
            command_line: "loglevel=4",
        };
        lkl_host_posix::boot(&config).expect("Linux boots")
    })
}

/// A network with one interface.
pub struct Side {
    pub network: Namespace,
    pub config: Configuration,
    pub address: Ipv4Addr,
    pub device: NetworkDevice,
}

impl Side {
    pub fn new(spec: &str, mtu: u32, address: [u8; 4]) -> Side {
        let backend = spec.parse::<Spec>().unwrap().open(true);
        Side::over(backend.unwrap(), mtu, address)
    }

    pub fn over(backend: Arc<dyn Backend>, mtu: u32, address: [u8; 4]) -> Side {
        let network = Namespace::new(kernel()).unwrap();
        let how = Config {
            mtu,
            ..Config::default()
        };
        let device = network.with_task(|task| task.unwrap().add_network_device(backend, &how));
        let config = network.configuration().unwrap();
        let address = Ipv4Addr::from(address);
        let with_prefix = InterfaceAddress::new(address, 24).at_once();
        config.add_address("eth0", with_prefix).unwrap();
        config.set_up("eth0").unwrap();
        Side {
            network,
            config,
            address,
            device: device.unwrap(),
        }
    }

    /// Waits until Linux has a carrier there, or none.
    pub fn waits_for_carrier(&self, present: bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.config.interface("eth0").unwrap().running != present {
            assert!(Instant::now() < end, "Linux is not told: carrier {present}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn connects(&self, to: Ipv4Addr, port: u16) -> TcpStream {
        self.network.enter(|| TcpStream::connect((to, port))).unwrap()
    }
}

pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64 ^ seed;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

/// What Linux sends to a server of the machine's comes back.
pub fn echoes(side: &Side, listener: &std::net::TcpListener, address: Ipv4Addr) {
    let port = listener.local_addr().unwrap().port();
    let sent = noise(3, MUCH);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let mut stream = side.connects(address, port);
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all == sent, "{} bytes came back", all.len());
    });
}

/// `len` bytes each way at the same time, over one connection, compared.
pub fn exchange(one: &Side, two: &Side, len: usize) {
    let listener = two
        .network
        .enter(|| TcpListener::bind((two.address, 7000)))
        .unwrap();
    let (there, back) = (noise(1, len), noise(2, len));
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (stream, _) = listener.accept().unwrap();
            both(&stream, &back)
        });
        let stream = one.connects(two.address, 7000);
        let came = both(&stream, &there);
        assert!(came == back, "what came back differs: {} bytes", came.len());
        let came = server.join().unwrap();
        assert!(came == there, "what came differs: {} bytes", came.len());
    });
}

/// Sends `bytes`, and takes what comes meanwhile.
fn both(stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut all = Vec::new();
            let mut stream = stream;
            stream.read_to_end(&mut all).unwrap();
            all
        });
        let mut writer = stream;
        writer.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        reader.join().unwrap()
    })
}
