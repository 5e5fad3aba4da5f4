//! A machine: its disks, its drivers, and what happens at its end.
//!
//! The kernel underneath is one for the process, so there is one machine at a time: [`Builder::start`] waits
//! for the one before to be dropped. A driver's DriverEntry and DriverUnload run in system threads, as NT's
//! do.

use super::handle::{Handle, OpenAs};
use super::report::{self, Report};
use crate::cc;
use crate::cc::pressure::{Figures, Pressure};
use crate::cm;
use crate::disk::{self, Disk, DiskConfig, ImageError};
use crate::fsrtl;
use crate::io::file::Waiter;
use crate::io::ledger::Owner;
use crate::io::names::{self, Node, wide};
use crate::io::{device, filter, irp, misc, mount, native, other, raw, request, service, work};
use crate::loader::{Image, LoadError, Options};
use crate::nt::*;
use crate::{ex, hostfs, ke, mountmgr, ob, pnp, ps, rtl};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long the volume of a disk that is gone may take to go.
const PATIENCE: Duration = Duration::from_secs(5);
/// A timer that is due within this time is what work waits for; timers of a driver that is idle are longer.
const SOON: Duration = Duration::from_millis(100);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Why a machine or a driver did not start.
#[derive(Debug)]
pub enum MachineError {
    /// A disk's image cannot be used.
    Image(ImageError),
    /// The driver's file cannot be loaded.
    Load(LoadError),
    /// DriverEntry failed.
    Entry(NTSTATUS),
}

impl std::fmt::Display for MachineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MachineError::Image(error) => error.fmt(f),
            MachineError::Load(error) => error.fmt(f),
            MachineError::Entry(status) => write!(f, "DriverEntry failed with {}", name(*status)),
        }
    }
}

impl std::error::Error for MachineError {}

/// What a machine is made from.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    seed: u64,
    disks: Vec<DiskConfig>,
    options: Options,
    drive_c: Option<PathBuf>,
    mount_manager: Option<bool>,
    registry: cm::Hive,
    raw: bool,
    filter: bool,
    memory: Option<usize>,
}

impl Builder {
    /// Every choice of disks, cache and I/O follows from `seed`.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// With one more disk.
    pub fn disk(mut self, config: DiskConfig) -> Builder {
        self.disks.push(config);
        self
    }

    /// How drivers are loaded.
    pub fn options(mut self, options: Options) -> Builder {
        self.options = options;
        self
    }

    /// With the folder `root` as drive `C:`.
    pub fn drive_c(mut self, root: impl Into<PathBuf>) -> Builder {
        self.drive_c = Some(root.into());
        self
    }

    /// With a mount manager, which gives new volumes letters if `automount`.
    pub fn mount_manager(mut self, automount: bool) -> Builder {
        self.mount_manager = Some(automount);
        self
    }

    /// With this registry, which an earlier machine may have had.
    pub fn registry(mut self, hive: cm::Hive) -> Builder {
        self.registry = hive;
        self
    }

    /// With the raw file system, which takes what nobody else knows when a whole volume is opened.
    pub fn raw_file_system(mut self) -> Builder {
        self.raw = true;
        self
    }

    /// With a filter on every file system and volume, as each Windows has one.
    pub fn filter(mut self) -> Builder {
        self.filter = true;
        self
    }

    /// With so many bytes of memory, as far as drivers are told; without this, 4 GiB.
    pub fn memory(mut self, bytes: usize) -> Builder {
        self.memory = Some(bytes);
        self
    }

    /// Starts the machine.
    pub fn start(self) -> Result<Machine, MachineError> {
        let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        rtl::print::forget();
        ps::current();
        disk::driver::reset();
        pnp::reset();
        cm::start(self.registry.clone());
        ex::system::set_memory(self.memory);
        raw::start(self.raw);
        other::stop();
        filter::start(self.filter);
        fsrtl::notify::forget_volume_listeners();
        cc::segment::seed(self.seed);
        let mut machine = Machine {
            _one: one,
            seed: self.seed,
            options: self.options,
            disks: Vec::new(),
            late: Mutex::default(),
            drivers: Vec::new(),
            pressure: None,
        };
        if let Some(root) = &self.drive_c {
            hostfs::mount(root);
        }
        if let Some(automount) = self.mount_manager {
            mountmgr::start(automount);
        }
        for config in self.disks {
            machine.attach(config)?;
        }
        Ok(machine)
    }
}

