//! A network of its own for each run: one TUN interface, opened inside the carried Linux, whose other end is the runner.
//!
//! A thread reads what Linux sends, notes the time, and rings a bell. Time stands still meanwhile, so that the time is that at which Linux
//! has sent it.

use super::{Settings, Version};
use crate::calls::raw::{self, Memory};
use crate::segment::Segment;
use lkl::Kernel;
use lkl_host_virtual::{Bell, Task, World};
use lkl_net::Namespace;
use lkl_net::config::{Configuration, Handle, InterfaceAddress, Queue, Route};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The interface.
const NAME: &str = "tun0";

const SYS_READ: i64 = 0;
const SYS_WRITE: i64 = 1;
const SYS_OPEN: i64 = 2;
const SYS_CLOSE: i64 = 3;
const SYS_IOCTL: i64 = 16;

const TUNSETIFF: i64 = 0x4004_54ca;
const TUNSETOFFLOAD: i64 = 0x4004_54d0;
/// `IFF_TUN`, `IFF_NO_PI`, `IFF_VNET_HDR`
const MODE: u16 = 0x1 | 0x1000 | 0x4000;
/// Checksums, TCP of both IPs, with ECN.
const OFFLOADS: i64 = 1 | 2 | 4 | 8;
/// `struct virtio_net_hdr`
const HEADER: usize = 10;
/// In its first byte: the checksum is the device's to compute.
const NEEDS_CSUM: u8 = 1;

/// What Linux has sent.
#[derive(Debug)]
pub struct Arrival {
    /// When: nanoseconds of the world.
    pub at: u64,
    /// The segment; or what is wrong with it.
    pub segment: Result<Segment, String>,
}

/// What the reader and the runner share.
#[derive(Debug)]
struct Shared {
    arrivals: Mutex<VecDeque<Arrival>>,
    bell: Arc<Bell>,
}

/// The network of a run.
pub struct Network {
    kernel: Kernel,
    namespace: Namespace,
    configuration: Configuration,
    tun: i64,
    shared: Arc<Shared>,
    reader: Option<Task<()>>,
}

fn failed(what: &str) -> impl Fn(lkl::Errno) -> io::Error + '_ {
    move |errno| io::Error::other(format!("{what}: {errno}"))
}

impl Network {
    /// Makes one.
    pub fn new(kernel: &Kernel, world: &World, settings: &Settings) -> io::Result<Network> {
        let namespace = Namespace::new(kernel)?;
        let configuration = namespace.configuration()?;
        let path = Memory::Bytes(b"/dev/net/tun\0".to_vec());
        let mut arguments = [path, Memory::Number(libc::O_RDWR.into()), Memory::Number(0)];
        let tun =
            raw::call(kernel, Some(&namespace), SYS_OPEN, &mut arguments).map_err(failed("/dev/net/tun"))?;
        let tun = i64::try_from(tun).unwrap_or(-1);
        let mut request = vec![0; 40];
        request[..NAME.len()].copy_from_slice(NAME.as_bytes());
        request[16..18].copy_from_slice(&MODE.to_ne_bytes());
        let ioctl = |what, argument| {
            let mut arguments = [Memory::Number(tun), Memory::Number(what), argument];
            raw::call(kernel, Some(&namespace), SYS_IOCTL, &mut arguments)
        };
        ioctl(TUNSETIFF, Memory::Bytes(request)).map_err(failed("TUNSETIFF"))?;
        if settings.offload {
            ioctl(TUNSETOFFLOAD, Memory::Number(OFFLOADS)).map_err(failed("TUNSETOFFLOAD"))?;
        }
        let mut network = Network {
            kernel: kernel.clone(),
            namespace,
            configuration,
            tun,
            shared: Arc::new(Shared {
                arrivals: Mutex::default(),
                bell: Arc::new(world.bell()),
            }),
            reader: None,
        };
        network.configure(settings)?;
        let (kernel, its_world, shared) = (kernel.clone(), world.clone(), Arc::clone(&network.shared));
        let act = move || shared.read_all(&kernel, &its_world, tun);
        network.reader = Some(world.spawn(act)?);
        Ok(network)
    }

