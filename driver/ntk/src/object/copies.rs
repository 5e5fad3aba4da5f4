//! Volumes that have the UUID of another one that is mounted: copies of it, or other disks of the same file system.

use crate::log;
use crate::object::signature::Found;
use crate::state::Driver;
use lkl::probe;

fn uuid_of(found: Option<&Found>) -> Option<&probe::Uuid> {
    found.and_then(|(superblock, _)| superblock.uuid.as_ref())
}

/// The numbers of the volumes that are mounted and have the UUID of this one.
fn with_same_uuid(driver: &Driver, found: Option<&Found>, mut tell: impl FnMut(u64, &probe::Uuid)) {
    let Some(uuid) = uuid_of(found) else { return };
    let mounted = driver.volumes.all().unwrap_or_default();
    for other in mounted {
        if other.refusal().is_none() && uuid_of(other.found.as_ref()) == Some(uuid) {
            tell(other.id, uuid);
        }
    }
}

/// Says so when the volume has the UUID of one that is mounted: the user may wonder which is which.
pub fn tell_of_copies(driver: &Driver, found: Option<&Found>) {
    with_same_uuid(driver, found, |other, uuid| {
        log::line(format_args!(
            "a copy of volume {other} is mounted beside it (the same UUID, {uuid}); both are shown"
        ));
    });
}

/// Whether a volume is mounted that may be another disk of the same file system. Linux mounts a btrfs once, whichever of its disks
/// is asked for; of the others each copy is a volume.
pub fn has_holder(driver: &Driver, found: Option<&Found>) -> bool {
    let mut is_held = false;
    if found.is_some_and(|(superblock, _)| superblock.kind == probe::Kind::Btrfs) {
        with_same_uuid(driver, found, |_, _| is_held = true);
    }
    is_held
}

/// Says which volume a disk belongs to that Linux does not mount beside it.
pub fn tell_of_holder(driver: &Driver, found: Option<&Found>) {
    with_same_uuid(driver, found, |other, uuid| {
        log::line(format_args!(
            "a disk is not mounted, since volume {other} is another disk of the same file system (the same UUID, {uuid})"
        ));
    });
}
