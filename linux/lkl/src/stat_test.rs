//! The layouts of struct statx and struct statfs against the system's own headers, and the decoding.

use super::*;
use std::format;
use std::mem::offset_of;
use std::process::Command;
use std::string::String;
use zerocopy::FromZeros;

#[test]
fn layouts_are_those_of_the_headers() {
    let claims = [
        ("statx", "stx_nlink", offset_of!(RawStatx, nlink)),
        ("statx", "stx_mode", offset_of!(RawStatx, mode)),
        ("statx", "stx_ino", offset_of!(RawStatx, ino)),
        ("statx", "stx_size", offset_of!(RawStatx, size)),
        ("statx", "stx_blocks", offset_of!(RawStatx, blocks)),
        (
            "statx",
            "stx_attributes_mask",
            offset_of!(RawStatx, attributes_mask),
        ),
        ("statx", "stx_atime", offset_of!(RawStatx, atime)),
        ("statx", "stx_btime", offset_of!(RawStatx, btime)),
        ("statx", "stx_mtime", offset_of!(RawStatx, mtime)),
        ("statx", "stx_rdev_major", offset_of!(RawStatx, rdev_major)),
        ("statx", "stx_dev_minor", offset_of!(RawStatx, dev_minor)),
        ("statx", "stx_mnt_id", offset_of!(RawStatx, mnt_id)),
        (
            "statx",
            "stx_dio_offset_align",
            offset_of!(RawStatx, dio_offset_align),
        ),
        ("statfs", "f_bsize", offset_of!(RawStatFs, bsize)),
        ("statfs", "f_bavail", offset_of!(RawStatFs, bavail)),
        ("statfs", "f_ffree", offset_of!(RawStatFs, ffree)),
        ("statfs", "f_fsid", offset_of!(RawStatFs, fsid)),
        ("statfs", "f_namelen", offset_of!(RawStatFs, namelen)),
        ("statfs", "f_frsize", offset_of!(RawStatFs, frsize)),
        ("statfs", "f_flags", offset_of!(RawStatFs, flags)),
    ];
    let mut program = String::from("#include <linux/stat.h>\n#include <asm/statfs.h>\n");
    program += "_Static_assert(sizeof(struct statx) == 256 && sizeof(struct statfs) == 120, \"size\");\n";
    for (structure, member, offset) in claims {
        program += &format!(
            "_Static_assert(__builtin_offsetof(struct {structure}, {member}) == {offset}, \"{member}\");\n"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("stat.c");
    std::fs::write(&source, program).unwrap();
    let compiled = Command::new("cc")
        .args(["-fsyntax-only"])
        .arg(&source)
        .output()
        .expect("a C compiler");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
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
