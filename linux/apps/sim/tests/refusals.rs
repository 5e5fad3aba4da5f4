//! What is refused, with which words; and how the program ends.

mod program;

use program::{attempt, flow, link, lklsim, nodes, program, seconds};
use std::fs;
use tempfile::TempDir;

/// Two hosts and a link.
fn pair() -> String {
    seconds(5) + &nodes("host", &["a", "b"]) + &link("a", "b", "")
}

/// The same, and a rule of the first host's, which begins in line 7.
fn ruled(rule: &str) -> String {
    let text = format!("\"host\"\n[[node.rule]]\n{rule}\n");
    pair().replacen("\"host\"\n", &text, 1)
}

#[test]
fn a_wrong_topology_is_refused_in_one_line_that_says_where_and_what() {
    let switches = seconds(5)
        + &nodes("host", &["a", "b"])
        + &nodes("switch", &["s", "t", "u"])
        + &link("a", "s", "")
        + &link("b", "t", "")
        + &link("s", "t", "")
        + &link("t", "u", "");
    let table = [
        ("".to_owned(), "1:1: missing field `simulation`"),
        (
            seconds(5).replace("5s", "5"),
            "2:12: \"5\" has no unit; units are ns, us, ms, s, m, h",
        ),
        (seconds(0), "2:12: a simulation has some duration"),
        (
            pair().replace("ends", "end"),
            "10:1: unknown field `end`, expected one of `name`, `ends`, `addresses`, `addresses6`, `rate`, `delay`, `jitter`, `loss`, `queue`, `forward`, `back`",
        ),
        (
            pair().replacen("host", "hsot", 1),
            "5:8: unknown variant `hsot`, expected one of `host`, `router`, `firewall`, `switch`",
        ),
        (
            pair() + "[[program]]\nname = \"p\"\nnode = \"c\"\nrun = [\"true\"]\n",
            "14:8: there is no node c; add [[node]] of that name, or correct this one",
        ),
        (
            pair() + &program("p", "a", "exit", "") + &program("p", "b", "exit", ""),
            "18:8: there are two programs p; give one another name",
        ),
        (
            pair() + "[[program]]\nname = \"p\"\nnode = \"a\"\nrun = []\n",
            "15:7: p: there is no command; write run = [\"PROGRAM\", \"ARGUMENT\", ...]",
        ),
        (
            pair() + "[[program]]\nname = \"p\"\nnode = \"a\"\nrun = [\"\"]\n",
            "15:7: p: there is no command; write run = [\"PROGRAM\", \"ARGUMENT\", ...]",
        ),
        (
            pair() + "[[program]]\nname = \"p\"\nnode = \"a\"\nrun = [\"echo\", \"a\\u0000b\"]\n",
            "15:16: p: an argument cannot have a NUL in it",
        ),
        (
            pair() + &program("p", "a", "exit", "start = \"5s\""),
            "16:9: p: the simulation is over at 5s",
        ),
        (
            pair() + &program("p", "a", "exit", "stop = \"6s\""),
            "16:8: p: the simulation is over at 5s",
        ),
        (
            pair() + &program("p", "a", "exit", "start = \"2s\"\nstop = \"2s\""),
            "17:8: p: it begins at 2s, and cannot be stopped before it has begun",
        ),
        (
            pair() + &program("p", "a", "exit", "expect = 256"),
            "16:10: invalid value: integer `256`, expected u8",
        ),
        (
            pair() + &program("p", "a", "exit", "user = 1"),
            "16:1: unknown field `user`, expected one of `name`, `node`, `run`, `start`, `stop`, `expect`",
        ),
        (pair() + "x = \n", "12:5: invalid string; expected `\"`, `'`"),
        (
            pair().replace("\"b\"]", "\"c\"]"),
            "10:14: there is no node c; add [[node]] of that name, or correct this one",
        ),
        (
            pair().replace("\"b\"]", "\"B\"]"),
            "10:14: there is no node B; b is meant?",
        ),
        (
            pair().replace("\"b\"]", "\"a\"]"),
            "10:14: a is at both ends of the link",
        ),
        (
            pair() + &nodes("host", &["lonely"]),
            "13:8: lonely has no link; add a [[link]] to it, or take it out",
        ),
        (
            pair() + &nodes("host", &["a"]),
            "13:8: there are two nodes a; give one another name",
        ),
        (
            pair() + &link("a", "b", ""),
            "13:8: a-b: two links have the same ends; give one a name",
        ),
        (
            pair() + "addresses = [\"10.1.0.1/24\", \"10.1.0.1/24\"]\n",
            "12:29: 10.1.0.1 is taken: a has it",
        ),
        (
            pair() + "addresses = [\"10.1.0.1/24\", \"10.2.0.1/24\"]\n",
            "12:29: 10.2.0.1/24 is not in 10.1.0.0/24, which the others have that b is joined with",
        ),
        (
            pair() + "addresses = [\"10.1.0.1/24\", \"10.1.0.1\"]\n",
            "12:29: \"10.1.0.1\" is not an address with a prefix, like \"10.0.0.1/24\"",
        ),
        (
            pair() + "addresses = [\"10.1.0.255/24\", \"\"]\n",
            "12:14: 10.1.0.255/24 is not an address that a host can have",
        ),
        (
            pair()
                + "addresses = [\"10.1.0.1/24\", \"\"]\n"
                + &link("b", "a", "addresses = [\"10.1.0.130/25\", \"\"]"),
            "15:14: 10.1.0.128/25 overlaps 10.1.0.0/24 of a link that it is not joined with; give one another network",
        ),
        (
            pair() + "loss = \"200%\"\n",
            "12:8: \"200%\" is not a part like \"1.5%\"",
        ),
        (
            pair() + "rate = \"10mb\"\n",
            "12:8: \"mb\" is no unit here; units are bit, kbit, mbit, gbit",
        ),
        (
            pair() + "queue = 0\n",
            "10:8: a-b: a queue of 0 packets carries nothing; 1 is the shortest",
        ),
        (
            switches.clone() + &link("u", "s", ""),
            "31:8: u-s closes a loop of switches; set stp = true at one of them, or take the link out",
        ),
        (
            switches.clone() + "addresses = [\"10.0.0.1/24\", \"\"]\n",
            "30:14: this end is a switch, which has no address; write \"\"",
        ),
        (
            pair().replacen("\"host\"\n", "\"host\"\nstp = true\n", 1),
            "6:7: a: stp is for switches",
        ),
        (
            pair() + &flow("tcp", "congestion = \"vegas\""),
            "17:14: there is no congestion control vegas; there are cubic, reno, bbr, dctcp",
        ),
        (
            pair() + &flow("tcp", "size = \"1kB\""),
            "17:8: size is for flows of kind ping and udp and http, and this is tcp",
        ),
        (
            pair() + &flow("udp", "size = \"100kB\""),
            "17:8: a size of 100000 bytes; it is 16 to 65000 for a flow of this kind",
        ),
        (
            pair() + &flow("tcp", "start = \"9s\""),
            "17:9: tcp: the simulation is over at 5s",
        ),
        (
            pair()
                + &nodes("host", &["c", "d"])
                + &link("c", "d", "")
                + &flow("tcp", "").replace("\"b\"", "\"d\""),
            "25:6: tcp: no path of links, switches and routers leads from a to d",
        ),
        (
            switches + &flow("tcp", "").replace("to = \"b\"", "to = \"s\""),
            "34:6: s is a switch, and has no address",
        ),
        (
            pair() + "[[event]]\nat = \"1s\"\ndown = \"wire\"\n",
            "14:8: there is no link wire; add [[link]] of that name, or correct this one",
        ),
        (
            pair() + "[[event]]\nat = \"1s\"\n",
            "13:6: an event has one of down, up, crash, change and route; write several events for several",
        ),
        (
            pair() + "[[event]]\nat = \"7s\"\ndown = \"a-b\"\n",
            "13:6: the simulation is over at 5s",
        ),
        (
            pair() + "[[event]]\nat = \"1s\"\nroute = \"a\"\nto = \"10.9.0.0/16\"\nvia = \"10.8.0.1\"\n",
            "16:7: 10.8.0.1 is no neighbour of a",
        ),
        (
            pair().replacen(
                "\"host\"\n",
                "\"host\"\n[[node.route]]\nto = \"10.9.0.0/16\"\nvia = \"10.8.0.1\"\n",
                1,
            ),
            "8:7: 10.8.0.1 is no neighbour of a",
        ),
        (
            pair() + "addresses6 = [\"\", \"2001:db8::1/64\"]\n",
            "12:15: nodes have no IPv6; write ipv6 = true into [simulation]",
        ),
        (
            pair() + "addresses = [\"2001:db8::1/64\", \"\"]\n",
            "12:14: 2001:db8::1/64 is not of IPv4; IPv4 is for addresses, and IPv6 for addresses6",
        ),
        (
            pair() + &flow("tcp", "ip = 6"),
            "17:6: nodes have no IPv6; write ipv6 = true into [simulation]",
        ),
        (
            pair() + &flow("tcp", "ip = 5"),
            "17:6: there is no IP version 5; 4 and 6 are",
        ),
        (
            pair() + "[[event]]\nat = \"1s\"\nroute = \"a\"\nto = \"10.9.0.0/16\"\nvia = \"fd00::1\"\n",
            "16:7: 10.9.0.0/16 is of IPv4 and fd00::1 is not",
        ),
        (
            ruled("in = \"wire\"\naction = \"drop\""),
            "7:6: there is no link wire; add [[link]] of that name, or correct this one",
        ),
        (
            ruled("action = \"burn\""),
            "7:10: unknown variant `burn`, expected one of `accept`, `drop`, `reject`, `reset`, `count`, `masquerade`, `snat`, `dnat`",
        ),
        (
            ruled("port = \"80\"\naction = \"drop\""),
            "7:8: a port is for rules with protocol = \"tcp\" or \"udp\"",
        ),
        (
            ruled("protocol = \"tcp\"\nport = \"90-80\"\naction = \"drop\""),
            "8:8: \"90-80\" is not a port like \"80\", nor ports like \"8000-8999\"",
        ),
        (
            ruled("protocol = \"ipx\"\naction = \"drop\""),
            "7:12: there is no protocol ipx; there are icmp, icmpv6, tcp, udp",
        ),
        (
            ruled("protocol = \"udp\"\naction = \"reset\""),
            "8:10: a reset is for rules with protocol = \"tcp\"",
        ),
        (
            ruled("action = \"snat\""),
            "7:10: address is missing: the new one, like \"10.0.0.7\" or \"10.0.0.7:80\"",
        ),
        (
            ruled("action = \"dnat\"\naddress = \"10.0.0\""),
            "8:11: \"10.0.0\" is not an address like \"10.0.0.7\" or \"10.0.0.7:80\"",
        ),
        (
            ruled("action = \"dnat\"\naddress = \"10.0.0.7:80\""),
            "8:11: a port is for rules with protocol = \"tcp\" or \"udp\"",
        ),
        (
            ruled("action = \"drop\"\naddress = \"10.0.0.7\""),
            "8:11: address is for the actions snat and dnat",
        ),
        (
            ruled("chain = \"input\"\naction = \"masquerade\""),
            "7:9: a rule that translates has its own chain; leave chain out",
        ),
        (
            pair() + &nodes("switch", &["s"]) + "[[node.rule]]\naction = \"drop\"\n" + &link("a", "s", ""),
            "16:10: s is a switch, which has no rules",
        ),
    ];
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("bad.toml");
    let file_name = file.to_str().unwrap();
    let mut wrong = Vec::new();
    for (text, line) in table {
        fs::write(&file, &text).unwrap();
        let processes::Run { code, err: said, .. } = lklsim(&["check", file_name]);
        let expected = format!("lklsim: {file_name}:{line}\n");
        if said != expected || code != Some(2) {
            wrong.push(format!("{said}instead of\n{expected}for\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_is_right_is_checked_without_running_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("good.toml");
    fs::write(&file, pair() + &flow("ping", "")).unwrap();
    let said = lklsim(&["check", file.to_str().unwrap()]).well().out;
    let rest = said.split_once('\n').unwrap();
    assert!(
        rest.0
            .ends_with("good.toml: 2 nodes, 1 links, 1 flows, 0 events, 0 programs; 5s"),
        "{said}"
    );
    assert_eq!(rest.1, "a eth0 10.0.0.1/24 a-b\nb eth0 10.0.0.2/24 a-b\n");
}

#[test]
fn each_ending_has_its_exit_code_and_one_line() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (good, strange, full) = (path("good.toml"), path("strange.toml"), path("full"));
    fs::write(&good, pair()).unwrap();
    let sysctl = "\"host\"\nsysctls = { \"net.ipv4.no_such\" = 1 }\n";
    fs::write(&strange, pair().replacen("\"host\"\n", sysctl, 1)).unwrap();
    fs::create_dir(&full).unwrap();
    fs::write(path("full/notes"), "x").unwrap();
    let (missing, out, out2) = (path("missing.toml"), path("out"), path("out2"));
    let table = [
        (vec!["run", &good], 2, "--out"),
        (
            vec!["run", &missing, "--out", &out],
            3,
            "missing.toml: No such file or directory; name a topology",
        ),
        (
            vec!["run", &good, "--out", &full],
            8,
            "there are files in it already; name another folder",
        ),
        (
            vec!["run", &good, "--out", &path("good.toml/x")],
            8,
            "name a folder that you may write to",
        ),
        (
            vec!["run", &strange, "--out", &out2],
            1,
            "a: /proc/sys/net/ipv4/no_such: no such file or directory",
        ),
        (vec!["run", &good, "--out", &out], 0, ""),
    ]
    .map(|(words, code, text)| {
        (
            words.into_iter().map(str::to_owned).collect::<Vec<_>>(),
            code,
            text,
        )
    });
    for (words, code, text) in table {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let processes::Run {
            code: ended,
            err: said,
            ..
        } = lklsim(&words);
        assert_eq!(ended, Some(code), "{words:?}: {said}");
        assert_eq!(said.lines().count(), usize::from(code != 0), "{said}");
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn help_and_man_pages_tell_what_a_topology_is() {
    let folder = TempDir::new().unwrap();
    lklsim(&["--man", folder.path().to_str().unwrap()]).well();
    for name in ["lklsim.1", "lklsim-run.1", "lklsim-check.1"] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let text = lklsim(&["--help"]).well().out;
    for word in [
        "[[node]]",
        "[[link]]",
        "[[flow]]",
        "[[event]]",
        "Exit codes:",
        "flows.csv",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn programs_are_refused_in_virtual_time_before_anything_is_made() {
    let topology = pair() + &program("web", "a", "exit 0", "");
    let (run, code, stderr) = attempt(&topology, &[]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.ends_with("topology.toml: program web runs in the machine's own time alone; say --realtime\n"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
    assert!(!run.path("").exists());
}
