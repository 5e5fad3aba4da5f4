//! The table of file systems that the distribution has no maker for, or none that makes what is wanted.

use super::Source;
use super::{adfs, affs, befs, efs, hfsplus, omfs, qnx4, qnx6, sysv, ufs2};
use crate::kind::{Abilities, DirectoryLinks, Kind, Maker, Owners, Times};

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;
const U32: (i64, i64) = (0, u32::MAX as i64);

fn times(unit: u64, (first, last): (i64, i64)) -> Option<Times> {
    Some(Times { unit, first, last })
}

/// A file system of a Unix of its time.
fn unix() -> Abilities {
    Abilities {
        modes: true,
        mode_zero: true,
        owners: Owners::Medium,
        links: true,
        target: 1000,
        hard_links: true,
        fifos: true,
        devices: true,
        xattrs: false,
        holes: false,
        ascii_names: false,
        bmp_names: false,
        any_bytes: true,
        case_sensitive: true,
        name: 255,
        flat: false,
        depth: 24,
        wide: u32::MAX,
        largest: 8 * MIB,
        mtime: times(SECOND, U32),
        root_time: true,
        lost_found: false,
        directory_links: DirectoryLinks::Subdirectories,
    }
}

/// A file system that has files and directories, and little else.
fn plain() -> Abilities {
    Abilities {
        modes: false,
        owners: Owners::None,
        links: false,
        hard_links: false,
        fifos: false,
        devices: false,
        directory_links: DirectoryLinks::Unknown,
        ..unix()
    }
}

fn kind(name: &'static str, linux: &'static str, size: u64, abilities: Abilities) -> Kind {
    Kind {
        name,
        linux,
        modules: &[],
        size,
        // Not used: the sources below say more.
        maker: Maker::Packed { command: &[] },
        options: "",
        extra: &[],
        named: false,
        rare: true,
        abilities,
    }
}

/// What Linux fills.
fn filled(kind: Kind) -> Kind {
    Kind {
        maker: Maker::Filled {
            mkfs: &[],
            options: kind.options,
            fuse: None,
        },
        ..kind
    }
}

/// The kinds, and how each is made.
pub(super) fn all() -> Vec<(Kind, Source)> {
    let mut kinds = Vec::new();
    system_v(&mut kinds);
    other_unixes(&mut kinds);
    personal_computers(&mut kinds);
    kinds
}

fn system_v(kinds: &mut Vec<(Kind, Source)>) {
    let abilities = Abilities {
        name: 14,
        holes: true,
        ..unix()
    };
    let sources: [(&str, super::Empty); 2] = [("sysv4", sysv::release_4), ("sysv2", sysv::release_2)];
    for (name, empty) in sources {
        let kind = Kind {
            modules: &["sysv"],
            ..kind(name, "sysv", 16 * MIB, abilities.clone())
        };
        kinds.push((filled(kind), Source::Empty(empty)));
    }
    let xenix = Abilities {
        holes: false,
        ..abilities
    };
    let xenix = Kind {
        modules: &["sysv"],
        ..kind("xenix", "sysv", 16 * MIB, xenix)
    };
    kinds.push((xenix, Source::Whole(sysv::xenix)));
}

fn other_unixes(kinds: &mut Vec<(Kind, Source)>) {
    let ufs = Abilities {
        owners: Owners::Large,
        mtime: times(SECOND, (i32::MIN.into(), i32::MAX.into())),
        ..unix()
    };
    const MAKEFS: [(&str, &[&str]); 2] = [
        ("ufs1", &["-B", "le", "-o", "version=1"]),
        ("ufs1-be", &["-B", "be", "-o", "version=1"]),
    ];
    for (name, options) in MAKEFS {
        // makefs leaves sockets out, and FIFOs and sockets go together here.
        let abilities = Abilities {
            fifos: false,
            ..ufs.clone()
        };
        let kind = Kind {
            modules: &["ufs"],
            options: "ufstype=44bsd",
            ..kind(name, "ufs", 24 * MIB, abilities)
        };
        kinds.push((kind, Source::Makefs(options)));
    }
    let ufs2 = Abilities {
        mtime: times(1, (-1 << 40, 1 << 40)),
        ..ufs
    };
    let sources: [(&str, super::Whole); 2] = [("ufs2", ufs2::little), ("ufs2-be", ufs2::big)];
    for (name, volume) in sources {
        let kind = Kind {
            modules: &["ufs"],
            options: "ufstype=ufs2",
            ..kind(name, "ufs", 24 * MIB, ufs2.clone())
        };
        kinds.push((kind, Source::Whole(volume)));
    }
    let qnx4 = Abilities {
        name: 48,
        fifos: false,
        devices: false,
        ..unix()
    };
    let qnx4 = Kind {
        modules: &["qnx4"],
        extra: qnx4::EXTRA,
        ..kind("qnx4", "qnx4", 16 * MIB, qnx4)
    };
    kinds.push((qnx4, Source::Whole(qnx4::volume)));
    // There is no count of links.
    let qnx6 = Abilities {
        owners: Owners::Large,
        hard_links: false,
        directory_links: DirectoryLinks::One,
        ..unix()
    };
    let sources: [(&str, super::Whole); 2] = [("qnx6", qnx6::little), ("qnx6-be", qnx6::big)];
    for (name, volume) in sources {
        let kind = Kind {
            modules: &["qnx6"],
            ..kind(name, "qnx6", 24 * MIB, qnx6.clone())
        };
        kinds.push((kind, Source::Whole(volume)));
    }
    // Linux reads no sockets of it, and FIFOs and sockets go together here.
    let efs = Abilities {
        fifos: false,
        ..unix()
    };
    let efs = Kind {
        modules: &["efs"],
        ..kind("efs", "efs", 16 * MIB, efs)
    };
    kinds.push((efs, Source::Whole(efs::volume)));
}

