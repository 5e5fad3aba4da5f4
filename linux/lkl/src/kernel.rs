//! The running kernel: boot, the door that system calls go through, halt.
//!
//! [`Kernel`] is a counted reference. Everything that can call Linux ([`crate::OwnedFd`], [`crate::Mount`],
//! [`BlockDevice`]) holds one, so Linux cannot go away under it: [`Kernel::halt`] closes the gate, after which all of
//! them answer ENODEV, and the last reference gives the memory back. Dropping the last reference halts, too.
//!
//! At most one kernel at a time per process or driver image, because Linux is linked in once. When one has ended, the next may
//! boot: [`crate::image`] makes Linux's data new. Requests that a disk has not answered do not hold that up ([`Kernel::abandon`]):
//! the pool that they read into stays until they are answered, and Linux is not told of the answers any more.

// UNSAFETY: promises that what is shared between threads may be.

use crate::call;
use crate::disk::{Attached, BlockDevice, Disk, DiskLink, DiskOptions, DiskStats};
use crate::errno::Errno;
use crate::extend::{Announce, Attachments};
use crate::gate::Gate;
use crate::host::{Host, Semaphore};
use crate::image::Image;
use crate::log::LogRing;
use crate::memory::{try_arc, try_box, try_zeroed};
use crate::mount::{FsKind, Mount, MountError, MountOptions};
use crate::ops::{self, Context};
use crate::sys;
use crate::tasks::{TaskPool, Waits};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ffi::c_void;
use core::fmt;
use core::mem::ManuallyDrop;
use core::num::NonZeroU64;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};
use spin::Mutex;

/// How to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootConfig<'a> {
    /// Bytes of memory for Linux; rounded down to whole pages. 16 MiB is the least that boots, 64 MiB is comfortable.
    pub pool_size: usize,
    /// Linux's command line, as in `"loglevel=4"`. Must not contain a NUL.
    pub command_line: &'a str,
}

impl Default for BootConfig<'_> {
    fn default() -> Self {
        BootConfig {
            pool_size: 64 << 20,
            command_line: "",
        }
    }
}

/// Why Linux did not boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootError {
    /// The host has no memory for the kernel's own objects.
    NoMemory,
    /// The command line has a NUL in it, or the pool is smaller than a page.
    BadConfig,
    /// A Linux is running in this process or driver image, or has died there and was not halted, or cannot be stopped
    /// ([`Halt::Stuck`]).
    AlreadyBooted,
    /// Linux says so.
    Linux(Errno),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::NoMemory => f.write_str("Linux cannot boot: out of memory"),
            BootError::BadConfig => f.write_str("Linux cannot boot: bad boot configuration"),
            BootError::AlreadyBooted => f.write_str("Linux cannot boot: another is there in this process"),
            BootError::Linux(errno) => write!(f, "Linux cannot boot: {errno}"),
        }
    }
}

impl core::error::Error for BootError {}

/// The most disks at a time.
const MAX_DISKS: usize = 1024;

/// What callbacks from Linux and requests under way need, with no host type in it.
pub(crate) struct Shared {
    pub(crate) log: LogRing,
    /// Threads that are inside a system call.
    pub(crate) calls: Gate,
    /// Requests that Linux has sent and that are not answered yet.
    pub(crate) reads: Gate,
    /// Threads that tell Linux of an answer.
    answers: Gate,
    /// Set by Linux's death, after the next two.
    died: AtomicBool,
    /// The task in whose call it was, or null.
    dead_task: AtomicPtr<sys::lkl_task>,
    /// Linux's word for the disk that had to do with it last, or null.
    dead_disk: AtomicPtr<c_void>,
    /// Linux's memory: there until Linux has gone and no request is under way.
    pub(crate) pool: Mutex<Option<Box<dyn Send + Sync>>>,
    /// What callers wait for before they are inside.
    pub(crate) waits: Arc<Waits>,
    /// What overlays of disks may take yet, bytes.
    pub(crate) overlay_left: AtomicU64,
    /// How often the host or a disk of its had no memory for something that Linux asked for.
    shortages: AtomicU64,
}

impl Shared {
    /// The host had no memory for something. Any context.
    pub(crate) fn note_shortage(&self) {
        self.shortages.fetch_add(1, Ordering::AcqRel);
    }

