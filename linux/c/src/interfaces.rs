//! Interfaces, addresses, routes: helpers over rtnetlink, in the network that the calling thread is in.
//!
//! An interface has a routing table of its own here, for packets that have one of its addresses as their source:
//! `lkl_if_add_linklocal()`, `lkl_if_add_gateway()` and `lkl_if_add_rule_from_saddr()` are its parts, and
//! `lkl_if_set_ipv4_gateway()` all of them.

use crate::{calls, int, life, operations};
use lkl::{Errno, OwnedFd};
use lkl_net::config::{Configuration, Handle, InterfaceAddress, Queue, Route, Rule, own_table};
use lkl_net::netlink::{DUMP, Request, attribute};
use lkl_net::{Namespace, Socket};
use std::ffi::{CStr, c_char, c_void};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

const AF_INET: i32 = 2;
const AF_INET6: i32 = 10;
/// How long duplicates of an address are looked for at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Linux's number in an error of `lkl-net`'s.
fn errno(error: io::Error) -> Errno {
    lkl_net::errno(&error).unwrap_or(Errno::EIO)
}

/// The configuration of the network that this thread is in: it makes the socket.
fn configuration() -> Result<Configuration, Errno> {
    let kernel = life::kernel()?;
    let number = calls::netlink_socket()?;
    // SAFETY: Linux has just opened it, for this function.
    let fd = unsafe { OwnedFd::from_raw(&kernel, number) };
    let socket = Socket::from_descriptor(fd, lkl_net::Family::NETLINK);
    Configuration::over(&Namespace::initial(&kernel), socket).map_err(errno)
}

/// An interface that the program names by its number.
struct Interface {
    config: Configuration,
    name: String,
    index: u32,
}

impl Interface {
    fn of(ifindex: i32) -> Result<Interface, Errno> {
        let index = u32::try_from(ifindex).map_err(|_| Errno::ENODEV)?;
        let config = configuration()?;
        let all = config.interfaces().map_err(errno)?;
        let found = all.into_iter().find(|interface| interface.index == index);
        let name = found.ok_or(Errno::ENODEV)?.name;
        Ok(Interface { config, name, index })
    }

    /// The table of its own.
    fn table(&self) -> u32 {
        own_table(self.index)
    }

    /// Its address, and that it has it already is well.
    fn set(&self, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        match self.add(ip, prefix) {
            Err(Errno::EEXIST) => Ok(()),
            outcome => outcome,
        }
    }

    fn add(&self, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        let address = InterfaceAddress::new(ip, prefix);
        self.config.add_address(&self.name, address).map_err(errno)
    }

    /// In its own table: the network of an address is on the link.
    fn add_link_network(&self, ip: IpAddr, prefix: u8) -> Result<(), Errno> {
        let address = InterfaceAddress::new(ip, prefix);
        let route = Route::to(address.network(), prefix).over(&self.name);
        self.config
            .replace_route(&route.in_table(self.table()))
            .map_err(errno)
    }

    /// In its own table: the way out.
    fn add_gateway(&self, gateway: IpAddr) -> Result<(), Errno> {
        let route = Route::default_via(gateway).over(&self.name);
        self.config
            .replace_route(&route.in_table(self.table()))
            .map_err(errno)
    }

    /// Packets from that address look into its own table.
    fn add_rule_from(&self, ip: IpAddr) -> Result<(), Errno> {
        let whole = if ip.is_ipv4() { 32 } else { 128 };
        let rule = Rule {
            ipv6: ip.is_ipv6(),
            priority: self.table(),
            from: Some((ip, whole)),
            to: None,
            mark: None,
            input: None,
            table: self.table(),
        };
        match self.config.add_rule(&rule).map_err(errno) {
            Err(Errno::EEXIST) => Ok(()),
            outcome => outcome,
        }
    }

    fn set_own_way_out(&self, ip: IpAddr, prefix: u8, gateway: IpAddr) -> Result<(), Errno> {
        self.add_link_network(ip, prefix)?;
        self.add_rule_from(ip)?;
        self.add_gateway(gateway)
    }
}

