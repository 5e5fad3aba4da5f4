//! Programs as they come from the distribution, as clients over Linux's stack: what they fetch is compared.

mod world;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use world::{HERE, World, program};

#[test]
fn curl_and_wget_fetch_a_file_whole() {
    let world = World::new();
    let noise = world.noise("noise", 24 << 20);
    let (_server, address) = world.web();
    let url = format!("http://{address}/noise");
    let run = world.run(world.under(&["curl", "-sS", "-w", "%{local_ip}", "-o", "by-curl", &url]));
    assert_eq!(run.well().out, "10.9.1.2");
    assert!(world.read("by-curl") == noise);
    world
        .run(world.under(&["wget", "-q", "-O", "by-wget", &url]))
        .well();
    assert!(world.read("by-wget") == noise);
}

#[test]
fn curl_fetches_many_files_at_once() {
    let world = World::new();
    let noise = world.noise("noise", 1 << 20);
    let (_server, address) = world.web();
    let mut words = vec!["curl".to_owned(), "-sS".into(), "-Z".into()];
    for number in 0..20 {
        words.extend([
            "-o".into(),
            format!("got{number}"),
            format!("http://{address}/noise"),
        ]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.run(world.under(&words)).well();
    for number in 0..20 {
        assert!(world.read(&format!("got{number}")) == noise, "{number}");
    }
}

/// What a connection waits for comes while the call is being tried for the first time, now and then: it must not be missed.
#[test]
fn thousands_of_connections_come_one_after_the_other() {
    let world = World::new();
    let listener = world.machine.inside(|| TcpListener::bind((HERE, 0))).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || for _stream in listener.incoming() {});
    let script = format!(
        "import socket\n\
         for n in range(6000):\n    \
             socket.create_connection(('{HERE}', {port})).close()\n\
         print(n)"
    );
    let run = world.run(world.under(&["python3", "-c", &script]));
    assert_eq!(run.well().out, "5999\n");
}

#[test]
fn requests_of_python_get_and_post() {
    let world = World::new();
    world.noise("noise", 3 << 20);
    let (_server, address) = world.web();
    let script = format!(
        "import requests\n\
         r = requests.get('http://{address}/noise')\n\
         assert r.content == open('noise', 'rb').read()\n\
         with requests.Session() as s:\n    \
             assert [s.get('http://{address}/noise').status_code for _ in range(5)] == [200] * 5\n\
         print(requests.post('http://{address}/noise', data=b'x' * 100000).status_code)"
    );
    let run = world.run(world.under(&["python3", "-c", &script]));
    assert_eq!(run.well().out, "501\n");
}

#[test]
fn an_ordinary_user_has_the_network_by_nat_and_its_name_server() {
    let world = World::new();
    let noise = world.noise("noise", 2 << 20);
    let listener = world.machine.inside(|| TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&noise).unwrap();
    });
    // What the user may execute and read is not below the tests' own folder.
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("lklrun");
    std::fs::copy(env!("CARGO_BIN_EXE_lklrun"), &copy).unwrap();
    for path in [place.path(), &copy] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let script = format!(
        "import socket, os\n\
         print(open('/etc/resolv.conf').read().strip(), os.getuid())\n\
         s = socket.create_connection(('10.0.2.2', {port}))\n\
         print(sum(len(x) for x in iter(lambda: s.recv(65536), b'')))"
    );
    let mut command = world.own(&[
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
    ]);
    command
        .arg(&copy)
        .args(["--", "python3", "-c", &script])
        // The tests' own folder for such files is closed to other users.
        .env("TMPDIR", "/tmp")
        .current_dir("/");
    let run = world.run(command).well();
    assert_eq!(run.out, "nameserver 10.0.2.3 65534\n2097152\n", "{}", run.err);
}

