//! Interfaces, addresses, routes, rules, neighbours and queues are what was asked for, and errors name what they are about.

#![cfg(target_os = "linux")]

mod world;

use lkl_net::config::{
    Handle, HtbClass, InterfaceAddress, LinkKind, Netem, Queue, Route, RouteType, Rule, Tbf,
};
use lkl_net::{Errno, Family, Protocol, Socket, TcpListener, TcpStream, Type, UdpSocket, errno};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use world::{Host, two_hosts, wire};

#[test]
fn interfaces_are_made_changed_moved_and_deleted() {
    let host = Host::new();
    let config = &host.config;
    config.add_link("d0", &LinkKind::Dummy).expect("made");
    let made = config.interface("d0").expect("there");
    assert_eq!(
        (made.up, made.mtu, made.kind.as_deref()),
        (false, 1500, Some("dummy"))
    );
    config.set_mtu("d0", 9000).expect("set");
    config.set_hardware("d0", [2, 0, 0, 0, 0, 9]).expect("set");
    config.rename("d0", "new").expect("renamed");
    config.set_up("new").expect("up");
    let changed = config.interface("new").expect("there");
    assert_eq!((changed.index, changed.mtu, changed.up), (made.index, 9000, true));
    assert_eq!(changed.hardware, [2, 0, 0, 0, 0, 9]);
    config.set_down("new").expect("down");
    assert!(!config.interface("new").expect("there").up);
    let other = Host::new();
    config.move_to("new", &other.network).expect("moved");
    assert_eq!(
        errno(&config.interface("new").expect_err("gone")),
        Some(Errno::ENODEV)
    );
    other.config.delete_link("new").expect("deleted");
    let names: Vec<String> = other
        .config
        .interfaces()
        .expect("listed")
        .into_iter()
        .map(|i| i.name)
        .collect();
    assert!(!names.contains(&"new".to_owned()), "{names:?}");
    assert!(names.contains(&"lo".to_owned()), "{names:?}");
}

