//! What lklget is told by the network that it is on: an address by DHCP, names by DNS; and MPTCP with a server that has it.

#![cfg(target_os = "linux")]

mod world;

use dhcproto::v4::{DhcpOption, DhcpOptions, Message, MessageType, Opcode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use hickory_proto::op::{Message as Dns, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use world::{HERE, Run, World};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
/// The machine takes packets for it as a router would, and drops them.
const NOWHERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const LENT: &str = "10.9.1.88";

/// Lends [`LENT`], for as long as the test's process lives.
fn dhcp_server(world: &World) {
    let route = ["route", "add", "255.255.255.255/32", "dev", "lklget0"];
    world.run_command(Command::new("ip").args(route)).well();
    let socket = world
        .machine
        .inside(|| UdpSocket::bind("0.0.0.0:67"))
        .expect("a free port");
    socket.set_broadcast(true).expect("set");
    thread::spawn(move || {
        loop {
            let mut room = [0; 2048];
            let (len, _) = socket.recv_from(&mut room).expect("received");
            let question = Message::decode(&mut Decoder::new(&room[..len])).expect("a message");
            let kind = match question.opts().msg_type() {
                Some(MessageType::Discover) => MessageType::Offer,
                Some(MessageType::Request) => MessageType::Ack,
                _ => continue,
            };
            let mut answer = question.clone();
            let lent: Ipv4Addr = LENT.parse().expect("an address");
            answer.set_opcode(Opcode::BootReply).set_yiaddr(lent);
            let mut options = DhcpOptions::default();
            options.insert(DhcpOption::MessageType(kind));
            options.insert(DhcpOption::ServerIdentifier(SERVER));
            options.insert(DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)));
            options.insert(DhcpOption::Router(vec![SERVER]));
            options.insert(DhcpOption::DomainNameServer(vec![SERVER]));
            options.insert(DhcpOption::AddressLeaseTime(7200));
            answer.set_opts(options);
            let mut bytes = Vec::new();
            answer.encode(&mut Encoder::new(&mut bytes)).expect("encoded");
            // The test may have ended, and its interface with it.
            let _ = socket.send_to(&bytes, (Ipv4Addr::BROADCAST, 68));
        }
    });
}

/// Knows `server.test`, and `both.test`, whose address of IPv6 is one from which nothing comes; and no other name.
fn name_server(world: &World) {
    let socket = world.machine.inside(|| UdpSocket::bind((SERVER, 53)));
    let socket = socket.expect("a free port");
    thread::spawn(move || {
        loop {
            let mut room = [0; 2048];
            let (len, from) = socket.recv_from(&mut room).expect("received");
            let question = Dns::from_vec(&room[..len]).expect("a question");
            let query = question.queries[0].clone();
            let (name, kind) = (query.name().clone(), query.query_type());
            let mut answer = Dns::response(question.metadata.id, OpCode::Query);
            answer.add_query(query);
            match (name.to_ascii().as_str(), kind) {
                ("both.test.", RecordType::AAAA) => {
                    answer.add_answer(Record::from_rdata(name, 60, RData::AAAA(AAAA(NOWHERE))));
                }
                ("server.test." | "both.test.", RecordType::A) => {
                    answer.add_answer(Record::from_rdata(name, 60, RData::A(A(SERVER))));
                }
                ("server.test." | "both.test.", _) => {}
                _ => answer.metadata.response_code = ResponseCode::NXDomain,
            }
            let bytes = answer.to_vec().expect("encoded");
            // The test may have ended, and its interface with it.
            let _ = socket.send_to(&bytes, from);
        }
    });
}

/// Without an address from the command line.
fn by_dhcp(world: &World, arguments: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lklget"));
    command
        .args(["--net", "tap:lklget0"])
        .args(arguments)
        .current_dir(world.place());
    world.run_command(&mut command)
}

