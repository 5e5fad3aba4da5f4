//! The settings, made so in a Linux that runs.

use crate::settings::{Addressing, Interface, Settings};
use linux_full::Networks;
use lkl::{Errno, Kernel};
use lkl_links::Spec;
use lkl_net::config::{self, Configuration, Handle, InterfaceAddress, Queue, Route, Rule};
use lkl_net::{NameServers, Namespace, arp, dhcp};
use lkl_netdev::{Backend, Config, NetworkDevice};
use lkl_session::exit::{Exit, Failure, reason};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long hosts may take to say that an address is theirs.
const PROBE: Duration = Duration::from_millis(100);

/// Settings, and the Linux that they are for.
pub(crate) struct Applying<'a> {
    pub settings: &'a Settings,
    pub kernel: &'a Kernel,
    pub namespace: &'a Namespace,
}

impl Applying<'_> {
    /// All of them, in the order in which later ones need earlier ones.
    pub(crate) fn run(&self, backends: Vec<Arc<dyn Backend>>) -> Result<Vec<NetworkDevice>, Failure> {
        let other = |what: &str, error: io::Error| {
            Failure::new(Exit::Other, format_args!("{what}: {}", reason(&error)))
        };
        let Settings {
            sysctls,
            mounts,
            gateways,
            name_servers,
            dump,
            ..
        } = self.settings;
        let config = self.namespace.configuration();
        let config = config.map_err(|error| other("network", error))?;
        self.namespace
            .start_loopback()
            .map_err(|error| other("loopback", error))?;
        for kind in mounts {
            let mounted = self.namespace.mount(kind);
            mounted.map_err(|error| other(&format!("mount {kind}"), error))?;
        }
        for (name, value) in sysctls {
            let set = self.namespace.set_sysctl(name, value);
            set.map_err(|error| other("sysctl", error))?;
        }
        let mut devices = Vec::new();
        for (interface, backend) in self.settings.interfaces.iter().zip(backends) {
            devices.push(self.add(&config, interface, backend)?);
        }
        for gateway in gateways {
            let route = Route::default_via(*gateway);
            let done = config.replace_route(&route);
            done.map_err(|error| self.refused(&route.to_string(), &error))?;
        }
        if !name_servers.is_empty() {
            let servers = NameServers::at(name_servers.iter().copied());
            self.namespace.set_name_servers(servers);
        }
        for path in dump {
            let inside = path.trim_start_matches('/');
            let text = self
                .namespace
                .read_proc(&format!("thread-self/root/{inside}"))
                .map_err(|error| other(path, error))?;
            eprint!("{text}");
        }
        Ok(devices)
    }

    fn add(
        &self,
        config: &Configuration,
        interface: &Interface,
        backend: Arc<dyn Backend>,
    ) -> Result<NetworkDevice, Failure> {
        let how = Config {
            mac: interface.mac,
            mtu: interface.longest(),
            ..Config::default()
        };
        let net = interface.net.to_string();
        let device = self.kernel.add_network_device(backend, &how).map_err(|errno| {
            let advice = match errno {
                Errno::EADDRNOTAVAIL => {
                    "the hardware address must be one interface's, as 02:00:00:00:00:01".to_owned()
                }
                _ => format!("try another {}", self.settings.source.mtu()),
            };
            Failure::new(
                Exit::Other,
                format_args!("{net}: Linux takes no such interface: {errno}; {advice}"),
            )
        })?;
        let configured = self.configure(config, interface, device.name());
        configured.map_err(|error| match error {
            Fault::Linux(error) => self.refused(&net, &error),
            Fault::Told(failure) => failure,
        })?;
        Ok(device)
    }

    fn configure(&self, config: &Configuration, interface: &Interface, name: &str) -> Result<(), Fault> {
        let none = Vec::new();
        let addresses = match &interface.addressing {
            Addressing::Fixed(addresses) => addresses,
            Addressing::Dhcp | Addressing::Advertised => &none,
        };
        if let Some(kind) = &interface.queue {
            let queue = Queue::Other {
                kind,
                options: Default::default(),
            };
            config.set_queue(name, Handle::ROOT, Handle::new(0, 0), &queue)?;
        }
        config.set_up(name)?;
        self.probe(interface, name, addresses)?;
        for address in addresses {
            config.add_address(name, *address)?;
        }
        for (ip, hardware) in &interface.neighbours {
            config.set_neighbour(name, *ip, hardware.0)?;
        }
        match interface.addressing {
            Addressing::Fixed(_) => {}
            Addressing::Dhcp => self.ask(interface, name)?,
            Addressing::Advertised => self.wait_for_router(interface, name)?,
        }
        for gateway in &interface.gateways {
            config.replace_route(&Route::default_via(*gateway).over(name))?;
        }
        for gateway in &interface.own_gateways {
            own_way_out(config, name, addresses, *gateway)?;
        }
        Ok(())
    }

    /// Whether another host has one of the addresses. Where both use it, connections go to either by chance, and one to it goes to
    /// this Linux itself.
    fn probe(&self, interface: &Interface, name: &str, addresses: &[InterfaceAddress]) -> Result<(), Fault> {
        if matches!(interface.net, Spec::Slirp | Spec::Pcap(_)) {
            // No host is there that could have it.
            return Ok(());
        }
        let wanted = addresses.iter().filter_map(|address| match address.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let wanted: Vec<Ipv4Addr> = wanted.collect();
        if wanted.is_empty() {
            return Ok(());
        }
        match arp::conflict(self.namespace, name, &wanted, PROBE)? {
            None => Ok(()),
            Some(conflict) => Err(Fault::Told(Failure::new(
                Exit::Other,
                format_args!(
                    "{}: {conflict}; give another one with {}",
                    interface.net,
                    self.settings.source.address()
                ),
            ))),
        }
    }

    fn ask(&self, interface: &Interface, name: &str) -> Result<(), Fault> {
        let lease = dhcp::Client::new(self.namespace, name).and_then(|client| {
            let lease = client.obtain()?;
            client.apply(&lease)
        });
        lease.map_err(|error| {
            let (net, word) = (&interface.net, self.settings.source.address());
            Fault::Told(match error.kind() {
                io::ErrorKind::TimedOut => Failure::new(
                    Exit::Timeout,
                    format_args!("{net}: no DHCP server answers; give an address with {word}"),
                ),
                _ => Failure::new(
                    Exit::Other,
                    format_args!("{net}: DHCP: {}; give an address with {word}", reason(&error)),
                ),
            })
        })
    }

    /// Waits until a router has advertised itself, and Linux has given itself an address.
    fn wait_for_router(&self, interface: &Interface, name: &str) -> Result<(), Fault> {
        let end = Instant::now() + self.settings.patience;
        let config = self.namespace.configuration()?;
        while Instant::now() < end {
            let global = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local());
            if config.addresses(name)?.iter().any(|address| global(&address.ip)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let (net, word) = (&interface.net, self.settings.source.address());
        Err(Fault::Told(Failure::new(
            Exit::Timeout,
            format_args!("{net}: no router advertises IPv6 there; give an address with {word}"),
        )))
    }

    fn refused(&self, what: &str, error: &io::Error) -> Failure {
        let source = self.settings.source;
        let (address, gateway) = (source.address(), source.gateway());
        let why = reason(error);
        Failure::new(
            Exit::Other,
            format_args!("{what}: {why}; look at {address} and {gateway}"),
        )
    }
}

/// What stopped the configuration of an interface.
enum Fault {
    Linux(io::Error),
    Told(Failure),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Linux(error)
    }
}

/// Packets from an interface's own addresses leave by a gateway of their own, whatever the way out for others is.
fn own_way_out(
    config: &Configuration,
    name: &str,
    addresses: &[InterfaceAddress],
    gateway: IpAddr,
) -> io::Result<()> {
    let table = config::own_table(config.interface(name)?.index);
    for address in addresses {
        if address.ip.is_ipv4() != gateway.is_ipv4() {
            continue;
        }
        let link = Route::to(address.network(), address.prefix);
        config.replace_route(&link.over(name).in_table(table))?;
        let whole = if address.ip.is_ipv4() { 32 } else { 128 };
        config.add_rule(&Rule {
            ipv6: address.ip.is_ipv6(),
            priority: table,
            from: Some((address.ip, whole)),
            to: None,
            mark: None,
            input: None,
            table,
        })?;
    }
    config.replace_route(&Route::default_via(gateway).over(name).in_table(table))
}
