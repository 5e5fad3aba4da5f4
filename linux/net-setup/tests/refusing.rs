//! What is refused: before Linux boots, and by Linux.

#![cfg(target_os = "linux")]

use lkl_net_setup::{Ends, Interface, Network, Settings};
use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;
use networks::Machine;

fn json(text: &str) -> Settings {
    Settings::from_json(Program::new("test"), "net.json", text).unwrap()
}

fn said(failure: Failure, exit: Exit, words: &[&str]) {
    assert_eq!(failure.exit, exit, "{failure}");
    assert_eq!(failure.message.lines().count(), 1, "{failure}");
    for word in words {
        assert!(failure.message.contains(word), "no {word:?} in {failure}");
    }
}

#[test]
fn each_refusal_names_the_thing_and_where_the_user_wrote_it() {
    networks::ends_within_minutes(2);
    let machine = Machine::new();
    for number in [3, 4] {
        machine.tap(&format!("lklsetup{number}"), number, 1500, true);
    }
    let one = |net: &str| {
        let mut settings = Settings::new(Program::new("test"));
        settings.interfaces.push(Interface::new(net.parse().unwrap()));
        settings
    };
    let open = |settings: &Settings| machine.inside(|| Ends::open(settings).err().expect("a refusal"));
    said(
        open(&one("tap:lklnone")),
        Exit::Other,
        &["--net tap:lklnone", "ip tuntap add"],
    );
    said(open(&one("unix:/nonexistent")), Exit::Other, &["/nonexistent"]);
    let none = json(r#"{"interfaces": [{"type": "raw", "param": "lklnone"}]}"#);
    said(open(&none), Exit::Other, &["raw:lklnone", "no such interface"]);
    let held = machine.inside(|| Ends::open(&one("tap:lklsetup3"))).unwrap();
    said(
        open(&one("tap:lklsetup3")),
        Exit::InUse,
        &["tap:lklsetup3", "another program"],
    );
    let whole = json(r#"{"interfaces": [{"type": "tap", "param": "lklsetup3"}]}"#);
    said(open(&whole), Exit::InUse, &["tap:lklsetup3"]);
    drop(held);

    // One Linux for what Linux itself refuses.
    let mut first = one("tap:lklsetup4");
    first.interfaces[0].addressing = lkl_net_setup::Addressing::Fixed(Vec::new());
    let network = machine.inside(|| Network::open(&first)).unwrap();
    let attach = |text: &str| {
        let settings = json(text);
        let ends = machine.inside(|| Ends::open(&settings)).unwrap();
        ends.attach(network.kernel()).err().expect("a refusal")
    };
    said(
        attach(r#"{"sysctl": "net.ipv4.no_such=1"}"#),
        Exit::Other,
        &["sysctl", "no_such"],
    );
    said(attach(r#"{"mount": "nosuchfs"}"#), Exit::Other, &["nosuchfs"]);
    said(attach(r#"{"dump": "/no/such"}"#), Exit::Other, &["/no/such"]);
    said(
        attach(r#"{"gateway": "192.0.2.1"}"#),
        Exit::Other,
        &["192.0.2.1", "\"gateway\""],
    );
    let tap = |rest: &str| format!(r#"{{"interfaces": [{{"type": "tap", "param": "lklsetup3"{rest}}}]}}"#);
    said(
        attach(&tap(r#", "qdisc": "root|nosuch""#)),
        Exit::Other,
        &["nosuch"],
    );
    // An interface that was refused is taken away again, so that the TAP device is free each time.
    let multicast = attach(&tap(r#", "mac": "01:00:5e:00:00:01""#));
    said(multicast, Exit::Other, &["lklsetup3", "hardware address"]);
    network.close().unwrap();
}
