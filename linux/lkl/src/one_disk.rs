//! A mount sits on the disk that it was asked for, and on no other.
//!
//! Linux may see to it otherwise. btrfs puts disks together by the identity of their file system: the second half of a
//! mirror, mounted beside the first, is the first one's superblock, and shows the first one's files. F2FS opens the disks
//! that its superblock names by path, and options of several file systems name disks. So:
//!
//! - options that name other disks are refused ([`refused_option`](crate::refused_option)), and so is a superblock that does
//!   ([`check_superblock`]);
//! - what btrfs remembers of disks that are not mounted is forgotten before a mount ([`forget`]), so that none of them joins;
//! - a superblock that is mounted already is never shared: it is made with FSCONFIG_CMD_CREATE_EXCL;
//! - what came of it is looked at ([`prove`]): a file system on a block device has that device's numbers, and btrfs lists
//!   the disks that it is on.
//!
//! A disk that arrives later is opened by its own mount only, of which the same is true.

use crate::call::{self, AT_FDCWD, CName};
use crate::disk::BlockDevice;
use crate::errno::Errno;
use crate::fd::{OpenMode, OwnedFd};
use crate::kernel::Kernel;
use crate::stat::Statx;
use fallible::try_zeroed;
use fs_probe::{Kind, ReadAt};

/// The first F2FS superblock, the distance of its copy, and in each the place of the second disk's path.
const F2FS_SUPERBLOCK: u64 = 1024;
const F2FS_COPY: u64 = 4096;
const F2FS_SECOND_DISK: u64 = 2201 + 68;

/// `BTRFS_IOC_FORGET_DEV`, with `struct btrfs_ioctl_vol_args`.
const BTRFS_FORGET: u32 = 0x5000_9405;
/// `BTRFS_IOC_DEV_INFO`, with `struct btrfs_ioctl_dev_info_args`.
const BTRFS_DEV_INFO: u32 = 0xd000_941e;
/// `BTRFS_IOC_FS_INFO`, with `struct btrfs_ioctl_fs_info_args`.
const BTRFS_FS_INFO: u32 = 0x8400_941f;
/// Where a path begins in a `btrfs_ioctl_dev_info_args`.
const BTRFS_PATH: usize = 3072;
/// The greatest number of a btrfs disk that is looked for: each disk that was ever added has one.
const BTRFS_DISKS: u64 = 4096;

