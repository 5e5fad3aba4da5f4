//! The stack moves data by each of its protocols, over lines and tunnels between networks of the same Linux.

#![cfg(target_os = "linux")]

mod world;

use lkl_net::config::{
    Handle, HtbClass, InterfaceAddress, IpsecDirection, IpsecMode, IpsecPolicy, IpsecState, LinkKind,
    MptcpEndpoint, MptcpLimits, Netem, Queue, Route, Tbf, WireguardDevice, WireguardPeer,
};
use lkl_net::netlink::{Attributes, CREATE, Netlink, Request};
use lkl_net::{Address, Family, Namespace, Protocol, Socket, TcpListener, TcpStream, Type, UdpSocket};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::time::{Duration, Instant};
use world::{Host, noise, transfer, two_hosts, wire};

const ROOT: Handle = Handle::new(1, 0);

fn line(host: &Host, interface: &str, netem: Netem) {
    host.config
        .set_queue(interface, Handle::ROOT, ROOT, &Queue::Netem(netem))
        .expect("a line");
}

fn listener(host: &Host, ip: impl Into<IpAddr>) -> TcpListener {
    let address = SocketAddr::from((ip.into(), 0));
    host.network.enter(|| TcpListener::bind(address).expect("bound"))
}

fn connect(network: &Namespace, to: SocketAddr) -> TcpStream {
    network.enter(|| TcpStream::connect(to).expect("connected"))
}

/// A transfer between two hosts, to an address of the other's.
fn moves_data(one: &Host, other: &Host, there: impl Into<IpAddr>, len: usize) -> (TcpStream, TcpStream) {
    let listener = listener(other, there);
    let to = listener.local_addr().expect("bound");
    transfer(&listener, || connect(&one.network, to), len)
}

#[test]
fn each_congestion_control_moves_data_over_a_line_with_delay_and_loss() {
    for algorithm in ["cubic", "reno", "bbr", "dctcp"] {
        let (one, other, [_, there]) = two_hosts();
        // DCTCP is Reno on a connection without ECN.
        one.network.set_sysctl("net.ipv4.tcp_ecn", "1").expect("set");
        let delay = Duration::from_millis(5);
        let netem = Netem {
            delay,
            ..Netem::default()
        };
        line(&one, "wire", netem);
        line(&other, "wire", netem);
        let listener = listener(&other, there);
        let to = listener.local_addr().expect("bound");
        let connect = || {
            let stream = connect(&one.network, to);
            stream.set_congestion(algorithm).expect(algorithm);
            let lossy = Netem {
                loss: 0.1,
                seed: Some(1),
                ..netem
            };
            line(&one, "wire", lossy);
            stream
        };
        let (stream, _server) = transfer(&listener, connect, 2 << 20);
        assert_eq!(stream.socket().congestion().expect("asked"), algorithm);
        let info = loop {
            let info = stream.info().expect("asked");
            if info.unacked == 0 {
                break info;
            }
            std::thread::sleep(delay);
        };
        assert!(info.min_rtt >= 2 * delay, "{algorithm}: {info:?}");
        assert!(info.total_retransmits > 0, "{algorithm}: {info:?}");
        assert!(info.bytes_acked >= 2 << 20, "{algorithm}: {info:?}");
        assert!(
            info.bytes_sent - info.bytes_retransmitted >= 2 << 20,
            "{algorithm}: {info:?}"
        );
    }
}

