//! How Linux begins.

use super::end::restored;
use super::shared::{Marks as _, Seam, Shared};
use super::{DiskSlot, Inner, Kernel, MAX_DISKS};
use crate::call;
use crate::errno::Errno;
use crate::extend::Attachments;
use crate::host::{Host, Semaphore};
use crate::image::Image;
use crate::ops::{self, Context};
use crate::sys;
use crate::tasks::{TaskPool, Waits};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64};
use fallible::{try_arc, try_box, try_zeroed};
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

pub(super) fn semaphore<H: Host>(host: &H, count: u32) -> Result<Box<dyn Semaphore>, BootError> {
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
        let shared = Shared::new(&*host, Arc::clone(&waits))?;
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
}