/// Why it is not so: what Linux would have answered, and what to say.
pub(crate) type Reason = (Errno, &'static str);

const NOT_PROVED: &str = "it cannot be told on which disks the file system is";
const JOINED: &str = "another disk of the same file system takes part in it";
const ELSEWHERE: &str = "the file system is not on this disk";

/// Refuses a superblock that names other disks.
pub(crate) fn check_superblock(kind: Option<Kind>, disk: &impl ReadAt) -> Result<(), Reason> {
    if kind != Some(Kind::F2fs) {
        return Ok(());
    }
    for copy in [0, F2FS_COPY] {
        let place = F2FS_SUPERBLOCK
            .saturating_add(copy)
            .saturating_add(F2FS_SECOND_DISK);
        let mut first = [0u8; 1];
        // What cannot be read here Linux cannot read either.
        if disk.read_at(place, &mut first).is_ok() && first != [0] {
            return Err((Errno::EOPNOTSUPP, "the file system is on several disks"));
        }
    }
    Ok(())
}

/// Has btrfs forget the disks that it has seen and that are not mounted.
pub(crate) fn forget(kernel: &Kernel, fs_name: &str) -> Result<(), Errno> {
    const O_RDWR_CLOEXEC: i32 = 0o2_000_002;
    if fs_name != "btrfs" {
        return Ok(());
    }
    let door = call::openat(
        kernel,
        AT_FDCWD,
        &CName::new(b"/dev/btrfs-control")?,
        O_RDWR_CLOEXEC,
    )?;
    let door = OwnedFd::adopt(kernel.clone(), door);
    // An empty name: all of them.
    let mut arguments = try_zeroed(4096).ok_or(Errno::ENOMEM)?;
    call::ioctl(kernel, door.number(), BTRFS_FORGET, &mut arguments)
}

/// Whether a mount sits on this disk and no other.
pub(crate) fn prove(
    kernel: &Kernel,
    tree: &OwnedFd,
    fs_name: &str,
    device: &BlockDevice,
) -> Result<(), Reason> {
    let because = |why| move |errno| (errno, why);
    if fs_name == "btrfs" {
        return prove_btrfs(kernel, tree, device);
    }
    let found = call::statx(kernel, tree.number(), 0).map_err(because(NOT_PROVED))?;
    let asked = device.numbers().map_err(because(NOT_PROVED))?;
    let found = Statx::from_raw(&found).dev;
    match (found.major, found.minor) == asked {
        true => Ok(()),
        false => Err((Errno::EINVAL, ELSEWHERE)),
    }
}

fn prove_btrfs(kernel: &Kernel, tree: &OwnedFd, device: &BlockDevice) -> Result<(), Reason> {
    let unproved = |errno| (errno, NOT_PROVED);
    let root = tree.open_at(b".", OpenMode::Directory).map_err(unproved)?;
    let asked = device.dev_path().map_err(unproved)?;
    let mut info = try_zeroed(1024).ok_or(unproved(Errno::ENOMEM))?;
    call::ioctl(kernel, root.number(), BTRFS_FS_INFO, &mut info).map_err(unproved)?;
    let greatest = number(&info).ok_or(unproved(Errno::EINVAL))?;
    if greatest > BTRFS_DISKS {
        return Err(unproved(Errno::EOPNOTSUPP));
    }
    let mut disk = try_zeroed(4096).ok_or(unproved(Errno::ENOMEM))?;
    let mut is_here = false;
    for id in 1..=greatest {
        disk.fill(0);
        for (place, byte) in disk.iter_mut().zip(id.to_le_bytes()) {
            *place = byte;
        }
        match call::ioctl(kernel, root.number(), BTRFS_DEV_INFO, &mut disk) {
            Ok(()) => {}
            // There is no disk of this number.
            Err(Errno::ENODEV) if !kernel.is_dead() => continue,
            Err(errno) => return Err(unproved(errno)),
        }
        let path = disk.get(BTRFS_PATH..).unwrap_or_default();
        let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
        // A disk that is missing has no path.
        if path == asked.as_bytes() {
            is_here = true;
        } else if !path.is_empty() {
            return Err((Errno::EBUSY, JOINED));
        }
    }
    match is_here {
        true => Ok(()),
        false => Err((Errno::EBUSY, JOINED)),
    }
}

/// The number at the start of a record.
fn number(record: &[u8]) -> Option<u64> {
    record.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use fs_probe::ReadError;

    #[test]
    fn an_f2fs_superblock_or_its_copy_that_names_a_second_disk_is_refused() {
        struct Bytes(Vec<u8>);
        impl ReadAt for Bytes {
            fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), ReadError> {
                let start = usize::try_from(offset).map_err(|_| ReadError)?;
                let bytes = self.0.get(start..start + out.len()).ok_or(ReadError)?;
                out.copy_from_slice(bytes);
                Ok(())
            }
        }
        let check = |at: Option<usize>, kind| {
            let mut disk = Bytes(vec![0; 16384]);
            if let Some(at) = at {
                disk.0[at] = b'/';
            }
            check_superblock(Some(kind), &disk)
        };
        assert_eq!(check(None, Kind::F2fs), Ok(()));
        for at in [1024 + 2269, 4096 + 1024 + 2269] {
            assert!(check(Some(at), Kind::F2fs).is_err(), "{at}");
            assert_eq!(check(Some(at), Kind::Btrfs), Ok(()));
        }
    }

    #[test]
    fn the_size_of_a_record_is_in_the_number_of_its_request() {
        for (request, size) in [
            (BTRFS_FORGET, 4096),
            (BTRFS_DEV_INFO, 4096),
            (BTRFS_FS_INFO, 1024),
        ] {
            assert_eq!(call::ioctl_size(request), size);
        }
    }
}