#[test]
fn dctcp_reacts_to_marks_where_others_would_lose() {
    let (one, other, [_, there]) = two_hosts();
    // Both ends ask for ECN, and a short queue behind a rate marks.
    for host in [&one, &other] {
        host.network.set_sysctl("net.ipv4.tcp_ecn", "1").expect("set");
    }
    let rate = Tbf {
        rate: 10_000_000,
        burst: 20_000,
        limit: 1_000_000,
    };
    one.config
        .set_queue("wire", Handle::ROOT, ROOT, &Queue::Tbf(rate))
        .expect("a rate");
    let marks = Attributes::default().with_u32(7, 100).with_u32(4, 1);
    let queue = Queue::Other {
        kind: "fq_codel",
        options: marks,
    };
    one.config
        .set_queue("wire", Handle::new(1, 1), Handle::new(2, 0), &queue)
        .expect("a queue that marks");
    let listener = listener(&other, there);
    listener.socket().set_congestion("dctcp").expect("set");
    let to = listener.local_addr().expect("bound");
    let connect = || {
        one.network.enter(|| {
            let socket = Socket::new(Family::IPV4, Type::STREAM, Protocol::TCP).expect("a socket");
            socket.set_congestion("dctcp").expect("set");
            socket.connect(&to.into()).expect("connected");
            TcpStream::from_socket(socket)
        })
    };
    let (stream, _server) = transfer(&listener, connect, 4 << 20);
    let info = stream.info().expect("asked");
    assert!(info.delivered_ce > 0, "{info:?}");
}

#[test]
fn the_congestion_control_of_a_route_is_that_of_its_connections() {
    let (one, other, [_, there]) = two_hosts();
    let route = Route {
        congestion: Some("bbr".to_owned()),
        ..Route::to(there, 32).over("wire")
    };
    one.config.add_route(&route).expect("added");
    let (stream, server) = moves_data(&one, &other, there, 100_000);
    assert_eq!(stream.socket().congestion().expect("asked"), "bbr");
    assert_eq!(server.socket().congestion().expect("asked"), "cubic");
}

#[test]
fn ipv6_moves_data_over_a_line_with_loss() {
    let (one, other, _) = two_hosts();
    let ends = ["fd00::1", "fd00::2"].map(|text| text.parse::<Ipv6Addr>().expect("an address"));
    one.address("wire", ends[0], 64);
    other.address("wire", ends[1], 64);
    line(
        &one,
        "wire",
        Netem {
            loss: 0.02,
            seed: Some(3),
            ..Netem::default()
        },
    );
    // What crosses without delay is few and long packets, so that once may not be enough to lose one.
    let lost = (0..50).any(|_| {
        let (stream, _) = moves_data(&one, &other, ends[1], 2 << 20);
        stream.info().expect("asked").total_retransmits > 0
    });
    assert!(lost);
}

#[test]
fn a_connection_of_mptcp_uses_both_of_its_lines() {
    let (one, other, [_, there]) = two_hosts();
    let second = wire("second", &one, &other, 2);
    for host in [&one, &other] {
        let limits = MptcpLimits {
            subflows: 4,
            accepted_addresses: 4,
        };
        host.config.set_mptcp_limits(limits).expect("set");
    }
    // The other host tells of its second address.
    let told = MptcpEndpoint {
        ip: second[1].into(),
        subflow: false,
        signal: true,
    };
    other.config.add_mptcp_endpoint(told).expect("added");
    // Each line alone is slow, so that both are used.
    for interface in ["wire", "second"] {
        line(
            &one,
            interface,
            Netem {
                delay: Duration::from_millis(2),
                rate: 4_000_000,
                ..Netem::default()
            },
        );
    }
    let socket = |host: &Host| {
        let made = host
            .network
            .enter(|| Socket::new(Family::IPV4, Type::STREAM, Protocol::MPTCP));
        made.expect("a socket")
    };
    let server = socket(&other);
    // At each of its addresses, so that the second one is listened at.
    server
        .bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
        .expect("bound");
    server.listen(8).expect("listens");
    let listener = TcpListener::from_socket(server);
    let port = listener.local_addr().expect("bound").port();
    let to = Address::from(SocketAddr::from((there, port)));
    let sent = || {
        let packets = |name: &str| statistic(&one.network, name);
        [packets("wire"), packets("second")]
    };
    let before = sent();
    let connect = || {
        let client = socket(&one);
        client.connect(&to).expect("connected");
        while client.mptcp_subflows().expect("asked") == Some(0) {
            std::thread::sleep(Duration::from_millis(5));
        }
        TcpStream::from_socket(client)
    };
    let (client, _server) = transfer(&listener, connect, 8 << 20);
    assert_eq!(client.socket().protocol().expect("asked"), Protocol::MPTCP);
    let after = sent();
    for (before, after) in before.iter().zip(after) {
        assert!(after - before > 1 << 20, "{before} {after}");
    }
}

