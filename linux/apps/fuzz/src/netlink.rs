//! An input of the target *netlink*: messages to Linux's ends of netlink, one a record.
//!
//! A record: the protocol (an index of [`PROTOCOLS`]), the type and the flags (2 bytes each), then what follows a message's head: the
//! family's own structure and attributes. It is changed as a tree of attributes, whose lengths are then right; now and then
//! its bytes are.

use crate::mutate::changed;
use crate::records::Grammar;
use crate::rng::Rng;

mod templates;

/// The numbers of the protocols: routes and interfaces, filters, generic, sockets.
pub const PROTOCOLS: [i64; 4] = [0, 12, 16, 4];
/// The one of interfaces, addresses and routes.
pub const ROUTE: u8 = 0;
/// The one of nf_tables and connection tracking.
pub const FILTER: u8 = 1;
/// The one of families with names.
pub const GENERIC: u8 = 2;
/// The one that looks at sockets.
pub const SOCKETS: u8 = 3;

/// Bytes before the family's structure.
const HEAD: usize = 5;
/// An attribute's type says that there are attributes in it.
const NESTED: u16 = 0x8000;
/// Levels of attributes that are looked at.
const DEPTH: usize = 8;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// An index of [`PROTOCOLS`].
    pub protocol: u8,
    /// Its type.
    pub kind: u16,
    /// Its flags, but for the one that says that it is a request.
    pub flags: u16,
    /// What follows the head.
    pub body: Vec<u8>,
}

impl Message {
    /// From a record; what is cut off is zeros.
    pub fn parse(record: &[u8]) -> Message {
        let byte = |at: usize| record.get(at).copied().unwrap_or(0);
        Message {
            protocol: byte(0) % PROTOCOLS.len() as u8,
            kind: u16::from_le_bytes([byte(1), byte(2)]),
            flags: u16::from_le_bytes([byte(3), byte(4)]),
            body: record.get(HEAD..).unwrap_or(&[]).to_vec(),
        }
    }

    /// As a record.
    pub fn write(&self) -> Vec<u8> {
        let mut record = vec![self.protocol];
        record.extend(self.kind.to_le_bytes());
        record.extend(self.flags.to_le_bytes());
        record.extend_from_slice(&self.body);
        record
    }

    /// Whether nf_tables takes it in a batch alone.
    pub fn in_batch(&self) -> bool {
        self.protocol == FILTER && self.kind >> 8 == templates::NF_TABLES
    }

