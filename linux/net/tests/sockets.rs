//! Sockets mean what `std::net`'s mean: each of these runs on the carried Linux, and what can be the same is compared with std's
//! on this machine.

#![cfg(target_os = "linux")]

mod world;

use lkl_net::{
    Address, Epoll, Events, Family, Namespace, Protocol, Socket, TcpListener, TcpStream, Type, UdpSocket,
    UnixListener, UnixStream,
};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use world::{kernel, network, noise};

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Two ends of a connection.
fn connected(network: &Namespace) -> (TcpStream, TcpStream) {
    network.enter(|| {
        let listener = TcpListener::bind(ANY_PORT).expect("bound");
        let address = listener.local_addr().expect("an address");
        let client = TcpStream::connect(address).expect("connected");
        let (server, from) = listener.accept().expect("accepted");
        assert_eq!(from, client.local_addr().expect("an address"));
        assert_eq!(address, client.peer_addr().expect("an address"));
        (client, server)
    })
}

#[test]
fn a_thread_that_has_entered_no_network_is_told_so() {
    let error = TcpStream::connect("127.0.0.1:1").expect_err("no network");
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().contains("Namespace::enter()"), "{error}");
}

#[test]
fn what_one_end_writes_the_other_reads_to_the_last_byte() {
    for (host, port) in [("127.0.0.1", 0), ("::1", 0)] {
        let network = network();
        let (listener, client) = network.enter(|| {
            let listener = TcpListener::bind((host, port)).expect("bound");
            let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
            (listener, client)
        });
        let sent = noise(1, 8 << 20);
        let expected = sent.clone();
        let writer = thread::spawn(move || {
            let mut client = client;
            client.write_all(&sent).expect("written");
            client.shutdown(Shutdown::Write).expect("ended");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("read");
            answer
        });
        let (mut server, _) = listener.accept().expect("accepted");
        let mut received = Vec::new();
        server.read_to_end(&mut received).expect("read");
        assert!(received == expected, "{} bytes came", received.len());
        server.write_all(b"thanks").expect("written");
        drop(server);
        assert_eq!(writer.join().expect("no panic"), "thanks");
    }
}

#[test]
fn a_port_without_a_listener_refuses_as_std_says() {
    let network = network();
    let free = network.enter(|| {
        TcpListener::bind(ANY_PORT)
            .expect("bound")
            .local_addr()
            .expect("bound")
    });
    let ours = network
        .enter(|| TcpStream::connect(free))
        .expect_err("nothing there");
    let port = std::net::TcpListener::bind(ANY_PORT)
        .and_then(|listener| listener.local_addr())
        .expect("bound");
    let theirs = std::net::TcpStream::connect(port).expect_err("nothing there");
    assert_eq!(ours.kind(), theirs.kind());
    assert_eq!(ours.raw_os_error(), theirs.raw_os_error());
    assert_eq!(ours.to_string(), theirs.to_string());
}

#[test]
fn an_address_that_is_taken_and_one_that_is_nowhere_are_told_apart() {
    network().enter(|| {
        let first = TcpListener::bind(ANY_PORT).expect("bound");
        let again = TcpListener::bind(first.local_addr().expect("bound")).expect_err("taken");
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        let nowhere = TcpListener::bind("192.0.2.1:0").expect_err("no such address");
        assert_eq!(nowhere.kind(), ErrorKind::AddrNotAvailable);
        let no_route = TcpStream::connect("192.0.2.1:80").expect_err("no route");
        assert_eq!(no_route.kind(), ErrorKind::NetworkUnreachable);
    });
}

#[test]
fn a_read_waits_as_long_as_its_timeout_and_no_shorter() {
    let (mut client, _server) = connected(&network());
    assert_eq!(client.read_timeout().expect("asked"), None);
    let zero = client.set_read_timeout(Some(Duration::ZERO));
    assert_eq!(zero.expect_err("refused").kind(), ErrorKind::InvalidInput);
    for millis in [30, 450] {
        let timeout = Duration::from_millis(millis);
        client.set_read_timeout(Some(timeout)).expect("set");
        assert_eq!(client.read_timeout().expect("asked"), Some(timeout));
        let start = Instant::now();
        let error = client.read(&mut [0; 1]).expect_err("nothing comes");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());
    }
}

