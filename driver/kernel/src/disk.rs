//! A disk device, read: its size, what it says of itself, and reads that are waited for.
//!
//! Nothing here can write: the only major function that is sent is IRP_MJ_READ, and the only control codes ask what kind of
//! device it is ([`device_query`]). Linux's own reads, many at once, are its host's, which builds their IRPs by
//! [`DeviceReader::load`].
//
// UNSAFETY: builds IRPs and MDLs, and receives their completion.

use crate::device_query::{self, Attachment};
use crate::irp::next_stack_location;
use crate::nt::{
    self, DO_BUFFERED_IO, DO_DIRECT_IO, IRP_MJ_READ, IoAllocateIrp, IoAllocateMdl, IoFreeIrp, IoFreeMdl,
    IofCallDriver, KERNEL_MODE, MDL_MAPPED_TO_SYSTEM_VA, MDL_SOURCE_IS_NONPAGED_POOL,
    MmBuildMdlForNonPagedPool, MmUnmapLockedPages, NO, NTSTATUS, ObfDereferenceObject, ObfReferenceObject,
    PDEVICE_OBJECT, PIRP, PMDL, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    SL_OVERRIDE_VERIFY_VOLUME, STATUS_VERIFY_REQUIRED, ULONG, large,
};
use crate::sync::Event;
use crate::thread::{Thread, forget_device};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use lklfs_nt::NtStatus;

/// The completion routine keeps the IRP.
pub const STATUS_MORE_PROCESSING_REQUIRED: NTSTATUS = 0xc000_0016_u32 as i32;
/// What a device that fails in no other way says.
pub const STATUS_IO_DEVICE_ERROR: NTSTATUS = 0xc000_0185_u32 as i32;

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

/// A disk device, referenced, with its size.
pub struct DeviceReader {
    device: PDEVICE_OBJECT,
    bytes: u64,
    block_bytes: u32,
    /// The device has said that it is there no more.
    gone: AtomicBool,
    /// Reads go to the device although its medium may be another one: while that is being found out.
    verifying: AtomicBool,
    /// A device below has refused a read because the medium may be another one, or is out.
    doubted: AtomicBool,
}

// SAFETY: a referenced device object may be used by any thread; the rest is plain.
unsafe impl Send for DeviceReader {}
// SAFETY: a device object takes requests of any thread at any time; the rest is atomic.
unsafe impl Sync for DeviceReader {}

impl DeviceReader {
    /// Asks `device` for its size.
    ///
    /// IRQL: PASSIVE_LEVEL; may block.
    ///
    /// # Safety
    /// `device` is the top of a live disk device stack.
    pub unsafe fn open(device: PDEVICE_OBJECT) -> Result<Self, NtStatus> {
        // SAFETY: promised by the caller.
        let (bytes, block_bytes) = unsafe { device_query::sizes(device) }?;
        // SAFETY: the device is live; the reference is given back by drop().
        unsafe { ObfReferenceObject(device.cast()) };
        Ok(DeviceReader {
            device,
            bytes,
            block_bytes,
            gone: AtomicBool::new(false),
            verifying: AtomicBool::new(true),
            doubted: AtomicBool::new(false),
        })
    }

    /// What is on the device is known now. From here on a read fails with VERIFY_REQUIRED when the device below says that
    /// its medium may have been changed, so that Linux never gets bytes of another volume.
    pub fn end_verification(&self) {
        self.verifying.store(false, Ordering::Release);
    }

