//! The major functions that would change a volume: each is refused by the core, by name.

use crate::irp::Irp;
use core::sync::atomic::{AtomicU64, Ordering};
use lklfs_fsd::{ea, secur, volinfo, write as fsd_write};
use lklfs_kernel::nt::NTSTATUS;
use lklfs_nt::FsInformationClass;

static WRITES: AtomicU64 = AtomicU64::new(0);

/// How many writes were refused since the driver was loaded.
pub fn writes() -> u64 {
    WRITES.load(Ordering::Relaxed)
}

/// `IRP_MJ_WRITE`.
pub fn write(irp: Irp) -> NTSTATUS {
    WRITES.fetch_add(1, Ordering::Relaxed);
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