#[test]
fn the_network_lends_an_address_and_knows_names() {
    let world = World::new();
    dhcp_server(&world);
    name_server(&world);
    let port = world.http(&format!("{HERE}:0")).port();
    let thing = format!("http://server.test:{port}/n/6");
    let run = by_dhcp(&world, &["--json", &thing]).well();
    assert!(world.read("6") == world.server.small(6));
    let local = run.stats()[0]["local"].as_str().unwrap().to_owned();
    assert!(local.starts_with(&format!("{LENT}:")), "{local}");
    // TLS goes by the name.
    let (secure, certificate) = world.https(&format!("{HERE}:0"), "DNS:server.test");
    let certificate = ["--cacert", certificate.to_str().unwrap()];
    let named = format!("https://server.test:{}/n/5", secure.port());
    by_dhcp(&world, &[&certificate[..], &[&named]].concat()).well();
    assert!(world.read("5") == world.server.small(5));
    let numbered = format!("https://{secure}/n/4");
    let run = by_dhcp(&world, &[&certificate[..], &[&numbered]].concat());
    assert!(run.code == 1 && run.err.contains("another name"), "{run:?}");
    let run = by_dhcp(&world, &["http://other.test/"]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("other.test: no such host"), "{}", run.err);
    // A name server that there is no way to.
    let other = ["-f", "--ip", "fd00:9::2/64", "--dns", "10.9.1.1"];
    let run = by_dhcp(&world, &[&other[..], &[&thing]].concat());
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(
        run.err.contains("name server 10.9.1.1:53") && run.err.contains("--dns"),
        "{}",
        run.err
    );
}

#[test]
fn a_server_is_reached_by_ipv4_at_once_when_ipv6_leads_nowhere() {
    let world = World::new();
    name_server(&world);
    let ip = ["addr", "add", "fd00:9::1/64", "dev", "lklget0", "nodad"];
    world.run_command(Command::new("ip").args(ip)).well();
    let nowhere = NOWHERE.to_string();
    let drops = ["-6", "route", "add", "blackhole", &nowhere];
    world.run_command(Command::new("ip").args(drops)).well();
    let port = world.http(&format!("{HERE}:0")).port();
    let network = ["--ip", "fd00:9::2/64", "--gateway", "fd00:9::1", "--dns", HERE];
    let common = ["--json", "-f"];
    let run = |more: &[&str], url: &str| {
        let began = Instant::now();
        let run = world.run(&[&network[..], &common, more, &[url]].concat());
        (run, began.elapsed())
    };
    let (fetched, took) = run(&["--timeout", "20"], &format!("http://both.test:{port}/n/3"));
    let stats = fetched.well().stats();
    assert!(world.read("3") == world.server.small(3));
    assert_eq!(stats[0]["peer"], format!("{HERE}:{port}"));
    // Most of it is what it takes to start.
    assert!(took < Duration::from_secs(8), "{took:?}");
    // That it leads nowhere, and is no refusal.
    let alone = format!("http://[{NOWHERE}]:{port}/n/3");
    let (late, _) = run(&["--timeout", "2"], &alone);
    assert_eq!(late.code, 9, "{}", late.err);
}

#[test]
fn a_server_with_mptcp_gets_it() {
    use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, ipproto, listen, socket};
    let world = World::new();
    let listener = world.machine.inside(|| {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::MPTCP)).ok()?;
        bind(&socket, &SocketAddrV4::new(SERVER, 0)).expect("a free port");
        listen(&socket, 16).expect("a socket");
        Some(socket)
    });
    let Some(listener) = listener else {
        eprintln!("this machine's Linux has no MPTCP");
        return;
    };
    let server = world.server.start(listener.into(), None);
    let thing = format!("http://{server}/big");
    let run = world.run(&["--mptcp", "--json", &thing]).well();
    assert!(world.read("big") == world.server.big());
    assert_eq!(run.stats()[0]["mptcp_paths"], 1, "{}", run.err);
    let text = world.run(&["--mptcp", "--stats", "-f", &thing]).well().err;
    assert!(text.contains("MPTCP with 1 path"), "{text}");
    let plain = world.run(&["--json", "-f", &thing]).well();
    assert_eq!(plain.stats()[0]["mptcp"], false);
}
