//! Opening: from a path to a file object, as the object manager's parse routine for devices does it.
//!
//! The path leads to a device; a device with a VPB is mounted first unless the open wants nothing but the
//! device itself; then IRP_MJ_CREATE goes to the top of the volume's stack with the rest of the path as
//! `FileObject->FileName`. An open relative to another file object goes to that one's device with the bare
//! name. STATUS_REPARSE starts again with the new name: that of the link's target, or what the file system
//! put into the file object.

use super::file::Waiter;
use super::names::{self, Node};
use super::reparse::{self, join};
use super::{device, file, irp, request};
use crate::nt::*;
use crate::verifier::fail;
use crate::{ob, se};
use std::ptr;

/// An open as `NtCreateFile` asks for it.
#[derive(Clone, Debug)]
pub struct Open {
    /// The object's name: a full path, or relative to `root`.
    pub path: Vec<u16>,
    /// The file object that `path` is relative to, with its own full path.
    pub root: Option<(PFILE_OBJECT, Vec<u16>)>,
    /// Desired access.
    pub access: u32,
    /// FILE_SHARE_*.
    pub share: u32,
    /// FILE_OPEN, FILE_CREATE, ...
    pub disposition: u32,
    /// FILE_DIRECTORY_FILE, ...
    pub options: u32,
    /// FILE_ATTRIBUTE_* of a new file.
    pub attributes: u32,
    /// OBJ_CASE_INSENSITIVE.
    pub ignore_case: bool,
    /// KernelMode 0 or UserMode 1.
    pub mode: u8,
    /// Extended attributes, a FILE_FULL_EA_INFORMATION list.
    pub ea: Vec<u8>,
    /// SL_* flags besides those that follow from the above.
    pub flags: u8,
}

/// An open file.
pub struct Opened {
    /// Referenced once for the caller.
    pub file_object: PFILE_OBJECT,
    /// FILE_OPENED, FILE_CREATED, ...
    pub information: usize,
    /// What the caller may do.
    pub granted: u32,
    /// The full path, links resolved.
    pub path: Vec<u16>,
}

/// How many reparses one open may take.
const MAX_REPARSES: usize = 63;

/// Access that a device can be opened with without being mounted.
const DIRECT_ACCESS: u32 =
    SYNCHRONIZE | FILE_READ_ATTRIBUTES | READ_CONTROL | ACCESS_SYSTEM_SECURITY | WRITE_OWNER | WRITE_DAC;

/// Opens, following reparse points that the file system does not resolve itself.
pub fn open(request: &Open) -> Result<Opened, NTSTATUS> {
    open_as(request, false)
}

/// The same for a query of attributes by name, with a file object that the object manager does not know
/// ([`file::on_stack`]).
pub fn open_to_query(request: &Open) -> Result<Opened, NTSTATUS> {
    open_as(request, true)
}

fn open_as(request: &Open, on_stack: bool) -> Result<Opened, NTSTATUS> {
    let mut request = request.clone();
    for _ in 0..MAX_REPARSES {
        match attempt(&request, on_stack)? {
            Attempt::Opened(opened) => return Ok(opened),
            Attempt::Again(path) => {
                request.path = path;
                request.root = None;
            }
        }
    }
    Err(STATUS_REPARSE_POINT_NOT_RESOLVED)
}

enum Attempt {
    Opened(Opened),
    Again(Vec<u16>),
}

/// The path of `request` from the root of the name space.
fn full_path(request: &Open) -> Vec<u16> {
    match &request.root {
        None => request.path.clone(),
        Some((_, root)) if request.path.is_empty() => root.clone(),
        Some((_, root)) => join(root, &request.path),
    }
}

