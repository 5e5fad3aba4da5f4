//! DHCP and DNS, against servers in another network of the same Linux.

#![cfg(target_os = "linux")]

mod world;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use hickory_proto::op::{Message as Dns, MessageType as DnsType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use lkl_net::config::InterfaceAddress;
use lkl_net::dhcp::Client;
use lkl_net::{NameServers, Namespace, TcpListener, TcpStream, UdpSocket, resolve};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use world::{Host, two_hosts};

const LENT: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 77);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 3, 0, 1);
/// Beyond every test.
const PATIENT: Duration = Duration::from_secs(60);

/// Two hosts with a wire `eth0`; only the first has an address.
fn server_and_client() -> (Host, Host) {
    let (server, client) = (Host::new(), Host::new());
    let kind = lkl_net::config::LinkKind::Veth {
        peer: "eth0",
        peer_namespace: Some(&client.network),
    };
    server.config.add_link("eth0", &kind).expect("a wire");
    server.address("eth0", SERVER, 24);
    (server, client)
}

/// Answers so many messages, and says what kinds they were of. `refuse`: requests are refused.
fn dhcp_server(host: &Host, messages: usize, refuse: bool) -> JoinHandle<Vec<MessageType>> {
    let socket = host
        .network
        .enter(|| UdpSocket::bind("0.0.0.0:67").expect("bound"));
    socket.set_broadcast(true).expect("set");
    socket.socket().bind_device(Some("eth0")).expect("set");
    thread::spawn(move || {
        let mut kinds = Vec::new();
        while kinds.len() < messages {
            let mut room = [0; 2048];
            let (len, from) = socket.recv_from(&mut room).expect("received");
            let question = Message::decode(&mut Decoder::new(&room[..len])).expect("a message");
            let kind = question.opts().msg_type().expect("a kind");
            kinds.push(kind);
            let answer_kind = match kind {
                MessageType::Discover => MessageType::Offer,
                MessageType::Request if refuse => MessageType::Nak,
                MessageType::Request => MessageType::Ack,
                _ => continue,
            };
            let mut answer = question.clone();
            answer.set_opcode(Opcode::BootReply).set_yiaddr(LENT);
            let mut options = dhcproto::v4::DhcpOptions::default();
            options.insert(DhcpOption::MessageType(answer_kind));
            options.insert(DhcpOption::ServerIdentifier(SERVER));
            options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
            options.insert(DhcpOption::Router(vec![SERVER]));
            options.insert(DhcpOption::DomainNameServer(vec![SERVER]));
            options.insert(DhcpOption::DomainName("lent.test".to_owned()));
            options.insert(DhcpOption::AddressLeaseTime(7200));
            options.insert(DhcpOption::InterfaceMtu(1400));
            answer.set_opts(options);
            let to = match from.ip() {
                ip if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::BROADCAST, 68)),
                ip => SocketAddr::from((ip, 68)),
            };
            let send = |message: &Message| {
                let mut bytes = Vec::new();
                message.encode(&mut Encoder::new(&mut bytes)).expect("encoded");
                socket.send_to(&bytes, to).expect("sent");
            };
            // What is not for the client comes first: garbage, and an answer to another question.
            socket.send_to(&[2; 50], to).expect("sent");
            let mut other = answer.clone();
            other.set_xid(answer.xid() ^ 1);
            other.set_yiaddr(Ipv4Addr::new(10, 3, 0, 99));
            send(&other);
            send(&answer);
        }
        kinds
    })
}

#[test]
fn a_lease_is_obtained_applied_renewed_and_given_back() {
    let (server, host) = server_and_client();
    let serving = dhcp_server(&server, 4, false);
    let client = Client::new(&host.network, "eth0")
        .expect("a client")
        .with_host_name("guest")
        .with_patience(PATIENT, 1);
    let lease = client.obtain().expect("a lease");
    assert_eq!((lease.address, lease.prefix, lease.server), (LENT, 24, SERVER));
    assert_eq!((lease.routers.as_slice(), lease.mtu), (&[SERVER][..], Some(1400)));
    assert_eq!(lease.duration, Duration::from_secs(7200));
    assert_eq!(lease.renew_after, Duration::from_secs(3600));
    client.apply(&lease).expect("applied");
    let own = host.config.addresses("eth0").expect("listed");
    assert!(own.contains(&InterfaceAddress::new(LENT, 24)), "{own:?}");
    assert_eq!(host.config.interface("eth0").expect("there").mtu, 1400);
    let routes = host.config.routes(false).expect("listed");
    let default = routes
        .iter()
        .find(|route| route.prefix == 0)
        .expect("a default route");
    assert_eq!(default.gateway, Some(SERVER.into()));
    let names = host.network.name_servers();
    assert_eq!(names.servers, [SocketAddr::from((SERVER, 53))]);
    assert_eq!(names.search, ["lent.test"]);
    // It is an address that works.
    let listener = server
        .network
        .enter(|| TcpListener::bind((SERVER, 0)).expect("bound"));
    let to = listener.local_addr().expect("bound");
    let stream = host.network.enter(|| TcpStream::connect(to).expect("connected"));
    assert_eq!(stream.local_addr().expect("asked").ip(), IpAddr::from(LENT));
    let renewed = client.renew(&lease).expect("renewed");
    assert_eq!(renewed, lease);
    client.apply(&renewed).expect("applied");
    client.release(&renewed).expect("given back");
    let own = host.config.addresses("eth0").expect("listed");
    assert!(!own.iter().any(|address| address.ip == LENT), "{own:?}");
    let kinds = serving.join().expect("no panic");
    use MessageType::{Discover, Release, Request};
    assert_eq!(kinds, [Discover, Request, Request, Release]);
}

