//! Interfaces.

use super::{Configuration, family, octets};
use crate::call;
use crate::error::about;
use crate::namespace::Namespace;
use crate::netlink::{Answer, Attributes, CREATE, EXCLUSIVE, Request, attribute, text_of, u32_of};
use lkl::{Errno, OwnedFd};
use std::io;
use std::net::{IpAddr, Ipv4Addr};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_QDISC: u16 = 6;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;

const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 0x40;

/// What an interface is. Those with a link below them name it.
#[derive(Debug, Clone)]
pub enum LinkKind<'a> {
    /// It takes everything and sends nothing.
    Dummy,
    /// A switch; other interfaces become its ports by [`Configuration::set_master`].
    Bridge,
    /// One end of a wire; the other has a name of its own and may be in another network.
    Veth {
        /// The other end's name.
        peer: &'a str,
        /// Its network; the same one if there is none here.
        peer_namespace: Option<&'a Namespace>,
    },
    /// The frames of one VLAN of a link.
    Vlan {
        /// The link's name.
        link: &'a str,
        /// The VLAN's number.
        id: u16,
    },
    /// Ethernet in UDP.
    Vxlan {
        /// The network's number.
        id: u32,
        /// The address to send from.
        local: IpAddr,
        /// The other end, or a multicast group.
        remote: IpAddr,
        /// The port of UDP; 4789 is the standard's.
        port: u16,
        /// The link to send over, which a multicast group needs.
        link: Option<&'a str>,
    },
    /// IP in GRE in IPv4.
    Gre {
        /// The address to send from.
        local: Ipv4Addr,
        /// The other end.
        remote: Ipv4Addr,
        /// The key of both directions.
        key: Option<u32>,
    },
    /// Ethernet in GRE in IPv4.
    GreTap {
        /// The address to send from.
        local: Ipv4Addr,
        /// The other end.
        remote: Ipv4Addr,
        /// The key of both directions.
        key: Option<u32>,
    },
    /// IPv4 in IPv4.
    Ipip {
        /// The address to send from.
        local: Ipv4Addr,
        /// The other end.
        remote: Ipv4Addr,
    },
    /// WireGuard; see [`super::WireguardDevice`].
    Wireguard,
    /// A routing table that interfaces are bound to.
    Vrf {
        /// The table's number.
        table: u32,
    },
    /// Another kind, with the bytes of its own attributes.
    Other {
        /// What Linux calls it.
        kind: &'a str,
        /// Its attributes.
        data: Attributes,
    },
}

impl LinkKind<'_> {
    fn name(&self) -> &str {
        match self {
            LinkKind::Dummy => "dummy",
            LinkKind::Bridge => "bridge",
            LinkKind::Veth { .. } => "veth",
            LinkKind::Vlan { .. } => "vlan",
            LinkKind::Vxlan { .. } => "vxlan",
            LinkKind::Gre { .. } => "gre",
            LinkKind::GreTap { .. } => "gretap",
            LinkKind::Ipip { .. } => "ipip",
            LinkKind::Wireguard => "wireguard",
            LinkKind::Vrf { .. } => "vrf",
            LinkKind::Other { kind, .. } => kind,
        }
    }
}

/// An interface, as Linux shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interface {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it was set up.
    pub up: bool,
    /// Whether it could send.
    pub running: bool,
    /// The longest packet, bytes.
    pub mtu: u32,
    /// Its hardware address, six bytes for Ethernet.
    pub hardware: Vec<u8>,
    /// What it is, if it is no plain device: `"veth"`.
    pub kind: Option<String>,
    /// The number of the bridge or VRF that it belongs to.
    pub master: Option<u32>,
    /// The queue at its root.
    pub queue: String,
}

/// `struct ifinfomsg`
fn head(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut head = [0; 16];
    let (start, rest) = head.split_at_mut(4);
    start.fill(0);
    for (place, word) in rest.chunks_mut(4).zip([index, flags, change]) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    head
}

fn interface(answer: &Answer) -> Option<Interface> {
    let (head, attributes) = answer.body.split_at_checked(16)?;
    let flags = u32_of(head.get(8..)?)?;
    let info = attribute(attributes, IFLA_LINKINFO).unwrap_or(&[]);
    let word = |kind| attribute(attributes, kind).and_then(u32_of);
    let text = |kind| attribute(attributes, kind).map(text_of).unwrap_or_default();
    Some(Interface {
        index: u32_of(head.get(4..)?)?,
        name: text(IFLA_IFNAME),
        up: flags & IFF_UP != 0,
        running: flags & IFF_RUNNING != 0,
        mtu: word(IFLA_MTU).unwrap_or(0),
        hardware: attribute(attributes, IFLA_ADDRESS).unwrap_or(&[]).to_vec(),
        kind: attribute(info, IFLA_INFO_KIND).map(text_of),
        master: word(IFLA_MASTER),
        queue: text(IFLA_QDISC),
    })
}

