//! Rules as Linux has them: expressions one after the other, each of which loads something into a register, compares one,
//! or decides.

use super::{Action, ChainKind, Match, PacketRule, data_of, u64_of};
use crate::config::{check_prefix, octets};
use crate::netlink::{Attributes, attribute};
use std::net::IpAddr;

/// The register that matches use, of 16 bytes; and a second one.
const REGISTER: u32 = 1;
const SECOND: u32 = 2;

/// `NFT_PAYLOAD_NETWORK_HEADER`, `NFT_PAYLOAD_TRANSPORT_HEADER`
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// Keys of `meta`.
const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
const NFPROTO: u32 = 15;
const L4PROTO: u32 = 16;

/// Bytes of an interface's name, with the zeros behind it.
const NAME: usize = 16;

const TCP: u8 = 6;
/// TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [TCP, 17, 33, 132, 136];

/// An expression: its name, and its attributes.
pub(super) type Expression = (&'static str, Attributes);

/// Adds an expression to a list.
pub(super) fn add(list: Attributes, (name, data): &Expression) -> Attributes {
    list.nested(1, |element| {
        element.with_text(1, name).nested(2, |_| data.clone())
    })
}

/// What a rule's counter says: bytes, and packets.
pub(super) fn counter(list: &[u8]) -> Option<[u64; 2]> {
    let data = data_of(list, "counter")?;
    Some([u64_of(attribute(data, 1)?)?, u64_of(attribute(data, 2)?)?])
}

fn numbers(values: &[(u16, u32)]) -> Attributes {
    let add = |all: Attributes, (kind, value): &(u16, u32)| all.with(*kind, &value.to_be_bytes());
    values.iter().fold(Attributes::default(), add)
}

fn meta(key: u32) -> Expression {
    ("meta", numbers(&[(1, REGISTER), (2, key)]))
}

fn payload(base: u32, offset: u32, len: u32) -> Expression {
    let data = numbers(&[(1, REGISTER), (2, base), (3, offset), (4, len)]);
    ("payload", data)
}

/// The register is equal to this.
fn equals(value: &[u8]) -> Expression {
    compare(0, value)
}

fn compare(operator: u32, value: &[u8]) -> Expression {
    let data = numbers(&[(1, REGISTER), (2, operator)]);
    ("cmp", data.nested(3, |data| data.with(1, value)))
}

/// The register keeps these bits.
fn mask(bits: &[u8]) -> Expression {
    let len = u32::try_from(bits.len()).unwrap_or(0);
    let data = numbers(&[(1, REGISTER), (2, REGISTER), (3, len)])
        .nested(4, |data| data.with(1, bits))
        .nested(5, |data| data.with(1, &vec![0; bits.len()]));
    ("bitwise", data)
}

fn load(register: u32, value: &[u8]) -> Expression {
    let data = numbers(&[(1, register)]);
    ("immediate", data.nested(2, |data| data.with(1, value)))
}

fn verdict(code: u32) -> Expression {
    let data = numbers(&[(1, 0)]).nested(2, |data| {
        data.nested(2, |verdict| verdict.with(1, &code.to_be_bytes()))
    });
    ("immediate", data)
}

/// The version of IP, as netfilter numbers it.
fn version(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 2 } else { 10 }
}

/// An address in the header of its version is in a network; `to` says which address.
fn address(ip: IpAddr, prefix: u8, to: bool) -> Vec<Expression> {
    let wanted = octets(ip);
    let len = u32::try_from(wanted.len()).unwrap_or(0);
    let first = if ip.is_ipv4() { 12 } else { 8 };
    let offset = if to { first + len } else { first };
    let bits: Vec<u8> = (0..wanted.len())
        .map(|byte| {
            let left = usize::from(prefix).saturating_sub(byte * 8).min(8);
            !u8::try_from(0xffu32 >> left).unwrap_or(0)
        })
        .collect();
    let masked: Vec<u8> = wanted.iter().zip(&bits).map(|(byte, mask)| byte & mask).collect();
    vec![
        meta(NFPROTO),
        equals(&[version(ip)]),
        payload(NETWORK, offset, len),
        mask(&bits),
        equals(&masked),
    ]
}

