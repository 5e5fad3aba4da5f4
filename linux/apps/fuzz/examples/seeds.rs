//! Makes the volumes in `seeds/` anew: `cargo run -p lkl-fuzz --example seeds`. Each is what the distribution's mkfs makes of the
//! same few files, without a mount: small enough that one execution looks at all of it.

use lkl_fuzz::seed::Seed;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

const UUID: &str = "6c6b6c66-7300-4d61-8000-000000000001";

/// A volume: the file's name, and shell commands that make `$IMAGE` of the folder `$TREE`.
const VOLUMES: [(&str, &str); 11] = [
    (
        "ext4",
        "mke2fs -q -t ext4 -b 1024 -O metadata_csum,64bit,^resize_inode,^has_journal -U $UUID -E hash_seed=$UUID -d $TREE $IMAGE 1m",
    ),
    (
        "ext4-nosum",
        "mke2fs -q -t ext4 -b 1024 -O ^metadata_csum,^resize_inode,^has_journal,inline_data -I 256 -U $UUID -E hash_seed=$UUID \
         -d $TREE $IMAGE 1m",
    ),
    (
        "ext4-journal",
        "mke2fs -q -t ext4 -b 1024 -O ^metadata_csum,^resize_inode -J size=1 -U $UUID -E hash_seed=$UUID -d $TREE $IMAGE 3m",
    ),
    (
        "xfs",
        "truncate -s 300m $IMAGE && mkfs.xfs -q -f -m uuid=$UUID -p $PROTO $IMAGE",
    ),
    (
        "btrfs",
        "truncate -s 128m $IMAGE && mkfs.btrfs -q -f -U $UUID -m single -d single --rootdir $TREE $IMAGE",
    ),
    (
        "f2fs",
        "truncate -s 64m $IMAGE && mkfs.f2fs -q -f -O extra_attr,sb_checksum $IMAGE >/dev/null && sload.f2fs -f $TREE $IMAGE >/dev/null",
    ),
    ("erofs", "mkfs.erofs -zlz4hc -T1000000000 -U $UUID $IMAGE $TREE"),
    (
        "squashfs",
        "mksquashfs $TREE $IMAGE -quiet -no-progress -all-root -comp gzip",
    ),
    (
        "ufs",
        "makefs -t ffs -o version=1 -T 1000000000 -s 1m $IMAGE $TREE",
    ),
    ("racy", "truncate -s 1m $IMAGE && mkfs.minix $IMAGE"),
    (
        "vfat",
        "truncate -s 1m $IMAGE && mkfs.fat -i 12345678 $IMAGE >/dev/null && mcopy -s -i $IMAGE $TREE/small $TREE/folder ::",
    ),
];

/// What mkfs.xfs fills its volume from: permissions and owners, and what is below.
const PROTO: &str = "/dev/null\n0 0\nd--755 0 0\nsmall ---644 0 0 TREE/small\nlarge ---644 0 0 TREE/large\nlink l--777 0 0 small\n\
                     pipe p--644 0 0\nfolder d--755 0 0\nNAMES$\n$\n";

fn main() {
    let scratch = tempfile::tempdir().expect("a folder for what is made");
    let tree = scratch.path().join("tree");
    plant(&tree);
    let names: String = (0..40)
        .map(|number| format!("name-{number:03} ---644 0 0 {}/small\n", tree.display()))
        .collect();
    let proto = PROTO
        .replace("TREE", &tree.display().to_string())
        .replace("NAMES", &names);
    fs::write(scratch.path().join("proto"), proto).expect("writable");
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    fs::create_dir_all(&seeds).expect("writable");
    for (name, command) in VOLUMES {
        let image = scratch.path().join(name);
        let status = Command::new("sh")
            .args(["-ec", command])
            .env(
                "PATH",
                format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()),
            )
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .env("E2FSPROGS_FAKE_TIME", "1000000000")
            .env("UUID", UUID)
            .env("TREE", &tree)
            .env("PROTO", scratch.path().join("proto"))
            .env("IMAGE", &image)
            .stdout(Stdio::null())
            .status()
            .expect("a shell");
        assert!(status.success(), "{name}: {status}");
        let packed = Seed::of(&fs::read(&image).expect("made")).pack();
        println!("{name}: {} bytes", packed.len());
        fs::write(seeds.join(name), packed).expect("writable");
    }
}

/// The files.
fn plant(tree: &Path) {
    let at = |name: &str| tree.join(name);
    fs::create_dir_all(at("folder/deep/deeper")).expect("writable");
    fs::write(at("small"), "hello\n").expect("writable");
    // Pseudo-random, so that it takes blocks whatever packs it, and then what packs well.
    let mut state = 1u32;
    let mut large: Vec<u8> = (0..12_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    large.extend([b'a'; 20_000]);
    fs::write(at("large"), &large).expect("writable");
    let sparse = fs::File::create(at("sparse")).expect("writable");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 300_000).expect("writable");
    symlink("small", at("link")).expect("writable");
    symlink("x".repeat(180), at("long-link")).expect("writable");
    fs::hard_link(at("small"), at("folder/same")).expect("writable");
    for number in 0..40 {
        fs::write(at(&format!("folder/name-{number:03}")), number.to_string()).expect("writable");
    }
    let _ = Command::new("mkfifo").arg(at("pipe")).status();
    let value = "v".repeat(60);
    for (name, value) in [("user.short", "1"), ("user.longer", value.as_str())] {
        let status = Command::new("setfattr")
            .args(["-n", name, "-v", value])
            .arg(at("large"))
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "setfattr is missing, or the folder for temporary files has no attributes"
        );
    }
}
