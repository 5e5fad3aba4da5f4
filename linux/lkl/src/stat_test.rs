//! The layouts of struct statx and struct statfs against the system's own headers, and the decoding.

use super::*;
use layouts::Layouts;
use std::mem::offset_of;
use zerocopy::FromZeros;

#[test]
fn layouts_are_those_of_the_headers() {
    let mut layouts = Layouts::including("<linux/stat.h>\n<asm/statfs.h>");
    layouts.size("statx", size_of::<RawStatx>());
    for (member, offset) in [
        ("stx_nlink", offset_of!(RawStatx, nlink)),
        ("stx_mode", offset_of!(RawStatx, mode)),
        ("stx_ino", offset_of!(RawStatx, ino)),
        ("stx_size", offset_of!(RawStatx, size)),
        ("stx_blocks", offset_of!(RawStatx, blocks)),
        ("stx_attributes_mask", offset_of!(RawStatx, attributes_mask)),
        ("stx_atime", offset_of!(RawStatx, atime)),
        ("stx_btime", offset_of!(RawStatx, btime)),
        ("stx_mtime", offset_of!(RawStatx, mtime)),
        ("stx_rdev_major", offset_of!(RawStatx, rdev_major)),
        ("stx_dev_minor", offset_of!(RawStatx, dev_minor)),
        ("stx_mnt_id", offset_of!(RawStatx, mnt_id)),
        ("stx_dio_offset_align", offset_of!(RawStatx, dio_offset_align)),
    ] {
        layouts.offset("statx", member, offset);
    }
    layouts.size("statfs", size_of::<RawStatFs>());
    for (member, offset) in [
        ("f_bsize", offset_of!(RawStatFs, bsize)),
        ("f_bavail", offset_of!(RawStatFs, bavail)),
        ("f_ffree", offset_of!(RawStatFs, ffree)),
        ("f_fsid", offset_of!(RawStatFs, fsid)),
        ("f_namelen", offset_of!(RawStatFs, namelen)),
        ("f_frsize", offset_of!(RawStatFs, frsize)),
        ("f_flags", offset_of!(RawStatFs, flags)),
    ] {
        layouts.offset("statfs", member, offset);
    }
    layouts.compare();
}

#[test]
fn decoding() {
    let mut raw = RawStatx::new_zeroed();
    raw.mode = 0o104_755;
    raw.btime.sec = -5;
    raw.btime.nsec = u32::MAX;
    let stat = Statx::from_raw(&raw);
    assert_eq!(
        (stat.file_type(), stat.permissions()),
        (FileType::Regular, 0o4755)
    );
    assert_eq!(stat.btime, None);
    raw.mask = 0x800;
    let btime = Statx::from_raw(&raw).btime.unwrap();
    assert_eq!(btime.nanos(), -5_000_000_000 + 999_999_999);
    raw.mode = 0;
    assert_eq!(Statx::from_raw(&raw).file_type(), FileType::Unknown);
    let mut fs = RawStatFs::new_zeroed();
    fs.bsize = 4096;
    assert_eq!(StatFs::from_raw(&fs).fragment_size, 4096);
}