/// A loaded driver.
pub struct Driver {
    image: Arc<Image>,
    object: usize,
    name: String,
}

impl Driver {
    /// Its image.
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Its driver object.
    pub fn object(&self) -> PDRIVER_OBJECT {
        self.object as PDRIVER_OBJECT
    }
}

/// A running machine.
pub struct Machine {
    _one: MutexGuard<'static, ()>,
    seed: u64,
    options: Options,
    disks: Vec<Arc<Disk>>,
    /// Plugged in while the machine is in use.
    late: Mutex<Vec<Arc<Disk>>>,
    drivers: Vec<Driver>,
    pressure: Option<Pressure>,
}

impl Machine {
    /// A machine with no disks and seed 0.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Plugs one more disk in.
    pub fn attach(&mut self, config: DiskConfig) -> Result<Arc<Disk>, MachineError> {
        let disk = self.make_disk(config)?;
        self.disks.push(Arc::clone(&disk));
        pnp::plugged(&disk);
        Ok(disk)
    }

    /// The same while other threads use the machine. The disk is not among [`Machine::disks`].
    pub fn plug(&self, config: DiskConfig) -> Result<Arc<Disk>, MachineError> {
        let disk = self.make_disk(config)?;
        self.late
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&disk));
        pnp::plugged(&disk);
        Ok(disk)
    }

    fn make_disk(&self, config: DiskConfig) -> Result<Arc<Disk>, MachineError> {
        let seed = self
            .seed
            .wrapping_add(self.all_disks().len() as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        disk::driver::attach(config, seed).map_err(MachineError::Image)
    }

    /// Those that were plugged in while the machine was in use come last.
    fn all_disks(&self) -> Vec<Arc<Disk>> {
        let late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        self.disks.iter().chain(late.iter()).map(Arc::clone).collect()
    }

    /// Pulls a disk out: its requests fail, what is mounted on it hears of it (IRP_MN_SURPRISE_REMOVAL), its letters go.
    pub fn pull(&self, disk: &Arc<Disk>) {
        disk.remove();
        self.pulled(disk);
    }

    /// The second half of [`Machine::pull`]: the PnP manager has noticed that the disk, whose requests fail already, is
    /// gone.
    pub fn pulled(&self, disk: &Arc<Disk>) {
        for volume in disk.volumes() {
            self.pnp(&volume, IRP_MN_SURPRISE_REMOVAL);
            pnp::removed(&volume);
        }
        let (_, whole) = disk.whole();
        self.pnp_on(whole, IRP_MN_SURPRISE_REMOVAL);
        pnp::disk_removed(disk);
    }

    /// Sleeps, and wakes up after `meanwhile`: drivers hear that the machine leaves its working state, and that it is back.
    /// To a fixed disk this is nothing; it asks for no verification.
    pub fn sleep(&self, meanwhile: impl FnOnce()) {
        ex::callback::tell_power_state(false);
        meanwhile();
        ex::callback::tell_power_state(true);
        // A driver that is told at DISPATCH_LEVEL leaves the work to a thread.
        self.settle();
    }

    /// Sets the machine's clock forwards by so much, or back.
    pub fn set_clock(&self, by: Duration, back: bool) {
        ke::time::set_system_time(by, back);
    }

    /// Sleeps as [`Machine::sleep`] does, and so much time goes by.
    pub fn sleep_for(&self, time: Duration) {
        self.sleep(|| ke::time::sleep(time));
    }

    /// Asks politely for a disk, as "Safely Remove Hardware" does, and takes it if nobody objects. What the one that
    /// objected said; the disk is there still then.
    pub fn eject(&self, disk: &Arc<Disk>) -> Result<(), NTSTATUS> {
        let volumes = disk.volumes();
        for (asked, volume) in volumes.iter().enumerate() {
            let status = self.pnp(volume, IRP_MN_QUERY_REMOVE_DEVICE);
            // The modelled disk driver has nothing to say about it.
            if !nt_success(status) && status != STATUS_NOT_SUPPORTED {
                for volume in &volumes[..=asked] {
                    self.pnp(volume, IRP_MN_CANCEL_REMOVE_DEVICE);
                }
                return Err(status);
            }
        }
        for volume in &volumes {
            self.pnp(volume, IRP_MN_REMOVE_DEVICE);
            pnp::removed(volume);
        }
        pnp::disk_removed(disk);
        disk.remove();
        Ok(())
    }

    /// The disks, in the order in which they were plugged in.
    pub fn disks(&self) -> &[Arc<Disk>] {
        &self.disks
    }

    /// The loaded drivers.
    pub fn drivers(&self) -> &[Driver] {
        &self.drivers
    }

    /// Loads the driver in the file `path` as service `lklfs` would be: maps it, binds it, calls its
    /// DriverEntry.
    pub fn load_driver(&mut self, path: &Path) -> Result<(), MachineError> {
        let image = Image::load(path, &self.options).map_err(MachineError::Load)?;
        let service = path
            .file_stem()
            .map_or("driver".into(), |stem| stem.to_string_lossy().into_owned());
        let name = format!("\\FileSystem\\{service}");
        let driver = native::new_driver_object(&name);
        // SAFETY: the driver object is new and ours to fill in.
        unsafe {
            (*driver).DriverStart = image.base() as PVOID;
            (*driver).DriverSize = image.size() as u32;
        }
        cm::make(&format!(
            "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\{service}"
        ));
        let registry: &'static mut [u16] = wide(&format!(
            "\\Registry\\Machine\\System\\CurrentControlSet\\Services\\{service}"
        ))
        .leak();
        let registry: &'static mut UNICODE_STRING = Box::leak(Box::new(native::unicode(registry)));
        let entry = image.entry_point() as usize;
        let arguments = [driver as u64, std::ptr::from_mut(registry) as u64];
        // SAFETY: the image's entry point is DriverEntry, which takes these two.
        let status =
            in_system_thread(move || unsafe { ke::call_driver(entry as *const (), arguments) }) as NTSTATUS;
        let driver = Driver {
            image,
            object: driver as usize,
            name,
        };
        if !nt_success(status) {
            forget(&driver);
            driver.image.unload();
            return Err(MachineError::Entry(status));
        }
        // SAFETY: the list is the driver's list of devices; the I/O manager clears the flag after
        // DriverEntry.
        unsafe {
            let mut device = (*driver.object()).DeviceObject;
            while !device.is_null() {
                (*device).Flags &= !DO_DEVICE_INITIALIZING;
                device = (*device).NextDevice;
            }
        }
        driver.image.discard_init();
        self.drivers.push(driver);
        Ok(())
    }

    /// Starts a file system that takes whatever volume it is asked for: the last one that is asked, but for the raw one.
    pub fn start_other_file_system(&self) {
        other::start();
    }

    /// Stops the service of the driver that was loaded last, as `sc stop` does. Whether it is unloaded; else its devices
    /// cannot be opened any more, and it is unloaded when the last user of one of them lets go.
    pub fn stop_service(&mut self) -> bool {
        let Some(driver) = self.drivers.last() else {
            return true;
        };
        let object = driver.object;
        // SAFETY: the driver object lives until it is forgotten.
        if !in_system_thread(move || unsafe { service::stop(object as PDRIVER_OBJECT) }) {
            return false;
        }
        work::drain();
        if let Some(driver) = self.drivers.pop() {
            forget(&driver);
            driver.image.unload();
        }
        true
    }

    /// Opens `path`, a full NT path such as `\Device\HarddiskVolume1\dir\file`.
    pub fn open(&self, path: &str, open: OpenAs) -> Result<Handle, NTSTATUS> {
        Handle::open(wide(path), None, open)
    }

    /// The letter `letter:` stands for `device`.
    pub fn assign_letter(&self, letter: char, device: &str) {
        let link = wide(&format!("\\??\\{letter}:"));
        names::remove_link(&link);
        names::insert(&link, Node::Link(wide(device)));
    }

    /// Sends IRP_MJ_PNP with `minor` to what is mounted on `volume`, or to the disk's device when nothing is,
    /// as the PnP manager does (IRP_MN_QUERY_REMOVE_DEVICE, IRP_MN_SURPRISE_REMOVAL, ...). From the query on, or from a
    /// surprise, nothing is mounted on it any more, until the removal is cancelled.
    pub fn pnp(&self, volume: &disk::Volume, minor: u32) -> NTSTATUS {
        self.pnp_on(volume.device(), minor)
    }

    /// The same for any device of a disk's.
    fn pnp_on(&self, real: PDEVICE_OBJECT, minor: u32) -> NTSTATUS {
        // SAFETY: disks' devices are live while the machine is.
        unsafe {
            match minor {
                IRP_MN_QUERY_REMOVE_DEVICE | IRP_MN_SURPRISE_REMOVAL | IRP_MN_REMOVE_DEVICE => {
                    mount::set_removal(real, true);
                }
                IRP_MN_CANCEL_REMOVE_DEVICE => mount::set_removal(real, false),
                _ => {}
            }
        }
        // SAFETY: disks' devices are live while the machine is; a mounted VPB's device is, too.
        unsafe {
            let vpb = (*real).Vpb;
            let mounted = !vpb.is_null() && (*vpb).Flags & VPB_MOUNTED as u16 != 0;
            let target = device::top(if mounted { (*vpb).DeviceObject } else { real });
            self.send(target, IRP_MJ_PNP, minor, STATUS_NOT_SUPPORTED)
        }
    }

    /// Sends IRP_MJ_SHUTDOWN to whoever asked for it and to every file system.
    pub fn shutdown(&self) -> Vec<NTSTATUS> {
        let systems = mount::file_systems()
            .into_iter()
            .map(|system| system as PDEVICE_OBJECT);
        let targets: Vec<PDEVICE_OBJECT> = misc::shutdown_devices().into_iter().chain(systems).collect();
        let send = |target| {
            // SAFETY: registered devices are live.
            unsafe { self.send(device::top(target), IRP_MJ_SHUTDOWN, 0, 0) }
        };
        targets.into_iter().map(send).collect()
    }

    /// # Safety
    /// `target` is live.
    unsafe fn send(&self, target: PDEVICE_OBJECT, major: u32, minor: u32, initial: NTSTATUS) -> NTSTATUS {
        // SAFETY: by contract; the IRP is built and sent here.
        unsafe {
            let waiter = Waiter::new();
            let packet = request::start(target, Owner::Manager, 0);
            (*packet).UserIosb = waiter.block();
            (*packet).UserEvent = waiter.event();
            irp::set_status(packet, initial, 0);
            (*irp::next(packet)).MajorFunction = major as u8;
            (*irp::next(packet)).MinorFunction = minor as u8;
            waiter.send(target, packet).0
        }
    }

    /// Waits until no deferred work is left: neither the system's worker threads nor those of drivers have anything to do but
    /// to wait. For as long as a disk hangs or a driver polls, that is not quite to be had, and is given up.
    pub fn settle(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            work::drain();
            // What is seen one after the other was so at one moment if no thread was woken in between.
            let waits = ps::drivers_threads_wait();
            let quiet = self.all_disks().iter().all(|disk| disk.is_quiet());
            let soon = ke::timer::is_due_within(SOON);
            let idle = quiet && !soon && work::busy() == 0;
            if waits.is_some() && idle && waits == ps::drivers_threads_wait() {
                return;
            }
            if Instant::now() >= end {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Memory is short from now on, by `seed`: pages and segments are taken away at any moment ([`cc::pressure`]).
    pub fn press(&mut self, seed: u64) {
        self.relieve();
        self.pressure = Some(Pressure::start(seed));
    }

    /// There is memory enough again. What was done meanwhile.
    pub fn relieve(&mut self) -> Figures {
        self.pressure.take().map(Pressure::end).unwrap_or_default()
    }

    /// Gives cached pages and sections up that are not in use.
    pub fn trim(&self) -> usize {
        self.settle();
        let trimmed = cc::section::trim();
        self.settle();
        trimmed
    }

    /// Locks and dismounts every volume as a user would, then calls each driver's DriverUnload, unloads its
    /// image and reports what is left. What a driver leaves in the verifier's ledger is in the report, not a
    /// failure of its own.
    pub fn unload(mut self) -> Report {
        self.trim();
        let mut troubles = Vec::new();
        for (real, _) in mount::volumes() {
            let status = match dismount(real) {
                Ok(()) => continue,
                // Whatever still uses the volume of a disk that is gone ends by itself.
                Err(STATUS_NO_SUCH_DEVICE) if leaves(real) => continue,
                Err(status) => status,
            };
            let device = names::name_of(&Node::Device(real as usize)).unwrap_or_default();
            troubles.push(format!("{device} cannot be dismounted: {}", name(status)));
        }
        self.relieve();
        self.trim();
        let mut images = Vec::new();
        for driver in std::mem::take(&mut self.drivers).into_iter().rev() {
            troubles.extend(stop(&driver));
            images.push(driver);
        }
        work::drain();
        mountmgr::stop();
        other::stop();
        if hostfs::open_files() == 0 {
            hostfs::unmount();
        } else {
            troubles.push(format!("{} files are open on C:", hostfs::open_files()));
        }
        let report = report::gather(&self.all_disks(), troubles);
        for driver in images {
            forget(&driver);
            if report.is_clean() {
                driver.image.unload();
            }
        }
        report
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.relieve();
        for disk in self.all_disks() {
            disk.remove();
        }
        if self.drivers.is_empty() {
            disk::driver::detach_all();
            mountmgr::stop();
            pnp::reset();
            hostfs::unmount();
        }
    }
}

/// The driver object's names and registrations go.
fn forget(driver: &Driver) {
    names::remove(&Node::Driver(driver.object));
    service::forget(driver.object());
    fsrtl::misc::forget_driver(driver.object());
}

/// Calls DriverUnload. What is wrong comes back in words.
fn stop(driver: &Driver) -> Vec<String> {
    let mut troubles = Vec::new();
    // SAFETY: the driver object lives until it is forgotten.
    unsafe {
        match (*driver.object()).DriverUnload {
            // The service was stopped, and its last user has let go.
            Some(_) if service::is_unloaded(driver.object()) => {}
            None => troubles.push(format!("{} has no DriverUnload", driver.name)),
            Some(_) => {
                service::forget(driver.object());
                service::call_unload(driver.object());
                work::drain();
                let mut device = (*driver.object()).DeviceObject;
                while !device.is_null() {
                    let what = names::name_of(&Node::Device(device as usize)).unwrap_or("unnamed".into());
                    troubles.push(format!("{} left device {device:p} ({what})", driver.name));
                    device = (*device).NextDevice;
                }
            }
        }
    }
    troubles
}

/// Whether the volume on `real` goes by itself, within [`PATIENCE`].
fn leaves(real: PDEVICE_OBJECT) -> bool {
    let started = Instant::now();
    while mount::volumes().iter().any(|(mounted, _)| *mounted == real) {
        if started.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Opens the volume on `real`, locks and dismounts it.
fn dismount(real: PDEVICE_OBJECT) -> Result<(), NTSTATUS> {
    let path = names::name_of(&Node::Device(real as usize)).ok_or(STATUS_NO_SUCH_DEVICE)?;
    let handle = Handle::open(wide(&path), None, OpenAs::volume())?;
    handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).into_result()?;
    handle.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).into_result()?;
    handle.close();
    Ok(())
}

/// Runs `act` in a system thread and waits for its result.
fn in_system_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = ps::spawn_system("system", move || {
        // The receiver waits for ever, so it is there.
        let _ = sender.send(act());
    });
    let result = receiver
        .recv()
        .expect("the system thread sends its result or stops the process");
    ob::dereference(thread);
    result
}
