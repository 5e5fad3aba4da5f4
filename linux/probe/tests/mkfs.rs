//! Every file system that this machine can make, made by its own mkfs, told by `probe`, and compared with `blkid`.
//!
//! Needs the mkfs tools that `cargo xtask` installs; a missing one fails its case by name.

use fs_probe::{Kind, ReadAt, ReadError, probe};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

struct Image(File);

impl ReadAt for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.0.read_exact_at(buffer, offset).map_err(|_| ReadError)
    }

    fn size(&self) -> Option<u64> {
        Some(self.0.metadata().unwrap().len())
    }
}

struct Case {
    kind: Kind,
    /// What `blkid` calls it.
    blkid: &'static str,
    /// Size of the empty image, MiB; 0 when the tool makes the file itself.
    mib: u64,
    /// The command line; `{}` is the image, `{src}` a small folder.
    command: &'static str,
}

const fn case(kind: Kind, blkid: &'static str, mib: u64, command: &'static str) -> Case {
    Case {
        kind,
        blkid,
        mib,
        command,
    }
}

const CASES: &[Case] = &[
    case(Kind::Ext2, "ext2", 8, "mkfs.ext2 -q -L Wald {}"),
    case(Kind::Ext2, "ext2", 8, "mkfs.ext2 -q -r 0 {}"),
    case(Kind::Ext3, "ext3", 16, "mkfs.ext3 -q -L Wiese {}"),
    case(Kind::Ext4, "ext4", 16, "mkfs.ext4 -q -L sixteen-bytes-ab {}"),
    case(Kind::Ext4, "ext4", 16, "mkfs.ext4 -q -b 1024 -O ^has_journal {}"),
    case(Kind::Btrfs, "btrfs", 128, "mkfs.btrfs -q -L Bütterchen {}"),
    case(Kind::Xfs, "xfs", 300, "mkfs.xfs -q -L drei {}"),
    case(Kind::F2fs, "f2fs", 64, "mkfs.f2fs -q -l Blitz {}"),
    case(
        Kind::Squashfs,
        "squashfs",
        0,
        "mksquashfs {src} {} -quiet -no-progress -noappend",
    ),
    case(Kind::Erofs, "erofs", 0, "mkfs.erofs {} {src}"),
    case(Kind::Vfat, "vfat", 2, "mkfs.vfat -F 12 -n ZWOELF {}"),
    case(Kind::Vfat, "vfat", 32, "mkfs.vfat -F 16 -n SECHZEHN {}"),
    case(Kind::Vfat, "vfat", 64, "mkfs.vfat -F 32 -n ZWO32 {}"),
    case(Kind::Vfat, "vfat", 64, "mkfs.vfat -F 32 -S 4096 {}"),
    case(Kind::Exfat, "exfat", 16, "mkfs.exfat -L Groß {}"),
    case(Kind::Ntfs, "ntfs", 16, "mkntfs -q -F -L Fenster {}"),
    case(
        Kind::Iso9660,
        "iso9660",
        0,
        "genisoimage -quiet -R -V SCHEIBE -o {} {src}",
    ),
    case(Kind::Udf, "udf", 16, "mkudffs --label=Scheibchen {}"),
    case(Kind::Udf, "udf", 16, "mkudffs --blocksize=512 --label=Ω {}"),
    case(Kind::Hfs, "hfs", 4, "hformat -l Apfel {}"),
    case(Kind::Jfs, "jfs", 16, "jfs_mkfs -q -L Blau {}"),
    case(Kind::Nilfs2, "nilfs2", 160, "mkfs.nilfs2 -q -L Strom {}"),
    case(Kind::Minix, "minix", 4, "mkfs.minix -1 {}"),
    case(Kind::Minix, "minix", 4, "mkfs.minix -2 -n 30 {}"),
    case(Kind::Minix, "minix", 4, "mkfs.minix -3 {}"),
    case(Kind::Romfs, "romfs", 0, "genromfs -f {} -d {src} -V rom"),
    case(Kind::Cramfs, "cramfs", 0, "mkfs.cramfs -n Krampf {src} {}"),
    case(Kind::Ufs, "ufs", 0, "makefs -t ffs -s 4m -o version=1 {} {src}"),
];

