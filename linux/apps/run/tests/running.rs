//! How a run begins and ends: exit statuses, signals, what is refused, and that nothing stays behind.

mod world;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};
use processes::{ended, kill, sleeps, until};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use world::{HERE, NET, World};

#[test]
fn the_exit_status_is_the_programs() {
    let world = World::new();
    for (script, status) in [
        ("exit 0", 0),
        ("exit 42", 42),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        let run = world.run(world.under(&["sh", "-c", script]));
        assert_eq!(run.code, Some(status), "{script}: {}", run.err);
    }
}

#[test]
fn what_cannot_be_started_is_told() {
    let world = World::new();
    world
        .run(world.under(&["no-such-program"]))
        .fails(127, "no-such-program: no such program");
    world.run(world.under(&["/etc/passwd"])).fails(126, "/etc/passwd");
    let absent = ["--net", "tap:absent0", "--ip", "10.9.1.2/24"];
    world.run(world.with(&absent, &["true"])).fails(1, "absent0");
    let malformed = ["--net", "tap:lklrun0", "--ip", "10.9.1/24"];
    world.run(world.with(&malformed, &["true"])).fails(2, "10.9.1/24");
    world
        .run(world.with(&["--net", "ether:x"], &["true"]))
        .fails(2, "ether:x");
    world
        .run(world.with(&["--config", "absent.json"], &["true"]))
        .fails(2, "absent.json");
    world.run(world.with(&[], &[])).fails(2, "PROGRAM");
}

#[test]
fn a_configuration_in_json_makes_the_network() {
    let world = World::new();
    let json = r#"{ "sysctl": "net.ipv4.tcp_congestion_control=bbr",
        "interfaces": [ { "type": "tap", "param": "lklrun0", "ip": "10.9.1.7", "masklen": "24" } ] }"#;
    fs::write(world.place().join("lkl.json"), json).unwrap();
    let script = "ip -o -4 addr show dev eth0; python3 -c \"import socket; \
                  print(socket.socket().getsockopt(6, 13, 16))\"";
    let run = world
        .run(world.with(&["--config", "lkl.json"], &["sh", "-c", script]))
        .well();
    assert!(
        run.out.contains("10.9.1.7/24") && run.out.contains("b'bbr"),
        "{}",
        run.out
    );
}

#[test]
fn signals_go_to_the_program() {
    let world = World::new();
    for (signal, status) in [("TERM", 3), ("INT", 4), ("HUP", 5)] {
        let script = "trap 'exit 3' TERM; trap 'exit 4' INT; trap 'exit 5' HUP; echo ready; while :; do sleep 0.05; done";
        // A shell does not trap what was ignored when it started, as SIGHUP is under nohup.
        let mut command = world.under(&["env", "--default-signal", "sh", "-c", script]);
        command.stdout(Stdio::piped());
        let mut child = world.machine.inside(|| command.spawn()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        kill(child.id(), signal);
        assert_eq!(ended(&mut child).code(), Some(status), "{signal}");
    }
}

#[test]
fn nothing_stays_behind_when_lklrun_is_killed() {
    let world = World::new();
    let script = "sleep 7654321.5 & setsid sleep 7654322.5 & (setsid sleep 7654323.5 &) ; wait";
    let mut child = world
        .machine
        .inside(|| world.under(&["sh", "-c", script]).spawn())
        .unwrap();
    let names = ["7654321.5", "7654322.5", "7654323.5"];
    until("they start", || names.iter().all(|name| sleeps(name)));
    child.kill().unwrap();
    child.wait().unwrap();
    until("they are killed", || !names.iter().any(|name| sleeps(name)));
}

#[test]
fn linux_goes_on_until_the_last_descendant_is_gone_or_a_signal_comes() {
    let world = World::new();
    // The shell ends at once; its child has the network still.
    let script = "(sleep 1; ip -o -4 addr show dev eth0 > later) & exit 9";
    let run = world.run(world.under(&["sh", "-c", script]));
    assert_eq!(run.code, Some(9), "{}", run.err);
    let later = String::from_utf8(world.read("later")).unwrap();
    assert!(later.contains("10.9.1.2/24"), "{later}");
    let script = "setsid sleep 7654324.5 & exit 9";
    let mut command = world.under(&["sh", "-c", script]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = world.machine.inside(|| command.spawn()).unwrap();
    until("it starts", || sleeps("7654324.5"));
    thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none());
    kill(child.id(), "TERM");
    assert_eq!(ended(&mut child).code(), Some(9));
    assert!(!sleeps("7654324.5"));
}

#[test]
fn names_are_asked_of_the_networks_own_server() {
    let world = World::new();
    let socket = world.machine.inside(|| UdpSocket::bind((HERE, 53))).unwrap();
    thread::spawn(move || {
        loop {
            let mut room = [0; 2048];
            let (len, from) = socket.recv_from(&mut room).unwrap();
            let question = Message::from_vec(&room[..len]).unwrap();
            let query = question.queries[0].clone();
            let (name, kind) = (query.name().clone(), query.query_type());
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            answer.add_query(query);
            match (name.to_ascii().as_str(), kind) {
                ("server.test.", RecordType::A) => {
                    let address = A(Ipv4Addr::new(10, 9, 1, 1));
                    answer.add_answer(Record::from_rdata(name, 60, RData::A(address)));
                }
                ("server.test.", _) => {}
                _ => answer.metadata.response_code = ResponseCode::NXDomain,
            }
            // The test may have ended, and its interface with it.
            let _ = socket.send_to(&answer.to_vec().unwrap(), from);
        }
    });
    world.noise("noise", 100_000);
    let (_server, address) = world.web();
    let options = [&NET[..], &["--dns", HERE]].concat();
    let url = format!("http://server.test:{}/noise", address.port());
    let run = world.run(world.with(&options, &["curl", "-sS", "-o", "got", &url]));
    run.well();
    assert!(world.read("got") == world.read("noise"));
    let run = world.run(world.with(&options, &["getent", "hosts", "other.test"]));
    assert_eq!(run.code, Some(2), "{}", run.out);
    // The machine's own file is as it was.
    let own = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert!(!own.contains(HERE), "{own}");
}
