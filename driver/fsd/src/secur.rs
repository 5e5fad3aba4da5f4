//! `IRP_MJ_QUERY_SECURITY` and `IRP_MJ_SET_SECURITY`: who may do what, told as an NT descriptor.
//!
//! Owner and group are `S-1-22-1-uid` and `S-1-22-2-gid`, or who the volume's map says ([`crate::OwnerMap`]). The list is made from the mode: rights of the owner, the group
//! and everyone, with denials where an earlier class has less than a later one, since Linux stops at the first class that
//! fits and NT adds them up. Everyone may always read attributes and the descriptor, as `stat` allows; SYSTEM and
//! administrators may read everything, as root may.
//!
//! With the volume option `everyone_reads` the list grants reading to everyone, whatever the mode: a removable disk of
//! the user's own has owners that mean nothing on this machine. POSIX ACLs are not looked at yet.

use alloc::vec::Vec;

use lklfs_nt::{
    AccessMask, NtStatus,
    security::{self, Ace, AceKind, Sid, information},
};

use crate::{Fcb, Metadata, Outcome, Vcb, Volume};

/// What `stat` allows to everyone.
const STAT: AccessMask = AccessMask(
    AccessMask::FILE_READ_ATTRIBUTES.0
        | AccessMask::FILE_READ_EA.0
        | AccessMask::READ_CONTROL.0
        | AccessMask::SYNCHRONIZE.0,
);
/// All that can be granted on a read-only volume.
const READING: AccessMask = AccessMask(AccessMask::FILE_GENERIC_READ.0 | AccessMask::FILE_GENERIC_EXECUTE.0);

/// Rights of one class of the mode: `bits` is 0 to 7.
fn class_rights(bits: u32) -> AccessMask {
    let mut rights = AccessMask::empty();
    if bits & 4 != 0 {
        rights |= AccessMask::FILE_READ_DATA;
    }
    if bits & 1 != 0 {
        rights |= AccessMask::FILE_EXECUTE;
    }
    rights
}

/// Owner and group.
fn owners<V: Volume>(vcb: &Vcb<V>, metadata: &Metadata) -> (Sid, Sid) {
    let owners = &vcb.options().owners;
    (owners.user(metadata.uid), owners.group(metadata.gid))
}

/// The discretionary list.
fn dacl<V: Volume>(vcb: &Vcb<V>, metadata: &Metadata) -> Result<Vec<Ace>, NtStatus> {
    let allow = |sid, mask| Ace {
        kind: AceKind::Allow,
        mask,
        sid,
    };
    let deny = |sid, mask| Ace {
        kind: AceKind::Deny,
        mask,
        sid,
    };
    let mut list = Vec::new();
    list.try_reserve_exact(8)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    list.push(allow(Sid::LOCAL_SYSTEM, READING));
    list.push(allow(Sid::ADMINISTRATORS, READING));
    if vcb.options().everyone_reads {
        list.push(allow(Sid::EVERYONE, READING));
        return Ok(list);
    }
    let (owner, group) = owners(vcb, metadata);
    let of_owner = class_rights(metadata.permissions >> 6);
    let of_group = class_rights(metadata.permissions >> 3);
    let of_other = class_rights(metadata.permissions);
    let withheld = (of_group | of_other).without(of_owner);
    if !withheld.is_empty() {
        list.push(deny(owner, withheld));
    }
    list.push(allow(owner, of_owner | STAT));
    let withheld = of_other.without(of_group);
    if !withheld.is_empty() {
        list.push(deny(group, withheld));
    }
    list.push(allow(group, of_group | STAT));
    list.push(allow(Sid::EVERYONE, of_other | STAT));
    Ok(list)
}

fn build<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, parts: u32) -> Result<Vec<u8>, NtStatus> {
    let metadata = fcb.metadata();
    let (owner, group) = owners(vcb, metadata);
    security::descriptor(owner, group, &dacl(vcb, metadata)?, parts)
}

/// The self-relative descriptor of a file: owner, group and list. The same one is checked by CREATE
/// (`SeAccessCheck`) and shown by [`query`].
///
/// # IRQL
///
/// <= APC_LEVEL; allocates, does not block.
pub fn descriptor<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>) -> Result<Vec<u8>, NtStatus> {
    build(
        vcb,
        fcb,
        information::OWNER | information::GROUP | information::DACL,
    )
}

/// Answers a QUERY_SECURITY: the parts that `parts` (`SECURITY_INFORMATION`) asks for, into `out`.
///
/// Information is the length that the answer needs; the status is BUFFER_OVERFLOW when it is longer than `out`, which
/// then stays untouched.
///
/// # IRQL
///
/// <= APC_LEVEL; allocates, does not block.
pub fn query<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, parts: u32, out: &mut [u8]) -> Outcome {
    let whole = match build(vcb, fcb, parts) {
        Ok(whole) => whole,
        Err(status) => return Outcome::failed(status),
    };
    match out.get_mut(..whole.len()) {
        Some(place) => {
            place.copy_from_slice(&whole);
            Outcome::success(whole.len())
        }
        None => Outcome::new(NtStatus::BUFFER_OVERFLOW, whole.len()),
    }
}

/// What a SET_SECURITY ends with.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn set() -> Outcome {
    Outcome::failed(NtStatus::MEDIA_WRITE_PROTECTED)
}
