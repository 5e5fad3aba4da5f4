//! The running kernel: boot, the door that system calls go through, halt.
//!
//! [`Kernel`] is a counted reference. Everything that can call Linux ([`crate::OwnedFd`], [`crate::Mount`],
//! [`BlockDevice`]) holds one, so Linux cannot go away under it: [`Kernel::halt`] closes the gate, after which all of
//! them answer ENODEV, and the last reference gives the memory back. Dropping the last reference halts, too.
//!
//! At most one kernel at a time per process or driver image, because Linux is linked in once. When one has ended, the next may
//! boot: [`crate::image`] makes Linux's data new. Requests that a disk has not answered do not hold that up ([`Kernel::abandon`]):
//! the pool that they read into stays until they are answered, and Linux is not told of the answers any more.

// UNSAFETY: a system call of any kind is its caller's promise.

mod boot;
mod end;
mod shared;

pub use boot::{BootConfig, BootError};
pub use end::{Halt, Remains};
pub(crate) use shared::Shared;

use crate::call;
use crate::disk::{Attached, BlockDevice, Disk, DiskLink, DiskOptions, DiskStats};
use crate::errno::Errno;
use crate::extend::{Announce, Attachments};
use crate::image::Image;
use crate::mount::{FsKind, Mount, MountError, MountOptions};
use crate::tasks::TaskPool;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU64;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, Ordering};
use fallible::try_arc;
use shared::{Marks, NoMarks, Seam};
use spin::Mutex;

/// The most disks at a time.
const MAX_DISKS: usize = 1024;

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

/// A running Linux. Cheap to clone; see the module for what keeps it alive.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) inner: Arc<Inner>,
    /// For whose work it is used: [`Kernel::on_account`]. 0: no account's.
    pub(crate) account: u64,
}

impl Kernel {
    /// The same Linux, for work of one account: calls that are made with it, and with what comes of it (disks, mounts,
    /// descriptors), are that account's. When Linux dies, [`Kernel::death_account`] says whose work it died of.
    pub fn on_account(&self, account: NonZeroU64) -> Kernel {
        Kernel {
            inner: Arc::clone(&self.inner),
            account: account.get(),
        }
    }

    /// The account of whose work Linux has died: in a call of its, or, when a thread of Linux's own died, as the last one that had
    /// to do with a disk of its there; the second is likely, and no more. `None` when it lives, or that cannot be told. It stays when
    /// Linux is halted or abandoned.
    pub fn death_account(&self) -> Option<NonZeroU64> {
        let noted = self.inner.shared.dead_account.load(Ordering::Acquire);
        NonZeroU64::new(noted).or_else(|| self.inner.account_of_death())
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
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("dead", &self.is_dead())
            .finish_non_exhaustive()
    }
}