fn run(program: &str, args: &[String]) -> std::process::Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(args)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Makes the image of a case.
fn make(case: &Case, image: &Path, source: &Path) {
    if case.mib > 0 {
        File::create(image).unwrap().set_len(case.mib << 20).unwrap();
    }
    let words = case.command.split(' ').map(|word| {
        word.replace("{src}", source.to_str().unwrap())
            .replace("{}", image.to_str().unwrap())
    });
    let words: Vec<String> = words.collect();
    let output = run(&words[0], &words[1..]);
    assert!(
        output.status.success(),
        "{}: {}",
        case.command,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What blkid says, in the form that escapes unusual characters without loss.
fn blkid(image: &Path) -> HashMap<String, String> {
    let output = run(
        "blkid",
        &[
            "-p".into(),
            "-o".into(),
            "udev".into(),
            image.display().to_string(),
        ],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(key, value)| (key.to_string(), unescape(value)))
        .collect()
}

fn unescape(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(
        folder.path().join("src/file"),
        (0..50_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>(),
    )
    .unwrap();
    folder
}

#[test]
fn told_as_blkid_tells() {
    for (index, case) in CASES.iter().enumerate() {
        let folder = folder();
        let image = folder.path().join(format!("image{index}"));
        make(case, &image, &folder.path().join("src"));
        let found = probe(&Image(File::open(&image).unwrap()))
            .unwrap_or_else(|| panic!("{}: not recognised", case.command));
        assert_eq!(found.kind, case.kind, "{}", case.command);
        let expected = blkid(&image);
        assert_eq!(
            expected.get("ID_FS_TYPE").map(String::as_str),
            Some(case.blkid),
            "{}",
            case.command
        );
        // blkid does not look for a label in UFS1, and does not tell HFS's by this name.
        if let Some(label) = expected.get("ID_FS_LABEL_ENC") {
            assert_eq!(found.label.as_str(), label, "{}", case.command);
        } else {
            assert!(
                found.label.is_empty(),
                "{}: label {:?}",
                case.command,
                found.label
            );
        }
        if let (Some(uuid), Some(found)) = (expected.get("ID_FS_UUID_ENC"), found.uuid) {
            // UDF's and HFS's are made differently and not looked for; where there is one, it is the same.
            assert_eq!(
                found.to_string().to_lowercase(),
                uuid.to_lowercase(),
                "{}",
                case.command
            );
        }
        if let Some(size) = found.size_bytes {
            let len = std::fs::metadata(&image).unwrap().len();
            assert!(
                size <= len.next_multiple_of(4096),
                "{}: {size} of {len}",
                case.command
            );
        }
    }
}

/// What Linux does not need to mount a volume is not needed here either.
#[test]
fn what_linux_mounts_without_is_not_needed() {
    let cases: [(&str, &[(u64, usize)]); 6] = [
        ("mkfs.vfat -F 12", &[(510, 2)]),
        ("mkfs.vfat -F 16", &[(510, 2), (0, 3)]),
        ("mkfs.vfat -F 32 -n", &[(510, 2)]),
        // The anchor at block 256, of blocks of 512 and of 2048 bytes: others are at the end.
        ("mkudffs --label", &[(256 * 512, 512)]),
        ("mkudffs --blocksize=512", &[(256 * 512, 512)]),
        // The first superblock.
        ("mkfs.nilfs2", &[(1024, 1024)]),
    ];
    for (start, erased) in cases {
        let case = CASES.iter().find(|case| case.command.starts_with(start)).unwrap();
        let folder = folder();
        let image = folder.path().join("image");
        make(case, &image, &folder.path().join("src"));
        let whole = probe(&Image(File::open(&image).unwrap()));
        let file = File::options().write(true).open(&image).unwrap();
        for (offset, length) in erased {
            file.write_all_at(&vec![0; *length], *offset).unwrap();
        }
        let found = probe(&Image(File::open(&image).unwrap()));
        assert_eq!(found, whole, "{}", case.command);
        assert!(found.is_some());
    }
}

/// A volume with damage: some bytes differ, and it ends early.
struct Damaged<'a> {
    bytes: &'a [u8],
    flips: Vec<(u64, u8)>,
}

impl ReadAt for Damaged<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.bytes.read_at(offset, buffer)?;
        for (place, value) in &self.flips {
            if let Some(byte) = place
                .checked_sub(offset)
                .and_then(|at| buffer.get_mut(at as usize))
            {
                *byte = *value;
            }
        }
        Ok(())
    }
}

#[test]
fn damage_does_not_matter() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for case in CASES
        .iter()
        .filter(|case| matches!(case.kind, Kind::Vfat | Kind::Ntfs | Kind::Udf | Kind::Exfat))
    {
        let folder = folder();
        let image = folder.path().join("image");
        make(case, &image, &folder.path().join("src"));
        let mut bytes = std::fs::read(&image).unwrap();
        bytes.truncate(2 << 20);
        for _ in 0..2000 {
            let flips = (0..4).map(|_| (random() % 512, random() as u8)).collect();
            let end = (random() % bytes.len() as u64) as usize;
            // No panic is all that is asked.
            let _ = probe(&Damaged {
                bytes: &bytes[..end],
                flips,
            });
        }
    }
    let _ = probe(&Damaged {
        bytes: &[],
        flips: Vec::new(),
    });
}

#[test]
fn nothing_is_not_something() {
    assert_eq!(probe(&vec![0u8; 1 << 20][..]), None);
    assert_eq!(probe(&vec![0xffu8; 1 << 20][..]), None);
    assert_eq!(probe(&[0u8; 10][..]), None);
}
