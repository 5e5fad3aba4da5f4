//! Messages as programs send them.

use super::Attribute::{self, Bytes, Nested};
use super::{FILTER, GENERIC, Message, NESTED, ROUTE, SOCKETS};
use crate::rng::Rng;

/// The subsystem of nf_tables.
pub const NF_TABLES: u16 = 10;
const CONNTRACK: u16 = 1;

const CREATE: u16 = 0x400;
const EXCLUSIVE: u16 = 0x200;
const DUMP: u16 = 0x300;
const ACK: u16 = 4;

fn message(protocol: u8, kind: u16, flags: u16, head: &[u8], list: &[Attribute]) -> Message {
    Message {
        protocol,
        kind,
        flags,
        body: [head.to_vec(), Attribute::write(list)].concat(),
    }
}

fn text(kind: u16, value: &str) -> Attribute {
    Bytes(kind, [value.as_bytes(), &[0]].concat())
}

fn word(kind: u16, value: u32) -> Attribute {
    Bytes(kind, value.to_le_bytes().to_vec())
}

/// As nf_tables has numbers.
fn big(kind: u16, value: u32) -> Attribute {
    Bytes(kind, value.to_be_bytes().to_vec())
}

fn nest(kind: u16, list: Vec<Attribute>) -> Attribute {
    Nested(kind | NESTED, list)
}

/// Names that interfaces have.
const INTERFACES: [&str; 7] = ["lo", "d0", "v0", "v1", "br0", "vlan0", "vx0"];

fn interface(rng: &mut Rng) -> String {
    rng.choice(&INTERFACES).to_owned()
}

fn index(rng: &mut Rng) -> u32 {
    1 + rng.below(6) as u32
}

/// A message.
pub fn template(rng: &mut Rng) -> Message {
    match rng.below(12) {
        0..=2 => link(rng),
        3 => address(rng),
        4 => route(rng),
        5 => neighbour_or_rule(rng),
        6 => queue(rng),
        7..=9 => filter(rng),
        10 => sockets(rng),
        _ => generic(rng),
    }
}