    /// Lets `tell` tell Linux that a request of its is answered, unless Linux has gone. Any context.
    pub(crate) fn answer(&self, tell: impl FnOnce()) {
        if self.answers.enter() {
            tell();
            self.answers.leave();
        }
    }

    /// Linux has died, in the call of that task or else at work for that disk. Any context.
    pub(crate) fn note_death(&self, task: *const sys::lkl_task, disk: *const c_void) {
        self.dead_task.store(task.cast_mut(), Ordering::Release);
        self.dead_disk.store(disk.cast_mut(), Ordering::Release);
        self.died.store(true, Ordering::SeqCst);
    }

    /// Whether Linux has died.
    pub(crate) fn has_died(&self) -> bool {
        self.died.load(Ordering::SeqCst)
    }

    /// How often it had none so far.
    pub(crate) fn shortages(&self) -> u64 {
        self.shortages.load(Ordering::Acquire)
    }
}

/// The host's part in a visit to Linux, with the host's type forgotten.
pub(crate) trait Marks: Send + Sync {
    fn enter_linux(&self);
    fn leave_linux(&self);
    fn set_aside(&self, layout: Layout) -> bool;
    fn take_back(&self, layout: Layout);
}

impl<H: Host> Marks for Context<H> {
    fn enter_linux(&self) {
        self.host.enter_linux();
    }
    fn leave_linux(&self) {
        self.host.leave_linux();
    }
    fn set_aside(&self, layout: Layout) -> bool {
        self.host.set_aside(layout)
    }
    fn take_back(&self, layout: Layout) {
        self.host.take_back(layout);
    }
}

/// What Linux calls: the table, and what it points to. Both are given back when Linux has gone. If a thread of Linux's is
/// in a loop it never has, and they stay for ever.
struct Seam {
    marks: ManuallyDrop<Box<dyn Marks>>,
    table: ManuallyDrop<Box<sys::lkl_host_ops>>,
}

impl Seam {
    /// Linux has gone.
    fn give_back(self) {
        drop(ManuallyDrop::into_inner(self.table));
        drop(ManuallyDrop::into_inner(self.marks));
    }
}

/// The marks of a host that is not there any more.
struct NoMarks;

impl Marks for NoMarks {
    fn enter_linux(&self) {}
    fn leave_linux(&self) {}
    fn set_aside(&self, _: Layout) -> bool {
        false
    }
    fn take_back(&self, _: Layout) {}
}

pub(crate) struct Inner {
    /// `None` only while it is dropped.
    seam: Option<Seam>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: Box<TaskPool>,
    /// Linux's data as they were; `None` once they are so again.
    image: Mutex<Option<Image>>,
    halted: AtomicBool,
    /// A halt has ended; another one is not under way.
    stuck: AtomicBool,
    /// Linux has gone.
    gone: AtomicBool,
    /// What requests under way may use is here still.
    remains: AtomicBool,
    /// Each non-null slot owns one count of a link.
    disks: Vec<DiskSlot>,
    /// What Linux has that is no disk.
    pub(crate) attachments: Attachments,
    /// A descriptor of /proc/self/fd for reopening, or -1 until it is first wanted.
    pub(crate) proc_fd: AtomicI32,
}

/// A disk that Linux has.
struct DiskSlot {
    link: AtomicPtr<DiskLink>,
    /// Who has added it.
    account: AtomicU64,
}

/// How a halt has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// Linux is gone, and what it had is given back.
    Whole,
    /// A thread is in a loop inside Linux that does not end and cannot be stopped. What it may use stays: Linux's memory and
    /// threads, the host, the disks. The program or driver that Linux is a part of must not be unloaded.
    Stuck,
}

/// A running Linux. Cheap to clone; see the module for what keeps it alive.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) inner: Arc<Inner>,
    /// For whose work it is used: [`Kernel::on_account`]. 0: no account's.
    pub(crate) account: u64,
}

fn semaphore<H: Host>(host: &H, count: u32) -> Result<Box<dyn Semaphore>, BootError> {
    let semaphore: Box<dyn Semaphore> = host.semaphore(count).ok_or(BootError::NoMemory)?;
    Ok(semaphore)
}

