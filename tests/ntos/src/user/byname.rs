//! Queries by name: NtQueryAttributesFile and NtQueryFullAttributesFile, which open a file, ask, and close it in one.
//!
//! The I/O manager's file object lies on its own stack then. The file system is asked by fast I/O, and by an IRP if that
//! does not answer.

use super::machine::Machine;
use crate::fsrtl::fast;
use crate::io::file::{self, Waiter};
use crate::io::ledger::Owner;
use crate::io::names::wide;
use crate::io::open::{self, Open};
use crate::io::{cancel, irp, kernel, request};
use crate::nt::*;

impl Machine {
    /// NtQueryFullAttributesFile: a FILE_NETWORK_OPEN_INFORMATION.
    pub fn query_full_attributes(&self, path: &str) -> Result<Vec<u8>, NTSTATUS> {
        query(path, _FILE_INFORMATION_CLASS_FileNetworkOpenInformation, 56)
    }

    /// NtQueryAttributesFile: a FILE_BASIC_INFORMATION.
    pub fn query_attributes(&self, path: &str) -> Result<Vec<u8>, NTSTATUS> {
        query(path, _FILE_INFORMATION_CLASS_FileBasicInformation, 40)
    }
}

fn query(path: &str, class: FILE_INFORMATION_CLASS, len: usize) -> Result<Vec<u8>, NTSTATUS> {
    let opened = open::open_to_query(&Open {
        path: wide(path),
        root: None,
        access: FILE_READ_ATTRIBUTES,
        share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        disposition: FILE_OPEN,
        options: FILE_OPEN_REPARSE_POINT,
        attributes: 0,
        ignore_case: true,
        mode: 1,
        ea: Vec::new(),
        flags: 0,
    })?;
    let file_object = opened.file_object;
    // SAFETY: the file object is ours, and closed once, with no request under way.
    unsafe {
        let answer = ask(file_object, class, len);
        file::close_on_stack(file_object, true);
        answer
    }
}

/// # Safety
/// The file object is open.
unsafe fn ask(
    file_object: PFILE_OBJECT,
    class: FILE_INFORMATION_CLASS,
    len: usize,
) -> Result<Vec<u8>, NTSTATUS> {
    let mut bytes = vec![0u8; len];
    // SAFETY: by contract; the locals live until the request has ended.
    unsafe {
        if let Some((device, table)) = fast::table_of(file_object) {
            let routine = if class == _FILE_INFORMATION_CLASS_FileBasicInformation {
                (*table).FastIoQueryBasicInfo.map(|routine| routine as *const ())
            } else {
                (*table)
                    .FastIoQueryNetworkOpenInfo
                    .map(|routine| routine as *const ())
            };
            let mut block = irp::status_block(0, 0);
            if let Some(routine) = routine {
                let arguments = [
                    file_object as usize,
                    1,
                    bytes.as_mut_ptr() as usize,
                    (&raw mut block) as usize,
                    device as usize,
                ];
                if kernel::call(routine, arguments) as u8 != 0 {
                    let status = irp::status_of(&block);
                    return if nt_success(status) {
                        Ok(bytes)
                    } else {
                        Err(status)
                    };
                }
            }
        }
        let waiter = Waiter::new();
        let device = file::related_device(file_object);
        let packet = request::start(device, Owner::Manager, 0);
        if packet.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        (*packet).Flags = IRP_BUFFERED_IO | IRP_SYNCHRONOUS_API;
        (*packet).UserIosb = waiter.block();
        (*packet).UserEvent = waiter.event();
        (*packet).AssociatedIrp.SystemBuffer = bytes.as_mut_ptr().cast();
        (*packet).Tail.Overlay.OriginalFileObject = file_object;
        let location = irp::next(packet);
        (*location).MajorFunction = IRP_MJ_QUERY_INFORMATION as u8;
        (*location).FileObject = file_object;
        (*location).Parameters.QueryFile.Length = len as u32;
        (*location).Parameters.QueryFile.FileInformationClass = class;
        cancel::list(packet, file_object);
        let (status, _) = waiter.send(device, packet);
        if nt_success(status) {
            Ok(bytes)
        } else {
            Err(status)
        }
    }
}