#[test]
fn iperf3_moves_data_both_ways_with_one_stream_and_eight() {
    let world = World::new();
    for options in [
        &["-t", "1"][..],
        &["-t", "1", "-R"],
        &["-t", "1", "-P", "8"],
        &["-t", "1", "-P", "8", "-R"],
    ] {
        let port = "5301";
        let mut server = world.own(&["iperf3", "-s", "-1", "--forceflush", "-p", port, "-B", HERE]);
        server.stdout(Stdio::piped());
        let mut child = world.machine.inside(|| server.spawn()).unwrap();
        // "Server listening", in a line of its own.
        let mut seen = [0; 60];
        child.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
        let _server = processes::Server(child);
        let words = [&["iperf3", "-c", HERE, "-p", port, "-J"][..], options].concat();
        let run = world.run(world.under(&words)).well();
        let result: serde_json::Value = serde_json::from_str(&run.out).unwrap();
        let moved = result["end"]["sum_received"]["bytes"].as_f64().unwrap();
        assert!(moved > 1e6, "{options:?}: {moved}");
    }
}

#[test]
fn a_static_program_of_raw_system_calls_is_served() {
    let world = World::new();
    let raw = world.compile("raw");
    let address = world.echo();
    let words = [raw.to_str().unwrap(), HERE, &address.port().to_string()];
    let run = world.run(world.under(&words));
    assert_eq!(run.well().out, "raw ok\n");
}

#[test]
fn what_was_sent_arrives_though_the_program_ends_at_once() {
    let world = World::new();
    let listener = world.machine.inside(|| TcpListener::bind((HERE, 0))).unwrap();
    let port = listener.local_addr().unwrap().port();
    let reader = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Far more than what is between is unread when the program ends.
        thread::sleep(Duration::from_secs(1));
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.len()
    });
    let script = format!(
        "import socket, os\n\
         s = socket.create_connection(('{HERE}', {port}))\n\
         s.sendall(b'x' * 3000000)\n\
         os._exit(3)"
    );
    let run = world.run(world.under(&["python3", "-c", &script]));
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert_eq!(reader.join().unwrap(), 3_000_000);
}

#[test]
fn failures_have_linuxs_own_numbers() {
    let world = World::new();
    let run = world.run(world.under(&["python3", &program("failures.py"), HERE]));
    assert_eq!(run.well().out, "failures ok\n");
}

#[test]
fn ip_and_ss_show_linuxs_network() {
    let world = World::new();
    let gateway = ["--gateway", "10.9.1.1"];
    let with = [&world::NET[..], &gateway].concat();
    let run = world
        .run(world.with(&with, &["ip", "-o", "addr", "show", "dev", "eth0"]))
        .well();
    assert!(run.out.contains("inet 10.9.1.2/24"), "{}", run.out);
    let run = world.run(world.with(&with, &["ip", "route"])).well();
    assert!(run.out.contains("default via 10.9.1.1 dev eth0"), "{}", run.out);
    // A change is Linux's, too, and the machine has none of it.
    let change = "ip link add d7 type dummy && ip addr add 10.7.7.7/32 dev d7 && ip -o -4 addr show dev d7";
    let run = world.run(world.under(&["sh", "-c", change])).well();
    assert!(run.out.contains("10.7.7.7/32"), "{}", run.out);
    let listening = "import socket, subprocess\n\
                     s = socket.socket(); s.bind(('127.0.0.1', 4711)); s.listen()\n\
                     print(subprocess.run(['ss', '-tnlH'], capture_output=True, text=True).stdout)\n\
                     print(sorted(n for _, n in socket.if_nameindex() if n in ('lo', 'eth0', 'lklrun0')))\n\
                     print(socket.if_nametoindex('eth0') > 0)";
    let run = world.run(world.under(&["python3", "-c", listening])).well();
    assert!(run.out.contains("127.0.0.1:4711"), "{}", run.out);
    assert!(run.out.contains("['eth0', 'lo']\nTrue"), "{}", run.out);
    let run = world
        .run(world.under(&["ping", "-c", "2", "-W", "10", HERE]))
        .well();
    assert!(run.out.contains("2 received"), "{}", run.out);
}