/// The command line as Linux gets it, with a NUL at its end.
fn command_line(config: &BootConfig<'_>) -> Option<Vec<u8>> {
    let mut line = try_zeroed(config.command_line.len().checked_add(1)?)?;
    for (place, byte) in line.iter_mut().zip(config.command_line.bytes()) {
        *place = byte;
    }
    Some(line)
}

/// Linux is not there: its data are made what they were.
#[allow(unsafe_code)]
fn restored(image: Image) {
    // SAFETY: callers have booted no Linux, or linux_halt has said that it is gone; the gates keep all others out, and they are
    // empty.
    unsafe { image.restore() }
}

impl Kernel {
    /// Boots Linux on this thread. Blocks until the first system call can be made: some 25 ms. One Linux at a time in a process
    /// or driver image; when that one has been halted or abandoned, another may boot.
    pub fn boot<H: Host>(host: Arc<H>, config: &BootConfig<'_>) -> Result<Kernel, BootError> {
        if config.command_line.contains('\0') || config.pool_size < sys::LKL_PAGE_SIZE {
            return Err(BootError::BadConfig);
        }
        let command_line = command_line(config).ok_or(BootError::NoMemory)?;
        let mut disks = Vec::new();
        disks
            .try_reserve_exact(MAX_DISKS)
            .map_err(|_| BootError::NoMemory)?;
        disks.resize_with(MAX_DISKS, || DiskSlot {
            link: AtomicPtr::new(null_mut()),
            account: AtomicU64::new(0),
        });
        let growing = semaphore(&*host, 1)?;
        let freed = semaphore(&*host, 0)?;
        let waits = try_arc(
            |layout| host.set_aside(layout),
            |layout| host.take_back(layout),
            Waits::new(growing, freed),
        );
        let waits = waits.ok_or(BootError::NoMemory)?;
        let shared = Shared {
            log: LogRing::new().ok_or(BootError::NoMemory)?,
            calls: Gate::new(semaphore(&*host, 0)?),
            reads: Gate::new(semaphore(&*host, 0)?),
            answers: Gate::new(semaphore(&*host, 0)?),
            died: AtomicBool::new(false),
            dead_task: AtomicPtr::new(null_mut()),
            dead_disk: AtomicPtr::new(null_mut()),
            pool: Mutex::new(None),
            waits: Arc::clone(&waits),
            overlay_left: AtomicU64::new(host.overlay_most()),
            shortages: AtomicU64::new(0),
        };
        let shared = try_arc(
            |layout| host.set_aside(layout),
            |layout| host.take_back(layout),
            shared,
        );
        let shared = shared.ok_or(BootError::NoMemory)?;
        let aside = Arc::clone(&host);
        let context = try_box(Context {
            host,
            shared: Arc::clone(&shared),
        })
        .ok_or(BootError::NoMemory)?;
        let table = try_box(ops::table::<H>(&context)).ok_or(BootError::NoMemory)?;
        let image = Image::take()?;
        context.enter_linux();
        let first = call::boot(&table, config.pool_size, &command_line);
        context.leave_linux();
        let seam = Seam {
            marks: ManuallyDrop::new(context),
            table: ManuallyDrop::new(table),
        };
        let first = match first {
            Ok(first) => first,
            // A thread of Linux's is in a loop, and may use both.
            Err(Errno::EDEADLK) => return Err(BootError::Linux(Errno::EDEADLK)),
            Err(errno) => {
                restored(image);
                seam.give_back();
                return Err(match errno {
                    Errno::ENOMEM => BootError::NoMemory,
                    // Whatever Linux has made of it.
                    _ if shared.shortages() != 0 => BootError::NoMemory,
                    errno => BootError::Linux(errno),
                });
            }
        };
        // From here on Linux runs. Lack of memory for what is made below is met by halting it again; and so is one that it has met
        // while it booted, and goes on without what it could not make.
        let tasks = try_box(TaskPool::new(first, waits));
        let Some(tasks) = tasks.filter(|_| shared.shortages() == 0) else {
            seam.marks.enter_linux();
            let gone = call::halt();
            seam.marks.leave_linux();
            if gone {
                restored(image);
                seam.give_back();
            }
            return Err(BootError::NoMemory);
        };
        let inner = Inner {
            seam: Some(seam),
            shared,
            tasks,
            image: Mutex::new(Some(image)),
            halted: AtomicBool::new(false),
            stuck: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            remains: AtomicBool::new(false),
            disks,
            attachments: Attachments::new(),
            proc_fd: AtomicI32::new(-1),
        };
        let inner = try_arc(
            |layout| aside.set_aside(layout),
            |layout| aside.take_back(layout),
            inner,
        );
        let kernel = Kernel {
            inner: inner.ok_or(BootError::NoMemory)?,
            account: 0,
        };
        // All entry tasks share the limit. A kernel that refuses works with fewer open files.
        let _ = call::raise_descriptor_limit(&kernel);
        Ok(kernel)
    }