/// Bytes that an interface has sent.
fn statistic(network: &Namespace, interface: &str) -> u64 {
    let text = network.read_proc("thread-self/net/dev").expect("read");
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{interface}:")));
    let field = line.expect("listed").split_whitespace().nth(8);
    field.expect("sixteen fields").parse().expect("a number")
}

#[test]
fn sctp_moves_messages_over_a_line_with_loss() {
    let (one, other, [_, there]) = two_hosts();
    line(
        &one,
        "wire",
        Netem {
            loss: 0.03,
            seed: Some(4),
            ..Netem::default()
        },
    );
    let make = |host: &Host, kind| {
        let made = host
            .network
            .enter(|| Socket::new(Family::IPV4, kind, Protocol::SCTP));
        made.expect("a socket")
    };
    let server = make(&other, Type::STREAM);
    server.bind(&SocketAddr::from((there, 0)).into()).expect("bound");
    server.listen(8).expect("listens");
    let to = server.local_addr().expect("bound");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = make(&one, Type::STREAM);
            client.connect(&to).expect("connected");
            for number in 0..200 {
                client.write_all(&noise(number, 1000)).expect("written");
            }
            client.shutdown(Shutdown::Write).expect("ended");
        });
        let (stream, _) = server.accept().expect("accepted");
        for number in 0..200 {
            let mut message = [0; 2000];
            let len = stream.recv(&mut message).expect("a message");
            assert!(message[..len] == noise(number, 1000), "message {number}");
        }
        assert_eq!(stream.recv(&mut [0; 9]).expect("the end"), 0);
    });
}

#[test]
fn a_rate_is_kept_by_a_bucket_and_by_a_class() {
    let rate = 4_000_000;
    let len: u32 = 4 << 20;
    let expected = Duration::from_secs_f64(f64::from(len) / 4e6);
    for class in [false, true] {
        let (one, other, [_, there]) = two_hosts();
        if class {
            let queue = Queue::Htb { default_class: 10 };
            one.config
                .set_queue("wire", Handle::ROOT, ROOT, &queue)
                .expect("set");
            let htb = HtbClass {
                rate,
                ceiling: rate,
                burst: 20_000,
            };
            one.config
                .set_htb_class("wire", ROOT, Handle::new(1, 10), htb)
                .expect("set");
        } else {
            let tbf = Tbf {
                rate,
                burst: 20_000,
                limit: 1_000_000,
            };
            one.config
                .set_queue("wire", Handle::ROOT, ROOT, &Queue::Tbf(tbf))
                .expect("set");
        }
        let start = Instant::now();
        let (_, _) = moves_data(&one, &other, there, len.try_into().expect("fits"));
        // Faster than its rate it is on no machine; a busy one may be slower.
        assert!(
            start.elapsed() >= expected.mul_f64(0.9),
            "class {class}: {:?}",
            start.elapsed()
        );
    }
}

/// A tunnel of that name on both hosts, whose ends are 10.9.0.1 and 10.9.0.2.
fn tunnel_moves_data(one: &Host, other: &Host) {
    one.address("tunnel", [10, 9, 0, 1], 24);
    other.address("tunnel", [10, 9, 0, 2], 24);
    let before = statistic(&one.network, "tunnel");
    let (stream, _) = moves_data(one, other, [10, 9, 0, 2], 1 << 20);
    assert_eq!(
        stream.local_addr().expect("asked").ip(),
        IpAddr::from([10, 9, 0, 1])
    );
    assert!(statistic(&one.network, "tunnel") - before > 1 << 20);
}

