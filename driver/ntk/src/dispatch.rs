//! The door: one callback for all major functions, which enters the file system and routes the IRP to its file.
//!
//! "Entering" is what every Windows file system does: normal kernel APCs are off (nobody can suspend a thread that
//! holds our locks), and the IRP is noted as the top-level one unless the memory or cache manager already is.
//
// UNSAFETY: the callback itself, and the thread's top-level IRP.

use crate::buffer;
use crate::control::device;
use crate::image::disk;
use crate::irp::Irp;
use crate::major::cleanup;
use crate::major::close;
use crate::major::create;
use crate::major::devctrl;
use crate::major::dirctrl;
use crate::major::ea;
use crate::major::fileinfo;
use crate::major::fsctrl;
use crate::major::fsctrl::METHOD_NEITHER;
use crate::major::lockctrl;
use crate::major::pnp;
use crate::major::read;
use crate::major::refuse;
use crate::major::secur;
use crate::major::volinfo;
use crate::object::extension::{Kind, kind_of};
use crate::object::mount;
use crate::object::open::Open;
use crate::object::verify;
use crate::workque::request::{self, Blocking, Kept};
use alloc::sync::Arc;
use core::ptr::{NonNull, null_mut};
use lklfs_control::Interface;
use lklfs_fsd::secur::Operation;
use lklfs_fsd::{FcbKind, Outcome, Requestor};
use lklfs_kernel::nt::{
    IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_DIRECTORY_CONTROL,
    IRP_MJ_FILE_SYSTEM_CONTROL, IRP_MJ_FLUSH_BUFFERS, IRP_MJ_LOCK_CONTROL, IRP_MJ_PNP, IRP_MJ_QUERY_EA,
    IRP_MJ_QUERY_INFORMATION, IRP_MJ_QUERY_SECURITY, IRP_MJ_QUERY_VOLUME_INFORMATION, IRP_MJ_READ,
    IRP_MJ_SET_EA, IRP_MJ_SET_INFORMATION, IRP_MJ_SET_SECURITY, IRP_MJ_SET_VOLUME_INFORMATION,
    IRP_MJ_SHUTDOWN, IRP_MJ_WRITE, IRP_MN_MOUNT_VOLUME, IRP_MN_NOTIFY_CHANGE_DIRECTORY,
    IRP_MN_QUERY_DIRECTORY, IoGetTopLevelIrp, IoSetTopLevelIrp, KeEnterCriticalRegion, KeLeaveCriticalRegion,
    NTSTATUS, PASSIVE, PDEVICE_OBJECT, PIRP, SACL_SECURITY_INFORMATION, raw_status,
};
use lklfs_kernel::routines;
use lklfs_nt::NtStatus;

/// The MajorFunction of every major.
///
/// # Safety
/// Called by the kernel with an IRP for a device of this driver.
pub unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let Some(irp) = NonNull::new(irp) else {
        return raw_status(NtStatus::INVALID_PARAMETER);
    };
    // SAFETY: the kernel passes the IRP to this driver.
    let irp = unsafe { Irp::adopt(irp) };
    // SAFETY: the IRP was sent to a device of this driver and keeps it alive.
    match unsafe { kind_of(irp.device()) } {
        // No file system's business: no lock is held and no cache or section is below it.
        Kind::Control => return device::control(irp, Interface::Control),
        Kind::Status => return device::control(irp, Interface::Status),
        Kind::ImageDisk => return disk::dispatch(irp),
        _ => {}
    }
    inside_file_system(irp)
}

/// Routes the IRP with kernel APCs off and the IRP as the thread's top-level one, if there was none. A thread that is not
/// inside a file system yet, and waits for no page, does not wait for a disk either: a worker does.
fn inside_file_system(irp: Irp) -> NTSTATUS {
    // SAFETY: balanced below.
    unsafe { KeEnterCriticalRegion() };
    // SAFETY: may be called by any thread.
    let is_top = unsafe { IoGetTopLevelIrp() }.is_null();
    if is_top {
        // SAFETY: only noted; taken away again below, before anybody could mistake it.
        unsafe { IoSetTopLevelIrp(irp.as_ptr()) };
    }
    let blocking = if is_top && routines::irql() == PASSIVE && !irp.is_paging() {
        Blocking::Posted
    } else {
        Blocking::Here
    };
    let status = route(irp, blocking);
    if is_top {
        // SAFETY: as above.
        unsafe { IoSetTopLevelIrp(null_mut()) };
    }
    // SAFETY: entered above.
    unsafe { KeLeaveCriticalRegion() };
    status
}

/// Sends the IRP to the file of its major function.
fn route(irp: Irp, blocking: Blocking) -> NTSTATUS {
    let major = u32::from(irp.major());
    // SAFETY: the IRP was sent to a device of this driver and keeps it alive.
    match unsafe { kind_of(irp.device()) } {
        Kind::Control => device::control(irp, Interface::Control),
        Kind::Status => device::control(irp, Interface::Status),
        Kind::FileSystem => match major {
            IRP_MJ_CREATE | IRP_MJ_CLEANUP | IRP_MJ_CLOSE => irp.complete(Outcome::success(0)),
            IRP_MJ_FILE_SYSTEM_CONTROL if u32::from(irp.minor()) == IRP_MN_MOUNT_VOLUME => mount::mount(irp),
            IRP_MJ_SHUTDOWN => irp.complete(Outcome::success(0)),
            _ => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
        },
        Kind::ImageDisk => disk::dispatch(irp),
        Kind::Volume => on_volume(irp, major, blocking),
        Kind::Unready => irp.fail(NtStatus::DEVICE_NOT_READY),
    }
}