    fn configure(&self, settings: &Settings) -> io::Result<()> {
        let (namespace, configuration) = (&self.namespace, &self.configuration);
        namespace.set_sysctl("net/ipv6/conf/tun0/addr_gen_mode", "1")?;
        namespace.set_sysctl("net/ipv6/conf/tun0/router_solicitations", "0")?;
        configuration.set_mtu(NAME, settings.mtu)?;
        let (ip, prefix) = settings.local_ip;
        configuration.add_address(NAME, InterfaceAddress::new(ip, prefix).at_once())?;
        configuration.set_up(NAME)?;
        // As packets of no connection come at once, whatever the queue of other interfaces is.
        self.set_queue("pfifo")?;
        let everywhere: IpAddr = match settings.version {
            Version::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Version::V6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        configuration.add_route(&Route::to(everywhere, 0).over(NAME))
    }

    /// Puts a queue on the interface. Linux names it, since a name that is there is of its kind.
    pub fn set_queue(&self, kind: &str) -> io::Result<()> {
        let options = lkl_net::netlink::Attributes::default();
        let options = match kind {
            "pfifo" => options.head(&1000u32.to_ne_bytes()),
            _ => options,
        };
        let queue = Queue::Other { kind, options };
        self.configuration
            .set_queue(NAME, Handle::ROOT, Handle::new(0, 0), &queue)
    }

    /// The name space that it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What rings when something has come.
    pub fn bell(&self) -> &Arc<Bell> {
        &self.shared.bell
    }

    /// What has come and was not taken yet, the oldest first.
    pub fn arrivals(&self) -> MutexGuard<'_, VecDeque<Arrival>> {
        self.shared
            .arrivals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the oldest of them.
    pub fn next(&self) -> Option<Arrival> {
        self.arrivals().pop_front()
    }

    /// Puts one back.
    pub fn put_back(&self, arrival: Arrival) {
        self.arrivals().push_front(arrival);
    }

    /// Gives Linux a packet.
    pub fn inject(&self, packet: &[u8]) -> Result<(), lkl::Errno> {
        let bytes = [&[0; HEADER][..], packet].concat();
        let len = bytes.len() as i64;
        let mut arguments = [
            Memory::Number(self.tun),
            Memory::Bytes(bytes),
            Memory::Number(len),
        ];
        raw::call(&self.kernel, None, SYS_WRITE, &mut arguments).map(drop)
    }
}

impl Shared {
    fn read_all(&self, kernel: &Kernel, world: &World, tun: i64) {
        loop {
            let room = 1 << 17;
            let mut arguments = [
                Memory::Number(tun),
                Memory::Bytes(vec![0; room]),
                Memory::Number(room as i64),
            ];
            // It ends when the interface is taken away.
            let Ok(len) = raw::call(kernel, None, SYS_READ, &mut arguments) else {
                return;
            };
            let [_, Memory::Bytes(bytes), _] = &arguments else {
                return;
            };
            let bytes = &bytes[..room.min(len as usize)];
            let (Some(first), Some(packet)) = (bytes.first(), bytes.get(HEADER..)) else {
                continue;
            };
            let segment = match Segment::parse(packet, first & NEEDS_CSUM == 0) {
                Ok(Some(segment)) => Ok(segment),
                // Reports of multicast groups and the like.
                Ok(None) => continue,
                Err(what) => Err(what),
            };
            let at = world.elapsed_ns();
            let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            arrivals.push_back(Arrival { at, segment });
            drop(arrivals);
            self.bell.ring();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The reader's call ends with the interface.
        let gone = self.configuration.delete_link(NAME);
        if let (Ok(()), Some(reader)) = (gone, self.reader.take()) {
            let _ = reader.join();
        }
        let mut arguments = [Memory::Number(self.tun)];
        let _ = raw::call(&self.kernel, None, SYS_CLOSE, &mut arguments);
    }
}
