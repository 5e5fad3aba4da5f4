//! Options of a program that has a network: the words that all of them share.

use crate::settings::{Addressing, Interface, Settings, Source};
use lkl_links::{NAT, Spec};
use lkl_net::config::InterfaceAddress;
use lkl_session::program::Program;
use std::net::IpAddr;
use std::time::Duration;

/// What `--net` can be, for the end of a program's `--help`.
#[macro_export]
macro_rules! net_help {
    () => {
        "\
What NET is:
  slirp                user-mode NAT: the machine's own network, without root; 10.0.2.2 is the machine itself, loopback included
  tap:NAME             a TAP device; root, or the user that it was made for
  raw:IF               an interface of the machine's, shared with it; root
  macvtap:PATH         a macvtap, by its device
  unix:PATH            a UNIX socket with a length before each packet: passt's, QEMU's stream
  unixgram:HERE,THERE  UNIX datagrams, as QEMU's dgram
  unixpacket:PATH      a UNIX socket with a packet a message: slirp4netns --target-type=bess
  vde:PATH             a switch of VDE's, by its folder
  tcp:ADDRESS:PORT     the same as unix: by TCP
  udp:HERE,THERE       a datagram a packet, as QEMU's dgram; also on Windows, which has no other but pcap:
  pipe:READ,WRITE      two FIFOs
  dpdk:ARGUMENTS       a device that DPDK drives, by the arguments of its EAL; where it is built in
  pcap:FILE            a record; nothing answers
"
    };
}

/// Options for one interface. A program flattens them into its own.
#[derive(Clone, Debug, clap::Args)]
pub struct NetworkArgs {
    /// What Linux's interface is connected to
    #[arg(long, value_name = "NET", default_value = "slirp", help_heading = "Network")]
    pub net: Spec,
    /// An address of the interface and its prefix, as 192.0.2.7/24; may be given again [default: DHCP; slirp has its own]
    #[arg(long, value_name = "A/P", value_parser = interface_address, help_heading = "Network")]
    pub ip: Vec<InterfaceAddress>,
    /// The way out of the interface's network; one of each version of IP
    #[arg(long, value_name = "A", help_heading = "Network")]
    pub gateway: Vec<IpAddr>,
    /// A name server; may be given again
    #[arg(long, value_name = "A", help_heading = "Network")]
    pub dns: Vec<IpAddr>,
    /// The longest packet of the interface [default: 1500; slirp: 65520]
    #[arg(long, value_name = "BYTES", help_heading = "Network",
          value_parser = clap::value_parser!(u32).range(576..=65_535))]
    pub mtu: Option<u32>,
    /// Use addresses of IPv4 alone
    #[arg(short = '4', long, help_heading = "Network")]
    pub ipv4: bool,
    /// Use addresses of IPv6 alone
    #[arg(short = '6', long, conflicts_with = "ipv4", help_heading = "Network")]
    pub ipv6: bool,
    /// Memory for Linux
    #[arg(long, value_name = "MIB", default_value_t = 128, help_heading = "Network",
          value_parser = clap::value_parser!(u32).range(32..=65_536))]
    pub memory: u32,
}

impl NetworkArgs {
    /// What they ask for. A router's advertisement is waited for as long as `patience` says.
    pub fn settings(&self, program: Program, patience: Duration) -> Settings {
        let mut interface = Interface::new(self.net.clone());
        let nat = self.net == Spec::Slirp;
        if !self.ip.is_empty() {
            interface.addressing = Addressing::Fixed(self.ip.clone());
        } else if self.ipv6 && !nat {
            // A version of IP that is not wanted gets no addresses asked for.
            interface.addressing = Addressing::Advertised;
        }
        if !self.gateway.is_empty() {
            interface.gateways.clone_from(&self.gateway);
        }
        interface.mtu = self.mtu;
        let mut name_servers = self.dns.clone();
        if nat && name_servers.is_empty() {
            name_servers.push(NAT.name_server.into());
        }
        Settings {
            source: Source::Options,
            memory: self.memory,
            interfaces: vec![interface],
            name_servers,
            patience,
            ..Settings::new(program)
        }
    }
}

/// An address and its prefix, as a user writes them: `192.0.2.7/24`.
///
/// # Errors
/// What is to be written, in a few words.
pub fn interface_address(text: &str) -> Result<InterfaceAddress, String> {
    let wrong = || "write an address and its prefix, as 192.0.2.7/24 or 2001:db8::7/64".to_owned();
    let (ip, prefix) = text.split_once('/').ok_or_else(wrong)?;
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    if prefix > most || ip.is_unspecified() || ip.is_multicast() {
        return Err(wrong());
    }
    Ok(InterfaceAddress::new(ip, prefix).at_once())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        network: NetworkArgs,
    }

    fn settings(arguments: &[&str]) -> Settings {
        let all = ["program"].iter().chain(arguments);
        let cli = Cli::try_parse_from(all).expect("a command line");
        cli.network
            .settings(Program::new("program"), Duration::from_secs(1))
    }

    #[test]
    fn an_address_needs_a_prefix_that_fits() {
        for good in ["10.9.1.2/24", "2001:db8::7/64", "192.0.2.1/32"] {
            assert!(interface_address(good).is_ok(), "{good}");
        }
        for bad in [
            "10.9.1.2",
            "10.9.1.2/33",
            "host/24",
            "0.0.0.0/0",
            "224.0.0.1/4",
            "::1/129",
        ] {
            assert!(interface_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nat_has_its_addresses_and_anything_else_asks() {
        let nat = settings(&[]);
        let [interface] = &*nat.interfaces else {
            panic!("one interface");
        };
        assert!(matches!(&interface.addressing, Addressing::Fixed(fixed) if fixed.len() == 1));
        assert_eq!(interface.gateways, [IpAddr::from(NAT.gateway)]);
        assert_eq!(nat.name_servers, [IpAddr::from(NAT.name_server)]);
        assert_eq!(interface.longest(), NAT.mtu);
        let asks = settings(&["--net", "tap:tap0"]);
        assert_eq!(asks.interfaces[0].addressing, Addressing::Dhcp);
        assert_eq!(asks.interfaces[0].longest(), 1500);
        assert!(asks.interfaces[0].gateways.is_empty() && asks.name_servers.is_empty());
        let six = settings(&["--net", "tap:tap0", "-6"]);
        assert_eq!(six.interfaces[0].addressing, Addressing::Advertised);
    }

    #[test]
    fn what_is_written_takes_the_place_of_what_is_usual() {
        let own = settings(&[
            "--ip",
            "10.9.1.2/24",
            "--gateway",
            "10.9.1.1",
            "--dns",
            "10.9.1.3",
        ]);
        let fixed = Addressing::Fixed(vec![interface_address("10.9.1.2/24").unwrap()]);
        assert_eq!(own.interfaces[0].addressing, fixed);
        assert_eq!(
            own.interfaces[0].gateways,
            ["10.9.1.1".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(own.name_servers, ["10.9.1.3".parse::<IpAddr>().unwrap()]);
    }
}
