//! The major functions that would change a volume: each is refused by the core, by name.

use crate::irp::Irp;
use crate::nt::NTSTATUS;
use lklfs_fsd::{ea, secur, volinfo, write as fsd_write};
use lklfs_nt::FsInformationClass;

/// `IRP_MJ_WRITE`.
pub fn write(irp: Irp) -> NTSTATUS {
    irp.complete(fsd_write::write())
}

/// `IRP_MJ_SET_EA`.
pub fn set_ea(irp: Irp) -> NTSTATUS {
    irp.complete(ea::set())
}

/// `IRP_MJ_SET_SECURITY`.
pub fn set_security(irp: Irp) -> NTSTATUS {
    irp.complete(secur::set())
}

/// `IRP_MJ_SET_VOLUME_INFORMATION`.
pub fn set_volume_information(irp: Irp) -> NTSTATUS {
    let (_, class) = irp.query_volume();
    irp.complete(volinfo::set(FsInformationClass(class)))
}
