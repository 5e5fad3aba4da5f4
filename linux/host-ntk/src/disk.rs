//! A disk of Linux's over an NT device: each read is one IRP, or a few, sent at once and finished by its completion
//! routine at whatever IRQL that runs.
//!
//! A read's segments are pages of Linux's pool. One IRP carries one MDL, and an MDL can describe pieces that follow
//! each other in memory or meet at page boundaries; [`Cursor`] cuts a read into such runs. A run that is contiguous
//! in memory gets an ordinary MDL of non-paged memory (which lower drivers need not map), a scattered one gets the
//! page frames of its pieces.
//!
//! Nothing here can write: the only major function that this file sends is IRP_MJ_READ, and the only control codes
//! ask for the size and for the bus.
//
// UNSAFETY: builds IRPs and MDLs, and receives their completion.

use crate::NtkHost;
use crate::nt::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IO_STACK_LOCATION, IO_STATUS_BLOCK, IRP, IRP_MJ_READ, IoAllocateIrp,
    IoAllocateMdl, IoBuildDeviceIoControlRequest, IoFreeIrp, IoFreeMdl, IofCallDriver,
    MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED, MDL_SOURCE_IS_NONPAGED_POOL, MmBuildMdlForNonPagedPool,
    MmUnmapLockedPages, NO, NTSTATUS, ObfDereferenceObject, ObfReferenceObject, PAGE_BYTES, PDEVICE_OBJECT,
    PIRP, PMDL, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    SL_OVERRIDE_VERIFY_VOLUME, STATUS_INSUFFICIENT_RESOURCES, ULONG, large, mdl_pfns,
};
use crate::run::{Cursor, Run, Segments};
use crate::sync::Event;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use lkl::{Errno, ReadRequest};

/// `IOCTL_DISK_GET_LENGTH_INFO`: a 64-bit length.
const IOCTL_DISK_GET_LENGTH_INFO: ULONG = 0x0007_405c;
/// `IOCTL_DISK_GET_DRIVE_GEOMETRY`: `DISK_GEOMETRY`.
const IOCTL_DISK_GET_DRIVE_GEOMETRY: ULONG = 0x0007_0000;
/// `IOCTL_CDROM_GET_DRIVE_GEOMETRY`: the same for CDs.
const IOCTL_CDROM_GET_DRIVE_GEOMETRY: ULONG = 0x0002_404c;
/// `IOCTL_STORAGE_QUERY_PROPERTY`: for a `STORAGE_PROPERTY_QUERY`, here of StorageDeviceProperty in the standard way (all
/// zero), a `STORAGE_DEVICE_DESCRIPTOR` with strings behind it.
const IOCTL_STORAGE_QUERY_PROPERTY: ULONG = 0x002d_1400;
const STATUS_PENDING: NTSTATUS = 0x103;
const STATUS_MORE_PROCESSING_REQUIRED: NTSTATUS = 0xc000_0016_u32 as i32;
const STATUS_IO_DEVICE_ERROR: NTSTATUS = 0xc000_0185_u32 as i32;

/// Why a device cannot be a disk of Linux's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskError(pub NTSTATUS);

/// `DISK_GEOMETRY`.
#[repr(C)]
#[derive(Default, Clone, Copy)]
struct DiskGeometry {
    cylinders: i64,
    media_type: u32,
    tracks_per_cylinder: u32,
    sectors_per_track: u32,
    bytes_per_sector: u32,
}

const _: () = assert!(size_of::<DiskGeometry>() == 24);

/// How a device is attached: the beginning of its `STORAGE_DEVICE_DESCRIPTOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// `RemovableMedia`.
    pub removable_media: bool,
    /// `STORAGE_BUS_TYPE`.
    pub bus: u32,
}

/// `STORAGE_DEVICE_DESCRIPTOR` and what follows it.
#[repr(C)]
struct DeviceDescriptor {
    version: u32,
    size: u32,
    device_type: u8,
    device_type_modifier: u8,
    removable_media: u8,
    command_queueing: u8,
    offsets: [u32; 4],
    bus: u32,
    /// The strings: nothing that is looked at.
    rest: [u8; 476],
}