fn on_volume(irp: Irp, major: u32, blocking: Blocking) -> NTSTATUS {
    match major {
        IRP_MJ_CREATE => return create::create(irp, blocking),
        IRP_MJ_CLOSE => return close::close(irp, blocking),
        IRP_MJ_PNP => return pnp::pnp(irp),
        IRP_MJ_SHUTDOWN => return irp.complete(Outcome::success(0)),
        IRP_MJ_FILE_SYSTEM_CONTROL if irp.file_object().is_null() => return verify::volume_control(irp),
        _ => {}
    }
    // SAFETY: the IRP keeps its file object, which was opened on this device and is not closed before the IRP ends.
    let Some(open) = (unsafe { Open::of(irp.file_object()) }) else {
        return irp.fail(NtStatus::INVALID_DEVICE_REQUEST);
    };
    match major {
        IRP_MJ_CLEANUP => return cleanup::cleanup(irp, open),
        IRP_MJ_FILE_SYSTEM_CONTROL => return fsctrl::control(irp, open, blocking),
        _ => {}
    }
    // The handles of a dismounted volume still stand for it, and the one that dismounted it reads its sectors; its files
    // are gone.
    if let Some(refusal) = open.volume.refusal() {
        let refusal = match (open.fcb.fcb.kind(), major) {
            (FcbKind::Volume, IRP_MJ_READ) => {
                let handle = irp.file_object().addr() as u64;
                open.volume.state.lock().refusal_of_sectors(handle)
            }
            (FcbKind::Volume, _) => None,
            _ => Some(refusal),
        };
        if let Some(status) = refusal {
            return irp.fail(status);
        }
    }
    if !permits(&irp, open, major) {
        return irp.fail(NtStatus::ACCESS_DENIED);
    }
    match major {
        IRP_MJ_READ => read::read(irp, open, blocking),
        IRP_MJ_DIRECTORY_CONTROL if u32::from(irp.minor()) == IRP_MN_QUERY_DIRECTORY => {
            dirctrl::query(irp, open, blocking)
        }
        IRP_MJ_QUERY_EA => ea::query(irp, open, blocking),
        // Its pointers mean something in the thread that sent it only.
        IRP_MJ_DEVICE_CONTROL if irp.control().code & 3 == METHOD_NEITHER => {
            devctrl::device_control(irp, open)
        }
        _ if open.volume.wants_verification() => once_verified(irp, open, major, blocking),
        _ => on_file(irp, open, major, blocking),
    }
}

/// Whether the open was granted what a program's request needs. Paging reads and the kernel's own requests are not a
/// program's, whatever its handle may do: a file that was opened to be run is read, too.
fn permits(irp: &Irp, open: &Open, major: u32) -> bool {
    let asked = match major {
        _ if irp.context().requestor == Requestor::Kernel || irp.is_paging() => return true,
        IRP_MJ_READ => Operation::Read,
        IRP_MJ_DIRECTORY_CONTROL => Operation::List,
        IRP_MJ_QUERY_EA => Operation::ReadEa,
        IRP_MJ_QUERY_SECURITY if irp.query_security().0 == SACL_SECURITY_INFORMATION => Operation::ReadAudit,
        IRP_MJ_QUERY_SECURITY => Operation::ReadSecurity,
        _ => return true,
    };
    lklfs_fsd::secur::permits(&open.ccb, asked)
}

/// Has the volume verified, which may block, before an IRP that does not.
fn once_verified(mut irp: Irp, open: &Open, major: u32, blocking: Blocking) -> NTSTATUS {
    // The worker thread sees another address space, so the buffer is locked here.
    if major == IRP_MJ_QUERY_SECURITY {
        let (_, length) = irp.query_security();
        if let Err(status) = buffer::lock(&mut irp, length) {
            return irp.fail(status);
        }
    }
    let kept = Kept::open_of(&irp);
    request::run(
        irp,
        Arc::clone(&open.volume),
        kept,
        blocking,
        move |request, _| {
            let verified = request.open().map_or(Ok(()), |open| verify::ensure(&open.volume));
            if let Err(status) = verified {
                return request.fail(status);
            }
            request.take(|irp| {
                // SAFETY: as in on_volume().
                match unsafe { Open::of(irp.file_object()) } {
                    Some(open) => on_file(irp, open, major, Blocking::Here),
                    None => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
                }
            })
        },
    )
}

/// What is answered from what is known, or says itself that it may block.
fn on_file(irp: Irp, open: &Open, major: u32, blocking: Blocking) -> NTSTATUS {
    match major {
        IRP_MJ_DIRECTORY_CONTROL if u32::from(irp.minor()) == IRP_MN_NOTIFY_CHANGE_DIRECTORY => {
            dirctrl::notify(irp, open)
        }
        IRP_MJ_QUERY_INFORMATION => fileinfo::query(irp, open, blocking),
        IRP_MJ_SET_INFORMATION => fileinfo::set(irp, open),
        IRP_MJ_QUERY_VOLUME_INFORMATION => volinfo::query(irp, open, blocking),
        IRP_MJ_DEVICE_CONTROL => devctrl::device_control(irp, open),
        IRP_MJ_LOCK_CONTROL => lockctrl::lock_control(irp, open),
        IRP_MJ_QUERY_SECURITY => secur::query(irp, open),
        IRP_MJ_FLUSH_BUFFERS => irp.complete(lklfs_fsd::flush::flush()),
        IRP_MJ_WRITE => refuse::write(irp),
        IRP_MJ_SET_EA => refuse::set_ea(irp),
        IRP_MJ_SET_SECURITY => refuse::set_security(irp),
        IRP_MJ_SET_VOLUME_INFORMATION => refuse::set_volume_information(irp),
        _ => irp.fail(NtStatus::INVALID_DEVICE_REQUEST),
    }
}
