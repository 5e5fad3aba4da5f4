//! Linux in virtual time: waiting takes none, a link is as fast as it says, and each run is the same.

#![cfg(target_os = "linux")]

use linux_full as _;
use lkl::{BootConfig, Halt, Kernel};
use lkl_host_virtual::{Start, World, boot};
use lkl_net::config::{Configuration, Handle, InterfaceAddress, LinkKind, Netem, Queue};
use lkl_net::{Namespace, TcpListener, TcpStream};
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::process::Command;
use std::time::{Duration, Instant};

fn start(seed: u64) -> (Kernel, World) {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(120));
        eprintln!("still there after two minutes");
        std::process::abort();
    });
    let command_line = format!("loglevel=4 lkl_seed={}", format!("{seed:016x}").repeat(4));
    let config = BootConfig {
        pool_size: 128 << 20,
        command_line: &command_line,
    };
    boot(Default::default(), Start::default(), &config).expect("Linux boots")
}

struct Host {
    network: Namespace,
    config: Configuration,
}

impl Host {
    fn new(kernel: &Kernel) -> Host {
        let network = Namespace::new(kernel).unwrap();
        let config = network.configuration().unwrap();
        Host { network, config }
    }
}

/// Two hosts and a link between them, which takes `delay` in each direction and carries `rate` bytes a second.
fn link(kernel: &Kernel, seed: u64, delay: Duration, rate: u64, loss: f64) -> [Host; 2] {
    let [one, two] = [Host::new(kernel), Host::new(kernel)];
    let kind = LinkKind::Veth {
        peer: "wire",
        peer_namespace: Some(&two.network),
    };
    one.config.add_link("wire", &kind).unwrap();
    for (host, number) in [(&one, 1), (&two, 2)] {
        let address = InterfaceAddress::new(Ipv4Addr::new(10, 0, 0, number), 24).at_once();
        host.config.add_address("wire", address).unwrap();
        host.config.set_up("wire").unwrap();
        let netem = Netem {
            delay,
            rate,
            loss,
            limit: 1000,
            seed: Some(seed.wrapping_add(number.into())),
            ..Netem::default()
        };
        let queue = Queue::Netem(netem);
        host.config
            .set_queue("wire", Handle::ROOT, Handle::new(1, 0), &queue)
            .unwrap();
    }
    [one, two]
}

/// Sends so many bytes from one host to the other; when the receiver had them all.
fn transfer(world: &World, hosts: &[Host; 2], len: usize) -> u64 {
    let [one, two] = [hosts[0].network.clone(), hosts[1].network.clone()];
    let listener = two.enter(|| TcpListener::bind("10.0.0.2:7000")).unwrap();
    let its_world = world.clone();
    let receiver = world
        .spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            (all.len(), its_world.elapsed_ns())
        })
        .unwrap();
    let sender = world
        .spawn(move || {
            let mut stream = one.enter(|| TcpStream::connect("10.0.0.2:7000")).unwrap();
            stream.write_all(&vec![7; len]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read(&mut [0]);
        })
        .unwrap();
    let (received, when) = receiver.join().unwrap();
    assert_eq!(received, len);
    sender.join().unwrap();
    when
}

/// What a run of that seed says: when a transfer over a bad link ended, and the counters of both ends.
fn story(seed: u64) -> String {
    let (kernel, world) = start(seed);
    let hosts = link(&kernel, seed, Duration::from_millis(7), 2_000_000, 0.01);
    let when = transfer(&world, &hosts, 3 << 20);
    let counters: Vec<String> = hosts
        .iter()
        .map(|host| {
            let dev = host.network.read_proc("thread-self/net/dev").unwrap();
            let tcp = host.network.read_proc("thread-self/net/netstat").unwrap();
            format!("{dev}{tcp}")
        })
        .collect();
    drop(hosts);
    let end = world.elapsed_ns();
    assert_eq!(kernel.halt(), Halt::Whole);
    let mut hash = DefaultHasher::new();
    counters.iter().for_each(|text| hash.write(text.as_bytes()));
    format!("{when} {end} {:016x}", hash.finish())
}

const SEED: &str = "LKL_STORY_SEED";

#[test]
fn each_run_of_a_seed_is_the_same() {
    if let Ok(seed) = std::env::var(SEED) {
        println!("\nstory {}", story(seed.parse().unwrap()));
        return;
    }
    let run = |seed: u64| {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "each_run_of_a_seed_is_the_same", "--nocapture"])
            .env(SEED, seed.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text
            .lines()
            .find(|line| line.starts_with("story "))
            .map(str::to_owned);
        line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    let first = run(1);
    for _ in 0..3 {
        assert_eq!(run(1), first);
    }
    assert_ne!(run(2), first, "another seed loses other packets");
}

