//! Network interfaces: the host's ends, by the kinds that the library has, and by functions of the program's own.
//!
//! A `struct lkl_netdev` is what a program has of the host's end. Those of the library's kinds are the beginning of a [`HostNetdev`], and
//! are told by their operations, [`HOST`]. An interface that is added before Linux is booted waits for the boot, as disks do.

use crate::own_net::OwnNet;
use crate::{int, life};
use linux_full::Networks;
use lkl::{Errno, Kernel};
use lkl_netdev::{Backend, Config, MacAddress, NetworkDevice, Offloads};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `struct lkl_netdev`
#[repr(C)]
pub struct Netdev {
    pub(crate) ops: *const Operations,
    id: i32,
    /// The lowest bit is `has_vnet_hdr`.
    pub(crate) flags: u8,
    mac: [u8; 6],
}

/// The host's `struct iovec`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Piece {
    pub(crate) base: *mut u8,
    pub(crate) len: usize,
}

type Transfer = unsafe extern "C" fn(*mut Netdev, *mut Piece, i32) -> i32;
type Ask = unsafe extern "C" fn(*mut Netdev) -> i32;
type Tell = unsafe extern "C" fn(*mut Netdev);

/// `struct lkl_dev_net_ops`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Operations {
    pub(crate) tx: Option<Transfer>,
    pub(crate) rx: Option<Transfer>,
    pub(crate) poll: Option<Ask>,
    pub(crate) poll_hup: Option<Tell>,
    free: Option<Tell>,
}

/// `struct lkl_netdev_args`
#[repr(C)]
pub struct Arguments {
    mac: *const c_void,
    offload: u32,
}

/// What the library's own kinds have as operations: it is compared, and nothing in it is called.
static HOST: Operations = Operations {
    tx: None,
    rx: None,
    poll: None,
    poll_hup: None,
    free: None,
};

/// One of the library's kinds. The program has the address of its beginning.
#[repr(C)]
struct HostNetdev {
    public: Netdev,
    backend: Arc<dyn Backend>,
}

fn is_host(ops: *const Operations) -> bool {
    std::ptr::eq(ops, &raw const HOST)
}

/// The program's pointer, or NULL with a line that says why.
fn made(end: Result<Arc<dyn Backend>, String>) -> *mut Netdev {
    match end {
        Ok(backend) => {
            let netdev = HostNetdev {
                public: Netdev {
                    ops: &raw const HOST,
                    id: -1,
                    flags: u8::from(backend.offloads() != Offloads::NONE),
                    mac: [0; 6],
                },
                backend,
            };
            Box::into_raw(Box::new(netdev)).cast()
        }
        Err(why) => {
            crate::operations::print(format!("lkl: {why}\n").as_bytes());
            null_mut()
        }
    }
}

/// A text of the program's.
///
/// # Safety
/// A string, or NULL.
unsafe fn text(string: *const c_char) -> Result<String, String> {
    if string.is_null() {
        return Err("a network interface without a name".to_owned());
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(string) };
    text.to_str()
        .map(str::to_owned)
        .map_err(|_| "a name that is not UTF-8".to_owned())
}

/// The kinds that this host has.
#[cfg(target_os = "linux")]
mod kinds {
    use super::{Arc, Backend, Offloads};
    use std::path::Path;

    type End = Result<Arc<dyn Backend>, String>;

    fn offloads(bits: i32) -> Offloads {
        Offloads::from_bits(u64::from(bits.cast_unsigned())).sound()
    }

    fn told(end: Result<Arc<dyn Backend>, lkl_links::LinkError>) -> End {
        end.map_err(|error| error.to_string())
    }

    pub(super) fn tap(name: &str, bits: i32) -> End {
        told(lkl_links::tap_with(name, offloads(bits)))
    }

    pub(super) fn macvtap(path: &str, bits: i32) -> End {
        told(lkl_links::macvtap_with(Path::new(path), offloads(bits)))
    }

    pub(super) fn raw(name: &str) -> End {
        told(lkl_links::raw(name, true))
    }

    pub(super) fn pipe(text: &str) -> End {
        let wrong = || format!("pipe {text}: write the one to read, | and the one to write");
        let (read, write) = text.split_once('|').ok_or_else(wrong)?;
        told(lkl_links::pipe(Path::new(read), Path::new(write)))
    }
}

#[cfg(not(target_os = "linux"))]
mod kinds {
    use super::{Arc, Backend};

    type End = Result<Arc<dyn Backend>, String>;

    fn none(kind: &str, name: &str) -> End {
        Err(format!("{kind} {name}: this system has no such thing"))
    }

    pub(super) fn tap(name: &str, _: i32) -> End {
        none("TAP device", name)
    }

