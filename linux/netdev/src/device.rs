//! A network interface that Linux has.

#![allow(unsafe_code)]

use crate::backend::Backend;
use crate::door::{Calls, Door};
use crate::sys::{lkl_net, lkl_net_info, lkl_net_params};
use lkl::extend::Attachment;
use lkl::sys::{Long, lkl_task};
use lkl::{EntryTask, Errno, Kernel};
use std::ffi::CString;
use std::fmt;
use std::ptr::{NonNull, null, null_mut};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let colon = if place == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not six bytes in hexadecimal with colons between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotMac;

impl fmt::Display for NotMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ethernet address; one is written as 02:00:00:00:00:01")
    }
}

impl std::error::Error for NotMac {}

impl FromStr for MacAddress {
    type Err = NotMac;

    fn from_str(text: &str) -> Result<Self, NotMac> {
        let mut address = [0; 6];
        let mut parts = text.split(':');
        for place in &mut address {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NotMac)?;
            *place = u8::from_str_radix(part, 16).map_err(|_| NotMac)?;
        }
        match parts.next() {
            None => Ok(MacAddress(address)),
            Some(_) => Err(NotMac),
        }
    }
}

/// How an interface is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// `None`: the backend's, if it wants one; else Linux makes one up.
    pub mac: Option<MacAddress>,
    /// Bytes of the longest packet without its Ethernet header; 0: 1500.
    pub mtu: u32,
    /// The longest that a user of Linux's may set; 0: 65535.
    pub max_mtu: u32,
    /// Packets that the backend has at once, each way; 0: 256, and 64 buffers when packets stand for many.
    pub depth: u32,
    /// Its name in Linux, at most 15 bytes; may have a `%d`. `None`: `eth%d`.
    pub name: Option<String>,
    /// There is no carrier until [`NetworkDevice::carrier`] says so.
    pub no_carrier: bool,
}

/// An interface that Linux has. Dropping it takes it away as [`NetworkDevice::remove`] does.
pub struct NetworkDevice {
    link: Arc<Link>,
    index: u32,
    name: String,
}

/// An interface, and what it takes to speak to Linux of it.
struct Link {
    kernel: Kernel,
    door: Arc<Door>,
    /// `None` once removed.
    interface: Mutex<Option<Interface>>,
}

/// What a [`Cable`] knows of a [`Link`]: so it refers to no function of Linux's, and a program may have backends without one.
trait Carrier: Send + Sync {
    fn carrier(&self, present: bool);
}

impl Carrier for Link {
    fn carrier(&self, present: bool) {
        let interface = self.interface.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(interface) = &*interface {
            self.kernel.tell(|| self.door.carrier(interface.0, present));
        }
    }
}

/// The cable of an interface, as its backend has it ([`Backend::attached`]). It keeps neither the interface nor Linux.
#[derive(Clone)]
pub struct Cable(Weak<dyn Carrier>);

impl Cable {
    /// Has Linux know that the cable is in, or out: that there is another end, or none any more. Does not wait.
    pub fn carrier(&self, present: bool) {
        if let Some(link) = self.0.upgrade() {
            link.carrier(present);
        }
    }
}

impl fmt::Debug for Cable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cable").finish_non_exhaustive()
    }
}

struct Interface(NonNull<lkl_net>);

// SAFETY: a pointer that only Linux follows, whoever asks it to.
unsafe impl Send for Interface {}

/// In whose name an interface is added: it belongs to the network name space of that.
enum Owner<'a> {
    Kernel(&'a Kernel),
    Task(&'a mut EntryTask),
}

impl Owner<'_> {
    fn kernel(&self) -> &Kernel {
        match self {
            Owner::Kernel(kernel) => kernel,
            Owner::Task(task) => task.kernel(),
        }
    }

    /// # Safety
    /// That of [`Kernel::call_by`].
    unsafe fn call(&mut self, act: impl FnOnce(*mut lkl_task) -> Long) -> Result<u64, Errno> {
        match self {
            // SAFETY: the caller's promise.
            Owner::Kernel(kernel) => unsafe { kernel.call_by(act) },
            // SAFETY: the caller's promise.
            Owner::Task(task) => unsafe { task.call_by(act) },
        }
    }
}

impl NetworkDevice {
    /// Adds an interface to the first network name space. Programs call `add_network_device` of crate `linux-full`.
    ///
    /// # Errors
    /// EINVAL for a configuration or offloads that make no sense, EEXIST for a name that is taken, EADDRNOTAVAIL for an address that
    /// is not one interface's.
    ///
    /// # Safety
    /// `calls` are the functions of the Linux that `kernel` runs.
    pub unsafe fn add(
        kernel: &Kernel,
        backend: Arc<dyn Backend>,
        config: &Config,
        calls: Calls,
    ) -> Result<NetworkDevice, Errno> {
        // SAFETY: the caller's promise.
        unsafe { Self::add_for(Owner::Kernel(kernel), backend, config, calls) }
    }

