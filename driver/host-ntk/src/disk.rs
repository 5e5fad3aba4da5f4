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
//! Nothing here can write: each IRP is one of [`DeviceReader::load`]'s, which are reads.
//
// UNSAFETY: enters pages in MDLs, sends IRPs, and receives their completion.

use crate::NtkHost;
use crate::reserve::Reserve;
use crate::run::{Cursor, MAX_RUN_PAGES, Run, Segments};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use lkl::{Errno, ReadRequest};
use lklfs_kernel::disk::{
    Completion, DeviceReader, STATUS_IO_DEVICE_ERROR, STATUS_MORE_PROCESSING_REQUIRED, take_apart,
};
use lklfs_kernel::nt::{
    self, IofCallDriver, MDL_PAGES_LOCKED, MmBuildMdlForNonPagedPool, NTSTATUS, PAGE_BYTES, PDEVICE_OBJECT,
    PIRP, PMDL, PVOID, STATUS_INSUFFICIENT_RESOURCES, STATUS_NO_MEMORY, ULONG, mdl_pfns,
};
use lklfs_nt::NtStatus;

/// An NT disk device as a disk of Linux's.
pub struct DeviceDisk {
    reader: DeviceReader,
    host: Arc<NtkHost>,
    /// For reads that no IRP or MDL was to be had for.
    pub(crate) reserve: Reserve,
}

impl Deref for DeviceDisk {
    type Target = DeviceReader;

    fn deref(&self) -> &DeviceReader {
        &self.reader
    }
}

impl DeviceDisk {
    /// A disk for the Linux on `host`. INSUFFICIENT_RESOURCES when there is no memory for its reserve.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn new(reader: DeviceReader, host: Arc<NtkHost>) -> Result<Self, NtStatus> {
        // SAFETY: the reader has a reference to the device.
        let reserve = unsafe { Reserve::new(reader.device()) }.ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        Ok(DeviceDisk {
            reader,
            host,
            reserve,
        })
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
    ) -> Result<(), NtStatus> {
        let length = ULONG::try_from(run.bytes).map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        // For a scattered run this counts the pages right, although it describes only its first page's addresses.
        let (irp, mdl) = self.request(run.start.as_ptr(), length)?;
        // SAFETY: `mdl` has room for the run's pages, which the cursor hands out again.
        unsafe { self.fill(mdl, run, pieces) };
        // SAFETY: the IRP is new, with a location for the device, and the MDL describes the run.
        unsafe { self.load(irp, mdl, (offset, length), verifying, (done, context)) };
        // SAFETY: the IRP is complete; from here on it belongs to the device and to the completion routine.
        let _ = unsafe { IofCallDriver(self.device(), irp) };
        Ok(())
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
}

impl lkl::Disk for DeviceDisk {
    fn size_bytes(&self) -> u64 {
        self.bytes()
    }

    fn block_size(&self) -> u32 {
        self.block_bytes()
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
            let run = pieces.clone().measure(!self.is_direct(), MAX_RUN_PAGES);
            if run.bytes == 0 {
                shared.note(STATUS_IO_DEVICE_ERROR);
                break;
            }
            shared.parts.fetch_add(1, Ordering::AcqRel);
            // SAFETY: Linux' memory and the transfer live until the last part has ended.
            let sent =
                unsafe { self.send(offset, &run, &mut pieces, verifying, (read_done, transfer.cast())) };
            if let Err(status) = sent {
                shared.parts.fetch_sub(1, Ordering::AcqRel);
                shared.note(nt::raw_status(status));
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
