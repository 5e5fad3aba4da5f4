//! Rules decide what passes a node and which addresses packets get, and tell how often each did.

mod program;

use program::{Run, flow, link, nodes, run, seconds};
use std::fs;

/// A flow of that kind and name, from `a` to `b`.
fn named(name: &str, kind: &str, further: &str) -> String {
    flow(kind, further).replacen(&format!("name = \"{kind}\""), &format!("name = \"{name}\""), 1)
}

/// `a`, a gate with rules, and `b`, which has no routes of its own.
fn gate(kind: &str, rules: &[&str]) -> String {
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| format!("[[node.rule]]\n{rule}\n"))
        .collect();
    seconds(4)
        + &nodes("host", &["a", "b"])
        + &nodes(kind, &["gate"])
        + &rules.concat()
        + &link(
            "a",
            "gate",
            "name = \"inner\"\naddresses = [\"10.1.0.1/24\", \"10.1.0.254/24\"]",
        )
        + &link(
            "gate",
            "b",
            "name = \"outer\"\naddresses = [\"10.2.0.254/24\", \"10.2.0.1/24\"]",
        )
}

/// The rows of `rules.csv`, with packets as a number.
fn rules(run: &Run) -> Vec<(String, u64)> {
    let text = fs::read_to_string(run.path("rules.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("node,chain,rule,action,packets,bytes"));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let packets: u64 = fields[4].parse().unwrap();
            let bytes: u64 = fields[5].parse().unwrap();
            assert!(bytes >= packets * 20, "{line}");
            (fields[..4].join(" "), packets)
        })
        .collect()
}

#[test]
fn a_firewall_forwards_what_its_rules_accept_and_counts_it() {
    let text = gate(
        "firewall",
        &[
            "state = [\"established\", \"related\"]\naction = \"accept\"",
            // Ports of flows are 10000 and up, in their order.
            "in = \"inner\"\nprotocol = \"tcp\"\nport = \"10000\"\naction = \"accept\"",
            "in = \"inner\"\nprotocol = \"icmp\"\naction = \"accept\"",
            "protocol = \"tcp\"\nport = \"10003-10009\"\naction = \"reset\"",
        ],
    ) + &named("passes", "tcp", "bytes = \"1MB\"")
        + &named("lost", "tcp", "")
        + &named("echo", "ping", "interval = \"100ms\"")
        + &named("refused", "tcp", "")
        + &named("datagrams", "udp", "");
    let run = run(&text, &[]);
    assert_eq!(run.flow("passes")["bytes"], 1_000_000);
    assert_eq!(run.flow("echo")["loss"], 0.0);
    let error = |name: &str| run.flow(name)["error"].as_str().unwrap_or("").to_owned();
    assert!(
        error("lost").starts_with("no connection to 10.2.0.1:10001"),
        "{}",
        error("lost")
    );
    assert!(error("refused").contains("refused"), "{}", error("refused"));
    assert_eq!(run.flow("datagrams")["arrived"], 0);

    let rules = rules(&run);
    let names: Vec<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "gate forward 1 accept",
            "gate forward 2 accept",
            "gate forward 3 accept",
            "gate forward 4 reset"
        ]
    );
    // One connection and one echo begin; what is refused is tried once.
    let counts: Vec<u64> = rules.iter().map(|(_, count)| *count).collect();
    assert!(counts[0] > 700, "{counts:?}");
    assert_eq!(counts[1..], [1, 1, 1]);
}

#[test]
fn addresses_are_translated_on_the_way_out_and_on_the_way_in() {
    // No route leads back to the inner network, so that only a translated address has an answer.
    let closed = |rules: &[&str]| {
        gate("router", rules).replacen("name = \"b\"\n", "name = \"b\"\nroutes = \"static\"\n", 1)
            + &named("bulk", "tcp", "bytes = \"100kB\"")
            + &named("echo", "ping", "interval = \"100ms\"")
    };
    let without = run(&closed(&[]), &[]);
    assert_eq!(without.flow("bulk")["bytes"], 0);
    assert_eq!(without.flow("echo")["arrived"], 0);
    assert!(!without.path("rules.csv").exists());
    for hidden in [
        "out = \"outer\"\naction = \"masquerade\"",
        "from = \"10.1.0.0/24\"\naction = \"snat\"\naddress = \"10.2.0.254\"",
    ] {
        let with = run(&closed(&[hidden]), &[]);
        assert_eq!(with.flow("bulk")["bytes"], 100_000, "{hidden}");
        assert_eq!(with.flow("echo")["loss"], 0.0, "{hidden}");
        assert_eq!(rules(&with)[0].1, 2, "{hidden}");
    }
    // What is sent to the gate is answered by the host behind it.
    let published = gate(
        "router",
        &["in = \"inner\"\nto = \"10.1.0.254/32\"\naction = \"dnat\"\naddress = \"10.2.0.1\""],
    )
    .replacen(
        "name = \"b\"\nkind = \"host\"\n",
        "name = \"b\"\nkind = \"host\"\n[[node.rule]]\nchain = \"input\"\nprotocol = \"icmp\"\naction = \"count\"\n",
        1,
    ) + &named("echo", "ping", "interval = \"100ms\"\ncount = 20").replace("to = \"b\"", "to = \"gate\"");
    let run = run(&published, &[]);
    assert_eq!(run.flow("echo")["arrived"], 20);
    let rules = rules(&run);
    assert_eq!(rules[0], ("b input 1 count".to_owned(), 20));
    assert_eq!(rules[1].0, "gate prerouting 1 dnat");
}

#[test]
fn rules_leave_a_run_the_same_each_time() {
    let text = gate("router", &["out = \"outer\"\naction = \"masquerade\""])
        + &flow("http", "interval = \"50ms\"")
        + &named("bulk", "tcp", "bytes = \"1MB\"");
    let first = run(&text, &[]).files();
    assert!(first.contains_key("rules.csv"));
    let again = run(&text, &[]).files();
    assert!(first == again);
}
