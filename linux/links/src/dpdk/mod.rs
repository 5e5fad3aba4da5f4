//! Devices that DPDK drives, without the machine's kernel or through it: `dpdk:ARGUMENTS`, feature `dpdk`.
//!
//! [`eal`] starts DPDK's environment, [`port`] is a device of it, and `shim.c` what takes C. What Linux sends is copied, once, into the
//! device's own packets by the thread that sends it: these are in memory that a device may read, in one piece, and Linux has its
//! packet back at once. (A packet of DPDK's can refer to memory of another's, but a device of hardware reads only what was registered with it, and
//! the drivers without hardware copy in any case.) A thread of the interface's asks the device for what has come, and copies it into Linux's
//! buffers. When nothing comes it asks more and more seldom, and sleeps between.

mod eal;
mod port;
mod sys;

use crate::error::{Kind, LinkError};
use lkl_netdev::{Backend, Buffer, Buffers, Cable, MacAddress, Offloads, Packet, Packets, Received};
use port::{Outgoing, Port, Taken};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Starts DPDK with these arguments of EAL's, separated by spaces, and takes its first device; or takes the device of that name, of the
/// DPDK that was started before. A process has one.
///
/// # Errors
/// The first thing that DPDK says of what is wrong; that it has no such device.
pub fn dpdk(arguments: &str) -> Result<Arc<dyn Backend>, LinkError> {
    let open = || {
        let name = eal::started(arguments)?;
        let port = Port::open(name).map_err(|error| match (error.raw_os_error(), name) {
            (Some(libc::ENODEV), Some(name)) => none(&format!("EAL has no device {name}")),
            (Some(libc::ENODEV), None) => none("EAL has no device; name one with --vdev or --allow"),
            _ => error,
        })?;
        Device::new(port)
    };
    match open() {
        Ok(device) => Ok(Arc::new(device)),
        Err(error) => Err(LinkError::new(Kind::Interface, "DPDK", error)),
    }
}

fn none(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// How often it asks, without sleeping, when nothing came.
const EAGER: u32 = 64;
/// The first sleep, and the longest.
const SHORT: Duration = Duration::from_micros(10);
const LONG: Duration = Duration::from_millis(1);
/// How often it looks at the link.
const LINK: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Sending {
    /// In the device's packets.
    outgoing: Outgoing,
    /// Those that there was no room for.
    unsent: VecDeque<Packet>,
}

struct Shared {
    sending: Mutex<Sending>,
    /// Linux's, empty.
    buffers: Mutex<VecDeque<Buffer>>,
    cable: Mutex<Option<Cable>>,
    ended: AtomicBool,
    /// The thread sleeps, or is about to.
    asleep: AtomicBool,
    /// Dropped last: after the packets that are of its pool.
    port: Port,
}

struct Device {
    shared: Arc<Shared>,
    waker: Thread,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    fn new(port: Port) -> io::Result<Device> {
        let shared = Arc::new(Shared {
            sending: Mutex::default(),
            buffers: Mutex::default(),
            cable: Mutex::default(),
            ended: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            port,
        });
        let mine = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("lkl-dpdk".into())
            .spawn(move || mine.run())?;
        Ok(Device {
            shared,
            waker: thread.thread().clone(),
            thread: Mutex::new(Some(thread)),
        })
    }

    fn wake(&self) {
        if self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.waker.unpark();
        }
    }
}

impl Shared {
    fn run(&self) {
        let mut idle = 0u32;
        let (mut link, mut looked) = (true, None::<Instant>);
        while !self.ended.load(Ordering::SeqCst) {
            if looked.is_none_or(|at| at.elapsed() > LINK) {
                looked = Some(Instant::now());
                link = self.look(link);
            }
            let waits = !self.flush();
            if self.take() {
                idle = 0;
                continue;
            }
            idle = idle.saturating_add(1);
            if idle <= EAGER {
                std::thread::yield_now();
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            let doublings = idle.saturating_sub(EAGER).min(16) / 2;
            // The device will have room soon, if it has a link.
            let doublings = if waits && link { 0 } else { doublings };
            std::thread::park_timeout(SHORT.saturating_mul(1 << doublings).min(LONG));
            if !self.asleep.swap(false, Ordering::SeqCst) {
                // Linux has sent: an answer may come soon.
                idle = 0;
            }
        }
    }

    /// Tells Linux of the link when that has changed.
    fn look(&self, before: bool) -> bool {
        let cable = locked(&self.cable).clone();
        let Some(cable) = cable else {
            return before;
        };
        let now = self.port.has_link();
        if now != before {
            cable.carrier(now);
            if !now {
                let unsent = std::mem::take(&mut locked(&self.sending).unsent);
                drop(unsent);
            }
        }
        now
    }

    /// Gives the device what waits for it. Whether that was all.
    fn flush(&self) -> bool {
        let mut sending = locked(&self.sending);
        let Sending { outgoing, unsent } = &mut *sending;
        while let Some(packet) = unsent.pop_front() {
            if let Some(packet) = push(outgoing, &self.port, packet) {
                unsent.push_front(packet);
                break;
            }
        }
        outgoing.flush(&self.port) && unsent.is_empty()
    }

    /// Takes what has come, and gives it to Linux. Whether there was anything.
    fn take(&self) -> bool {
        let mut burst = self.port.receive();
        if burst.is_empty() {
            return false;
        }
        let mut received = Received::default();
        while !burst.is_empty() {
            // What there is no buffer for is lost, as by a device of hardware.
            let Some(mut buffer) = locked(&self.buffers).pop_front() else {
                break;
            };
            if let Some((len, header)) = burst.copy_next(&mut buffer) {
                // One that is longer than any that may come is lost.
                let _ = received.push(buffer, len, header);
            }
        }
        received.deliver();
        true
    }
}

/// Has the device's packets take one of Linux's; it comes back if there is no room.
fn push(outgoing: &mut Outgoing, port: &Port, packet: Packet) -> Option<Packet> {
    match outgoing.push(port, &packet) {
        Taken::Yes => packet.sent(),
        Taken::Later => return Some(packet),
        // Lost; Linux counts it.
        Taken::Never => drop(packet),
    }
    None
}

impl Backend for Device {
    fn offloads(&self) -> Offloads {
        if self.shared.port.checksums() {
            Offloads::HOST_CSUM
        } else {
            Offloads::NONE
        }
    }

    fn hardware(&self) -> Option<MacAddress> {
        self.shared.port.hardware()
    }

    fn attached(&self, cable: Cable) {
        *locked(&self.shared.cable) = Some(cable);
    }

    fn transmit(&self, packets: Packets) {
        {
            let mut sending = locked(&self.shared.sending);
            let Sending { outgoing, unsent } = &mut *sending;
            for packet in packets {
                if unsent.is_empty() {
                    unsent.extend(push(outgoing, &self.shared.port, packet));
                } else {
                    unsent.push_back(packet);
                }
            }
            outgoing.flush(&self.shared.port);
        }
        self.wake();
    }

    fn receive(&self, buffers: Buffers) {
        locked(&self.shared.buffers).extend(buffers);
    }

    fn stop(&self) {
        let buffers = std::mem::take(&mut *locked(&self.shared.buffers));
        drop(buffers);
        let unsent = std::mem::take(&mut locked(&self.shared.sending).unsent);
        drop(unsent);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.waker.unpark();
        if let Some(thread) = locked(&self.thread).take()
            // The last reference may have been what the thread itself gave back to Linux: it ends by itself then.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}