/// What the caller gets of something done to an interface.
fn done(ifindex: i32, act: impl FnOnce(&Interface) -> Result<(), Errno>) -> i32 {
    int(Interface::of(ifindex)
        .and_then(|interface| act(&interface))
        .map(|()| 0))
}

/// The same with an address.
fn done_with(
    ifindex: i32,
    ip: Result<IpAddr, Errno>,
    act: impl FnOnce(&Interface, IpAddr) -> Result<(), Errno>,
) -> i32 {
    match ip {
        Ok(ip) => done(ifindex, |interface| act(interface, ip)),
        Err(errno) => int(Err(errno)),
    }
}

/// The bits of a network's part.
fn prefix(len: u32, ip: IpAddr) -> Result<u8, Errno> {
    let most = if ip.is_ipv4() { 32 } else { 128 };
    u8::try_from(len)
        .ok()
        .filter(|len| *len <= most)
        .ok_or(Errno::EINVAL)
}

/// The same as a program's `int`.
fn signed_prefix(len: i32, ip: IpAddr) -> Result<u8, Errno> {
    prefix(u32::try_from(len).map_err(|_| Errno::EINVAL)?, ip)
}

/// An address of IPv4 as `in_addr_t` has it.
fn v4(addr: u32) -> IpAddr {
    Ipv4Addr::from(addr.to_ne_bytes()).into()
}

/// An address by pointer.
///
/// # Safety
/// Four or sixteen bytes, as the family wants, or NULL.
unsafe fn ip(af: i32, addr: *const c_void) -> Result<IpAddr, Errno> {
    if addr.is_null() {
        return Err(Errno::EFAULT);
    }
    match af {
        // SAFETY: the caller's promise.
        AF_INET => Ok(Ipv4Addr::from(unsafe { addr.cast::<[u8; 4]>().read() }).into()),
        // SAFETY: the caller's promise.
        AF_INET6 => Ok(Ipv6Addr::from(unsafe { addr.cast::<[u8; 16]>().read() }).into()),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

#[unsafe(no_mangle)]
extern "C" fn lkl_if_up(ifindex: i32) -> i32 {
    done(ifindex, |interface| {
        interface.config.set_up(&interface.name).map_err(errno)
    })
}

#[unsafe(no_mangle)]
extern "C" fn lkl_if_down(ifindex: i32) -> i32 {
    done(ifindex, |interface| {
        interface.config.set_down(&interface.name).map_err(errno)
    })
}

#[unsafe(no_mangle)]
extern "C" fn lkl_if_set_mtu(ifindex: i32, mtu: i32) -> i32 {
    done(ifindex, |interface| {
        let mtu = u32::try_from(mtu).map_err(|_| Errno::EINVAL)?;
        interface.config.set_mtu(&interface.name, mtu).map_err(errno)
    })
}

#[unsafe(no_mangle)]
extern "C" fn lkl_if_set_ipv4(ifindex: i32, addr: u32, netmask_len: u32) -> i32 {
    let ip = v4(addr);
    done(ifindex, |interface| interface.set(ip, prefix(netmask_len, ip)?))
}

#[unsafe(no_mangle)]
extern "C" fn lkl_if_set_ipv4_gateway(ifindex: i32, addr: u32, netmask_len: u32, gateway_addr: u32) -> i32 {
    let ip = v4(addr);
    done(ifindex, |interface| {
        interface.set_own_way_out(ip, prefix(netmask_len, ip)?, v4(gateway_addr))
    })
}

/// # Safety
/// Sixteen bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_if_set_ipv6(ifindex: i32, addr: *const c_void, netprefix_len: u32) -> i32 {
    // SAFETY: the caller's promise.
    let ip = unsafe { ip(AF_INET6, addr) };
    done_with(ifindex, ip, |interface, ip| {
        interface.set(ip, prefix(netprefix_len, ip)?)
    })
}

/// # Safety
/// Sixteen bytes each.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_if_set_ipv6_gateway(
    ifindex: i32,
    addr: *const c_void,
    netmask_len: u32,
    gateway_addr: *const c_void,
) -> i32 {
    // SAFETY: the caller's promise.
    let (own, gateway) = (unsafe { ip(AF_INET6, addr) }, unsafe {
        ip(AF_INET6, gateway_addr)
    });
    done_with(ifindex, own, |interface, own| {
        interface.set_own_way_out(own, prefix(netmask_len, own)?, gateway?)
    })
}

