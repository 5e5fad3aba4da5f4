//! The library: jobs in name spaces of a Linux that this process has booted. It has a main of its own, since a launcher is started
//! before there are threads.

use linux_full as _;
use lkl::{BootConfig, Halt};
use lkl_net::Namespace;
use lkl_net::config::{InterfaceAddress, LinkKind};
use lkl_session::program::Program;
use lklrun::{End, Job, Launcher, Running, names};
use processes::{LONGEST, command_lines, until};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What the tests have.
struct World {
    launcher: Launcher,
    one: Namespace,
    two: Namespace,
    place: TempDir,
}

/// What a test is called, and what it does.
type Test = (&'static str, fn(&World));

fn main() {
    let launcher = Launcher::start(Program::new("library")).unwrap();
    thread::spawn(|| {
        thread::sleep(5 * LONGEST);
        eprintln!("it does not end");
        std::process::abort();
    });
    let config = BootConfig {
        pool_size: 128 << 20,
        command_line: "loglevel=3",
    };
    let kernel = lkl_host_posix::boot(&config).unwrap();
    let [one, two] = [1, 2].map(|_| Namespace::new(&kernel).unwrap());
    let (here, there) = (one.configuration().unwrap(), two.configuration().unwrap());
    let pair = LinkKind::Veth {
        peer: "eth0",
        peer_namespace: Some(&two),
    };
    here.add_link("eth0", &pair).unwrap();
    for (config, number) in [(here, 1), (there, 2)] {
        let address = InterfaceAddress::new(IpAddr::from([10, 7, 7, number]), 24);
        config.add_address("eth0", address).unwrap();
        config.set_up("lo").unwrap();
        config.set_up("eth0").unwrap();
    }
    let world = World {
        launcher,
        one,
        two,
        place: TempDir::new().unwrap(),
    };
    let tests: [Test; 5] = [
        ("jobs_of_two_networks_meet_by_name", meet),
        ("a_job_ends_as_its_program_does", ends),
        (
            "a_signal_goes_to_the_program_and_then_to_what_it_has_left",
            signals,
        ),
        ("nothing_is_left_of_a_job_that_is_dropped", dropped),
        ("a_launcher_is_started_before_there_are_threads", threads),
    ];
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    for (name, test) in tests {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            test(&world);
            println!("test {name} ... ok");
        }
    }
    drop(world);
    assert!(matches!(kernel.halt(), Halt::Whole));
}

impl World {
    /// Starts a script, whose output is in files of that name.
    fn start(&self, network: &Namespace, name: &str, script: &str) -> Running {
        let file = |kind: &str| File::create(self.place.path().join(format!("{name}.{kind}"))).unwrap();
        let hosts = names::hosts([("two", IpAddr::from([10, 7, 7, 2]))]);
        let job = Job {
            output: Some([file("out"), file("err")]),
            environment: vec![("ODD".into(), OsString::from_vec(vec![0xff, b'=']))],
            files: vec![(names::HOSTS.into(), hosts)],
            ..["sh", "-c", script].into_iter().collect()
        };
        self.launcher.run(&job, network).unwrap()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.place.path().join(name)).unwrap_or_default()
    }
}

/// Whether a process has these very arguments.
fn is_there(arguments: &[&str]) -> bool {
    let wanted = arguments.join("\0") + "\0";
    command_lines().iter().any(|(_, line)| line == wanted.as_bytes())
}

fn meet(world: &World) {
    let listen = "import socket
server = socket.create_server(('', 7000))
print('listens', flush=True)
client, address = server.accept()
print(address[0], client.recv(100).decode())";
    let server = world.start(&world.two, "server", &format!("exec python3 -c \"{listen}\""));
    until("it listens", || world.text("server.out").contains("listens"));
    let say = "import socket; socket.create_connection(('two', 7000)).sendall(b'hello')";
    let client = world.start(&world.one, "client", &format!("exec python3 -c \"{say}\""));
    assert_eq!(
        client.wait_timeout(LONGEST),
        Some(End::Exited(0)),
        "{}",
        world.text("client.err")
    );
    assert_eq!(
        server.wait_timeout(LONGEST),
        Some(End::Exited(0)),
        "{}",
        world.text("server.err")
    );
    assert_eq!(world.text("server.out"), "listens\n10.7.7.1 hello\n");
    // It has none of the other's sockets, and nobody listens here.
    let client = world.start(
        &world.one,
        "none",
        "exec python3 -c \"import socket; socket.create_connection(('127.0.0.1', 7000))\"",
    );
    assert_eq!(client.wait_timeout(LONGEST), Some(End::Exited(1)));
    assert!(
        world.text("none.err").contains("ConnectionRefusedError"),
        "{}",
        world.text("none.err")
    );
}

