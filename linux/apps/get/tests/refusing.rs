//! What lklget says when something is wrong: one line with what to do, and an exit code.

#![cfg(target_os = "linux")]

mod world;

use std::process::Command;
use world::{HERE, World};

/// One line on standard error, with these words, and that exit code.
fn refused(world: &World, arguments: &[&str], code: i32, words: &[&str]) {
    check(arguments, world.run(arguments), code, words);
}

fn check(arguments: &[&str], run: world::Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, code, "{arguments:?}: {}", run.err);
    assert_eq!(run.err.lines().count(), 1, "{arguments:?}: {}", run.err);
    assert!(run.err.starts_with("lklget: "), "{}", run.err);
    for word in words {
        assert!(
            run.err.contains(word),
            "{arguments:?}: no {word:?} in {}",
            run.err
        );
    }
}

#[test]
fn each_fault_has_a_line_that_says_what_to_do_and_an_exit_code() {
    let world = World::new();
    let server = world.http(&format!("{HERE}:0"));
    let (secure, certificate) = world.https(&format!("{HERE}:0"), &format!("IP:{HERE}"));
    let (misnamed, its) = world.https(&format!("{HERE}:0"), "DNS:other.test");
    let at = |path: &str| format!("http://{server}{path}");
    let closed = {
        let listener = world
            .machine
            .inside(|| std::net::TcpListener::bind(format!("{HERE}:0")));
        listener.unwrap().local_addr().unwrap()
    };
    let (certificate, its) = (certificate.to_str().unwrap(), its.to_str().unwrap());
    std::fs::write(world.place().join("there"), "before").unwrap();
    let none = world.place().join("none.pem");
    let none = none.to_str().unwrap();
    let table: &[(&[&str], i32, &[&str])] = &[
        (&[&at("/nothing")], 5, &["404 Not Found", "look at the URL"]),
        (&[&at("/forbidden")], 5, &["403"]),
        (&[&at("/broken")], 1, &["503", "try again later"]),
        (&[&format!("http://{closed}/")], 1, &["refuses", "port"]),
        (&["http://192.0.2.1/"], 1, &["no route to 192.0.2.1", "--gateway"]),
        (&["http://10.9.1.77/"], 1, &["no host answers at 10.9.1.77"]),
        (&["http://host.test/"], 1, &["host.test", "--dns"]),
        (
            &["--ip", "10.9.1.1/24", &at("/n/1")],
            1,
            &["tap:lklget0", "10.9.1.1 is taken by the host with", "--ip"],
        ),
        (
            &[&format!("https://{secure}/n/1")],
            1,
            &["certificate is wrong", "no authority", "--cacert"],
        ),
        (
            &["--cacert", its, &format!("https://{misnamed}/n/1")],
            1,
            &["certificate is wrong", "another name"],
        ),
        (&[&format!("https://{server}/n/1")], 1, &["TLS", "http://"]),
        // It answers an alert of TLS's.
        (
            &[&format!("http://{secure}/n/1")],
            1,
            &["does not speak HTTP", "look at the port"],
        ),
        (&["--cacert", none, &at("/n/1")], 1, &["none.pem", "PEM"]),
        (&["-o", "there", &at("/n/1")], 8, &["exists already", "--force"]),
        (&["-o", "none/x", &at("/n/1")], 8, &["none/x", "-o"]),
        (&["ftp://server/x"], 2, &["ftp://server/x", "http://"]),
        (&["nonsense"], 2, &["nonsense", "http://"]),
        (&["-o", "there", &at("/n/1"), &at("/n/2")], 2, &["folder"]),
        (&[&at("/n/1"), &at("/n/1")], 2, &["another URL's"]),
        (&["--cc", "vegas", &at("/n/1")], 2, &["vegas", "bbr"]),
        (&["-C", "-o", "-", &at("/n/1")], 2, &["-C"]),
        (&["-6", &at("/n/1")], 1, &["no address of IPv6"]),
        (&["--timeout", "2", &at("/slow")], 9, &["for 2 s", "--timeout"]),
    ];
    for (arguments, code, words) in table {
        refused(&world, arguments, *code, words);
    }
    assert_eq!(world.read("there"), b"before");
    // What it is for is taken, so that the table is of faults.
    world
        .run(&["--cacert", certificate, &format!("https://{secure}/n/1")])
        .well();
    // A failure keeps no other URL from being fetched.
    let run = world.run(&[&at("/nothing"), &at("/n/2")]);
    assert_eq!(run.code, 5);
    assert!(world.read("2") == world.server.small(2));
}

#[test]
fn an_end_that_cannot_be_opened_is_told_before_linux_boots() {
    let world = World::new();
    let run = |net: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lklget"));
        command.args(["--net", net, "http://10.9.1.1/"]);
        world.run_command(&mut command)
    };
    for (net, code, words) in [
        ("raw:lklnone", 1, &["lklnone", "no such interface", "ip link"][..]),
        ("tap:a-name-that-is-too-long", 1, &["longer than 15"]),
        (
            "unix:/nonexistent/socket",
            1,
            &["/nonexistent/socket", "start the program"],
        ),
        (
            "pcap:/nonexistent/file",
            1,
            &["/nonexistent/file", "look at the path"],
        ),
        ("ethernet:eth0", 2, &["ethernet:eth0", "slirp"]),
    ] {
        check(&[net], run(net), code, words);
    }
    // The interface is another program's.
    let held = world.machine.inside(|| {
        let spec: lkl_links::Spec = "tap:lklget0".parse().unwrap();
        spec.open(true).unwrap()
    });
    check(
        &["busy"],
        run("tap:lklget0"),
        13,
        &["tap:lklget0", "another program"],
    );
    drop(held);
    let place = world.place();
    std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_lklget"), place.join("lklget")).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--no-new-privs",
        ])
        .arg(place.join("lklget"))
        .args(["--net", "raw:lklget0", "http://10.9.1.1/"]);
    check(
        &["an ordinary user"],
        world.run_command(&mut command),
        11,
        &["raw:lklget0", "root"],
    );
}
