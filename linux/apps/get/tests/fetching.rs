//! lklget as a user runs it, over a TAP device to a server on the machine's own stack, and over user-mode NAT: what comes is
//! compared whole.

#![cfg(target_os = "linux")]

mod world;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use world::{HERE, World};

fn url(server: std::net::SocketAddr, path: &str) -> String {
    format!("http://{server}{path}")
}

fn secure(server: std::net::SocketAddr, path: &str) -> String {
    format!("https://{server}{path}")
}

#[test]
fn a_file_of_64_mib_is_the_one_that_curl_gets() {
    let world = World::new();
    let big = url(world.http(&format!("{HERE}:0")), "/big");
    world.run(&[&big]).well();
    let mut curl = Command::new("curl");
    curl.args(["-s", &big]);
    let curl = world.run_command(&mut curl).well();
    assert!(curl.out == world.server.big(), "curl: {} bytes", curl.out.len());
    assert!(world.read("big") == curl.out, "other bytes");
    assert!(!world.has("big.part") && !world.has("big.part.of"));
    // Without offloads, and with long packets.
    let out = world.run(&["--mtu", "1000", "-o", "-", &big]).well().out;
    assert!(out == curl.out, "{} bytes", out.len());
}

#[test]
fn http_2_has_twenty_urls_on_one_connection_and_http_1_has_several_connections() {
    let world = World::new();
    let (server, certificate) = world.https(&format!("{HERE}:0"), &format!("IP:{HERE}"));
    let certificate = certificate.to_str().expect("text");
    let urls: Vec<String> = (0..20).map(|n| secure(server, &format!("/n/{n}"))).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    for http1 in [false, true] {
        let mut arguments = vec!["--cacert", certificate, "--json", "-f", "-j", "20"];
        if http1 {
            arguments.push("--http1");
        }
        let run = world.run(&[&arguments[..], &urls].concat()).well();
        for n in 0..20 {
            assert!(world.read(&n.to_string()) == world.server.small(n), "{n}");
            fs::remove_file(world.place().join(n.to_string())).unwrap();
        }
        let stats = run.stats();
        let answers: u64 = stats.iter().map(|one| one["answers"].as_u64().unwrap()).sum();
        assert_eq!(answers, 20);
        for one in &stats {
            assert_eq!(one["http"], if http1 { "HTTP/1.1" } else { "HTTP/2" });
            assert_eq!(one["tls"], "TLSv1_3");
        }
        assert_eq!(stats.len() == 1, !http1, "{} connections", stats.len());
        world.server.wait_for_ends();
    }
    let big = secure(server, "/big");
    world.run(&["--insecure", &big]).well();
    assert!(world.read("big") == world.server.big(), "other bytes");
}

#[test]
fn redirections_are_followed_and_secrets_stay_with_the_server_that_was_named() {
    let world = World::new();
    let (one, other) = (world.http(&format!("{HERE}:0")), world.http(&format!("{HERE}:0")));
    world.run(&["-o", "x", "--json", &url(one, "/redirect/5")]).well();
    assert!(world.read("x") == world.server.small(0));
    let headers = ["-H", "Authorization: me", "-H", "X-Other: this", "-o", "-"];
    for (server, said) in [(one, "me, this"), (other, "no one, this")] {
        let to = format!("/to?{}", url(server, "/who"));
        let run = world.run(&[&headers[..], &[&url(one, &to)]].concat()).well();
        assert_eq!(String::from_utf8(run.out).unwrap(), said);
    }
    let run = world.run(&["--max-redirects", "3", &url(one, "/loop")]);
    assert_eq!(run.code, 1);
    assert!(run.err.contains("more than 3 redirections"), "{}", run.err);
}

#[test]
fn what_was_cut_is_gone_on_with_and_never_joined_to_another_state() {
    let world = World::new();
    let server = world.http(&format!("{HERE}:0"));
    let cut = url(world.cut(&format!("{HERE}:0")), "/7");
    let whole = url(server, "/n/7");
    let begin = || {
        let run = world.run(&[&cut]);
        assert_eq!(run.code, 1, "{}", run.err);
        assert!(
            run.err.contains("the connection was cut") && run.err.contains("-C"),
            "{}",
            run.err
        );
        assert!(!world.has("7"));
        let part = world.read("7.part");
        assert!(part.len() == 600_000, "{} bytes", part.len());
        assert!(part == world.server.small(7)[..600_000]);
    };
    begin();
    let run = world.run(&["-C", "--json", &whole]).well();
    assert!(world.read("7") == world.server.small(7));
    assert_eq!(run.stats()[0]["bytes"], (1 << 20) - 600_000);
    assert!(!world.has("7.part") && !world.has("7.part.of"));
    // Complete already.
    let run = world.run(&["-C", &whole]).well();
    assert!(run.err.contains("complete already"), "{}", run.err);
    fs::remove_file(world.place().join("7")).unwrap();

    // It becomes another thing meanwhile.
    begin();
    world.server.change();
    let run = world.run(&["-C", &whole]).well();
    assert!(run.err.contains("another state"), "{}", run.err);
    assert!(world.read("7") == world.server.small(7));
    // What another program has begun has its own name.
    fs::write(world.place().join("7"), &world.server.small(7)[..300_000]).unwrap();
    let run = world.run(&["-C", "--json", &whole]).well();
    assert!(world.read("7") == world.server.small(7));
    assert_eq!(run.stats()[0]["bytes"], (1 << 20) - 300_000);
}

