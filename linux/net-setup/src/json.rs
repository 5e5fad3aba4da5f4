//! LKL's configuration in JSON: the same keys and values that its users' files have.
//!
//! [`Document`] is such a file as it is written, [`Settings`] is what is meant. Values are texts, or numbers where that makes sense.

use crate::settings::{Addressing, Interface, Settings, Source};
use crate::word::{List, Mtu, Neighbours, Number, Prefix, RootQueue, Switch, Sysctls, Word};
use lkl_links::{NAT, Spec};
use lkl_net::config::InterfaceAddress;
use lkl_net::{BootIp, BootWords};
use lkl_netdev::{MacAddress, Offloads};
use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;
use serde::Deserialize;
use std::net::IpAddr;

/// A file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Document {
    pub gateway: Option<Word<IpAddr>>,
    pub gateway6: Option<Word<IpAddr>>,
    pub nameserver: Option<Word<List<IpAddr>>>,
    pub sysctl: Option<Word<Sysctls>>,
    pub mount: Option<Word<List<String>>>,
    pub dump: Option<Word<List<String>>>,
    pub boot_cmdline: Option<String>,
    pub debug: Option<Word<Switch>>,
    // This Linux has one processor anyhow, and its threads are the host's to place.
    #[serde(rename = "singlecpu")]
    pub single_cpu: Option<Word<Switch>>,
    pub interfaces: Vec<InterfaceDocument>,
}

/// One of its interfaces.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawInterface")]
pub(crate) struct InterfaceDocument {
    pub net: Spec,
    pub raw: RawInterface,
}

/// An interface, key by key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawInterface {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub param: Option<String>,
    pub mac: Option<Word<MacAddress>>,
    pub mtu: Option<Word<Mtu>>,
    pub ip: Option<Word<IpAddr>>,
    pub masklen: Option<Word<Prefix>>,
    pub ifgateway: Option<Word<IpAddr>>,
    pub ipv6: Option<Word<IpAddr>>,
    pub masklen6: Option<Word<Prefix>>,
    pub ifgateway6: Option<Word<IpAddr>>,
    #[serde(alias = "arp")]
    pub neigh: Option<Word<Neighbours>>,
    pub qdisc: Option<Word<RootQueue>>,
    pub offload: Option<Word<Number>>,
}

impl TryFrom<RawInterface> for InterfaceDocument {
    type Error = String;

    /// Checks what belongs together.
    fn try_from(raw: RawInterface) -> Result<Self, String> {
        let kind = raw.kind.as_deref().ok_or("an interface without \"type\"")?;
        let net = spec(kind, raw.param.as_deref().unwrap_or(""))?;
        for (ip, masklen, words, longest) in [
            (&raw.ip, &raw.masklen, ["ip", "masklen"], 32),
            (&raw.ipv6, &raw.masklen6, ["ipv6", "masklen6"], 128),
        ] {
            let [ip_word, masklen_word] = words;
            let (Some(Word(ip)), Some(Word(Prefix(prefix)))) = (ip, masklen) else {
                if ip.is_some() || masklen.is_some() {
                    return Err(format!("{ip_word:?} and {masklen_word:?} go together"));
                }
                continue;
            };
            if ip.is_ipv4() != (longest == 32) {
                return Err(format!("{ip} is no address for {ip_word:?}"));
            }
            if *prefix > longest {
                return Err(format!("{ip}/{prefix}: the prefix has {longest} bits at most"));
            }
        }
        let gateways = [
            (&raw.ifgateway, "ifgateway", true),
            (&raw.ifgateway6, "ifgateway6", false),
        ];
        for (gateway, word, ipv4) in gateways {
            if let Some(Word(ip)) = gateway
                && ip.is_ipv4() != ipv4
            {
                return Err(format!("{ip} is no address for {word:?}"));
            }
        }
        Ok(InterfaceDocument { net, raw })
    }
}

/// The other end that `type` and `param` name.
fn spec(kind: &str, param: &str) -> Result<Spec, String> {
    if kind == "dpdk" && cfg!(not(feature = "dpdk")) {
        return Err(format!(
            "interfaces of type {kind:?} are not built in; a tap, a UNIX socket (\"unix\") or user-mode NAT (\"slirp\") is"
        ));
    }
    let text = match kind {
        "slirp" => "slirp".to_owned(),
        "pipe" => format!("pipe:{}", param.replacen('|', ",", 1)),
        _ => format!("{kind}:{param}"),
    };
    text.parse().map_err(|_| {
        format!("no interface of type {kind:?} with \"param\" {param:?}; write tap with the name of a TAP device, or raw, macvtap, pipe, vde, slirp, unix, unixgram, unixpacket, tcp, udp, pcap")
    })
}

impl Settings {
    /// What LKL's JSON asks for. `file` is its name, for messages.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub fn from_json(program: Program, file: &str, text: &str) -> Result<Settings, Failure> {
        let document = read(file, text)?;
        meant(program, Source::Json, document)
            .map_err(|why| Failure::new(Exit::Usage, format_args!("{file}: {why}")))
    }
}

