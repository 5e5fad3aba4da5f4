//! Tables of netfilter decide which packets pass a router, and which addresses they get.

#![cfg(target_os = "linux")]

mod world;

use lkl_net::config::{
    Action, Chain, ChainKind, ConnectionState, Hook, InterfaceAddress, Match, PacketRule, Route, Table,
};
use lkl_net::{Namespace, Socket, TcpListener, TcpStream, UdpSocket};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use world::{Host, two_hosts, wire};

const TCP: u8 = 6;
const UDP: u8 = 17;
const PATIENCE: Duration = Duration::from_millis(300);

/// Inside, a router, and outside: 10.1.0.1, 10.1.0.2 and 10.2.0.1, 10.2.0.2.
fn three_hosts() -> [Host; 3] {
    let (inside, router, _) = two_hosts();
    let outside = Host::new();
    wire("out", &router, &outside, 2);
    router
        .network
        .set_sysctl("net.ipv4.ip_forward", "1")
        .expect("set");
    for (host, via) in [(&inside, [10, 1, 0, 2]), (&outside, [10, 2, 0, 1])] {
        host.config.add_route(&Route::default_via(via)).expect("added");
    }
    [inside, router, outside]
}

const INSIDE: [u8; 4] = [10, 1, 0, 1];
const PUBLIC: [u8; 4] = [10, 2, 0, 1];
const OUTSIDE: [u8; 4] = [10, 2, 0, 2];

fn rule(matches: &[Match], action: Action) -> PacketRule {
    PacketRule {
        matches: matches.to_vec(),
        action,
    }
}

fn chain(hook: Hook, kind: ChainKind, accept: bool, rules: Vec<PacketRule>) -> Chain {
    Chain {
        name: format!("{hook:?}").to_lowercase(),
        hook,
        kind,
        accept,
        rules,
    }
}

fn table(chains: Vec<Chain>) -> Table {
    Table {
        name: "gate".to_owned(),
        chains,
    }
}

fn ports(first: u16, last: u16) -> Match {
    Match::DestinationPort(first..=last)
}

fn listener(host: &Host, ip: impl Into<IpAddr>, port: u16) -> TcpListener {
    let address = SocketAddr::new(ip.into(), port);
    host.network.enter(|| TcpListener::bind(address).expect("bound"))
}

fn connect(by: &Namespace, ip: impl Into<IpAddr>, port: u16) -> std::io::Result<TcpStream> {
    let address = SocketAddr::new(ip.into(), port);
    by.enter(|| TcpStream::connect_timeout(&address, PATIENCE))
}

/// One end says something, and the other end hears it.
fn says(stream: &mut TcpStream, listener: &TcpListener) -> SocketAddr {
    let (mut server, peer) = listener.accept().expect("accepted");
    stream.write_all(b"hello").expect("written");
    let mut heard = [0; 5];
    server.read_exact(&mut heard).expect("read");
    assert_eq!(&heard, b"hello");
    server.write_all(b"world").expect("written");
    stream.read_exact(&mut heard).expect("read");
    assert_eq!(&heard, b"world");
    peer
}

#[test]
fn what_rules_accept_passes_what_they_refuse_is_told_and_the_rest_is_lost() {
    let [inside, router, outside] = three_hosts();
    let known = Match::State(vec![ConnectionState::Established, ConnectionState::Related]);
    let from_inside = || [Match::InputInterface("wire".to_owned()), Match::Protocol(TCP)];
    let with = |more: Match| [&from_inside()[..], &[more]].concat();
    let rules = vec![
        rule(&[known], Action::Accept),
        rule(&with(ports(80, 89)), Action::Accept),
        rule(&with(ports(22, 22)), Action::Reset),
        rule(&with(ports(25, 25)), Action::Reject),
    ];
    let forward = chain(Hook::Forward, ChainKind::Filter, false, rules);
    router.config.set_table(&table(vec![forward])).expect("set");

    for port in [80, 89] {
        let listener = listener(&outside, OUTSIDE, port);
        let mut stream = connect(&inside.network, OUTSIDE, port).expect("it passes");
        says(&mut stream, &listener);
    }
    let refused = |port| {
        connect(&inside.network, OUTSIDE, port)
            .expect_err("it does not pass")
            .kind()
    };
    assert_eq!(refused(22), ErrorKind::ConnectionRefused);
    assert_eq!(refused(25), ErrorKind::HostUnreachable);
    let _listener = listener(&outside, OUTSIDE, 90);
    assert_eq!(refused(90), ErrorKind::TimedOut);
    // From outside none begins.
    let _listener = listener(&inside, INSIDE, 80);
    let error = connect(&outside.network, INSIDE, 80).expect_err("it does not pass");
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    let counters = router.config.rule_counters("gate").expect("told");
    assert!(counters.iter().all(|counter| counter.chain == "forward"));
    let packets: Vec<u64> = counters.iter().map(|counter| counter.packets).collect();
    assert_eq!(packets[1..], [2, 1, 1], "{counters:?}");
    assert!(packets[0] >= 8 && counters[0].bytes > 8 * 40, "{counters:?}");
}

