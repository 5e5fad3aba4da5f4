//! The table of file systems. It is long because it is a table: an entry for each way of making an image, in three
//! groups.

use super::{Abilities, DirectoryLinks, Kind, Maker, Owners, Times};

const UUID: &str = "6c6b6c66-7300-4d61-8000-000000000001";
const MIB: u64 = 1 << 20;

const NS: u64 = 1;
const SECOND: u64 = 1_000_000_000;
const I32: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);
const U32: (i64, i64) = (0, u32::MAX as i64);

fn times(unit: u64, (first, last): (i64, i64)) -> Option<Times> {
    Some(Times { unit, first, last })
}

/// A file system made for Linux.
fn linux() -> Abilities {
    Abilities {
        modes: true,
        mode_zero: true,
        owners: Owners::Large,
        links: true,
        target: 4095,
        hard_links: true,
        fifos: true,
        devices: true,
        xattrs: true,
        holes: true,
        ascii_names: false,
        bmp_names: false,
        any_bytes: true,
        case_sensitive: true,
        name: 255,
        flat: false,
        depth: 24,
        wide: u32::MAX,
        largest: u64::MAX,
        mtime: times(NS, I32),
        root_time: true,
        lost_found: false,
        directory_links: DirectoryLinks::Subdirectories,
    }
}

/// A file system made for Windows.
fn windows() -> Abilities {
    Abilities {
        modes: false,
        owners: Owners::None,
        links: false,
        hard_links: false,
        fifos: false,
        devices: false,
        xattrs: false,
        holes: false,
        any_bytes: false,
        case_sensitive: false,
        mtime: times(2 * SECOND, (315_532_800, 4_102_444_798)),
        directory_links: DirectoryLinks::Unknown,
        ..linux()
    }
}

fn filled(
    name: &'static str,
    linux: &'static str,
    size: u64,
    mkfs: &'static [&'static str],
    abilities: Abilities,
) -> Kind {
    let maker = Maker::Filled {
        mkfs,
        options: "",
        fuse: None,
    };
    Kind {
        name,
        linux,
        modules: &[],
        size,
        maker,
        options: "",
        extra: &[],
        named: false,
        rare: false,
        abilities,
    }
}

fn packed(
    name: &'static str,
    linux: &'static str,
    command: &'static [&'static str],
    abilities: Abilities,
) -> Kind {
    Kind {
        name,
        linux,
        modules: &[],
        size: 0,
        maker: Maker::Packed { command },
        options: "",
        extra: &[],
        named: false,
        rare: false,
        abilities,
    }
}

pub(super) fn all() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for_linux(&mut kinds);
    read_only(&mut kinds);
    for_others(&mut kinds);
    kinds
}

fn for_linux(kinds: &mut Vec<Kind>) {
    const LOST: &[&str] = &["/lost+found"];
    let ext4 = Abilities {
        mtime: times(NS, (I32.0, 0x3_7fff_ffff)),
        lost_found: true,
        ..linux()
    };
    let ext2 = Abilities {
        mtime: times(SECOND, I32),
        lost_found: true,
        ..linux()
    };
    kinds.push(Kind {
        extra: LOST,
        ..filled(
            "ext2",
            "ext2",
            64 * MIB,
            &["mkfs.ext2", "-q", "-F", "-U", UUID, "{image}"],
            ext2,
        )
    });
    kinds.push(Kind {
        extra: LOST,
        ..filled(
            "ext3",
            "ext3",
            64 * MIB,
            &["mkfs.ext3", "-q", "-F", "-U", UUID, "{image}"],
            ext4.clone(),
        )
    });
    kinds.push(Kind {
        extra: LOST,
        ..filled(
            "ext4",
            "ext4",
            64 * MIB,
            &["mkfs.ext4", "-q", "-F", "-U", UUID, "{image}"],
            ext4,
        )
    });
    let btrfs = Abilities {
        mtime: times(NS, (-1 << 40, 1 << 40)),
        directory_links: DirectoryLinks::One,
        ..linux()
    };
    kinds.push(filled(
        "btrfs",
        "btrfs",
        256 * MIB,
        &["mkfs.btrfs", "-q", "-U", UUID, "{image}"],
        btrfs,
    ));
    // bigtime: until July 2486.
    let xfs = Abilities {
        mtime: times(NS, (I32.0, 16_299_260_424)),
        target: 1023,
        ..linux()
    };
    let uuid = "uuid=6c6b6c66-7300-4d61-8000-000000000001";
    kinds.push(filled(
        "xfs",
        "xfs",
        320 * MIB,
        leak(["mkfs.xfs", "-q", "-m", uuid, "{image}"]),
        xfs.clone(),
    ));
    // Names that differ in the case of ASCII letters only are the same.
    let ascii_ci = Abilities {
        case_sensitive: false,
        ..xfs
    };
    kinds.push(Kind {
        rare: true,
        ..filled(
            "xfs-ci",
            "xfs",
            320 * MIB,
            leak(["mkfs.xfs", "-q", "-m", uuid, "-n", "version=ci", "{image}"]),
            ascii_ci,
        )
    });
    let f2fs = Abilities {
        mtime: times(NS, (0, 1 << 40)),
        target: 4000,
        ..linux()
    };
    kinds.push(Kind {
        modules: &["f2fs"],
        ..filled(
            "f2fs",
            "f2fs",
            96 * MIB,
            &["mkfs.f2fs", "-q", "-U", UUID, "{image}"],
            f2fs,
        )
    });
    let jfs = Abilities {
        mtime: times(NS, (0, I32.1)),
        ..linux()
    };
    // Without an iocharset, names go to UCS-2 byte by byte and come back so.
    kinds.push(filled(
        "jfs",
        "jfs",
        32 * MIB,
        &["mkfs.jfs", "-q", "{image}"],
        jfs,
    ));
    let nilfs2 = Abilities {
        mtime: times(NS, (-1 << 40, 1 << 40)),
        xattrs: false,
        ..linux()
    };
    kinds.push(Kind {
        modules: &["nilfs2"],
        extra: &["/.nilfs"],
        ..filled(
            "nilfs2",
            "nilfs2",
            192 * MIB,
            &["mkfs.nilfs2", "-q", "{image}"],
            nilfs2,
        )
    });
    for (name, version, owners, longest) in [
        ("minix1", "-1", Owners::Small, 30),
        ("minix2", "-2", Owners::Medium, 30),
        ("minix3", "-3", Owners::Medium, 60),
    ] {
        // A target fits into one block of 1 KiB. -i: the default number of inodes is for large files.
        let minix = Abilities {
            owners,
            name: longest,
            target: 1000,
            xattrs: false,
            mtime: times(SECOND, U32),
            largest: 40 * MIB,
            ..linux()
        };
        let mkfs = leak(["mkfs.minix", version, "-i", "2000", "{image}"]);
        kinds.push(Kind {
            modules: &["minix"],
            ..filled(name, "minix", 32 * MIB, mkfs, minix)
        });
    }
}

