//! Two interfaces of one Linux, each in a network of its own, with a cable of host memory between them.

#![cfg(target_os = "linux")]

use linux_full::Networks;
use lkl::{Errno, Halt, Kernel};
use lkl_net::{Namespace, TcpListener, TcpStream, UdpSocket};
use lkl_netdev::{Backend, Buffer, Buffers, Config, Header, MacAddress, Offloads, Packets, Received};
use networks::{Side, noise};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

/// One end of a cable. What Linux sends there is copied into buffers of the other end.
struct End {
    offloads: Offloads,
    other: Mutex<Weak<End>>,
    buffers: Mutex<VecDeque<Buffer>>,
    up: AtomicBool,
    /// Packets that stood for many, or had no checksum.
    unfinished: AtomicUsize,
    lists: AtomicUsize,
    packets: AtomicUsize,
}

fn cable(offloads: Offloads) -> [Arc<End>; 2] {
    let end = || {
        Arc::new(End {
            offloads,
            other: Mutex::default(),
            buffers: Mutex::default(),
            up: AtomicBool::new(false),
            unfinished: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            packets: AtomicUsize::new(0),
        })
    };
    let ends = [end(), end()];
    *ends[0].other.lock().unwrap() = Arc::downgrade(&ends[1]);
    *ends[1].other.lock().unwrap() = Arc::downgrade(&ends[0]);
    ends
}

impl Backend for End {
    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn transmit(&self, packets: Packets) {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let other = self.other.lock().unwrap().upgrade();
        let mut received = Received::default();
        for packet in packets {
            self.packets.fetch_add(1, Ordering::Relaxed);
            if !packet.header().is_plain() {
                self.unfinished.fetch_add(1, Ordering::Relaxed);
            }
            let buffer = other
                .as_ref()
                .and_then(|other| other.buffers.lock().unwrap().pop_front());
            if let Some(mut buffer) = buffer {
                let len = buffer.copy_from(&packet.to_vec());
                assert_eq!(len, packet.len(), "a packet does not fit");
                received.push(buffer, len, packet.header()).unwrap();
                packet.sent();
            }
        }
        received.deliver();
    }

    fn receive(&self, buffers: Buffers) {
        self.up.store(true, Ordering::Relaxed);
        self.buffers.lock().unwrap().extend(buffers);
    }

    fn stop(&self) {
        self.up.store(false, Ordering::Relaxed);
        let all = std::mem::take(&mut *self.buffers.lock().unwrap());
        drop(all);
    }
}

/// A network with one interface, 10.0.0.NUMBER, whose other end is `end`.
fn host(kernel: &Kernel, end: &Arc<End>, number: u8, mtu: u32) -> Side {
    let how = Config {
        mac: Some(MacAddress([2, 0, 0, 0, 0, number])),
        mtu,
        ..Config::default()
    };
    let backend: Arc<dyn Backend> = Arc::<End>::clone(end);
    Side::new(kernel, backend, &how, [10, 0, 0, number])
}

/// Sends so many bytes from one host to the other by TCP, and back.
fn there_and_back(from: &Side, to: &Side, len: usize) {
    let listener = to.network.enter(|| TcpListener::bind("10.0.0.2:7000")).unwrap();
    let sent = noise(0, len);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), Ipv4Addr::new(10, 0, 0, 1));
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let mut stream = from
            .network
            .enter(|| TcpStream::connect("10.0.0.2:7000"))
            .unwrap();
        stream.write_all(&sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert!(all == sent, "{} of {} bytes came back", all.len(), sent.len());
    });
}