#[test]
fn a_table_is_replaced_as_a_whole_and_stays_when_the_new_one_is_wrong() {
    let [inside, router, outside] = three_hosts();
    let forward = |rules| table(vec![chain(Hook::Forward, ChainKind::Filter, true, rules)]);
    let drop_udp = rule(&[Match::Protocol(UDP), ports(7, 7)], Action::Drop);
    router
        .config
        .set_table(&forward(vec![drop_udp.clone()]))
        .expect("set");
    let server = outside
        .network
        .enter(|| UdpSocket::bind(SocketAddr::from((OUTSIDE, 7))).expect("bound"));
    server.set_read_timeout(Some(PATIENCE)).expect("set");
    let client = inside
        .network
        .enter(|| UdpSocket::bind("0.0.0.0:0").expect("bound"));
    let arrives = || {
        client
            .send_to(b"x", SocketAddr::from((OUTSIDE, 7)))
            .expect("sent");
        server.recv(&mut [0; 8]).is_ok()
    };
    assert!(!arrives());

    // Each of these is refused, with its reason, and changes nothing.
    let wrong = [
        (
            rule(&[ports(7, 7)], Action::Accept),
            "a port needs a protocol with ports in front of it",
        ),
        (
            rule(&[Match::From([10, 0, 0, 0].into(), 33)], Action::Accept),
            "a prefix is longer than its address",
        ),
        (
            rule(&[], Action::Masquerade),
            "a chain that filters translates no addresses",
        ),
        (rule(&[Match::Protocol(UDP)], Action::Reset), "a reset is for TCP"),
        (
            rule(
                &[Match::InputInterface("a-name-of-sixteen".to_owned())],
                Action::Accept,
            ),
            "an interface's name has 1 to 15 bytes",
        ),
    ];
    for (rule, why) in wrong {
        let error = router.config.set_table(&forward(vec![rule])).expect_err(why);
        assert_eq!(
            error.to_string(),
            format!("table gate, chain forward, rule 0: invalid argument ({why})")
        );
        assert!(!arrives(), "{why}");
    }
    // Linux itself refuses a chain that translates addresses of what passes.
    let nat = chain(Hook::Forward, ChainKind::Nat, true, Vec::new());
    let error = router.config.set_table(&table(vec![nat])).expect_err("refused");
    assert!(error.to_string().starts_with("table gate: "), "{error}");
    assert!(!arrives());

    let elsewhere = rule(&[Match::Protocol(UDP), ports(8, 9)], Action::Drop);
    router.config.set_table(&forward(vec![elsewhere])).expect("set");
    assert!(arrives());
    router.config.set_table(&forward(vec![drop_udp])).expect("set");
    assert!(!arrives());
    router.config.delete_table("gate").expect("deleted");
    assert!(arrives());
    router.config.delete_table("gate").expect_err("there is none");
    assert_eq!(router.config.rule_counters("gate").expect("none"), []);
}