#[test]
fn a_read_without_a_timeout_outlasts_the_slices_that_it_waits_in() {
    let (mut client, mut server) = connected(&network());
    let reader = thread::spawn(move || {
        let mut byte = [0];
        client.read_exact(&mut byte).map(|()| byte)
    });
    thread::sleep(Duration::from_millis(700));
    server.write_all(b"x").expect("written");
    assert_eq!(reader.join().expect("no panic").expect("read"), *b"x");
}

#[test]
fn linux_serves_others_while_a_thread_waits() {
    let network = network();
    let listener = network.enter(|| TcpListener::bind(ANY_PORT).expect("bound"));
    let address = listener.local_addr().expect("bound");
    let waiting = thread::spawn(move || listener.accept().map(|_| ()));
    thread::sleep(Duration::from_millis(50));
    let (mut client, mut server) = connected(&network);
    for _ in 0..100 {
        client.write_all(b"ping").expect("written");
        server.read_exact(&mut [0; 4]).expect("read");
    }
    assert!(!waiting.is_finished());
    network.enter(|| TcpStream::connect(address)).expect("connected");
    waiting.join().expect("no panic").expect("accepted");
}

#[test]
fn nonblocking_calls_say_would_block_and_blocking_ones_work_again() {
    let (mut client, mut server) = connected(&network());
    client.set_nonblocking(true).expect("set");
    let error = client.read(&mut [0; 1]).expect_err("nothing there");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let filled = loop {
        if let Err(error) = client.write(&[0; 65536]) {
            break error;
        }
    };
    assert_eq!(filled.kind(), ErrorKind::WouldBlock);
    client.set_nonblocking(false).expect("set");
    server.write_all(b"y").expect("written");
    client.read_exact(&mut [0; 1]).expect("read");
}

#[test]
fn peek_leaves_the_bytes_and_clones_are_the_same_connection() {
    let (client, mut server) = connected(&network());
    let mut clone = client.try_clone().expect("cloned");
    server.write_all(b"abc").expect("written");
    let mut seen = [0; 8];
    assert_eq!(client.peek(&mut seen).expect("peeked"), 3);
    assert_eq!(clone.read(&mut seen).expect("read"), 3);
    clone.set_read_timeout(Some(Duration::from_secs(9))).expect("set");
    assert_eq!(
        client.read_timeout().expect("asked"),
        Some(Duration::from_secs(9))
    );
    drop(client);
    clone.write_all(b"still open").expect("written");
    let mut received = [0; 10];
    server.read_exact(&mut received).expect("read");
    assert_eq!(&received, b"still open");
}

#[test]
fn pieces_are_written_and_read_in_their_order() {
    let (mut client, mut server) = connected(&network());
    let sent = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
    assert_eq!(client.write_vectored(&sent).expect("written"), 7);
    let (mut first, mut second) = ([0; 3], [0; 4]);
    let mut pieces = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(server.read_vectored(&mut pieces).expect("read"), 7);
    assert_eq!((&first, &second), (b"one", b" two"));
}

#[test]
fn a_write_to_a_peer_that_has_gone_is_an_error_and_not_a_signal() {
    let (mut client, server) = connected(&network());
    drop(server);
    let error = loop {
        if let Err(error) = client.write(b"anything") {
            break error;
        }
    };
    assert!(
        matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{error}"
    );
}