#[test]
fn waiting_takes_no_time_and_a_link_is_as_fast_as_it_says() {
    // In a process of its own: a process boots one Linux.
    const CHILD: &str = "LKL_LINK_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "waiting_takes_no_time_and_a_link_is_as_fast_as_it_says",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let (kernel, world) = start(1);
    let (before, outside) = (world.elapsed_ns(), Instant::now());
    let day = [86_400i64, 0];
    let pointer = day.as_ptr().expose_provenance() as i64;
    // SAFETY: nanosleep reads the two numbers, which outlive the call.
    let slept = unsafe { kernel.syscall(35, [pointer, 0, 0, 0, 0, 0]) };
    assert_eq!(slept, Ok(0));
    let passed = world.elapsed_ns() - before;
    assert!(
        (86_400_000_000_000..86_400_100_000_000).contains(&passed),
        "{passed} ns"
    );
    assert!(
        outside.elapsed() < Duration::from_secs(60),
        "{:?}",
        outside.elapsed()
    );

    // Threads that sleep wake up at their times, in the order of those, to the nanosecond.
    let base = world.elapsed_ns() + 1_000_000;
    let sleepers: Vec<_> = [7, 3, 5]
        .map(|number| {
            let its_world = world.clone();
            let act = move || {
                its_world.sleep_until_ns(base + number);
                its_world.elapsed_ns()
            };
            (number, world.spawn(act).unwrap())
        })
        .into_iter()
        .collect();
    for (number, sleeper) in sleepers {
        assert_eq!(sleeper.join().unwrap(), base + number);
    }

    // A bell wakes up who waits for it when it rings, or when the time is over, and is remembered if nobody waited yet.
    let bell = std::sync::Arc::new(world.bell());
    let base = world.elapsed_ns();
    assert!(!bell.wait_until_ns(base + 5));
    assert_eq!(world.elapsed_ns(), base + 5);
    let (its_world, its_bell) = (world.clone(), std::sync::Arc::clone(&bell));
    let ringer = world
        .spawn(move || {
            its_world.sleep_until_ns(base + 9);
            its_bell.ring();
        })
        .unwrap();
    assert!(bell.wait_until_ns(base + 1_000_000));
    assert_eq!(world.elapsed_ns(), base + 9);
    ringer.join().unwrap();
    bell.ring();
    assert!(bell.wait_until_ns(base + 1_000_000));
    assert!(!bell.wait_until_ns(base + 11));
    assert_eq!(world.elapsed_ns(), base + 11);

    // Ping-pong: each round is twice the delay.
    let delay = Duration::from_millis(50);
    let hosts = link(&kernel, 1, delay, 1_250_000, 0.0);
    let [one, two] = [hosts[0].network.clone(), hosts[1].network.clone()];
    let listener = two.enter(|| TcpListener::bind("10.0.0.2:9000")).unwrap();
    let echo = world
        .spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut byte = [0];
            while stream.read(&mut byte).unwrap() == 1 {
                stream.write_all(&byte).unwrap();
            }
        })
        .unwrap();
    let mut stream = one.enter(|| TcpStream::connect("10.0.0.2:9000")).unwrap();
    stream.set_nodelay(true).unwrap();
    for _ in 0..20 {
        let before = world.elapsed_ns();
        stream.write_all(&[1]).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let round = world.elapsed_ns() - before;
        // 67 bytes each way at the link's rate, besides.
        let ideal = 100_000_000 + 2 * 67 * 1_000_000_000 / 1_250_000;
        assert!(
            round.abs_diff(ideal) < ideal / 100,
            "{round} ns instead of {ideal}"
        );
    }
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream);
    echo.join().unwrap();

    // Goodput: what the link's rate leaves beside headers.
    let len = 25 << 20;
    let before = world.elapsed_ns();
    let when = transfer(&world, &hosts, len);
    let seconds = (when - before) as f64 / 1e9;
    let goodput = len as f64 / seconds;
    let ideal = 1_250_000.0 * 1448.0 / 1514.0;
    assert!(
        (0.95..=1.001).contains(&(goodput / ideal)),
        "{goodput:.0} of {ideal:.0} bytes a second"
    );
    drop(hosts);
    assert_eq!(kernel.halt(), Halt::Whole);
}
