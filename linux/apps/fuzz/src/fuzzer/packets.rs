//! Runs an input of the target *packets*, in a network of its own: an interface that frames are written to, and sockets.

use crate::door::{At, Door, Number};
use lkl::{Errno, Kernel};
use lkl_fuzz::packets::{Event, FOLLOW, MEND, Segment, follow, mend, segment};
use lkl_fuzz::records::Records;

const READ: i64 = 0;
const WRITE: i64 = 1;
const OPEN: i64 = 2;
const IOCTL: i64 = 16;
const SOCKET: i64 = 41;
const CONNECT: i64 = 42;
const SENDTO: i64 = 44;
const RECVFROM: i64 = 45;
const SHUTDOWN: i64 = 48;
const BIND: i64 = 49;
const LISTEN: i64 = 50;
const SETSOCKOPT: i64 = 54;
const GETSOCKOPT: i64 = 55;
const UNSHARE: i64 = 272;
const ACCEPT4: i64 = 288;

/// `CLONE_NEWNET`
pub const NEW_NETWORK: i64 = 0x4000_0000;
const NONBLOCK: i64 = 0o4000;
const DONT_WAIT: i64 = 0x40;
const INET: i64 = 2;
const INET6: i64 = 10;
const PACKET: i64 = 17;
const STREAM: i64 = 1;
const DATAGRAM: i64 = 2;
const RAW: i64 = 3;
const SEQUENCED: i64 = 5;
const SCTP: i64 = 132;
/// `TUNSETIFF`, for an Ethernet without more before its frames.
const SET_TUN: i64 = 0x4004_54ca;
const TAP_PLAIN: u16 = 2 | 0x1000;

/// The interface's name.
const NAME: &[u8] = b"t0";
/// Milliseconds until an IPv6 address is ours.
const SETTLED: u64 = 2500;
/// Frames of Linux's that are looked at after each event.
const ANSWERS: usize = 8;
/// Connections at a time.
const CONNECTIONS: usize = 4;
/// Options of sockets: level, name, value.
const OPTIONS: [(i64, i64, u32); 10] = [
    (6, 1, 1),
    (6, 2, 200),
    (6, 3, 1),
    (6, 13, 0),
    (6, 9, 3),
    (1, 8, 2000),
    (1, 7, 2000),
    (1, 9, 1),
    (41, 49, 1),
    (0, 11, 1),
];

/// A network, its interface and its sockets.
struct Network {
    door: Door,
    tap: i64,
    listener: i64,
    associations: i64,
    /// What receives without a connection.
    receivers: Vec<i64>,
    connections: Vec<i64>,
    /// The last segments that Linux has sent.
    sent: Vec<Segment>,
}

/// Does what an input says.
pub fn run(kernel: &Kernel, input: &[u8]) {
    let Ok(mut network) = Network::new(kernel) else {
        return;
    };
    for record in &Records::parse(input).0 {
        match Event::parse(record) {
            Event::Frame(switches, frame) => network.frame(switches, frame),
            Event::Time(time) => network.door.sleep(time.into()),
            Event::Socket(what, number) => network.socket(what, number),
        }
        network.answers();
    }
    network.door.close_all();
}

fn ip4(last: u8, port: u16) -> Vec<u8> {
    let mut address = vec![2, 0];
    address.extend(port.to_be_bytes());
    address.extend([10, 0, 0, last]);
    address.resize(16, 0);
    address
}

fn ip6(port: u16) -> Vec<u8> {
    let mut address = vec![10, 0];
    address.extend(port.to_be_bytes());
    address.resize(28, 0);
    address
}

impl Network {
    fn new(kernel: &Kernel) -> Result<Network, Errno> {
        let mut door = Door::new(kernel)?;
        door.call(UNSHARE, &[Number(NEW_NETWORK)])?;
        let path = door.put(0, b"/dev/net/tun");
        let tap = door.open(OPEN, &[path, Number(2 | NONBLOCK), Number(0)])?;
        let mut network = Network {
            door,
            tap,
            listener: -1,
            associations: -1,
            receivers: Vec::new(),
            connections: Vec::new(),
            sent: Vec::new(),
        };
        network.interface()?;
        network.sockets()?;
        Ok(network)
    }