    /// Whether reads go to the device although its medium may be another one.
    pub fn is_verifying(&self) -> bool {
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
    pub fn note(&self, status: NTSTATUS) {
        use crate::nt::{
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
    pub fn attachment(&self) -> Result<Attachment, NtStatus> {
        // SAFETY: the device is referenced.
        unsafe { device_query::attachment(self.device) }
    }

    /// The device itself.
    pub fn device(&self) -> PDEVICE_OBJECT {
        self.device
    }

    /// Reads `out.len()` bytes at `offset` and waits for them; both are multiples of the sector size, and `out` is in
    /// non-paged memory (everything from [`crate::pool`] is).
    ///
    /// IRQL: <= APC_LEVEL; blocks.
    pub fn read_now(&self, offset: u64, out: &mut [u8]) -> Result<(), NtStatus> {
        self.read_and_wait(offset, out, self.is_verifying())
    }

    /// As [`DeviceDisk::read_now`], although the medium may be another one.
    ///
    /// IRQL: <= APC_LEVEL; blocks.
    pub fn read_to_verify(&self, offset: u64, out: &mut [u8]) -> Result<(), NtStatus> {
        self.read_and_wait(offset, out, true)
    }

    fn read_and_wait(&self, offset: u64, out: &mut [u8], verifying: bool) -> Result<(), NtStatus> {
        let waiter = Waiter {
            done: Event::uninit(),
            status: AtomicI32::new(0),
            wanted: out.len(),
        };
        waiter.done.init();
        let Ok(length) = ULONG::try_from(out.len()) else {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        };
        let (irp, mdl) = self.request(out.as_mut_ptr(), length)?;
        // SAFETY: the MDL describes non-paged memory.
        unsafe { MmBuildMdlForNonPagedPool(mdl) };
        let context: PVOID = (&raw const waiter).cast_mut().cast();
        // SAFETY: the IRP is new, with a location for the device, and the routine takes the waiter.
        unsafe { self.load(irp, mdl, (offset, length), verifying, (read_done, context)) };
        // SAFETY: the IRP is complete. `waiter` and `out` outlive it: this waits for its end.
        let _ = unsafe { IofCallDriver(self.device, irp) };
        waiter.done.wait();
        match waiter.status.load(Ordering::Acquire) {
            status if status >= 0 => Ok(()),
            status => {
                self.note(status);
                Err(nt::status(status))
            }
        }
    }

    /// An IRP for the device, and an MDL for so many bytes of memory, whose pages are still to be entered.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn request(&self, start: *mut u8, length: ULONG) -> Result<(PIRP, PMDL), NtStatus> {
        let no_memory = NtStatus::INSUFFICIENT_RESOURCES;
        // SAFETY: the device is referenced.
        let stack_size = unsafe { (*self.device).StackSize };
        // SAFETY: any stack size of a live device is allowed.
        let irp = unsafe { IoAllocateIrp(stack_size, NO) };
        if irp.is_null() {
            return Err(no_memory);
        }
        // SAFETY: only describes the range.
        let mdl = unsafe { IoAllocateMdl(start.cast(), length, NO, NO, null_mut()) };
        if mdl.is_null() {
            // SAFETY: the IRP is ours and was not sent.
            unsafe { IoFreeIrp(irp) };
            return Err(no_memory);
        }
        Ok((irp, mdl))
    }

    /// Makes a fresh IRP a read of the device, `length` bytes at `offset` into what `mdl` describes.
    ///
    /// # Safety
    /// The IRP is the caller's and has a stack location left; the completion routine takes `context`.
    pub unsafe fn load(
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
        request.RequestorMode = KERNEL_MODE;
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

    /// Whether the device takes MDLs; otherwise a run must be contiguous.
    pub fn is_direct(&self) -> bool {
        // SAFETY: the device is referenced.
        unsafe { (*self.device).Flags & DO_DIRECT_IO != 0 }
    }
}

impl Drop for DeviceReader {
    fn drop(&mut self) {
        // SAFETY: the reference was taken by open().
        unsafe { ObfDereferenceObject(self.device.cast()) };
    }
}

/// A completion routine.
pub type Completion = unsafe extern "C" fn(PDEVICE_OBJECT, PIRP, PVOID) -> NTSTATUS;

/// The status and byte count of an IRP that came back, whose MDL is mapped no more.
///
/// # Safety
/// `irp` is a read of [`DeviceReader::load`]'s that came back to its completion routine.
pub unsafe fn outcome(irp: PIRP) -> (NTSTATUS, usize) {
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
/// `irp` is one of [`DeviceReader::request`]'s, loaded, that came back to its completion routine.
pub unsafe fn take_apart(irp: PIRP) -> (NTSTATUS, usize) {
    // SAFETY: promised by the caller.
    let outcome = unsafe { outcome(irp) };
    // SAFETY: the IRP is ours again.
    let request = unsafe { &mut *irp };
    // SAFETY: the MDL is request()'s, and the driver below is done with it.
    unsafe { IoFreeMdl(request.MdlAddress) };
    request.MdlAddress = null_mut();
    // SAFETY: the IRP is ours; the routine answers MORE_PROCESSING_REQUIRED, so the kernel does not touch it again.
    unsafe { IoFreeIrp(irp) };
    outcome
}

/// Somebody who waits for one read.
struct Waiter {
    done: Event,
    status: AtomicI32,
    wanted: usize,
}

unsafe extern "C" fn read_done(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: read_and_wait() keeps its waiter until `done` is set.
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
