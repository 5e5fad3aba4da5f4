//! What the tests of a program share: one Linux, since a process boots one, and networks in it that are each test's own.

#![allow(dead_code)] // each program uses some of it

use linux_full as _;
use lkl::{BootConfig, Kernel};
use lkl_net::config::{Configuration, InterfaceAddress, LinkKind};
use lkl_net::{Namespace, TcpListener, TcpStream};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::sync::OnceLock;
use std::thread;

/// A new Linux.
pub fn boot() -> Kernel {
    lkl_host_posix::boot(&BootConfig {
        pool_size: 256 << 20,
        command_line: "loglevel=4",
    })
    .expect("Linux boots")
}

/// The Linux of this program.
pub fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(boot)
}

/// A network of the test's own, with its loopback up.
pub fn network() -> Namespace {
    network_of(kernel())
}

/// One of that Linux.
pub fn network_of(kernel: &Kernel) -> Namespace {
    let network = Namespace::new(kernel).expect("a name space");
    network.start_loopback().expect("lo goes up");
    network
}

/// Bytes that look random and are the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A network with its configuration.
pub struct Host {
    pub network: Namespace,
    pub config: Configuration,
}

impl Host {
    pub fn new() -> Host {
        let network = network();
        let config = network.configuration().expect("a configuration");
        Host { network, config }
    }

    /// Gives an interface an address and sets it up.
    pub fn address(&self, interface: &str, ip: impl Into<IpAddr>, prefix: u8) {
        let address = InterfaceAddress::new(ip, prefix).at_once();
        self.config.add_address(interface, address).expect("added");
        self.config.set_up(interface).expect("up");
    }
}

/// A wire of that name between two hosts, whose ends are 10.N.0.1/24 and 10.N.0.2/24.
pub fn wire(name: &str, one: &Host, other: &Host, n: u8) -> [Ipv4Addr; 2] {
    let kind = LinkKind::Veth {
        peer: name,
        peer_namespace: Some(&other.network),
    };
    one.config.add_link(name, &kind).expect("a wire");
    let ends = [1, 2].map(|host| Ipv4Addr::new(10, n, 0, host));
    one.address(name, ends[0], 24);
    other.address(name, ends[1], 24);
    ends
}

/// Two hosts and a wire between them, `"wire"`.
pub fn two_hosts() -> (Host, Host, [Ipv4Addr; 2]) {
    let (one, other) = (Host::new(), Host::new());
    let ends = wire("wire", &one, &other, 1);
    (one, other, ends)
}

/// Sends so many bytes over a connection, which arrive as they went. Both ends are there afterwards, and the sender has sent
/// everything.
pub fn transfer(
    listener: &TcpListener,
    connect: impl FnOnce() -> TcpStream + Send,
    len: usize,
) -> (TcpStream, TcpStream) {
    thread::scope(|scope| {
        let sender = scope.spawn(move || {
            let mut stream = connect();
            stream.write_all(&noise(5, len)).expect("written");
            stream.shutdown(Shutdown::Write).expect("ended");
            stream
        });
        let (mut stream, _) = listener.accept().expect("accepted");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("read");
        assert!(received == noise(5, len), "{} bytes came", received.len());
        (sender.join().expect("no panic"), stream)
    })
}