#[test]
fn vxlan_gre_and_ipip_carry_tcp() {
    let [near, far] = [1, 2].map(|host| Ipv4Addr::new(10, 1, 0, host));
    type Kind = fn(Ipv4Addr, Ipv4Addr) -> LinkKind<'static>;
    let kinds: [Kind; 4] = [
        |local, remote| LinkKind::Vxlan {
            id: 42,
            local: local.into(),
            remote: remote.into(),
            port: 4789,
            link: None,
        },
        |local, remote| LinkKind::Gre {
            local,
            remote,
            key: Some(7),
        },
        |local, remote| LinkKind::GreTap {
            local,
            remote,
            key: None,
        },
        |local, remote| LinkKind::Ipip { local, remote },
    ];
    for kind in kinds {
        let (one, other, ends) = two_hosts();
        assert_eq!(ends, [near, far]);
        one.config.add_link("tunnel", &kind(near, far)).expect("made");
        other.config.add_link("tunnel", &kind(far, near)).expect("made");
        tunnel_moves_data(&one, &other);
    }
}

#[test]
fn wireguard_carries_tcp_and_knows_its_peer() {
    let (one, other, ends) = two_hosts();
    let hosts = [&one, &other];
    let port = 51820;
    let private = [[0x11; 32], [0x22; 32]];
    let keys = [0, 1].map(|n: usize| {
        let config = &hosts[n].config;
        config.add_link("tunnel", &LinkKind::Wireguard).expect("made");
        let device = WireguardDevice {
            private_key: private[n],
            listen_port: port,
            peers: Vec::new(),
        };
        config.set_wireguard("tunnel", &device).expect("a key");
        config.wireguard_public_key("tunnel").expect("a key")
    });
    for n in [0, 1] {
        let peer = WireguardPeer {
            public_key: keys[1 - n],
            preshared_key: Some([0x33; 32]),
            endpoint: Some((ends[1 - n], port).into()),
            keepalive: None,
            allowed: vec![(IpAddr::from([10, 9, 0, 0]), 24)],
        };
        let device = WireguardDevice {
            private_key: private[n],
            listen_port: port,
            peers: vec![peer],
        };
        hosts[n].config.set_wireguard("tunnel", &device).expect("a peer");
    }
    tunnel_moves_data(&one, &other);
    let peers = one.config.wireguard_peers("tunnel").expect("listed");
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].public_key, keys[1]);
    assert!(peers[0].sent > 1 << 20 && peers[0].received > 0, "{peers:?}");
    assert!(!peers[0].last_handshake.is_zero());
    let error = one.config.wireguard_peers("wire").expect_err("no WireGuard");
    assert!(
        error
            .to_string()
            .starts_with("wireguard wire: operation not supported"),
        "{error}"
    );
}

/// Seals everything between two addresses, which are the first host's and the other's.
fn seal(hosts: [&Host; 2], ends: [IpAddr; 2], mode: IpsecMode, between: [(IpAddr, u8); 2]) {
    for n in [0, 1] {
        for (m, host) in hosts.iter().enumerate() {
            let state = IpsecState {
                source: ends[n],
                destination: ends[1 - n],
                spi: 0x1000 + u32::try_from(n).expect("small"),
                mode,
                request: 1,
                key: noise(40 + u64::try_from(n).expect("small"), 20),
            };
            host.config.add_ipsec_state(&state).expect("an association");
            let out = if n == m {
                IpsecDirection::Out
            } else {
                IpsecDirection::In
            };
            let policy = IpsecPolicy {
                from: between[n],
                to: between[1 - n],
                direction: out,
                ends: (ends[n], ends[1 - n]),
                mode,
                request: 1,
            };
            host.config.add_ipsec_policy(&policy).expect("a policy");
        }
    }
}