/// One Linux for all: a process boots one.
#[test]
fn packets_cross_whole_in_both_directions_whatever_the_other_end_does_for_linux() {
    networks::ends_within_minutes(2);
    let kernel = networks::boot(128);
    for (offloads, mtu) in [
        (Offloads::NONE, 0),
        (Offloads::NONE, 9000),
        (Offloads::HOST_CSUM.with(Offloads::GUEST_CSUM), 0),
        (Offloads::TCP, 0),
        (Offloads::TCP, 65_535),
        (Offloads::TCP, 576),
    ] {
        let ends = cable(offloads);
        let one = host(&kernel, &ends[0], 1, mtu);
        let two = host(&kernel, &ends[1], 2, mtu);
        there_and_back(&one, &two, 8 << 20);
        let (lists, packets) = (
            ends[0].lists.load(Ordering::Relaxed),
            ends[0].packets.load(Ordering::Relaxed),
        );
        let unfinished = ends[0].unfinished.load(Ordering::Relaxed);
        assert!(lists <= packets);
        assert_eq!(unfinished > 0, offloads != Offloads::NONE, "{offloads:?}");
        if offloads == Offloads::TCP && mtu == 0 {
            assert!(
                packets < (8 << 20) / 1448,
                "{packets} packets stand for none but themselves"
            );
        }
        one.device.remove().unwrap();
        assert_eq!(Arc::strong_count(&ends[0]), 1, "Linux has let go of the end");
        drop(two);
        assert_eq!(
            Arc::strong_count(&ends[1]),
            1,
            "dropping takes the interface away"
        );
    }

    a_datagram_of_many_pieces_crosses(&kernel);
    an_interface_changes_its_mtu_while_it_is_up(&kernel);
    what_the_host_says_that_makes_no_sense_is_counted_and_lost(&kernel);
    an_interface_is_taken_away_under_traffic(&kernel);
    what_cannot_be_is_refused(&kernel);
    sending_without_a_copy_is_refused(&kernel);

    // Halted with an interface up, and a connection open.
    let ends = cable(Offloads::TCP);
    let (one, two) = (host(&kernel, &ends[0], 1, 0), host(&kernel, &ends[1], 2, 0));
    there_and_back(&one, &two, 1 << 20);
    assert!(ends[0].up.load(Ordering::Relaxed));
    assert_eq!(kernel.halt(), Halt::Whole);
    assert_eq!(one.device.remove(), Err(Errno::ENODEV));
    drop((two, one.network, one.config));
    for end in ends {
        assert!(
            end.buffers.lock().unwrap().is_empty(),
            "a buffer of a Linux that is gone"
        );
    }
}

fn a_datagram_of_many_pieces_crosses(kernel: &Kernel) {
    let ends = cable(Offloads::NONE);
    let (one, two) = (host(kernel, &ends[0], 1, 0), host(kernel, &ends[1], 2, 0));
    let receiver = two.network.enter(|| UdpSocket::bind("10.0.0.2:53")).unwrap();
    let sender = one.network.enter(|| UdpSocket::bind("10.0.0.1:0")).unwrap();
    let sent = noise(0, 60_000);
    sender
        .send_to(&sent, SocketAddr::from(([10, 0, 0, 2], 53)))
        .unwrap();
    let mut received = vec![0; 65_536];
    let (len, _) = receiver.recv_from(&mut received).unwrap();
    assert!(received[..len] == sent, "{len} bytes");
    assert!(ends[0].packets.load(Ordering::Relaxed) > 40, "fragments");
}

fn an_interface_changes_its_mtu_while_it_is_up(kernel: &Kernel) {
    let ends = cable(Offloads::NONE);
    let (one, two) = (host(kernel, &ends[0], 1, 0), host(kernel, &ends[1], 2, 0));
    for mtu in [9000, 1500, 60_000, 68, 1500] {
        for host in [&one, &two] {
            host.config.set_mtu("eth0", mtu).unwrap();
        }
        if mtu > 68 {
            there_and_back(&one, &two, 1 << 20);
        }
    }
}