    /// A request for an interface of that name.
    fn request(&mut self, socket: i64, request: i64, name: &[u8], data: &[u8]) -> Result<u64, Errno> {
        let mut bytes = name.to_vec();
        bytes.resize(16, 0);
        bytes.extend_from_slice(data);
        bytes.resize(64, 0);
        let place = self.door.put(0, &bytes);
        self.door.call(IOCTL, &[Number(socket), Number(request), place])
    }

    fn interface(&mut self) -> Result<(), Errno> {
        self.request(self.tap, SET_TUN, NAME, &TAP_PLAIN.to_le_bytes())?;
        let four = self
            .door
            .open(SOCKET, &[Number(INET), Number(DATAGRAM), Number(0)])?;
        let six = self
            .door
            .open(SOCKET, &[Number(INET6), Number(DATAGRAM), Number(0)])?;
        let hardware = |last: u8| [1, 0, 2, 0, 0, 0, 0, last];
        self.request(four, 0x8924, NAME, &hardware(1))?;
        self.request(four, 0x8914, b"lo", &[1, 0])?;
        self.request(four, 0x8916, NAME, &ip4(1, 0))?;
        self.request(four, 0x891c, NAME, &[2, 0, 0, 0, 255, 255, 255, 0])?;
        self.request(four, 0x8914, NAME, &[0x41, 0x01])?;
        self.request(four, 0x8933, NAME, &[])?;
        let index = self.door.place(0)[16..20].to_vec();
        let mut address = vec![0; 16];
        (address[0], address[15]) = (0xfd, 1);
        let address = [address, vec![64, 0, 0, 0], index].concat();
        let place = self.door.put(0, &address);
        self.door.call(IOCTL, &[Number(six), Number(0x8916), place])?;
        // The other end, for ever.
        let mut entry = ip4(2, 0);
        entry.extend(hardware(2));
        entry.resize(32, 0);
        entry.extend(6u32.to_le_bytes());
        entry.resize(52, 0);
        entry.extend_from_slice(NAME);
        entry.resize(80, 0);
        let place = self.door.put(0, &entry);
        self.door.call(IOCTL, &[Number(four), Number(0x8955), place])?;
        self.door.sleep(SETTLED);
        Ok(())
    }

    fn open(&mut self, family: i64, kind: i64, protocol: i64) -> Result<i64, Errno> {
        let arguments = [Number(family), Number(kind | NONBLOCK), Number(protocol)];
        self.door.open(SOCKET, &arguments)
    }

    fn bound(&mut self, family: i64, kind: i64, protocol: i64, address: &[u8]) -> Result<i64, Errno> {
        let socket = self.open(family, kind, protocol)?;
        let place = self.door.put(0, address);
        self.door
            .call(BIND, &[Number(socket), place, Number(address.len() as i64)])?;
        Ok(socket)
    }

    fn sockets(&mut self) -> Result<(), Errno> {
        self.listener = self.bound(INET6, STREAM, 0, &ip6(80))?;
        // Of a kernel that has them.
        self.associations = self.bound(INET6, SEQUENCED, SCTP, &ip6(80)).unwrap_or(-1);
        for socket in [self.listener, self.associations] {
            let _ = self.door.call(LISTEN, &[Number(socket), Number(4)]);
        }
        let group = self.bound(INET, DATAGRAM, 0, &ip4(1, 7))?;
        // Joins 239.1.1.1, and 239.1.1.2 for what one sender sends.
        let own = [10, 0, 0, 1];
        for (option, joined) in [
            (35, [&[239, 1, 1, 1][..], &own].concat()),
            (39, [&[239, 1, 1, 2][..], &own, &[10, 0, 0, 2]].concat()),
        ] {
            let place = self.door.put(0, &joined);
            let length = Number(joined.len() as i64);
            let _ = self.door.call(
                SETSOCKOPT,
                &[Number(group), Number(0), Number(option), place, length],
            );
        }
        // Those of all frames have their number in the network's order.
        self.receivers = vec![
            group,
            self.bound(INET6, DATAGRAM, 0, &ip6(53))?,
            self.open(INET, RAW, 1)?,
            self.open(INET6, RAW, 58)?,
            self.open(PACKET, RAW, 0x0300)?,
            self.associations,
        ];
        Ok(())
    }

