//! Linux's own data in the image, and how they are made new.
//!
//! Linux is linked into the program or driver once, and its boot and its life change its data. So they are copied before the boot
//! and put back when Linux has gone ([`Image::restore`]): the next boot finds what the first one found. That costs as many bytes
//! as Linux has initialised data for as long as it runs, and nothing before and after.
//!
//! What Linux leaves running when it ends (a thread in a loop that cannot be stopped) may still use its data: they stay as
//! they are then, and Linux cannot be booted again.

// UNSAFETY: copies Linux's data, whose limits only the linker knows.

#![allow(unsafe_code)]

use crate::kernel::BootError;
use crate::sys::{self, lkl_image};
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};

/// A Linux is there, or has left its data unusable.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to boot Linux, and its data as they were. Dropped without [`Image::restore`], it lets no one boot any more.
pub(crate) struct Image {
    data: Vec<u8>,
}

fn limits() -> lkl_image {
    let mut image = lkl_image {
        data: null_mut(),
        data_size: 0,
        zeros: null_mut(),
        zeros_size: 0,
    };
    // SAFETY: callable at any time; it fills the structure.
    unsafe { sys::linux_image(&mut image) };
    image
}

impl Image {
    /// Takes the image for a boot. Blocks no one. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `AlreadyBooted` while another has it, or when that one can never give it back; `NoMemory`.
    pub(crate) fn take() -> Result<Image, BootError> {
        if TAKEN.swap(true, Ordering::AcqRel) {
            return Err(BootError::AlreadyBooted);
        }
        let limits = limits();
        let mut data = Vec::new();
        if data.try_reserve_exact(limits.data_size).is_err() {
            TAKEN.store(false, Ordering::Release);
            return Err(BootError::NoMemory);
        }
        // SAFETY: Linux's data, which nothing uses while it is not booted; whoever takes the image is alone.
        let now =
            unsafe { core::slice::from_raw_parts(limits.data.cast::<u8>().cast_const(), limits.data_size) };
        data.extend_from_slice(now);
        Ok(Image { data })
    }

    /// Makes Linux's data what they were before the boot, and lets another boot.
    ///
    /// # Safety
    /// Linux was not booted, or `linux_halt` has said that it has gone; and no call of a `linux_*` function is under way.
    pub(crate) unsafe fn restore(self) {
        let limits = limits();
        // SAFETY: the copy has that many bytes, and the caller says that nothing of Linux's runs.
        unsafe {
            core::ptr::copy_nonoverlapping(self.data.as_ptr(), limits.data.cast::<u8>(), self.data.len())
        };
        // SAFETY: as above.
        unsafe { core::ptr::write_bytes(limits.zeros.cast::<u8>(), 0, limits.zeros_size) };
        drop(self);
        TAKEN.store(false, Ordering::Release);
    }
}