    pub(super) fn macvtap(path: &str, _: i32) -> End {
        none("macvtap", path)
    }

    pub(super) fn raw(name: &str) -> End {
        none("interface", name)
    }

    pub(super) fn pipe(text: &str) -> End {
        none("pipe", text)
    }
}

/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_netdev_tap_create(ifname: *const c_char, offload: i32) -> *mut Netdev {
    // SAFETY: the caller's promise.
    made(unsafe { text(ifname) }.and_then(|name| kinds::tap(&name, offload)))
}

/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_netdev_macvtap_create(path: *const c_char, offload: i32) -> *mut Netdev {
    // SAFETY: the caller's promise.
    made(unsafe { text(path) }.and_then(|path| kinds::macvtap(&path, offload)))
}

/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_netdev_raw_create(ifname: *const c_char) -> *mut Netdev {
    // SAFETY: the caller's promise.
    made(unsafe { text(ifname) }.and_then(|name| kinds::raw(&name)))
}

/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_netdev_pipe_create(ifname: *const c_char, _offload: i32) -> *mut Netdev {
    // SAFETY: the caller's promise.
    made(unsafe { text(ifname) }.and_then(|text| kinds::pipe(&text)))
}

#[unsafe(no_mangle)]
extern "C" fn lkl_netdev_vde_create(_switch_path: *const c_char) -> *mut Netdev {
    made(Err("interfaces of kind vde are not built in".to_owned()))
}

#[unsafe(no_mangle)]
extern "C" fn lkl_netdev_dpdk_create(_ifname: *const c_char, _offload: i32, _mac: *mut u8) -> *mut Netdev {
    made(Err("interfaces of kind dpdk are not built in".to_owned()))
}

/// Where an interface is on its way: the program's, then Linux's, then none.
enum Entry {
    Waiting(Pending),
    Added(NetworkDevice, End),
    Removed,
}

/// The host's end of an interface.
struct End {
    owner: Owner,
    backend: Arc<dyn Backend>,
    /// The same, if it is functions of the program's.
    own: Option<Arc<OwnNet>>,
}

impl Drop for End {
    fn drop(&mut self) {
        // What Linux or a thread has of the backend yet calls nothing of the program's from here on.
        if let Some(own) = &self.own {
            own.end();
        }
    }
}

/// Whose structure it is, by its address.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Owner(*mut Netdev);

// SAFETY: an address that is compared.
unsafe impl Send for Owner {}

/// An interface before Linux is there.
struct Pending {
    end: End,
    config: Config,
}

impl Entry {
    fn is_of(&self, owner: Owner) -> bool {
        match self {
            Entry::Waiting(Pending { end, .. }) | Entry::Added(_, end) => end.owner == owner,
            Entry::Removed => false,
        }
    }

    /// Out of Linux, then out of the program's functions.
    fn end(self) -> Result<(), Errno> {
        match self {
            Entry::Removed => Err(Errno::ENODEV),
            Entry::Waiting(_) => Ok(()),
            Entry::Added(device, _end) => device.remove(),
        }
    }
}

impl Pending {
    fn add_to(self, kernel: &Kernel) -> Result<Entry, Errno> {
        let device = kernel.add_network_device(Arc::clone(&self.end.backend), &self.config)?;
        Ok(Entry::Added(device, self.end))
    }
}

/// By their numbers.
static NETDEVS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

fn netdevs() -> MutexGuard<'static, Vec<Entry>> {
    NETDEVS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Linux runs now: the interfaces that wait for it are added.
pub(crate) fn add_waiting(kernel: &Kernel) -> Result<(), Errno> {
    for entry in netdevs().iter_mut() {
        if matches!(entry, Entry::Waiting(_))
            && let Entry::Waiting(pending) = std::mem::replace(entry, Entry::Removed)
        {
            *entry = pending.add_to(kernel)?;
        }
    }
    Ok(())
}

/// The names in Linux of the interfaces that there are, in the order in which they were added.
pub(crate) fn names() -> Vec<String> {
    let name = |entry: &Entry| match entry {
        Entry::Added(device, _) => Some(device.name().to_owned()),
        Entry::Waiting(_) | Entry::Removed => None,
    };
    netdevs().iter().filter_map(name).collect()
}

/// Linux has gone, and with it what it had of the interfaces: no function of the program's is called any more.
pub(crate) fn forget_all() {
    let all = std::mem::take(&mut *netdevs());
    // That Linux does not answer any more is no news.
    for entry in all {
        let _ = entry.end();
    }
}