#[test]
fn ipsec_seals_tcp_in_both_modes_and_nothing_comes_unsealed() {
    for mode in [IpsecMode::Transport, IpsecMode::Tunnel] {
        let (one, other, ends) = two_hosts();
        let ends = ends.map(IpAddr::from);
        seal([&one, &other], ends, mode, ends.map(|ip| (ip, 32)));
        let frames = other
            .network
            .enter(|| Socket::new(Family::PACKET, Type::RAW, Protocol::ethernet(0x0800)).expect("a socket"));
        let (_, _) = moves_data(&one, &other, ends[1], 1 << 20);
        // What was on the wire first is ESP, behind the heads of Ethernet and IPv4.
        let mut frame = vec![0; 65_550];
        let len = frames.recv(&mut frame).expect("a frame");
        assert!(len > 14 + 20 + 8 + 8 + 16);
        assert_eq!(
            (frame[14 + 9], &frame[34..38]),
            (50, &0x1000u32.to_be_bytes()[..])
        );
        // A host that does not seal any more is not heard.
        let server = other
            .network
            .enter(|| UdpSocket::bind((ends[1], 7)).expect("bound"));
        let client = one
            .network
            .enter(|| UdpSocket::bind((ends[0], 0)).expect("bound"));
        client.send_to(b"sealed", (ends[1], 7)).expect("sent");
        assert_eq!(server.recv(&mut [0; 16]).expect("received"), 6);
        one.config.clear_ipsec().expect("cleared");
        client.send_to(b"open", (ends[1], 7)).expect("sent");
        server
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("set");
        let error = server.recv(&mut [0; 16]).expect_err("nothing comes");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }
}

/// The rule set `table ip nat { chain post { type nat hook postrouting priority 100; masquerade } }`.
fn masquerade(host: &Host) {
    const NFTABLES: u8 = 10;
    const NEWTABLE: u16 = 0;
    const NEWCHAIN: u16 = 3;
    const NEWRULE: u16 = 6;
    const APPEND: u16 = 0x800;
    const IPV4: [u8; 4] = [2, 0, 0, 0];
    let request = |kind, flags| Request::new(u16::from(NFTABLES) << 8 | kind, flags, &IPV4);
    let requests = [
        request(NEWTABLE, CREATE).with_text(1, "nat"),
        request(NEWCHAIN, CREATE)
            .with_text(1, "nat")
            .with_text(3, "post")
            .nested(4, |hook| {
                hook.with(1, &4u32.to_be_bytes()).with(2, &100u32.to_be_bytes())
            })
            .with_text(7, "nat"),
        request(NEWRULE, CREATE | APPEND)
            .with_text(1, "nat")
            .with_text(2, "post")
            .nested(4, |list| list.nested(1, |one| one.with_text(1, "masq"))),
    ];
    let netlink = Netlink::new(&host.network, Protocol::NETFILTER).expect("netfilter");
    netlink.batch("nat", NFTABLES, &requests).expect("a rule set");
}

#[test]
fn nftables_translates_addresses_and_conntrack_finds_the_way_back() {
    let (inside, router, _) = two_hosts();
    let outside = Host::new();
    let [public, there] = wire("out", &router, &outside, 2);
    router
        .network
        .set_sysctl("net.ipv4.ip_forward", "1")
        .expect("set");
    masquerade(&router);
    inside
        .config
        .add_route(&Route::default_via([10, 1, 0, 2]))
        .expect("added");
    // The outer host has no route to the inner network: only a translated address can be answered.
    let (stream, server) = moves_data(&inside, &outside, there, 1 << 20);
    assert_eq!(server.peer_addr().expect("asked").ip(), IpAddr::from(public));
    assert_eq!(
        stream.local_addr().expect("asked").ip(),
        IpAddr::from([10, 1, 0, 1])
    );
    let udp = outside
        .network
        .enter(|| UdpSocket::bind((there, 7)).expect("bound"));
    let client = inside
        .network
        .enter(|| UdpSocket::bind("0.0.0.0:0").expect("bound"));
    client.send_to(b"ask", (there, 7)).expect("sent");
    let (_, from) = udp.recv_from(&mut [0; 8]).expect("received");
    assert_eq!(from.ip(), IpAddr::from(public));
    udp.send_to(b"answer", from).expect("sent");
    assert_eq!(client.recv(&mut [0; 8]).expect("received"), 6);
}

