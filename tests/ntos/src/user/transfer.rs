//! Reads, writes that are refused, and mapping.
//!
//! As NT's I/O manager does, this side checks the granted access and the sector rules of uncached handles,
//! and tries the file system's fast read first on a synchronous handle of a cached file.

use super::handle::Handle;
use super::request::{Outcome, Pending};
use crate::cc::section::Section;
use crate::cc::segment::{Role, choose};
use crate::fsrtl::fast;
use crate::io::request::{self, Method};
use crate::io::{file, irp, kernel};
use crate::mm::user::UserRegion;
use crate::nt::*;
use std::sync::PoisonError;

impl Handle {
    /// NtReadFile of `len` bytes at `offset`, or at the handle's position.
    pub fn read(&self, offset: Option<u64>, len: usize) -> Outcome {
        let buffer = UserRegion::new(len);
        let (status, information) = self.read_into(&buffer, offset, len);
        let mut bytes = buffer.read();
        bytes.truncate(if nt_success(status) { information } else { 0 });
        Outcome {
            status,
            information,
            bytes,
        }
    }

    /// NtReadFile into a buffer of the caller's.
    pub fn read_into(&self, buffer: &UserRegion, offset: Option<u64>, len: usize) -> (NTSTATUS, usize) {
        let turn = (self.flags() & FO_SYNCHRONOUS_IO != 0)
            .then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(outcome) = turn
            .is_some()
            .then(|| self.fast_read(buffer, offset, len))
            .flatten()
        {
            return outcome;
        }
        match self.start_read(buffer, offset, len) {
            Ok(pending) => {
                let outcome = pending.wait();
                (outcome.status, outcome.information)
            }
            Err(status) => (status, 0),
        }
    }

    /// NtReadFile on an asynchronous handle: not waited for.
    pub fn start_read(
        &self,
        buffer: &UserRegion,
        offset: Option<u64>,
        len: usize,
    ) -> Result<Pending, NTSTATUS> {
        if !self.may(FILE_READ_DATA) {
            return Err(STATUS_ACCESS_DENIED);
        }
        // SAFETY: the handle references the file object; the IRP is being built; the caller keeps the buffer.
        unsafe {
            let position = (*self.file_object()).CurrentByteOffset.QuadPart;
            // The position is not looked at: the file system has let it come there.
            let given = offset.unwrap_or(0);
            let offset = match offset {
                Some(offset) => i64::try_from(offset).map_err(|_| STATUS_INVALID_PARAMETER)?,
                None if self.flags() & FO_SYNCHRONOUS_IO != 0 => position,
                None => return Err(STATUS_INVALID_PARAMETER),
            };
            let device = file::related_device(self.file_object());
            let uncached = self.flags() & FO_NO_INTERMEDIATE_BUFFERING != 0;
            let sector = u64::from((*device).SectorSize);
            if uncached
                && sector != 0
                && !(given.is_multiple_of(sector) && (len as u64).is_multiple_of(sector))
            {
                return Err(STATUS_INVALID_PARAMETER);
            }
            self.submit((IRP_MJ_READ, 0), None, |packet, location, _| {
                (*packet).Flags |= IRP_READ_OPERATION | if uncached { IRP_NOCACHE } else { 0 };
                (*location).Parameters.Read.Length = len as u32;
                (*location).Parameters.Read.ByteOffset.QuadPart = offset;
                request::transfer(packet, Method::of_device(device), buffer.ptr(), len, true)
            })
        }
    }

    /// The file system's FastIoRead, when the file is cached; three times out of four, since filters often
    /// forbid it.
    fn fast_read(&self, buffer: &UserRegion, offset: Option<u64>, len: usize) -> Option<(NTSTATUS, usize)> {
        // SAFETY: the handle references the file object; the locals live until the call returns.
        unsafe {
            let file_object = self.file_object();
            let cached =
                !(*file_object).PrivateCacheMap.is_null() && self.flags() & FO_NO_INTERMEDIATE_BUFFERING == 0;
            if !cached || !self.may(FILE_READ_DATA) || choose(4) == 0 {
                return None;
            }
            let (device, table) = fast::table_of(file_object)?;
            let read = (*table).FastIoRead?;
            let position = (*file_object).CurrentByteOffset.QuadPart;
            let mut offset = LARGE_INTEGER {
                QuadPart: offset.map_or(position, |offset| offset as i64),
            };
            let mut block = irp::status_block(0, 0);
            let arguments = [
                file_object as usize,
                (&raw mut offset) as usize,
                len,
                1,
                0,
                buffer.ptr() as usize,
                (&raw mut block) as usize,
                device as usize,
            ];
            let done = kernel::call(read as *const (), arguments) as u8 != 0;
            let status = irp::status_of(&block);
            let answers = done && (nt_success(status) || status == STATUS_END_OF_FILE);
            answers.then_some((status, block.Information as usize))
        }
    }

    /// NtWriteFile, to see that it is refused.
    pub fn write(&self, offset: u64, data: &[u8]) -> NTSTATUS {
        if self.granted & (FILE_WRITE_DATA | FILE_APPEND_DATA) == 0 {
            return STATUS_ACCESS_DENIED;
        }
        let region = UserRegion::new(data.len());
        region.write(data);
        let outcome = self.request((IRP_MJ_WRITE, 0), None, |packet, location, _| {
            // SAFETY: the IRP is being built; the region lives until its end.
            unsafe {
                (*packet).Flags |= IRP_WRITE_OPERATION;
                (*location).Parameters.Write.Length = data.len() as u32;
                (*location).Parameters.Write.ByteOffset.QuadPart = offset as i64;
                let method = Method::of_device(file::related_device(self.file_object()));
                request::transfer(packet, method, region.ptr(), data.len(), false)
            }
        });
        outcome.status
    }

    /// NtCreateSection and a view of the whole file, to be read.
    pub fn map(&self, role: Role) -> Result<Section, NTSTATUS> {
        self.map_as(role, PAGE_READONLY)
    }

    /// NtCreateSection and a view of the whole file, with pages of that protection.
    pub fn map_as(&self, role: Role, protection: u32) -> Result<Section, NTSTATUS> {
        let granted = (!self.is_kernel()).then_some(self.granted);
        // SAFETY: the handle references the file object.
        unsafe { Section::create(self.file_object(), role, protection, granted) }
    }
}
