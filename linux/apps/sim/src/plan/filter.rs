//! The rules of a node: what it does with packets besides forwarding them. They become a table of netfilter's.

use super::Plan;
use super::names::{find, numbers};
use crate::topology::{NodeKind, Problem, Rule, RuleAction, RuleChain, Spanned, Topology};
use lkl_net::config::{Action, Chain, ChainKind, Hook, Match, PacketRule, Table};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// The name of a node's table.
pub const TABLE: &str = "lklsim";

/// The numbers of protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Adds the tables.
pub(super) fn add(plan: &mut Plan, topology: &Topology) -> Result<(), Problem> {
    let links = numbers(plan.links.iter().map(|link| &*link.name));
    for (number, source) in topology.node.iter().enumerate() {
        let node = &plan.nodes[number];
        if let Some(first) = source.rule.first()
            && node.kind == NodeKind::Switch
        {
            let text = format!("{} is a switch, which has no rules", node.name);
            return Err(Problem::at(&first.action, text));
        }
        let mut chains = Vec::new();
        if node.kind == NodeKind::Firewall {
            chain_of(&mut chains, Hook::Forward, ChainKind::Filter).accept = false;
        }
        for rule in &source.rule {
            let (hook, kind, action) = action(rule)?;
            let mut matches = Vec::new();
            for (name, make) in [
                (&rule.inward, Match::InputInterface as fn(String) -> Match),
                (&rule.outward, Match::OutputInterface),
            ] {
                if let Some(name) = name {
                    let link = find("link", name, &links)?;
                    let interface = node.interfaces.iter().find(|interface| interface.link == link);
                    let Some(interface) = interface else {
                        let text = format!("{} is not a link of {}", name.get_ref(), node.name);
                        return Err(Problem::at(name, text));
                    };
                    matches.push(make(interface.name.clone()));
                }
            }
            matches.extend(packets(rule)?);
            chain_of(&mut chains, hook, kind)
                .rules
                .push(PacketRule { matches, action });
        }
        if !chains.is_empty() {
            plan.nodes[number].filter = Some(Table {
                name: TABLE.to_owned(),
                chains,
            });
        }
    }
    Ok(())
}

/// The chain at a hook, which is there from now on.
fn chain_of(chains: &mut Vec<Chain>, hook: Hook, kind: ChainKind) -> &mut Chain {
    let found = chains.iter().position(|chain| chain.hook == hook);
    let at = found.unwrap_or_else(|| {
        chains.push(Chain {
            name: format!("{hook:?}").to_lowercase(),
            hook,
            kind,
            accept: true,
            rules: Vec::new(),
        });
        chains.len() - 1
    });
    &mut chains[at]
}

/// Where a rule stands, and what it does.
fn action(rule: &Rule) -> Result<(Hook, ChainKind, Action), Problem> {
    let name = *rule.action.get_ref();
    let translates = match name {
        RuleAction::Masquerade => Some((Hook::Postrouting, Action::Masquerade)),
        RuleAction::Snat | RuleAction::Dnat => {
            let Some(new) = &rule.address else {
                let text = "address is missing: the new one, like \"10.0.0.7\" or \"10.0.0.7:80\"";
                return Err(Problem::at(&rule.action, text));
            };
            let (ip, port) = new_address(new)?;
            if port.is_some() && !matches!(protocol(rule)?, Some(TCP | UDP)) {
                let text = "a port is for rules with protocol = \"tcp\" or \"udp\"";
                return Err(Problem::at(new, text));
            }
            Some(match name {
                RuleAction::Snat => (Hook::Postrouting, Action::SourceNat(ip, port)),
                _ => (Hook::Prerouting, Action::DestinationNat(ip, port)),
            })
        }
        _ => None,
    };
    if let (Some(address), None | Some((_, Action::Masquerade))) = (&rule.address, &translates) {
        return Err(Problem::at(address, "address is for the actions snat and dnat"));
    }
    match (translates, &rule.chain) {
        (Some(_), Some(chain)) => Err(Problem::at(
            chain,
            "a rule that translates has its own chain; leave chain out",
        )),
        (Some((hook, action)), None) => Ok((hook, ChainKind::Nat, action)),
        (None, chain) => {
            let hook = match chain.as_ref().map(Spanned::get_ref) {
                None | Some(RuleChain::Forward) => Hook::Forward,
                Some(RuleChain::Input) => Hook::Input,
                Some(RuleChain::Output) => Hook::Output,
            };
            let action = match name {
                RuleAction::Accept => Action::Accept,
                RuleAction::Reject => Action::Reject,
                RuleAction::Reset if protocol(rule)? == Some(TCP) => Action::Reset,
                RuleAction::Reset => {
                    let text = "a reset is for rules with protocol = \"tcp\"";
                    return Err(Problem::at(&rule.action, text));
                }
                RuleAction::Count => Action::Count,
                _ => Action::Drop,
            };
            Ok((hook, ChainKind::Filter, action))
        }
    }
}

fn new_address(text: &Spanned<String>) -> Result<(IpAddr, Option<u16>), Problem> {
    let whole = text.get_ref();
    if let Ok(ip) = whole.parse() {
        return Ok((ip, None));
    }
    let with_port: Result<SocketAddr, _> = whole.parse();
    with_port
        .map(|address| (address.ip(), Some(address.port())))
        .map_err(|_| {
            let text_of = format!("{whole:?} is not an address like \"10.0.0.7\" or \"10.0.0.7:80\"");
            Problem::at(text, text_of)
        })
}

fn protocol(rule: &Rule) -> Result<Option<u8>, Problem> {
    let Some(name) = &rule.protocol else {
        return Ok(None);
    };
    match name.get_ref().as_str() {
        "icmp" => Ok(Some(1)),
        "tcp" => Ok(Some(TCP)),
        "udp" => Ok(Some(UDP)),
        "icmpv6" => Ok(Some(58)),
        other => {
            let text = format!("there is no protocol {other}; there are icmp, icmpv6, tcp, udp");
            Err(Problem::at(name, text))
        }
    }
}

/// `"80"` or `"8000-8999"`
fn ports(text: &Spanned<String>) -> Result<RangeInclusive<u16>, Problem> {
    let whole = text.get_ref();
    let (first, last) = whole.split_once('-').unwrap_or((whole, whole));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => {
            let text_of = format!("{whole:?} is not a port like \"80\", nor ports like \"8000-8999\"");
            Err(Problem::at(text, text_of))
        }
    }
}

/// What a rule says of packets but their interfaces.
fn packets(rule: &Rule) -> Result<Vec<Match>, Problem> {
    let mut matches = Vec::new();
    if let Some(from) = rule.from {
        matches.push(Match::From(from.ip(), from.prefix()));
    }
    if let Some(to) = rule.to {
        matches.push(Match::To(to.ip(), to.prefix()));
    }
    let protocol = protocol(rule)?;
    matches.extend(protocol.map(Match::Protocol));
    if let Some(port) = &rule.port {
        if !matches!(protocol, Some(TCP | UDP)) {
            let text = "a port is for rules with protocol = \"tcp\" or \"udp\"";
            return Err(Problem::at(port, text));
        }
        matches.push(Match::DestinationPort(ports(port)?));
    }
    if !rule.state.is_empty() {
        matches.push(Match::State(
            rule.state.iter().map(|state| (*state).into()).collect(),
        ));
    }
    Ok(matches)
}