#[test]
fn a_batch_of_nftables_that_is_wrong_changes_nothing_and_says_so() {
    let host = Host::new();
    let netlink = Netlink::new(&host.network, Protocol::NETFILTER).expect("netfilter");
    let table = Request::new(10 << 8, CREATE, &[2, 0, 0, 0]).with_text(1, "t");
    let wrong = Request::new(10 << 8 | 6, CREATE, &[2, 0, 0, 0])
        .with_text(1, "t")
        .with_text(2, "no-chain");
    let error = netlink
        .batch("rules", 10, &[table, wrong])
        .expect_err("there is no such chain");
    assert!(error.to_string().starts_with("rules: no such file"), "{error}");
    let get = Request::new(10 << 8 | 1, 0, &[2, 0, 0, 0]).with_text(1, "t");
    netlink.exchange("t", &get).expect_err("it was not made");
}

#[test]
fn a_ping_crosses_a_line() {
    let (one, _other, [_, there]) = two_hosts();
    let socket = one
        .network
        .enter(|| Socket::new(Family::IPV4, Type::RAW, Protocol::ICMP).expect("a socket"));
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    // Type 8, its checksum, no more.
    let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let to = Address::from(SocketAddr::from((there, 0)));
    socket.send_to(&request, &to).expect("sent");
    let mut answer = [0; 64];
    let (len, from) = socket.recv_from(&mut answer).expect("an answer");
    assert_eq!((len, answer[20]), (28, 0));
    assert_eq!(from, to);
}

#[test]
fn addresses_of_ipv6_come_from_a_router_by_itself() {
    // SLAAC is Linux's own: what is to be seen is that it is there. The router's advertisement is sent by hand.
    let (one, other, _) = two_hosts();
    let link_local: Ipv6Addr = "fe80::99".parse().expect("an address");
    other
        .config
        .add_address("wire", InterfaceAddress::new(link_local, 64).at_once())
        .expect("added");
    let index = other.config.interface("wire").expect("there").index;
    let socket = other
        .network
        .enter(|| Socket::new(Family::IPV6, Type::RAW, Protocol::ICMPV6).expect("a socket"));
    socket.set_number(41, 18, 255).expect("hop limit of multicast");
    let from = SocketAddr::V6(std::net::SocketAddrV6::new(link_local, 0, 0, index));
    socket.bind(&from.into()).expect("bound");
    let mut advertisement = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    advertisement.extend([3, 4, 64, 0xc0]);
    advertisement.extend([0, 0, 0x70, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0]);
    advertisement.extend("2001:db8::".parse::<Ipv6Addr>().expect("a prefix").octets());
    let all: Ipv6Addr = "ff02::1".parse().expect("an address");
    let to = SocketAddr::V6(std::net::SocketAddrV6::new(all, 0, 0, index));
    let has_one = || {
        let listed = one.config.addresses("wire").expect("listed");
        let mut ips = listed.iter().map(|address| address.ip.to_string());
        ips.any(|ip| ip.starts_with("2001:db8::"))
    };
    while !has_one() {
        socket.send_to(&advertisement, &to.into()).expect("sent");
        std::thread::sleep(Duration::from_millis(50));
    }
    let routes = one.config.routes(true).expect("listed");
    let default = routes
        .iter()
        .find(|route| route.prefix == 0)
        .expect("a default route");
    assert_eq!(default.gateway, Some(link_local.into()));
}