fn attempt(request: &Open, on_stack: bool) -> Result<Attempt, NTSTATUS> {
    // SAFETY: devices and file objects are live while they are named or referenced; the IRP is built and sent
    // here.
    unsafe {
        let (real, name, related) = match &request.root {
            Some((root, _)) => ((**root).DeviceObject, request.path.clone(), *root),
            None => match names::resolve(&request.path)? {
                (Node::Device(device), rest) => (device as PDEVICE_OBJECT, rest, ptr::null_mut()),
                _ => return Err(STATUS_OBJECT_TYPE_MISMATCH),
            },
        };
        if device::is_going(real) {
            return Err(STATUS_NO_SUCH_DEVICE);
        }
        if name.len() > 32767 {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        let related_direct = !related.is_null() && (*related).Flags & FO_DIRECT_DEVICE_OPEN != 0;
        let direct = related_direct
            || (related.is_null()
                && name.is_empty()
                && request.access & !DIRECT_ACCESS == 0
                && request.access != 0);
        let vpb = if (*real).Vpb.is_null() || direct {
            ptr::null_mut()
        } else if !related.is_null() && !(*related).Vpb.is_null() {
            device::reference_vpb((*related).Vpb);
            (*related).Vpb
        } else {
            super::mount::mounted(real, name.is_empty() && related.is_null())?
        };
        if !vpb.is_null() && (*vpb).DeviceObject.is_null() {
            fail!(
                Device,
                "VPB {vpb:p} lost its DeviceObject while an open was counted in it"
            );
        }
        let target = device::top(if vpb.is_null() { real } else { (*vpb).DeviceObject });
        let mut access = match check_device(request, real, target, &name, related) {
            Ok(access) => access,
            Err(status) => {
                release_vpb(vpb);
                return Err(status);
            }
        };
        let flags = flags_of(request, direct, vpb, &name);
        let file_object = if on_stack {
            file::on_stack(real, &name, flags)
        } else {
            file::create(real, &name, flags)
        };
        if file_object.is_null() {
            release_vpb(vpb);
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        (*file_object).RelatedFileObject = related;
        let sent = create(request, &mut access, target, file_object);
        (*file_object).RelatedFileObject = ptr::null_mut();
        let (status, information, granted, link) = match sent {
            Ok(sent) => sent,
            Err(status) => (status, 0, 0, None),
        };
        if nt_success(status) && status != STATUS_REPARSE {
            if !vpb.is_null() && (*file_object).Vpb.is_null() {
                (*file_object).Vpb = vpb;
            }
            (*file_object).Flags |= FO_HANDLE_CREATED;
            return Ok(Attempt::Opened(Opened {
                file_object,
                information,
                granted,
                path: full_path(request),
            }));
        }
        let renamed = names::characters(&raw const (*file_object).FileName);
        if on_stack {
            file::close_on_stack(file_object, false);
        } else {
            abandon(file_object, real);
        }
        release_vpb(vpb);
        match (status, link) {
            (STATUS_REPARSE, Some(data)) => Ok(Attempt::Again(reparse::follow(
                &full_path(request),
                information,
                &data,
            )?)),
            (STATUS_REPARSE, None) if information == IO_REPARSE as usize => Ok(Attempt::Again(renamed)),
            // The device's VPB is another one now.
            (STATUS_REPARSE, None) if information == IO_REMOUNT as usize && request.root.is_none() => {
                Ok(Attempt::Again(request.path.clone()))
            }
            (STATUS_REPARSE, None) => Err(STATUS_IO_REPARSE_DATA_INVALID),
            _ => Err(status),
        }
    }
}

/// The access state of an open from user mode, once the device's own descriptor has been asked: an open of the device itself
/// needs from it all that is wanted; so does any name below one whose topmost device has FILE_DEVICE_SECURE_OPEN, where all
/// names are the device's. Other names are checked by who serves them.
///
/// # Safety
/// The devices are live; `related` is null or live.
unsafe fn check_device(
    request: &Open,
    real: PDEVICE_OBJECT,
    target: PDEVICE_OBJECT,
    name: &[u16],
    related: PFILE_OBJECT,
) -> Result<Box<se::AccessState>, NTSTATUS> {
    let mut access = Box::new(se::AccessState::new(request.access));
    if request.mode == 0 {
        return Ok(access);
    }
    if request.options & FILE_OPEN_FOR_BACKUP_INTENT != 0 {
        access.grant_backup_intent();
    }
    // SAFETY: by contract.
    let secure = unsafe { (*target).Characteristics } & FILE_DEVICE_SECURE_OPEN != 0;
    let allowed = if secure || (name.is_empty() && related.is_null()) {
        access.check_device(real)
    } else {
        !related.is_null() || access.check_traverse(real)
    };
    allowed.then_some(access).ok_or(STATUS_ACCESS_DENIED)
}

fn flags_of(request: &Open, direct: bool, vpb: PVPB, name: &[u16]) -> u32 {
    let options = request.options;
    let mut flags = 0;
    let mut set = |condition: bool, flag: u32| flags |= if condition { flag } else { 0 };
    set(
        options & (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT) != 0,
        FO_SYNCHRONOUS_IO,
    );
    set(options & FILE_SYNCHRONOUS_IO_ALERT != 0, FO_ALERTABLE_IO);
    set(
        options & FILE_NO_INTERMEDIATE_BUFFERING != 0,
        FO_NO_INTERMEDIATE_BUFFERING,
    );
    set(options & FILE_WRITE_THROUGH != 0, FO_WRITE_THROUGH);
    set(options & FILE_SEQUENTIAL_ONLY != 0, FO_SEQUENTIAL_ONLY);
    set(options & FILE_RANDOM_ACCESS != 0, FO_RANDOM_ACCESS);
    set(!request.ignore_case, FO_OPENED_CASE_SENSITIVE);
    set(direct, FO_DIRECT_DEVICE_OPEN);
    set(
        !direct && !vpb.is_null() && name.is_empty() && request.root.is_none(),
        FO_VOLUME_OPEN,
    );
    flags
}

/// # Safety
/// `vpb` is null or was referenced for this open.
unsafe fn release_vpb(vpb: PVPB) {
    if !vpb.is_null() {
        // SAFETY: by contract.
        unsafe { device::dereference_vpb(vpb) };
    }
}

/// Throws away a file object that was not opened: no close is sent for it.
///
/// # Safety
/// The create failed and the caller's reference is the only one.
unsafe fn abandon(file_object: PFILE_OBJECT, real: PDEVICE_OBJECT) {
    // SAFETY: by contract.
    unsafe {
        if ob::references(file_object.cast()) != 1 {
            fail!(
                Device,
                "a failed IRP_MJ_CREATE left a reference to file object {file_object:p}"
            );
        }
        (*file_object).DeviceObject = ptr::null_mut();
        (*file_object).Vpb = ptr::null_mut();
        device::closed(real);
        file::dereference(file_object);
    }
}

/// Status, information, granted access, reparse data.
type Sent = (NTSTATUS, usize, u32, Option<Vec<u8>>);

/// Sends IRP_MJ_CREATE.
///
/// # Safety
/// `target` and `file_object` are live.
unsafe fn create(
    request: &Open,
    access: &mut se::AccessState,
    target: PDEVICE_OBJECT,
    file_object: PFILE_OBJECT,
) -> Result<Sent, NTSTATUS> {
    // SAFETY: by contract; the access state and security context live until the create has ended.
    unsafe {
        let waiter = Waiter::new();
        let packet = request::start(target, super::ledger::Owner::Manager, request.mode);
        if packet.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let mut context: Box<IO_SECURITY_CONTEXT> = Box::new(std::mem::zeroed());
        context.AccessState = access.raw();
        context.DesiredAccess = access.desired();
        context.FullCreateOptions = request.options;
        (*packet).Flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API;
        (*packet).UserIosb = waiter.block();
        (*packet).UserEvent = waiter.event();
        let location = irp::next(packet);
        (*location).MajorFunction = IRP_MJ_CREATE as u8;
        (*location).Flags = request.flags;
        if !request.ignore_case {
            (*location).Flags |= SL_CASE_SENSITIVE as u8;
        }
        (*location).FileObject = file_object;
        let parameters = &raw mut (*location).Parameters.Create;
        (*parameters).SecurityContext = &raw mut *context;
        (*parameters).Options = (request.options & 0x00ff_ffff) | (request.disposition << 24);
        (*parameters).FileAttributes = request.attributes as u16;
        (*parameters).ShareAccess = request.share as u16;
        (*parameters).EaLength = request.ea.len() as u32;
        if !request.ea.is_empty() {
            let input = request.ea.as_ptr();
            if !request::system_buffer(packet, request.ea.len(), input, request.ea.len()) {
                request::discard(packet);
                return Err(STATUS_INSUFFICIENT_RESOURCES);
            }
        }
        reparse::expect(packet);
        (*packet).Tail.Overlay.OriginalFileObject = file_object;
        super::cancel::list(packet, file_object);
        let (status, information) = waiter.send(target, packet);
        let link = reparse::take(packet);
        Ok((status, information, access.handle_access(), link))
    }
}

/// `IoGetDeviceObjectPointer`.
pub unsafe extern "win64" fn IoGetDeviceObjectPointer(
    name: PUNICODE_STRING,
    access: ACCESS_MASK,
    file_object: *mut PFILE_OBJECT,
    device: *mut PDEVICE_OBJECT,
) -> NTSTATUS {
    // SAFETY: the driver gives a valid name and places for the results.
    unsafe {
        let request = Open {
            path: names::characters(name),
            root: None,
            access,
            share: 0,
            disposition: FILE_OPEN,
            options: FILE_NON_DIRECTORY_FILE,
            attributes: 0,
            ignore_case: true,
            mode: 0,
            ea: Vec::new(),
            flags: 0,
        };
        match open(&request) {
            Ok(opened) => {
                *file_object = opened.file_object;
                *device = file::related_device(opened.file_object);
                // The handle that the open made is closed at once; the reference stays with the caller.
                file::cleanup(opened.file_object);
                crate::verifier::ledger::add(
                    crate::verifier::ledger::Kind::Reference,
                    opened.file_object as usize,
                    "IoGetDeviceObjectPointer",
                );
                STATUS_SUCCESS
            }
            Err(status) => status,
        }
    }
}

crate::table! {
    /// Opening by name.
    pub static IMPORTS = {
        IoGetDeviceObjectPointer <= PASSIVE;
    }
}