#[test]
fn a_signal_ends_a_run_and_leaves_what_came() {
    use rustix::process::{Pid, Signal, kill_process};
    let world = World::new();
    let slow = url(world.http(&format!("{HERE}:0")), "/slow");
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = world.command(&[&slow]);
        command.stderr(std::process::Stdio::piped());
        let child = world.machine.inside(|| command.spawn()).unwrap();
        let part = world.place().join("slow.part");
        while fs::metadata(&part).map_or(0, |there| there.len()) < 300_000 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130));
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(said.contains("interrupted") && said.contains("-C"), "{said}");
        assert!(world.read("slow.part") == world.server.small(8)[..300_000]);
        fs::remove_file(part).unwrap();
    }
}

#[test]
fn the_congestion_control_that_is_asked_for_is_the_connections() {
    let world = World::new();
    let thing = url(world.http(&format!("{HERE}:0")), "/n/3");
    for name in ["bbr", "cubic", "reno", "dctcp"] {
        // So Linux calls it while the other end, which has no DCTCP, marks nothing.
        let shown = if name == "dctcp" { "dctcp-reno" } else { name };
        let run = world.run(&["--cc", name, "--json", "-f", &thing]).well();
        let stats = run.stats();
        assert_eq!(stats.len(), 1);
        assert_eq!(stats[0]["congestion_control"], shown);
        assert_eq!(stats[0]["bytes"], 1 << 20);
        assert!(stats[0]["rtt_us"].as_u64().unwrap() > 0 && stats[0]["cwnd"].as_u64().unwrap() > 0);
        let text = world.run(&["--cc", name, "--stats", "-f", &thing]).well().err;
        assert!(text.contains(&format!("{shown}: rtt ")), "{text}");
    }
    // A server without MPTCP gets TCP.
    let run = world.run(&["--mptcp", "--json", "-f", &thing]).well();
    assert_eq!(run.stats()[0]["mptcp"], true);
    assert!(world.read("3") == world.server.small(3));
}

#[test]
fn ipv6_is_fetched_over_as_well() {
    let world = World::new();
    let ip = ["addr", "add", "fd00:9::1/64", "dev", "lklget0", "nodad"];
    world.run_command(Command::new("ip").args(ip)).well();
    let thing = url(world.http("[fd00:9::1]:0"), "/n/4");
    let run = world
        .run(&["-6", "--ip", "fd00:9::2/64", "--json", &thing])
        .well();
    assert!(world.read("4") == world.server.small(4));
    let local = run.stats()[0]["local"].as_str().unwrap().to_owned();
    assert!(local.starts_with("[fd00:9::2]:"), "{local}");
}

#[test]
fn an_ordinary_user_fetches_over_nat() {
    let world = World::new();
    world.machine.uplink("lkluplink");
    let server = world.http("127.0.0.1:0");
    // Where that user may read and run it.
    fs::set_permissions(world.place(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = world.place().join("lklget");
    fs::copy(env!("CARGO_BIN_EXE_lklget"), &program).unwrap();
    let big = format!("http://10.0.2.2:{}/big", server.port());
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .args(["--bounding-set=-all", "--no-new-privs"])
        .arg(&program)
        .args(["-o", "-", "--json", &big])
        .current_dir(world.place());
    let run = world.run_command(&mut command).well();
    assert!(run.out == world.server.big(), "{} bytes", run.out.len());
    assert_eq!(run.stats()[0]["peer"], format!("10.0.2.2:{}", server.port()));
}

#[test]
fn heads_and_several_urls_go_to_standard_output_in_order() {
    let world = World::new();
    let server = world.http(&format!("{HERE}:0"));
    let things: Vec<String> = (0..5).map(|n| url(server, &format!("/n/{n}"))).collect();
    let things: Vec<&str> = things.iter().map(String::as_str).collect();
    let run = world.run(&[&["-o", "-"][..], &things].concat()).well();
    let all: Vec<u8> = (0..5).flat_map(|n| world.server.small(n)).collect();
    assert!(run.out == all, "{} bytes", run.out.len());
    let head = world.run(&["--head", things[0]]).well();
    let head = String::from_utf8(head.out).unwrap();
    let lines: HashSet<&str> = head.lines().collect();
    assert!(
        lines.contains("HTTP/1.1 200 OK") && lines.contains("content-length: 1048576"),
        "{head}"
    );
    fs::create_dir(world.place().join("folder")).unwrap();
    world.run(&[&["-o", "folder"][..], &things].concat()).well();
    assert!(world.read("folder/4") == world.server.small(4));
}