fn read_only(kinds: &mut Vec<Kind>) {
    let squashfs = Abilities {
        mtime: times(SECOND, U32),
        ..linux()
    };
    for (name, compressor) in [
        ("squashfs-gzip", "gzip"),
        ("squashfs-lzo", "lzo"),
        ("squashfs-lz4", "lz4"),
        ("squashfs-xz", "xz"),
        ("squashfs-zstd", "zstd"),
    ] {
        let command = leak([
            "mksquashfs",
            "{tree}",
            "{image}",
            "-noappend",
            "-no-progress",
            "-quiet",
            "-comp",
            compressor,
        ]);
        kinds.push(Kind {
            modules: &["squashfs"],
            ..packed(name, "squashfs", command, squashfs.clone())
        });
    }
    // The kernel takes the number for unsigned.
    // mkfs.erofs 1.5 fails on names of more than 250 bytes in deep places.
    let erofs = Abilities {
        name: 240,
        mtime: times(NS, (0, 0x3_7fff_ffff)),
        target: 4000,
        ..linux()
    };
    for (name, options) in [("erofs", ""), ("erofs-lz4", "-zlz4"), ("erofs-lz4hc", "-zlz4hc")] {
        let mut command = vec!["mkfs.erofs", "-U", UUID];
        command.extend(Some(options).filter(|options| !options.is_empty()));
        command.extend(["{image}", "{tree}"]);
        kinds.push(Kind {
            modules: &["erofs"],
            ..packed(name, "erofs", command.leak(), erofs.clone())
        });
    }
    // Dates are in years since 1900, but Linux's isofs knows none before 1970 and counts in 32 bits.
    let rock_ridge = Abilities {
        mtime: times(SECOND, (0, I32.1)),
        xattrs: false,
        holes: false,
        // Rock Ridge writes long targets in several pieces; genisoimage stops below this.
        target: 240,
        name: 240,
        // genisoimage takes a backslash and control characters apart.
        any_bytes: false,
        // Deeper directories are moved elsewhere.
        depth: 5,
        directory_links: DirectoryLinks::Unknown,
        ..linux()
    };
    let command = &["genisoimage", "-quiet", "-R", "-o", "{image}", "{tree}"];
    kinds.push(Kind {
        modules: &["isofs"],
        ..packed("iso9660-rockridge", "iso9660", command, rock_ridge.clone())
    });
    let joliet = Abilities {
        name: 64,
        bmp_names: true,
        depth: 4,
        mtime: rock_ridge.mtime,
        ..windows()
    };
    let command = &[
        "genisoimage",
        "-quiet",
        "-input-charset",
        "utf-8",
        "-J",
        "-o",
        "{image}",
        "{tree}",
    ];
    kinds.push(Kind {
        modules: &["isofs", "nls_utf8"],
        options: "iocharset=utf8",
        ..packed(
            "iso9660-joliet",
            "iso9660",
            command,
            Abilities {
                case_sensitive: false,
                ..joliet
            },
        )
    });
    let cramfs = Abilities {
        // To its maker that means "no file".
        mode_zero: false,
        owners: Owners::Small,
        hard_links: false,
        xattrs: false,
        holes: false,
        mtime: None,
        target: 1000,
        name: 252,
        largest: 8 * MIB,
        directory_links: DirectoryLinks::Unknown,
        ..linux()
    };
    kinds.push(Kind {
        modules: &["cramfs"],
        ..packed("cramfs", "cramfs", &["mkfs.cramfs", "{tree}", "{image}"], cramfs)
    });
    let romfs = Abilities {
        modes: false,
        owners: Owners::None,
        hard_links: false,
        xattrs: false,
        holes: false,
        mtime: None,
        target: 1000,
        name: 120,
        directory_links: DirectoryLinks::Unknown,
        ..linux()
    };
    let command = &["genromfs", "-V", "lklfs", "-f", "{image}", "-d", "{tree}"];
    kinds.push(Kind {
        modules: &["romfs"],
        ..packed("romfs", "romfs", command, romfs)
    });
}