/// Takes a file apart.
pub(crate) fn read(file: &str, text: &str) -> Result<Document, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::new(Exit::Usage, format_args!("{file}: {error}")))
}

/// What a document means.
pub(crate) fn meant(program: Program, source: Source, document: Document) -> Result<Settings, String> {
    let mut settings = Settings {
        source,
        ..Settings::new(program)
    };
    for (gateway, word, ipv4) in [
        (document.gateway, "gateway", true),
        (document.gateway6, "gateway6", false),
    ] {
        if let Some(Word(ip)) = gateway {
            if ip.is_ipv4() != ipv4 {
                return Err(format!("{ip} is no address for {word:?}"));
            }
            settings.gateways.push(ip);
        }
    }
    settings.name_servers = list(document.nameserver);
    settings.mounts = list(document.mount);
    settings.dump = list(document.dump);
    settings.sysctls = document.sysctl.map_or_else(Vec::new, |Word(Sysctls(all))| all);
    settings.debug = on(document.debug);
    let words = BootWords::parse(document.boot_cmdline.as_deref().unwrap_or(""))?;
    if !words.rest.is_empty() {
        settings.command_line = format!("{} {}", settings.command_line, words.rest);
    }
    if let Some(memory) = words.memory {
        settings.memory = u32::try_from(memory >> 20).unwrap_or(u32::MAX).max(1);
    }
    settings.interfaces = document.interfaces.into_iter().map(interface).collect();
    // As in a kernel that has a client of its own: an interface that was given no address gets one.
    if let Some(ip) = words.ip {
        boot_addresses(&mut settings, ip)?;
    }
    let nat = |interface: &Interface| interface.net == Spec::Slirp;
    if settings.name_servers.is_empty() && settings.interfaces.iter().any(nat) {
        settings.name_servers.push(NAT.name_server.into());
    }
    Ok(settings)
}

fn list<T>(word: Option<Word<List<T>>>) -> Vec<T> {
    word.map_or_else(Vec::new, |Word(List(all))| all)
}

fn on(word: Option<Word<Switch>>) -> bool {
    word.is_some_and(|Word(Switch(on))| on)
}

fn interface(document: InterfaceDocument) -> Interface {
    let InterfaceDocument { net, raw } = document;
    let nat = net == Spec::Slirp;
    let address = |ip: &Option<Word<IpAddr>>, prefix: &Option<Word<Prefix>>| {
        let (Word(ip), Word(Prefix(prefix))) = (ip.as_ref()?, prefix.as_ref()?);
        Some(InterfaceAddress::new(*ip, *prefix).at_once())
    };
    let addresses = [address(&raw.ip, &raw.masklen), address(&raw.ipv6, &raw.masklen6)];
    let addresses: Vec<_> = addresses.into_iter().flatten().collect();
    let usual = Interface::new(net);
    Interface {
        mac: raw.mac.map(|Word(mac)| mac),
        mtu: raw.mtu.map(|Word(Mtu(mtu))| mtu),
        offloads: raw.offload.map_or(usual.offloads, |Word(Number(bits))| {
            Offloads::from_bits(bits).sound()
        }),
        addressing: match addresses.is_empty() && nat {
            true => usual.addressing,
            false => Addressing::Fixed(addresses),
        },
        own_gateways: [raw.ifgateway, raw.ifgateway6]
            .into_iter()
            .flatten()
            .map(|Word(ip)| ip)
            .collect(),
        neighbours: raw.neigh.map_or_else(Vec::new, |Word(Neighbours(all))| all),
        queue: raw.qdisc.map(|Word(RootQueue(kind))| kind),
        ..usual
    }
}

fn boot_addresses(settings: &mut Settings, ip: BootIp) -> Result<(), String> {
    let mut known = settings.interfaces.is_empty();
    let numbered = settings.interfaces.iter_mut().enumerate();
    let without =
        |interface: &Interface| matches!(&interface.addressing, Addressing::Fixed(all) if all.is_empty());
    let meant = |device: &Option<String>, number: usize| {
        device.as_ref().is_none_or(|name| *name == format!("eth{number}"))
    };
    match ip {
        BootIp::Off => return Ok(()),
        BootIp::Dhcp { device } => {
            for (number, interface) in numbered {
                if meant(&device, number) {
                    known = true;
                    if without(interface) {
                        interface.addressing = Addressing::Dhcp;
                    }
                }
            }
        }
        BootIp::Fixed {
            address,
            prefix,
            gateway,
            device,
            name_servers,
        } => {
            for (number, interface) in numbered {
                if !known && meant(&device, number) {
                    known = true;
                    if without(interface) {
                        interface.addressing =
                            Addressing::Fixed(vec![InterfaceAddress::new(address, prefix)]);
                        interface.gateways.extend(gateway.map(IpAddr::V4));
                    }
                }
            }
            if settings.name_servers.is_empty() {
                settings.name_servers = name_servers;
            }
        }
    }
    match known {
        true => Ok(()),
        false => {
            Err("ip= names an interface that there is none of; they are eth0, eth1 and so on".to_owned())
        }
    }
}

#[cfg(test)]
#[path = "json_test.rs"]
mod tests;
