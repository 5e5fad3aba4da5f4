//! Linux's settings in /proc/sys, and the limit of open files.

use crate::{calls, int, mounts, operations};
use lkl::Errno;
use std::ffi::{CStr, c_char};

/// Sets one value.
fn set(path: &str, value: &[u8]) -> Result<u64, Errno> {
    mounts::mount_by_name(c"proc")?;
    let file = calls::path(&format!("/proc/sys/{}", path.replace('.', "/")))?;
    const WRITE_ONLY: i32 = 1;
    let fd = calls::open(&file, WRITE_ONLY)?;
    let written = calls::write(fd, value);
    calls::close(fd)?;
    written.map(|_| 0)
}

/// # Safety
/// Strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_sysctl(path: *const c_char, value: *const c_char) -> i32 {
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    // SAFETY: as above.
    let value = unsafe { CStr::from_ptr(value) };
    int(path
        .to_str()
        .map_err(|_| Errno::EINVAL)
        .and_then(|path| set(path, value.to_bytes())))
}

/// # Safety
/// A string, or NULL.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_sysctl_parse_write(sysctls: *const c_char) {
    if sysctls.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    let list = unsafe { CStr::from_ptr(sysctls) }.to_string_lossy();
    for setting in list
        .split(';')
        .map(str::trim)
        .filter(|setting| !setting.is_empty())
    {
        let outcome = match setting.split_once('=') {
            Some((key, value)) => set(key.trim(), value.trim().as_bytes()),
            None => Err(Errno::EINVAL),
        };
        if let Err(errno) = outcome {
            operations::print(format!("lkl: sysctl {setting}: {}\n", errno.text()).as_bytes());
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn lkl_set_fd_limit(fd_limit: u32) -> i32 {
    int(calls::limit_files(fd_limit.into()))
}