const _: () = {
    assert!(size_of::<DeviceDescriptor>() == 508);
    assert!(core::mem::offset_of!(DeviceDescriptor, bus) == 28);
};

/// An NT disk device, referenced, with its size.
pub struct DeviceDisk {
    device: PDEVICE_OBJECT,
    host: Arc<NtkHost>,
    bytes: u64,
    block_bytes: u32,
    /// The device has said that it is there no more.
    gone: AtomicBool,
    /// Reads go to the device although its medium may be another one: while that is being found out.
    verifying: AtomicBool,
}

// SAFETY: a referenced device object may be used by any thread; the rest is plain.
unsafe impl Send for DeviceDisk {}
// SAFETY: as above.
unsafe impl Sync for DeviceDisk {}

impl DeviceDisk {
    /// Asks `device` for its size.
    ///
    /// IRQL: PASSIVE_LEVEL; may block.
    ///
    /// # Safety
    /// `device` is the top of a live disk device stack.
    pub unsafe fn open(device: PDEVICE_OBJECT, host: Arc<NtkHost>) -> Result<Self, DiskError> {
        let mut geometry = DiskGeometry::default();
        // SAFETY: promised by the caller; the buffer is a plain record.
        let asked = unsafe { query(device, IOCTL_DISK_GET_DRIVE_GEOMETRY, &mut geometry) };
        if asked.is_err() {
            // SAFETY: as above.
            unsafe { query(device, IOCTL_CDROM_GET_DRIVE_GEOMETRY, &mut geometry) }?;
        }
        let mut bytes: i64 = 0;
        // SAFETY: as above.
        if unsafe { query(device, IOCTL_DISK_GET_LENGTH_INFO, &mut bytes) }.is_err() {
            bytes = geometry
                .cylinders
                .saturating_mul(i64::from(geometry.tracks_per_cylinder))
                .saturating_mul(i64::from(geometry.sectors_per_track))
                .saturating_mul(i64::from(geometry.bytes_per_sector));
        }
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let block_bytes = geometry.bytes_per_sector;
        if bytes == 0 || !block_bytes.is_power_of_two() || !(512..=4096).contains(&block_bytes) {
            return Err(DiskError(STATUS_IO_DEVICE_ERROR));
        }
        // SAFETY: the device is live; the reference is given back by drop().
        unsafe { ObfReferenceObject(device.cast()) };
        Ok(DeviceDisk {
            device,
            host,
            bytes,
            block_bytes,
            gone: AtomicBool::new(false),
            verifying: AtomicBool::new(true),
        })
    }

    /// What is on the device is known now. From here on a read fails with VERIFY_REQUIRED when the device below says that
    /// its medium may have been changed, so that Linux never gets bytes of another volume.
    pub fn end_verification(&self) {
        self.verifying.store(false, Ordering::Release);
    }

    /// Whether the device has said that it is there no more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Remembers what a failed request says of the device.
    fn note(&self, status: NTSTATUS) {
        use crate::nt::{
            STATUS_DEVICE_DOES_NOT_EXIST, STATUS_DEVICE_NOT_CONNECTED, STATUS_DEVICE_REMOVED,
            STATUS_NO_SUCH_DEVICE,
        };
        if matches!(
            status,
            STATUS_NO_SUCH_DEVICE
                | STATUS_DEVICE_DOES_NOT_EXIST
                | STATUS_DEVICE_NOT_CONNECTED
                | STATUS_DEVICE_REMOVED
        ) {
            self.gone.store(true, Ordering::Release);
        }
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes in a sector.
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// How it is attached, if the device tells.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn attachment(&self) -> Result<Attachment, DiskError> {
        let mut question = [0; 12];
        // SAFETY: any bytes are a descriptor.
        let mut descriptor: DeviceDescriptor = unsafe { core::mem::zeroed() };
        // SAFETY: the device is referenced; any bytes are a descriptor.
        let bytes = unsafe {
            query_with(
                self.device,
                IOCTL_STORAGE_QUERY_PROPERTY,
                &mut question,
                &mut descriptor,
            )
        }?;
        if bytes < core::mem::offset_of!(DeviceDescriptor, rest) {
            return Err(DiskError(STATUS_IO_DEVICE_ERROR));
        }
        Ok(Attachment {
            removable_media: descriptor.removable_media != 0,
            bus: descriptor.bus,
        })
    }

