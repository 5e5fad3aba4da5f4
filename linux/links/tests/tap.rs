//! Interfaces of Linux's that are connected to this machine's: TAP devices and veth pairs in name spaces of the test's own. The
//! machine's own network stack is at the other end, and is the judge.

#![cfg(target_os = "linux")]

use lkl::{Halt, Kernel};
use lkl_links::{NAT, Spec};
use lkl_net::{TcpListener, TcpStream, UdpSocket};
use lkl_netdev::{Backend, Config};
use networks::{Machine, Side, echoes, exchange, noise};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;

/// A network of Linux's whose interface, 10.9.N.2/24, is connected to that.
fn host(kernel: &Kernel, machine: &Machine, spec: &str, offloads: bool, mtu: u32, n: u8) -> Side {
    let backend = machine.inside(|| spec.parse::<Spec>().unwrap().open(offloads));
    let how = Config {
        mtu,
        ..Config::default()
    };
    let side = Side::new(kernel, backend.unwrap(), &how, [10, 9, n, 2]);
    side.network.start_loopback().unwrap();
    side
}

/// TCP from the machine's stack to Linux's and back, and UDP.
fn speaks_with_the_machine(host: &Side, machine: &Machine, n: u8, len: usize) {
    let ours = format!("10.9.{n}.2:7000");
    let listener = host.network.enter(|| TcpListener::bind(ours.as_str())).unwrap();
    let sent = noise(0, len);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let mut stream = machine
            .inside(|| std::net::TcpStream::connect(ours.as_str()))
            .unwrap();
        let mut reader = stream.try_clone().unwrap();
        let echo = scope.spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(echo.join().unwrap() == sent);
    });

    let theirs = format!("10.9.{n}.1:7001");
    let listener = machine
        .inside(|| std::net::TcpListener::bind(theirs.as_str()))
        .unwrap();
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let (mut stream, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip().to_string(), format!("10.9.{n}.2"));
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        let mut stream = host
            .network
            .enter(|| TcpStream::connect(theirs.as_str()))
            .unwrap();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert!(echo.join().unwrap() == sent);
    });

    let server = host.network.enter(|| UdpSocket::bind(ours.as_str())).unwrap();
    let client = machine
        .inside(|| std::net::UdpSocket::bind(format!("10.9.{n}.1:0")))
        .unwrap();
    client.connect(ours.as_str()).unwrap();
    let mut room = vec![0; 65_536];
    for len in [1, 100, 1400, 5000, 60_000] {
        client.send(&sent[..len]).unwrap();
        let (got, from) = server.recv_from(&mut room).unwrap();
        assert!(room[..got] == sent[..len], "{got} of {len} bytes");
        server.send_to(&room[..got], from).unwrap();
        let got = client.recv(&mut room).unwrap();
        assert!(room[..got] == sent[..len], "{got} of {len} bytes came back");
    }
}

/// One Linux for all: a process boots one.
#[test]
fn the_machines_own_stack_speaks_with_linuxs_over_each_kind_of_end() {
    networks::ends_within_minutes(2);
    let kernel = networks::boot(128);
    let machine = Machine::new();

    let mut n = 0;
    for (offloads, mtu) in [(true, 1500), (false, 1500), (true, 9000), (false, 9000)] {
        n += 1;
        machine.tap(&format!("lkltap{n}"), n, mtu, offloads);
        let host = host(&kernel, &machine, &format!("tap:lkltap{n}"), offloads, mtu, n);
        speaks_with_the_machine(&host, &machine, n, 16 << 20);
        assert!(machine.ping(&format!("10.9.{n}.2")), "no answer to a ping");
        host.device.remove().unwrap();
    }
    for offloads in [true, false] {
        n += 1;
        machine.veth(&format!("lklveth{n}"), n);
        let host = host(&kernel, &machine, &format!("raw:lklveth{n}"), offloads, 1500, n);
        speaks_with_the_machine(&host, &machine, n, 4 << 20);
        host.config.set_down("eth0").unwrap();
        host.config.set_up("eth0").unwrap();
        speaks_with_the_machine(&host, &machine, n, 1 << 20);
        drop(host);
    }
    two_interfaces_speak_by_sockets(&kernel);
    the_machines_servers_are_reached_by_nat(&kernel, &machine);
    what_is_not_there_is_told(&machine);
    assert_eq!(kernel.halt(), Halt::Whole);
}

