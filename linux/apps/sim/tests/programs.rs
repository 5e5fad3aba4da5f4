//! Unmodified programs in nodes: they meet over the simulated network, know the nodes' names, and are gone at the end.

mod program;

use processes::{ended, kill, sleeps, until};
use program::{Run, attempt, link, nodes, program, run, seconds, topology};
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A client and a server with two routers between them, and a line for the link of the routers.
fn line(duration: u32, between: &str) -> String {
    seconds(duration)
        + &nodes("host", &["client", "server"])
        + &nodes("router", &["r1", "r2"])
        + &link("client", "r1", "")
        + &link("r1", "r2", between)
        + &link("r2", "server", "")
}

/// How a program has ended: whether it was stopped, its exit status, and the signal.
fn end(run: &Run, name: &str) -> [String; 3] {
    let row = run.program(name);
    [&row[3], &row[4], &row[5]].map(String::clone)
}

#[test]
fn a_web_server_and_curl_meet_by_name_over_two_routers_and_each_sees_its_own_node() {
    let place = TempDir::new().unwrap();
    let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let noise: Vec<u8> = (0..3_000_000u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    fs::write(path("noise"), &noise).unwrap();
    let web = format!("exec python3 -m http.server --directory {} 8000", path(""));
    let get = format!(
        "until curl -sS -o {} -w ' %{{time_namelookup}} %{{time_connect}}' http://server:8000/noise; do sleep 0.1; done",
        path("got")
    );
    let topology = line(10, "delay = \"5ms\"")
        + &program("web", "server", &web, "")
        + &program("get", "client", &get, "expect = 0")
        + &program("addresses", "r1", "ip -o -4 addr show scope global", "expect = 0")
        + &program("routes", "client", "ip route get 10.0.2.2", "expect = 0")
        + &program("ping", "client", "ping -c 3 -i 0.2 server", "expect = 0")
        + &program("unknown", "client", "getent hosts elsewhere.test", "expect = 2");
    let run = run(&topology, &["--realtime"]);
    assert!(fs::read(path("got")).unwrap() == noise);
    assert_eq!(end(&run, "get"), ["no", "0", ""]);
    assert_eq!(end(&run, "web"), ["yes", "", "15"]);
    // The peer is the client, as the server sees it.
    let log = run.text("programs/web.err");
    assert!(log.starts_with("10.0.0.1 - - "), "{log}");
    let addresses = run.text("programs/addresses.out");
    let seen: Vec<Vec<&str>> = addresses
        .lines()
        .map(|line| line.split_whitespace().skip(1).take(3).collect())
        .collect();
    assert_eq!(
        seen,
        [["eth0", "inet", "10.0.0.2/24"], ["eth1", "inet", "10.0.1.1/24"]]
    );
    let route = run.text("programs/routes.out");
    assert!(route.contains("via 10.0.0.2 dev eth0 src 10.0.0.1"), "{route}");
    let ping = run.text("programs/ping.out");
    assert!(ping.contains("server (10.0.2.2)"), "{ping}");
    assert!(ping.contains(" 3 received"), "{ping}");
    // Never shorter than the way there and back. What ping says of it is by two clocks.
    let times = run.text("programs/get.out");
    let mut times = times.split(' ').rev().map(|time| time.parse::<f64>().unwrap());
    let (connected, known) = (times.next().unwrap(), times.next().unwrap());
    assert!(connected - known >= 0.01, "{known} {connected}");
}

#[test]
fn iperf3_measures_the_rate_of_the_link_between_nodes() {
    // The best of three: a machine that is busy delays packets.
    let place = TempDir::new().unwrap();
    let client = format!(
        "cd {}; for run in 1 2 3; do until iperf3 -J -t 3 -c server > $run.json; do sleep 0.1; done; cat $run.json; done",
        place.path().display()
    );
    let topology = line(15, "rate = \"20mbit\"\ndelay = \"5ms\"\nqueue = 100")
        + &program("server", "server", "exec iperf3 -s", "")
        + &program("client", "client", &client, "expect = 0");
    let run = run(&topology, &["--realtime"]);
    let results = run.text("programs/client.out");
    let results = serde_json::Deserializer::from_str(&results).into_iter::<Value>();
    let received = |result: Value| result["end"]["sum_received"]["bits_per_second"].as_f64();
    let rates: Vec<f64> = results
        .map(|result| received(result.unwrap()).unwrap() / 1e6)
        .collect();
    assert_eq!(rates.len(), 3);
    // What is left of the frames without their headers.
    let theory = 20.0 * 1448.0 / 1514.0;
    let best = rates.iter().copied().fold(0.0, f64::max);
    assert!((0.9 * theory..1.1 * theory).contains(&best), "{rates:?} Mbit/s");
}

#[test]
fn routers_that_run_bird_find_routes_by_ospf_and_another_when_a_link_fails() {
    let place = TempDir::new().unwrap();
    // What the example looks at at two times is waited for here.
    let looking = |name: &str, start: &str, via: &str, then: &str| {
        let script =
            format!("until ip route get 10.0.4.2 | grep -q 'via {via} '; do sleep 0.1; done; {then}");
        program(name, "r1", &script, &format!("start = \"{start}\"\nexpect = 0"))
    };
    let topology = topology("ospf.toml")
        .replace("topologies/", concat!(env!("CARGO_MANIFEST_DIR"), "/topologies/"))
        .replace("-s\", \"", &format!("-s\", \"{}/", place.path().display()))
        .replace("16s", "30s")
        .replace("at = \"9s\"", "at = \"12s\"")
        + &looking("early", "0s", "10.0.1.2", "ping -c 1 server")
        + &looking(
            "late",
            "12s",
            "10.0.2.2",
            "until ping -c 1 -W 1 server; do :; done",
        );
    let run = run(&topology, &["--realtime"]);
    let time = |name: &str| run.program(name)[2].parse::<f64>().unwrap();
    assert!(
        time("early") < 12.0,
        "the first route was there before the link failed"
    );
    let replies = |name: &str, ttl: u32| {
        let ping = run.text(&format!("programs/{name}.out"));
        assert!(ping.contains(&format!(" ttl={ttl} ")), "{name}: {ping}");
    };
    // Over one router, then over two; the desk's pings are over one more.
    replies("early", 63);
    replies("late", 62);
    replies("ping", 62);
    replies("ping", 61);
    for bird in ["bird1", "bird2", "bird3"] {
        assert_eq!(end(&run, bird), ["yes", "0", ""]);
    }
}

#[test]
fn a_program_that_is_not_there_or_ends_otherwise_makes_the_exit_code() {
    let pair = seconds(1) + &nodes("host", &["a", "b"]) + &link("a", "b", "");
    let absent = "[[program]]\nname = \"absent\"\nnode = \"a\"\nrun = [\"no-such-program\"]\n";
    let (run, code, stderr) = attempt(&(pair.clone() + absent), &["--realtime"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        stderr,
        "lklsim: program absent: there is no program no-such-program\n"
    );
    assert_eq!(end(&run, "absent"), ["no", "127", ""]);

    let topology = pair
        + &program("three", "a", "echo wrong >&2; exit 3", "expect = 0")
        + &program("term", "b", "kill -TERM $$", "expect = 143")
        + &program("four", "b", "exit 4", "expect = 4")
        + &program("five", "b", "exit 5", "");
    let (run, code, stderr) = attempt(&topology, &["--realtime"]);
    assert_eq!(code, Some(1));
    assert_eq!(
        stderr,
        "lklsim: program three: it has ended with exit status 3, and not 0; see programs/three.err\n"
    );
    assert_eq!(run.text("programs/three.err"), "wrong\n");
    assert_eq!(end(&run, "term"), ["no", "", "15"]);
    assert_eq!(end(&run, "five"), ["no", "5", ""]);
}

/// Arguments of sleeps that no other test has.
fn sleeps_of(test: u32) -> [String; 3] {
    [1, 2, 3].map(|number| format!("{}{test}{number}.5", std::process::id()))
}

#[test]
fn a_program_that_never_ends_is_stopped_then_killed_and_so_is_what_it_has_left() {
    let [one, two, three] = sleeps_of(1);
    let stubborn = format!("trap '' TERM; sleep {two}; sleep {two}");
    let topology = seconds(3)
        + &nodes("host", &["a", "b"])
        + &link("a", "b", "")
        + &program("patient", "a", &format!("exec sleep {one}"), "start = \"1s\"")
        + &program("stubborn", "a", &stubborn, "stop = \"1s\"")
        + &program(
            "daemon",
            "b",
            &format!("setsid sleep {three} & exit 0"),
            "expect = 0",
        );
    let began = Instant::now();
    let run = run(&topology, &["--realtime"]);
    assert!(began.elapsed() < Duration::from_secs(60));
    let time = |name: &str, column: usize| run.program(name)[column].parse::<f64>().unwrap();
    assert_eq!(end(&run, "patient"), ["yes", "", "15"]);
    assert!(time("patient", 1) >= 1.0 && time("patient", 2) >= 3.0);
    assert_eq!(end(&run, "stubborn"), ["yes", "", "9"]);
    assert!(time("stubborn", 2) >= 3.0);
    assert_eq!(end(&run, "daemon"), ["no", "0", ""]);
    for argument in [one, two, three] {
        assert!(!sleeps(&argument), "{argument}");
    }
}

#[test]
fn no_process_is_left_when_lklsim_is_interrupted_terminated_or_killed() {
    for (number, signal) in [(2, "INT"), (3, "TERM"), (4, "KILL")] {
        let place = TempDir::new().unwrap();
        let arguments = sleeps_of(number);
        let [one, two, three] = &arguments;
        let script = format!("sleep {one} & setsid sleep {two} & (setsid sleep {three} &); wait");
        let topology = seconds(600)
            + &nodes("host", &["a", "b"])
            + &link("a", "b", "")
            + &program("p", "a", &script, "");
        let file = place.path().join("topology.toml");
        fs::write(&file, topology).unwrap();
        // A shell has what is in its background ignore interrupts.
        let mut child = Command::new("env")
            .args(["--default-signal", program::PROGRAM, "run", "--realtime", "--out"])
            .args([place.path().join("out"), file])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("they start", || arguments.iter().all(|argument| sleeps(argument)));
        kill(child.id(), signal);
        ended(&mut child);
        until("they are killed", || {
            !arguments.iter().any(|argument| sleeps(argument))
        });
    }
}
