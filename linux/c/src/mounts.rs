//! Mounting and unmounting by path.

use crate::{Long, calls, int, result};
use lkl::Errno;
use std::ffi::{CStr, c_char};
use std::time::{Duration, Instant};

/// How long one waits before a busy volume is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Mounts a file system that needs no device at `/NAME`. Whether it was there already.
pub(crate) fn mount_by_name(kind: &CStr) -> Result<u64, Errno> {
    let place = calls::path(&format!("/{}", kind.to_str().map_err(|_| Errno::EINVAL)?))?;
    calls::make_folder(&place)?;
    // Linux would mount a second one over the first.
    if calls::is_mount_point(&place)? {
        return Ok(1);
    }
    calls::mount(kind, &place, kind, 0, None)
}

/// # Safety
/// A string.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_mount_fs(fstype: *mut c_char) -> i32 {
    // SAFETY: the caller's promise.
    int(mount_by_name(unsafe { CStr::from_ptr(fstype) }))
}

/// Unmounts; while it is busy, again.
pub(crate) fn unmount(path: &CStr, flags: i32, patience: Duration) -> Result<u64, Errno> {
    let start = Instant::now();
    loop {
        match calls::unmount(path, flags) {
            Err(Errno::EBUSY) if start.elapsed() < patience => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

/// # Safety
/// A string.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_umount_timeout(path: *mut c_char, flags: i32, timeout_ms: Long) -> Long {
    let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    // SAFETY: the caller's promise.
    result(unmount(unsafe { CStr::from_ptr(path) }, flags, patience))
}

/// What a small file of Linux's holds.
fn content(path: &CStr) -> Result<String, Errno> {
    let fd = calls::open(path, 0)?;
    let mut text = [0; 64];
    let read = calls::read(fd, &mut text);
    calls::close(fd)?;
    let bytes = text.get(..read?).ok_or(Errno::EIO)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Errno::EINVAL)
}

/// `MAJOR:MINOR` as mknod() takes it.
fn device_number(text: &str) -> Option<u32> {
    let (major, minor) = text.trim_end().split_once(':')?;
    let (major, minor) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
    (major < 1 << 12 && minor < 1 << 20).then_some((minor & 0xff) | major << 8 | (minor & !0xff) << 12)
}

/// The device number in a file of sysfs'.
pub(crate) fn device_in_sysfs(path: &CStr) -> Result<u32, Errno> {
    device_number(&content(path)?).ok_or(Errno::EINVAL)
}

/// # Safety
/// A string, and where the number goes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_encode_dev_from_sysfs(sysfs_path: *const c_char, dev: *mut u32) -> i32 {
    // SAFETY: the caller's promise.
    let path = unsafe { CStr::from_ptr(sysfs_path) };
    match device_in_sysfs(path) {
        Ok(number) => {
            // SAFETY: the caller's promise.
            unsafe { dev.write(number) };
            0
        }
        Err(errno) => int(Err(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_encoded_as_mknod_takes_them() {
        assert_eq!(device_number("8:1\n"), Some(0x801));
        assert_eq!(device_number("259:300"), Some(259 << 8 | 44 | 1 << 20));
        for wrong in ["", "8", "8:", ":1", "x:1", "4096:0"] {
            assert_eq!(device_number(wrong), None, "{wrong}");
        }
    }
}