#[test]
fn a_connect_that_no_host_answers_ends_with_its_timeout() {
    let network = network();
    // The queue of a listener that accepts nothing fills up, and then Linux drops what asks.
    let (listener, address) = network.enter(|| {
        let socket = Socket::new(Family::IPV4, Type::STREAM, Protocol::TCP).expect("a socket");
        socket.bind(&SocketAddr::from(ANY_PORT).into()).expect("bound");
        socket.listen(0).expect("listens");
        let Address::Inet(address) = socket.local_addr().expect("bound") else {
            panic!("an address of IPv4");
        };
        (socket, address)
    });
    let mut held = Vec::new();
    let error = loop {
        match network.enter(|| TcpStream::connect_timeout(&address, Duration::from_millis(300))) {
            Ok(stream) => held.push(stream),
            Err(error) => break error,
        }
        assert!(held.len() < 100, "the queue never fills");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(listener);
}

#[test]
fn datagrams_keep_their_borders_and_their_senders() {
    for (host, multicast) in [("127.0.0.1", false), ("::1", false), ("127.0.0.1", true)] {
        network().enter(|| {
            let one = UdpSocket::bind((host, 0)).expect("bound");
            let other = UdpSocket::bind((host, 0)).expect("bound");
            let (from, to) = (
                one.local_addr().expect("bound"),
                other.local_addr().expect("bound"),
            );
            for len in [0, 1, 1400, 60_000] {
                let sent = noise(7, len);
                assert_eq!(one.send_to(&sent, to).expect("sent"), len);
                assert_eq!(other.peek_len().expect("peeked"), len);
                let mut room = vec![0; 65_536];
                assert_eq!(other.recv_from(&mut room).expect("received"), (len, from));
                assert_eq!(room[..len], sent);
            }
            one.connect(to).expect("connected");
            one.send(b"x").expect("sent");
            assert_eq!(other.peek_from(&mut [0; 4]).expect("peeked"), (1, from));
            if multicast {
                let group = Ipv4Addr::new(224, 0, 0, 99);
                let all = UdpSocket::bind("0.0.0.0:0").expect("bound");
                all.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
                    .expect("joined");
                let port = all.local_addr().expect("bound").port();
                let sender = UdpSocket::bind(ANY_PORT).expect("bound");
                sender.set_multicast_ttl_v4(1).expect("set");
                // The interface that the sender's own address is of.
                sender
                    .socket()
                    .set_option(0, 32, &Ipv4Addr::LOCALHOST.octets())
                    .expect("set");
                sender.send_to(b"to all", (group, port)).expect("sent");
                assert_eq!(all.recv_from(&mut [0; 16]).expect("received").0, 6);
            }
        });
    }
}

#[test]
fn a_socket_of_ipv6_takes_ipv4_unless_it_is_told_not_to() {
    network().enter(|| {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        for only_v6 in [false, true] {
            let socket = Socket::new(Family::IPV6, Type::STREAM, Protocol::TCP).expect("a socket");
            socket.set_only_v6(only_v6).expect("set");
            assert_eq!(socket.only_v6().expect("asked"), only_v6);
            socket.bind(&address.into()).expect("bound");
            socket.listen(1).expect("listens");
            let listener = TcpListener::from_socket(socket);
            let port = listener.local_addr().expect("bound").port();
            let v4 = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
            assert_eq!(v4.is_err(), only_v6);
            TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("connected");
        }
    });
}

#[test]
fn options_say_what_was_set() {
    let (client, _server) = connected(&network());
    client.set_nodelay(true).expect("set");
    assert!(client.nodelay().expect("asked"));
    client.set_ttl(77).expect("set");
    assert_eq!(client.ttl().expect("asked"), 77);
    assert!(client.take_error().expect("asked").is_none());
    assert_eq!(client.socket().congestion().expect("asked"), "cubic");
    client.set_congestion("bbr").expect("set");
    assert_eq!(client.socket().congestion().expect("asked"), "bbr");
    let none = client.set_congestion("none").expect_err("no such algorithm");
    assert_eq!(
        none.to_string(),
        "congestion control none: no such file or directory"
    );
    client.socket().bind_device(Some("lo")).expect("set");
    assert_eq!(client.socket().device().expect("asked").as_deref(), Some("lo"));
    let none = client.socket().bind_device(Some("eth7")).expect_err("none");
    assert_eq!(none.to_string(), "eth7: no such device");
    assert_eq!(client.socket().kind().expect("asked"), Type::STREAM);
    assert_eq!(client.socket().protocol().expect("asked"), Protocol::TCP);
    let info = client.info().expect("asked");
    assert_eq!(info.state, lkl_net::TcpInfo::ESTABLISHED);
    assert!(info.send_mss > 1000 && info.send_cwnd > 0, "{info:?}");
    assert_eq!(info.bytes_received, 0);
}

#[test]
fn unix_sockets_connect_by_path_by_name_and_in_pairs() {
    network().enter(|| {
        let path = "/socket-of-a-test";
        let by_name = lkl_net::UnixAddress::Abstract(b"a name".to_vec());
        let at_path = lkl_net::UnixAddress::Path(path.into());
        for address in [at_path, by_name] {
            let listener = UnixListener::bind_addr(&address).expect("bound");
            let again = UnixListener::bind_addr(&address).expect_err("taken");
            assert_eq!(again.kind(), ErrorKind::AddrInUse);
            let mut client = UnixStream::connect_addr(&address).expect("connected");
            let (mut server, _) = listener.accept().expect("accepted");
            client.write_all(b"hello").expect("written");
            server.read_exact(&mut [0; 5]).expect("read");
        }
        let (mut one, mut other) = UnixStream::pair().expect("a pair");
        one.write_all(b"z").expect("written");
        other.read_exact(&mut [0; 1]).expect("read");
        let none = UnixStream::connect("/not/there").expect_err("none");
        assert_eq!(none.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_raw_socket_of_icmp_gets_an_answer_to_its_ping() {
    network().enter(|| {
        let socket = Socket::new(Family::IPV4, Type::RAW, Protocol::ICMP).expect("a socket");
        let to = Address::from(SocketAddr::from(ANY_PORT));
        let mut request = [8, 0, 0, 0, 0x12, 0x34, 0, 1, b'p', b'i', b'n', b'g'];
        let sum = request
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
            .sum::<u32>();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("small");
        request[2..4].copy_from_slice(&sum.to_be_bytes());
        socket.send_to(&request, &to).expect("sent");
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("set");
        let answer = loop {
            let mut packet = [0; 128];
            let (len, _) = socket.recv_from(&mut packet).expect("an answer");
            // Behind the header of IPv4; the request itself comes by as well.
            if packet[20] == 0 {
                break packet[20..len].to_vec();
            }
        };
        assert_eq!(answer[4..], request[4..]);
    });
}

#[test]
fn a_packet_socket_sees_the_frames_of_its_interface() {
    let network = network();
    let (packets, socket) = network.enter(|| {
        let all = Protocol::ethernet(3);
        let packets = Socket::new(Family::PACKET, Type::RAW, all).expect("a socket");
        (packets, UdpSocket::bind(ANY_PORT).expect("bound"))
    });
    socket
        .send_to(b"look at this", (Ipv4Addr::LOCALHOST, 9))
        .expect("sent");
    packets
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    let mut frame = [0; 256];
    let (len, from) = packets.recv_from(&mut frame).expect("a frame");
    let Address::Packet(from) = from else {
        panic!("a packet's address: {from:?}");
    };
    assert_eq!((from.interface, from.protocol), (1, 0x0800));
    assert!(frame[..len].ends_with(b"look at this"));
}

#[test]
fn a_packet_has_the_time_at_which_linux_saw_it() {
    let (packets, socket, receiver) = network().enter(|| {
        let packets = Socket::new(Family::PACKET, Type::RAW, Protocol::ethernet(3)).expect("a socket");
        let bound = || UdpSocket::bind(ANY_PORT).expect("bound");
        (packets, bound(), bound())
    });
    packets
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    // The port has a listener, so that no error comes back, which would be a packet, too.
    let to = receiver.local_addr().expect("bound");
    let mut frame = [0; 256];
    let mut one = || {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let before = now();
        socket.send_to(b"look at this", to).expect("sent");
        // It waits, and is none the later for that.
        thread::sleep(Duration::from_millis(20));
        let after = now();
        // Over the loopback each is seen twice: as it leaves, and as it comes.
        loop {
            let (len, from, when) = packets.recv_stamped(&mut frame, 0).expect("a frame");
            let Address::Packet(from) = from else {
                panic!("a packet's address: {from:?}");
            };
            assert_eq!(from.interface, 1);
            assert!(frame[..len].ends_with(b"look at this"));
            if from.packet_type == 0 {
                break (before, when, after);
            }
        }
    };
    let (_, when, _) = one();
    assert_eq!(when, None, "the caller has not asked for it");
    packets.set_stamps(true).expect("set");
    let mut stamped = None;
    for _ in 0..20 {
        let (before, when, after) = one();
        let when = when.expect("asked for");
        // This machine's clock and Linux's, which began as that, may drift apart a little.
        let slack = Duration::from_secs(5);
        assert!(
            when + slack > before && when < after + slack,
            "{before:?} {when:?} {after:?}"
        );
        assert!(stamped < Some(when), "later ones are later");
        stamped = Some(when);
    }
}

#[test]
fn sctp_keeps_messages_apart_and_mptcp_is_a_protocol_of_its_own() {
    network().enter(|| {
        let address = SocketAddr::from(ANY_PORT);
        for (protocol, text) in [(Protocol::SCTP, "SCTP"), (Protocol::MPTCP, "MPTCP")] {
            let listener = Socket::new(Family::IPV4, Type::STREAM, protocol).expect(text);
            listener.bind(&address.into()).expect("bound");
            listener.listen(8).expect("listens");
            let mut client = Socket::new(Family::IPV4, Type::STREAM, protocol).expect(text);
            client
                .connect(&listener.local_addr().expect("bound"))
                .expect("connected");
            let (server, _) = listener.accept().expect("accepted");
            assert_eq!(server.protocol().expect("asked"), protocol);
            client.write_all(b"first").expect("written");
            client.write_all(b"second").expect("written");
            let mut room = [0; 64];
            let first = server.recv(&mut room).expect("received");
            if protocol == Protocol::SCTP {
                assert_eq!(&room[..first], b"first");
                assert_eq!(server.recv(&mut room).expect("received"), 6);
            } else {
                assert_eq!(client.mptcp_subflows().expect("asked"), Some(0));
            }
        }
    });
}

#[test]
fn epoll_tells_what_is_ready_and_is_woken_from_another_thread() -> io::Result<()> {
    let network = network();
    let (client, mut server) = connected(&network);
    let epoll = Epoll::new(&network)?;
    epoll.add(client.socket(), 42, Events::READ)?;
    let mut found = Vec::new();
    epoll.wait(&mut found, Some(Duration::from_millis(20)))?;
    assert!(found.is_empty());
    server.write_all(b"!")?;
    epoll.wait(&mut found, None)?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].token, 42);
    assert!(found[0].events.any(Events::READ));
    epoll.modify(client.socket(), 43, Events::WRITE)?;
    epoll.wait(&mut found, None)?;
    assert_eq!((found[0].token, found[0].events), (43, Events::WRITE));
    epoll.remove(client.socket())?;
    let waker = epoll.waker();
    let waiting = thread::spawn(move || {
        let mut found = Vec::new();
        epoll.wait(&mut found, None).map(|()| found)
    });
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    waker.wake();
    assert_eq!(waiting.join().expect("no panic")?, []);
    Ok(())
}

#[test]
fn name_spaces_have_ports_and_settings_of_their_own() {
    let (one, other) = (network(), network());
    let first = one.enter(|| TcpListener::bind(ANY_PORT).expect("bound"));
    let address = first.local_addr().expect("bound");
    let second = other.enter(|| TcpListener::bind(address).expect("not taken here"));
    drop(second);
    let refused = other.enter(|| TcpStream::connect(address)).expect_err("not here");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    one.set_sysctl("net.ipv4.ip_forward", "1").expect("set");
    assert_eq!(one.sysctl("net.ipv4.ip_forward").expect("asked"), "1");
    assert_eq!(other.sysctl("net/ipv4/ip_forward").expect("asked"), "0");
    let none = one.sysctl("net.ipv4.no_such").expect_err("none");
    assert!(none.to_string().contains("no_such"), "{none}");
    let wrong = one
        .set_sysctl("net.ipv4.ip_forward", "many")
        .expect_err("no number");
    assert_eq!(wrong.to_string(), "net.ipv4.ip_forward = many: invalid argument");
    let down = Namespace::new(kernel()).expect("a name space");
    assert!(down.enter(|| TcpStream::connect(address)).is_err());
}
