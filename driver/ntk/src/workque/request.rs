//! Requests that may have to wait for a disk: a worker thread works on them, and meanwhile their IRP can be cancelled.
//!
//! A disk may not answer for a long time, and nothing that waits for it inside Linux, or in a page fault of the cache
//! manager's, can be called back. So the work does not need its IRP: it has copies of the parameters, a counted use of the
//! open ([`Kept`]), and memory of its own to write to ([`Scratch`]). The IRP belongs to whoever comes first: to the worker, for
//! the moments in which it writes to the caller's buffer and completes it ([`Request::with`], [`Request::finish`]); to its
//! cancel routine; or to the end of its volume ([`crate::workque::cancel`]). Work whose IRP is gone goes on until the disk answers, and
//! then lets go of what it found.
//!
//! A volume has a few worker threads at a time, no more: a disk that hangs must not take all memory for stacks. What comes
//! while they are taken waits in the volume's own queue.
//
// UNSAFETY: IRPs, which belong to the worker only while it says so; counts the open behind a file object.

use crate::buffer;
use crate::irp::Irp;
use crate::major::create;
use crate::object::open::{FileRef, Open, OpenRef};
use crate::object::verify;
use crate::object::volume::MountedVolume;
use crate::state;
use crate::workque::cancel::{Admitted, Posts};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::NonNull;
use lklfs_fsd::Outcome;
use lklfs_kernel::nt::{IRP, NTSTATUS, PFILE_OBJECT, raw_status};
use lklfs_nt::NtStatus;

/// Where a request may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blocking {
    /// In the thread that sent it: the memory manager's, or one that is inside a file system already.
    Here,
    /// In a worker thread only.
    Posted,
}

/// Where an answer goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// The buffer that [`buffer::lock`] locked.
    Locked,
    /// The buffer that the I/O manager made.
    Buffered,
}

/// What is done for a request, and what the dispatch routine returns if that is in the sender's thread.
type Act = dyn FnOnce(Request, &mut Scratch) -> NTSTATUS + Send;

/// A request for a worker thread.
pub struct Task {
    /// The request.
    pub request: Request,
    /// The volume that it is about, if it is about one.
    pub volume: Option<Arc<MountedVolume>>,
    act: Box<Act>,
}

impl Task {
    /// Does what is to be done.
    pub fn perform(self, scratch: &mut Scratch) {
        let _ = (self.act)(self.request, scratch);
    }

    /// Ends the request without doing anything.
    pub fn fail(self, status: NtStatus) {
        let Task { request, act, .. } = self;
        drop(act);
        let _ = request.fail(status);
    }
}

/// What the work keeps for as long as it takes, whatever becomes of the IRP.
#[derive(Default)]
pub struct Kept {
    /// The open that it is about.
    pub open: Option<OpenRef>,
    /// The file object, if the cache manager is to see it, or if it keeps the driver.
    pub file: Option<FileRef>,
}

impl Kept {
    /// The open of an IRP.
    pub fn open_of(irp: &Irp) -> Self {
        Kept {
            // SAFETY: the IRP keeps its file object, which was opened on its device and is not closed before the IRP ends.
            open: unsafe { OpenRef::of(irp.file_object()) },
            file: None,
        }
    }

    /// Lets go of it while an IRP still keeps the file object, so that nothing ends here: a handle that is closed when the IRP is
    /// complete is closed at once.
    fn let_go(self) {
        if let Some(file) = self.file {
            file.release();
        }
    }
}

/// A request that is being worked on. Dropped before it was ended, it ends with INTERNAL_ERROR.
pub struct Request {
    irp: NonNull<IRP>,
    /// Its number among the posts; 0 for one that is worked on where it came, which nobody cancels.
    id: u64,
    posts: Arc<Posts>,
    kept: Kept,
    over: bool,
}

// SAFETY: an IRP may be worked on by any thread; the posts say by which.
unsafe impl Send for Request {}

/// The IRP was cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone;

impl Request {
    /// The posts that it belongs to.
    pub fn posts(&self) -> &Arc<Posts> {
        &self.posts
    }

    /// The file object that the work was given, if it was given one.
    pub fn file(&self) -> PFILE_OBJECT {
        self.kept
            .file
            .as_ref()
            .map_or(core::ptr::null_mut(), FileRef::as_ptr)
    }

    /// The open that it is about.
    pub fn open(&self) -> Option<&Open> {
        self.kept.open.as_ref().and_then(OpenRef::get)
    }

    /// Its number among the posts.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// It has this number from now on, and has to be ended.
    pub fn admitted(&mut self, id: u64) {
        self.id = id;
        self.over = false;
    }

    fn begin(&self) -> bool {
        self.id == 0 || self.posts.begin(self.id)
    }

