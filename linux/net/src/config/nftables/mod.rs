//! Netfilter's tables: which packets pass, and which get other addresses.
//!
//! A [`Table`] is set as a whole, and replaces one of its name. Its chains look at packets of IPv4 and IPv6 at one of
//! netfilter's hooks each, rule by rule: the first whose matches all fit decides, unless it only counts. Each rule counts its packets.

mod expression;

use super::Configuration;
use crate::error::about_because;
use crate::netlink::{CREATE, DUMP, Netlink, Request, attribute, attributes, text_of};
use crate::socket::Protocol;
use lkl::Errno;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Netfilter's subsystem.
const NFTABLES: u8 = 10;
/// `struct nfgenmsg`: tables of both versions of IP.
const INET: [u8; 4] = [1, 0, 0, 0];
const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const GETRULE: u16 = 7;
/// `NLM_F_APPEND`: behind the rules that are there.
const APPEND: u16 = 0x800;

/// Where a chain looks at packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// As they come, before it is known where they go.
    Prerouting = 0,
    /// Those for this host.
    Input = 1,
    /// Those that pass through.
    Forward = 2,
    /// Those of this host's programs.
    Output = 3,
    /// As they leave.
    Postrouting = 4,
}

/// What a chain decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Whether packets pass.
    Filter,
    /// Addresses and ports of new connections, whose later packets follow.
    Nat,
}

/// A state that connection tracking has for a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// It belongs to no connection that could be.
    Invalid = 1,
    /// Its connection has had packets in both directions.
    Established = 2,
    /// It begins one that a known one announces, or is an error of one.
    Related = 4,
    /// It begins a connection.
    New = 8,
}

/// What a packet must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The interface that it came by.
    InputInterface(String),
    /// The interface that it leaves by.
    OutputInterface(String),
    /// A network that it comes from.
    From(IpAddr, u8),
    /// A network that it goes to.
    To(IpAddr, u8),
    /// The number of its protocol: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6.
    Protocol(u8),
    /// The port that it comes from; only behind a [`Match::Protocol`] that has ports.
    SourcePort(RangeInclusive<u16>),
    /// The port that it goes to; likewise.
    DestinationPort(RangeInclusive<u16>),
    /// One of these states.
    State(Vec<ConnectionState>),
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It passes.
    Accept,
    /// It goes.
    Drop,
    /// It goes, and its sender hears by ICMP that it is not allowed.
    Reject,
    /// It goes, and its sender gets a reset; only behind a match of TCP.
    Reset,
    /// It is counted, and the next rule looks at it.
    Count,
    /// It gets the address of the interface that it leaves by.
    Masquerade,
    /// It gets this address as its source's, and a port if there is one here.
    SourceNat(IpAddr, Option<u16>),
    /// It gets this address as its destination's, and a port if there is one here.
    DestinationNat(IpAddr, Option<u16>),
}

/// A rule: what all fits, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketRule {
    /// All of these; any packet, if there is none.
    pub matches: Vec<Match>,
    /// What becomes of it.
    pub action: Action,
}

/// Rules at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name in the table.
    pub name: String,
    /// Where it looks at packets.
    pub hook: Hook,
    /// What it decides.
    pub kind: ChainKind,
    /// Whether what no rule decides on passes.
    pub accept: bool,
    /// The rules, in order.
    pub rules: Vec<PacketRule>,
}

/// Chains under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// How often a rule fitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCounter {
    /// The rule's chain.
    pub chain: String,
    /// Packets.
    pub packets: u64,
    /// Bytes of these.
    pub bytes: u64,
}

fn request(kind: u16, flags: u16) -> Request {
    Request::new(u16::from(NFTABLES) << 8 | kind, flags, &INET)
}

impl Chain {
    fn request(&self, table: &str) -> Request {
        // Where it stands among others at its hook: as the words "dstnat", "filter" and "srcnat" have it.
        let (kind, priority) = match (self.kind, self.hook) {
            (ChainKind::Filter, _) => ("filter", 0i32),
            (ChainKind::Nat, Hook::Prerouting | Hook::Output) => ("nat", -100),
            (ChainKind::Nat, _) => ("nat", 100),
        };
        request(NEWCHAIN, CREATE)
            .with_text(1, table)
            .with_text(3, &self.name)
            .nested(4, |hook| {
                hook.with(1, &(self.hook as u32).to_be_bytes())
                    .with(2, &priority.to_be_bytes())
            })
            .with(5, &u32::from(self.accept).to_be_bytes())
            .with_text(7, kind)
    }
}

impl Configuration {
    fn nftables(&self) -> io::Result<Netlink> {
        Netlink::new(self.namespace(), Protocol::NETFILTER)
    }

    /// Sets a table, in place of one of its name, as a whole or not at all.
    ///
    /// # Errors
    /// EINVAL for a port without a protocol that has ports, an address of one version with a prefix of another's length,
    /// a translation that is not in a chain for it; Linux's.
    pub fn set_table(&self, table: &Table) -> io::Result<()> {
        let thing = format!("table {}", table.name);
        let named = |kind, flags| request(kind, flags).with_text(1, &table.name);
        // It is made so that it is there to be deleted, whether it was or not.
        let mut requests = vec![
            named(NEWTABLE, CREATE),
            named(DELTABLE, 0),
            named(NEWTABLE, CREATE),
        ];
        for chain in &table.chains {
            requests.push(chain.request(&table.name));
        }
        for chain in &table.chains {
            for (number, rule) in chain.rules.iter().enumerate() {
                let expressions = rule.expressions(chain.kind).map_err(|why| {
                    let thing = format!("{thing}, chain {}, rule {number}", chain.name);
                    about_because(&thing, Errno::EINVAL, why)
                })?;
                requests.push(
                    request(NEWRULE, CREATE | APPEND)
                        .with_text(1, &table.name)
                        .with_text(2, &chain.name)
                        .nested(4, |list| expressions.iter().fold(list, expression::add)),
                );
            }
        }
        self.nftables()?.batch(&thing, NFTABLES, &requests)
    }

    /// Removes a table, with all that is in it.
    pub fn delete_table(&self, name: &str) -> io::Result<()> {
        let requests = [request(DELTABLE, 0).with_text(1, name)];
        self.nftables()?
            .batch(&format!("table {name}"), NFTABLES, &requests)
    }

    /// How often each rule of a table fitted: chain by chain, in the order of the rules.
    pub fn rule_counters(&self, table: &str) -> io::Result<Vec<RuleCounter>> {
        let thing = format!("table {table}");
        let dump = request(GETRULE, DUMP).with_text(1, table);
        let answers = self.nftables()?.exchange(&thing, &dump)?;
        let counters = answers.iter().filter_map(|answer| {
            let body = answer.body.get(INET.len()..)?;
            if attribute(body, 1).map(text_of).as_deref() != Some(table) {
                return None;
            }
            let [bytes, packets] = expression::counter(attribute(body, 4)?)?;
            Some(RuleCounter {
                chain: text_of(attribute(body, 2)?),
                packets,
                bytes,
            })
        });
        Ok(counters.collect())
    }
}

/// A number of 64 bits in the order of the network.
fn u64_of(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The attributes of the first expression of that name.
fn data_of<'a>(list: &'a [u8], name: &str) -> Option<&'a [u8]> {
    attributes(list).find_map(|(_, element)| {
        let found = attribute(element, 1).map(text_of)?;
        (found == name).then(|| attribute(element, 2))?
    })
}
