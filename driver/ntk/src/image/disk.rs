//! Image files as disks: a device of ours for each, whose sectors are in a file.
//!
//! A request to such a device is queued for the disk's own thread, which reads from the image's files
//! ([`BackingFile`]) into the request's memory. A thread of its own, since a system worker might be waiting for the very
//! bytes that another worker would have to bring. Control codes are answered at once by the core
//! ([`lklfs_fsd::imagedisk`]).
//!
//! Who keeps a disk alive: the device's extension and the list of disks have a count each; a request has one while it
//! is worked on. [`ImageDisk::remove`] fails what is queued, ends the thread and deletes the device; the image is closed
//! with the last count.
//!
//! The file system below may hang: a server that answers no more. So the thread reads into memory of its own, and the
//! request that it works on stands where [`ImageDisk::fail`] finds it: that ends all requests at once, whatever the thread
//! is waiting for. A thread that does not come back is *stranded*: it keeps its image and is joined when it ends, or by
//! the unload.
//
// UNSAFETY: devices and their extensions, the thread's start, memory of requests.

use crate::buffer;
use crate::control::security::{self, Audience};
use crate::device::DeviceRef;
use crate::image::backing_file::BackingFile;
use crate::image::identity;
use crate::image::orphans;
use crate::irp::Irp;
use crate::log;
use crate::object::extension::{self, Extension, Kind};
use crate::state::Driver;
use crate::workque::deferred;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use disk_images::{Cache, Image};
use lkl::probe::{ReadAt, ReadError};
use lklfs_fsd::Outcome;
use lklfs_fsd::imagedisk::ImageDisk as Answers;
use lklfs_kernel::name::Name;
use lklfs_kernel::nt::{
    self, DO_DEVICE_INITIALIZING, DO_DIRECT_IO, FILE_DEVICE_DISK, FILE_DEVICE_SECURE_OPEN,
    FILE_READ_ONLY_DEVICE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_FLUSH_BUFFERS, IRP_MJ_READ, IRP_MJ_SHUTDOWN, IRP_MJ_WRITE, IoCreateDevice, IoDeleteDevice,
    NTSTATUS, PDEVICE_OBJECT,
};
use lklfs_kernel::pool;
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::sync::{Event, SpinLock};
use lklfs_kernel::thread::Thread;
use lklfs_nt::NtStatus;

/// The most bytes that identify a volume to the mount manager.
pub const IDENTITY: usize = 32;

/// A range of an image: the whole, or a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bytes from the start of the image.
    pub start: u64,
    /// Bytes.
    pub bytes: u64,
    /// The partition's number, or 0.
    pub partition: u32,
}

/// An image, read by one thread at a time.
pub struct OpenImage {
    image: Image<BackingFile>,
    cache: Guarded<Cache>,
}

impl OpenImage {
    /// An opened image. `None` for lack of memory.
    pub fn new(image: Image<BackingFile>) -> Option<Self> {
        let cache = Cache::new().ok()?;
        Some(OpenImage {
            image,
            cache: Guarded::new(cache)?,
        })
    }

    /// Bytes of the disk.
    pub fn bytes(&self) -> u64 {
        self.image.virtual_size()
    }

    /// Bytes in a sector.
    pub fn sector(&self) -> u32 {
        self.image.logical_sector_size()
    }

    /// Why a read failed: what the file system below said, or what is wrong with the image.
    fn failure(&self) -> NtStatus {
        (0..)
            .map_while(|index| self.image.file(index))
            .find_map(BackingFile::failure)
            .unwrap_or(NtStatus::DISK_CORRUPT_ERROR)
    }
}

impl ReadAt for OpenImage {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let mut cache = self.cache.lock();
        self.image.read_at(&mut cache, offset, out).map_err(|_| ReadError)
    }
}

/// A window of an image, as the probe reads it.
pub struct Part<'a>(pub &'a OpenImage, pub Window);