    fn frame(&mut self, switches: u8, mut frame: Vec<u8>) {
        if switches & FOLLOW != 0 {
            follow(&mut frame, &self.sent);
        }
        if switches & MEND != 0 {
            mend(&mut frame);
        }
        frame.truncate(9000);
        let place = self.door.put(0, &frame);
        let _ = self
            .door
            .call(WRITE, &[Number(self.tap), place, Number(frame.len() as i64)]);
    }

    /// Takes what Linux has sent.
    fn answers(&mut self) {
        for _ in 0..ANSWERS {
            let read = self.door.call(READ, &[Number(self.tap), At(1), Number(9000)]);
            let Ok(length @ 1..=9000) = read else { break };
            if let Some(segment) = segment(&self.door.place(1)[..length as usize]) {
                self.sent.push(segment);
            }
        }
    }

    fn receive(&mut self, socket: i64) {
        let _ = self.door.call(
            RECVFROM,
            &[
                Number(socket),
                At(1),
                Number(4096),
                Number(DONT_WAIT),
                Number(0),
                Number(0),
            ],
        );
    }

    fn socket(&mut self, what: u8, number: u8) {
        let count = self.connections.len();
        let chosen = usize::from(number)
            .checked_rem(count)
            .map(|at| self.connections[at]);
        match (what % 10, chosen) {
            (0, _) if count < CONNECTIONS => {
                let arguments = [Number(self.listener), Number(0), Number(0), Number(NONBLOCK)];
                if let Ok(socket) = self.door.open(ACCEPT4, &arguments) {
                    self.connections.push(socket);
                }
            }
            (1, Some(socket)) => self.receive(socket),
            (2, Some(socket)) => {
                let length = i64::from(number) * 64;
                let to = [
                    Number(socket),
                    At(1),
                    Number(length),
                    Number(DONT_WAIT | 0x4000),
                    Number(0),
                    Number(0),
                ];
                let _ = self.door.call(SENDTO, &to);
            }
            (3, Some(socket)) => {
                self.connections.retain(|other| *other != socket);
                self.door.close(socket);
            }
            (4, Some(socket)) => {
                let _ = self
                    .door
                    .call(SHUTDOWN, &[Number(socket), Number(i64::from(number % 3))]);
            }
            (6, _) if count < CONNECTIONS => {
                if let Ok(socket) = self.open(INET, STREAM, 0) {
                    self.connections.push(socket);
                    let place = self.door.put(0, &ip4(2, 5000 + u16::from(number % 3)));
                    let _ = self.door.call(CONNECT, &[Number(socket), place, Number(16)]);
                }
            }
            (7, _) => {
                let place = self.door.put(0, &ip4(2, 4000));
                let from = Number(self.receivers[0]);
                let length = Number(i64::from(number) * 16);
                let _ = self.door.call(
                    SENDTO,
                    &[from, At(1), length, Number(DONT_WAIT), place, Number(16)],
                );
            }
            (8, _) => {
                let (level, name, value) = OPTIONS[usize::from(number) % OPTIONS.len()];
                let place = self.door.put(0, &value.to_le_bytes());
                let socket = Number(chosen.unwrap_or(self.listener));
                let _ = self.door.call(
                    SETSOCKOPT,
                    &[socket, Number(level), Number(name), place, Number(4)],
                );
            }
            (9, _) => {
                let socket = Number(chosen.unwrap_or(self.listener));
                let length = self.door.put(0, &256u32.to_le_bytes());
                // TCP_INFO
                let _ = self
                    .door
                    .call(GETSOCKOPT, &[socket, Number(6), Number(11), At(1), length]);
            }
            _ => {
                for at in 0..self.receivers.len() {
                    self.receive(self.receivers[at]);
                }
            }
        }
    }
}
