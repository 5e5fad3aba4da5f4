//! A Linux with two interfaces, as LKL's JSON describes it: what it has, and that the machine at the other ends sees it so.

#![cfg(target_os = "linux")]

use lkl_net::{TcpStream, UdpSocket};
use lkl_net_setup::{Network, Settings};
use lkl_session::program::Program;
use networks::Machine;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};

const FILE: &str = r#"{
    "gateway": "10.9.1.1",
    "nameserver": "10.9.1.1",
    "sysctl": "net.ipv4.tcp_congestion_control=bbr; net.ipv4.tcp_wmem=4096 87380 2147483647",
    "mount": "proc,sysfs",
    "boot_cmdline": "mem=80M loglevel=4",
    "debug": 0,
    "singlecpu": 1,
    "interfaces": [
        { "type": "tap", "param": "lklsetup0", "ip": "10.9.1.2", "masklen": "24", "mac": "12:34:56:78:9a:bc",
          "ipv6": "2001:db8:0:f101::2", "masklen6": "64", "mtu": 1400, "qdisc": "root|fq",
          "neigh": "10.9.1.77|12:34:56:78:9a:be;2001:db8:0:f101::3|12:34:56:78:9a:bf", "offload": "0xc803" },
        { "type": "tap", "param": "lklsetup1", "ip": "10.9.2.2", "masklen": 24, "ifgateway": "10.9.2.1", "offload": 0 }
    ]
}"#;

/// Packets that Linux has sent over an interface.
fn sent(network: &Network, interface: &str) -> u64 {
    let text = network.namespace.read_proc("thread-self/net/dev").unwrap();
    let line = text.lines().find_map(|line| {
        line.trim()
            .strip_prefix(&format!("{interface}:"))
            .map(str::to_owned)
    });
    let line = line.expect("the interface");
    line.split_ascii_whitespace().nth(9).unwrap().parse().unwrap()
}

#[test]
fn a_linux_is_as_the_file_says() {
    networks::ends_within_minutes(2);
    let machine = Machine::new();
    machine.tap("lklsetup0", 1, 1500, true);
    machine.tap("lklsetup1", 2, 1500, true);
    let settings = Settings::from_json(Program::new("test"), "net.json", FILE).unwrap();
    let network = machine.inside(|| Network::open(&settings)).unwrap();
    let config = network.namespace.configuration().unwrap();

    let first = config.interface("eth0").unwrap();
    assert_eq!(first.hardware, [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);
    assert_eq!((first.mtu, first.queue.as_str(), first.up), (1400, "fq", true));
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let has = |interface: &str, text: &str, prefix: u8| {
        let addresses = config.addresses(interface).unwrap();
        let found = addresses
            .iter()
            .any(|has| has.ip == ip(text) && has.prefix == prefix);
        assert!(found, "{interface}: {text}/{prefix} is not in {addresses:?}");
    };
    has("eth0", "10.9.1.2", 24);
    has("eth0", "2001:db8:0:f101::2", 64);
    has("eth1", "10.9.2.2", 24);
    let neighbours = config.neighbours("eth0").unwrap();
    for (text, last) in [("10.9.1.77", 0xbe), ("2001:db8:0:f101::3", 0xbf)] {
        let hardware = Some(vec![0x12, 0x34, 0x56, 0x78, 0x9a, last]);
        let found = neighbours
            .iter()
            .any(|has| has.ip == ip(text) && has.permanent && has.hardware == hardware);
        assert!(found, "{text} is not in {neighbours:?}");
    }
    let setting = |name: &str| network.namespace.sysctl(name).unwrap();
    assert_eq!(setting("net.ipv4.tcp_congestion_control"), "bbr");
    assert_eq!(setting("net.ipv4.tcp_wmem"), "4096\t87380\t2147483647");
    // What was mounted is in Linux's own tree.
    let mounted = network
        .namespace
        .read_proc("thread-self/root/sysfs/class/net/eth0/mtu");
    assert_eq!(mounted.unwrap().trim(), "1400");
    let memory = network.namespace.read_proc("meminfo").unwrap();
    let total = memory
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!((40 << 10..=80 << 10).contains(&total), "{total} KiB");

    assert!(machine.ping("10.9.1.2") && machine.ping("10.9.2.2"));
    let listener = machine.inside(|| TcpListener::bind("10.9.1.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        let mut text = [0; 5];
        stream.read_exact(&mut text).unwrap();
        stream.write_all(&text).unwrap();
        from.ip()
    });
    let mut stream = network.namespace.enter(|| TcpStream::connect(address)).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut text = [0; 5];
    stream.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
    assert_eq!(peer.join().unwrap(), ip("10.9.1.2"));
    drop(stream);

    // What has no place on a link leaves by the gateway of its own address, or by that of all.
    for (source, over, beside) in [("10.9.2.2:0", "eth1", "eth0"), ("10.9.1.2:0", "eth0", "eth1")] {
        let before = [over, beside].map(|name| sent(&network, name));
        let socket = network.namespace.enter(|| UdpSocket::bind(source)).unwrap();
        for _ in 0..50 {
            socket.send_to(b"x", "192.0.2.9:9").unwrap();
        }
        let after = [over, beside].map(|name| sent(&network, name));
        assert!(after[0] - before[0] >= 50, "{source}: {before:?} {after:?}");
        assert!(after[1] - before[1] < 50, "{source}: {before:?} {after:?}");
    }
    network.close().unwrap();
}