impl ReadAt for Part<'_> {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let end = offset.checked_add(out.len() as u64).ok_or(ReadError)?;
        if end > self.1.bytes {
            return Err(ReadError);
        }
        self.0
            .read_at(self.1.start.checked_add(offset).ok_or(ReadError)?, out)
    }

    fn size(&self) -> Option<u64> {
        Some(self.1.bytes)
    }
}

/// A disk.
pub struct ImageDisk {
    /// Its number, which is in its name.
    pub number: u32,
    image: OpenImage,
    window: Window,
    identity: Vec<u8>,
    name: Name,
    /// The letter's link that the mount manager is told when it asks for one.
    wanted_link: Option<Name>,
    device: AtomicPtr<nt::DEVICE_OBJECT>,
    queue: SpinLock<VecDeque<Irp>>,
    /// What the thread works on, until it or [`ImageDisk::fail`] takes it to complete it.
    current: SpinLock<Option<Irp>>,
    /// Something is queued, or the disk is gone.
    wake: Box<Event>,
    gone: AtomicBool,
    thread: SpinLock<Option<Thread>>,
    /// The thread is about to end.
    ended: Arc<Event>,
}

/// How long a removal waits for the thread, in milliseconds.
const PATIENCE: u32 = 1000;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// The device is deleted; it counts for as long as handles are open on it or on what another file system had mounted there.
/// Without memory for a task it does not.
fn wait_for_handles(device: DeviceRef) {
    // SAFETY: the device is referenced; the I/O manager counts the handles in it.
    let is_open = move |device: &DeviceRef| unsafe { (*device.as_ptr()).ReferenceCount } != 0;
    if !is_open(&device) {
        extension::count_device(false);
        return;
    }
    let queued = deferred::queue(move || {
        while is_open(&device) {
            deferred::pause();
        }
        extension::count_device(false);
    });
    if !queued {
        extension::count_device(false);
    }
}

