//! Names what is no file system of Linux's: members of arrays, encryption, swap, volumes of volume managers, and file
//! systems that nothing here can mount. Nothing is decided by these names but what a person is told.
//!
//! A signature is a magic number at an offset, from the start of a volume or from its end. [`AT_START`] is the table of the
//! first; what takes more than a comparison has a function below. The names are those of util-linux' `blkid`, so that what is
//! found can be looked up. Where several signatures are on a volume the first in the order below is told: containers
//! before what they hold.
//!
//! The file systems that [`crate::probe`] tells are not here.

use crate::ReadAt;
use crate::window::{Fields, Window};

/// What a volume bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature {
    /// As `blkid` calls it, as in `"crypto_LUKS"`.
    pub name: &'static str,
    /// In words, as in `"LUKS encryption"`.
    pub words: &'static str,
}

const fn signature(name: &'static str, words: &'static str) -> Signature {
    Signature { name, words }
}

/// A name, words, and the places where either of some magic numbers is.
type Row = (&'static str, &'static str, &'static [(u64, &'static [u8])]);

/// Signatures at offsets from the start. Only whole records of 512 bytes at multiples of 512 are read.
const AT_START: &[Row] = &[
    (
        "linux_raid_member",
        "Linux software RAID, a member",
        &[
            (0, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
            (4096, b"\xfc\x4e\x2b\xa9\x01\0\0\0"),
        ],
    ),
    (
        "bcache",
        "bcache, a cache or what is behind one",
        &[(
            4096 + 24,
            b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
        )],
    ),
    (
        "ceph_bluestore",
        "Ceph BlueStore",
        &[(0, b"bluestore block device")],
    ),
    (
        "drbdmanage_control_volume",
        "DRBD Manage control volume",
        &[(0, b"$DRBDmgr=q")],
    ),
    ("drbdproxy_datalog", "DRBD Proxy data log", &[(16, b"DRBDdlh*")]),
    (
        "LVM2_member",
        "LVM2 physical volume",
        &[
            (0x18, b"LVM2 001"),
            (0x218, b"LVM2 001"),
            (0x418, b"LVM2 001"),
            (0x618, b"LVM2 001"),
        ],
    ),
    (
        "LVM1_member",
        "LVM1 physical volume",
        &[(0, b"HM\x01\0"), (0, b"HM\x02\0")],
    ),
    ("DM_snapshot_cow", "device-mapper snapshot", &[(0, b"SnAp")]),
    ("DM_verity_hash", "dm-verity hashes", &[(0, b"verity\0\0")]),
    ("DM_integrity", "dm-integrity", &[(0, b"integrt\0")]),
    (
        "VMFS_volume_member",
        "VMware VMFS, a member",
        &[(0x10_0000, b"\x0d\xd0\x01\xc0")],
    ),
    ("ubi", "UBI", &[(0, b"UBI#")]),
    ("vdo", "VDO", &[(0, b"dmvdo001")]),
    (
        "stratis",
        "Stratis",
        &[
            (512, b"!Stra0tis\x86\xff\x02^\x41rh"),
            (512 * 9, b"!Stra0tis\x86\xff\x02^\x41rh"),
        ],
    ),
    ("BitLocker", "BitLocker encryption", &[(3, b"-FVE-FS-")]),
    (
        "swsuspend",
        "Linux hibernation",
        &[
            (0xff6, b"S1SUSPEND"),
            (0xff6, b"S2SUSPEND"),
            (0xff6, b"ULSUSPEND"),
            (0xff6, b"LINHIB0001"),
            (0x1ff6, b"S1SUSPEND"),
            (0x1ff6, b"S2SUSPEND"),
            (0x1ff6, b"ULSUSPEND"),
            (0x3ff6, b"S1SUSPEND"),
            (0x3ff6, b"ULSUSPEND"),
            (0xfff6, b"S1SUSPEND"),
            (0xfff6, b"ULSUSPEND"),
            (0, b"\xed\xc3\x02\xe9\x98\x56\xe5\x0c"),
        ],
    ),
    (
        "swap",
        "Linux swap",
        &[
            (0xff6, b"SWAP-SPACE"),
            (0xff6, b"SWAPSPACE2"),
            (0x1ff6, b"SWAPSPACE2"),
            (0x3ff6, b"SWAPSPACE2"),
            (0x7ff6, b"SWAPSPACE2"),
            (0xfff6, b"SWAPSPACE2"),
        ],
    ),
    ("exfs", "EXFS", &[(0, b"EXFS")]),
    ("apfs", "Apple APFS", &[(32, b"NXSB")]),
    ("ReFS", "Windows ReFS", &[(0, b"\0\0\0ReFS\0")]),
    ("reiser4", "Reiser4", &[(65_536, b"ReIsEr4")]),
    ("hpfs", "OS/2 HPFS", &[(8192, b"\x49\xe8\x95\xf9")]),
    (
        "ocfs2",
        "OCFS2",
        &[
            (1024, b"OCFSV2"),
            (2048, b"OCFSV2"),
            (4096, b"OCFSV2"),
            (8192, b"OCFSV2"),
        ],
    ),
    ("ocfs", "OCFS", &[(8192, b"OracleCFS"), (8, b"OracleCFS")]),
    ("oracleasm", "Oracle ASM disk", &[(32, b"ORCLDISK")]),
    (
        "vxfs",
        "Veritas VxFS",
        &[(1024, b"\xf5\xfc\x01\xa5"), (8192, b"\xa5\x01\xfc\xf5")],
    ),
    ("nss", "Novell NSS", &[(4096, b"SPB5")]),
    ("ubifs", "UBIFS", &[(0, b"\x31\x18\x10\x06")]),
    ("bfs", "SCO BFS", &[(0, b"\xce\xfa\xad\x1b")]),
    ("VMFS", "VMware VMFS", &[(0x20_0000, b"\x5e\xf1\xab\x2f")]),
    (
        "befs",
        "BeOS BFS",
        &[(544, b"BFS1"), (544, b"1SFB"), (32, b"BFS1"), (32, b"1SFB")],
    ),
    ("mpool", "HSE mpool", &[(0, b"mpoolDev")]),
    ("zonefs", "zonefs", &[(0, b"SFOZ")]),
    (
        "sysv",
        "System V file system",
        &[
            (512 + 0x1f8, b"\x20\x7e\x18\xfd"),
            (512 + 0x1f8, b"\xfd\x18\x7e\x20"),
            (1024 + 0x1f8, b"\x20\x7e\x18\xfd"),
            (1024 + 0x1f8, b"\xfd\x18\x7e\x20"),
        ],
    ),
    (
        "xenix",
        "Xenix file system",
        &[
            (1024 + 0x3f8, b"\x44\x55\x2b\0"),
            (1024 + 0x3f8, b"\0\x2b\x55\x44"),
        ],
    ),
    (
        "ufs",
        "UFS2 with its superblock where Linux does not look for it",
        &[
            (8192 + 1372, b"\x19\x01\x54\x19"),
            (8192 + 1372, b"\x19\x54\x01\x19"),
            (0x4_0000 + 1372, b"\x19\x01\x54\x19"),
            (0x4_0000 + 1372, b"\x19\x54\x01\x19"),
        ],
    ),
    // What blkid has no name for.
    (
        "coherent",
        "Coherent file system",
        &[
            (512 + 484, b"nonamenopack"),
            (512 + 484, b"nonamexxxxx\n"),
            (512 + 484, b"xxxxx nopack"),
            (512 + 484, b"xxxxx xxxxx\n"),
        ],
    ),
    ("ldm", "Windows dynamic disk (LDM)", &[(3072, b"PRIVHEAD")]),
    (
        "storage_spaces",
        "Windows Storage Spaces, a member",
        &[(4096, b"SPACEDB ")],
    ),
    ("apple_core_storage", "Apple CoreStorage", &[(88, b"CS\x01\0")]),
];

/// Says what a volume of `size_bytes` bytes bears that is no file system which [`crate::probe`] tells.
pub fn name<V: ReadAt + ?Sized>(volume: &V, size_bytes: u64) -> Option<Signature> {
    let mut window = Window::new(volume)?;
    let window = &mut window;
    luks(window)
        .or_else(|| raid_at_end(window, size_bytes))
        .or_else(|| bitlocker_to_go(window))
        .or_else(|| at_start(window))
        .or_else(|| zfs(window, size_bytes))
        .or_else(|| ext_alone(window))
        .or_else(|| xfs_log(window))
        .or_else(|| gfs(window))
        .or_else(|| old_squashfs(window))
        .or_else(|| other_byte_order(window))
}

/// Whether these bytes are at the offset.
fn is<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, offset: u64, magic: &[u8]) -> bool {
    let Some(within) = offset
        .checked_rem(512)
        .and_then(|within| usize::try_from(within).ok())
    else {
        return false;
    };
    let Some(sector) = offset.checked_sub(offset.checked_rem(512).unwrap_or(0)) else {
        return false;
    };
    window
        .at(sector, 512)
        .is_some_and(|fields| fields.is(within, magic))
}

