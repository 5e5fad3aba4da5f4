//! Linux, and its interface: booted, connected, and with addresses.

use crate::cli::Cli;
use linux_full::Networks;
use lkl::{Halt, Kernel};
use lkl_links::{LinkError, NAT, Spec};
use lkl_net::config::{InterfaceAddress, Route};
use lkl_net::{NameServers, Namespace, dhcp};
use lkl_netdev::{Config, NetworkDevice};
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::program::Program;
use lkl_session::session;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const INTERFACE: &str = "eth0";

/// Linux with an interface.
pub struct Network {
    kernel: Kernel,
    device: NetworkDevice,
    /// What sockets belong to.
    pub namespace: Namespace,
}

impl Network {
    /// Opens the other end, boots Linux, and configures the interface as the command line says.
    pub fn open(cli: &Cli) -> Result<Network, Failure> {
        let backend = cli.net.open(true).map_err(|error| unopened(&cli.net, &error))?;
        let kernel = session::boot(&Program::new("lklget"), cli.memory)?;
        let slirp = cli.net == Spec::Slirp;
        let how = Config {
            mtu: cli.mtu.unwrap_or(if slirp { NAT.mtu } else { 1500 }),
            ..Config::default()
        };
        let device = kernel.add_network_device(backend, &how).map_err(|errno| {
            Failure::new(
                Exit::Other,
                format_args!(
                    "{}: Linux takes no such interface: {errno}; try another --mtu",
                    cli.net
                ),
            )
        })?;
        let network = Network {
            namespace: Namespace::initial(&kernel),
            kernel,
            device,
        };
        network.configure(cli, slirp)?;
        Ok(network)
    }

    fn configure(&self, cli: &Cli, slirp: bool) -> Result<(), Failure> {
        let fail = |error: io::Error| {
            let why = reason(&error);
            Failure::new(
                Exit::Other,
                format_args!("{}: {why}; look at --ip and --gateway", cli.net),
            )
        };
        let config = self.namespace.configuration().map_err(fail)?;
        self.namespace.start_loopback().map_err(fail)?;
        let (mut addresses, mut gateways, mut servers) =
            (cli.ip.clone(), cli.gateway.clone(), cli.dns.clone());
        if slirp {
            if addresses.is_empty() {
                addresses.push(InterfaceAddress::new(NAT.address, NAT.prefix));
            }
            if gateways.is_empty() {
                gateways.push(NAT.gateway.into());
            }
            if servers.is_empty() {
                servers.push(NAT.name_server.into());
            }
        }
        for address in &addresses {
            config.add_address(INTERFACE, *address).map_err(fail)?;
        }
        config.set_up(INTERFACE).map_err(fail)?;
        // A version of IP that is not wanted gets no addresses asked for.
        if addresses.is_empty() && !cli.ipv6 {
            self.ask_dhcp(cli)?;
        } else if addresses.is_empty() {
            self.wait_for_router(cli)?;
        }
        for gateway in gateways {
            config
                .replace_route(&Route::default_via(gateway).over(INTERFACE))
                .map_err(fail)?;
        }
        if !servers.is_empty() {
            self.namespace.set_name_servers(NameServers::at(servers));
        }
        Ok(())
    }

    fn ask_dhcp(&self, cli: &Cli) -> Result<(), Failure> {
        let lease = dhcp::Client::new(&self.namespace, INTERFACE).and_then(|client| {
            let lease = client.obtain()?;
            client.apply(&lease)
        });
        lease.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Failure::new(
                Exit::Timeout,
                format_args!("{}: no DHCP server answers; give an address with --ip", cli.net),
            ),
            _ => Failure::new(
                Exit::Other,
                format_args!("{}: DHCP: {}; give an address with --ip", cli.net, reason(&error)),
            ),
        })
    }

    /// Waits until a router has advertised itself, and Linux has given itself an address.
    fn wait_for_router(&self, cli: &Cli) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs(cli.timeout.into());
        while Instant::now() < end {
            let config = self.namespace.configuration();
            let found = config.and_then(|config| config.addresses(INTERFACE));
            let global = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if !ip.is_unicast_link_local());
            if found.is_ok_and(|found| found.iter().any(|address| global(&address.ip))) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(Failure::new(
            Exit::Timeout,
            format_args!(
                "{}: no router advertises IPv6 there; give an address with --ip",
                cli.net
            ),
        ))
    }

    /// Whether Linux has died.
    pub fn is_dead(&self) -> bool {
        self.kernel.is_dead()
    }

    /// Takes the interface away and ends Linux.
    pub fn close(self) -> Result<(), Failure> {
        if self.is_dead() {
            return Err(dead());
        }
        // What fails here fails because Linux is dead, which halting tells.
        let _ = self.device.remove();
        match self.kernel.halt() {
            Halt::Whole => Ok(()),
            Halt::Stuck => Err(dead()),
        }
    }
}

/// What is said when Linux has died.
pub fn dead() -> Failure {
    Failure::new(
        Exit::Kernel,
        "Linux stopped, in this program alone; run it again, with -C for what came already",
    )
}

fn unopened(spec: &Spec, error: &LinkError) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::PermissionDenied => Exit::Rights,
        io::ErrorKind::ResourceBusy | io::ErrorKind::AddrInUse => Exit::InUse,
        _ => Exit::Other,
    };
    let text = error.to_string().replace(" (os error ", " (error ");
    let advice = match error.kind() {
        // The links' own words have an advice.
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => "",
        io::ErrorKind::ResourceBusy | io::ErrorKind::AddrInUse => {
            "; another program has it: end that, or name another"
        }
        _ => "; see --net in lklget --help",
    };
    Failure::new(exit, format_args!("--net {spec}: {text}{advice}"))
}