    /// The same, in the network name space of `task`.
    ///
    /// # Errors
    /// Those of [`NetworkDevice::add`].
    ///
    /// # Safety
    /// That of [`NetworkDevice::add`].
    pub unsafe fn add_beside(
        task: &mut EntryTask,
        backend: Arc<dyn Backend>,
        config: &Config,
        calls: Calls,
    ) -> Result<NetworkDevice, Errno> {
        // SAFETY: the caller's promise.
        unsafe { Self::add_for(Owner::Task(task), backend, config, calls) }
    }

    /// # Safety
    /// That of [`NetworkDevice::add`].
    unsafe fn add_for(
        mut owner: Owner<'_>,
        backend: Arc<dyn Backend>,
        config: &Config,
        calls: Calls,
    ) -> Result<NetworkDevice, Errno> {
        let name = config.name.as_deref().map(CString::new).transpose();
        let name = name.map_err(|_| Errno::EINVAL)?;
        if name.as_ref().is_some_and(|name| name.as_bytes().len() > 15) {
            return Err(Errno::EINVAL);
        }
        let params = lkl_net_params {
            mac: config.mac.or(backend.hardware()).map_or([0; 6], |mac| mac.0),
            down: u16::from(config.no_carrier),
            mtu: config.mtu,
            max_mtu: config.max_mtu,
            offloads: backend.offloads().bits(),
            transmit_depth: config.depth,
            receive_depth: config.depth,
            name: name.as_ref().map_or(null(), |name| name.as_ptr()),
        };
        let kernel = owner.kernel().clone();
        let door = Door::new(backend, calls, kernel.request_gate());
        let ops = Door::table(&door);
        let mut info = lkl_net_info {
            interface: null_mut(),
            index: 0,
            name: [0; 16],
        };
        let attachment: Arc<dyn Attachment> = Arc::<Door>::clone(&door);
        kernel.keep(Arc::clone(&attachment))?;
        let add = |task| {
            // SAFETY: the caller's promise; the structures live through the call, and the door stays until it is let go.
            unsafe { (calls.add)(task, &params, &ops, &mut info) }
        };
        // SAFETY: it is one call.
        let added = unsafe { owner.call(add) };
        let interface = added.and_then(|_| NonNull::new(info.interface).ok_or(Errno::ENODEV));
        let interface = interface.inspect_err(|_| kernel.let_go(&attachment))?;
        let name = info.name.iter().copied().take_while(|byte| *byte != 0);
        let link = Arc::new(Link {
            kernel,
            door,
            interface: Mutex::new(Some(Interface(interface))),
        });
        let weak = Arc::downgrade(&link);
        link.door.backend.attached(Cable(weak));
        Ok(NetworkDevice {
            link,
            index: u32::try_from(info.index).unwrap_or(0),
            name: String::from_utf8_lossy(&name.collect::<Vec<u8>>()).into_owned(),
        })
    }

    /// The number that Linux knows it by, in the name space where it was added.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The name that it had when it was added.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has Linux know that the cable is in, or out. Does not wait.
    pub fn carrier(&self, present: bool) {
        self.link.carrier(present);
    }

    /// Takes it away from Linux, which waits until the backend has given everything back. The backend is the caller's alone
    /// afterwards.
    ///
    /// # Errors
    /// ENODEV when Linux is dead.
    pub fn remove(self) -> Result<(), Errno> {
        self.detach()
    }

    fn detach(&self) -> Result<(), Errno> {
        let Link {
            kernel,
            door,
            interface,
        } = &*self.link;
        let interface = interface.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(interface) = interface else {
            return Ok(());
        };
        let calls = door.calls;
        let remove = |task| {
            // SAFETY: the interface is of the Linux that the functions are of, and was not removed before.
            unsafe { (calls.remove)(task, interface.0.as_ptr()) }
        };
        // SAFETY: it is one call.
        unsafe { kernel.call_by(remove) }?;
        let attachment: Arc<dyn Attachment> = Arc::<Door>::clone(door);
        kernel.let_go(&attachment);
        Ok(())
    }
}

impl Drop for NetworkDevice {
    fn drop(&mut self) {
        // What fails here fails because Linux is dead or halted; the kernel keeps the door until its end then.
        let _ = self.detach();
    }
}

impl fmt::Debug for NetworkDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkDevice")
            .field("name", &self.name)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