impl ImageDisk {
    /// Makes the device and starts the thread. `identity` tells the volume from every other; and where it does not, since
    /// there are two copies of one, `mark` does. `wanted_link` is the link that it would like to have.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn create(
        driver: &Driver,
        image: OpenImage,
        window: Window,
        identity: Vec<u8>,
        mark: u64,
        wanted_link: Option<Name>,
    ) -> Result<Arc<Self>, NtStatus> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let wake = fallible::try_box(Event::uninit()).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        wake.init();
        let ended = pool::try_arc(Event::uninit()).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        ended.init();
        orphans::join_ended();
        let identity = identity::settle(number, identity, mark)?;
        let sector = image.sector();
        let disk = pool::try_arc(ImageDisk {
            number,
            image,
            window,
            identity,
            name: Name::numbered("\\Device\\LklfsImage", number),
            wanted_link,
            device: AtomicPtr::new(null_mut()),
            queue: SpinLock::new(VecDeque::new()),
            current: SpinLock::new(None),
            wake,
            gone: AtomicBool::new(false),
            thread: SpinLock::new(None),
            ended,
        })
        .ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        let mut name = disk.name;
        let mut device: PDEVICE_OBJECT = null_mut();
        // SAFETY: all pointers outlive the call; the driver object is ours.
        let status = unsafe {
            IoCreateDevice(
                driver.object(),
                size_of::<Extension>() as u32,
                &mut name.string(),
                FILE_DEVICE_DISK,
                FILE_DEVICE_SECURE_OPEN | FILE_READ_ONLY_DEVICE,
                nt::NO,
                &mut device,
            )
        };
        if status < 0 {
            identity::forget(number);
            return Err(nt::status(status));
        }
        disk.device.store(device, Ordering::Release);
        extension::count_device(true);
        // SAFETY: the device is new and not ready yet.
        unsafe { (*device).Flags |= DO_DIRECT_IO };
        if let Err(status) = security::device(device, Audience::Disk) {
            disk.remove();
            return Err(status);
        }
        // SAFETY: as above.
        unsafe { (*device).SectorSize = u16::try_from(sector).unwrap_or(512) };
        // SAFETY: as above.
        unsafe { extension::set_kind(device, Kind::ImageDisk) };
        // SAFETY: as above; it is a disk's.
        unsafe { extension::set_image_disk(device, Some(Arc::clone(&disk))) };
        let served = Arc::clone(&disk);
        match Thread::spawn_on_large_stack(move || serve(served)) {
            Some(thread) => *disk.thread.lock() = Some(thread),
            None => {
                disk.remove();
                return Err(NtStatus::INSUFFICIENT_RESOURCES);
            }
        }
        // SAFETY: the device is ready now.
        unsafe { (*device).Flags &= !DO_DEVICE_INITIALIZING };
        Ok(disk)
    }

    /// The device's name, `\Device\LklfsImage1`.
    pub fn name(&self) -> &[u16] {
        self.name.units()
    }

    /// The device. Only before the disk is removed.
    pub fn device_ref(&self) -> DeviceRef {
        // SAFETY: the device is there until remove() deletes it.
        unsafe { DeviceRef::new(self.device.load(Ordering::Acquire)) }
    }

    /// Every request fails from now on, the one that is being worked on included, whatever the file system below does.
    ///
    /// IRQL: <= DISPATCH_LEVEL; does not wait.
    pub fn fail(&self) {
        self.gone.store(true, Ordering::Release);
        self.wake.set();
        let current = self.current.lock().take();
        if let Some(irp) = current {
            let _ = irp.fail(NtStatus::NO_SUCH_DEVICE);
        }
        self.fail_queued();
    }

    /// The disk goes: whatever is queued or comes later fails, the thread ends, the device is deleted. What is mounted
    /// on it should be gone before. Once; later calls do nothing.
    ///
    /// IRQL: PASSIVE_LEVEL, on a large stack; blocks for a moment ([`PATIENCE`]) when a read of the image is under way.
    pub fn remove(self: &Arc<Self>) {
        self.fail();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            if self.ended.wait_for(PATIENCE) {
                thread.join();
            } else {
                log::line(format_args!(
                    "image disk {} is gone, but a read of its file does not end",
                    self.number
                ));
                orphans::keep(&self.ended, thread);
            }
        }
        let device = self.device.swap(null_mut(), Ordering::AcqRel);
        if !device.is_null() {
            identity::forget(self.number);
            // SAFETY: the device is ours; its extension gives up its count. Requests that came before have theirs.
            unsafe { extension::set_image_disk(device, None) };
            // SAFETY: the device is ours until it is deleted below.
            let last = unsafe { DeviceRef::new(device) };
            // SAFETY: created by create(), deleted once.
            unsafe { IoDeleteDevice(device) };
            wait_for_handles(last);
        }
    }

    fn fail_queued(&self) {
        loop {
            let next = self.queue.lock().pop_front();
            match next {
                Some(irp) => {
                    let _ = irp.fail(NtStatus::NO_SUCH_DEVICE);
                }
                None => break,
            }
        }
    }

    /// Takes a READ. IRQL: <= DISPATCH_LEVEL.
    fn enqueue(&self, irp: Irp) -> NTSTATUS {
        let (length, offset) = irp.read();
        let sector = u64::from(self.image.sector());
        let inside = u64::try_from(offset).ok().filter(|offset| {
            let aligned =
                offset.checked_rem(sector) == Some(0) && u64::from(length).checked_rem(sector) == Some(0);
            aligned
                && offset
                    .checked_add(u64::from(length))
                    .is_some_and(|end| end <= self.window.bytes)
        });
        if inside.is_none() {
            return irp.fail(NtStatus::INVALID_PARAMETER);
        }
        if length == 0 {
            return irp.complete(Outcome::success(0));
        }
        let mut queue = self.queue.lock();
        if self.gone.load(Ordering::Acquire) {
            drop(queue);
            return irp.fail(NtStatus::NO_SUCH_DEVICE);
        }
        if queue.try_reserve(1).is_err() {
            drop(queue);
            return irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
        }
        irp.mark_pending();
        queue.push_back(irp);
        drop(queue);
        self.wake.set();
        nt::raw_status(NtStatus::PENDING)
    }

    /// Serves reads until the disk is gone.
    fn serve(&self) {
        let mut bytes = Vec::new();
        loop {
            self.wake.wait();
            self.wake.clear();
            loop {
                let next = self.queue.lock().pop_front();
                let Some(irp) = next else { break };
                if self.gone.load(Ordering::Acquire) {
                    let _ = irp.fail(NtStatus::NO_SUCH_DEVICE);
                } else {
                    self.read(irp, &mut bytes);
                }
            }
            if self.gone.load(Ordering::Acquire) {
                self.fail_queued();
                return;
            }
        }
    }

    /// Reads into `bytes`, and from there into the request, if it is still ours by then.
    fn read(&self, irp: Irp, bytes: &mut Vec<u8>) {
        let (length, offset) = irp.read();
        let (Ok(offset), Ok(room)) = (u64::try_from(offset), usize::try_from(length)) else {
            let _ = irp.fail(NtStatus::INVALID_PARAMETER);
            return;
        };
        bytes.clear();
        if bytes.try_reserve(room).is_err() {
            let _ = irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
            return;
        }
        bytes.resize(room, 0);
        *self.current.lock() = Some(irp);
        let result = if self.gone.load(Ordering::Acquire) {
            // Perhaps since before the request stood there.
            Err(NtStatus::NO_SUCH_DEVICE)
        } else {
            Part(&self.image, self.window)
                .read_at(offset, bytes)
                .map_err(|ReadError| self.image.failure())
        };
        let current = self.current.lock().take();
        // Otherwise somebody has failed it meanwhile.
        let Some(mut irp) = current else { return };
        let outcome = match (result, buffer::bytes(&mut irp, length)) {
            (Ok(()), Ok(out)) => {
                out.copy_from_slice(bytes);
                Outcome::success(room)
            }
            (Err(status), _) | (_, Err(status)) => Outcome::failed(status),
        };
        let _ = irp.complete(outcome);
    }

    fn control(&self, mut irp: Irp) -> NTSTATUS {
        let parameters = irp.control();
        if parameters.code & 3 != 0 {
            return irp.fail(NtStatus::INVALID_DEVICE_REQUEST);
        }
        let answers = Answers {
            bytes: self.window.bytes,
            sector: self.image.sector(),
            start: self.window.start,
            partition: self.window.partition,
            name: self.name(),
            identity: &self.identity,
            wanted_link: self.wanted_link.as_ref().map_or(&[], Name::units),
        };
        let outcome = answers.control(parameters.code, irp.system_buffer(parameters.output_length));
        irp.complete(outcome)
    }
}