fn at_start<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    AT_START
        .iter()
        .find(|(_, _, places)| places.iter().any(|(offset, magic)| is(window, *offset, magic)))
        .map(|(name, words, _)| signature(name, words))
}

/// The header, or the second one of version 2 when the first is damaged.
fn luks<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    const NAME: &str = "crypto_LUKS";
    if is(window, 0, b"LUKS\xba\xbe\0\x01") {
        return Some(signature(NAME, "LUKS1 encryption"));
    }
    let second = (2..9).map(|power| 0x2000u64 << power);
    let found = is(window, 0, b"LUKS\xba\xbe\0\x02")
        || second
            .chain([0x4000])
            .any(|offset| is(window, offset, b"SKUL\xba\xbe\0\x02"));
    found.then_some(signature(NAME, "LUKS2 encryption"))
}

/// BitLocker on a removable disk looks like FAT but for a GUID.
fn bitlocker_to_go<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    const GUID: [u8; 16] = [
        0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01,
    ];
    (is(window, 3, b"MSWIN4.1") && is(window, 424, &GUID))
        .then_some(signature("BitLocker", "BitLocker To Go encryption"))
}

/// Arrays whose members are marked near their end. Offsets are those of the vendors' metadata as Linux' `md`, `dmraid` and
/// Intel's, SNIA's (DDF) and DRBD's own documents have them.
fn raid_at_end<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, size_bytes: u64) -> Option<Signature> {
    let sectors = size_bytes.checked_div(512)?;
    let from_end = |count: u64| sectors.checked_sub(count)?.checked_mul(512);
    let fields = |window: &mut Window<'_, V>, at: Option<u64>, within: usize, magic: &[u8]| {
        at.and_then(|at| window.at(at, 512))
            .is_some_and(|fields| fields.is(within, magic))
    };
    // Version 0.90: in the last whole 64 KiB but one, in the byte order of the machine. Version 1.0: 8 KiB before the end.
    let old = size_bytes
        .checked_sub(size_bytes.checked_rem(65_536)?)
        .and_then(|end| end.checked_sub(65_536));
    if fields(window, old, 0, b"\xfc\x4e\x2b\xa9\0\0\0\0")
        || fields(window, old, 0, b"\xa9\x2b\x4e\xfc\0\0\0\0")
    {
        return Some(signature(
            "linux_raid_member",
            "Linux software RAID (version 0.90), a member",
        ));
    }
    let one = from_end(16).and_then(|at| at.checked_sub(at.checked_rem(4096)?));
    if fields(window, one, 0, b"\xfc\x4e\x2b\xa9\x01\0\0\0") {
        return Some(signature(
            "linux_raid_member",
            "Linux software RAID (version 1.0), a member",
        ));
    }
    for count in [1, 257] {
        if fields(window, from_end(count), 0, b"\xde\x11\xde\x11")
            || fields(window, from_end(count), 0, b"\x11\xde\x11\xde")
        {
            return Some(signature("ddf_raid_member", "DDF RAID, a member"));
        }
    }
    if [2, 16]
        .iter()
        .any(|count| fields(window, from_end(*count), 0, b"Intel Raid ISM Cfg Sig. "))
    {
        return Some(signature("isw_raid_member", "Intel RAID, a member"));
    }
    if fields(window, from_end(1), 0, b"$XIDE$") {
        return Some(signature("lsi_mega_raid_member", "LSI MegaRAID, a member"));
    }
    if fields(window, from_end(2), 0, b"NVIDIA") {
        return Some(signature("nvidia_raid_member", "NVIDIA RAID, a member"));
    }
    if fields(window, from_end(1), 0, b"JM") {
        return Some(signature("jmicron_raid_member", "JMicron RAID, a member"));
    }
    if fields(window, from_end(1), 0, b"\x37\xfc\x4d\x1e") {
        return Some(signature("adaptec_raid_member", "Adaptec RAID, a member"));
    }
    if fields(window, from_end(1), 0x60, b"\0\0\0\x2f") {
        return Some(signature(
            "silicon_medley_raid_member",
            "Silicon Image RAID, a member",
        ));
    }
    if from_end(1).and_then(|at| window.at(at, 512)).is_some_and(is_via) {
        return Some(signature("via_raid_member", "VIA RAID, a member"));
    }
    const PROMISE: [u64; 14] = [63, 255, 256, 16, 399, 591, 675, 735, 911, 974, 991, 951, 3087, 1];
    if PROMISE
        .iter()
        .any(|count| fields(window, from_end(*count), 0, b"Promise Technology, Inc."))
    {
        return Some(signature(
            "promise_fasttrack_raid_member",
            "Promise FastTrak RAID, a member",
        ));
    }
    let highpoint = |window: &mut Window<'_, V>, at, good: &[u8], bad: &[u8]| {
        [0, 32]
            .iter()
            .any(|within| fields(window, at, *within, good) || fields(window, at, *within, bad))
    };
    if highpoint(window, from_end(11), b"\xf3\x16\x78\x5a", b"\xfd\x16\x78\x5a") {
        return Some(signature("hpt45x_raid_member", "HighPoint RAID, a member"));
    }
    if highpoint(window, Some(9 * 512), b"\xf0\x16\x78\x5a", b"\xfd\x16\x78\x5a") {
        return Some(signature("hpt37x_raid_member", "HighPoint RAID, a member"));
    }
    let drbd = size_bytes.checked_sub(4096);
    if [b"\x83\x74\x02\x6b", b"\x83\x74\x02\x6c", b"\x83\x74\x02\x6d"]
        .iter()
        .any(|magic| fields(window, drbd, 60, *magic))
    {
        return Some(signature("drbd", "DRBD, a replica"));
    }
    None
}

