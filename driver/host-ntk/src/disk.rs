//! A disk of Linux's over an NT device: each read is one IRP, or a few, sent at once and finished by its completion
//! routine at whatever IRQL that runs.
//!
//! A read's segments are pages of Linux's pool. One IRP carries one MDL, and an MDL can describe pieces that follow
//! each other in memory or meet at page boundaries; [`Cursor`] cuts a read into such runs. A run that is contiguous
//! in memory gets an ordinary MDL of non-paged memory (which lower drivers need not map), a scattered one gets the
//! page frames of its pieces.
//!
//! Lack of memory for an IRP or an MDL is no failure of the disk's, and Linux has no way to say the difference: its file
//! systems make EIO of it. So a read that lacks something is done again, once its parts have ended, with what the disk
//! has in [reserve](crate::reserve).
//!
//! Nothing here can write: the only major function that this crate sends is IRP_MJ_READ, and the only control codes
//! ask what kind of device it is ([`crate::device_query`]).
//
// UNSAFETY: builds IRPs and MDLs, and receives their completion.

use crate::NtkHost;
use crate::device_query::{self, Attachment};
use crate::reserve::Reserve;
use crate::run::{Cursor, MAX_RUN_PAGES, Run, Segments};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};
use lkl::{Errno, ReadRequest};
use lklfs_kernel::nt::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IO_STACK_LOCATION, IRP, IRP_MJ_READ, IoAllocateIrp, IoAllocateMdl,
    IoFreeIrp, IoFreeMdl, IoSetDeviceToVerify, IofCallDriver, MDL_MAPPED_TO_SYSTEM_VA, MDL_PAGES_LOCKED,
    MDL_SOURCE_IS_NONPAGED_POOL, MmBuildMdlForNonPagedPool, MmUnmapLockedPages, NO, NTSTATUS,
    ObfDereferenceObject, ObfReferenceObject, PAGE_BYTES, PDEVICE_OBJECT, PETHREAD, PIRP, PMDL, PVOID,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SL_OVERRIDE_VERIFY_VOLUME,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_MEMORY, STATUS_VERIFY_REQUIRED, ULONG, large, mdl_pfns,
};
use lklfs_kernel::sync::Event;
use lklfs_kernel::thread::Thread;

pub(crate) const STATUS_MORE_PROCESSING_REQUIRED: NTSTATUS = 0xc000_0016_u32 as i32;
pub(crate) const STATUS_IO_DEVICE_ERROR: NTSTATUS = 0xc000_0185_u32 as i32;

/// The thread that reads of disks are sent for (see [`issue_reads_for`]); null for none.
static ISSUER: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(null_mut());

/// From now on reads of disks are sent in the name of this thread (`Tail.Overlay.Thread` of their IRPs), whichever
/// thread sends them. A device below that cannot go on notes itself in the IRP's thread
/// (IoSetHardErrorOrVerifyDevice) when the read ends: which may be after the sender's end, and would make the sender
/// take our device for one that it is to verify. `None` ends it: no read is under way then. Any IRQL.
pub fn issue_reads_for(thread: Option<&Thread>) {
    let object = thread.map_or(null_mut(), Thread::as_ptr);
    ISSUER.store(object, Ordering::Release);
}

/// The thread object that reads of disks are sent for; null for none. Any IRQL.
fn issuer() -> PVOID {
    ISSUER.load(Ordering::Acquire)
}

/// Why a device cannot be a disk of Linux's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskError(pub NTSTATUS);

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
    /// For reads that no IRP or MDL was to be had for.
    pub(crate) reserve: Reserve,
    /// A device below has refused a read because the medium may be another one, or is out.
    doubted: AtomicBool,
}

// SAFETY: a referenced device object may be used by any thread; the rest is plain or guards itself.
unsafe impl Send for DeviceDisk {}
// SAFETY: a device object takes requests of any thread at any time; the rest is atomic or guards itself.
unsafe impl Sync for DeviceDisk {}

