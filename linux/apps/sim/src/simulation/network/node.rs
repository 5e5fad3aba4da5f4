//! A node in Linux, without its interfaces, and what follows from its number.

use super::about;
use crate::plan::{Node, Plan};
use crate::quantity::Version;
use crate::topology::NodeKind;
use lkl_host_virtual::Kernel;
use lkl_net::Namespace;
use lkl_net::config::{Configuration, LinkKind, Route};
use lkl_net::netlink::{Attributes, CREATE, EXCLUSIVE, Request};
use std::io;
use std::net::IpAddr;

/// The switch inside of a node that is one.
pub(super) const BRIDGE: &str = "br0";

/// A node that is in this Linux.
pub(super) struct Place {
    pub(super) node: Node,
    pub(super) namespace: Namespace,
    pub(super) config: Configuration,
}

/// Settings of IPv6 for nodes that have it: addresses are as the plan gives them, are there at once, and stay while a link is down.
const IPV6: [(&str, &str); 4] = [
    ("accept_ra", "0"),
    ("accept_dad", "0"),
    ("router_solicitations", "0"),
    ("keep_addr_on_down", "1"),
];

/// A node without its interfaces.
pub(super) fn place(kernel: &Kernel, node: &Node, plan: &Plan) -> io::Result<Place> {
    let made = one_node(kernel, node, &plan.versions);
    let (namespace, config) = made.map_err(|error| about(&node.name, error))?;
    Ok(Place {
        node: node.clone(),
        namespace,
        config,
    })
}

fn one_node(kernel: &Kernel, node: &Node, versions: &[Version]) -> io::Result<(Namespace, Configuration)> {
    let namespace = Namespace::new(kernel)?;
    let ipv6 = versions.contains(&Version::V6) && node.kind != NodeKind::Switch;
    let settings = match ipv6 {
        true => &IPV6[..],
        false => &[("disable_ipv6", "1")],
    };
    for of in ["default", "all"] {
        for (setting, value) in settings {
            namespace.set_sysctl(&format!("net.ipv6.conf.{of}.{setting}"), value)?;
        }
    }
    let config = namespace.configuration()?;
    config.set_up("lo")?;
    match node.kind {
        NodeKind::Host => {}
        NodeKind::Router | NodeKind::Firewall => {
            namespace.set_sysctl("net.ipv4.ip_forward", "1")?;
            ask_routes_for_senders(&config)?;
            if ipv6 {
                namespace.set_sysctl("net.ipv6.conf.all.forwarding", "1")?;
            }
        }
        NodeKind::Switch => {
            const IFLA_BR_FORWARD_DELAY: u16 = 1;
            const IFLA_BR_STP_STATE: u16 = 5;
            let mut data = Attributes::default();
            if node.stp {
                // Hundredths of a second: the shortest that the protocol has.
                data = data
                    .with_u32(IFLA_BR_FORWARD_DELAY, 200)
                    .with_u32(IFLA_BR_STP_STATE, 1);
            }
            config.add_link(BRIDGE, &LinkKind::Other { kind: "bridge", data })?;
            config.set_up(BRIDGE)?;
        }
    }
    Ok((namespace, config))
}

/// Has Linux look a forwarded packet's sender up among the node's own routes, to see that it is not the node itself. It would look among the addresses
/// of all networks, a table whose size is fixed, as long as no program has added a route to addresses of the node's own; that there was one it remembers.
fn ask_routes_for_senders(config: &Configuration) -> io::Result<()> {
    const RTM_NEWROUTE: u16 = 24;
    const RTM_DELROUTE: u16 = 25;
    const RTA_DST: u16 = 1;
    const RTA_OIF: u16 = 4;
    const AF_INET: u8 = 2;
    const RT_TABLE_LOCAL: u8 = 255;
    const RTPROT_STATIC: u8 = 4;
    const RT_SCOPE_HOST: u8 = 254;
    const RTN_LOCAL: u8 = 2;
    // struct rtmsg
    let class = [RT_TABLE_LOCAL, RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL];
    let head = [[AF_INET, 32, 0, 0], class, [0; 4]].concat();
    let interface = config.interface("lo")?.index;
    for (kind, flags) in [(RTM_NEWROUTE, CREATE | EXCLUSIVE), (RTM_DELROUTE, 0)] {
        let request = Request::new(kind, flags, &head).with(RTA_DST, &[127, 0, 0, 2]);
        let request = request.with_u32(RTA_OIF, interface);
        config.netlink().exchange("127.0.0.2", &request)?;
    }
    Ok(())
}

/// A node's route. All of a node's have its number as their metric: Linux looks for equal ways out of a route among those of all networks that have
/// the same metric, and would look through those of all nodes otherwise, for each route.
pub(super) fn route_of(node: usize, to: IpAddr, prefix: u8) -> Route {
    let metric = u32::try_from(node).unwrap_or(0).saturating_add(1);
    Route {
        metric: Some(metric),
        ..Route::to(to, prefix)
    }
}

/// A hardware address that no other interface has.
pub(super) fn hardware((node, interface): (usize, usize)) -> [u8; 6] {
    let [node, interface] = [node, interface].map(|number| u16::try_from(number).unwrap_or(u16::MAX));
    let ([a, b], [c, d]) = (node.to_be_bytes(), interface.to_be_bytes());
    [2, 0, a, b, c, d]
}