fn what_the_host_says_that_makes_no_sense_is_counted_and_lost(kernel: &Kernel) {
    let ends = cable(Offloads::TCP);
    let (one, two) = (host(kernel, &ends[0], 1, 0), host(kernel, &ends[1], 2, 0));
    let counter = |host: &Side, name: &str| -> u64 {
        let table = host.network.read_proc("thread-self/net/dev").unwrap();
        let line = table
            .lines()
            .find(|line| line.trim_start().starts_with("eth0:"))
            .unwrap();
        let numbers: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .map(|word| word.parse().unwrap())
            .collect();
        // bytes packets errs drop fifo frame ...
        numbers[["bytes", "packets", "errs", "drop"]
            .iter()
            .position(|known| *known == name)
            .unwrap()]
    };
    let before = counter(&one, "errs");
    let frames: &[(usize, [u8; 10])] = &[
        (5, [0; 10]),
        // Many of nothing; of a kind that does not exist; a checksum beyond the end; headers that are not there.
        (60, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
        (60, [0, 9, 0, 0, 200, 0, 0, 0, 0, 0]),
        (60, [1, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]),
        (60, [1, 0, 0, 0, 0, 0, 50, 0, 60, 0]),
        (20, [1, 1, 54, 0, 0xff, 0xff, 14, 0, 16, 0]),
        (60, [1, 5, 0, 0, 1, 0, 34, 0, 6, 0]),
    ];
    for (len, header) in frames {
        let mut buffer = ends[0].buffers.lock().unwrap().pop_front().unwrap();
        buffer.copy_from(&[0xff; 60]);
        assert!(buffer.room() > 60);
        let mut received = Received::default();
        received
            .push(buffer, *len, Header::from_bytes(header).unwrap())
            .unwrap();
        received.deliver();
    }
    // Longer than it may be, which the list refuses.
    let buffer = ends[0].buffers.lock().unwrap().pop_front().unwrap();
    let room = buffer.room();
    let refused = Received::default().push(buffer, room + 1, Header::default());
    assert_eq!(refused, Err(Errno::EMSGSIZE));
    there_and_back(&one, &two, 1 << 20);
    assert!(counter(&one, "errs") >= before + 5, "{}", counter(&one, "errs"));
}

fn an_interface_is_taken_away_under_traffic(kernel: &Kernel) {
    for round in 0..20 {
        let ends = cable(Offloads::TCP);
        let (one, two) = (host(kernel, &ends[0], 1, 0), host(kernel, &ends[1], 2, 0));
        let listener = two.network.enter(|| TcpListener::bind("10.0.0.2:7000")).unwrap();
        let mut stream = one.network.enter(|| TcpStream::connect("10.0.0.2:7000")).unwrap();
        stream
            .set_write_timeout(Some(std::time::Duration::from_millis(200)))
            .unwrap();
        let (peer, _) = listener.accept().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || while stream.write_all(&[7; 65_536]).is_ok() {});
            let mut reader = peer.try_clone().unwrap();
            scope.spawn(move || while reader.read(&mut [0; 65_536]).is_ok_and(|len| len > 0) {});
            if round % 2 == 0 {
                two.device.carrier(false);
                two.device.carrier(true);
            }
            two.device.remove().unwrap();
            assert_eq!(Arc::strong_count(&ends[1]), 1);
            peer.shutdown(Shutdown::Both).unwrap();
        });
    }
}

/// What would take the sender's pages sends them with a copy instead.
fn sending_without_a_copy_is_refused(kernel: &Kernel) {
    const SOCKET: i64 = 41;
    const SETSOCKOPT: i64 = 54;
    const CLOSE: i64 = 3;
    let on = 1i32;
    let value = std::ptr::from_ref(&on).expose_provenance() as i64;
    let call = |number, args: [i64; 6]| {
        // SAFETY: the one pointer is to a number that outlives the call.
        unsafe { kernel.syscall(number, args) }
    };
    let socket = call(SOCKET, [2, 1, 0, 0, 0, 0]).unwrap() as i64;
    // SO_ZEROCOPY and, beside it, an option that there is.
    let refused = call(SETSOCKOPT, [socket, 1, 60, value, 4, 0]);
    assert_eq!(refused, Err(Errno::EOPNOTSUPP));
    assert_eq!(call(SETSOCKOPT, [socket, 1, 9, value, 4, 0]), Ok(0));
    call(CLOSE, [socket, 0, 0, 0, 0, 0]).unwrap();
}

fn what_cannot_be_is_refused(kernel: &Kernel) {
    let network = Namespace::new(kernel).unwrap();
    let add = |config: &Config, offloads| {
        let backend: Arc<dyn Backend> = Arc::<End>::clone(&cable(offloads)[0]);
        network.with_task(|task| task.unwrap().add_network_device(backend, config).map(drop))
    };
    let with = |change: fn(&mut Config)| {
        let mut config = Config::default();
        change(&mut config);
        config
    };
    for (config, offloads, error) in [
        (with(|c| c.mtu = 20), Offloads::NONE, Errno::EINVAL),
        (with(|c| c.max_mtu = 70_000), Offloads::NONE, Errno::EINVAL),
        (
            with(|c| (c.mtu, c.max_mtu) = (1500, 1400)),
            Offloads::NONE,
            Errno::EINVAL,
        ),
        (
            with(|c| c.name = Some("a name that is long".into())),
            Offloads::NONE,
            Errno::EINVAL,
        ),
        (
            with(|c| c.name = Some("a/b".into())),
            Offloads::NONE,
            Errno::EINVAL,
        ),
        (
            with(|c| c.name = Some("lo".into())),
            Offloads::NONE,
            Errno::EEXIST,
        ),
        (
            with(|c| c.mac = Some(MacAddress([1, 0, 0, 0, 0, 1]))),
            Offloads::NONE,
            Errno::EADDRNOTAVAIL,
        ),
        (Config::default(), Offloads::HOST_TSO4, Errno::EINVAL),
        (Config::default(), Offloads::GUEST_TSO6, Errno::EINVAL),
    ] {
        assert_eq!(add(&config, offloads), Err(error), "{config:?} {offloads:?}");
    }
    assert_eq!(add(&Config::default(), Offloads::TCP), Ok(()));
}