/// The thread's entry.
/// What the disk's thread does.
fn serve(disk: Arc<ImageDisk>) {
    disk.serve();
    let ended = Arc::clone(&disk.ended);
    // With this the image may be closed, before anybody hears that the thread has ended.
    drop(disk);
    ended.set();
}

/// Every request to such a device.
///
/// IRQL: as the major function has it; READ <= DISPATCH_LEVEL.
pub fn dispatch(irp: Irp) -> NTSTATUS {
    // SAFETY: the IRP was sent to this device of ours and keeps it alive.
    let disk = unsafe { extension::image_disk_of(irp.device()) };
    match (u32::from(irp.major()), disk) {
        (IRP_MJ_CREATE, None) => irp.fail(NtStatus::NO_SUCH_DEVICE),
        (IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE | IRP_MJ_FLUSH_BUFFERS | IRP_MJ_SHUTDOWN, _) => {
            irp.complete(Outcome::success(0))
        }
        (IRP_MJ_WRITE, _) => irp.fail(NtStatus::MEDIA_WRITE_PROTECTED),
        (_, None) => irp.fail(NtStatus::NO_SUCH_DEVICE),
        (IRP_MJ_READ, Some(disk)) => disk.enqueue(irp),
        (IRP_MJ_DEVICE_CONTROL, Some(disk)) => disk.control(irp),
        _ => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
    }
}
