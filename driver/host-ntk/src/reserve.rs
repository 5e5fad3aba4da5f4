//! Reads that cannot fail for lack of memory: each disk has an IRP and an MDL in reserve.
//!
//! A read of Linux's that no IRP, no MDL or no bookkeeping was to be had for, or that a driver below could not serve for
//! want of memory, waits in a line for the reserve and is done with it, a piece of [`PAGES`] pages at a time. Standing in
//! line takes no memory either: the requests are chained through the words that each has for its host. So Linux never
//! hears of a shortage on this side of the device, however long it lasts.
//!
//! A device below that is short itself is tried once more with each piece, a page at a time. What it refuses then is
//! answered with ENOMEM.
//!
//! One piece is under way at a time. Its completion sends the next one, at whatever IRQL it runs; a device that completes
//! inside of the call is not called again from there, but by the sender, so that the stack does not grow
//! ([`Reserve::run`]). The memory of the MDL is the reserve's own, made up for each piece as MmInitializeMdl does.
//
// UNSAFETY: an IRP and an MDL that are used again and again, and a chain of raw requests.

use crate::disk::{DeviceDisk, errno, is_shortage};
use crate::run::{Cursor, Run};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};
use lkl::ReadRequest;
use lklfs_kernel::disk::{STATUS_IO_DEVICE_ERROR, STATUS_MORE_PROCESSING_REQUIRED, outcome};
use lklfs_kernel::nt::{
    IoAllocateIrp, IoFreeIrp, IoReuseIrp, IofCallDriver, MDL, NO, NTSTATUS, PAGE_BYTES, PDEVICE_OBJECT, PIRP,
    PMDL, PVOID, Pfn, STATUS_INSUFFICIENT_RESOURCES, ULONG,
};
use lklfs_kernel::sync::SpinLock;

/// Pages that the MDL can describe: 64 KiB.
const PAGES: usize = 16;

/// A piece was sent, and neither has its sender come back nor has it ended.
const SENT: u32 = 0;
/// The call that sent it has come back: its end goes on with the next one.
const RETURNED: u32 = 1;
/// It has ended: the sender goes on with the next one when its call comes back.
const ENDED: u32 = 2;

/// An MDL and its frame numbers.
#[repr(C)]
struct OwnMdl {
    header: MDL,
    frames: [Pfn; PAGES],
}

/// What the reserve does.
struct Job {
    request: ReadRequest,
    /// Bytes of the request that are read.
    done: usize,
    /// Pages of the next piece at most: fewer once the device was short.
    most_pages: usize,
}

impl Job {
    fn new(request: ReadRequest) -> Job {
        Job {
            request,
            done: 0,
            most_pages: PAGES,
        }
    }
}

/// What the reserve does, and who waits for it.
struct State {
    /// It is taken: by the job, or by the thread that has the job in its hands.
    busy: bool,
    job: Option<Job>,
    first: Option<NonNull<c_void>>,
    last: Option<NonNull<c_void>>,
}

// SAFETY: a request in its raw form belongs to the line, and may go to any thread as the request itself may.
unsafe impl Send for State {}

impl State {
    fn push(&mut self, request: ReadRequest) {
        let added = request.into_raw();
        match self.last.replace(added) {
            None => self.first = Some(added),
            Some(last) => {
                // SAFETY: it came from into_raw() and is in the line once.
                let mut before = unsafe { ReadRequest::from_raw(last) };
                let [next, _] = before.host_private();
                *next = added.as_ptr();
                let _ = before.into_raw();
            }
        }
    }

    fn pop(&mut self) -> Option<ReadRequest> {
        // SAFETY: it came from into_raw(), and leaves the line here.
        let mut request = unsafe { ReadRequest::from_raw(self.first?) };
        let [next, _] = request.host_private();
        self.first = NonNull::new(core::mem::take(next));
        if self.first.is_none() {
            self.last = None;
        }
        Some(request)
    }
}

/// A disk's IRP and MDL in reserve.
pub(crate) struct Reserve {
    irp: PIRP,
    /// Used by the thread that has the reserve, and by the drivers that have the IRP.
    mdl: UnsafeCell<OwnMdl>,
    state: SpinLock<State>,
    /// Who goes on after the piece that is under way: see [`SENT`].
    turn: AtomicU32,
    /// How the last piece ended.
    status: AtomicI32,
    bytes: AtomicUsize,
}

// SAFETY: the IRP and the MDL are used by the thread that has the reserve, whichever that is.
unsafe impl Send for Reserve {}
// SAFETY: as above; who has it is said under the lock.
unsafe impl Sync for Reserve {}

