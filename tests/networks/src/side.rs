//! A network of Linux's: what it knows of others comes over its interface.

use linux_full::Networks;
use lkl::Kernel;
use lkl_net::config::{Configuration, InterfaceAddress};
use lkl_net::{Namespace, TcpStream};
use lkl_netdev::{Backend, Config, NetworkDevice};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A network with one interface, `eth0`.
pub struct Side {
    /// The network.
    pub network: Namespace,
    /// What is configured there.
    pub config: Configuration,
    /// The interface's address, of 24 bits of prefix.
    pub address: Ipv4Addr,
    /// The interface.
    pub device: NetworkDevice,
}

impl Side {
    /// A network of `kernel`'s whose interface has `backend` at its other end.
    pub fn new(
        kernel: &Kernel,
        backend: Arc<dyn Backend>,
        how: &Config,
        address: impl Into<Ipv4Addr>,
    ) -> Side {
        let network = Namespace::new(kernel).expect("a name space");
        let device = network.with_task(|task| task.expect("a task").add_network_device(backend, how));
        let device = device.expect("an interface");
        assert_eq!(device.name(), "eth0");
        let config = network.configuration().expect("a configuration");
        let address = address.into();
        let with_prefix = InterfaceAddress::new(address, 24).at_once();
        config.add_address("eth0", with_prefix).expect("an address");
        config.set_up("eth0").expect("it goes up");
        Side {
            network,
            config,
            address,
            device,
        }
    }

    /// Waits until Linux has a carrier there, or none.
    pub fn waits_for_carrier(&self, present: bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.config.interface("eth0").expect("an interface").running != present {
            assert!(Instant::now() < end, "Linux is not told: carrier {present}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A connection to there.
    pub fn connects(&self, to: Ipv4Addr, port: u16) -> TcpStream {
        let stream = self.network.enter(|| TcpStream::connect((to, port)));
        stream.expect("a connection")
    }
}