fn link(rng: &mut Rng) -> Message {
    let info = |kind: &str, data: Vec<Attribute>| nest(18, vec![text(1, kind), nest(2, data)]);
    let mut head = [0; 16];
    let new = |list: Vec<Attribute>| message(ROUTE, 16, CREATE | EXCLUSIVE | ACK, &[0; 16], &list);
    match rng.below(11) {
        0 => new(vec![text(3, "d0"), nest(18, vec![text(1, "dummy")])]),
        1 => {
            let peer = [vec![0; 16], Attribute::write(&[text(3, "v1")])].concat();
            new(vec![text(3, "v0"), info("veth", vec![Bytes(1, peer)])])
        }
        2 => new(vec![
            text(3, "br0"),
            info("bridge", vec![word(1, 100), word(5, 1), Bytes(7, vec![1])]),
        ]),
        3 => {
            let data = vec![
                Bytes(1, vec![5, 0]),
                Bytes(2, vec![1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
            ];
            new(vec![word(5, index(rng)), text(3, "vlan0"), info("vlan", data)])
        }
        4 => {
            let data = vec![
                word(1, 42),
                Bytes(2, vec![239, 1, 1, 1]),
                word(3, 1),
                Bytes(15, vec![0x12, 0xb5]),
            ];
            new(vec![text(3, "vx0"), info("vxlan", data)])
        }
        5 | 6 => {
            // Up.
            head[4..8].copy_from_slice(&index(rng).to_le_bytes());
            head[8..16].fill(1);
            message(ROUTE, 16, ACK, &head, &[])
        }
        7 => {
            head[4..8].copy_from_slice(&index(rng).to_le_bytes());
            let list = [
                word(10, index(rng)),
                word(4, 1400),
                Bytes(1, vec![2, 0, 0, 0, 0, 9]),
            ];
            message(ROUTE, 16, ACK, &head, &list)
        }
        8 => message(ROUTE, 17, ACK, &head, &[text(3, &interface(rng))]),
        9 => message(ROUTE, 18, DUMP, &head, &[word(29, 1)]),
        _ => {
            // A port of a bridge: its own settings, and VLANs.
            head[0] = 7;
            head[4..8].copy_from_slice(&index(rng).to_le_bytes());
            let flags = vec![Bytes(0, vec![0, 0]), Bytes(2, vec![2, 0, 7, 0])];
            let port = nest(12, vec![Bytes(1, vec![3]), Bytes(2, vec![1, 0])]);
            message(ROUTE, 19, ACK, &head, &[port, nest(26, flags)])
        }
    }
}

fn address(rng: &mut Rng) -> Message {
    let kind = rng.choice(&[20, 20, 20, 21, 22]);
    let flags = if kind == 22 { DUMP } else { CREATE | ACK };
    let index = index(rng).to_le_bytes();
    match rng.once_in(3) {
        false => {
            let ours = vec![10, 0, rng.below(3) as u8, 1];
            let head = [&[2, 24, 0, 0][..], &index].concat();
            message(
                ROUTE,
                kind,
                flags,
                &head,
                &[Bytes(1, ours.clone()), Bytes(2, ours), text(3, "lo")],
            )
        }
        true => {
            let mut ours = vec![0; 16];
            (ours[0], ours[15]) = (0xfd, 1);
            let head = [&[10, 64, 2, 0][..], &index].concat();
            message(
                ROUTE,
                kind,
                flags,
                &head,
                &[Bytes(1, ours), word(8, 2), word(9, 7)],
            )
        }
    }
}

fn route(rng: &mut Rng) -> Message {
    let kind = rng.choice(&[24, 24, 24, 24, 25, 26]);
    let flags = if kind == 26 {
        rng.choice(&[DUMP, 0])
    } else {
        CREATE | ACK
    };
    let head = [2, 24, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
    let to = Bytes(1, vec![10, 1, rng.below(4) as u8, 0]);
    let out = word(4, index(rng));
    match rng.below(5) {
        0 | 1 => message(
            ROUTE,
            kind,
            flags,
            &head,
            &[to, out, nest(8, vec![word(2, 1400)]), word(6, 5)],
        ),
        2 => {
            let hop = [vec![8, 0, 0, 0], index(rng).to_le_bytes().to_vec()].concat();
            message(
                ROUTE,
                kind,
                flags,
                &head,
                &[to, Bytes(9, [hop.clone(), hop].concat())],
            )
        }
        3 => {
            let mut to = vec![0; 16];
            to[0] = 0xfd;
            let head = [10, 64, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
            message(
                ROUTE,
                kind,
                flags,
                &head,
                &[Bytes(1, to), out, nest(8, vec![word(2, 1400)]), word(6, 5)],
            )
        }
        _ => message(
            ROUTE,
            kind,
            flags,
            &[2, 24, 0, 0, 254, 4, 0, 6, 0, 0, 0, 0],
            &[to],
        ),
    }
}

fn neighbour_or_rule(rng: &mut Rng) -> Message {
    let index = index(rng).to_le_bytes();
    match rng.below(4) {
        0 => {
            let head = [&[2, 0, 0, 0][..], &index, &[0x80, 0, 0, 0]].concat();
            let list = [Bytes(1, vec![10, 0, 0, 9]), Bytes(2, vec![2, 0, 0, 0, 0, 9])];
            message(ROUTE, rng.choice(&[28, 28, 29]), CREATE | ACK, &head, &list)
        }
        1 => {
            // In a bridge's table.
            let head = [&[7, 0, 0, 0][..], &index, &[0x40, 0, 4, 0]].concat();
            message(
                ROUTE,
                28,
                CREATE | ACK,
                &head,
                &[Bytes(2, vec![2, 0, 0, 0, 0, 9]), Bytes(5, vec![1, 0])],
            )
        }
        2 => message(ROUTE, 30, DUMP, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[]),
        _ => {
            let head = [2, 0, 24, 0, 100, 0, 0, 1, 0, 0, 0, 0];
            let list = [
                Bytes(2, vec![10, 0, 0, 0]),
                word(6, 1000),
                text(3, "lo"),
                word(10, 7),
            ];
            message(ROUTE, rng.choice(&[32, 32, 33, 34]), CREATE | ACK, &head, &list)
        }
    }
}

fn queue(rng: &mut Rng) -> Message {
    let mut head = [0; 20];
    head[4..8].copy_from_slice(&index(rng).to_le_bytes());
    head[8..12].copy_from_slice(&0x1_0000u32.to_le_bytes());
    head[12..16].fill(0xff);
    match rng.below(6) {
        0 => message(
            ROUTE,
            36,
            CREATE | ACK,
            &head,
            &[
                text(1, "prio"),
                Bytes(2, [vec![3, 0, 0, 0], vec![1; 16]].concat()),
            ],
        ),
        1 => {
            let init = [3u32, 0, 1, 0, 0].map(u32::to_le_bytes).concat();
            message(
                ROUTE,
                36,
                CREATE | ACK,
                &head,
                &[text(1, "htb"), nest(2, vec![Bytes(2, init)])],
            )
        }
        2 => {
            head[8..12].copy_from_slice(&0x1_0001u32.to_le_bytes());
            head[12..16].copy_from_slice(&0x1_0000u32.to_le_bytes());
            let rate = [8, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0];
            let parameters = [
                &rate[..],
                &rate,
                &[0, 16, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ]
            .concat();
            let list = [text(1, "htb"), nest(2, vec![Bytes(1, parameters)])];
            message(ROUTE, 40, CREATE | ACK, &head, &list)
        }
        3 => message(
            ROUTE,
            36,
            CREATE | ACK,
            &head,
            &[text(1, "sfq"), Bytes(2, vec![0; 20])],
        ),
        4 => {
            head[12..16].copy_from_slice(&0x1_0000u32.to_le_bytes());
            head[16..20].copy_from_slice(&[0, 8, 1, 0]);
            let key = [0, 0, 0, 0xff, 0, 0, 0, 6, 8, 0, 0, 0, 0, 0, 0, 0];
            let selector = [&[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &key].concat();
            let list = [
                text(1, "u32"),
                nest(2, vec![word(1, 0x1_0001), Bytes(5, selector)]),
            ];
            message(ROUTE, 44, CREATE | ACK, &head, &list)
        }
        _ => message(
            ROUTE,
            rng.choice(&[37, 38, 41, 42, 45, 46]),
            rng.choice(&[ACK, DUMP]),
            &head,
            &[],
        ),
    }
}

/// What an expression is called, and what it is made of.
fn expression(name: &str, data: Vec<Attribute>) -> Attribute {
    nest(1, vec![text(1, name), nest(2, data)])
}

/// A register that holds data: four of 16 bytes, or the same as sixteen of 4 bytes, the most often used ones most often.
fn register(rng: &mut Rng) -> u32 {
    match rng.below(3) {
        0 => 1,
        1 => 1 + rng.below(4) as u32,
        _ => 8 + rng.below(16) as u32,
    }
}

fn expressions(rng: &mut Rng) -> Vec<Attribute> {
    let register = register(rng);
    let value = |bytes: &[u8]| nest(3, vec![Bytes(1, bytes.to_vec())]);
    let mut list = vec![match rng.below(4) {
        0 => expression(
            "meta",
            vec![big(1, register), big(2, rng.choice(&[0, 1, 4, 15, 16]))],
        ),
        1 => expression("ct", vec![big(1, register), big(2, rng.choice(&[0, 1, 3]))]),
        2 => expression("numgen", vec![big(1, register), big(2, 10), big(3, 0), big(4, 0)]),
        _ => expression(
            "payload",
            vec![big(1, register), big(2, 1), big(3, 12), big(4, 4)],
        ),
    }];
    list.push(match rng.below(5) {
        0 => expression(
            "bitwise",
            vec![
                big(1, register),
                big(2, register),
                big(3, 4),
                nest(4, vec![Bytes(1, vec![255, 255, 0, 0])]),
                nest(5, vec![Bytes(1, vec![0; 4])]),
            ],
        ),
        1 => expression("lookup", vec![text(1, "s"), big(2, register), big(4, 1)]),
        2 => expression(
            "hash",
            vec![
                big(1, register),
                big(2, register),
                big(3, 4),
                big(4, 8),
                big(5, 7),
            ],
        ),
        _ => expression("cmp", vec![big(1, register), big(2, 0), value(&[10, 0, 0, 1])]),
    });
    list.push(match rng.below(6) {
        0 => expression("counter", vec![]),
        1 => expression(
            "limit",
            vec![
                Bytes(1, 5u64.to_be_bytes().to_vec()),
                Bytes(2, 1u64.to_be_bytes().to_vec()),
            ],
        ),
        2 => expression("log", vec![text(2, "said: ")]),
        3 => expression("reject", vec![big(1, 0), Bytes(2, vec![3])]),
        4 => expression("quota", vec![Bytes(1, 1000u64.to_be_bytes().to_vec())]),
        _ => expression(
            "immediate",
            vec![big(1, 0), nest(2, vec![nest(2, vec![big(1, 1)])])],
        ),
    });
    list
}

fn filter(rng: &mut Rng) -> Message {
    let family = rng.choice(&[2, 2, 2, 1, 10, 5]);
    let head = [family, 0, 0, 0];
    let of = |kind: u16| NF_TABLES << 8 | kind;
    let new = |kind: u16, list: &[Attribute]| message(FILTER, of(kind), CREATE | ACK, &head, list);
    match rng.below(14) {
        0 | 1 => new(0, &[text(1, "t"), big(2, 0)]),
        2 | 3 => {
            let hook = nest(4, vec![big(1, rng.choice(&[1, 1, 0, 3])), big(2, 0)]);
            new(
                3,
                &[text(1, "t"), text(3, "c"), hook, big(5, 1), text(7, "filter")],
            )
        }
        4 => new(3, &[text(1, "t"), text(3, "other")]),
        5..=7 => new(6, &[text(1, "t"), text(2, "c"), nest(4, expressions(rng))]),
        8 => {
            let list = [
                text(1, "t"),
                text(2, "s"),
                big(3, rng.choice(&[0, 4, 8])),
                big(4, 7),
                big(5, 4),
                big(10, 1),
            ];
            new(9, &list)
        }
        9 => {
            let element = |value: u8| nest(1, vec![nest(1, vec![Bytes(1, vec![10, 0, 0, value])])]);
            new(
                12,
                &[text(1, "t"), text(2, "s"), nest(3, vec![element(1), element(2)])],
            )
        }
        10 => new(
            18,
            &[
                text(1, "t"),
                text(2, "o"),
                big(3, rng.choice(&[1, 2])),
                nest(4, vec![]),
            ],
        ),
        11 => message(
            FILTER,
            of(rng.choice(&[2, 5, 8, 11, 14, 20])),
            ACK,
            &head,
            &[text(1, "t"), text(2, "c")],
        ),
        12 => message(
            FILTER,
            of(rng.choice(&[1, 4, 7, 10, 13, 16])),
            DUMP,
            &head,
            &[text(1, "t"), text(2, "s")],
        ),
        _ => {
            let ends = nest(1, vec![Bytes(1, vec![10, 0, 0, 1]), Bytes(2, vec![10, 0, 0, 2])]);
            let ports = nest(
                2,
                vec![Bytes(1, vec![17]), Bytes(2, vec![0, 9]), Bytes(3, vec![0, 53])],
            );
            let ends = vec![ends, ports];
            let list = [nest(1, ends.clone()), nest(2, ends), big(7, 60), big(3, 8)];
            message(FILTER, CONNTRACK << 8, CREATE | ACK, &head, &list)
        }
    }
}

fn sockets(rng: &mut Rng) -> Message {
    let mut head = vec![0; 56];
    (head[0], head[1], head[2]) = (rng.choice(&[2, 10]), rng.choice(&[6, 17, 132]), 0xff);
    head[4..8].fill(0xff);
    // A program that is run over each socket: to its end.
    let code = Bytes(1, vec![0, 4, 8, 0, 0, 4, 4, 0]);
    message(SOCKETS, 20, DUMP, &head, &[code])
}

fn generic(rng: &mut Rng) -> Message {
    // The one that knows the others is number 16.
    match rng.below(3) {
        0 => message(
            GENERIC,
            16,
            0,
            &[3, 1, 0, 0],
            &[text(2, rng.choice(&["nlctrl", "tcp_metrics", "ethtool"]))],
        ),
        1 => message(
            GENERIC,
            16,
            DUMP,
            &[rng.choice(&[3, 10]), 1, 0, 0],
            &[Bytes(1, vec![16, 0])],
        ),
        _ => {
            let family = rng.choice(&[17, 18, 19, 20, 21, 22]);
            let header = nest(1, vec![text(2, &interface(rng)), word(1, index(rng))]);
            message(
                GENERIC,
                family,
                rng.choice(&[ACK, DUMP]),
                &[1 + rng.below(30) as u8, 1, 0, 0],
                &[header],
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_use_each_register_that_there_is() {
        let mut rng = Rng::new(1);
        let used: std::collections::BTreeSet<u32> = (0..2000).map(|_| register(&mut rng)).collect();
        assert!(used.iter().copied().eq((1..=4).chain(8..=23)), "{used:?}");
    }
}