/// A short magic number, and a sum over the record.
fn is_via(fields: Fields<'_>) -> bool {
    let Some(record) = fields.bytes(0, 50) else {
        return false;
    };
    let sum = record.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    fields.is(0, &[0x55, 0xaa])
        && fields.u8(2).is_some_and(|version| version <= 2)
        && fields.u8(50) == Some(sum)
}

/// Some of the uberblocks of one of the labels: the two at the start, the two at the end.
fn zfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>, size_bytes: u64) -> Option<Signature> {
    const LABEL: u64 = 256 << 10;
    const MAGIC: u64 = 0x00ba_b10c;
    let end = size_bytes.checked_sub(size_bytes.checked_rem(LABEL)?)?;
    let labels = [
        Some(0),
        Some(LABEL),
        end.checked_sub(LABEL.checked_mul(2)?),
        end.checked_sub(LABEL),
    ];
    for label in labels.into_iter().flatten() {
        let mut found = 0u32;
        for index in 0..128u64 {
            let at = label
                .checked_add(128 << 10)?
                .checked_add(index.checked_mul(1024)?)?;
            let Some(fields) = window.at(at, 512) else { break };
            if fields.le64(0) == Some(MAGIC) || fields.be64(0) == Some(MAGIC) {
                found = found.saturating_add(1);
            }
            // As many as no accident makes.
            if found >= 4 {
                return Some(signature("zfs_member", "ZFS, a member of a pool"));
            }
        }
    }
    None
}

