//! With `ipv6 = true` nodes have both versions of IP, and flows use either.

mod program;

use program::{flow, link, lklsim, nodes, run, seconds};
use std::fs;
use tempfile::TempDir;

fn both(seconds_long: u32) -> String {
    seconds(seconds_long) + "ipv6 = true\n"
}

/// The same flow over the other version.
fn six(kind: &str, further: &str) -> String {
    flow(kind, &format!("ip = 6\n{further}")).replacen(
        &format!("name = \"{kind}\""),
        &format!("name = \"{kind}6\""),
        1,
    )
}

#[test]
fn flows_of_each_kind_go_over_ipv6_through_routers_and_switches() {
    let text = both(10)
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &nodes("switch", &["s"])
        + &link("a", "s", "rate = \"100mbit\"\ndelay = \"2ms\"")
        + &link("s", "r", "delay = \"1ms\"")
        + &link("r", "b", "rate = \"10mbit\"\ndelay = \"10ms\"\nqueue = 60")
        + &six("tcp", "duration = \"6s\"")
        + &six("ping", "interval = \"100ms\"\nstart = \"7s\"")
        + &six("udp", "start = \"7s\"")
        + &six("http", "start = \"7s\"\ncount = 5")
        + &flow("ping", "interval = \"100ms\"\nstart = \"7s\"");
    let run = run(&text, &[]);
    // The header of IPv6 is 20 bytes longer.
    let ideal = 10.0 * 1428.0 / 1514.0;
    let goodput = run.goodput("tcp6");
    assert!(
        (0.95..=1.001).contains(&(goodput / ideal)),
        "{goodput} of {ideal}"
    );
    for name in ["ping6", "ping"] {
        let echo = run.flow(name);
        assert_eq!(echo["sent"], echo["arrived"], "{name}");
        let least = echo["rtt"]["min_ms"].as_f64().unwrap();
        assert!((26.0..27.0).contains(&least), "{name}: {least} ms");
    }
    assert_eq!(run.flow("udp6")["loss"], 0.0);
    assert_eq!(run.flow("http6")["arrived"], 5);
}

#[test]
fn addresses_and_routes_of_ipv6_are_the_files_or_follow_from_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("t.toml");
    let text = both(5)
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &link("a", "r", "addresses6 = [\"2001:db8::a/64\", \"\"]")
        + &link("r", "b", "");
    fs::write(&file, &text).unwrap();
    let output = lklsim(&["check", file.to_str().unwrap()]);
    let rows: Vec<&str> = output.out.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "a eth0 10.0.0.1/24 2001:db8::a/64 a-r",
            "b eth0 10.0.1.2/24 fd00::2/64 r-b",
            "r eth0 10.0.0.2/24 2001:db8::1/64 a-r",
            "r eth1 10.0.1.1/24 fd00::1/64 r-b",
        ]
    );
}

#[test]
fn a_link_that_comes_back_has_its_addresses_and_routes_of_ipv6_again() {
    let text = both(12)
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &link("a", "r", "")
        + &link("r", "b", "name = \"far\"")
        + &six("ping", "interval = \"100ms\"")
        + "[[event]]\nat = \"3s\"\ndown = \"far\"\n[[event]]\nat = \"6s\"\nup = \"far\"\n";
    let flow = run(&text, &[]).flow("ping6");
    // About three of twelve seconds are lost.
    let arrived = flow["arrived"].as_u64().unwrap();
    assert!((75..=91).contains(&arrived), "{flow}");
}

#[test]
fn a_route_of_the_file_and_an_events_send_packets_another_way() {
    // From a to b there are r, by the file's route, and s, by an event's.
    let text = both(8)
        + &nodes("host", &["a", "b"]).replacen("name = \"a\"\n", "name = \"a\"\nroutes = \"static\"\n", 1)
        + &nodes("router", &["r", "s"])
        + &link(
            "a",
            "r",
            "addresses6 = [\"2001:db8:1::a/64\", \"2001:db8:1::1/64\"]\ndelay = \"5ms\"",
        )
        + &link(
            "a",
            "s",
            "addresses6 = [\"2001:db8:2::a/64\", \"2001:db8:2::1/64\"]\ndelay = \"50ms\"",
        )
        + &link(
            "r",
            "b",
            "addresses6 = [\"2001:db8:3::1/64\", \"2001:db8:3::b/64\"]",
        )
        + &link(
            "s",
            "b",
            "addresses6 = [\"2001:db8:4::1/64\", \"2001:db8:4::b/64\"]",
        )
        + &six("ping", "interval = \"100ms\"")
        + "[[event]]\nat = \"4s\"\nroute = \"a\"\nto = \"2001:db8:3::/64\"\nvia = \"2001:db8:2::1\"\n";
    let text = text.replacen(
        "routes = \"static\"\nkind = \"host\"\n",
        "routes = \"static\"\nkind = \"host\"\n[[node.route]]\nto = \"2001:db8:3::/64\"\nvia = \"2001:db8:1::1\"\n",
        1,
    );
    let flow = run(&text, &[]).flow("ping6");
    let (least, most) = (&flow["rtt"]["min_ms"], &flow["rtt"]["max_ms"]);
    let (least, most) = (least.as_f64().unwrap(), most.as_f64().unwrap());
    assert!((10.0..11.0).contains(&least), "{flow}");
    // The way there is the long one, and the way back the short one.
    assert!(most > 54.0, "{flow}");
}