    /// The device itself.
    pub fn device(&self) -> PDEVICE_OBJECT {
        self.device
    }

    /// Reads `out.len()` bytes at `offset` and waits for them; both are multiples of the sector size, and `out` is in
    /// non-paged memory (everything from this crate's allocator is).
    ///
    /// IRQL: <= APC_LEVEL; blocks.
    pub fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), DiskError> {
        self.read_and_wait(offset, out, self.verifying.load(Ordering::Acquire))
    }

    /// As [`DeviceDisk::read_now`], although the medium may be another one.
    ///
    /// IRQL: <= APC_LEVEL; blocks.
    pub fn read_to_verify(&self, offset: u64, out: &mut [u8]) -> Result<(), DiskError> {
        self.read_and_wait(offset, out, true)
    }

    fn read_and_wait(&self, offset: u64, out: &mut [u8], verifying: bool) -> Result<(), DiskError> {
        let waiter = Waiter {
            done: Event::uninit(),
            status: AtomicI32::new(0),
            wanted: out.len(),
        };
        waiter.done.init();
        let Some(start) = NonNull::new(out.as_mut_ptr()) else {
            return Err(DiskError(STATUS_IO_DEVICE_ERROR));
        };
        let context: PVOID = (&raw const waiter).cast_mut().cast();
        let cursor = Cursor::new([(start, out.len())].into_iter());
        let run = cursor.clone().measure(true);
        if run.bytes != out.len() {
            return Err(DiskError(STATUS_INSUFFICIENT_RESOURCES));
        }
        let mut pieces = cursor;
        // SAFETY: `waiter` and `out` outlive the IRP, for whose end this waits.
        unsafe { self.send(offset, &run, &mut pieces, verifying, (read_now_done, context)) }?;
        waiter.done.wait();
        match waiter.status.load(Ordering::Acquire) {
            status if status >= 0 => Ok(()),
            status => {
                self.note(status);
                Err(DiskError(status))
            }
        }
    }

    /// Builds and sends the IRP of one run. On success the completion routine was or will be called; on failure never.
    ///
    /// # Safety
    /// The memory of the run and `context` are valid until the routine has been called.
    unsafe fn send<I: Segments>(
        &self,
        offset: u64,
        run: &Run,
        pieces: &mut Cursor<I>,
        verifying: bool,
        (done, context): (Completion, PVOID),
    ) -> Result<(), DiskError> {
        let no_memory = DiskError(STATUS_INSUFFICIENT_RESOURCES);
        let length = ULONG::try_from(run.bytes).map_err(|_| no_memory)?;
        let position = i64::try_from(offset).map_err(|_| DiskError(STATUS_IO_DEVICE_ERROR))?;
        // SAFETY: the device is referenced.
        let stack_size = unsafe { (*self.device).StackSize };
        // SAFETY: as above.
        let flags = unsafe { (*self.device).Flags };
        // SAFETY: any stack size of a live device is allowed.
        let irp = unsafe { IoAllocateIrp(stack_size, NO) };
        if irp.is_null() {
            return Err(no_memory);
        }
        let start: PVOID = run.start.as_ptr().cast();
        // SAFETY: describes the run's addresses; for a scattered run only its first page's.
        let mdl = unsafe { IoAllocateMdl(start, length, NO, NO, null_mut()) };
        if mdl.is_null() {
            // SAFETY: the IRP is ours and was not sent.
            unsafe { IoFreeIrp(irp) };
            return Err(no_memory);
        }
        // SAFETY: `mdl` has room for the run's pages, which the cursor hands out again.
        unsafe { self.fill(mdl, run, pieces) };
        // SAFETY: the IRP is ours until it is sent.
        let request = unsafe { &mut *irp };
        request.MdlAddress = mdl;
        request.UserBuffer = start;
        if flags & DO_BUFFERED_IO != 0 {
            request.AssociatedIrp.SystemBuffer = start;
        }
        request.RequestorMode = crate::nt::KERNEL_MODE;
        // SAFETY: the IRP was allocated with a location for the device.
        let stack = unsafe { next_stack_location(irp) };
        // SAFETY: the location is ours as the IRP is, and no other reference to it is alive.
        let stack = unsafe { &mut *stack };
        stack.MajorFunction = IRP_MJ_READ as u8;
        stack.Flags = if verifying {
            SL_OVERRIDE_VERIFY_VOLUME as u8
        } else {
            0
        };
        stack.Control = (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL) as u8;
        stack.DeviceObject = self.device;
        stack.CompletionRoutine = Some(done);
        stack.Context = context;
        // SAFETY: every member of the union is plain numbers, and the location came cleared.
        let read = unsafe { &mut stack.Parameters.Read };
        read.Length = length;
        read.ByteOffset = large(position);
        // SAFETY: the IRP is complete; from here on it belongs to the device and to the completion routine.
        let _ = unsafe { IofCallDriver(self.device, irp) };
        Ok(())
    }

    /// Enters the run's pages in its MDL.
    ///
    /// # Safety
    /// `mdl` was allocated for the run, and the cursor stands at its start.
    unsafe fn fill<I: Segments>(&self, mdl: PMDL, run: &Run, pieces: &mut Cursor<I>) {
        if run.contiguous {
            pieces.skip(run.bytes);
            // SAFETY: the MDL describes non-paged memory.
            unsafe { MmBuildMdlForNonPagedPool(mdl) };
            return;
        }
        // SAFETY: the array follows the header.
        let pfns = unsafe { mdl_pfns(mdl) };
        let mut index = 0usize;
        let mut left = run.bytes;
        while left > 0 {
            let Some((address, length)) = pieces.take_in_page(left) else {
                break;
            };
            // Pieces that follow each other in memory may meet inside a page, which is entered once.
            if index == 0 || address.addr().get() % PAGE_BYTES == 0 {
                let pfn = self.host.pages().pfn(address.as_ptr());
                // SAFETY: the run has as many pages as IoAllocateMdl counted from its start and length, because
                // pieces that do not follow each other meet at page boundaries.
                unsafe { *pfns.wrapping_add(index) = pfn };
                index = index.saturating_add(1);
            }
            left = left.saturating_sub(length);
        }
        // SAFETY: the MDL is ours; Linux' pages never leave memory.
        unsafe { (*mdl).MdlFlags |= MDL_PAGES_LOCKED as i16 };
    }

    /// Whether the device takes MDLs; otherwise a run must be contiguous.
    fn direct(&self) -> bool {
        // SAFETY: the device is referenced.
        unsafe { (*self.device).Flags & DO_DIRECT_IO != 0 }
    }
}

