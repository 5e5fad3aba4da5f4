//! Files of other volumes, opened by path and read: what disk images are kept in.
//!
//! A file is opened in the thread of whoever asks for the image, so that its path means what it means there, and shared
//! with readers only: nobody may change an image that is being read. Every read is a synchronous one of the other file
//! system; what it says last when it fails is kept, for the request that needed the bytes.
//
// UNSAFETY: file handles and the calls that take them.

use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};
use disk_images::{Reference, Unresolved};
use lkl::probe::{ReadAt, ReadError};
use lklfs_kernel::nt::{
    self, _FILE_INFORMATION_CLASS, FILE_NON_DIRECTORY_FILE, FILE_OPEN, FILE_RANDOM_ACCESS,
    FILE_READ_ATTRIBUTES, FILE_READ_DATA, FILE_SHARE_READ, FILE_STANDARD_INFORMATION,
    FILE_SYNCHRONOUS_IO_NONALERT, HANDLE, IO_STATUS_BLOCK, OBJ_CASE_INSENSITIVE, OBJ_FORCE_ACCESS_CHECK,
    OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, SYNCHRONIZE, UNICODE_STRING, ZwClose, ZwCreateFile,
    ZwQueryInformationFile, ZwReadFile, large,
};
use lklfs_kernel::text::copy;
use lklfs_nt::NtStatus;

/// The longest path, in UTF-16 units.
pub const LONGEST_PATH: usize = 32_767;
/// The most that is asked of the other file system at once, bytes.
const PIECE: usize = 1 << 20;

const BACKSLASH: u16 = 0x5c;
const SLASH: u16 = 0x2f;
const COLON: u16 = 0x3a;
const QUESTION: u16 = 0x3f;
const DOT: u16 = 0x2e;

/// The NT path of `name` as the image at `path` would say it. `None`: a path of another system, or no memory.
fn beside(path: &[u16], name: &str) -> Option<Vec<u16>> {
    let mut units = Vec::new();
    units.try_reserve_exact(name.len()).ok()?;
    units.extend(
        name.encode_utf16()
            .map(|unit| if unit == SLASH { BACKSLASH } else { unit }),
    );
    let name: &[u16] = &units;
    let drive = name.get(1) == Some(&COLON) && name.get(2) == Some(&BACKSLASH);
    let front = match name {
        _ if drive => [BACKSLASH, QUESTION, QUESTION, BACKSLASH].as_slice(),
        [BACKSLASH, ..] => return None,
        _ => {
            let end = path.iter().rposition(|unit| *unit == BACKSLASH)?;
            path.get(..=end)?
        }
    };
    let mut whole = Vec::new();
    whole
        .try_reserve_exact(front.len().saturating_add(name.len()).saturating_add(1))
        .ok()?;
    whole.extend_from_slice(front);
    for part in name.split(|unit| *unit == BACKSLASH) {
        match part {
            [] | [DOT] => {}
            // One folder up: NT's own paths have no such thing.
            [DOT, DOT] => {
                whole.pop();
                while whole.last().is_some_and(|unit| *unit != BACKSLASH) {
                    whole.pop();
                }
            }
            part => {
                whole.extend_from_slice(part);
                whole.push(BACKSLASH);
            }
        }
    }
    whole.pop();
    Some(whole)
}

/// An open file.
pub struct BackingFile {
    handle: HANDLE,
    bytes: u64,
    path: Vec<u16>,
    /// The status of the last read that failed; 0 for none.
    failure: AtomicU32,
}

// SAFETY: a kernel handle may be used in every thread.
unsafe impl Send for BackingFile {}
// SAFETY: as above; the file object serialises its requests.
unsafe impl Sync for BackingFile {}