fn personal_computers(kinds: &mut Vec<(Kind, Source)>) {
    // Names are UTF-8, which Linux takes apart into characters of 16 bits. No count of links. Of longer targets Linux takes the
    // last byte away.
    let befs = Abilities {
        target: befs::SHORT_TARGET,
        owners: Owners::Large,
        hard_links: false,
        fifos: false,
        devices: false,
        bmp_names: true,
        any_bytes: false,
        mtime: times(SECOND, (0, 1 << 40)),
        directory_links: DirectoryLinks::One,
        ..unix()
    };
    let sources: [(&str, super::Whole); 2] = [("befs", befs::little), ("befs-be", befs::big)];
    for (name, volume) in sources {
        let kind = Kind {
            modules: &["befs", "nls_utf8"],
            options: "iocharset=utf8",
            ..kind(name, "befs", 24 * MIB, befs.clone())
        };
        kinds.push((kind, Source::Whole(volume)));
    }
    // Linux writes names of any bytes but 0x7f to 0x9f, which UTF-8 has. Days since 1978. Of links Linux itself does not read what it
    // wrote: a slash at the start means the directory above there.
    let affs = Abilities {
        owners: Owners::Medium,
        ascii_names: true,
        any_bytes: false,
        case_sensitive: false,
        name: 30,
        mtime: times(SECOND, (252_460_800, 1 << 34)),
        ..plain()
    };
    let sources: [(&str, super::Empty); 3] = [
        ("affs-ofs", affs::old),
        ("affs-ffs", affs::fast),
        ("affs-1k", affs::large_blocks),
    ];
    for (name, empty) in sources {
        let kind = Kind {
            modules: &["affs"],
            ..kind(name, "affs", 16 * MIB, affs.clone())
        };
        kinds.push((filled(kind), Source::Empty(empty)));
    }
    // Characters of 16 bits, which Linux composes; a slash and a colon change places. Seconds of 32 bits since 1904.
    let hfsplus = Abilities {
        owners: Owners::Large,
        bmp_names: true,
        any_bytes: false,
        case_sensitive: false,
        mtime: times(SECOND, (0, u32::MAX as i64 - 2_082_844_800)),
        directory_links: DirectoryLinks::Unknown,
        ..unix()
    };
    let hfsplus = Kind {
        modules: &["hfsplus", "nls_utf8"],
        ..kind("hfsplus", "hfsplus", 32 * MIB, hfsplus)
    };
    kinds.push((filled(hfsplus), Source::Empty(hfsplus::empty)));
    // Directories have 77 names of ten characters. Hundredths of a second since 1900, of
    // which Linux can count 2^63 nanoseconds; the root has no time.
    let adfs = Abilities {
        ascii_names: true,
        any_bytes: false,
        case_sensitive: false,
        name: 10,
        wide: 60,
        mtime: times(10_000_000, (0, 7_014_383_235)),
        root_time: false,
        ..plain()
    };
    let adfs = Kind {
        modules: &["adfs"],
        ..kind("adfs", "adfs", 14 * MIB, adfs)
    };
    kinds.push((adfs, Source::Whole(adfs::volume)));
    let omfs = Abilities {
        mtime: times(SECOND, (0, 1 << 40)),
        ..plain()
    };
    let omfs = Kind {
        modules: &["omfs"],
        ..kind("omfs", "omfs", 24 * MIB, omfs)
    };
    kinds.push((omfs, Source::Whole(omfs::volume)));
}