    /// As it is sent.
    pub fn bytes(&self, number: u32) -> Vec<u8> {
        let length = 16 + self.body.len();
        let mut bytes = u32::try_from(length).unwrap_or(0).to_le_bytes().to_vec();
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend((self.flags | 1).to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend_from_slice(&self.body);
        bytes.resize(length.next_multiple_of(4), 0);
        bytes
    }

    /// Bytes of the family's structure.
    fn structure(&self) -> usize {
        match (self.protocol, self.kind) {
            (ROUTE, 16..=19) => 16,
            (ROUTE, 20..=23) => 8,
            (ROUTE, 24..=35) => 12,
            (ROUTE, 36..=47) => 20,
            (ROUTE, _) => 4,
            (SOCKETS, _) => 56,
            _ => 4,
        }
    }
}

/// What begins a batch of nf_tables, or ends it.
pub fn batch(begins: bool, number: u32) -> Vec<u8> {
    let message = Message {
        protocol: FILTER,
        kind: if begins { 0x10 } else { 0x11 },
        flags: 0,
        body: vec![0, 0, 0, templates::NF_TABLES as u8],
    };
    message.bytes(number)
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attribute {
    Bytes(u16, Vec<u8>),
    Nested(u16, Vec<Attribute>),
}

use Attribute::{Bytes, Nested};

impl Attribute {
    /// All of some bytes, and what is none at their end.
    fn list(mut bytes: &[u8], depth: usize) -> (Vec<Attribute>, Vec<u8>) {
        let mut list = Vec::new();
        while let Some([l0, l1, k0, k1]) = bytes.first_chunk() {
            let (length, kind) = (u16::from_le_bytes([*l0, *l1]), u16::from_le_bytes([*k0, *k1]));
            let Some(value) = bytes.get(4..usize::from(length)) else {
                break;
            };
            list.push(match kind & NESTED != 0 && depth > 0 {
                true => match Attribute::list(value, depth - 1) {
                    (inner, rest) if rest.is_empty() => Nested(kind, inner),
                    _ => Bytes(kind, value.to_vec()),
                },
                false => Bytes(kind, value.to_vec()),
            });
            let end = usize::from(length).next_multiple_of(4).min(bytes.len());
            bytes = &bytes[end..];
        }
        (list, bytes.to_vec())
    }

    fn write(list: &[Attribute]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for attribute in list {
            let (kind, value) = match attribute {
                Bytes(kind, value) => (kind, value.clone()),
                Nested(kind, inner) => (kind, Attribute::write(inner)),
            };
            let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
            bytes.extend(length.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// Changes something in a tree.
    fn change(list: &mut Vec<Attribute>, rng: &mut Rng) {
        let (count, chosen) = (list.len(), rng.below(list.len()));
        if let Some(Nested(_, inner)) = list.get_mut(chosen)
            && !rng.once_in(4)
        {
            return Attribute::change(inner, rng);
        }
        match rng.below(10) {
            0 if count > 0 => drop(list.remove(chosen)),
            1 if count > 0 => list.push(list[chosen].clone()),
            2 if count > 1 => list.swap(chosen, rng.below(count)),
            3 => {
                let value = (0..rng.choice(&[0usize, 1, 2, 4, 4, 8, 16])).map(|_| rng.bits() as u8);
                let value = value.collect();
                list.push(Bytes(1 + rng.below(24) as u16, value));
            }
            4 if count > 0 => match &mut list[chosen] {
                Bytes(kind, _) | Nested(kind, _) => {
                    *kind = *kind & NESTED | (1 + rng.below(24) as u16);
                }
            },
            5 if count > 0 => {
                if let Bytes(_, value) = &mut list[chosen] {
                    let length = rng.choice(&[0usize, 1, 2, 3, 4, 8, 16, 64, 256]);
                    value.resize(length, 0);
                }
            }
            _ if count > 0 => {
                if let Bytes(_, value) = &mut list[chosen]
                    && !value.is_empty()
                {
                    let width = rng.choice(&[1usize, 2, 4, 4, 8]).min(value.len());
                    let at = (rng.below(value.len() / width) * width).min(value.len() - width);
                    let field = changed(&value[at..at + width], rng);
                    value[at..at + width].copy_from_slice(&field);
                }
            }
            _ => list.push(Bytes(1 + rng.below(8) as u16, vec![0; 4])),
        }
    }
}

/// How such inputs become others.
pub struct Messages;

impl Grammar for Messages {
    fn fresh(&self, rng: &mut Rng) -> Vec<u8> {
        templates::template(rng).write()
    }

    fn change(&self, record: &mut Vec<u8>, rng: &mut Rng) {
        let mut message = Message::parse(record);
        let structure = message.structure().min(message.body.len());
        let (mut list, rest) = Attribute::list(&message.body[structure..], DEPTH);
        let mut head = message.body[..structure].to_vec();
        match rng.below(16) {
            0 => message.kind = message.kind.wrapping_add(rng.choice(&[1, 2, 0xffff, 0xfffe])),
            1 => message.flags = rng.choice(&[0, 4, 0x300, 0x400, 0x500, 0x600, 0x800, 0x900]),
            2 | 3 if !head.is_empty() => {
                let at = rng.below(head.len());
                let byte = changed(&head[at..=at], rng);
                head[at] = byte[0];
            }
            4 => {
                // What belongs to another message.
                let other = templates::template(rng);
                let (others, _) = Attribute::list(other.body.get(other.structure()..).unwrap_or(&[]), DEPTH);
                if let Some(one) = others.get(rng.below(others.len())) {
                    list.push(one.clone());
                }
            }
            _ => Attribute::change(&mut list, rng),
        }
        message.body = [head, Attribute::write(&list), rest].concat();
        if rng.once_in(16) && !message.body.is_empty() {
            let at = rng.below(message.body.len());
            message.body[at] = rng.bits() as u8;
        }
        *record = message.write();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_from_their_bytes() {
        let list = vec![
            Bytes(1, b"eth0\0".to_vec()),
            Nested(
                18 | NESTED,
                vec![Bytes(1, b"dummy".to_vec()), Nested(2 | NESTED, vec![])],
            ),
        ];
        let mut bytes = Attribute::write(&list);
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(Attribute::list(&bytes, DEPTH), (list, vec![]));
        // A length that is a lie stays one.
        bytes[0] = 200;
        assert_eq!(Attribute::list(&bytes, DEPTH), (vec![], bytes.clone()));
    }

    #[test]
    fn templates_are_whole_and_stay_so_through_changes() {
        let mut rng = Rng::new(3);
        for _ in 0..500 {
            let message = templates::template(&mut rng);
            assert_eq!(Message::parse(&message.write()), message);
            let (list, rest) = Attribute::list(&message.body[message.structure()..], DEPTH);
            assert!(rest.is_empty(), "{message:?}");
            assert_eq!(Attribute::write(&list), message.body[message.structure()..]);
            let mut record = message.write();
            for _ in 0..20 {
                Messages.change(&mut record, &mut rng);
            }
        }
    }
}