impl Drop for DeviceDisk {
    fn drop(&mut self) {
        // SAFETY: the reference was taken by open().
        unsafe { ObfDereferenceObject(self.device.cast()) };
    }
}

impl lkl::Disk for DeviceDisk {
    fn size_bytes(&self) -> u64 {
        self.bytes
    }

    fn block_size(&self) -> u32 {
        self.block_bytes
    }

    fn read(&self, request: ReadRequest) {
        let mut offset = request.offset();
        let mut left = request.len();
        let Some(transfer) = lkl::try_box(Transfer {
            disk: self,
            parts: AtomicU32::new(1),
            status: AtomicI32::new(0),
            request,
        }) else {
            // The request went with the box, which answered it.
            return;
        };
        let transfer = Box::into_raw(transfer);
        // SAFETY: the box stays until the last part is counted out, and this function's own part is the last of all.
        let shared = unsafe { &*transfer };
        let mut pieces = Cursor::new(shared.request.raw_segments());
        let verifying = self.verifying.load(Ordering::Acquire);
        while left > 0 {
            let run = pieces.clone().measure(!self.direct());
            if run.bytes == 0 {
                shared.note(STATUS_IO_DEVICE_ERROR);
                break;
            }
            shared.parts.fetch_add(1, Ordering::AcqRel);
            // SAFETY: Linux' memory and the transfer live until the last part has ended.
            let sent =
                unsafe { self.send(offset, &run, &mut pieces, verifying, (read_done, transfer.cast())) };
            if let Err(DiskError(status)) = sent {
                shared.parts.fetch_sub(1, Ordering::AcqRel);
                shared.note(status);
                break;
            }
            offset = offset.saturating_add(run.bytes as u64);
            left = left.saturating_sub(run.bytes);
        }
        // SAFETY: this is the part that `parts` began with.
        unsafe { Transfer::end_part(transfer) };
    }
}

