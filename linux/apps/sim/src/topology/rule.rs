//! A rule of a node's, as the file has it.

use super::Spanned;
use crate::quantity::Network;
use lkl_net::config::ConnectionState;
use serde::Deserialize;

/// Which packets a rule sees.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RuleChain {
    /// Those for the node.
    Input,
    /// Those that pass through.
    Forward,
    /// The node's own.
    Output,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// It passes.
    Accept,
    /// It goes.
    Drop,
    /// It goes, and its sender hears by ICMP.
    Reject,
    /// It goes, and its sender gets a reset.
    Reset,
    /// It is counted, and the next rule sees it.
    Count,
    /// It gets the address of the interface that it leaves by.
    Masquerade,
    /// It gets another source.
    Snat,
    /// It gets another destination.
    Dnat,
}

/// What connection tracking knows of a packet.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RuleState {
    /// It begins a connection.
    New,
    /// Its connection has had packets in both directions.
    Established,
    /// Its connection was announced by another one, or has an error.
    Related,
    /// It belongs to no connection that could be.
    Invalid,
}

impl From<RuleState> for ConnectionState {
    fn from(state: RuleState) -> ConnectionState {
        match state {
            RuleState::New => ConnectionState::New,
            RuleState::Established => ConnectionState::Established,
            RuleState::Related => ConnectionState::Related,
            RuleState::Invalid => ConnectionState::Invalid,
        }
    }
}

/// A rule. The first that fits decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which packets it sees, `forward` if there is none here; none for a rule that translates.
    pub chain: Option<Spanned<RuleChain>>,
    /// The link that they come by.
    #[serde(rename = "in")]
    pub inward: Option<Spanned<String>>,
    /// The link that they leave by.
    #[serde(rename = "out")]
    pub outward: Option<Spanned<String>>,
    /// Where they come from.
    pub from: Option<Network>,
    /// Where they go.
    pub to: Option<Network>,
    /// `tcp`, `udp`, `icmp` or `icmpv6`.
    pub protocol: Option<Spanned<String>>,
    /// The port that they go to, or two with a hyphen between them.
    pub port: Option<Spanned<String>>,
    /// One of these states.
    #[serde(default)]
    pub state: Vec<RuleState>,
    /// What becomes of them.
    pub action: Spanned<RuleAction>,
    /// The new address of `snat` and `dnat`, with a port or without.
    pub address: Option<Spanned<String>>,
}
