//! Routes, and the rules that choose among tables of them.

use super::{Configuration, check_prefix, family, ip_of, octets};
use crate::error::about;
use crate::netlink::{Answer, CREATE, EXCLUSIVE, REPLACE, Request, attribute, u32_of};
use lkl::Errno;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
const RTAX_MTU: u16 = 2;
const RTAX_CC_ALGO: u16 = 16;

/// The main table.
const RT_TABLE_MAIN: u32 = 254;
/// `RTPROT_STATIC`: set by hand.
const RTPROT_STATIC: u8 = 4;
/// `RT_SCOPE_LINK`: the destination is on the link itself.
const RT_SCOPE_LINK: u8 = 253;
/// `RT_SCOPE_HOST`: it is this host.
const RT_SCOPE_HOST: u8 = 254;

/// What becomes of packets that a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouteType {
    /// They are sent.
    #[default]
    Unicast = 1,
    /// They are for this host. Linux looks for its own addresses in its table `local`, 255, first.
    Local = 2,
    /// They vanish.
    Blackhole = 6,
    /// They are refused, and the sender is told.
    Unreachable = 7,
}

/// A route. `Route::to(...)`, and what differs from the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination's address.
    pub destination: IpAddr,
    /// How many bits of it count: 0 is "everywhere else".
    pub prefix: u8,
    /// The neighbour to send to.
    pub gateway: Option<IpAddr>,
    /// The interface to send over.
    pub interface: Option<String>,
    /// The address to send from.
    pub source: Option<IpAddr>,
    /// The lower, the rather it is taken.
    pub metric: Option<u32>,
    /// The table; the main one has the number 254.
    pub table: u32,
    /// What becomes of the packets.
    pub kind: RouteType,
    /// The congestion control of connections that take it.
    pub congestion: Option<String>,
    /// The longest packet along it.
    pub mtu: Option<u32>,
}

impl Route {
    /// To that network.
    pub fn to(destination: impl Into<IpAddr>, prefix: u8) -> Route {
        Route {
            destination: destination.into(),
            prefix,
            gateway: None,
            interface: None,
            source: None,
            metric: None,
            table: RT_TABLE_MAIN,
            kind: RouteType::Unicast,
            congestion: None,
            mtu: None,
        }
    }

    /// Everywhere else, through that neighbour.
    pub fn default_via(gateway: impl Into<IpAddr>) -> Route {
        let gateway = gateway.into();
        let everywhere: IpAddr = match gateway {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Route::to(everywhere, 0).via(gateway)
    }

    /// Through that neighbour.
    #[must_use]
    pub fn via(self, gateway: impl Into<IpAddr>) -> Route {
        let gateway = Some(gateway.into());
        Route { gateway, ..self }
    }

    /// Over that interface.
    #[must_use]
    pub fn over(self, interface: &str) -> Route {
        let interface = Some(interface.to_owned());
        Route { interface, ..self }
    }

    /// In that table.
    #[must_use]
    pub fn in_table(self, table: u32) -> Route {
        Route { table, ..self }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route to {}/{}", self.destination, self.prefix)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(interface) = &self.interface {
            write!(f, " over {interface}")?;
        }
        Ok(())
    }
}

/// The routing table for packets that have an address of one interface as their source, by the interface's number.
pub fn own_table(interface: u32) -> u32 {
    const FIRST: u32 = 1000;
    FIRST.saturating_add(interface)
}

/// A rule: which packets look into which table. What is `None` fits every packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Whether it is for IPv6.
    pub ipv6: bool,
    /// The lower, the earlier it is asked.
    pub priority: u32,
    /// The sender's network.
    pub from: Option<(IpAddr, u8)>,
    /// The receiver's network.
    pub to: Option<(IpAddr, u8)>,
    /// The mark ([`crate::Socket::set_mark`]).
    pub mark: Option<u32>,
    /// The interface that the packet came over.
    pub input: Option<&'a str>,
    /// The table to look into.
    pub table: u32,
}

/// A table's number for a head that has one byte for it; the attribute has the whole.
fn short_table(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(0)
}

impl Configuration {
    /// Adds a route.
    ///
    /// # Errors
    /// EEXIST when there is the same one; ENETUNREACH when the gateway is on no link.
    pub fn add_route(&self, route: &Route) -> io::Result<()> {
        self.change_route(RTM_NEWROUTE, CREATE | EXCLUSIVE, route)
    }

    /// Adds a route, or changes the one with this destination, metric and table.
    pub fn replace_route(&self, route: &Route) -> io::Result<()> {
        self.change_route(RTM_NEWROUTE, CREATE | REPLACE, route)
    }

    /// Deletes it. ESRCH when there is none like it.
    pub fn delete_route(&self, route: &Route) -> io::Result<()> {
        self.change_route(RTM_DELROUTE, 0, route)
    }