    /// Stops Linux for all holders of this kernel: waits for system calls and disk reads under way, ends all of its
    /// threads, gives the pool back. What was mounted is gone; what was open answers ENODEV. Disks are told that they
    /// are gone first, so a call that waits for a device ends as soon as the [`Disk`] answers; a call that waits for
    /// something else (a pipe) is waited for. Works after a panic of Linux, too. Calling it again does nothing, unless it
    /// ended with [`Halt::Stuck`]: then it looks whether the thread has left its loop meanwhile.
    ///
    /// A call that loops inside Linux is waited for until the watchdog finds it (30 s of running time, as a rule).
    pub fn halt(self) -> Halt {
        self.inner.halt(true)
    }

    /// Stops Linux as [`Kernel::halt`] does, but does not wait for disks: requests that they have not answered stay theirs. `None`
    /// when a thread is in a loop inside Linux, as with [`Halt::Stuck`].
    ///
    /// Another Linux may be booted at once. What the requests use (the memory that they read into, the disks, the host) is given back
    /// with what this returns.
    pub fn abandon(self) -> Option<Remains> {
        match self.inner.halt(false) {
            Halt::Whole => Some(Remains(self.inner)),
            Halt::Stuck => None,
        }
    }

    /// The same Linux, for work of one account: calls that are made with it, and with what comes of it (disks, mounts,
    /// descriptors), are that account's. When Linux dies, [`Kernel::death_account`] says whose work it died of.
    pub fn on_account(&self, account: NonZeroU64) -> Kernel {
        Kernel {
            inner: Arc::clone(&self.inner),
            account: account.get(),
        }
    }

    /// The account of whose work Linux has died: in a call of its, or, when a thread of Linux's own died, as the last one that had
    /// to do with a disk of its there; the second is likely, and no more. `None` when it lives, or that cannot be told.
    pub fn death_account(&self) -> Option<NonZeroU64> {
        let shared = &self.inner.shared;
        if !shared.has_died() {
            return None;
        }
        let task = shared.dead_task.load(Ordering::Acquire).cast_const();
        if !task.is_null() {
            return NonZeroU64::new(self.inner.tasks.account_of(task));
        }
        let disk = shared.dead_disk.load(Ordering::Acquire).cast::<DiskLink>();
        let mut disks = self.inner.disks.iter();
        let slot = disks.find(|slot| !disk.is_null() && slot.link.load(Ordering::Acquire) == disk)?;
        NonZeroU64::new(slot.account.load(Ordering::Acquire))
    }

    /// Whether Linux has gone, so that another may boot: halted or abandoned, and not stuck.
    pub fn has_gone(&self) -> bool {
        self.inner.gone.load(Ordering::Acquire)
    }

    /// True once Linux has died or was halted. Any context.
    pub fn is_dead(&self) -> bool {
        self.inner.shared.calls.is_closed() || call::is_dead()
    }

    /// The last 64 KiB of what Linux printed, oldest byte first.
    pub fn log(&self) -> Vec<u8> {
        self.inner.shared.log.snapshot()
    }

    /// What Linux printed from byte `position` on, as much as `out` takes: the position of the first byte, which is
    /// later when older ones were overwritten, and how many there are. Any context.
    pub fn read_log(&self, position: u64, out: &mut [u8]) -> (u64, usize) {
        self.inner.shared.log.read(position, out)
    }

    /// Linux's release, as `uname -r` says it; zeros behind it.
    ///
    /// # Errors
    /// ENODEV when Linux is dead.
    pub fn release(&self) -> Result<[u8; 64], Errno> {
        let [_, _, release, ..] = call::uname(self)?.0;
        let mut short = [0; 64];
        short
            .iter_mut()
            .zip(release)
            .for_each(|(place, byte)| *place = byte);
        Ok(short)
    }

