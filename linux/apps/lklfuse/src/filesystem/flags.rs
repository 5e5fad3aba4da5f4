//! Flags of files: what lsattr(1) and chattr(1) ask for.
//!
//! The kernel has looked who may do what, and sends no other requests of this kind than those whose argument is one record.

use fuser::INodeNo;
use lkl::Errno;
use lkl_write::FileFlags;

use crate::served::Served;

const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_GETVERSION: u32 = 0x8008_7601;
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;

impl Served {
    /// Answers a request about an open file, or a folder; the answer's record.
    pub(super) fn flags(
        &self,
        (number, handle, is_folder): (u64, u64, bool),
        request: u32,
        record: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let file = match is_folder {
            true => self.folders.get(handle)?,
            false => self.files.get(handle)?,
        };
        let word = |word: u32| word.to_ne_bytes().to_vec();
        match request {
            FS_IOC_GETFLAGS => return file.flags().map(word),
            FS_IOC_GETVERSION => return file.generation().map(word),
            FS_IOC_FSGETXATTR => return file.extended_flags().map(Vec::from),
            FS_IOC_SETFLAGS => {
                let flags = record.first_chunk().ok_or(Errno::EINVAL)?;
                file.set_flags(u32::from_ne_bytes(*flags))?;
            }
            FS_IOC_FSSETXATTR => file.set_extended_flags(record.first_chunk().ok_or(Errno::EINVAL)?)?,
            _ => return Err(Errno::ENOTTY),
        }
        // The kernel does not think of the time that this has changed.
        if let Some(notifier) = self.notifier.get() {
            let _ = notifier.inval_inode(INodeNo(number), -1, 0);
        }
        Ok(Vec::new())
    }
}