    /// Works on the IRP for a moment, if it is still there. `act` does not block.
    ///
    /// IRQL: <= APC_LEVEL.
    pub fn with<R>(&self, act: impl FnOnce(&mut Irp) -> R) -> Result<R, Gone> {
        if !self.begin() {
            return Err(Gone);
        }
        // SAFETY: this thread uses the IRP now.
        let mut irp = unsafe { Irp::adopt(self.irp) };
        let result = act(&mut irp);
        if self.id == 0 || self.posts.pause(self.id) {
            let _ = irp.hand_over();
            Ok(result)
        } else {
            let _ = irp.fail(NtStatus::CANCELLED);
            Err(Gone)
        }
    }

    /// Completes the IRP with what `act`, which does not block, makes of it, if it is still there; else the request comes
    /// back.
    ///
    /// IRQL: <= APC_LEVEL.
    pub fn finish(mut self, act: impl FnOnce(&mut Irp) -> Outcome) -> Result<NTSTATUS, Self> {
        if !self.begin() {
            self.over = true;
            return Err(self);
        }
        // SAFETY: this thread uses the IRP now.
        let mut irp = unsafe { Irp::adopt(self.irp) };
        let outcome = act(&mut irp);
        core::mem::take(&mut self.kept).let_go();
        self.over = true;
        if self.id == 0 || self.posts.end(self.id, &irp, outcome) {
            Ok(irp.complete(outcome))
        } else {
            let _ = irp.hand_over();
            Ok(raw_status(outcome.status))
        }
    }

    /// As [`Request::finish`], for work that has nothing to take back when the IRP is gone.
    pub fn end(self, act: impl FnOnce(&mut Irp) -> Outcome) -> NTSTATUS {
        self.finish(act).unwrap_or(raw_status(NtStatus::CANCELLED))
    }

    /// Completes the IRP.
    pub fn complete(self, outcome: Outcome) -> NTSTATUS {
        self.end(|_| outcome)
    }

    /// Completes the IRP with an error.
    pub fn fail(self, status: NtStatus) -> NTSTATUS {
        self.complete(Outcome::failed(status))
    }

    /// Completes the IRP with what was written to `room`, if it is still there; else the request comes back.
    pub fn answer(self, outcome: Outcome, room: &[u8], output: Output) -> Result<NTSTATUS, Self> {
        self.finish(|irp| {
            let bytes = room.get(..outcome.information).unwrap_or_default();
            let written = match output {
                Output::Locked => buffer::write(irp, 0, bytes),
                Output::Buffered => {
                    let place = irp.system_buffer(bytes.len() as u32);
                    let fits = place.len() == bytes.len();
                    if fits {
                        place.copy_from_slice(bytes);
                    }
                    fits.then_some(()).ok_or(NtStatus::INVALID_USER_BUFFER)
                }
            };
            written.map_or_else(Outcome::failed, |()| outcome)
        })
    }

    /// Gives the IRP to `act`, which ends it, if it is still there: nobody cancels it any more.
    pub fn take(mut self, act: impl FnOnce(Irp) -> NTSTATUS) -> NTSTATUS {
        self.over = true;
        if !self.begin() {
            return raw_status(NtStatus::CANCELLED);
        }
        // SAFETY: this thread uses the IRP now.
        let irp = unsafe { Irp::adopt(self.irp) };
        core::mem::take(&mut self.kept).let_go();
        let cancelled = Outcome::failed(NtStatus::CANCELLED);
        if self.id != 0 && !self.posts.end(self.id, &irp, cancelled) {
            let _ = irp.hand_over();
            return raw_status(NtStatus::CANCELLED);
        }
        act(irp)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.over || !self.begin() {
            return;
        }
        // SAFETY: this thread uses the IRP now.
        let irp = unsafe { Irp::adopt(self.irp) };
        let outcome = Outcome::failed(NtStatus::INTERNAL_ERROR);
        if self.id == 0 || self.posts.end(self.id, &irp, outcome) {
            let _ = irp.complete(outcome);
        } else {
            let _ = irp.hand_over();
        }
    }
}

/// Memory of a worker for what it is going to copy to a caller's buffer.
pub struct Scratch(Vec<u8>);

impl Scratch {
    /// The most that is written before it is copied, bytes.
    pub const MOST: usize = 256 * 1024;

    /// None yet.
    pub const fn new() -> Self {
        Scratch(Vec::new())
    }

    /// `length` bytes, [`Scratch::MOST`] at most, that hold what was there before.
    pub fn bytes(&mut self, length: usize) -> Result<&mut [u8], NtStatus> {
        let length = length.min(Self::MOST);
        if self.0.len() < length {
            let more = length.saturating_sub(self.0.len());
            self.0
                .try_reserve_exact(more)
                .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
            self.0.resize(length, 0);
        }
        self.0.get_mut(..length).ok_or(NtStatus::INTERNAL_ERROR)
    }

