//! With a Linux for each node, in processes of their own, a network is the same network, as sure to be the same each time, and no process
//! outlives the run.

mod program;

use processes::{kill, until};
use program::{PROGRAM, Run, flow, link, lklsim, nodes, run, seconds, topology};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

fn isolated(text: &str) -> Run {
    run(text, &["--isolate"])
}

#[test]
fn a_seed_gives_the_same_bytes_in_every_file_and_another_seed_does_not() {
    let text = topology("office.toml");
    let first = run(&text, &["--isolate", "--seed", "7"]).files();
    let one_linux = run(&text, &["--seed", "7"]).files();
    assert!(first.keys().eq(one_linux.keys()), "{:?}", first.keys());
    for _ in 0..2 {
        let again = run(&text, &["--isolate", "--seed", "7"]).files();
        assert!(again.keys().eq(first.keys()));
        for (name, bytes) in &again {
            assert!(bytes == &first[name], "{name} is another one");
        }
    }
    let other = run(&text, &["--isolate", "--seed", "8"]).files();
    for name in ["links/copper.pcapng", "flows.csv", "series.csv"] {
        assert_ne!(other[name], first[name], "{name}");
    }
}

#[test]
fn both_ways_to_run_have_the_goodput_and_the_round_trips_of_theory() {
    let text = seconds(10)
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &nodes("switch", &["s"])
        + &link("a", "s", "delay = \"1ms\"")
        + &link("s", "r", "")
        + &link(
            "r",
            "b",
            "rate = \"10mbit\"\nforward = { delay = \"5ms\" }\nback = { delay = \"9ms\" }\nqueue = 40",
        )
        + &flow(
            "ping",
            "interval = \"50ms\"\nstart = \"500ms\"\nduration = \"3s\"",
        )
        + &flow("tcp", "start = \"4s\"")
        + &flow(
            "udp",
            "start = \"500ms\"\nduration = \"3s\"\nrate = \"400kbit\"\nsize = \"500B\"",
        );
    // Two frames of 98 bytes at 10 Mbit/s, besides the delays.
    let round = 1.0 + 5.0 + 9.0 + 1.0 + 2.0 * 98.0 * 8.0 / 10_000.0;
    // A frame of 542 bytes.
    let way = 1.0 + 5.0 + 542.0 * 8.0 / 10_000.0;
    let ideal = 10.0 * 1448.0 / 1514.0;
    let mut goodputs = Vec::new();
    for run in [run(&text, &[]), isolated(&text)] {
        let least = run.flow("ping")["rtt"]["min_ms"].as_f64().unwrap();
        assert!((1.0..1.01).contains(&(least / round)), "{least} ms, not {round}");
        let least = run.flow("udp")["delay"]["min_ms"].as_f64().unwrap();
        assert!((1.0..1.01).contains(&(least / way)), "{least} ms, not {way}");
        assert_eq!(run.flow("ping")["arrived"], 60);
        assert_eq!(run.flow("udp")["arrived"], run.flow("udp")["sent"]);
        let goodput = run.goodput("tcp");
        assert!(
            (0.95..=1.001).contains(&(goodput / ideal)),
            "{goodput} of {ideal} Mbit/s"
        );
        assert!(
            run.samples("tcp")
                .iter()
                .filter(|sample| sample.window.is_some())
                .count()
                > 50
        );
        goodputs.push(goodput);
    }
    let ratio = goodputs[1] / goodputs[0];
    assert!((0.95..1.05).contains(&ratio), "{goodputs:?}");
}

#[test]
fn rules_events_requests_and_ipv6_do_what_they_do_in_one_linux() {
    let text = seconds(8)
        + "ipv6 = true\n"
        + &nodes("host", &["a", "b"])
        + &nodes("firewall", &["gate"]).replace(
            "\"firewall\"\n",
            "\"firewall\"\n[[node.rule]]\nprotocol = \"icmp\"\naction = \"reject\"\n\
             [[node.rule]]\naction = \"accept\"\n",
        )
        + &link("a", "gate", "name = \"inner\"\ndelay = \"2ms\"")
        + &link("gate", "b", "name = \"outer\"\nrate = \"8mbit\"\ndelay = \"3ms\"")
        + &flow("http", "ip = 6\nsize = \"20kB\"\nduration = \"2s\"")
        + &flow("tcp", "bytes = \"1MB\"")
        + &flow("udp", "rate = \"800kbit\"\nsize = \"500B\"")
        + &flow("ping", "interval = \"100ms\"")
        + "[[event]]\nat = \"4s\"\ndown = \"inner\"\n[[event]]\nat = \"5s\"\nup = \"inner\"\n\
           [[event]]\nat = \"6s\"\ncrash = \"b\"\n\
           [[event]]\nat = \"3s\"\nroute = \"gate\"\nto = \"10.77.0.0/24\"\n";
    let runs = [run(&text, &[]), isolated(&text)];
    for run in &runs {
        assert_eq!(run.flow("tcp")["bytes"], 1_000_000);
        assert_eq!(run.flow("ping")["arrived"], 0, "the rule rejects it");
        let answers = run.flow("http")["arrived"].as_u64().unwrap();
        assert!(answers > 20, "{answers}");
        assert!(run.flow("http")["rtt"]["min_ms"].as_f64().unwrap() >= 10.0);
        // One second of eight, and the last two.
        let loss = run.flow("udp")["loss"].as_f64().unwrap();
        assert!((0.37..0.39).contains(&loss), "{loss}");
        assert_eq!(run.between("udp", 4.1, 5.0), 0.0);
        assert!(run.between("udp", 5.1, 6.0) > 0.7);
        let notes = &run.stdout;
        assert!(notes.contains("event at 3s: "), "there is no such route: {notes}");
    }
    let [one, other] = runs.map(|run| fs::read_to_string(run.path("rules.csv")).unwrap());
    let rejected = |text: &str| text.lines().nth(1).unwrap().to_owned();
    assert!(rejected(&one).starts_with("gate,forward,1,reject,"), "{one}");
    assert_eq!(rejected(&one), rejected(&other));
}

