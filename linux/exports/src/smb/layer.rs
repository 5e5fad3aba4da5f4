//! A place for a share's volume at which ksmbd takes it.
//!
//! ksmbd asks the kernel for the right to write before it opens anything, for reading too (`mnt_want_write()` in `fs/smb/server/vfs.c`),
//! and for the same right to the folder that a share is in. So a volume that is mounted read-only is shown through an overlay whose upper
//! layer is an empty folder in the carried Linux's memory. Nothing that is done in the overlay reaches the volume, whatever ksmbd lets
//! a client do; and it is told to let clients do nothing.
//!
//! File systems with rules of their own for names, as FAT's, cannot be in an overlay. Those are made writable instead: what Linux writes to
//! the disk of an image that is mounted for reading goes into memory, as a journal's replay does, and never into the image.

use std::ffi::CString;

use lkl::{Errno, Kernel};

use crate::call;

/// The folders in Linux's root, and in them one a share.
const SHARES: &str = "/shares";
const SCRATCH: &str = "/scratch";

/// Where a share is. It ends with this.
#[derive(Debug)]
pub(super) struct Layer {
    kernel: Kernel,
    place: CString,
}

impl Layer {
    /// For the share of that number, whose volume is at this place.
    pub(super) fn new(kernel: &Kernel, number: usize, volume: &[u8]) -> Result<Layer, Errno> {
        let text = |text: String| CString::new(text).map_err(|_| Errno::EINVAL);
        let volume = CString::new(volume).map_err(|_| Errno::EINVAL)?;
        let (upper, work) = (
            text(format!("{SCRATCH}/{number}/upper"))?,
            text(format!("{SCRATCH}/{number}/work"))?,
        );
        let place = text(format!("{SHARES}/{number}"))?;
        let above = [
            text(SHARES.into())?,
            text(SCRATCH.into())?,
            text(format!("{SCRATCH}/{number}"))?,
        ];
        for folder in above.iter().chain([&place, &upper, &work]) {
            call::make_folder(kernel, folder)?;
        }
        let options = [
            (c"lowerdir", &*volume),
            (c"upperdir", &*upper),
            (c"workdir", &*work),
        ];
        match call::file_system_with(kernel, c"overlay", &options) {
            Ok(overlay) => call::attach(&overlay, &place)?,
            Err(Errno::EINVAL) => {
                call::make_writable(kernel, &volume)?;
                call::move_mount(kernel, &volume, &place)?;
            }
            Err(errno) => return Err(errno),
        }
        let kernel = kernel.clone();
        Ok(Layer { kernel, place })
    }

    /// From Linux's root on.
    pub(super) fn place(&self) -> &[u8] {
        self.place.as_bytes()
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        // Of a Linux that is dead there is nothing to take away.
        let _ = call::detach(&self.kernel, &self.place);
    }
}