    /// `length` bytes, [`Scratch::MOST`] at most, that are zero.
    pub fn zeros(&mut self, length: u32) -> Result<&mut [u8], NtStatus> {
        let bytes = self.bytes(length as usize)?;
        bytes.fill(0);
        Ok(bytes)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// Has `act` write an answer of `length` bytes at most about an open: as [`run`], with the volume verified before.
///
/// IRQL: PASSIVE_LEVEL.
pub fn ask(
    irp: Irp,
    open: &Open,
    blocking: Blocking,
    (length, output): (u32, Output),
    act: impl FnOnce(&Open, &mut [u8]) -> Outcome + Send + 'static,
) -> NTSTATUS {
    let (volume, kept) = (Arc::clone(&open.volume), Kept::open_of(&irp));
    run(irp, volume, kept, blocking, move |request, scratch| {
        let room = match scratch.zeros(length) {
            Ok(room) => room,
            Err(status) => return request.fail(status),
        };
        let outcome = match request.open() {
            Some(open) => match verify::ensure(&open.volume) {
                Ok(()) => act(open, room),
                Err(status) => status.into(),
            },
            None => NtStatus::INVALID_DEVICE_REQUEST.into(),
        };
        let answered = request.answer(outcome, room, output);
        answered.unwrap_or(raw_status(NtStatus::CANCELLED))
    })
}

/// Has `act` done for a request of a volume: in a worker thread, or in this one if it may wait. `kept` is what the work
/// needs. Buffers that only the caller's address space shows must be locked before. Returns what the dispatch
/// routine returns.
///
/// When this returns, the IRP may be complete, its handle closed and the volume gone: the caller touches none of them any more.
///
/// IRQL: PASSIVE_LEVEL; <= APC_LEVEL for [`Blocking::Here`].
pub fn run(
    irp: Irp,
    volume: Arc<MountedVolume>,
    kept: Kept,
    blocking: Blocking,
    act: impl FnOnce(Request, &mut Scratch) -> NTSTATUS + Send + 'static,
) -> NTSTATUS {
    let posts = Arc::clone(&volume.posts);
    run_among(irp, posts, volume, kept, blocking, act)
}

/// As [`run`], among other posts than the volume's own.
///
/// IRQL: as for [`run`].
pub fn run_among(
    irp: Irp,
    posts: Arc<Posts>,
    volume: Arc<MountedVolume>,
    kept: Kept,
    blocking: Blocking,
    act: impl FnOnce(Request, &mut Scratch) -> NTSTATUS + Send + 'static,
) -> NTSTATUS {
    if blocking == Blocking::Here {
        let request = Request {
            irp: irp.hand_over(),
            id: 0,
            posts,
            kept,
            over: false,
        };
        return act(request, &mut Scratch::new());
    }
    post(irp, posts, Some(volume), kept, act)
}

/// Has a worker thread do `act` for a request. As for [`run`], nothing of it is touched afterwards.
///
/// IRQL: PASSIVE_LEVEL.
pub fn post(
    irp: Irp,
    posts: Arc<Posts>,
    volume: Option<Arc<MountedVolume>>,
    kept: Kept,
    act: impl FnOnce(Request, &mut Scratch) -> NTSTATUS + Send + 'static,
) -> NTSTATUS {
    let Some(act) = fallible::try_box(act) else {
        return irp.fail(NtStatus::INSUFFICIENT_RESOURCES);
    };
    let Some(raw) = NonNull::new(irp.as_ptr()) else {
        return irp.fail(NtStatus::INTERNAL_ERROR);
    };
    irp.mark_pending();
    let request = Request {
        irp: raw,
        id: 0,
        posts: Arc::clone(&posts),
        kept,
        // The IRP is not its own before it is admitted.
        over: true,
    };
    let task = Task { request, volume, act };
    match posts.admit(irp, task) {
        Admitted::Start(task) => start(task, &posts),
        Admitted::Waits => {}
        Admitted::Fail(irp, task, status) => {
            drop(task);
            let outcome = create::refused(&irp, status);
            let _ = irp.complete(outcome);
        }
    }
    raw_status(NtStatus::PENDING)
}

/// Gives a task to a worker. Without one it fails, as do those that wait.
fn start(task: Task, posts: &Posts) {
    let started = match state::driver() {
        Some(driver) => driver.workers.start(task),
        None => Err(task),
    };
    let Err(task) = started else { return };
    task.fail(NtStatus::INSUFFICIENT_RESOURCES);
    while let Some(task) = posts.next() {
        task.fail(NtStatus::INSUFFICIENT_RESOURCES);
    }
}