/// Both ends are Linux's, with sockets of the machine's between them.
fn two_interfaces_speak_by_sockets(kernel: &Kernel) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (a, b) = (path("a"), path("b"));
    for fifo in [path("in"), path("out")] {
        assert!(
            std::process::Command::new("mkfifo")
                .arg(fifo)
                .status()
                .unwrap()
                .success()
        );
    }
    let free = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let (one, other) = (free(), free());
    let pairs = [
        (format!("udp:{one},{other}"), format!("udp:{other},{one}")),
        (
            format!("pipe:{},{}", path("in"), path("out")),
            format!("pipe:{},{}", path("out"), path("in")),
        ),
    ];
    for (one, other) in pairs {
        let open = |spec: &str| spec.parse::<Spec>().unwrap().open(true).unwrap();
        over(kernel, [open(&one), open(&other)]);
    }
    // A stream has one end that listens, which here is a program that hands on what comes.
    let listeners = ["s1", "s2"].map(|name| std::os::unix::net::UnixListener::bind(path(name)).unwrap());
    let ends = ["s1", "s2"].map(|name| {
        format!("unix:{}", path(name))
            .parse::<Spec>()
            .unwrap()
            .open(true)
            .unwrap()
    });
    let [one, two] = listeners.map(|listener| listener.accept().unwrap().0);
    thread::scope(|scope| {
        for (from, to) in [(&one, &two), (&two, &one)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            scope.spawn(move || std::io::copy(&mut from, &mut to));
        }
        over(kernel, ends);
        one.shutdown(Shutdown::Both).unwrap();
        two.shutdown(Shutdown::Both).unwrap();
    });
    // The first of two that speak by UNIX datagrams has no peer yet.
    let peer = std::os::unix::net::UnixDatagram::bind(&b).unwrap();
    let first = format!("unixgram:{a},{b}")
        .parse::<Spec>()
        .unwrap()
        .open(true)
        .unwrap();
    drop(peer);
    std::fs::remove_file(&b).unwrap();
    let refused = format!("unixgram:{a},{b}").parse::<Spec>().unwrap().open(true);
    assert!(refused.is_err(), "a name that is taken");
    drop(first);
}

/// Two networks with these ends of one wire: transfers between them.
fn over(kernel: &Kernel, ends: [Arc<dyn Backend>; 2]) {
    let [one, two] = ends;
    let side = |end, number| Side::new(kernel, end, &Config::default(), [10, 8, 0, number]);
    exchange(&side(one, 1), &side(two, 2), 4 << 20);
}

/// libslirp is at the other end, and makes connections of the machine's.
fn the_machines_servers_are_reached_by_nat(kernel: &Kernel, machine: &Machine) {
    machine.uplink("lkluplink");
    let backend = machine.inside(|| Spec::Slirp.open(true)).unwrap();
    let how = Config {
        mtu: NAT.mtu,
        ..Config::default()
    };
    assert_eq!(NAT.prefix, 24);
    let side = Side::new(kernel, backend, &how, NAT.address);
    let listener = machine.inside(|| std::net::TcpListener::bind("127.0.0.1:0"));
    echoes(&side, &listener.unwrap(), NAT.gateway, 16 << 20);
    let server = machine
        .inside(|| std::net::UdpSocket::bind("127.0.0.1:0"))
        .unwrap();
    let port = server.local_addr().unwrap().port();
    let client = side.network.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    client.send_to(b"question", (NAT.gateway, port)).unwrap();
    let mut room = [0; 100];
    let (len, from) = server.recv_from(&mut room).unwrap();
    assert_eq!(&room[..len], b"question");
    server.send_to(b"answer", from).unwrap();
    let (len, _) = client.recv_from(&mut room).unwrap();
    assert_eq!(&room[..len], b"answer");
    side.device.remove().unwrap();
}

fn what_is_not_there_is_told(machine: &Machine) {
    for (spec, said) in [
        ("tap:a-name-that-is-too-long", "longer than 15 bytes"),
        ("tap:lklnone", "no such interface"),
        ("raw:lklnone", "no such interface"),
        ("macvtap:/dev/tap99999", "No such file"),
        ("unix:/nonexistent/socket", "No such file"),
        ("udp:127.0.0.1:0,nowhere.invalid:1", "nowhere.invalid"),
    ] {
        let error = machine
            .inside(|| spec.parse::<Spec>().unwrap().open(true))
            .map(drop)
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains(said) && !text.contains('\n'), "{spec}: {text}");
    }
}