/// A journal of ext3 or ext4 on a device of its own.
fn ext_alone<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    const JOURNAL_DEVICE: u32 = 0x8;
    let fields = window.at(1024, 1024)?;
    let journal = fields.le16(0x38)? == 0xef53 && fields.le32(0x60)? & JOURNAL_DEVICE != 0;
    journal.then_some(signature("jbd", "external journal of ext3 or ext4"))
}

/// A record of a log at the very start.
fn xfs_log<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    const RECORD: u32 = 0xfeed_babe;
    for sector in 0..16u64 {
        let fields = window.at(sector.checked_mul(512)?, 512)?;
        let format = fields.be32(300)?;
        if fields.be32(0)? == RECORD && matches!(fields.be32(8)?, 1 | 2) && (1..=3).contains(&format) {
            return Some(signature("xfs_external_log", "external log of XFS"));
        }
    }
    None
}

/// GFS and GFS2 differ in a format number.
fn gfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    let fields = window.at(65_536, 512)?;
    if fields.be32(0)? != 0x0116_1970 {
        return None;
    }
    match fields.be32(24)? {
        1309 => Some(signature("gfs", "GFS")),
        1801..=1899 => Some(signature("gfs2", "GFS2")),
        _ => None,
    }
}

/// squashfs before version 4, in either byte order, which Linux does not read any more.
fn old_squashfs<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    let fields = window.at(0, 96)?;
    let little = fields.is(0, b"hsqs") && fields.le16(28)? < 4;
    let big = fields.is(0, b"sqsh") && fields.be16(28)? < 4;
    (little || big).then_some(signature("squashfs3", "squashfs before version 4"))
}

/// What Linux reads on a machine of its own byte order only.
fn other_byte_order<V: ReadAt + ?Sized>(window: &mut Window<'_, V>) -> Option<Signature> {
    let fields = window.at(0, 512)?;
    if fields.be32(0)? == 0x28cd_3d45 && fields.is(16, b"Compressed ROMFS") {
        return Some(signature("cramfs", "cramfs, in the byte order of other machines"));
    }
    // The magic numbers of Minix have two bytes: its maps must be there, and the first zone of data behind them.
    let fields = window.at(1024, 64)?;
    if !matches!(fields.be16(16)?, 0x137f | 0x138f | 0x2468 | 0x2478) {
        return None;
    }
    let (inodes, zones) = (fields.be16(4)?, fields.be16(6)?);
    let sensible = inodes != 0 && zones != 0 && fields.be16(8)? > inodes.max(zones);
    sensible.then_some(signature(
        "minix",
        "Minix file system, in the byte order of other machines",
    ))
}