/// A read of Linux's under way.
struct Transfer {
    /// The request keeps it alive.
    disk: *const DeviceDisk,
    /// IRPs under way, and one for the sender.
    parts: AtomicU32,
    /// The first failure, or 0.
    status: AtomicI32,
    request: ReadRequest,
}

impl Transfer {
    /// Remembers a failure, unless there was one already.
    fn note(&self, status: NTSTATUS) {
        let _ = self
            .status
            .compare_exchange(0, status, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Counts a part out; the last one answers Linux. IRQL: <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The part was counted in, and `transfer` is not used by it any more.
    unsafe fn end_part(transfer: *mut Transfer) {
        // SAFETY: the part that ends keeps the box alive.
        if unsafe { (*transfer).parts.fetch_sub(1, Ordering::AcqRel) } != 1 {
            return;
        }
        // SAFETY: all parts have ended, so this is the only user of the box.
        let transfer = unsafe { Box::from_raw(transfer) };
        let status = transfer.status.load(Ordering::Acquire);
        let Transfer { request, disk, .. } = *transfer;
        if status < 0 {
            // SAFETY: Linux' table of disks and the request each have a count of the disk.
            unsafe { (*disk).note(status) };
        }
        request.complete(if status >= 0 { Ok(()) } else { Err(errno(status)) });
    }
}

/// What Linux is told of a device's failure.
fn errno(status: NTSTATUS) -> Errno {
    use crate::nt::{
        STATUS_CANCELLED, STATUS_DEVICE_DOES_NOT_EXIST, STATUS_DEVICE_NOT_CONNECTED, STATUS_IO_TIMEOUT,
        STATUS_NO_MEDIA_IN_DEVICE, STATUS_NO_SUCH_DEVICE,
    };
    match status {
        STATUS_INSUFFICIENT_RESOURCES => Errno::ENOMEM,
        STATUS_NO_SUCH_DEVICE | STATUS_DEVICE_DOES_NOT_EXIST | STATUS_DEVICE_NOT_CONNECTED => Errno::ENXIO,
        STATUS_NO_MEDIA_IN_DEVICE => Errno::ENOMEDIUM,
        STATUS_IO_TIMEOUT => Errno::ETIMEDOUT,
        STATUS_CANCELLED => Errno::ECANCELED,
        _ => Errno::EIO,
    }
}

type Completion = unsafe extern "C" fn(PDEVICE_OBJECT, PIRP, PVOID) -> NTSTATUS;

/// The status and byte count of a finished IRP, after which its MDL and itself are gone.
///
/// # Safety
/// `irp` is one of `send`'s that came back to its completion routine.
unsafe fn take_apart(irp: PIRP) -> (NTSTATUS, usize) {
    // SAFETY: the IRP is ours again.
    let request = unsafe { &mut *irp };
    // SAFETY: a completed IRP has its status there.
    let status = unsafe { request.IoStatus.__bindgen_anon_1.Status };
    let (bytes, mdl) = (request.IoStatus.Information, request.MdlAddress);
    // SAFETY: the MDL is the one that send() made.
    let mapped_at = unsafe { (*mdl).MappedSystemVa };
    // SAFETY: as above.
    let flags = unsafe { (*mdl).MdlFlags } as u32;
    if flags & MDL_MAPPED_TO_SYSTEM_VA != 0 && flags & MDL_SOURCE_IS_NONPAGED_POOL == 0 {
        // A driver below mapped it; whoever frees an MDL with such a mapping takes it back.
        // SAFETY: the flag says that the mapping is there.
        unsafe { MmUnmapLockedPages(mapped_at, mdl) };
    }
    // SAFETY: ours, and the driver below is done with it.
    unsafe { IoFreeMdl(mdl) };
    request.MdlAddress = null_mut();
    // SAFETY: as above; the routine answers MORE_PROCESSING_REQUIRED, so the kernel does not touch it again.
    unsafe { IoFreeIrp(irp) };
    (status, bytes as usize)
}

unsafe extern "C" fn read_done(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let transfer: *mut Transfer = context.cast();
    // SAFETY: the IRP is one of send()'s, which came back.
    let mdl = unsafe { (*irp).MdlAddress };
    // SAFETY: the MDL that send() made; its length is what was asked for.
    let wanted = unsafe { (*mdl).ByteCount } as usize;
    // SAFETY: the IRP came back to its completion routine.
    let (status, bytes) = unsafe { take_apart(irp) };
    if status < 0 {
        // SAFETY: this part keeps the transfer alive.
        unsafe { (*transfer).note(status) };
    } else if bytes < wanted {
        // SAFETY: as above.
        unsafe { (*transfer).note(STATUS_IO_DEVICE_ERROR) };
    }
    // SAFETY: this part was counted in by read().
    unsafe { Transfer::end_part(transfer) };
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Somebody who waits for one read.
struct Waiter {
    done: Event,
    status: AtomicI32,
    wanted: usize,
}

unsafe extern "C" fn read_now_done(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: read_now() keeps its waiter until `done` is set.
    let waiter = unsafe { &*context.cast::<Waiter>() };
    // SAFETY: the IRP came back to its completion routine.
    let (status, bytes) = unsafe { take_apart(irp) };
    let status = if status >= 0 && bytes < waiter.wanted {
        STATUS_IO_DEVICE_ERROR
    } else {
        status
    };
    waiter.status.store(status, Ordering::Release);
    waiter.done.set();
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Where `IoGetNextIrpStackLocation` points.
///
/// # Safety
/// `irp` has a stack location left.
unsafe fn next_stack_location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: promised by the caller.
    let tail = unsafe { &(*irp).Tail };
    // SAFETY: this is what the union holds while an IRP is on its way.
    let overlay = unsafe { &tail.Overlay };
    // SAFETY: as above.
    let current = unsafe { overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation };
    // SAFETY: the current location is one past the next one.
    unsafe { current.sub(1) }
}

/// Sends a control request that answers with a `T`, and waits.
///
/// # Safety
/// `device` is live; any bytes are a `T`.
unsafe fn query<T>(device: PDEVICE_OBJECT, code: ULONG, answer: &mut T) -> Result<(), DiskError> {
    // SAFETY: promised by the caller.
    let bytes = unsafe { query_with(device, code, &mut [], answer) }?;
    if bytes < size_of::<T>() {
        return Err(DiskError(STATUS_IO_DEVICE_ERROR));
    }
    Ok(())
}

/// Sends a control request with an input, whose answer fills a `T` or its beginning, and waits; how many bytes came.
///
/// # Safety
/// `device` is live; any bytes are a `T`.
unsafe fn query_with<T>(
    device: PDEVICE_OBJECT,
    code: ULONG,
    input: &mut [u8],
    answer: &mut T,
) -> Result<usize, DiskError> {
    let event = Event::uninit();
    event.init();
    let mut status_block = IO_STATUS_BLOCK::default();
    // SAFETY: the buffer, the event and the status block outlive the request, for whose end this waits.
    let irp = unsafe {
        IoBuildDeviceIoControlRequest(
            code,
            device,
            if input.is_empty() {
                null_mut()
            } else {
                input.as_mut_ptr().cast()
            },
            input.len() as ULONG,
            (&raw mut *answer).cast(),
            size_of::<T>() as ULONG,
            NO,
            event.as_ptr(),
            &mut status_block,
        )
    };
    if irp.is_null() {
        return Err(DiskError(STATUS_INSUFFICIENT_RESOURCES));
    }
    // SAFETY: the request was built with a location for the device.
    let stack = unsafe { next_stack_location(irp) };
    // SAFETY: it is ours until the request is sent; a mount must not be stopped by a wanted verification.
    unsafe { (*stack).Flags |= SL_OVERRIDE_VERIFY_VOLUME as u8 };
    // SAFETY: the request is complete and belongs to the kernel from here on.
    let mut status = unsafe { IofCallDriver(device, irp) };
    if status == STATUS_PENDING {
        event.wait();
        // SAFETY: the kernel wrote the block before it set the event.
        status = unsafe { status_block.__bindgen_anon_1.Status };
    }
    if status < 0 {
        return Err(DiskError(status));
    }
    Ok(status_block.Information as usize)
}