#[test]
fn a_network_without_a_server_and_one_that_refuses_are_told_apart() {
    let (server, host) = server_and_client();
    let client = Client::new(&host.network, "eth0").expect("a client");
    let client = client.with_patience(Duration::from_millis(50), 2);
    let error = client.obtain().expect_err("no server");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "eth0: no DHCP server answers");
    let again = Client::new(&host.network, "eth0").expect_err("there is one");
    assert_eq!(again.kind(), ErrorKind::AddrInUse);
    let serving = dhcp_server(&server, 2, true);
    let client = client.with_patience(PATIENT, 1);
    let error = client.obtain().expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(error.to_string(), "eth0: the DHCP server refuses");
    serving.join().expect("no panic");
    let none = Client::new(&host.network, "eth9").expect_err("none");
    assert_eq!(none.to_string(), "eth9: no such device");
}

#[test]
fn the_client_asks_for_what_it_uses() {
    let (server, host) = server_and_client();
    let socket = server
        .network
        .enter(|| UdpSocket::bind("0.0.0.0:67").expect("bound"));
    let client = Client::new(&host.network, "eth0").expect("a client");
    let client = client
        .with_host_name("guest")
        .with_patience(Duration::from_millis(1), 1);
    client.obtain().expect_err("nothing answers");
    let mut room = [0; 2048];
    let len = socket.recv(&mut room).expect("received");
    let question = Message::decode(&mut Decoder::new(&room[..len])).expect("a message");
    assert!(question.flags().broadcast());
    let hardware = host.config.interface("eth0").expect("there").hardware;
    assert_eq!(question.chaddr(), hardware);
    let options = question.opts();
    assert_eq!(
        options.get(OptionCode::Hostname),
        Some(&DhcpOption::Hostname("guest".to_owned()))
    );
    let Some(DhcpOption::ParameterRequestList(list)) = options.get(OptionCode::ParameterRequestList) else {
        panic!("a list");
    };
    assert!(list.contains(&OptionCode::SubnetMask) && list.contains(&OptionCode::DomainNameServer));
}

const MANY: u8 = 200;

