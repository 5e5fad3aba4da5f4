//! Linux's own answers about files and the volume, for programs that show it as Linux has it: the two controls of
//! [`lklfs_nt::linux`].
//!
//! What is told of a file is what `stat` and `readlink` tell on Linux, so it takes the same right: to read attributes.

use alloc::vec::Vec;

use lklfs_nt::{
    AccessMask, NtStatus,
    linux::{HAS_BIRTH, LinuxFile, LinuxVolume, STALE, VolumeTexts},
    names,
    utf16::SEPARATOR,
};

use crate::{Ccb, Fcb, FcbKind, FileKind, Metadata, Outcome, UnixTime, Vcb, Volume, errno::Context};

/// The record of an inode, its texts aside.
fn record(metadata: &Metadata) -> LinuxFile {
    let birth = metadata.btime.unwrap_or(UnixTime {
        seconds: 0,
        nanoseconds: 0,
    });
    let (device_major, device_minor) = metadata.rdev;
    LinuxFile {
        size_of_all: 0,
        fixed: 0,
        name_length: 0,
        target_length: 0,
        mode: metadata.kind.mode_bits() | metadata.permissions,
        uid: metadata.uid,
        gid: metadata.gid,
        links: metadata.nlink,
        device_major,
        device_minor,
        inode: metadata.ino,
        device: metadata.dev,
        size: metadata.size,
        allocated: metadata.allocated,
        accessed: metadata.atime.seconds,
        modified: metadata.mtime.seconds,
        changed: metadata.ctime.seconds,
        born: birth.seconds,
        accessed_ns: metadata.atime.nanoseconds,
        modified_ns: metadata.mtime.nanoseconds,
        changed_ns: metadata.ctime.nanoseconds,
        born_ns: birth.nanoseconds,
        flags: if metadata.btime.is_some() { HAS_BIRTH } else { 0 },
    }
}

fn file_answer<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, ccb: &Ccb, out: &mut [u8]) -> Result<usize, NtStatus> {
    let name = match ccb.path.rsplit(|unit| *unit == SEPARATOR).next() {
        None | Some([]) => Vec::new(),
        Some(name) => names::to_linux(name)?,
    };
    let target = match (fcb.metadata().kind, fcb.node()) {
        (FileKind::Symlink, Some(node)) => vcb
            .volume()
            .read_link(node)
            .map_err(|errno| errno.to_status(Context::Reading))?,
        _ => Vec::new(),
    };
    record(fcb.metadata()).write(&name, &target, out)
}

/// Answers `FSCTL_LKLFS_QUERY_FILE`.
///
/// INVALID_PARAMETER on the volume itself, ACCESS_DENIED on a handle that may not read attributes, BUFFER_TOO_SMALL when
/// the answer does not fit.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn file<V: Volume>(vcb: &Vcb<V>, fcb: &Fcb<V>, ccb: &Ccb, out: &mut [u8]) -> Outcome {
    if fcb.kind() == FcbKind::Volume {
        return Outcome::failed(NtStatus::INVALID_PARAMETER);
    }
    if !ccb.granted.contains(AccessMask::FILE_READ_ATTRIBUTES) {
        return Outcome::failed(NtStatus::ACCESS_DENIED);
    }
    file_answer(vcb, fcb, ccb, out).into()
}

/// Answers `FSCTL_LKLFS_QUERY_VOLUME`, on any open. BUFFER_TOO_SMALL when the answer does not fit.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block.
pub fn volume<V: Volume>(vcb: &Vcb<V>, out: &mut [u8]) -> Outcome {
    let info = match vcb.volume().info() {
        Ok(info) => info,
        Err(errno) => return Outcome::errno(errno, Context::Reading),
    };
    let record = LinuxVolume {
        size_of_all: 0,
        fixed: 0,
        fs_name_length: 0,
        label_length: 0,
        uuid_length: 0,
        flags: if info.stale { STALE } else { 0 },
        unit: info.block_size.into(),
        blocks: info.blocks,
        blocks_free: info.blocks_free,
        block_size: info.io_size,
        inodes: info.inodes,
        inodes_free: info.inodes_free,
        name_max: info.name_max.into(),
    };
    let texts = VolumeTexts {
        fs_name: info.fs_name.as_bytes(),
        label: &info.label,
        uuid: info.uuid_text.as_bytes(),
    };
    record.write(texts, out).into()
}