    fn change_route(&self, kind: u16, flags: u16, route: &Route) -> io::Result<()> {
        let thing = route.to_string();
        check_prefix("route", route.destination, route.prefix)?;
        let ipv4 = route.destination.is_ipv4();
        let others = [route.gateway, route.source];
        if others.iter().flatten().any(|ip| ip.is_ipv4() != ipv4) {
            return Err(about(thing, Errno::EINVAL));
        }
        // Only IPv4 has scopes; it refuses one that is wider than the kind of the route allows.
        let scope = match route.kind {
            RouteType::Local if ipv4 => RT_SCOPE_HOST,
            RouteType::Unicast if ipv4 && route.gateway.is_none() => RT_SCOPE_LINK,
            _ => 0,
        };
        let head = [
            family(route.destination),
            route.prefix,
            0,
            0,
            short_table(route.table),
            RTPROT_STATIC,
            scope,
            route.kind as u8,
            0,
            0,
            0,
            0,
        ];
        let mut request = Request::new(kind, flags, &head).with_u32(RTA_TABLE, route.table);
        if route.prefix != 0 {
            request = request.with(RTA_DST, &octets(route.destination));
        }
        if let Some(gateway) = route.gateway {
            request = request.with(RTA_GATEWAY, &octets(gateway));
        }
        if let Some(source) = route.source {
            request = request.with(RTA_PREFSRC, &octets(source));
        }
        if let Some(interface) = &route.interface {
            request = request.with_u32(RTA_OIF, self.index(interface)?);
        }
        if let Some(metric) = route.metric {
            request = request.with_u32(RTA_PRIORITY, metric);
        }
        if route.congestion.is_some() || route.mtu.is_some() {
            request = request.nested(RTA_METRICS, |metrics| {
                let metrics = match route.mtu {
                    Some(mtu) => metrics.with_u32(RTAX_MTU, mtu),
                    None => metrics,
                };
                match &route.congestion {
                    Some(algorithm) => metrics.with_text(RTAX_CC_ALGO, algorithm),
                    None => metrics,
                }
            });
        }
        self.request(&thing, &request).map(drop)
    }

    /// The routes of the main table, of one version of IP, as far as [`Route`] has words for them.
    pub fn routes(&self, ipv6: bool) -> io::Result<Vec<Route>> {
        let names = self.interfaces()?;
        let mut head = [0; 12];
        head[0] = if ipv6 { 10 } else { 2 };
        let answers = self.dump("routes", RTM_GETROUTE, &head)?;
        let known = |answer: &Answer| {
            let (head, attributes) = answer.body.split_at_checked(12)?;
            let word = |kind| attribute(attributes, kind).and_then(u32_of);
            let ip = |kind| attribute(attributes, kind).and_then(ip_of);
            let everywhere: IpAddr = match ipv6 {
                false => Ipv4Addr::UNSPECIFIED.into(),
                true => Ipv6Addr::UNSPECIFIED.into(),
            };
            let interface = word(RTA_OIF).and_then(|index| names.iter().find(|name| name.index == index));
            let metrics = attribute(attributes, RTA_METRICS).unwrap_or(&[]);
            let route = Route {
                destination: ip(RTA_DST).unwrap_or(everywhere),
                prefix: *head.get(1)?,
                gateway: ip(RTA_GATEWAY),
                interface: interface.map(|interface| interface.name.clone()),
                source: ip(RTA_PREFSRC),
                metric: word(RTA_PRIORITY),
                table: word(RTA_TABLE)?,
                kind: match head.get(7)? {
                    1 => RouteType::Unicast,
                    2 => RouteType::Local,
                    6 => RouteType::Blackhole,
                    7 => RouteType::Unreachable,
                    _ => return None,
                },
                congestion: attribute(metrics, RTAX_CC_ALGO).map(crate::netlink::text_of),
                mtu: attribute(metrics, RTAX_MTU).and_then(u32_of),
            };
            (route.table == RT_TABLE_MAIN).then_some(route)
        };
        Ok(answers.iter().filter_map(known).collect())
    }

    /// Adds a rule.
    pub fn add_rule(&self, rule: &Rule<'_>) -> io::Result<()> {
        self.change_rule(RTM_NEWRULE, CREATE | EXCLUSIVE, rule)
    }

    /// Deletes it.
    pub fn delete_rule(&self, rule: &Rule<'_>) -> io::Result<()> {
        self.change_rule(RTM_DELRULE, 0, rule)
    }

    fn change_rule(&self, kind: u16, flags: u16, rule: &Rule<'_>) -> io::Result<()> {
        const FR_ACT_TO_TBL: u8 = 1;
        let thing = format!("rule {}", rule.priority);
        for (ip, prefix) in [rule.from, rule.to].into_iter().flatten() {
            check_prefix(&thing, ip, prefix)?;
            if ip.is_ipv6() != rule.ipv6 {
                return Err(about(format_args!("{thing}: {ip}"), Errno::EINVAL));
            }
        }
        let bits = |network: Option<(IpAddr, u8)>| network.map_or(0, |(_, prefix)| prefix);
        let head = [
            if rule.ipv6 { 10 } else { 2 },
            bits(rule.to),
            bits(rule.from),
            0,
            short_table(rule.table),
            0,
            0,
            FR_ACT_TO_TBL,
            0,
            0,
            0,
            0,
        ];
        let mut request = Request::new(kind, flags, &head)
            .with_u32(6, rule.priority)
            .with_u32(15, rule.table);
        if let Some((ip, _)) = rule.to {
            request = request.with(1, &octets(ip));
        }
        if let Some((ip, _)) = rule.from {
            request = request.with(2, &octets(ip));
        }
        if let Some(name) = rule.input {
            request = request.with_text(3, name);
        }
        if let Some(mark) = rule.mark {
            request = request.with_u32(10, mark);
        }
        self.request(&thing, &request).map(drop)
    }
}