impl Reserve {
    /// Sets an IRP for `device` aside. `None` when there is none.
    ///
    /// # Safety
    /// `device` is live.
    pub(crate) unsafe fn new(device: PDEVICE_OBJECT) -> Option<Reserve> {
        // SAFETY: promised by the caller.
        let stack_size = unsafe { (*device).StackSize };
        // SAFETY: any stack size of a live device is allowed.
        let irp = unsafe { IoAllocateIrp(stack_size, NO) };
        if irp.is_null() {
            return None;
        }
        Some(Reserve {
            irp,
            mdl: UnsafeCell::new(OwnMdl {
                header: MDL::default(),
                frames: [0; PAGES],
            }),
            state: SpinLock::new(State {
                busy: false,
                job: None,
                first: None,
                last: None,
            }),
            turn: AtomicU32::new(RETURNED),
            status: AtomicI32::new(0),
            bytes: AtomicUsize::new(0),
        })
    }

    /// Does a read of `disk`'s, at once or when those before it are done.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The request was sent to `disk` and keeps it alive.
    pub(crate) unsafe fn read(disk: *const DeviceDisk, request: ReadRequest) {
        {
            // SAFETY: the request keeps the disk; it may be answered as soon as the lock is free, and is not before.
            let reserve = unsafe { &(*disk).reserve };
            let mut state = reserve.state.lock();
            if state.busy {
                state.push(request);
                return;
            }
            state.busy = true;
            state.job = Some(Job::new(request));
        }
        // SAFETY: the reserve was free and is taken here; its job keeps the disk.
        unsafe { Self::run(disk) };
    }