    /// Bytes of the pool that Linux has free.
    ///
    /// # Errors
    /// ENODEV when Linux is dead.
    pub fn free_bytes(&self) -> Result<u64, Errno> {
        Ok(call::sysinfo(self)?.free)
    }

    /// How many entry tasks there are: the most system calls that were ever made at the same time.
    pub fn entry_tasks(&self) -> usize {
        self.inner.tasks.made()
    }

    /// Announces a disk to Linux.
    pub fn add_disk(&self, disk: Arc<dyn Disk>, options: DiskOptions) -> Result<BlockDevice, Errno> {
        BlockDevice::attach(self.clone(), disk, options, None)
    }

    /// Mounts a disk, read-only, without device nodes, set-user-id, execution or following of symbolic links.
    pub fn mount(
        &self,
        device: &BlockDevice,
        kind: FsKind<'_>,
        options: &MountOptions<'_>,
    ) -> Result<Mount, MountError> {
        Mount::new(self, device, kind, options)
    }

    /// Runs the port's self-tests. The number of failed ones; ENOSYS when the kernel was built without. Each prints
    /// a TAP line to the log.
    pub fn self_test(&self) -> Result<u64, Errno> {
        call::self_test(self, 0)
    }

    /// Runs one of the port's self-tests by its number: `LKL_SELFTEST_*` of host_ops.h.
    pub fn self_test_of(&self, what: u64) -> Result<u64, Errno> {
        call::self_test(self, what)
    }

    /// A system call of any kind, on this thread: Linux's own x86-64 number and arguments. Blocks as the call does.
    ///
    /// # Safety
    /// The arguments are right for the call: pointers among them are valid for what Linux does with them, and the call
    /// does not take away what this crate relies on (its own descriptors, Linux's running).
    #[allow(unsafe_code)]
    pub unsafe fn syscall(&self, number: i64, args: [i64; 6]) -> Result<u64, Errno> {
        // SAFETY: the caller's promise.
        unsafe { call::raw(self, number, &args) }
    }

    pub(crate) fn attach(
        &self,
        disk: Arc<dyn Disk>,
        options: &DiskOptions,
        by: Option<&dyn Announce>,
    ) -> Result<Attached, Errno> {
        let block_size = disk.block_size();
        if !block_size.is_power_of_two() || !(512..=4096).contains(&block_size) {
            return Err(Errno::EINVAL);
        }
        let size = disk.size_bytes();
        let params = DiskParams {
            size: size.saturating_sub(size.checked_rem(u64::from(block_size)).unwrap_or(0)),
            block_size,
            queue_depth: options.queue_depth,
            overlay_limit: options.overlay_limit.unwrap_or(u64::MAX),
            padding: options.padding,
        };
        let link = DiskLink::new(disk, Arc::clone(&self.inner.shared));
        let marks = self.inner.marks();
        let link = try_arc(
            |layout| marks.set_aside(layout),
            |layout| marks.take_back(layout),
            link,
        );
        let link = link.ok_or(Errno::ENOMEM)?;
        let word = self.inner.keep(&link, self.account)?;
        match call::disk_add(self, word, &link, &params, by) {
            Ok(info) => {
                link.set_device(info.major, info.minor);
                let path = crate::disk::DevPath::from_info(&info);
                Ok(Attached {
                    major: info.major,
                    minor: info.minor,
                    path,
                    link,
                })
            }
            Err(errno) => {
                // Linux did not take it, so it does not have the pointer.
                self.inner.forget(&link);
                Err(errno)
            }
        }
    }

    pub(crate) fn detach(&self, attached: Attached) -> Result<(), Errno> {
        call::disk_remove(self, attached.major, attached.minor)?;
        self.inner.forget(&attached.link);
        Ok(())
    }

    pub(crate) fn disk_stats(&self, major: u32, minor: u32) -> Result<DiskStats, Errno> {
        call::disk_stats(self, major, minor)
    }

    pub(crate) fn disk_gone(&self, major: u32, minor: u32) {
        // Inside the gate, so that Linux is not halted under the call.
        if self.inner.shared.calls.enter() {
            call::disk_gone(major, minor);
            self.inner.shared.calls.leave();
        }
    }
}

