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

use crate::{Ccb, Fcb, FcbKind, Metadata, Outcome, Vcb, Volume};

/// What `stat` allows to everyone.
const STAT: AccessMask = AccessMask(
    AccessMask::FILE_READ_ATTRIBUTES.0
        | AccessMask::FILE_READ_EA.0
        | AccessMask::READ_CONTROL.0
        | AccessMask::SYNCHRONIZE.0,
);
/// All that can be granted on a read-only volume, but for a privilege's ACCESS_SYSTEM_SECURITY.
pub const READING: AccessMask =
    AccessMask(AccessMask::FILE_GENERIC_READ.0 | AccessMask::FILE_GENERIC_EXECUTE.0);
/// All that an open of the volume itself can be granted. Programs that lock a volume ask for write access.
const WHOLE: AccessMask = AccessMask(AccessMask::FILE_ALL_ACCESS.0 | AccessMask::ACCESS_SYSTEM_SECURITY.0);

/// What an open asks for, and what it has got before the file system sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The rights that were asked for, generic ones allowed.
    pub desired: AccessMask,
    /// `PreviouslyGrantedAccess` of the access state.
    pub granted_before: AccessMask,
    /// MAXIMUM_ALLOWED remains to be answered.
    pub maximum: bool,
}

/// The right that a program's open must have been granted for an operation. The I/O manager has compared it with the
/// handle's rights already; a file system that compares it with its own does not depend on what became of those.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// READ.
    Read,
    /// DIRECTORY_CONTROL: listings and notifications.
    List,
    /// QUERY_EA.
    ReadEa,
    /// QUERY_SECURITY of owner, group or discretionary list.
    ReadSecurity,
    /// QUERY_SECURITY of the system list.
    ReadAudit,
}

/// Whether an open has the right that an operation needs.
///
/// # IRQL
///
/// Any; never blocks.
pub const fn permits(ccb: &Ccb, operation: Operation) -> bool {
    ccb.granted.contains(match operation {
        Operation::Read => AccessMask::FILE_READ_DATA,
        Operation::List => AccessMask::FILE_LIST_DIRECTORY,
        Operation::ReadEa => AccessMask::FILE_READ_EA,
        Operation::ReadSecurity => AccessMask::READ_CONTROL,
        Operation::ReadAudit => AccessMask::ACCESS_SYSTEM_SECURITY,
    })
}

/// What is granted, or how to find out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// These rights, whatever the descriptor says.
    Granted(AccessMask),
    /// What the descriptor allows of `desired`, besides `before`; and of that no more than `most`.
    Check {
        /// Rights that are granted already.
        before: AccessMask,
        /// Rights that are not; MAXIMUM_ALLOWED among them.
        desired: AccessMask,
        /// What a read-only volume can grant at all.
        most: AccessMask,
    },
}

/// Decides which rights of an open the descriptor has to be asked for.
///
/// # IRQL
///
/// Any; never blocks.
pub fn decide<V: Volume>(fcb: &Fcb<V>, everyone_reads: bool, asked: Asked) -> Decision {
    let desired = asked.desired.map_generic().without(AccessMask::MAXIMUM_ALLOWED);
    let (most, open_to_all) = match fcb.kind() {
        FcbKind::Volume => (WHOLE, AccessMask::empty()),
        _ if everyone_reads => (READING | AccessMask::ACCESS_SYSTEM_SECURITY, READING),
        _ => (READING | AccessMask::ACCESS_SYSTEM_SECURITY, AccessMask::empty()),
    };
    // What is granted already may be the answer to MAXIMUM_ALLOWED.
    let limit = if asked.desired.contains(AccessMask::MAXIMUM_ALLOWED) {
        most
    } else {
        desired
    };
    // A restore privilege has granted writing, which is nothing that this volume has.
    let before = asked.granted_before.intersection(limit).intersection(most);
    let missing = desired.without(before);
    if missing.without(open_to_all).is_empty() && (!asked.maximum || !open_to_all.is_empty()) {
        let maximum = if asked.maximum {
            open_to_all
        } else {
            AccessMask::empty()
        };
        return Decision::Granted(before | missing | maximum);
    }
    let desired = if asked.maximum {
        missing | AccessMask::MAXIMUM_ALLOWED
    } else {
        missing
    };
    Decision::Check {
        before,
        desired,
        most,
    }
}

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

/// The discretionary list of the volume itself, as Windows has it for its own: others than administrators may look at it
/// and pass through it, and read no sector.
fn volume_dacl() -> Result<Vec<Ace>, NtStatus> {
    let mut list = Vec::new();
    list.try_reserve_exact(3)
        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
    list.extend(
        [
            (Sid::LOCAL_SYSTEM, AccessMask::FILE_ALL_ACCESS),
            (Sid::ADMINISTRATORS, AccessMask::FILE_ALL_ACCESS),
            (Sid::EVERYONE, AccessMask::FILE_GENERIC_EXECUTE),
        ]
        .map(|(sid, mask)| Ace {
            kind: AceKind::Allow,
            mask,
            sid,
        }),
    );
    Ok(list)
}

/// The discretionary list of a file or directory.
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
    let list = match fcb.kind() {
        FcbKind::Volume => volume_dacl()?,
        _ => dacl(vcb, metadata)?,
    };
    security::descriptor(owner, group, &list, parts)
}

/// Owner, group and list.
const CHECKED: u32 = information::OWNER | information::GROUP | information::DACL;

/// The self-relative descriptor of a file: owner, group and list. The same one is checked by CREATE
/// (`SeAccessCheck`) and shown by [`query`].
///
/// # IRQL
///
/// <= APC_LEVEL; allocates, does not block.
pub fn descriptor<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>) -> Result<Vec<u8>, NtStatus> {
    build(vcb, fcb, CHECKED)
}

/// The same of a directory that is passed through and has no Fcb.
///
/// # IRQL
///
/// <= APC_LEVEL; allocates, does not block.
pub fn descriptor_on_the_way<V: Volume>(vcb: &Vcb<V>, metadata: &Metadata) -> Result<Vec<u8>, NtStatus> {
    let (owner, group) = owners(vcb, metadata);
    security::descriptor(owner, group, &dacl(vcb, metadata)?, CHECKED)
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
