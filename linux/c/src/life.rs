//! Boot and halt, and the one Linux of the process.

use crate::{Long, addressing, calls, disks, int, netdevs, operations, text};
use lkl::{BootConfig, BootError, Errno, Halt, Kernel};
use lkl_net::BootWords;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// How much memory Linux gets unless its command line says.
const POOL: usize = 64 << 20;

/// From the boot to the clean-up or the next boot.
static KERNEL: RwLock<Option<Kernel>> = RwLock::new(None);
static INITIALIZED: AtomicBool = AtomicBool::new(false);

/// The Linux that was booted last, whatever became of it.
fn last() -> Result<Kernel, Errno> {
    let kernel = KERNEL.read().unwrap_or_else(PoisonError::into_inner);
    kernel.clone().ok_or(Errno::ENODEV)
}

/// The running Linux, or one that has died; ENODEV when there is none.
pub(crate) fn kernel() -> Result<Kernel, Errno> {
    last()
        .ok()
        .filter(|kernel| !kernel.has_gone())
        .ok_or(Errno::ENODEV)
}

/// Takes the host's operations.
#[unsafe(no_mangle)]
extern "C" fn lkl_init(ops: *mut operations::Operations) -> i32 {
    if ops.is_null() {
        return int(Err(Errno::EINVAL));
    }
    operations::use_those(ops);
    INITIALIZED.store(true, Ordering::Release);
    0
}

/// Boots.
///
/// # Safety
/// A string.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_start_kernel_line(command_line: *const c_char) -> i32 {
    if !INITIALIZED.load(Ordering::Acquire) || command_line.is_null() {
        return int(Err(Errno::EINVAL));
    }
    // SAFETY: the caller's promise.
    let line = unsafe { CStr::from_ptr(command_line) };
    int(boot(&line.to_string_lossy()))
}

fn boot(line: &str) -> Result<u64, Errno> {
    // `mem=` and `ip=` are words for the host here.
    let words = BootWords::parse(line).map_err(|why| {
        operations::print(format!("lkl: {why}\n").as_bytes());
        Errno::EINVAL
    })?;
    let mut slot = KERNEL.write().unwrap_or_else(PoisonError::into_inner);
    if slot.as_ref().is_some_and(|last| !last.has_gone()) {
        return Err(Errno::EBUSY);
    }
    // What the last Linux had. The tasks of other threads are found out when they call next.
    disks::forget_added();
    calls::forget_task();
    *slot = None;
    let config = BootConfig {
        pool_size: words.memory.unwrap_or(POOL),
        command_line: &words.rest,
    };
    let kernel = operations::boot(&config).map_err(|error| match error {
        BootError::NoMemory => Errno::ENOMEM,
        BootError::BadConfig => Errno::EINVAL,
        BootError::AlreadyBooted => Errno::EBUSY,
        BootError::Linux(errno) => errno,
    })?;
    *slot = Some(kernel.clone());
    drop(slot);
    disks::add_waiting(&kernel)?;
    netdevs::add_waiting(&kernel)?;
    if let Some(ip) = &words.ip {
        addressing::at_boot(&kernel, ip);
    }
    Ok(0)
}

#[unsafe(no_mangle)]
extern "C" fn lkl_is_running() -> i32 {
    i32::from(kernel().is_ok_and(|kernel| !kernel.is_dead()))
}

#[unsafe(no_mangle)]
extern "C" fn lkl_sys_halt() -> Long {
    let halted = last().map(Kernel::halt);
    netdevs::forget_all();
    match halted {
        Ok(Halt::Whole) => 0,
        Ok(Halt::Stuck) => Errno::EDEADLK.negated(),
        Err(errno) => errno.negated(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn lkl_cleanup() {
    let taken = KERNEL.write().unwrap_or_else(PoisonError::into_inner).take();
    disks::forget_all();
    netdevs::forget_all();
    calls::forget_task();
    // The last reference halts, if that was not done.
    drop(taken);
    INITIALIZED.store(false, Ordering::Release);
}

#[unsafe(no_mangle)]
extern "C" fn lkl_create_syscall_thread() -> i32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn lkl_stop_syscall_thread() -> i32 {
    0
}

/// What lkl_bug() has made of its format: written, then the end.
///
/// # Safety
/// `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_bug_text(text: *const c_char, len: i32) {
    // SAFETY: the caller's promise.
    unsafe { text::lkl_print_text(text, len) };
    operations::panic();
}