    /// Sends pieces until one of them is on its way, or nothing is left to do. The disk may be gone afterwards.
    ///
    /// # Safety
    /// The caller has the reserve of `disk`, with a job in it, which keeps the disk.
    unsafe fn run(disk: *const DeviceDisk) {
        loop {
            // SAFETY: the job keeps the disk.
            let sent = unsafe { Self::send(disk) };
            let goes_on = match sent {
                Ok(()) => {
                    // SAFETY: the job is not ended before both this call and the piece have come back.
                    let turn = unsafe { &(*disk).reserve.turn };
                    if turn.swap(RETURNED, Ordering::AcqRel) != ENDED {
                        return;
                    }
                    // SAFETY: the piece has ended, and this thread has the reserve.
                    unsafe { Self::settle(disk) }
                }
                // SAFETY: nothing was sent, and this thread has the reserve.
                Err(status) => unsafe { Self::end(disk, status) },
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Sends the next piece of the job.
    ///
    /// # Safety
    /// As for [`Reserve::run`].
    unsafe fn send(disk: *const DeviceDisk) -> Result<(), NTSTATUS> {
        // SAFETY: the job keeps the disk, and does not end before this function does.
        let disk = unsafe { &*disk };
        let reserve = &disk.reserve;
        let device = disk.device();
        // SAFETY: the device is referenced by the disk.
        let stack_size = unsafe { (*device).StackSize };
        // SAFETY: the IRP is the reserve's, and not under way.
        if unsafe { (*reserve.irp).StackCount } < stack_size {
            // The stack has grown since.
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let Some(job) = reserve.state.lock().job.take() else {
            return Err(STATUS_IO_DEVICE_ERROR);
        };
        let loaded = reserve.load(disk, &job);
        reserve.state.lock().job = Some(job);
        loaded?;
        reserve.turn.store(SENT, Ordering::Release);
        // SAFETY: the IRP is complete; from here on it belongs to the device and to the completion routine.
        let _ = unsafe { IofCallDriver(device, reserve.irp) };
        Ok(())
    }

    /// Makes the IRP the next piece of a job of `disk`'s. The caller has the reserve, and no piece is under way.
    fn load(&self, disk: &DeviceDisk, job: &Job) -> Result<(), NTSTATUS> {
        let mut pieces = Cursor::new(job.request.raw_segments());
        pieces.skip(job.done);
        let mut run = pieces.clone().measure(!disk.is_direct(), job.most_pages);
        if job.done.saturating_add(run.bytes) < job.request.len() {
            // A piece in the middle ends with a block of the device.
            let odd = run.bytes & (disk.block_bytes() as usize).saturating_sub(1);
            run.bytes = run.bytes.saturating_sub(odd);
        }
        let length = ULONG::try_from(run.bytes).unwrap_or(0);
        if length == 0 {
            // A page that does not begin at a block cannot be read by itself.
            let is_cut = job.most_pages < PAGES;
            return Err(if is_cut {
                STATUS_INSUFFICIENT_RESOURCES
            } else {
                STATUS_IO_DEVICE_ERROR
            });
        }
        let place = (job.request.offset().saturating_add(job.done as u64), length);
        let mdl = self.describe(&run, length);
        // SAFETY: the run is no longer than the MDL has room for.
        unsafe { disk.fill(mdl, &run, &mut pieces) };
        // SAFETY: the IRP is the reserve's, and not under way.
        unsafe { IoReuseIrp(self.irp, 0) };
        let context: PVOID = core::ptr::from_ref(disk).cast_mut().cast();
        // SAFETY: the IRP is fresh, with locations enough; the routine takes the disk, which the job keeps.
        unsafe { disk.load(self.irp, mdl, place, disk.is_verifying(), (piece_done, context)) };
        Ok(())
    }

    /// The MDL, made up for a run, without frame numbers yet.
    fn describe(&self, run: &Run, length: ULONG) -> PMDL {
        let mdl: PMDL = self.mdl.get().cast();
        let start = run.start.as_ptr();
        let within = start.addr() & PAGE_BYTES.saturating_sub(1);
        // SAFETY: the caller has the reserve, so no driver has the MDL.
        let header = unsafe { &mut *mdl };
        *header = MDL {
            Size: size_of::<OwnMdl>() as i16,
            StartVa: start.wrapping_sub(within).cast(),
            ByteOffset: within as ULONG,
            ByteCount: length,
            ..MDL::default()
        };
        mdl
    }

    /// Takes note of a piece that has ended. False: nothing is left to do, and the disk may be gone.
    ///
    /// # Safety
    /// As for [`Reserve::run`], after a piece has ended and its sender come back.
    unsafe fn settle(disk: *const DeviceDisk) -> bool {
        let (status, is_whole) = {
            // SAFETY: the job keeps the disk.
            let reserve = unsafe { &(*disk).reserve };
            let status = reserve.status.load(Ordering::Acquire);
            let bytes = reserve.bytes.load(Ordering::Acquire);
            // SAFETY: the IRP is back, and the MDL with it.
            let wanted = unsafe { (*reserve.mdl.get()).header.ByteCount } as usize;
            let mut state = reserve.state.lock();
            let Some(job) = state.job.as_mut() else {
                return false;
            };
            if is_shortage(status) && job.most_pages > 1 {
                job.most_pages = 1;
                return true;
            }
            if status < 0 {
                (status, true)
            } else if bytes < wanted {
                (STATUS_IO_DEVICE_ERROR, true)
            } else {
                job.done = job.done.saturating_add(wanted);
                (0, job.done >= job.request.len())
            }
        };
        if !is_whole {
            return true;
        }
        // SAFETY: promised by the caller.
        unsafe { Self::end(disk, status) }
    }

    /// Answers the job and takes the next one. False: there is none, and the disk may be gone.
    ///
    /// # Safety
    /// As for [`Reserve::run`], with no piece under way.
    unsafe fn end(disk: *const DeviceDisk, status: NTSTATUS) -> bool {
        let (job, goes_on) = {
            // SAFETY: the job keeps the disk.
            let disk = unsafe { &*disk };
            if status < 0 {
                disk.note(status);
            }
            let mut state = disk.reserve.state.lock();
            let next = state.pop().map(Job::new);
            state.busy = next.is_some();
            let goes_on = state.busy;
            (core::mem::replace(&mut state.job, next), goes_on)
        };
        // The last thing: the disk may go with it, unless there is another job.
        if let Some(job) = job {
            let result = if status < 0 { Err(errno(status)) } else { Ok(()) };
            job.request.complete(result);
        }
        goes_on
    }
}

impl Drop for Reserve {
    /// IRQL: <= DISPATCH_LEVEL.
    fn drop(&mut self) {
        // SAFETY: the IRP is the reserve's. No piece is under way: its request would keep the disk.
        unsafe { IoFreeIrp(self.irp) };
    }
}

unsafe extern "C" fn piece_done(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    let disk: *const DeviceDisk = context.cast_const().cast();
    // SAFETY: the IRP came back to its completion routine.
    let (status, bytes) = unsafe { outcome(irp) };
    let turn = {
        // SAFETY: the job keeps the disk, and does not end before the turn is taken.
        let reserve = unsafe { &(*disk).reserve };
        reserve.status.store(status, Ordering::Release);
        reserve.bytes.store(bytes, Ordering::Release);
        reserve.turn.swap(ENDED, Ordering::AcqRel)
    };
    // SAFETY: the sender has come back and left the reserve to this thread.
    if turn == RETURNED && unsafe { Reserve::settle(disk) } {
        // SAFETY: the reserve is this thread's, with a job in it.
        unsafe { Reserve::run(disk) };
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