fn ends(world: &World) {
    for (script, end) in [
        ("exit 7", End::Exited(7)),
        ("kill -KILL $$", End::Killed(9)),
        (
            "test \"$(printf '\\377=')\" = \"$ODD\" && read nothing || exit 4",
            End::Exited(4),
        ),
    ] {
        let running = world.start(&world.one, "end", script);
        assert_eq!(running.wait_timeout(LONGEST), Some(end), "{script}");
        assert!(running.end().is_some() && running.is_idle());
    }
    let absent: Job = ["no-such-program"].into_iter().collect();
    let running = world.launcher.run(&absent, &world.one).unwrap();
    assert_eq!(running.wait_timeout(LONGEST), Some(End::Unstarted(2)));
    assert_eq!(running.wait().status(), 127);
    // Longer than a message of a socket may be.
    let long = "x".repeat(100_000);
    let script = format!("set -- {long}; echo $# ${{#1}}");
    assert_eq!(
        world.start(&world.one, "long", &script).wait_timeout(LONGEST),
        Some(End::Exited(0))
    );
    assert_eq!(world.text("long.out"), "1 100000\n");
}

fn signals(world: &World) {
    let own = std::process::id();
    let left = format!("{own}7.5");
    let script =
        format!("trap 'exit 3' TERM; setsid sleep {left} & echo ready; while :; do sleep 0.05; done");
    let running = world.start(&world.two, "signal", &script);
    until("it is ready", || {
        world.text("signal.out") == "ready\n" && is_there(&["sleep", &left])
    });
    assert!(running.signal(Signal::TERM));
    until("it ends", || running.end().is_some());
    assert!(matches!(running.end(), Some((End::Exited(3), _))));
    // What it has left goes on, until the next signal.
    assert_eq!(running.wait_timeout(Duration::from_millis(300)), None);
    assert!(is_there(&["sleep", &left]));
    assert!(running.signal(Signal::TERM));
    assert_eq!(running.wait_timeout(LONGEST), Some(End::Exited(3)));
    assert!(!is_there(&["sleep", &left]));
}

fn dropped(world: &World) {
    // Linux has threads of its own, which come and go.
    let threads = || {
        let all = fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = all.map(|entry| fs::read_to_string(entry.path().join("comm")).unwrap_or_default());
        let ours = ["calls", "program", "linux", "sweep", "guardian"];
        names.filter(|name| ours.contains(&name.trim_end())).count()
    };
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let own = std::process::id();
    let (left, before) = (format!("{own}8.5"), (threads(), descriptors()));
    // A socket of the program's is open, and a call of it waits, when it goes.
    let script = format!(
        "setsid sleep {left} & exec python3 -c \"import socket; server = socket.create_server(('', 7001)); print('listens', flush=True); server.accept()\""
    );
    let running = world.start(&world.two, "dropped", &script);
    until("it listens", || {
        world.text("dropped.out").contains("listens") && is_there(&["sleep", &left])
    });
    assert_eq!(threads(), before.0 + 5);
    drop(running);
    assert!(!is_there(&["sleep", &left]));
    assert_eq!((threads(), descriptors()), before);
    // Its port is free again.
    let again = world.start(
        &world.two,
        "again",
        "exec python3 -c \"import socket; socket.create_server(('', 7001))\"",
    );
    assert_eq!(
        again.wait_timeout(LONGEST),
        Some(End::Exited(0)),
        "{}",
        world.text("again.err")
    );
    assert!(Path::new("/etc/hosts").exists());
}

fn threads(_: &World) {
    let error = Launcher::start(Program::new("library")).err().unwrap();
    assert!(error.to_string().contains("before there are threads"), "{error}");
}