#[test]
fn errors_name_the_thing_and_the_reason() {
    let host = Host::new();
    let config = &host.config;
    let error = config.set_up("eth7").expect_err("none");
    assert_eq!(error.to_string(), "eth7: no such device");
    config.add_link("d0", &LinkKind::Dummy).expect("made");
    let error = config.add_link("d0", &LinkKind::Dummy).expect_err("twice");
    assert!(
        error.to_string().starts_with("d0 (dummy): file exists"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let error = config
        .add_link("a-name-that-is-too-long", &LinkKind::Dummy)
        .expect_err("too long");
    assert_eq!(errno(&error), Some(Errno::ENAMETOOLONG));
    let kind = LinkKind::Other {
        kind: "no-such-kind",
        data: Default::default(),
    };
    let error = config.add_link("x", &kind).expect_err("no such kind");
    assert!(error.to_string().starts_with("x (no-such-kind): "), "{error}");
    // Linux's own words.
    assert!(error.to_string().contains("Unknown device type"), "{error}");
    let address = InterfaceAddress::new(Ipv4Addr::new(10, 0, 0, 1), 33);
    let error = config.add_address("d0", address).expect_err("no such prefix");
    assert!(error.to_string().contains("10.0.0.1/33"), "{error}");
    let route = Route::to(Ipv4Addr::new(192, 0, 2, 0), 24).via(Ipv4Addr::new(10, 9, 9, 9));
    let error = config.add_route(&route).expect_err("no such gateway");
    assert!(
        error
            .to_string()
            .starts_with("route to 192.0.2.0/24 via 10.9.9.9: network is unreachable (Nexthop"),
        "{error}"
    );
    let queue = Queue::Other {
        kind: "nothing",
        options: Default::default(),
    };
    let error = config
        .set_queue("d0", Handle::ROOT, Handle::new(1, 0), &queue)
        .expect_err("no such queue");
    assert!(error.to_string().starts_with("d0: queue nothing: "), "{error}");
}

#[test]
fn addresses_of_both_versions_are_added_listed_and_deleted() {
    let host = Host::new();
    let config = &host.config;
    config.add_link("d0", &LinkKind::Dummy).expect("made");
    config.set_up("d0").expect("up");
    let v4 = InterfaceAddress::new(Ipv4Addr::new(10, 0, 0, 1), 24);
    let v6: Ipv6Addr = "fd00::1".parse().expect("an address");
    let v6 = InterfaceAddress::new(v6, 64).at_once();
    for address in [v4, v6] {
        config.add_address("d0", address).expect("added");
        let again = config.add_address("d0", address).expect_err("twice");
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    }
    let listed = config.addresses("d0").expect("listed");
    assert!(listed.contains(&v4) && listed.contains(&v6), "{listed:?}");
    host.network.enter(|| {
        TcpListener::bind("10.0.0.1:0").expect("bound");
        TcpListener::bind("[fd00::1]:0").expect("bound");
    });
    config.delete_address("d0", v4).expect("deleted");
    let gone = host.network.enter(|| TcpListener::bind("10.0.0.1:0"));
    assert_eq!(gone.expect_err("gone").kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn packets_go_where_routes_and_rules_send_them() {
    let (one, router, _) = two_hosts();
    let other = Host::new();
    let [near, far] = wire("far", &router, &other, 2);
    router
        .network
        .set_sysctl("net.ipv4.ip_forward", "1")
        .expect("set");
    let server = other.network.enter(|| UdpSocket::bind((far, 0)).expect("bound"));
    let client = one.network.enter(|| UdpSocket::bind("0.0.0.0:0").expect("bound"));
    let to = server.local_addr().expect("bound");
    let unreachable = client.send_to(b"x", to).expect_err("no route");
    assert_eq!(unreachable.kind(), ErrorKind::NetworkUnreachable);
    let there = Route::to(Ipv4Addr::new(10, 2, 0, 0), 24).via(Ipv4Addr::new(10, 1, 0, 2));
    one.config.add_route(&there).expect("added");
    let listed = one.config.routes(false).expect("listed");
    let found = listed
        .iter()
        .find(|route| route.destination == there.destination)
        .expect("listed");
    assert_eq!(
        (found.gateway, found.interface.as_deref()),
        (there.gateway, Some("wire"))
    );
    other.config.add_route(&Route::default_via(near)).expect("added");
    client.send_to(b"x", to).expect("sent");
    let (_, from) = server.recv_from(&mut [0; 4]).expect("received");
    assert_eq!(from.ip(), IpAddr::from([10, 1, 0, 1]));
    // A rule for a mark leads into a table where everything vanishes.
    let hole = Route {
        kind: RouteType::Unreachable,
        ..Route::to(Ipv4Addr::UNSPECIFIED, 0).in_table(7777)
    };
    one.config.add_route(&hole).expect("added");
    let rule = Rule {
        ipv6: false,
        priority: 100,
        from: None,
        to: None,
        mark: Some(5),
        input: None,
        table: 7777,
    };
    one.config.add_rule(&rule).expect("added");
    client.socket().set_mark(5).expect("set");
    let error = client.send_to(b"x", to).expect_err("no way");
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
    one.config.delete_rule(&rule).expect("deleted");
    client.send_to(b"y", to).expect("sent");
    one.config.delete_route(&there).expect("deleted");
    let error = one.config.delete_route(&there).expect_err("twice");
    assert!(error.to_string().contains("no such process"), "{error}");
}

/// As transparent proxies have it: addresses that no interface has are this host's.
#[test]
fn a_local_route_makes_addresses_this_hosts() {
    /// Linux's own table of such routes.
    const LOCAL: u32 = 255;
    let host = Host::new();
    host.config.set_up("lo").expect("up");
    for (net, prefix, address) in [
        ("10.77.0.0", 16, "10.77.1.2"),
        ("2001:db8:77::", 48, "2001:db8:77::9"),
    ] {
        let route = Route {
            kind: RouteType::Local,
            interface: Some("lo".to_owned()),
            ..Route::to(net.parse::<IpAddr>().expect("an address"), prefix).in_table(LOCAL)
        };
        host.config.add_route(&route).expect("added");
        let listener = host.network.enter(|| TcpListener::bind("[::]:0").expect("bound"));
        let port = listener.local_addr().expect("bound").port();
        let address: IpAddr = address.parse().expect("an address");
        host.network
            .enter(|| TcpStream::connect((address, port)).expect("connected"));
        host.config.delete_route(&route).expect("deleted");
    }
}

#[test]
fn a_neighbour_that_was_set_is_not_asked_for() {
    let (one, _other, [_, there]) = two_hosts();
    let hardware = [2, 0, 0, 0, 0, 0x77];
    let ip = IpAddr::from([10, 1, 0, 9]);
    one.config.set_neighbour("wire", ip, hardware).expect("set");
    let known = one.config.neighbours("wire").expect("listed");
    let it = known.iter().find(|neighbour| neighbour.ip == ip).expect("listed");
    assert!(it.permanent);
    assert_eq!(it.hardware.as_deref(), Some(&hardware[..]));
    one.config.delete_neighbour("wire", ip).expect("deleted");
    // The other one is asked for when something is sent to it.
    let socket = one.network.enter(|| UdpSocket::bind("0.0.0.0:0").expect("bound"));
    socket.send_to(b"x", (there, 9)).expect("sent");
    let known = one.config.neighbours("wire").expect("listed");
    assert!(known.iter().any(|n| n.ip == IpAddr::from(there) && !n.permanent));
}

#[test]
fn bridges_switch_and_vlans_are_kept_apart() {
    let switch = Host::new();
    let hosts = [Host::new(), Host::new()];
    switch.config.add_link("br", &LinkKind::Bridge).expect("made");
    switch.config.set_up("br").expect("up");
    for (n, host) in (1..).zip(&hosts) {
        let port = format!("port{n}");
        let kind = LinkKind::Veth {
            peer: "eth0",
            peer_namespace: Some(&host.network),
        };
        switch.config.add_link(&port, &kind).expect("made");
        switch.config.set_master(&port, Some("br")).expect("set");
        switch.config.set_up(&port).expect("up");
        host.address("eth0", [10, 5, 0, n], 24);
        let vlan = LinkKind::Vlan {
            link: "eth0",
            id: 100 + u16::from(n == 2),
        };
        host.config.add_link("tagged", &vlan).expect("made");
        host.address("tagged", [10, 6, 0, n], 24);
        let same = LinkKind::Vlan {
            link: "eth0",
            id: 200,
        };
        host.config.add_link("same", &same).expect("made");
        host.address("same", [10, 7, 0, n], 24);
    }
    let server = hosts[1]
        .network
        .enter(|| UdpSocket::bind("0.0.0.0:7").expect("bound"));
    let client = hosts[0]
        .network
        .enter(|| UdpSocket::bind("0.0.0.0:0").expect("bound"));
    // The other VLAN's is sent first, and does not come.
    for net in [6, 5, 7] {
        client
            .send_to(&[net], ([10, net, 0, 2].into_ip(), 7))
            .expect("sent");
    }
    for net in [5, 7] {
        let mut byte = [0];
        server.recv(&mut byte).expect("received");
        assert_eq!(byte, [net]);
    }
    server
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("set");
    assert_eq!(
        server.recv(&mut [0]).expect_err("nothing else").kind(),
        ErrorKind::WouldBlock
    );
    let port = switch.config.interface("port1").expect("there");
    assert_eq!(
        port.master,
        Some(switch.config.interface("br").expect("there").index)
    );
}

trait IntoIp {
    fn into_ip(self) -> IpAddr;
}

impl IntoIp for [u8; 4] {
    fn into_ip(self) -> IpAddr {
        self.into()
    }
}

#[test]
fn each_queue_is_the_one_that_was_set() {
    let (one, _other, [_, there]) = two_hosts();
    let config = &one.config;
    let root = Handle::new(1, 0);
    let netem = Netem {
        delay: Duration::from_millis(1),
        jitter: Duration::from_micros(10),
        loss: 0.01,
        duplicate: 0.01,
        reorder: 0.01,
        corrupt: 0.0001,
        rate: 10_000_000_000,
        limit: 100,
        seed: Some(9),
    };
    let tbf = Tbf {
        rate: 1_000_000,
        burst: 10_000,
        limit: 100_000,
    };
    let all = [
        ("fq", Queue::Fq),
        ("fq_codel", Queue::FqCodel),
        ("netem", Queue::Netem(netem)),
        ("tbf", Queue::Tbf(tbf)),
        ("htb", Queue::Htb { default_class: 10 }),
        (
            "codel",
            Queue::Other {
                kind: "codel",
                options: Default::default(),
            },
        ),
    ];
    for (name, queue) in &all {
        let _ = config.delete_queue("wire");
        config.set_queue("wire", Handle::ROOT, root, queue).expect(name);
        assert_eq!(
            config.queues("wire").expect("listed"),
            [(root, (*name).to_owned())]
        );
    }
    config.delete_queue("wire").expect("deleted");
    config
        .set_queue("wire", Handle::ROOT, root, &Queue::Htb { default_class: 10 })
        .expect("set");
    let class = HtbClass {
        rate: 1_000_000,
        ceiling: 2_000_000,
        burst: 20_000,
    };
    config
        .set_htb_class("wire", root, Handle::new(1, 10), class)
        .expect("a class");
    config
        .set_queue("wire", Handle::new(1, 10), Handle::new(10, 0), &Queue::FqCodel)
        .expect("a queue in it");
    assert_eq!(config.queues("wire").expect("listed").len(), 2);
    let socket = one.network.enter(|| UdpSocket::bind("0.0.0.0:0").expect("bound"));
    socket.send_to(b"x", (there, 9)).expect("sent");
}

#[test]
fn a_line_takes_the_time_that_it_was_given() {
    let (one, other, [_, there]) = two_hosts();
    let delay = Duration::from_millis(40);
    for host in [&one, &other] {
        let netem = Netem {
            delay,
            ..Netem::default()
        };
        host.config
            .set_queue("wire", Handle::ROOT, Handle::new(1, 0), &Queue::Netem(netem))
            .expect("set");
    }
    let server = other
        .network
        .enter(|| TcpListener::bind((there, 0)).expect("bound"));
    let to = server.local_addr().expect("bound");
    let start = Instant::now();
    let client = one
        .network
        .enter(|| lkl_net::TcpStream::connect(to).expect("connected"));
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());
    let rtt = client.info().expect("asked").rtt;
    assert!(rtt >= 2 * delay - Duration::from_millis(1), "{rtt:?}");
}

#[test]
fn messages_of_another_crate_go_through_and_say_the_same() {
    use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};
    let (one, ..) = two_hosts();
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let answers = one
        .config
        .netlink()
        .exchange_bytes("links", &bytes)
        .expect("answers");
    let ours = one.config.interfaces().expect("listed");
    assert_eq!(answers.len(), ours.len());
    for (answer, ours) in answers.iter().zip(&ours) {
        let len = u32::try_from(answer.body.len() + 16).expect("short");
        let head = [
            &len.to_ne_bytes()[..],
            &answer.kind.to_ne_bytes(),
            &(NLM_F_ACK).to_ne_bytes(),
            &[0; 8],
        ];
        let whole = [head.concat(), answer.body.clone()].concat();
        let parsed = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&whole).expect("a message");
        let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = parsed.payload else {
            panic!("a link");
        };
        assert_eq!(link.header.index, ours.index);
        assert!(
            link.attributes
                .contains(&LinkAttribute::IfName(ours.name.clone()))
        );
        assert!(link.attributes.contains(&LinkAttribute::Mtu(ours.mtu)));
        assert!(
            link.attributes
                .contains(&LinkAttribute::Qdisc(ours.queue.clone()))
        );
    }
}

#[test]
fn a_socket_that_is_bound_to_an_interface_uses_no_other() {
    let (one, other, [_, there]) = two_hosts();
    let [_, second] = wire("second", &one, &other, 2);
    let server = other
        .network
        .enter(|| UdpSocket::bind("0.0.0.0:7").expect("bound"));
    let client = one.network.enter(|| UdpSocket::bind("0.0.0.0:0").expect("bound"));
    let socket: &Socket = client.socket();
    socket.bind_device(Some("second")).expect("set");
    client.send_to(b"1", (second, 7)).expect("sent");
    let (_, from) = server.recv_from(&mut [0]).expect("received");
    assert_eq!(from.ip(), [10, 2, 0, 1].into_ip());
    // Linux takes what is on no route for a neighbour of that interface's.
    client.send_to(b"2", (there, 7)).expect("sent");
    let (_, from) = server.recv_from(&mut [0]).expect("received");
    assert_eq!(from.ip(), [10, 2, 0, 1].into_ip());
}

/// The longest frame of a transfer of TCP's, as the receiver sees it.
fn longest_frame(one: &Host, other: &Host, there: Ipv4Addr) -> usize {
    let packets = Socket::new_in(&other.network, Family::PACKET, Type::RAW, Protocol::ethernet(3));
    let packets = packets.expect("a socket");
    packets.set_nonblocking(true).expect("set");
    let listener = TcpListener::bind_in(&other.network, (there, 0)).expect("bound");
    let address = listener.local_addr().expect("bound");
    let mut stream = TcpStream::connect_in(&one.network, address).expect("connected");
    let (mut receiver, _) = listener.accept().expect("accepted");
    let mut longest = 0;
    for _ in 0..40 {
        stream.write_all(&[7; 20_000]).expect("sent");
        receiver.read_exact(&mut [0; 20_000]).expect("received");
        let mut frame = vec![0; 70_000];
        while let Ok(len) = packets.recv(&mut frame) {
            longest = longest.max(len);
        }
    }
    longest
}

#[test]
fn frames_are_as_long_as_a_wire_has_them_if_buffers_stand_for_one_packet() {
    let (one, other, [_, there]) = two_hosts();
    assert!(
        longest_frame(&one, &other, there) > 1514,
        "several packets at once"
    );
    for host in [&one, &other] {
        host.config.set_segments("wire", 1).expect("set");
        host.config.set_checksum_offload("wire", false).expect("set");
    }
    assert_eq!(longest_frame(&one, &other, there), 1514);
    let error = one.config.set_checksum_offload("eth7", false).expect_err("none");
    assert_eq!(error.to_string(), "eth7: checksums: no such device");
}
