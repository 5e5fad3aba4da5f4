//! `ip=` of the command line: interfaces that were added before the boot have their addresses when it ends, as they would in a kernel
//! that sees to it itself.

use crate::{netdevs, operations};
use lkl::Kernel;
use lkl_net::config::{Configuration, InterfaceAddress, Route};
use lkl_net::{BootIp, Namespace, dhcp};
use std::io;

/// Gives the addresses. As with a machine, that there is none is told, and Linux runs all the same.
pub(crate) fn at_boot(kernel: &Kernel, ip: &BootIp) {
    let network = Namespace::initial(kernel);
    let outcome = match ip {
        BootIp::Off => Ok(()),
        BootIp::Dhcp { device } => ask(&network, &wanted(device.as_deref())),
        BootIp::Fixed {
            address,
            prefix,
            gateway,
            device,
            ..
        } => {
            let address = InterfaceAddress::new(*address, *prefix);
            let gateway = gateway.map(Route::default_via);
            set(&network, &wanted(device.as_deref()), address, gateway)
        }
    };
    if let Err(error) = outcome {
        operations::print(format!("lkl: ip=: {error}\n").as_bytes());
    }
}

/// The names of the interfaces that are meant.
fn wanted(device: Option<&str>) -> Vec<String> {
    let names = netdevs::names().into_iter();
    names
        .filter(|name| device.is_none_or(|device| device == name))
        .collect()
}

fn none() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        "there is no such interface; lkl_netdev_add() before the boot makes one",
    )
}

fn begun(network: &Namespace) -> io::Result<Configuration> {
    network.start_loopback()?;
    network.configuration()
}

/// Asks over one after the other; the first lease counts.
fn ask(network: &Namespace, names: &[String]) -> io::Result<()> {
    begun(network)?;
    let mut outcome = Err(none());
    for name in names {
        outcome = dhcp::Client::new(network, name).and_then(|client| {
            let lease = client.obtain()?;
            client.apply(&lease)
        });
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn set(
    network: &Namespace,
    names: &[String],
    address: InterfaceAddress,
    gateway: Option<Route>,
) -> io::Result<()> {
    let name = names.first().ok_or_else(none)?;
    let config = begun(network)?;
    config.add_address(name, address)?;
    config.set_up(name)?;
    match gateway {
        Some(route) => config.replace_route(&route.over(name)),
        None => Ok(()),
    }
}