/// What the name server of the tests says.
fn answer(question: &Dns, by_tcp: bool) -> Dns {
    let mut answer = Dns::response(question.metadata.id, OpCode::Query);
    let query = question.queries[0].clone();
    let (name, kind) = (query.name().clone(), query.query_type());
    answer.add_query(query);
    let v4 = |name: &Name, ip: [u8; 4]| Record::from_rdata(name.clone(), 60, RData::A(A(ip.into())));
    let text = name.to_ascii();
    match (text.as_str(), kind) {
        ("www.test.", RecordType::A) => {
            answer.add_answer(v4(&name, [10, 1, 0, 2]));
        }
        ("www.test.", RecordType::AAAA) => {
            let ip: Ipv6Addr = "2001:db8::7".parse().expect("an address");
            answer.add_answer(Record::from_rdata(name, 60, RData::AAAA(AAAA(ip))));
        }
        ("alias.search.test.", RecordType::A) => {
            let real = Name::from_ascii("real.test.").expect("a name");
            answer.add_answer(Record::from_rdata(name, 60, RData::CNAME(CNAME(real.clone()))));
            answer.add_answer(v4(&real, [10, 1, 0, 2]));
        }
        ("big.test.", RecordType::A) if by_tcp => {
            for last in 0..MANY {
                answer.add_answer(v4(&name, [10, 1, 1, last]));
            }
        }
        ("big.test.", RecordType::A) => answer.metadata.truncation = true,
        ("broken.test.", _) => answer.metadata.response_code = ResponseCode::ServFail,
        ("alias.search.test." | "big.test.", _) => {}
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    answer
}

/// A name server by UDP and TCP. It loses the first question, and answers each with garbage first.
fn name_server(network: &Namespace, ip: Ipv4Addr) -> SocketAddr {
    let tcp = network.enter(|| TcpListener::bind((ip, 0)).expect("bound"));
    let at = tcp.local_addr().expect("bound");
    let udp = network.enter(|| UdpSocket::bind(at).expect("bound"));
    thread::spawn(move || {
        let mut room = [0; 2048];
        let _lost = udp.recv(&mut room).expect("received");
        loop {
            let (len, from) = udp.recv_from(&mut room).expect("received");
            let question = Dns::from_vec(&room[..len]).expect("a question");
            assert!(question.metadata.recursion_desired);
            udp.send_to(b"garbage", from).expect("sent");
            let mut other = answer(&question, false);
            other.metadata.id ^= 1;
            other.metadata.message_type = DnsType::Response;
            udp.send_to(&other.to_vec().expect("bytes"), from).expect("sent");
            let bytes = answer(&question, false).to_vec().expect("bytes");
            udp.send_to(&bytes, from).expect("sent");
        }
    });
    thread::spawn(move || {
        for stream in tcp.incoming() {
            let mut stream = stream.expect("accepted");
            let mut len = [0; 2];
            // A connection that asks nothing is no question.
            if stream.read_exact(&mut len).is_err() {
                continue;
            }
            let mut question = vec![0; u16::from_be_bytes(len).into()];
            stream.read_exact(&mut question).expect("read");
            let question = Dns::from_vec(&question).expect("a question");
            let bytes = answer(&question, true).to_vec().expect("bytes");
            let len = u16::try_from(bytes.len()).expect("short").to_be_bytes();
            stream.write_all(&[&len[..], &bytes].concat()).expect("written");
        }
    });
    at
}

#[test]
fn names_are_asked_for_over_the_network_that_the_socket_is_of() {
    let (one, other, [_, there]) = two_hosts();
    let at = name_server(&other.network, there);
    let none = resolve::host_in(&one.network, "www.test").expect_err("no server");
    assert!(none.to_string().contains("set_name_servers()"), "{none}");
    one.network.set_name_servers(NameServers {
        servers: vec![at],
        search: vec!["search.test".to_owned()],
        timeout: Duration::from_secs(1),
        attempts: 20,
    });
    let host = |name: &str| resolve::host_in(&one.network, name);
    // There is no route to the address of IPv6, so it comes last.
    let v6: IpAddr = "2001:db8::7".parse().expect("an address");
    assert_eq!(host("www.test").expect("found"), [IpAddr::from(there), v6]);
    assert_eq!(host("alias").expect("found"), [IpAddr::from(there)]);
    assert_eq!(host("big.test").expect("found").len(), usize::from(MANY));
    let unknown = host("none.test").expect_err("none");
    assert_eq!(
        (unknown.kind(), unknown.to_string().as_str()),
        (ErrorKind::NotFound, "none.test: no such host")
    );
    assert_eq!(host("localhost").expect("known").len(), 2);
    let error = host(&"x".repeat(70)).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    one.network.set_name_servers(NameServers {
        attempts: 1,
        ..one.network.name_servers()
    });
    let broken = host("broken.test").expect_err("broken");
    assert!(
        broken
            .to_string()
            .starts_with(&format!("broken.test: the name server {at} says ")),
        "{broken}"
    );
    let listener = other
        .network
        .enter(|| TcpListener::bind((there, 0)).expect("bound"));
    let port = listener.local_addr().expect("bound").port();
    let stream = one
        .network
        .enter(|| TcpStream::connect(("www.test", port)).expect("connected"));
    assert_eq!(stream.peer_addr().expect("asked").ip(), IpAddr::from(there));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let name = format!("alias:{port}");
    let connecting = lkl_net::tokio::TcpStream::connect_in(&one.network, name.as_str());
    let stream = runtime.block_on(connecting).expect("connected");
    assert_eq!(stream.peer_addr().expect("asked").ip(), IpAddr::from(there));
}

/// The server answers when it has both questions, the one of IPv4 first: the other is not waited for before it is asked.
#[test]
fn both_versions_of_ip_are_asked_for_at_once() {
    let (one, other, [_, there]) = two_hosts();
    let udp = other
        .network
        .enter(|| UdpSocket::bind((there, 0)).expect("bound"));
    let at = udp.local_addr().expect("bound");
    let serving = thread::spawn(move || {
        let mut room = [0; 2048];
        let mut asked: Vec<_> = (0..2)
            .map(|_| {
                let (len, from) = udp.recv_from(&mut room).expect("received");
                (Dns::from_vec(&room[..len]).expect("a question"), from)
            })
            .collect();
        asked.sort_by_key(|(question, _)| question.queries[0].query_type() != RecordType::A);
        for (question, from) in asked {
            let bytes = answer(&question, false).to_vec().expect("bytes");
            udp.send_to(&bytes, from).expect("sent");
        }
    });
    one.network.set_name_servers(NameServers {
        servers: vec![at],
        timeout: PATIENT,
        attempts: 1,
        ..NameServers::default()
    });
    let found = resolve::host_in(&one.network, "www.test").expect("found");
    assert_eq!(found.len(), 2, "{found:?}");
    serving.join().expect("no panic");
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let (one, other, [_, there]) = two_hosts();
    let deaf = other
        .network
        .enter(|| UdpSocket::bind((there, 0)).expect("bound"));
    let at = deaf.local_addr().expect("bound");
    one.network.set_name_servers(NameServers {
        servers: vec![at],
        timeout: Duration::from_millis(50),
        attempts: 1,
        ..NameServers::default()
    });
    let error = resolve::host_in(&one.network, "www.test").expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        format!("www.test: no answer from the name server {at}")
    );
}