fn for_others(kinds: &mut Vec<Kind>) {
    let fat = Abilities {
        root_time: false,
        ..windows()
    };
    let small = Abilities {
        wide: 40,
        largest: 60_000,
        depth: 5,
        ..fat.clone()
    };
    for (name, bits, size, abilities) in [
        ("vfat12", "12", 1_474_560, small),
        ("vfat16", "16", 32 * MIB, fat.clone()),
        ("vfat32", "32", 64 * MIB, fat.clone()),
    ] {
        let mkfs = leak(["mkfs.vfat", "-F", bits, "-i", "6c6b6c66", "{image}"]);
        kinds.push(Kind {
            modules: &["nls_cp437", "nls_iso8859-1", "nls_utf8", "vfat"],
            options: "utf8,tz=UTC",
            maker: Maker::Filled {
                mkfs,
                options: "utf8,tz=UTC",
                fuse: None,
            },
            ..filled(name, "vfat", size, &[], abilities)
        });
    }
    kinds.push(Kind {
        modules: &["fuse"],
        maker: Maker::Filled {
            mkfs: &["mkfs.exfat", "{image}"],
            options: "",
            fuse: Some("mount.exfat-fuse"),
        },
        ..filled("exfat", "exfat", 64 * MIB, &[], Abilities { ..fat.clone() })
    });
    let ntfs = Abilities {
        // Before 1970, Linux's ntfs3 gives a negative number of nanoseconds.
        mtime: times(100, (0, 1 << 34)),
        hard_links: true,
        ..fat.clone()
    };
    kinds.push(Kind {
        modules: &["fuse"],
        maker: Maker::Filled {
            mkfs: &["mkntfs", "-q", "-F", "{image}"],
            options: "",
            fuse: Some("ntfs-3g"),
        },
        ..filled("ntfs", "ntfs3", 64 * MIB, &[], ntfs)
    });
    let udf = Abilities {
        xattrs: false,
        name: 250,
        any_bytes: false,
        // In a block of 512 bytes.
        target: 200,
        mtime: times(1000, (0, 1 << 33)),
        directory_links: DirectoryLinks::Unknown,
        ..linux()
    };
    kinds.push(Kind {
        modules: &["udf", "nls_utf8"],
        options: "iocharset=utf8",
        maker: Maker::Filled {
            mkfs: &["mkudffs", "{image}"],
            options: "iocharset=utf8",
            fuse: None,
        },
        extra: &["/lost+found"],
        ..filled("udf", "udf", 64 * MIB, &[], udf)
    });
    // Seconds since 1904, of 32 bits.
    let hfs = Abilities {
        name: 31,
        ascii_names: true,
        mtime: times(SECOND, (0, 2_082_844_799 - 86_400)),
        ..windows()
    };
    kinds.push(Kind {
        modules: &["hfs"],
        ..filled(
            "hfs",
            "hfs",
            32 * MIB,
            &["hformat", "-f", "-l", "lklfs", "{image}"],
            hfs,
        )
    });
    let bfs = Abilities {
        flat: true,
        name: 14,
        ascii_names: true,
        links: false,
        fifos: false,
        devices: false,
        xattrs: false,
        holes: false,
        mtime: times(SECOND, U32),
        directory_links: DirectoryLinks::Unknown,
        ..linux()
    };
    kinds.push(Kind {
        modules: &["bfs"],
        named: true,
        ..filled("bfs", "bfs", 4 * MIB, &["mkfs.bfs", "{image}"], bfs)
    });
}

/// The table is made once and lives as long as the process.
fn leak<const N: usize>(words: [&'static str; N]) -> &'static [&'static str] {
    words.to_vec().leak()
}