fn interface(key: u32, name: &str) -> Result<Vec<Expression>, &'static str> {
    let mut bytes = name.as_bytes().to_vec();
    if bytes.is_empty() || bytes.len() >= NAME {
        return Err("an interface's name has 1 to 15 bytes");
    }
    bytes.resize(NAME, 0);
    Ok(vec![meta(key), equals(&bytes)])
}

fn port(offset: u32, first: u16, last: u16) -> Vec<Expression> {
    let within = numbers(&[(1, REGISTER), (2, 0)])
        .nested(3, |data| data.with(1, &first.to_be_bytes()))
        .nested(4, |data| data.with(1, &last.to_be_bytes()));
    vec![payload(TRANSPORT, offset, 2), ("range", within)]
}

impl Match {
    fn expressions(&self) -> Result<Vec<Expression>, &'static str> {
        Ok(match self {
            Match::InputInterface(name) => interface(IIFNAME, name)?,
            Match::OutputInterface(name) => interface(OIFNAME, name)?,
            Match::From(ip, prefix) | Match::To(ip, prefix) => {
                check_prefix("", *ip, *prefix).map_err(|_| "a prefix is longer than its address")?;
                address(*ip, *prefix, matches!(self, Match::To(..)))
            }
            Match::Protocol(number) => vec![meta(L4PROTO), equals(&[*number])],
            Match::SourcePort(ports) => port(0, *ports.start(), *ports.end()),
            Match::DestinationPort(ports) => port(2, *ports.start(), *ports.end()),
            Match::State(states) => {
                let bits = states.iter().fold(0u32, |bits, state| bits | *state as u32);
                const STATE: u32 = 0;
                const NOT_EQUAL: u32 = 1;
                vec![
                    ("ct", numbers(&[(1, REGISTER), (2, STATE)])),
                    mask(&bits.to_ne_bytes()),
                    compare(NOT_EQUAL, &[0; 4]),
                ]
            }
        })
    }
}

impl Action {
    fn expressions(self) -> Vec<Expression> {
        const DROP: u32 = 0;
        const ACCEPT: u32 = 1;
        match self {
            Action::Accept => vec![verdict(ACCEPT)],
            Action::Drop => vec![verdict(DROP)],
            Action::Count => Vec::new(),
            Action::Reject => {
                const ICMPX: u32 = 2;
                const ADMIN_PROHIBITED: u8 = 3;
                vec![("reject", numbers(&[(1, ICMPX)]).with(2, &[ADMIN_PROHIBITED]))]
            }
            Action::Reset => {
                const TCP_RESET: u32 = 1;
                vec![("reject", numbers(&[(1, TCP_RESET)]))]
            }
            Action::Masquerade => vec![("masq", Attributes::default())],
            Action::SourceNat(ip, port) => translation(0, ip, port),
            Action::DestinationNat(ip, port) => translation(1, ip, port),
        }
    }
}

fn translation(kind: u32, ip: IpAddr, port: Option<u16>) -> Vec<Expression> {
    let mut all = vec![load(REGISTER, &octets(ip))];
    let mut nat = vec![(1, kind), (2, u32::from(version(ip))), (3, REGISTER)];
    if let Some(port) = port {
        all.push(load(SECOND, &port.to_be_bytes()));
        nat.push((5, SECOND));
    }
    all.push(("nat", numbers(&nat)));
    all
}

impl PacketRule {
    /// What Linux is told; or what is wrong with it.
    pub(super) fn expressions(&self, kind: ChainKind) -> Result<Vec<Expression>, &'static str> {
        let translates = matches!(
            self.action,
            Action::Masquerade | Action::SourceNat(..) | Action::DestinationNat(..)
        );
        if translates && kind == ChainKind::Filter {
            return Err("a chain that filters translates no addresses");
        }
        let mut all = Vec::new();
        let mut protocol = 0;
        for one in &self.matches {
            match one {
                Match::Protocol(number) => protocol = *number,
                Match::SourcePort(_) | Match::DestinationPort(_) if !WITH_PORTS.contains(&protocol) => {
                    return Err("a port needs a protocol with ports in front of it");
                }
                _ => {}
            }
            all.extend(one.expressions()?);
        }
        if self.action == Action::Reset && protocol != TCP {
            return Err("a reset is for TCP");
        }
        all.push(("counter", Attributes::default()));
        all.extend(self.action.expressions());
        Ok(all)
    }
}