impl core::fmt::Debug for BackingFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BackingFile")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl BackingFile {
    /// Opens the file at an NT path (`\??\C:\images\disk.img`), with the rights of the calling thread.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn open(path: &[u16]) -> Result<Self, NtStatus> {
        if path.is_empty() || path.len() > LONGEST_PATH {
            return Err(NtStatus::OBJECT_NAME_INVALID);
        }
        let mut owned = copy(path)?;
        let length =
            u16::try_from(path.len().saturating_mul(2)).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
        let mut name = UNICODE_STRING {
            Length: length,
            MaximumLength: length,
            Buffer: owned.as_mut_ptr(),
        };
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            ObjectName: &raw mut name,
            Attributes: OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE | OBJ_FORCE_ACCESS_CHECK,
            ..Default::default()
        };
        let mut handle: HANDLE = null_mut();
        let mut block = IO_STATUS_BLOCK::default();
        // SAFETY: all pointers outlive the call, which is synchronous.
        let status = unsafe {
            ZwCreateFile(
                &mut handle,
                FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
                &mut attributes,
                &mut block,
                null_mut(),
                0,
                FILE_SHARE_READ,
                FILE_OPEN,
                FILE_NON_DIRECTORY_FILE | FILE_SYNCHRONOUS_IO_NONALERT | FILE_RANDOM_ACCESS,
                null_mut(),
                0,
            )
        };
        if status < 0 {
            return Err(nt::status(status));
        }
        let mut file = BackingFile {
            handle,
            bytes: 0,
            path: owned,
            failure: AtomicU32::new(0),
        };
        let mut facts = FILE_STANDARD_INFORMATION::default();
        // SAFETY: the handle is ours; the record is as long as it is said to be.
        let status = unsafe {
            ZwQueryInformationFile(
                file.handle,
                &mut block,
                (&raw mut facts).cast(),
                size_of::<FILE_STANDARD_INFORMATION>() as u32,
                _FILE_INFORMATION_CLASS::FileStandardInformation,
            )
        };
        if status < 0 {
            return Err(nt::status(status));
        }
        file.bytes = u64::try_from(nt::quad(&facts.EndOfFile)).unwrap_or(0);
        Ok(file)
    }

    /// Opens a file that the image at `path` needs: by each of its names in turn, in that image's folder unless the
    /// name begins at a drive.
    ///
    /// IRQL: PASSIVE_LEVEL; blocks.
    pub fn resolve(path: &[u16], reference: &Reference) -> Result<Self, Unresolved> {
        reference
            .names
            .iter()
            .filter_map(|name| beside(path, &name.text()?))
            .find_map(|path| BackingFile::open(&path).ok())
            .ok_or(Unresolved)
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &[u16] {
        &self.path
    }

    /// What the last read that failed said.
    pub fn failure(&self) -> Option<NtStatus> {
        match self.failure.load(Ordering::Relaxed) {
            0 => None,
            status => Some(NtStatus(status)),
        }
    }

    /// One read of the other file system; how many bytes it gave.
    fn read_once(&self, offset: u64, out: &mut [u8]) -> Result<usize, NtStatus> {
        let mut block = IO_STATUS_BLOCK::default();
        let mut at = large(i64::try_from(offset).map_err(|_| NtStatus::INVALID_PARAMETER)?);
        let length = u32::try_from(out.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        // SAFETY: the handle is ours and synchronous, so the buffer is not used after the call.
        let status = unsafe {
            ZwReadFile(
                self.handle,
                null_mut(),
                None,
                null_mut(),
                &mut block,
                out.as_mut_ptr().cast(),
                length,
                &mut at,
                null_mut(),
            )
        };
        if status < 0 {
            return Err(nt::status(status));
        }
        match usize::try_from(block.Information) {
            Ok(got) if got > 0 => Ok(got),
            _ => Err(NtStatus::END_OF_FILE),
        }
    }
}

impl ReadAt for BackingFile {
    fn read_at(&self, mut offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let length = rest.len().min(PIECE);
            let piece = rest.get_mut(..length).ok_or(ReadError)?;
            let got = self.read_once(offset, piece).map_err(|status| {
                self.failure.store(status.0, Ordering::Relaxed);
                ReadError
            })?;
            offset = offset.saturating_add(got as u64);
            rest = rest.get_mut(got..).ok_or(ReadError)?;
        }
        Ok(())
    }
}

impl disk_images::File for BackingFile {
    fn size_bytes(&self) -> u64 {
        self.bytes
    }

    fn is_same(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Drop for BackingFile {
    fn drop(&mut self) {
        // SAFETY: opened by open(), and closed once.
        let _ = unsafe { ZwClose(self.handle) };
    }
}
