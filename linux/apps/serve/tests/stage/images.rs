//! Images, the tree that they are made of, and this machine's own mount of them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use tempfile::TempDir;

use super::{noise, run};

/// A folder with images, and the tree that they were made of.
pub struct Stage {
    pub place: TempDir,
}

impl Stage {
    /// A tree of all kinds of names and files, and an ext4 of it: `disk.img`.
    pub fn new() -> Stage {
        let stage = Stage {
            place: tempfile::tempdir().unwrap(),
        };
        let tree = stage.path("tree");
        for folder in ["deep/er/and/deeper", "Grüße/日本", "empty", "many", "a b/c;d"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
        let write = |name: &str, bytes: &[u8]| fs::write(tree.join(name), bytes).unwrap();
        write("large", &noise(3_000_001, 7));
        write("text", b"one\ntwo\n");
        write("nothing", b"");
        write("deep/er/and/deeper/file", b"deep");
        write("Grüße/日本/ファイル.txt", "Unicode\n".as_bytes());
        write("a b/c;d/100% #1?.txt", b"marks");
        write("a b/-dash", b"dash");
        write("a b/qu\"ote & <tag>", b"quote");
        for number in 0..300 {
            write(
                &format!("many/file-{number:03}"),
                &noise(number * 7, number as u64),
            );
        }
        for (target, link) in [
            ("text", "to-file"),
            ("../text", "deep/to-file"),
            ("/text", "deep/absolute"),
            ("deep/er", "to-folder"),
            ("../../../../../../etc/passwd", "out"),
            ("/etc/passwd", "out-absolute"),
            ("nowhere", "broken"),
            ("..", "deep/back"),
        ] {
            symlink(target, tree.join(link)).unwrap();
        }
        fs::set_permissions(tree.join("text"), fs::Permissions::from_mode(0o600)).unwrap();
        run("mkfifo", &[tree.join("fifo").to_str().unwrap()]);
        for (name, when) in [
            ("text", "2001-02-03 04:05:06 UTC"),
            ("large", "1999-12-31 23:59:59 UTC"),
            ("many", "2038-02-01 00:00:00 UTC"),
        ] {
            run("touch", &["-d", when, tree.join(name).to_str().unwrap()]);
        }
        stage.make("disk.img", 64);
        stage
    }

    /// One with very many names in one folder, and with that one in another.
    pub fn crowded(odd: &[u8]) -> Stage {
        let stage = Stage::new();
        for number in 0..5000 {
            let name = format!("tree/many/another-file-with-a-longer-name-{number}");
            fs::write(stage.path(&name), b"x").unwrap();
        }
        let odd = stage.path("tree/a b").join(OsStr::from_bytes(odd));
        fs::write(odd, b"odd").unwrap();
        stage.make("disk.img", 96);
        stage
    }

    /// One with a disk in partitions, `parts.img`, and another image of the first one's name, `other/disk.img`.
    pub fn of_images() -> Stage {
        let stage = Stage::new();
        stage.partitioned("parts.img");
        fs::create_dir(stage.path("other")).unwrap();
        fs::copy(stage.path("disk.img"), stage.path("other/disk.img")).unwrap();
        stage
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// An ext4 of the tree.
    pub fn make(&self, name: &str, mib: u64) {
        File::create(self.path(name)).unwrap().set_len(mib << 20).unwrap();
        run(
            "/usr/sbin/mkfs.ext4",
            &["-q", "-F", "-d", &self.name("tree"), &self.name(name)],
        );
    }

    /// An empty file system of that kind: `ext4`, `btrfs`, `xfs`, `vfat`.
    pub fn blank(&self, kind: &str, name: &str, mib: u64) {
        File::create(self.path(name)).unwrap().set_len(mib << 20).unwrap();
        let force: &[&str] = match kind {
            "ext4" => &["-q", "-F"],
            "vfat" => &[],
            _ => &["-q", "-f"],
        };
        run(
            &format!("/usr/sbin/mkfs.{kind}"),
            &[force, &[&self.name(name)]].concat(),
        );
    }

    /// Copies the tree into an empty file system, by this machine's own Linux: needs root.
    pub fn filled(&self, name: &str) {
        let place = tempfile::tempdir().unwrap();
        let at = place.path().to_str().unwrap();
        run("mount", &["-o", "loop", &self.name(name), at]);
        let copied = super::try_run("cp", &["-a", &format!("{}/.", self.name("tree")), at]);
        unmount(at);
        assert!(copied.status.success(), "{}", super::lossy(&copied.stderr));
    }

    /// The file system's own check finds nothing. After a server that was killed, Linux mounts it first, as on any machine.
    pub fn check(&self, kind: &str, name: &str) {
        let image = self.name(name);
        match kind {
            "ext4" => run("/usr/sbin/e2fsck", &["-f", "-n", &image]),
            "btrfs" => run("btrfs", &["check", &image]),
            "xfs" => run("/usr/sbin/xfs_repair", &["-n", &image]),
            _ => run("/usr/sbin/fsck.fat", &["-n", &image]),
        };
    }

    /// What a machine does to an image that a crash has left: it mounts it, or repairs a FAT.
    pub fn recover(&self, kind: &str, name: &str) {
        if kind == "vfat" {
            let repaired = super::try_run("/usr/sbin/fsck.fat", &["-a", "-w", &self.name(name)]);
            assert!(matches!(repaired.status.code(), Some(0 | 1)));
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let at = place.path().to_str().unwrap();
        run("mount", &["-o", "loop", &self.name(name), at]);
        unmount(at);
    }

    /// A certificate of this machine's own address, and its key.
    pub fn certificate(&self, certificate: &str, key: &str) {
        run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                key,
                "-out",
                certificate,
            ],
        );
    }

    /// What is in a FAT, by mtools: not every machine's Linux has that file system.
    pub fn unpacked_fat(&self, name: &str) -> Native {
        let place = tempfile::tempdir().unwrap();
        let done = Command::new("mcopy")
            .args(["-s", "-n", "-m", "-i", &self.name(name), "::/*"])
            .arg(place.path())
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", super::lossy(&done.stderr));
        Native(place.path().to_owned(), Some((place, false)))
    }

    /// [`Stage::native`], or [`Stage::unpacked_fat`].
    pub fn shown(&self, kind: &str, name: &str) -> Native {
        match kind {
            "vfat" => self.unpacked_fat(name),
            _ => self.native(name),
        }
    }

    /// A disk with a GPT: the ext4, an empty partition, and a FAT.
    pub fn partitioned(&self, name: &str) {
        let disk = File::create(self.path(name)).unwrap();
        disk.set_len(128 << 20).unwrap();
        let table =
            "label: gpt\nstart=2048, size=131072\nstart=133120, size=2048\nstart=135168, size=65536\n";
        let mut sfdisk = Command::new("/usr/sbin/sfdisk")
            .args(["-q", &self.name(name)])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        sfdisk.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
        assert!(sfdisk.wait().unwrap().success());
        File::create(self.path("fat")).unwrap().set_len(32 << 20).unwrap();
        run("/usr/sbin/mkfs.vfat", &["-n", "FAT", &self.name("fat")]);
        for (image, sector) in [("disk.img", 2048u64), ("fat", 135_168)] {
            let bytes = fs::read(self.path(image)).unwrap();
            disk.write_all_at(&bytes, sector * 512).unwrap();
        }
    }

    /// An ext4 with a sparse file above 4 GiB, whose last bytes are these.
    pub fn huge(&self, end: &[u8]) -> u64 {
        let folder = self.path("huge-tree");
        fs::create_dir(&folder).unwrap();
        let file = File::create(folder.join("huge")).unwrap();
        let size = (5u64 << 30) + 12_345;
        file.set_len(size).unwrap();
        file.write_all_at(end, size - end.len() as u64).unwrap();
        file.write_all_at(b"middle", 4 << 30).unwrap();
        File::create(self.path("huge.img"))
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        let (folder, image) = (folder.to_str().unwrap(), self.name("huge.img"));
        run("/usr/sbin/mkfs.ext4", &["-q", "-F", "-d", folder, &image]);
        size
    }

    /// What this machine's own Linux shows of an image, where this is root; else the tree that it was made of.
    pub fn native(&self, image: &str) -> Native {
        if !geteuid().is_root() {
            return Native(self.path("tree"), None);
        }
        let place = tempfile::tempdir().unwrap();
        let at = place.path().to_str().unwrap().to_owned();
        run(
            "mount",
            &["-o", "ro,loop,nodev,nosuid,noexec", &self.name(image), &at],
        );
        Native(at.into(), Some((place, true)))
    }
}

/// Unmounts. What looks at each new mount, as desktops' services do, may have it for a moment.
fn unmount(at: &str) {
    for _ in 0..200 {
        if super::try_run("umount", &[at]).status.success() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    run("umount", &[at]);
}

/// A native mount, or what was copied out of an image. It ends with this.
pub struct Native(pub PathBuf, Option<(TempDir, bool)>);

impl Drop for Native {
    fn drop(&mut self) {
        if let Some((_, true)) = self.1 {
            unmount(self.0.to_str().unwrap());
        }
    }
}
