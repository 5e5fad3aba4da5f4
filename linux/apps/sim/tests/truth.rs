//! What a simulation says is what a network would do: rates, delays, fairness, failures. And it says the same each time.

mod program;

use program::{flow, link, nodes, run, seconds, topology};
use std::time::Instant;

#[test]
fn a_seed_gives_the_same_bytes_in_every_file_and_another_seed_does_not() {
    let text = topology("office.toml");
    let first = run(&text, &["--seed", "7"]).files();
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    for name in [
        "cwnd.svg",
        "flows.csv",
        "flows.json",
        "goodput.svg",
        "links/copper.pcapng",
        "series.csv",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    for _ in 0..2 {
        let again = run(&text, &["--seed", "7"]).files();
        assert!(again.keys().eq(first.keys()));
        for (name, bytes) in &again {
            assert!(bytes == &first[name], "{name} is another one");
        }
    }
    let other = run(&text, &["--seed", "8"]).files();
    for name in ["links/copper.pcapng", "flows.csv", "series.csv"] {
        assert_ne!(other[name], first[name], "{name}");
    }
}

#[test]
fn goodput_through_a_bottleneck_is_what_its_rate_leaves_beside_headers() {
    for (congestion, rate) in [("cubic", 10.0), ("reno", 25.0), ("bbr", 10.0)] {
        let text = seconds(20)
            + &nodes("host", &["a", "b"])
            + &nodes("router", &["r"])
            + &link("a", "r", "rate = \"100mbit\"\ndelay = \"2ms\"")
            + &link(
                "r",
                "b",
                &format!("rate = \"{rate}mbit\"\ndelay = \"10ms\"\nqueue = 60"),
            )
            + &flow("tcp", &format!("congestion = \"{congestion}\""));
        let goodput = run(&text, &[]).goodput("tcp");
        let ideal = rate * 1448.0 / 1514.0;
        assert!(
            (0.95..=1.001).contains(&(goodput / ideal)),
            "{congestion}: {goodput} of {ideal} Mbit/s"
        );
    }
}

#[test]
fn a_number_of_bytes_takes_as_long_as_they_take() {
    let text = seconds(30)
        + &nodes("host", &["a", "b"])
        + &link("a", "b", "rate = \"8mbit\"\ndelay = \"5ms\"")
        + &flow("tcp", "bytes = \"10MB\"\nstart = \"2s\"");
    let run = run(&text, &[]);
    let flow = run.flow("tcp");
    assert_eq!(flow["bytes"], 10_000_000);
    let took = flow["end_s"].as_f64().unwrap() - 2.0;
    let ideal = 10.0 * 1514.0 / 1448.0;
    assert!(
        (1.0..1.05).contains(&(took / ideal)),
        "{took} s instead of {ideal}"
    );
}

#[test]
fn a_round_trip_is_the_sum_of_delays() {
    let text = seconds(10)
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r", "s"])
        + &link("a", "r", "delay = \"5ms\"")
        + &link("r", "s", "delay = \"10ms\"")
        + &link(
            "s",
            "b",
            "forward = { delay = \"20ms\" }\nback = { delay = \"7ms\" }",
        )
        + &flow("ping", "interval = \"100ms\"\nstart = \"1s\"");
    let flow = run(&text, &[]).flow("ping");
    let ideal = 5.0 + 10.0 + 20.0 + 7.0 + 10.0 + 5.0;
    // The first one waits for ARP, hop by hop.
    for value in ["min_ms", "mean_ms"] {
        let rtt = flow["rtt"][value].as_f64().unwrap();
        let most = if value == "min_ms" { 1.01 } else { 1.03 };
        assert!(
            (1.0..most).contains(&(rtt / ideal)),
            "{value}: {rtt} ms instead of {ideal}"
        );
    }
    assert_eq!((&flow["sent"], &flow["arrived"]), (&90.into(), &90.into()));
}

#[test]
fn equal_flows_through_a_dumbbell_have_equal_shares() {
    let run = run(&topology("dumbbell.toml"), &[]);
    let shares = ["one", "two", "three", "four"].map(|name| run.goodput(name));
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    let fairness = sum * sum / (4.0 * squares);
    assert!(fairness > 0.95, "{fairness}: {shares:?}");
    let ideal = 20.0 * 1448.0 / 1514.0;
    assert!((0.95..=1.001).contains(&(sum / ideal)), "{sum} of {ideal} Mbit/s");
}

#[test]
fn a_link_that_is_down_stops_a_flow_and_one_that_is_up_again_resumes_it() {
    let text = seconds(12)
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &link("a", "r", "delay = \"1ms\"")
        + &link(
            "r",
            "b",
            "name = \"wire\"\nrate = \"10mbit\"\ndelay = \"5ms\"\nqueue = 50",
        )
        + &flow("tcp", "")
        + "[[event]]\nat = \"3s\"\ndown = \"wire\"\n[[event]]\nat = \"5s\"\nup = \"wire\"\n";
    let run = run(&text, &[]);
    assert!(run.between("tcp", 1.0, 3.0) > 9.0);
    assert_eq!(run.between("tcp", 3.1, 5.0), 0.0);
    assert!(
        run.between("tcp", 8.0, 12.0) > 9.0,
        "{}",
        run.between("tcp", 8.0, 12.0)
    );
}

#[test]
fn a_node_that_crashes_ends_what_goes_through_it() {
    let text = seconds(6)
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &link("a", "r", "rate = \"10mbit\"")
        + &link("r", "b", "rate = \"10mbit\"")
        + &flow("udp", "rate = \"1mbit\"\nsize = \"500B\"")
        + "[[event]]\nat = \"3s\"\ncrash = \"r\"\n";
    let run = run(&text, &[]);
    let loss = run.flow("udp")["loss"].as_f64().unwrap();
    assert!((0.49..0.51).contains(&loss), "{loss}");
    assert_eq!(run.between("udp", 3.1, 6.0), 0.0);
}

#[test]
fn a_change_of_a_link_is_seen_by_what_crosses_it() {
    let text = seconds(10)
        + &nodes("host", &["a", "b"])
        + &link(
            "a",
            "b",
            "name = \"wire\"\nrate = \"10mbit\"\ndelay = \"5ms\"\nqueue = 50",
        )
        + &flow("tcp", "")
        + "[[event]]\nat = \"4s\"\nchange = \"wire\"\nrate = \"2mbit\"\n";
    let run = run(&text, &[]);
    for (from, to, rate) in [(1.0, 4.0, 10.0), (6.0, 10.0, 2.0)] {
        let (goodput, ideal) = (run.between("tcp", from, to), rate * 1448.0 / 1514.0);
        assert!(
            (0.95..1.01).contains(&(goodput / ideal)),
            "{goodput} of {ideal} Mbit/s"
        );
    }
}

#[test]
fn datagrams_keep_their_rate_and_as_many_are_lost_as_the_link_loses() {
    let text = seconds(20)
        + &nodes("host", &["a", "b"])
        + &link("a", "b", "delay = \"3ms\"\nloss = \"10%\"")
        + &flow("udp", "rate = \"2mbit\"\nsize = \"500B\"");
    let flow = run(&text, &[]).flow("udp");
    assert_eq!(flow["sent"], 10_000);
    // Ten standard deviations.
    let loss = flow["loss"].as_f64().unwrap();
    assert!((0.07..0.13).contains(&loss), "{loss}");
    let delay = flow["delay"]["min_ms"].as_f64().unwrap();
    assert!((3.0..3.01).contains(&delay), "{delay} ms");
}

#[test]
fn routes_that_change_lead_over_the_other_path() {
    let run = run(&topology("office.toml"), &[]);
    assert!(run.between("pages", 0.0, 3.0) > 1.0);
    assert_eq!(run.between("call", 3.2, 4.0), 0.0, "the fast path is down");
    assert!(run.between("pages", 5.5, 10.0) > 1.0, "the slow path is used");
    let call = run.between("call", 4.5, 10.0);
    assert!((0.078..0.082).contains(&call), "{call} Mbit/s");
    let ping = run.flow("echo");
    let loss = ping["loss"].as_f64().unwrap();
    assert!((0.09..0.12).contains(&loss), "one second of ten: {loss}");
}

#[test]
fn switches_forward_and_break_loops_by_themselves_if_they_are_told_to() {
    let plain = seconds(5)
        + &nodes("host", &["a", "b"])
        + &nodes("switch", &["s", "t"])
        + &link("a", "s", "rate = \"100mbit\"")
        + &link("s", "t", "rate = \"10mbit\"\ndelay = \"1ms\"\nqueue = 50")
        + &link("t", "b", "rate = \"100mbit\"")
        + &flow("tcp", "");
    let goodput = run(&plain, &[]).goodput("tcp");
    assert!((9.0..9.57).contains(&goodput), "{goodput} Mbit/s");
    let stp = |names: &[&str]| nodes("switch", names).replace("\"switch\"\n", "\"switch\"\nstp = true\n");
    let ring = seconds(30)
        + &nodes("host", &["a", "b"])
        + &stp(&["s", "t", "u"])
        + &link("a", "s", "")
        + &link("t", "b", "")
        + &link("s", "t", "rate = \"10mbit\"\nqueue = 50")
        + &link("t", "u", "rate = \"10mbit\"\nqueue = 50")
        + &link("u", "s", "rate = \"10mbit\"\nqueue = 50")
        + &flow("tcp", "start = \"15s\"");
    let goodput = run(&ring, &[]).goodput("tcp");
    assert!((8.5..9.57).contains(&goodput), "{goodput} Mbit/s");
}

/// A fat tree of switches with `k` ports, which are routers here, and as many hosts as it has room for; and flows from each
/// eighth host to one in another pod.
fn fat_tree(k: usize) -> (String, usize) {
    let half = k / 2;
    let mut text = seconds(2) + "capture = false\n";
    let mut hosts = Vec::new();
    let line = "rate = \"100mbit\"\ndelay = \"50us\"\nqueue = 100";
    let mut links = String::new();
    let mut count = 0;
    let mut node = |kind: &str, name: &str| {
        count += 1;
        nodes(kind, &[name])
    };
    for core in 0..half * half {
        text += &node("router", &format!("core{core}"));
    }
    for pod in 0..k {
        for number in 0..half {
            text += &node("router", &format!("agg{pod}-{number}"));
            text += &node("router", &format!("edge{pod}-{number}"));
            for core in 0..half {
                let core = number * half + core;
                links += &link(&format!("agg{pod}-{number}"), &format!("core{core}"), line);
            }
            for edge in 0..half {
                links += &link(&format!("agg{pod}-{number}"), &format!("edge{pod}-{edge}"), line);
            }
            for host in 0..half {
                let name = format!("host{pod}-{number}-{host}");
                text += &node("host", &name);
                links += &link(&format!("edge{pod}-{number}"), &name, line);
                hosts.push(name);
            }
        }
    }
    text += &links;
    for (number, from) in hosts.iter().enumerate().step_by(8) {
        let to = &hosts[(number + hosts.len() / 2 + 1) % hosts.len()];
        text +=
            &format!("[[flow]]\nname = \"f{number}\"\nkind = \"tcp\"\nfrom = \"{from}\"\nto = \"{to}\"\n");
    }
    (text, count)
}

#[test]
fn two_hundred_nodes_in_a_fat_tree_run() {
    let mut lines = Vec::new();
    for k in [4, 8] {
        let (text, count) = fat_tree(k);
        let began = Instant::now();
        let run = run(&text, &[]);
        let all = began.elapsed();
        let last = run.stdout.lines().last().unwrap().to_owned();
        lines.push(format!("{count} nodes: {last}; {all:?} with everything"));
        let flows: usize = run
            .stdout
            .lines()
            .filter(|line| line.contains("tcp cubic"))
            .count();
        assert_eq!(flows, (k * k * k / 4).div_ceil(8));
        let samples = run.samples("f0");
        assert!(samples.iter().any(|sample| sample.window.is_some()));
        assert!(run.goodput("f0") > 10.0, "{}", run.goodput("f0"));
        assert!(k < 8 || count >= 200);
    }
    println!("{}", lines.join("\n"));
}