/// The way out of all networks.
fn set_gateway(gateway: Result<IpAddr, Errno>) -> i32 {
    int(gateway.and_then(|gateway| {
        let route = Route::default_via(gateway);
        configuration()?.replace_route(&route).map_err(errno)?;
        Ok(0)
    }))
}

#[unsafe(no_mangle)]
extern "C" fn lkl_set_ipv4_gateway(addr: u32) -> i32 {
    set_gateway(Ok(v4(addr)))
}

/// # Safety
/// Sixteen bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_set_ipv6_gateway(addr: *const c_void) -> i32 {
    // SAFETY: the caller's promise.
    set_gateway(unsafe { ip(AF_INET6, addr) })
}

/// # Safety
/// As many bytes as the family has.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_add_gateway(af: i32, gateway_addr: *const c_void) -> i32 {
    // SAFETY: the caller's promise.
    set_gateway(unsafe { ip(af, gateway_addr) })
}

/// # Safety
/// As many bytes as the family has.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_if_add_ip(ifindex: i32, af: i32, addr: *const c_void, netprefix_len: u32) -> i32 {
    // SAFETY: the caller's promise.
    let ip = unsafe { ip(af, addr) };
    done_with(ifindex, ip, |interface, ip| {
        interface.add(ip, prefix(netprefix_len, ip)?)
    })
}

/// # Safety
/// As many bytes as the family has.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_if_del_ip(ifindex: i32, af: i32, addr: *const c_void, netprefix_len: u32) -> i32 {
    // SAFETY: the caller's promise.
    let ip = unsafe { ip(af, addr) };
    done_with(ifindex, ip, |interface, ip| {
        let address = InterfaceAddress::new(ip, prefix(netprefix_len, ip)?);
        let deleted = interface.config.delete_address(&interface.name, address);
        deleted.map_err(errno)
    })
}

/// # Safety
/// As many bytes as the family has.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_if_add_gateway(ifindex: i32, af: i32, gateway_addr: *const c_void) -> i32 {
    // SAFETY: the caller's promise.
    let gateway = unsafe { ip(af, gateway_addr) };
    done_with(ifindex, gateway, |interface, gateway| {
        interface.add_gateway(gateway)
    })
}

/// # Safety
/// As many bytes as the family has.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_if_add_linklocal(
    ifindex: i32,
    af: i32,
    addr: *const c_void,
    netprefix_len: i32,
) -> i32 {
    // SAFETY: the caller's promise.
    let ip = unsafe { ip(af, addr) };
    done_with(ifindex, ip, |interface, ip| {
        interface.add_link_network(ip, signed_prefix(netprefix_len, ip)?)
    })
}

/// # Safety
/// As many bytes as the family has.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_if_add_rule_from_saddr(ifindex: i32, af: i32, saddr: *const c_void) -> i32 {
    // SAFETY: the caller's promise.
    let ip = unsafe { ip(af, saddr) };
    done_with(ifindex, ip, |interface, ip| interface.add_rule_from(ip))
}

/// # Safety
/// As many bytes as the family has, and six.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_add_neighbor(ifindex: i32, af: i32, addr: *const c_void, mac: *const c_void) -> i32 {
    // SAFETY: the caller's promise.
    let ip = unsafe { ip(af, addr) };
    // SAFETY: the caller's promise.
    let mac = unsafe { mac.cast::<[u8; 6]>().as_ref() };
    done_with(ifindex, ip, |interface, ip| {
        let set = interface
            .config
            .set_neighbour(&interface.name, ip, *mac.ok_or(Errno::EFAULT)?);
        set.map_err(errno)
    })
}

