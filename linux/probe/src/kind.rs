//! The file systems that can be told.

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are the documentation
pub enum Kind {
    Ext2,
    Ext3,
    Ext4,
    Btrfs,
    Xfs,
    F2fs,
    Squashfs,
    Erofs,
    Vfat,
    Exfat,
    Ntfs,
    Iso9660,
    Udf,
    Hfs,
    HfsPlus,
    Jfs,
    Nilfs2,
    Minix,
    Romfs,
    Cramfs,
    Ufs,
    Bcachefs,
    Reiserfs,
    Bfs,
    Befs,
    Sysv,
    Qnx4,
    Qnx6,
    Efs,
    Affs,
    Adfs,
    Omfs,
}

impl Kind {
    /// Short lower-case name, as users know it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Ext2 => "ext2",
            Kind::Ext3 => "ext3",
            Kind::Ext4 => "ext4",
            Kind::Btrfs => "btrfs",
            Kind::Xfs => "xfs",
            Kind::F2fs => "f2fs",
            Kind::Squashfs => "squashfs",
            Kind::Erofs => "erofs",
            Kind::Vfat => "vfat",
            Kind::Exfat => "exfat",
            Kind::Ntfs => "ntfs",
            Kind::Iso9660 => "iso9660",
            Kind::Udf => "udf",
            Kind::Hfs => "hfs",
            Kind::HfsPlus => "hfsplus",
            Kind::Jfs => "jfs",
            Kind::Nilfs2 => "nilfs2",
            Kind::Minix => "minix",
            Kind::Romfs => "romfs",
            Kind::Cramfs => "cramfs",
            Kind::Ufs => "ufs",
            Kind::Bcachefs => "bcachefs",
            Kind::Reiserfs => "reiserfs",
            Kind::Bfs => "bfs",
            Kind::Befs => "befs",
            Kind::Sysv => "sysv",
            Kind::Qnx4 => "qnx4",
            Kind::Qnx6 => "qnx6",
            Kind::Efs => "efs",
            Kind::Affs => "affs",
            Kind::Adfs => "adfs",
            Kind::Omfs => "omfs",
        }
    }

    /// Where its superblock is: an offset and a length in bytes. Nothing of a file is in that range, however small the
    /// blocks are, so it may be shown to whoever looks for a fault.
    pub const fn superblock_range(self) -> (u64, usize) {
        match self {
            Kind::Ext2 | Kind::Ext3 | Kind::Ext4 | Kind::Nilfs2 => (1024, 1024),
            Kind::Btrfs => (65_536, 4096),
            Kind::Xfs | Kind::Vfat | Kind::Exfat | Kind::Ntfs => (0, 512),
            Kind::F2fs => (1024, 3072),
            Kind::Squashfs => (0, 96),
            Kind::Erofs => (1024, 128),
            Kind::Iso9660 | Kind::Udf => (32_768, 2048),
            Kind::Hfs | Kind::HfsPlus => (1024, 512),
            Kind::Jfs => (32_768, 512),
            Kind::Minix => (1024, 32),
            Kind::Romfs => (0, 32),
            Kind::Cramfs => (0, 76),
            Kind::Ufs => (8192, 1376),
            Kind::Bcachefs => (4096, 512),
            Kind::Reiserfs => (65_536, 204),
            Kind::Bfs => (0, 512),
            Kind::Befs => (512, 128),
            Kind::Sysv | Kind::Qnx4 => (512, 512),
            Kind::Qnx6 => (8192, 512),
            Kind::Efs => (512, 92),
            Kind::Affs => (0, 4),
            Kind::Adfs => (3072, 512),
            Kind::Omfs => (0, 288),
        }
    }

    /// Whether Windows' own file systems read it.
    pub const fn is_windows_own(self) -> bool {
        matches!(
            self,
            Kind::Vfat | Kind::Exfat | Kind::Ntfs | Kind::Iso9660 | Kind::Udf
        )
    }

    /// The names under which Linux mounts it, best first.
    pub const fn linux_names(self) -> &'static [&'static str] {
        match self {
            Kind::Ext2 => &["ext2", "ext4"],
            Kind::Ext3 => &["ext3", "ext4"],
            Kind::Ntfs => &["ntfs3"],
            Kind::Ext4 => &["ext4"],
            Kind::Btrfs => &["btrfs"],
            Kind::Xfs => &["xfs"],
            Kind::F2fs => &["f2fs"],
            Kind::Squashfs => &["squashfs"],
            Kind::Erofs => &["erofs"],
            Kind::Vfat => &["vfat", "msdos"],
            Kind::Exfat => &["exfat"],
            Kind::Iso9660 => &["iso9660"],
            Kind::Udf => &["udf"],
            Kind::Hfs => &["hfs"],
            Kind::HfsPlus => &["hfsplus"],
            Kind::Jfs => &["jfs"],
            Kind::Nilfs2 => &["nilfs2"],
            Kind::Minix => &["minix"],
            Kind::Romfs => &["romfs"],
            Kind::Cramfs => &["cramfs"],
            Kind::Ufs => &["ufs"],
            Kind::Bcachefs => &["bcachefs"],
            Kind::Reiserfs => &["reiserfs"],
            Kind::Bfs => &["bfs"],
            Kind::Befs => &["befs"],
            Kind::Sysv => &["sysv"],
            Kind::Qnx4 => &["qnx4"],
            Kind::Qnx6 => &["qnx6"],
            Kind::Efs => &["efs"],
            Kind::Affs => &["affs"],
            Kind::Adfs => &["adfs"],
            Kind::Omfs => &["omfs"],
        }
    }
}
