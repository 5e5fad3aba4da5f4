//! A network of this machine's, of the test's own: a name space that ends with the test.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// A network name space of the machine's kernel.
pub struct Machine {
    name: String,
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .expect("ip of iproute2");
    assert!(
        output.status.success(),
        "ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Machine {
    /// A new one, with its loopback up.
    #[allow(clippy::new_without_default, reason = "it needs root")]
    pub fn new() -> Machine {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let machine = Machine {
            name: format!("lkl-test-{}-{number}", std::process::id()),
        };
        ip(&["netns", "add", &machine.name]);
        machine.ip(&["link", "set", "lo", "up"]);
        machine
    }

    fn ip(&self, arguments: &[&str]) {
        let mut all = vec!["-n", &self.name];
        all.extend_from_slice(arguments);
        ip(&all);
    }

    /// Runs `act` on a thread that is in there. Sockets and devices that it opens stay there.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let space = std::fs::File::open(path).expect("the name space");
                rustix::thread::move_into_link_name_space(
                    std::os::fd::AsFd::as_fd(&space),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .expect("root, who may enter a name space");
                act()
            });
            inside.join().expect("no panic")
        })
    }

    /// A TAP device with 10.9.N.1/24.
    pub fn tap(&self, name: &str, n: u8, mtu: u32, offloads: bool) {
        let header: &[&str] = if offloads { &["vnet_hdr"] } else { &[] };
        self.ip(&[&["tuntap", "add", name, "mode", "tap"], header].concat());
        self.ip(&["link", "set", name, "mtu", &mtu.to_string(), "up"]);
        self.ip(&["addr", "add", &format!("10.9.{n}.1/24"), "dev", name]);
    }

    /// Takes an interface away.
    pub fn remove(&self, name: &str) {
        self.ip(&["link", "del", name]);
    }

    /// A veth pair: `name` without an address, and its peer with 10.9.N.1/24.
    pub fn veth(&self, name: &str, n: u8) {
        let peer = format!("{name}p");
        self.ip(&["link", "add", name, "type", "veth", "peer", "name", &peer]);
        self.ip(&["link", "set", name, "up"]);
        self.ip(&["link", "set", &peer, "up"]);
        self.ip(&["addr", "add", &format!("10.9.{n}.1/24"), "dev", &peer]);
    }

    /// An interface that is there, with 10.9.N.1/24.
    pub fn address(&self, name: &str, n: u8) {
        self.ip(&["addr", "add", &format!("10.9.{n}.1/24"), "dev", name]);
        self.ip(&["link", "set", name, "up"]);
    }

    /// Has an interface send packets complete: what is at the other end does not know of checksums that are to be computed yet, and of
    /// packets that stand for many.
    pub fn completes(&self, name: &str) {
        let status = self
            .command("ethtool")
            .args(["-K", name, "tx", "off", "tso", "off", "gso", "off"])
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("ethtool").success());
    }

    /// The longest packets of an interface.
    pub fn mtu(&self, name: &str, mtu: u32) {
        self.ip(&["link", "set", name, "mtu", &mtu.to_string()]);
    }

    /// An interface with a default route, which goes nowhere.
    pub fn uplink(&self, name: &str) {
        self.ip(&[
            "link",
            "add",
            name,
            "type",
            "veth",
            "peer",
            "name",
            &format!("{name}p"),
        ]);
        self.ip(&["addr", "add", "192.0.2.7/24", "dev", name]);
        self.ip(&["link", "set", &format!("{name}p"), "up"]);
        self.ip(&["link", "set", name, "up"]);
        self.ip(&["route", "add", "default", "via", "192.0.2.1"]);
    }

    /// A program that is to run in there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Whether `address` answers an echo request.
    pub fn ping(&self, address: &str) -> bool {
        self.command("ping")
            .args(["-c", "1", "-W", "20", address])
            .stdout(Stdio::null())
            .status()
            .expect("ping")
            .success()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}