/// Adds an interface, before or after the boot.
///
/// # Safety
/// Structures as the header has them, or NULL; what the program's own operations need stays until the interface is removed.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_netdev_add(nd: *mut Netdev, args: *const Arguments) -> i32 {
    if nd.is_null() {
        return int(Err(Errno::EINVAL));
    }
    // Before any thread calls the program's functions: those of another one would take what is meant for it.
    if netdevs().iter().any(|entry| entry.is_of(Owner(nd))) {
        return int(Err(Errno::EBUSY));
    }
    // SAFETY: the caller's promise.
    let (offload, mac) = match unsafe { args.as_ref() } {
        None => (0, None),
        // SAFETY: six bytes, or NULL.
        Some(args) => (args.offload, unsafe { args.mac.cast::<[u8; 6]>().as_ref() }),
    };
    // SAFETY: the caller's promise.
    let ops = unsafe { (*nd).ops };
    let end = if is_host(ops) {
        // SAFETY: only a structure of the library's has these operations.
        let backend = unsafe { Arc::clone(&(*nd.cast::<HostNetdev>()).backend) };
        Ok((backend, None))
    } else {
        let bits = Offloads::from_bits(offload.into());
        // SAFETY: the caller's promise.
        unsafe { OwnNet::start(nd, bits) }.map(|own| {
            let own = Arc::new(own);
            (Arc::<OwnNet>::clone(&own) as Arc<dyn Backend>, Some(own))
        })
    };
    let config = Config {
        mac: mac.map(|mac| MacAddress(*mac)),
        ..Config::default()
    };
    let owner = Owner(nd);
    let end = end.map(|(backend, own)| End { owner, backend, own });
    let added = end.and_then(|end| add(Pending { end, config }));
    if let Ok(id) = added {
        // SAFETY: the caller's promise.
        unsafe { (*nd).id = id };
        if let Some(mac) = mac {
            // SAFETY: as above.
            unsafe { (*nd).mac = *mac };
        }
    }
    int(added.map(|id| u64::from(id.unsigned_abs())))
}

fn add(pending: Pending) -> Result<i32, Errno> {
    let mut all = netdevs();
    let id = i32::try_from(all.len()).map_err(|_| Errno::EMFILE)?;
    let entry = match life::kernel() {
        Ok(kernel) => pending.add_to(&kernel)?,
        Err(_) => Entry::Waiting(pending),
    };
    all.push(entry);
    Ok(id)
}

/// Takes an interface away from Linux. The entry is dropped without the lock, since that may wait for the program's functions.
#[unsafe(no_mangle)]
extern "C" fn lkl_netdev_remove(id: i32) -> i32 {
    let taken = usize::try_from(id).ok().and_then(|id| {
        let mut all = netdevs();
        all.get_mut(id)
            .map(|entry| std::mem::replace(entry, Entry::Removed))
    });
    int(taken.unwrap_or(Entry::Removed).end().map(|()| 0))
}

/// Frees the host's end, and takes the interface away before, if that was not done.
///
/// # Safety
/// A structure that is not used afterwards, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_netdev_free(nd: *mut Netdev) {
    if nd.is_null() {
        return;
    }
    let owner = Owner(nd);
    let left: Vec<Entry> = {
        let mut all = netdevs();
        let theirs = all.iter_mut().filter(|entry| entry.is_of(owner));
        theirs
            .map(|entry| std::mem::replace(entry, Entry::Removed))
            .collect()
    };
    // Linux may be gone already.
    for entry in left {
        let _ = entry.end();
    }
    // SAFETY: the caller's promise.
    let ops = unsafe { (*nd).ops };
    if is_host(ops) {
        // SAFETY: only a structure of the library's has these operations, and this is its end.
        drop(unsafe { Box::from_raw(nd.cast::<HostNetdev>()) });
        return;
    }
    // SAFETY: operations of the program's, or NULL.
    if let Some(free) = unsafe { ops.as_ref() }.and_then(|ops| ops.free) {
        // SAFETY: a function of the program's, with its structure.
        unsafe { free(nd) };
    }
}

#[unsafe(no_mangle)]
extern "C" fn lkl_netdev_get_ifindex(id: i32) -> i32 {
    let all = netdevs();
    let index = match usize::try_from(id).ok().and_then(|id| all.get(id)) {
        Some(Entry::Added(device, _)) => Ok(device.index().into()),
        Some(Entry::Waiting(_)) => Err(Errno::EAGAIN),
        None | Some(Entry::Removed) => Err(Errno::ENODEV),
    };
    int(index)
}

const _: () = {
    assert!(size_of::<Netdev>() == 24);
    assert!(std::mem::offset_of!(Netdev, flags) == 12);
    assert!(std::mem::offset_of!(Netdev, mac) == 13);
};
