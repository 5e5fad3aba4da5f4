//! Programs of others at the other end: QEMU, a switch of VDE's, slirp4netns. Each hands packets on between two networks of Linux's, or
//! between Linux and the machine, so that what it says and what it understands is judged both ways.

#![cfg(target_os = "linux")]

mod programs;
mod sides;

use lkl_links::{NAT, Spec};
use lkl_net::UdpSocket;
use lkl_net::config::Route;
use networks::{Machine, Side, echoes, exchange, noise};
use programs::{Program, qemu};
use sides::{MUCH, over};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

const ONE: [u8; 4] = [10, 8, 0, 1];
const TWO: [u8; 4] = [10, 8, 0, 2];

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// A network whose interface is connected to that.
fn to(spec: &str, mtu: u32, address: [u8; 4]) -> Side {
    let backend = spec.parse::<Spec>().unwrap().open(true);
    over(backend.unwrap(), mtu, address)
}

/// A port of the loopback's that is free now.
fn free() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn stream(path: &str) -> String {
    format!("stream,server=on,addr.type=unix,addr.path={path}")
}

#[test]
fn a_program_is_waited_for_until_its_socket_accepts() {
    let folder = Folder::new();
    let late = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); time.sleep(1); s.listen(); time.sleep(60)";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", late, &folder.text("late")]);
    let _program = Program::new(&command, &[&folder.path("late")]);
    UnixStream::connect(folder.path("late")).unwrap();
}

/// What is sent when the other end is gone goes nowhere, and the one who sends it does not wait.
fn sends_without_waiting(side: &Side) {
    let socket = side.network.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    for _ in 0..2000 {
        // Without a carrier there may be no route.
        let _ = socket.send_to(&[7; 1000], (Ipv4Addr::from(TWO), 9));
    }
}

#[test]
fn qemu_hands_on_streams_by_unix_sockets_and_its_end_takes_the_carrier() {
    for mtu in [1500, 9000] {
        let folder = Folder::new();
        let (a, b) = (folder.text("a"), folder.text("b"));
        let command = qemu(&[stream(&a), stream(&b)]);
        let program = Program::new(&command, &[&folder.path("a"), &folder.path("b")]);
        let one = to(&format!("unix:{a}"), mtu, ONE);
        let two = to(&format!("unix:{b}"), mtu, TWO);
        exchange(&one, &two, MUCH);
        let idle = {
            let listener = two.network.enter(|| lkl_net::TcpListener::bind("0.0.0.0:7001"));
            let stream = one.connects(two.address, 7001);
            let (peer, _) = listener.unwrap().accept().unwrap();
            (stream, peer)
        };
        one.waits_for_carrier(true);
        drop(program);
        one.waits_for_carrier(false);
        two.waits_for_carrier(false);
        sends_without_waiting(&one);
        drop(idle);
    }
}

#[test]
fn qemu_hands_on_streams_by_tcp_and_datagrams_by_udp() {
    for mtu in [1500, 9000] {
        let (tcp, ours, theirs) = (free(), free(), free());
        let host = "127.0.0.1";
        let command = qemu(&[
            format!("stream,server=on,addr.type=inet,addr.host={host},addr.port={tcp}"),
            format!(
                "dgram,local.type=inet,local.host={host},local.port={theirs},\
                 remote.type=inet,remote.host={host},remote.port={ours}"
            ),
        ]);
        let program = Program::new(&command, &[]);
        while std::net::TcpListener::bind((host, tcp)).is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
        let one = to(&format!("tcp:{host}:{tcp}"), mtu, ONE);
        let two = to(&format!("udp:{host}:{ours},{host}:{theirs}"), mtu, TWO);
        exchange(&one, &two, MUCH);
        drop(program);
        one.waits_for_carrier(false);
        // Datagrams have no end that could be told.
        sends_without_waiting(&two);
    }
}

#[test]
fn qemu_hands_on_unix_datagrams_and_may_be_started_again() {
    for mtu in [1500, 9000] {
        let folder = Folder::new();
        let end = |name: &str| {
            let (theirs, ours) = (folder.text(&format!("q{name}")), folder.text(name));
            let end =
                format!("dgram,local.type=unix,local.path={theirs},remote.type=unix,remote.path={ours}");
            (end, format!("unixgram:{ours},{theirs}"))
        };
        let ((qemu_one, one), (qemu_two, two)) = (end("a"), end("b"));
        // Linux is there first.
        let one = to(&one, mtu, ONE);
        let two = to(&two, mtu, TWO);
        sends_without_waiting(&one);
        for _ in 0..2 {
            let command = qemu(&[qemu_one.clone(), qemu_two.clone()]);
            let program = Program::new(&command, &[&folder.path("qa"), &folder.path("qb")]);
            exchange(&one, &two, MUCH / 2);
            drop(program);
            sends_without_waiting(&one);
            for name in ["qa", "qb"] {
                std::fs::remove_file(folder.path(name)).unwrap();
            }
        }
    }
}

#[test]
fn a_tap_device_that_is_taken_away_takes_the_carrier() {
    let machine = Machine::new();
    machine.tap("lklgoes", 8, 1500, true);
    let side = machine.inside(|| to("tap:lklgoes", 1500, [10, 9, 8, 2]));
    assert!(machine.ping("10.9.8.2"));
    side.waits_for_carrier(true);
    machine.remove("lklgoes");
    side.waits_for_carrier(false);
    sends_without_waiting(&side);
}