/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_ifname_to_ifindex(name: *const c_char) -> i32 {
    if name.is_null() {
        return int(Err(Errno::EFAULT));
    }
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) };
    int(name
        .to_str()
        .map_err(|_| Errno::ENODEV)
        .and_then(|name| Ok(configuration()?.interface(name).map_err(errno)?.index.into())))
}

/// What is known of the search for duplicates of an interface's addresses of IPv6.
enum Search {
    Goes,
    Ended,
    /// Another host has one of them.
    Duplicate,
}

fn search(interface: &Interface) -> Result<Search, Errno> {
    const RTM_GETADDR: u16 = 22;
    const IFA_FLAGS: u16 = 8;
    const IFA_F_DADFAILED: u32 = 8;
    const IFA_F_TENTATIVE: u32 = 0x40;
    let mut head = [0; 8];
    head[0] = AF_INET6 as u8;
    let request = Request::new(RTM_GETADDR, DUMP, &head);
    let answers = interface.config.netlink().exchange(&interface.name, &request);
    let mut found = Search::Ended;
    for answer in answers.map_err(errno)? {
        let Some((head, attributes)) = answer.body.split_at_checked(8) else {
            continue;
        };
        if head.get(4..) != Some(&interface.index.to_ne_bytes()) {
            continue;
        }
        let flags = attribute(attributes, IFA_FLAGS).and_then(|flags| flags.first_chunk());
        let flags = flags.map_or(0, |flags| u32::from_ne_bytes(*flags));
        if flags & IFA_F_DADFAILED != 0 {
            return Ok(Search::Duplicate);
        }
        if flags & IFA_F_TENTATIVE != 0 {
            found = Search::Goes;
        }
    }
    Ok(found)
}

#[unsafe(no_mangle)]
extern "C" fn lkl_if_wait_ipv6_dad(ifindex: i32) -> i32 {
    done(ifindex, |interface| {
        let start = Instant::now();
        loop {
            match search(interface)? {
                Search::Ended => return Ok(()),
                Search::Duplicate => return Err(Errno::EADDRINUSE),
                Search::Goes if start.elapsed() > PATIENCE => return Err(Errno::ETIMEDOUT),
                Search::Goes => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    })
}

/// Puts a queue at a place.
fn add_queue(ifindex: i32, root: &str, kind: &str) -> Result<(), Errno> {
    if root != "root" || kind.is_empty() {
        return Err(Errno::EINVAL);
    }
    let interface = Interface::of(ifindex)?;
    let queue = Queue::Other {
        kind,
        options: Default::default(),
    };
    let set = interface
        .config
        .set_queue(&interface.name, Handle::ROOT, Handle::new(0, 0), &queue);
    set.map_err(errno)
}

/// # Safety
/// Strings, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_qdisc_add(ifindex: i32, root: *const c_char, kind: *const c_char) -> i32 {
    if root.is_null() || kind.is_null() {
        return int(Err(Errno::EFAULT));
    }
    // SAFETY: the caller's promise.
    let root = unsafe { CStr::from_ptr(root) };
    // SAFETY: the caller's promise.
    let kind = unsafe { CStr::from_ptr(kind) };
    let texts = root.to_str().and_then(|root| Ok((root, kind.to_str()?)));
    int(texts
        .map_err(|_| Errno::EINVAL)
        .and_then(|(root, kind)| add_queue(ifindex, root, kind))
        .map(|()| 0))
}

/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_qdisc_parse_add(ifindex: i32, entries: *const c_char) {
    if entries.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    let entries = unsafe { CStr::from_ptr(entries) }.to_string_lossy();
    let parts = entries.split(';').map(str::trim).filter(|part| !part.is_empty());
    for entry in parts {
        let outcome = match entry.split_once('|') {
            Some((root, kind)) => add_queue(ifindex, root, kind),
            None => Err(Errno::EINVAL),
        };
        if let Err(errno) = outcome {
            operations::print(format!("lkl: qdisc {entry}: {}\n", errno.text()).as_bytes());
        }
    }
}
