//! WireGuard: the keys and peers of an interface of that kind.

use super::{Configuration, check_prefix, octets};
use crate::address::Address;
use crate::error::about;
use crate::netlink::{Attributes, DUMP, Generic, attribute, attributes};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const WG_CMD_GET_DEVICE: u8 = 0;
const WG_CMD_SET_DEVICE: u8 = 1;

const WGDEVICE_A_IFNAME: u16 = 2;
const WGDEVICE_A_PRIVATE_KEY: u16 = 3;
const WGDEVICE_A_PUBLIC_KEY: u16 = 4;
const WGDEVICE_A_FLAGS: u16 = 5;
const WGDEVICE_A_LISTEN_PORT: u16 = 6;
const WGDEVICE_A_PEERS: u16 = 8;

const WGPEER_A_PUBLIC_KEY: u16 = 1;
const WGPEER_A_PRESHARED_KEY: u16 = 2;
const WGPEER_A_FLAGS: u16 = 3;
const WGPEER_A_ENDPOINT: u16 = 4;
const WGPEER_A_KEEPALIVE: u16 = 5;
const WGPEER_A_LAST_HANDSHAKE: u16 = 6;
const WGPEER_A_RX_BYTES: u16 = 7;
const WGPEER_A_TX_BYTES: u16 = 8;
const WGPEER_A_ALLOWEDIPS: u16 = 9;

/// What an interface of WireGuard's is to have.
#[derive(Debug, Clone, Default)]
pub struct WireguardDevice {
    /// Its secret.
    pub private_key: [u8; 32],
    /// The port of UDP; 0 lets Linux choose.
    pub listen_port: u16,
    /// All of its peers.
    pub peers: Vec<WireguardPeer>,
}

/// A peer.
#[derive(Debug, Clone, Default)]
pub struct WireguardPeer {
    /// Who it is.
    pub public_key: [u8; 32],
    /// A secret that both have besides.
    pub preshared_key: Option<[u8; 32]>,
    /// Where it is; none if it will come by itself.
    pub endpoint: Option<SocketAddr>,
    /// How often something is sent through a firewall that forgets.
    pub keepalive: Option<Duration>,
    /// The networks behind it.
    pub allowed: Vec<(IpAddr, u8)>,
}

/// What Linux says of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireguardPeerState {
    /// Who it is.
    pub public_key: [u8; 32],
    /// When it was last heard of as who it is, since 1970; zero for never.
    pub last_handshake: Duration,
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes that went to it.
    pub sent: u64,
}

impl WireguardPeer {
    fn attributes(&self, peer: Attributes) -> Attributes {
        const REPLACE_ALLOWEDIPS: u32 = 2;
        let mut peer = peer
            .with(WGPEER_A_PUBLIC_KEY, &self.public_key)
            .with_u32(WGPEER_A_FLAGS, REPLACE_ALLOWEDIPS);
        if let Some(key) = &self.preshared_key {
            peer = peer.with(WGPEER_A_PRESHARED_KEY, key);
        }
        if let Some(Ok(raw)) = self.endpoint.map(|endpoint| Address::from(endpoint).to_raw()) {
            peer = peer.with(WGPEER_A_ENDPOINT, raw.as_bytes());
        }
        if let Some(keepalive) = self.keepalive {
            let seconds = u16::try_from(keepalive.as_secs()).unwrap_or(u16::MAX);
            peer = peer.with(WGPEER_A_KEEPALIVE, &seconds.to_ne_bytes());
        }
        peer.nested(WGPEER_A_ALLOWEDIPS, |list| {
            self.allowed.iter().fold(list, |list, (ip, prefix)| {
                let family = u16::from(super::family(*ip));
                list.nested(0, |one| {
                    one.with(1, &family.to_ne_bytes())
                        .with(2, &octets(*ip))
                        .with(3, &[*prefix])
                })
            })
        })
    }
}

impl Configuration {
    fn wireguard(&self) -> io::Result<Generic> {
        Generic::new(self.namespace(), "wireguard")
    }

    /// Gives an interface its keys and peers; those that it had go.
    pub fn set_wireguard(&self, interface: &str, device: &WireguardDevice) -> io::Result<()> {
        const REPLACE_PEERS: u32 = 1;
        for (ip, prefix) in device.peers.iter().flat_map(|peer| &peer.allowed) {
            check_prefix(interface, *ip, *prefix)?;
        }
        let wireguard = self.wireguard()?;
        let request = wireguard
            .request(WG_CMD_SET_DEVICE, 0)
            .with_text(WGDEVICE_A_IFNAME, interface)
            .with(WGDEVICE_A_PRIVATE_KEY, &device.private_key)
            .with(WGDEVICE_A_LISTEN_PORT, &device.listen_port.to_ne_bytes())
            .with_u32(WGDEVICE_A_FLAGS, REPLACE_PEERS)
            .nested(WGDEVICE_A_PEERS, |list| {
                let peers = device.peers.iter();
                peers.fold(list, |list, peer| list.nested(0, |one| peer.attributes(one)))
            });
        wireguard.exchange(interface, &request).map(drop)
    }

    fn wireguard_answers(&self, interface: &str) -> io::Result<Vec<Vec<u8>>> {
        let wireguard = self.wireguard()?;
        let request = wireguard
            .request(WG_CMD_GET_DEVICE, DUMP)
            .with_text(WGDEVICE_A_IFNAME, interface);
        wireguard.exchange(interface, &request)
    }

    /// The public key that belongs to an interface's private one.
    pub fn wireguard_public_key(&self, interface: &str) -> io::Result<[u8; 32]> {
        let answers = self.wireguard_answers(interface)?;
        let key = answers
            .iter()
            .find_map(|answer| attribute(answer, WGDEVICE_A_PUBLIC_KEY));
        key.and_then(|key| key.try_into().ok())
            .ok_or_else(|| about(interface, lkl::Errno::ENOKEY))
    }

    /// What Linux knows of an interface's peers.
    pub fn wireguard_peers(&self, interface: &str) -> io::Result<Vec<WireguardPeerState>> {
        let answers = self.wireguard_answers(interface)?;
        let lists = answers
            .iter()
            .filter_map(|answer| attribute(answer, WGDEVICE_A_PEERS));
        Ok(lists
            .flat_map(attributes)
            .filter_map(|(_, peer)| state(peer))
            .collect())
    }
}

fn state(peer: &[u8]) -> Option<WireguardPeerState> {
    let long = |value: &[u8]| value.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
    let number = |kind| attribute(peer, kind).and_then(long).unwrap_or(0);
    let handshake = attribute(peer, WGPEER_A_LAST_HANDSHAKE).unwrap_or(&[]);
    let nanos = handshake.get(8..).and_then(long).unwrap_or(0);
    Some(WireguardPeerState {
        public_key: attribute(peer, WGPEER_A_PUBLIC_KEY)?.try_into().ok()?,
        last_handshake: Duration::from_secs(long(handshake).unwrap_or(0)) + Duration::from_nanos(nanos),
        received: number(WGPEER_A_RX_BYTES),
        sent: number(WGPEER_A_TX_BYTES),
    })
}