impl DeviceDisk {
    /// Asks `device` for its size.
    ///
    /// IRQL: PASSIVE_LEVEL; may block.
    ///
    /// # Safety
    /// `device` is the top of a live disk device stack.
    pub unsafe fn open(device: PDEVICE_OBJECT, host: Arc<NtkHost>) -> Result<Self, DiskError> {
        // SAFETY: promised by the caller.
        let (bytes, block_bytes) = unsafe { device_query::sizes(device) }?;
        // SAFETY: promised by the caller.
        let reserve = unsafe { Reserve::new(device) }.ok_or(DiskError(STATUS_INSUFFICIENT_RESOURCES))?;
        // SAFETY: the device is live; the reference is given back by drop().
        unsafe { ObfReferenceObject(device.cast()) };
        Ok(DeviceDisk {
            device,
            host,
            bytes,
            block_bytes,
            gone: AtomicBool::new(false),
            verifying: AtomicBool::new(true),
            reserve,
            doubted: AtomicBool::new(false),
        })
    }

    /// What is on the device is known now. From here on a read fails with VERIFY_REQUIRED when the device below says that
    /// its medium may have been changed, so that Linux never gets bytes of another volume.
    pub fn end_verification(&self) {
        self.verifying.store(false, Ordering::Release);
    }

    /// Whether reads go to the device although its medium may be another one.
    pub(crate) fn is_verifying(&self) -> bool {
        self.verifying.load(Ordering::Acquire)
    }