/// [`sys::lkl_disk_params`] without the pointer.
pub(crate) struct DiskParams {
    pub(crate) size: u64,
    pub(crate) block_size: u32,
    pub(crate) queue_depth: u32,
    pub(crate) overlay_limit: u64,
    pub(crate) padding: u64,
}

impl Inner {
    pub(crate) fn marks(&self) -> &dyn Marks {
        self.seam.as_ref().map_or(&NoMarks, |seam| &**seam.marks)
    }

    /// Keeps a link alive until `forget`, or until the end. The pointer that Linux gets.
    fn keep(&self, link: &Arc<DiskLink>, account: u64) -> Result<NonNull<DiskLink>, Errno> {
        let pointer = Arc::into_raw(Arc::clone(link)).cast_mut();
        for slot in &self.disks {
            if slot
                .link
                .compare_exchange(null_mut(), pointer, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                slot.account.store(account, Ordering::Release);
                return NonNull::new(pointer).ok_or(Errno::ENOMEM);
            }
        }
        call::drop_link(pointer);
        Err(Errno::ENFILE)
    }

    fn forget(&self, link: &Arc<DiskLink>) {
        let pointer = Arc::as_ptr(link).cast_mut();
        for slot in &self.disks {
            if slot
                .link
                .compare_exchange(pointer, null_mut(), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                call::drop_link(pointer);
                return;
            }
        }
    }

    /// `whole`: waits for requests under way.
    fn halt(&self, whole: bool) -> Halt {
        if self.halted.swap(true, Ordering::AcqRel) {
            return self.halt_again();
        }
        for slot in &self.disks {
            if let Some((major, minor)) = call::peek_link(&slot.link) {
                call::disk_gone(major, minor);
            }
        }
        self.attachments.end();
        self.marks().enter_linux();
        let out = self.shared.calls.close();
        self.shared.reads.shut();
        if whole {
            // A request that Linux has sent is answered by its disk, whatever Linux does.
            self.shared.reads.wait();
        }
        // From here on Linux hears of no answer. Who is on the way to tell it does not wait for anything.
        self.shared.answers.close();
        let halt = self.end(out);
        self.marks().leave_linux();
        halt
    }

    /// After a halt that was the first: whether what kept it has gone meanwhile.
    fn halt_again(&self) -> Halt {
        if !self.stuck.swap(false, Ordering::AcqRel) {
            return Halt::Whole;
        }
        self.marks().enter_linux();
        let halt = self.end(self.shared.calls.is_empty());
        self.marks().leave_linux();
        halt
    }

    /// The last of a halt. `out`: no thread of the host's is inside Linux.
    fn end(&self, out: bool) -> Halt {
        if !out || !call::halt() {
            self.stuck.store(true, Ordering::Release);
            return Halt::Stuck;
        }
        let image = self.image.lock().take();
        self.remains.store(true, Ordering::Release);
        if let Some(image) = image {
            restored(image);
        }
        self.gone.store(true, Ordering::Release);
        self.bury();
        Halt::Whole
    }

    /// Gives back what requests under way may use, if none is. Whether it is given back.
    fn bury(&self) -> bool {
        if !self.shared.reads.has_drained() {
            return false;
        }
        if self.remains.swap(false, Ordering::AcqRel) {
            for slot in &self.disks {
                call::drop_link(slot.link.swap(null_mut(), Ordering::AcqRel));
            }
            self.attachments.drop_all();
            drop(self.shared.pool.lock().take());
        }
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.halt(true) == Halt::Whole
            && let Some(seam) = self.seam.take()
        {
            seam.give_back();
        }
    }
}

/// What is left of a Linux that was abandoned while disks had requests of its. It is given back when they have answered; dropping
/// this waits for that.
#[must_use = "dropping it waits for the disks"]
pub struct Remains(Arc<Inner>);

impl Remains {
    /// Whether the disks have answered, and all is given back. Does not wait for them.
    pub fn is_over(&self) -> bool {
        self.0.bury()
    }

    /// Waits until the disks have answered, and gives all back.
    pub fn wait(self) {
        drop(self);
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        if !self.0.bury() {
            self.0.shared.reads.wait();
            self.0.bury();
        }
    }
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remains").finish_non_exhaustive()
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("dead", &self.is_dead())
            .finish_non_exhaustive()
    }
}