/// A name that an interface can have.
fn check_name(name: &str) -> io::Result<()> {
    match name.len() {
        1..=15 if !name.contains(['/', '\0', ' ']) => Ok(()),
        1..=15 => Err(about(format_args!("interface {name:?}"), Errno::EINVAL)),
        _ => Err(about(format_args!("interface {name:?}"), Errno::ENAMETOOLONG)),
    }
}

impl Configuration {
    /// All interfaces.
    pub fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let answers = self.dump("interfaces", RTM_GETLINK, &head(0, 0, 0))?;
        Ok(answers.iter().filter_map(interface).collect())
    }

    /// The one of that name.
    ///
    /// # Errors
    /// ENODEV when there is none.
    pub fn interface(&self, name: &str) -> io::Result<Interface> {
        check_name(name)?;
        let request = Request::new(RTM_GETLINK, 0, &head(0, 0, 0)).with_text(IFLA_IFNAME, name);
        let answers = self.request(name, &request)?;
        answers
            .first()
            .and_then(interface)
            .ok_or_else(|| about(name, Errno::ENODEV))
    }

    /// The number of the one of that name.
    pub(super) fn index(&self, name: &str) -> io::Result<u32> {
        Ok(self.interface(name)?.index)
    }

    /// Makes an interface. It is down.
    ///
    /// # Errors
    /// EEXIST when there is one of that name.
    pub fn add_link(&self, name: &str, kind: &LinkKind<'_>) -> io::Result<()> {
        check_name(name)?;
        let thing = format!("{name} ({})", kind.name());
        let mut request =
            Request::new(RTM_NEWLINK, CREATE | EXCLUSIVE, &head(0, 0, 0)).with_text(IFLA_IFNAME, name);
        if let LinkKind::Vlan { link, .. } = kind {
            request = request.with_u32(IFLA_LINK, self.index(link)?);
        }
        // The peer's network stays open until Linux has answered.
        let (data, _peer) = self.data(kind)?;
        let request = request.nested(IFLA_LINKINFO, |info| {
            let info = info.with_text(IFLA_INFO_KIND, kind.name());
            match data {
                Some(data) => info.nested(IFLA_INFO_DATA, |_| data),
                None => info,
            }
        });
        self.request(&thing, &request).map(drop)
    }

    fn data(&self, kind: &LinkKind<'_>) -> io::Result<(Option<Attributes>, Option<OwnedFd>)> {
        let none = Attributes::default();
        let data = match kind {
            LinkKind::Dummy | LinkKind::Bridge | LinkKind::Wireguard => return Ok((None, None)),
            LinkKind::Veth { peer, peer_namespace } => {
                check_name(peer)?;
                let there = peer_namespace.map(Namespace::descriptor).transpose()?;
                let mut attributes = none.head(&head(0, 0, 0)).with_text(IFLA_IFNAME, peer);
                if let Some(there) = &there {
                    attributes = attributes.with(IFLA_NET_NS_FD, &there.raw().to_ne_bytes());
                }
                const VETH_INFO_PEER: u16 = 1;
                return Ok((
                    Some(Attributes::default().nested(VETH_INFO_PEER, |_| attributes)),
                    there,
                ));
            }
            LinkKind::Vlan { id, .. } => none.with(1, &id.to_ne_bytes()),
            LinkKind::Vxlan {
                id,
                local,
                remote,
                port,
                link,
            } => self.vxlan(*id, [*local, *remote], *port, *link)?,
            LinkKind::Gre { local, remote, key } | LinkKind::GreTap { local, remote, key } => {
                gre(*local, *remote, *key)
            }
            LinkKind::Ipip { local, remote } => none.with(2, &local.octets()).with(3, &remote.octets()),
            LinkKind::Vrf { table } => none.with_u32(1, *table),
            LinkKind::Other { data, .. } => data.clone(),
        };
        Ok((Some(data), None))
    }

    fn vxlan(
        &self,
        id: u32,
        [local, remote]: [IpAddr; 2],
        port: u16,
        link: Option<&str>,
    ) -> io::Result<Attributes> {
        const LINK: u16 = 3;
        const PORT: u16 = 15;
        if family(local) != family(remote) {
            return Err(about(format_args!("{local} and {remote}"), Errno::EINVAL));
        }
        let (group, from) = if local.is_ipv4() { (2, 4) } else { (16, 17) };
        let mut data = Attributes::default()
            .with_u32(1, id)
            .with(group, &octets(remote))
            .with(from, &octets(local))
            .with(PORT, &port.to_be_bytes());
        if let Some(link) = link {
            data = data.with_u32(LINK, self.index(link)?);
        }
        Ok(data)
    }

    /// Deletes an interface; of a wire, both ends.
    pub fn delete_link(&self, name: &str) -> io::Result<()> {
        let request = Request::new(RTM_DELLINK, 0, &head(self.index(name)?, 0, 0));
        self.request(name, &request).map(drop)
    }

    fn change(&self, name: &str, flags: [u32; 2], fill: impl FnOnce(Request) -> Request) -> io::Result<()> {
        let [flags, change] = flags;
        let request = Request::new(RTM_NEWLINK, 0, &head(self.index(name)?, flags, change));
        self.request(name, &fill(request)).map(drop)
    }

    /// Sets it up.
    pub fn set_up(&self, name: &str) -> io::Result<()> {
        self.change(name, [IFF_UP, IFF_UP], |request| request)
    }

    /// Sets it down. Its routes go.
    pub fn set_down(&self, name: &str) -> io::Result<()> {
        self.change(name, [0, IFF_UP], |request| request)
    }

    /// Sets the longest packet, in bytes.
    pub fn set_mtu(&self, name: &str, mtu: u32) -> io::Result<()> {
        self.change(name, [0, 0], |request| request.with_u32(IFLA_MTU, mtu))
    }

    /// Sets how many packets one buffer of an interface may stand for; with 1, each packet is one: a queue then counts, delays
    /// and loses packets as a wire does.
    pub fn set_segments(&self, name: &str, most: u32) -> io::Result<()> {
        const IFLA_GSO_MAX_SEGS: u16 = 40;
        self.change(name, [0, 0], |request| request.with_u32(IFLA_GSO_MAX_SEGS, most))
    }

    /// Sets whether checksums are left to an interface. If not, they are right in what a packet socket sees.
    pub fn set_checksum_offload(&self, name: &str, on: bool) -> io::Result<()> {
        const ETHTOOL_STXCSUM: u32 = 0x17;
        check_name(name)?;
        let by = self.namespace();
        call::socket(by, 2, 2, 0)
            .and_then(|socket| call::device_value(&socket, name, ETHTOOL_STXCSUM, on.into()))
            .map_err(|errno| about(format_args!("{name}: checksums"), errno))
    }

    /// Sets the hardware address.
    pub fn set_hardware(&self, name: &str, address: [u8; 6]) -> io::Result<()> {
        self.change(name, [0, 0], |request| request.with(IFLA_ADDRESS, &address))
    }

    /// Gives it another name. It must be down.
    pub fn rename(&self, name: &str, to: &str) -> io::Result<()> {
        check_name(to)?;
        self.change(name, [0, 0], |request| request.with_text(IFLA_IFNAME, to))
    }

    /// Makes it a port of a bridge or binds it to a VRF; `None` takes it out.
    pub fn set_master(&self, name: &str, master: Option<&str>) -> io::Result<()> {
        let master = master.map_or(Ok(0), |master| self.index(master))?;
        self.change(name, [0, 0], |request| request.with_u32(IFLA_MASTER, master))
    }

    /// Moves it to another network, where it is down and has no address.
    pub fn move_to(&self, name: &str, there: &Namespace) -> io::Result<()> {
        let there = there.descriptor()?;
        self.change(name, [0, 0], |request| {
            request.with(IFLA_NET_NS_FD, &there.raw().to_ne_bytes())
        })
    }
}

fn gre(local: Ipv4Addr, remote: Ipv4Addr, key: Option<u32>) -> Attributes {
    const GRE_KEY: [u8; 2] = 0x2000u16.to_be_bytes();
    let data = Attributes::default()
        .with(6, &local.octets())
        .with(7, &remote.octets());
    match key {
        Some(key) => data
            .with(2, &GRE_KEY)
            .with(3, &GRE_KEY)
            .with(4, &key.to_be_bytes())
            .with(5, &key.to_be_bytes()),
        None => data,
    }
}