    /// Whether the device has said that it is there no more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Whether a device below has refused a read because the medium may be another one, or is out. Any IRQL.
    pub fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Acquire)
    }

    /// The volume is verified: reads that are refused from here on say so anew. Any IRQL.
    pub fn end_doubt(&self) {
        self.doubted.store(false, Ordering::Release);
    }

    /// Remembers what a failed request says of the device.
    pub(crate) fn note(&self, status: NTSTATUS) {
        use lklfs_kernel::nt::{
            STATUS_DEVICE_DOES_NOT_EXIST, STATUS_DEVICE_NOT_CONNECTED, STATUS_DEVICE_NOT_READY,
            STATUS_DEVICE_REMOVED, STATUS_NO_MEDIA_IN_DEVICE, STATUS_NO_SUCH_DEVICE,
        };
        if matches!(
            status,
            STATUS_VERIFY_REQUIRED | STATUS_NO_MEDIA_IN_DEVICE | STATUS_DEVICE_NOT_READY
        ) {
            self.doubted.store(true, Ordering::Release);
        }
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
        // SAFETY: the device is referenced.
        unsafe { device_query::attachment(self.device) }
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
        self.read_and_wait(offset, out, self.is_verifying())
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
        let run = cursor.clone().measure(true, MAX_RUN_PAGES);
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
        // SAFETY: the device is referenced.
        let stack_size = unsafe { (*self.device).StackSize };
        // SAFETY: any stack size of a live device is allowed.
        let irp = unsafe { IoAllocateIrp(stack_size, NO) };
        if irp.is_null() {
            return Err(no_memory);
        }
        // SAFETY: describes the run's addresses; for a scattered run only its first page's.
        let mdl = unsafe { IoAllocateMdl(run.start.as_ptr().cast(), length, NO, NO, null_mut()) };
        if mdl.is_null() {
            // SAFETY: the IRP is ours and was not sent.
            unsafe { IoFreeIrp(irp) };
            return Err(no_memory);
        }
        // SAFETY: `mdl` has room for the run's pages, which the cursor hands out again.
        unsafe { self.fill(mdl, run, pieces) };
        // SAFETY: the IRP is new, with a location for the device, and the MDL describes the run.
        unsafe { self.load(irp, mdl, (offset, length), verifying, (done, context)) };
        // SAFETY: the IRP is complete; from here on it belongs to the device and to the completion routine.
        let _ = unsafe { IofCallDriver(self.device, irp) };
        Ok(())
    }

    /// Makes a fresh IRP a read of the device, `length` bytes at `offset` into what `mdl` describes.
    ///
    /// # Safety
    /// The IRP is the caller's and has a stack location left; the completion routine takes `context`.
    pub(crate) unsafe fn load(
        &self,
        irp: PIRP,
        mdl: PMDL,
        (offset, length): (u64, ULONG),
        verifying: bool,
        (done, context): (Completion, PVOID),
    ) {
        // SAFETY: the device is referenced.
        let flags = unsafe { (*self.device).Flags };
        // SAFETY: the MDL is the caller's.
        let described = unsafe { &*mdl };
        let start: PVOID = described.StartVa.wrapping_byte_add(described.ByteOffset as usize);
        // SAFETY: the IRP is the caller's until it is sent.
        let request = unsafe { &mut *irp };
        request.MdlAddress = mdl;
        request.UserBuffer = start;
        if flags & DO_BUFFERED_IO != 0 {
            request.AssociatedIrp.SystemBuffer = start;
        }
        request.RequestorMode = lklfs_kernel::nt::KERNEL_MODE;
        request.Tail.Overlay.Thread = issuer().cast();
        // SAFETY: promised by the caller.
        let stack = unsafe { next_stack_location(irp) };
        // SAFETY: the location is the caller's as the IRP is, and no other reference to it is alive.
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
        // No device has so many bytes: what is beyond the largest position is beyond its end.
        read.ByteOffset = large(i64::try_from(offset).unwrap_or(i64::MAX));
    }

    /// Enters the run's pages in its MDL.
    ///
    /// # Safety
    /// `mdl` was allocated for the run, and the cursor stands at its start.
    pub(crate) unsafe fn fill<I: Segments>(&self, mdl: PMDL, run: &Run, pieces: &mut Cursor<I>) {
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
    pub(crate) fn direct(&self) -> bool {
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
        // The place first: a request that goes with the box would be answered.
        let Some(place) = fallible::try_box(MaybeUninit::<Transfer>::uninit()) else {
            // SAFETY: the request keeps the disk.
            unsafe { Reserve::read(self, request) };
            return;
        };
        let transfer = Box::into_raw(Box::write(
            place,
            Transfer {
                disk: self,
                parts: AtomicU32::new(1),
                status: AtomicI32::new(0),
                request,
            },
        ));
        // SAFETY: the box stays until the last part is counted out, and this function's own part is the last of all.
        let shared = unsafe { &*transfer };
        let mut pieces = Cursor::new(shared.request.raw_segments());
        let verifying = self.is_verifying();
        while left > 0 {
            let run = pieces.clone().measure(!self.direct(), MAX_RUN_PAGES);
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

    /// Counts a part out; the last one answers Linux, or has the read done again from the reserve. IRQL: <= DISPATCH_LEVEL.
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
        if is_shortage(status) {
            // SAFETY: the request keeps the disk.
            unsafe { Reserve::read(disk, request) };
            return;
        }
        if status < 0 {
            // SAFETY: Linux' table of disks and the request each have a count of the disk.
            unsafe { (*disk).note(status) };
        }
        request.complete(if status >= 0 { Ok(()) } else { Err(errno(status)) });
    }
}

/// Whether a read failed because memory was short, here or below.
pub(crate) fn is_shortage(status: NTSTATUS) -> bool {
    matches!(status, STATUS_INSUFFICIENT_RESOURCES | STATUS_NO_MEMORY)
}

/// What Linux is told of a device's failure.
pub(crate) fn errno(status: NTSTATUS) -> Errno {
    use lklfs_kernel::nt::{
        STATUS_CANCELLED, STATUS_DEVICE_DOES_NOT_EXIST, STATUS_DEVICE_NOT_CONNECTED, STATUS_IO_TIMEOUT,
        STATUS_NO_MEDIA_IN_DEVICE, STATUS_NO_SUCH_DEVICE,
    };
    match status {
        STATUS_INSUFFICIENT_RESOURCES | STATUS_NO_MEMORY => Errno::ENOMEM,
        STATUS_NO_SUCH_DEVICE | STATUS_DEVICE_DOES_NOT_EXIST | STATUS_DEVICE_NOT_CONNECTED => Errno::ENXIO,
        STATUS_NO_MEDIA_IN_DEVICE => Errno::ENOMEDIUM,
        STATUS_IO_TIMEOUT => Errno::ETIMEDOUT,
        STATUS_CANCELLED => Errno::ECANCELED,
        _ => Errno::EIO,
    }
}

pub(crate) type Completion = unsafe extern "C" fn(PDEVICE_OBJECT, PIRP, PVOID) -> NTSTATUS;

/// The status and byte count of an IRP that came back, whose MDL is mapped no more.
///
/// # Safety
/// `irp` is a read of [`DeviceDisk::load`]'s that came back to its completion routine.
pub(crate) unsafe fn outcome(irp: PIRP) -> (NTSTATUS, usize) {
    // SAFETY: the IRP is ours again.
    let request = unsafe { &*irp };
    // SAFETY: a completed IRP has its status there.
    let status = unsafe { request.IoStatus.__bindgen_anon_1.Status };
    let (bytes, mdl) = (request.IoStatus.Information, request.MdlAddress);
    if status < 0 {
        // SAFETY: this is what the union holds when an IRP has come back.
        let issuer = unsafe { request.Tail.Overlay.Thread };
        // SAFETY: the issuer lives as long as reads are under way.
        unsafe { forget_device(issuer) };
    }
    // SAFETY: the MDL is the one that load() put there.
    let mapped_at = unsafe { (*mdl).MappedSystemVa };
    // SAFETY: the MDL is the one that load() put there.
    let flags = unsafe { (*mdl).MdlFlags } as u32;
    if flags & MDL_MAPPED_TO_SYSTEM_VA != 0 && flags & MDL_SOURCE_IS_NONPAGED_POOL == 0 {
        // A driver below mapped it; the owner of an MDL with such a mapping takes it back.
        // SAFETY: the flag says that the mapping is there.
        unsafe { MmUnmapLockedPages(mapped_at, mdl) };
    }
    (status, bytes as usize)
}

/// The same, after which the IRP and its MDL are gone.
///
/// # Safety
/// `irp` is one of `send`'s that came back to its completion routine.
unsafe fn take_apart(irp: PIRP) -> (NTSTATUS, usize) {
    // SAFETY: promised by the caller.
    let outcome = unsafe { outcome(irp) };
    // SAFETY: the IRP is ours again.
    let request = unsafe { &mut *irp };
    // SAFETY: the MDL is send()'s, and the driver below is done with it.
    unsafe { IoFreeMdl(request.MdlAddress) };
    request.MdlAddress = null_mut();
    // SAFETY: the IRP is ours; the routine answers MORE_PROCESSING_REQUIRED, so the kernel does not touch it again.
    unsafe { IoFreeIrp(irp) };
    outcome
}

/// Takes back what a device below may have noted in the thread of a request that failed: that it is to be verified. Which
/// device that is does not matter here: a volume is verified on its own device ([`DeviceDisk::is_doubted`]). Left there,
/// the next file system that the thread comes to would find it.
///
/// # Safety
/// `thread` is null or a thread that is there.
pub(crate) unsafe fn forget_device(thread: PETHREAD) {
    if !thread.is_null() {
        // SAFETY: promised by the caller.
        unsafe { IoSetDeviceToVerify(thread, null_mut()) };
    }
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
pub(crate) unsafe fn next_stack_location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: promised by the caller.
    let tail = unsafe { &(*irp).Tail };
    // SAFETY: this is what the union holds while an IRP is on its way.
    let overlay = unsafe { &tail.Overlay };
    // SAFETY: the members of the inner unions are the location's address, whichever is asked for.
    let current = unsafe { overlay.__bindgen_anon_2.__bindgen_anon_1.CurrentStackLocation };
    // SAFETY: the current location is one past the next one.
    unsafe { current.sub(1) }
}