#[test]
fn addresses_and_ports_are_translated_in_both_directions() {
    let [inside, router, outside] = three_hosts();
    let leaving = Match::OutputInterface("out".to_owned());
    let hidden = rule(&[leaving], Action::Masquerade);
    let coming = [
        Match::InputInterface("out".to_owned()),
        Match::To(PUBLIC.into(), 32),
        Match::Protocol(TCP),
        ports(8080, 8080),
    ];
    let published = rule(&coming, Action::DestinationNat(INSIDE.into(), Some(80)));
    router
        .config
        .set_table(&table(vec![
            chain(Hook::Postrouting, ChainKind::Nat, true, vec![hidden]),
            chain(Hook::Prerouting, ChainKind::Nat, true, vec![published]),
        ]))
        .expect("set");

    let there = listener(&outside, OUTSIDE, 80);
    let mut stream = connect(&inside.network, OUTSIDE, 80).expect("connected");
    assert_eq!(says(&mut stream, &there).ip(), IpAddr::from(PUBLIC));

    let here = listener(&inside, INSIDE, 80);
    let mut stream = connect(&outside.network, PUBLIC, 8080).expect("connected");
    assert_eq!(says(&mut stream, &here).ip(), IpAddr::from(OUTSIDE));
    let peer = stream.peer_addr().expect("asked");
    assert_eq!(peer, SocketAddr::from((PUBLIC, 8080)));

    // Another address than the interface's own.
    let other: [u8; 4] = [10, 2, 0, 77];
    let address = InterfaceAddress::new(other, 24).at_once();
    router.config.add_address("out", address).expect("added");
    let source = rule(
        &[Match::From([10, 1, 0, 0].into(), 16)],
        Action::SourceNat(other.into(), None),
    );
    router
        .config
        .set_table(&table(vec![chain(
            Hook::Postrouting,
            ChainKind::Nat,
            true,
            vec![source],
        )]))
        .expect("set");
    let mut stream = connect(&inside.network, OUTSIDE, 80).expect("connected");
    assert_eq!(says(&mut stream, &there).ip(), IpAddr::from(other));
}

#[test]
fn rules_for_prefixes_of_both_versions_of_ip_find_their_packets() {
    let (one, other, _) = two_hosts();
    for (host, n) in [(&one, 1u16), (&other, 2)] {
        for network in [0xa, 0xb] {
            let ip = std::net::Ipv6Addr::new(0xfd00, 0, 0, network, 0, 0, 0, n);
            host.address("wire", ip, 64);
        }
    }
    let six = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let rules = vec![
        rule(&[Match::From(six("fd00::b:0:0:0:0"), 64)], Action::Drop),
        rule(&[Match::From([10, 1, 0, 0].into(), 30)], Action::Count),
        rule(&[Match::From([10, 1, 0, 4].into(), 30)], Action::Drop),
        rule(
            &[Match::Protocol(UDP), Match::SourcePort(1000..=1001)],
            Action::Count,
        ),
    ];
    let input = chain(Hook::Input, ChainKind::Filter, true, rules);
    other.config.set_table(&table(vec![input])).expect("set");
    let arrives = |from: &str, to: &str| {
        let bound = |network: &Namespace, at: &str| {
            network.enter(|| UdpSocket::bind(at.parse::<SocketAddr>().expect("an address")).expect("bound"))
        };
        let (client, server) = (bound(&one.network, from), bound(&other.network, to));
        client
            .send_to(b"x", to.parse::<SocketAddr>().expect("an address"))
            .expect("sent");
        let socket: &Socket = server.socket();
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        server.recv(&mut [0; 8]).is_ok()
    };
    assert!(arrives("[fd00:0:0:a::1]:1000", "[fd00:0:0:a::2]:9"));
    assert!(!arrives("[fd00:0:0:b::1]:1001", "[fd00:0:0:b::2]:9"));
    assert!(arrives("10.1.0.1:1001", "10.1.0.2:9"));
    assert!(arrives("10.1.0.1:1002", "10.1.0.2:9"));
    let counters = other.config.rule_counters("gate").expect("told");
    let packets: Vec<u64> = counters.iter().map(|counter| counter.packets).collect();
    assert!(packets[0] >= 1, "{packets:?}");
    assert_eq!(packets[1..], [2, 0, 2], "{packets:?}");
}