#[test]
fn what_comes_behind_an_empty_datagram_comes() {
    let folder = Folder::new();
    let peer = std::os::unix::net::UnixDatagram::bind(folder.path("b")).unwrap();
    let side = to(
        &format!("unixgram:{},{}", folder.text("a"), folder.text("b")),
        1500,
        ONE,
    );
    // Both are there when Linux looks.
    side.config.set_down("eth0").unwrap();
    let mut question = vec![0xff; 6];
    question.extend([2, 0, 0, 0, 0, 2]);
    question.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2]);
    question.extend(TWO.into_iter().chain([0; 6]).chain(ONE));
    peer.send_to(&[], folder.path("a")).unwrap();
    peer.send_to(&question, folder.path("a")).unwrap();
    side.config.set_up("eth0").unwrap();
    // To read would have Linux look again, since it may write then.
    thread::sleep(Duration::from_millis(500));
    peer.set_nonblocking(true).unwrap();
    let mut room = [0; 2000];
    // Of what Linux says of itself, the answer to ARP: whose address that is.
    let is_answer = |packet: &[u8]| packet.starts_with(&[2, 0, 0, 0, 0, 2]) && packet[28..32] == ONE;
    let mut answers = std::iter::from_fn(|| peer.recv(&mut room).ok().map(|_| is_answer(&room)));
    assert!(answers.any(|is| is), "no answer");
}

#[test]
fn qemu_joins_linux_with_a_tap_device_of_the_machines() {
    let (machine, folder) = (Machine::new(), Folder::new());
    machine.tap("lklpeer", 7, 1500, false);
    let path = folder.text("a");
    let relay = qemu(&[
        stream(&path),
        "tap,ifname=lklpeer,script=no,downscript=no".to_owned(),
    ]);
    let mut command = machine.command("qemu-system-sparc");
    command.args(relay.get_args());
    let program = Program::new(&command, &[&folder.path("a")]);
    let side = to(&format!("unix:{path}"), 1500, [10, 9, 7, 2]);
    assert!(machine.ping("10.9.7.2"));
    let listener = machine.inside(|| std::net::TcpListener::bind("10.9.7.1:7000"));
    echoes(&side, &listener.unwrap(), Ipv4Addr::new(10, 9, 7, 1), MUCH);
    drop(program);
    side.waits_for_carrier(false);
}

#[test]
fn a_switch_of_vdes_joins_two_linuxes_and_qemu_and_its_end_takes_the_carrier() {
    let folder = Folder::new();
    let (switch, by_qemu) = (folder.text("switch"), folder.text("qemu"));
    let mut command = std::process::Command::new("vde_switch");
    command.args(["--sock", &switch, "--mgmt", &folder.text("mgmt")]);
    let program = Program::new(&command, &[&folder.path("switch/ctl")]);
    let one = to(&format!("vde:{switch}"), 1500, ONE);
    let two = to(&format!("vde:{switch}"), 1500, TWO);
    exchange(&one, &two, MUCH);
    let command = qemu(&[stream(&by_qemu), format!("vde,sock={switch}")]);
    let qemu = Program::new(&command, &[&folder.path("qemu")]);
    let three = to(&format!("unix:{by_qemu}"), 1500, [10, 8, 0, 3]);
    exchange(&three, &one, MUCH);
    drop(qemu);
    three.waits_for_carrier(false);
    one.waits_for_carrier(true);
    drop(program);
    one.waits_for_carrier(false);
    two.waits_for_carrier(false);
    sends_without_waiting(&one);
}

#[test]
fn slirp4netns_connects_linux_with_servers_of_the_machines_and_its_end_takes_the_carrier() {
    for mtu in [1500, 9000] {
        let (machine, folder) = (Machine::new(), Folder::new());
        machine.uplink("lkluplink");
        let path = folder.text("bess");
        let mut command = machine.command("slirp4netns");
        command.args(["--target-type=bess", "--mtu", &mtu.to_string(), &path]);
        let program = Program::new(&command, &[&folder.path("bess")]);
        let side = to(
            &format!("unixpacket:{path}"),
            mtu,
            Ipv4Addr::new(10, 0, 2, 100).octets(),
        );
        let listener = machine.inside(|| std::net::TcpListener::bind("127.0.0.1:0"));
        echoes(&side, &listener.unwrap(), NAT.gateway, MUCH);
        drop(program);
        side.waits_for_carrier(false);
        sends_without_waiting(&side);
    }
}

/// What is not asked of passt: Debian 12's sends the last of a connection again and again once one half of it is closed and the other
/// is not.
#[test]
fn passt_connects_linux_with_servers_of_the_machines_while_no_half_of_a_connection_is_closed() {
    let (machine, folder) = (Machine::new(), Folder::new());
    machine.uplink("lkluplink");
    let path = folder.text("passt");
    let mut command = machine.command("passt");
    command.args(["--foreground", "--quiet", "--runas", "0", "--socket", &path]);
    let program = Program::new(&command, &[&folder.path("passt")]);
    let side = to(&format!("unix:{path}"), 1500, [192, 0, 2, 7]);
    let gateway = Ipv4Addr::new(192, 0, 2, 1);
    let way_out = Route::default_via(gateway).over("eth0");
    side.config.replace_route(&way_out).unwrap();
    // It makes of the gateway's address the machine's loopback.
    let listener = machine.inside(|| std::net::TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = noise(3, MUCH);
    for _ in 0..3 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut all = vec![0; MUCH];
                stream.read_exact(&mut all).unwrap();
                stream.write_all(&all).unwrap();
                assert_eq!(stream.read(&mut all).unwrap(), 0, "there is more");
            });
            let mut stream = side.connects(gateway, port);
            stream.write_all(&sent).unwrap();
            let mut all = vec![0; MUCH];
            stream.read_exact(&mut all).unwrap();
            assert!(all == sent);
        });
    }
    drop(program);
    side.waits_for_carrier(false);
}