/// The processes that run nodes with results in that folder: their names and numbers.
fn nodes_of(folder: &Path) -> Vec<(String, u32)> {
    let place = folder.as_os_str().as_encoded_bytes();
    let all = processes::command_lines().into_iter();
    all.filter_map(
        |(pid, line)| match line.split(|byte| *byte == 0).collect::<Vec<_>>()[..] {
            [_, b"node", name, folder, ..] if folder == place => {
                Some((String::from_utf8_lossy(name).into_owned(), pid))
            }
            _ => None,
        },
    )
    .collect()
}

/// Begins a run that would take hours, does something to it when all nodes are there, and gives how it ended, and what it said.
fn interrupted(act: impl FnOnce(&[(String, u32)], u32)) -> processes::Run {
    let folder = TempDir::new().unwrap();
    let text = seconds(1_000_000)
        + "capture = false\n"
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &link("a", "r", "rate = \"10mbit\"")
        + &link("r", "b", "rate = \"10mbit\"\ndelay = \"1ms\"")
        + &flow("tcp", "");
    let [file, out] = ["topology.toml", "out"].map(|name| folder.path().join(name));
    fs::write(&file, text).unwrap();
    // What a shell has in its background ignores interrupts.
    let child = Command::new("env")
        .args(["--default-signal", PROGRAM, "run", "--isolate", "--out"])
        .args([&out, &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("all nodes are there", || nodes_of(&out).len() == 3);
    // Some of the simulation, too.
    std::thread::sleep(Duration::from_millis(700));
    act(&nodes_of(&out), child.id());
    let run = processes::Run::of(child, processes::LONGEST);
    until("no process is left", || nodes_of(&out).is_empty());
    run
}

#[test]
fn the_death_of_one_nodes_process_ends_the_run_in_a_line_that_names_it_and_no_process_is_left() {
    for dies in ["r", "b"] {
        let run = interrupted(|nodes, _| {
            let (_, pid) = nodes.iter().find(|(name, _)| name == dies).unwrap();
            kill(*pid, "KILL");
        });
        assert_eq!(run.code, Some(1));
        assert_eq!(
            run.err,
            format!("lklsim: node {dies}: its process was ended by signal 9\n")
        );
    }
}

#[test]
fn a_run_that_is_interrupted_or_killed_leaves_no_process() {
    for name in ["INT", "KILL"] {
        let run = interrupted(|_, pid| kill(pid, name));
        assert_ne!(run.code, Some(0));
        assert_eq!(run.err, "");
    }
}

#[test]
fn what_a_node_cannot_do_ends_the_run_in_one_line() {
    let folder = TempDir::new().unwrap();
    let text = seconds(5)
        + &nodes("host", &["a", "b"]).replacen(
            "\"host\"\n",
            "\"host\"\nsysctls = { \"net.ipv4.tcp_nonsense\" = 1 }\n",
            1,
        )
        + &link("a", "b", "");
    let [file, out] = ["topology.toml", "out"].map(|name| folder.path().join(name));
    fs::write(&file, text).unwrap();
    let said = |more: &str| {
        let [file, out] = [&file, &out].map(|path| path.to_str().unwrap());
        let output = lklsim(&["run", file, "--out", out, "--isolate", more]);
        (output.code, output.err)
    };
    let (code, line) = said("--quiet");
    assert_eq!(code, Some(1), "{line}");
    assert_eq!(
        line,
        "lklsim: a: /proc/sys/net/ipv4/tcp_nonsense: no such file or directory; is the name right?\n"
    );
    assert_eq!(nodes_of(&out), []);
    let (code, line) = said("--realtime");
    assert_eq!(code, Some(2));
    assert!(
        line.contains("'--isolate' cannot be used with '--realtime'"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1, "{line}");
    let output = Command::new(PROGRAM)
        .args(["node", "a", "/tmp"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
