//! Boot and halt, and the one Linux of the process.

use crate::{Long, calls, disks, int, operations, text};
use lkl::{BootConfig, BootError, Errno, Halt, Kernel};
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// How much memory Linux gets unless its command line says.
const POOL: usize = 64 << 20;

/// From the boot to the clean-up.
static KERNEL: RwLock<Option<Kernel>> = RwLock::new(None);
static INITIALIZED: AtomicBool = AtomicBool::new(false);

/// The running Linux; ENODEV when there is none.
pub(crate) fn kernel() -> Result<Kernel, Errno> {
    let kernel = KERNEL.read().unwrap_or_else(PoisonError::into_inner);
    kernel.clone().ok_or(Errno::ENODEV)
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

/// The size in `mem=SIZE`, and the line without it, which Linux would take for a size of the machine's.
fn memory(line: &str) -> Result<(usize, String), Errno> {
    let mut pool = POOL;
    let mut rest = Vec::new();
    for word in line.split_ascii_whitespace() {
        match word.strip_prefix("mem=") {
            Some(size) => pool = bytes(size).ok_or(Errno::EINVAL)?,
            None => rest.push(word),
        }
    }
    Ok((pool, rest.join(" ")))
}

/// A number with k, M or G behind it.
fn bytes(size: &str) -> Option<usize> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match size.get(digits.len()..)? {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
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
    let (pool_size, command_line) = memory(line)?;
    let mut slot = KERNEL.write().unwrap_or_else(PoisonError::into_inner);
    if slot.is_some() {
        return Err(Errno::EBUSY);
    }
    let config = BootConfig {
        pool_size,
        command_line: &command_line,
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
    Ok(0)
}

#[unsafe(no_mangle)]
extern "C" fn lkl_is_running() -> i32 {
    i32::from(kernel().is_ok_and(|kernel| !kernel.is_dead()))
}

#[unsafe(no_mangle)]
extern "C" fn lkl_sys_halt() -> Long {
    match kernel().map(Kernel::halt) {
        Ok(Halt::Whole) => 0,
        Ok(Halt::Stuck) => Errno::EDEADLK.negated(),
        Err(errno) => errno.negated(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn lkl_cleanup() {
    let taken = KERNEL.write().unwrap_or_else(PoisonError::into_inner).take();
    disks::forget_all();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_the_pool_is_taken_from_the_command_line() {
        let taken = memory("loglevel=4 mem=32M ip=dhcp").unwrap();
        assert_eq!(taken, (32 << 20, "loglevel=4 ip=dhcp".to_owned()));
        assert_eq!(memory("").unwrap(), (POOL, String::new()));
        assert_eq!(memory("mem=65536k").unwrap().0, POOL);
        for wrong in ["mem=", "mem=M", "mem=12T", "mem=99999999999G"] {
            assert_eq!(memory(wrong), Err(Errno::EINVAL), "{wrong}");
        }
    }
}
