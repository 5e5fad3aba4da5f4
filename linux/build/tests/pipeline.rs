//! The whole pipeline, and the program, on a Linux tree in miniature: a Makefile that answers to the targets that the
//! builder asks of kbuild, with a few lines of C. Nothing of Linux is needed.

use lkl_build::{Error, Request, Source, Target, build};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `make` targets as kbuild has them: the configuration is the fragment, with one symbol that is never granted.
const MAKEFILE: &str = r#"
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 9
CC = gcc -O2 -ffreestanding -fPIE -mcmodel=small -mno-red-zone -mgeneral-regs-only -fcf-protection=none -fno-stack-protector
allnoconfig:
	test "$(ARCH)" = lkl && test -z "$(CARGO)"
	grep -v STUBBORN $(KCONFIG_ALLCONFIG) > $(O)/.config
	echo allnoconfig >> $(O)/made
vmlinux_o:
	echo compiled >> $(O)/made
	$(CC) -c arch/lkl/kernel/port.c -Iinclude -o $(O)/vmlinux.o
init/version-timestamp.o:
	mkdir -p $(O)/init
	echo 'char lkl_date[] = "$(KBUILD_BUILD_TIMESTAMP)";' | $(CC) -x c -c - -o $@ -o $(O)/init/version-timestamp.o
arch/lkl/kernel/vmlinux.lds:
	mkdir -p $(O)/arch/lkl/kernel
	cp arch/lkl/kernel/vmlinux.lds.S $(O)/arch/lkl/kernel/vmlinux.lds
"#;

const PORT: &str = r#"
#include <generic.h>
extern char lkl_date[];
static long count = GENERIC;
static const char *const words[] = { "one", "two" };
const int numbers[] = { 1, 2, 3 };
static long zeroes[9];
long linux_boot(long x) { return count++ + words[x & 1][0] + lkl_date[0] + zeroes[x & 7] + numbers[x & 1]; }
"#;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let world = World {
            dir: tempfile::tempdir().unwrap(),
        };
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sections.lds");
        for (path, text) in [
            ("linux-6.12/Makefile", MAKEFILE),
            ("linux-6.12/include/generic.h", "#define GENERIC 5\n"),
            ("linux-6.12/arch/other/Kconfig", "config FOREIGN\n"),
            ("linux-6.12/Kconfig", "config KNOWN\nconfig STUBBORN\n"),
            ("repo/linux/arch/lkl/kernel/port.c", PORT),
            (
                "repo/linux/arch/lkl/include/asm/host_ops.h",
                "long linux_boot(long x);\n",
            ),
            (
                "repo/linux/arch/lkl/kernel/vmlinux.lds.S",
                &fs::read_to_string(scripts).unwrap(),
            ),
            ("repo/linux/configs/driver.config", "CONFIG_KNOWN=y\n"),
            (
                "repo/linux/configs/bad.config",
                "CONFIG_STUBBORN=y\nCONFIG_FOREIGN=y\nCONFIG_KNOWN=y\n",
            ),
            (
                "repo/linux/arch/lkl/include/asm/host_write.h",
                "long linux_disk_add_writable(long x);\n",
            ),
            (
                "repo/linux/configs/full.config",
                "# include driver.config\nCONFIG_LKL_HOSTBLK_WRITE=y\n",
            ),
            ("repo/linux/patches/README.md", "none\n"),
        ] {
            world.write(path, text);
        }
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn tarball(&self) -> PathBuf {
        let path = self.path("linux-6.12.tar.xz");
        let mut tar = Command::new("tar");
        tar.arg("-cJf")
            .arg(&path)
            .arg("-C")
            .arg(self.dir.path())
            .arg("linux-6.12");
        assert!(tar.status().unwrap().success());
        path
    }

    fn request(&self, source: Source) -> Request {
        Request {
            source,
            config: "driver".into(),
            root: self.path("repo"),
            jobs: 1,
            cache: self.path("cache"),
            object_tree: None,
        }
    }

    fn directory(&self) -> Request {
        self.request(Source::at(&self.path("linux-6.12")).unwrap())
    }

    /// What the Makefile noted in the only object tree there is.
    fn made(&self) -> Vec<String> {
        let work = fs::read_dir(self.path("cache/work"))
            .unwrap()
            .flatten()
            .map(|e| e.path());
        let tree = work
            .filter(|p| p.is_dir())
            .map(|p| p.join("obj/made"))
            .next()
            .unwrap();
        fs::read_to_string(tree)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

fn listing(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => files.extend(listing(&entry.path())),
            false => files.push((entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn a_tarball_becomes_both_objects_and_a_second_build_makes_nothing() {
    let world = World::new();
    let request = world.request(Source::at(&world.tarball()).unwrap());
    let coff = build(Target::Coff, &request).unwrap();
    let elf = build(Target::Elf, &request).unwrap();
    for file in [
        &coff.object,
        &coff.library,
        &elf.object,
        &elf.library,
        &elf.config,
        &coff.config,
    ] {
        assert!(file.is_file(), "{}", file.display());
    }
    assert_eq!(fs::read_to_string(&elf.config).unwrap(), "CONFIG_KNOWN=y\n");
    let report = fs::read_to_string(elf.dir.join("report.txt")).unwrap();
    for line in [
        "linux: 6.12.9",
        "patches to linux: 0",
        "configuration: driver (1 symbols asked for, all granted)",
    ] {
        assert!(report.contains(line), "{report}");
    }
    assert_eq!(world.made(), ["allnoconfig", "compiled"]);
    // The overlay's real folder is the only thing in the tree that is not a link.
    let tree = fs::read_dir(world.path("cache/work"))
        .unwrap()
        .flatten()
        .find(|e| e.path().is_dir())
        .unwrap()
        .path();
    assert!(
        fs::symlink_metadata(tree.join("tree/include"))
            .unwrap()
            .is_symlink()
    );
    assert!(
        fs::symlink_metadata(tree.join("tree/arch/other"))
            .unwrap()
            .is_symlink()
    );
    assert!(fs::symlink_metadata(tree.join("tree/arch/lkl")).unwrap().is_dir());
}

#[test]
fn a_folder_is_left_as_it_was() {
    let world = World::new();
    let before = listing(&world.path("linux-6.12"));
    build(Target::Coff, &world.directory()).unwrap();
    assert_eq!(listing(&world.path("linux-6.12")), before);
}

#[test]
fn what_the_object_depends_on_changes_the_key_and_nothing_else_does() {
    let world = World::new();
    let key = || build(Target::Elf, &world.directory()).unwrap().key;
    let first = key();
    world.write("repo/README.md", "elsewhere");
    // Of a kernel that is not instrumented.
    world.write("repo/linux/arch/lkl/fuzz/planted.c", "/* a bug */");
    assert_eq!(key(), first);
    world.write("repo/linux/arch/lkl/kernel/port.c", &format!("{PORT}/* more */"));
    let port = key();
    world.write(
        "repo/linux/configs/driver.config",
        "CONFIG_KNOWN=y\nCONFIG_MORE=y\n",
    );
    let config = key();
    world.write("linux-6.12/include/generic.h", "#define GENERIC 500\n");
    let source = key();
    let mut keys = vec![&first, &port, &config, &source];
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    world.write("repo/linux/arch/lkl/kernel/port.c", PORT);
    world.write("repo/linux/configs/driver.config", "CONFIG_KNOWN=y\n");
    world.write("linux-6.12/include/generic.h", "#define GENERIC 5\n");
}

/// The port with a function that writes, compiled whatever the configuration says.
const WRITES: &str = "\nlong linux_disk_add_writable(long x) { return linux_boot(x) + 1; }\n";

#[test]
fn a_kernel_that_writes_is_one_that_was_configured_to() {
    let world = World::new();
    let full = Request {
        config: "full".into(),
        ..world.directory()
    };
    // Declared, and not there.
    let error = build(Target::Elf, &full).unwrap_err().to_string();
    assert!(
        error.contains("visible symbol: `linux_disk_add_writable`"),
        "{error}"
    );

    world.write("repo/linux/arch/lkl/kernel/port.c", &format!("{PORT}{WRITES}"));
    let writes = build(Target::Coff, &full).unwrap();
    assert_eq!(writes.library.file_name(), Some("lkl-full.lib".as_ref()));
    let error = writes.refuse_writes().unwrap_err().to_string();
    assert!(
        error.contains("write to a disk: `linux_disk_add_writable`"),
        "{error}"
    );

    // The driver's kernel is refused with it, whether it is exported or not.
    let error = build(Target::Coff, &world.directory()).unwrap_err().to_string();
    assert!(
        error.contains("write to a disk: `linux_disk_add_writable`"),
        "{error}"
    );
    world.write("repo/linux/arch/lkl/kernel/port.c", PORT);
    let reads = build(Target::Coff, &world.directory()).unwrap();
    assert_eq!(reads.library.file_name(), Some("lkl-driver.lib".as_ref()));
    reads.refuse_writes().unwrap();
}

#[test]
fn an_included_fragment_changes_the_key() {
    let world = World::new();
    world.write("repo/linux/arch/lkl/kernel/port.c", &format!("{PORT}{WRITES}"));
    let full = Request {
        config: "full".into(),
        ..world.directory()
    };
    let before = build(Target::Elf, &full).unwrap();
    let text = fs::read_to_string(&before.config).unwrap();
    assert_eq!(text, "CONFIG_KNOWN=y\nCONFIG_LKL_HOSTBLK_WRITE=y\n");
    world.write(
        "repo/linux/configs/driver.config",
        "CONFIG_KNOWN=y\nCONFIG_MORE=y\n",
    );
    assert_ne!(build(Target::Elf, &full).unwrap().key, before.key);
}

#[test]
fn two_builds_at_once_make_one() {
    let world = World::new();
    let request = world.request(Source::at(&world.tarball()).unwrap());
    std::thread::scope(|scope| {
        let builds: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| build(Target::Coff, &request).unwrap().key))
            .collect();
        let keys: Vec<_> = builds.into_iter().map(|build| build.join().unwrap()).collect();
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    });
    assert_eq!(world.made(), ["allnoconfig", "compiled"]);
}

#[test]
fn a_file_of_the_port_that_did_not_change_keeps_its_time() {
    let world = World::new();
    let object_tree = world.path("kept");
    let request = Request {
        object_tree: Some(object_tree.clone()),
        ..world.directory()
    };
    build(Target::Elf, &request).unwrap();
    let time = |name: &str| {
        fs::metadata(object_tree.join("tree/arch/lkl").join(name))
            .unwrap()
            .modified()
            .unwrap()
    };
    let (port, header) = (time("kernel/port.c"), time("include/asm/host_ops.h"));
    world.write(
        "repo/linux/arch/lkl/kernel/port.c",
        &PORT.replace("words[x & 1]", "words[0]"),
    );
    fs::remove_file(world.path("repo/linux/arch/lkl/kernel/vmlinux.lds.S")).unwrap();
    world.write("repo/linux/arch/lkl/kernel/new.c", "");
    let error = build(Target::Elf, &request).unwrap_err().to_string();
    assert!(
        error.contains("vmlinux.lds.S"),
        "a file that was removed is removed there too: {error}"
    );
    assert_ne!(time("kernel/port.c"), port);
    assert_eq!(time("include/asm/host_ops.h"), header);
    assert!(object_tree.join("tree/arch/lkl/kernel/new.c").is_file());
}

#[test]
fn a_header_that_comes_or_goes_compiles_everything_again() {
    let world = World::new();
    build(Target::Elf, &world.directory()).unwrap();
    world.write("repo/linux/arch/lkl/kernel/port.c", &format!("{PORT}/* more */"));
    build(Target::Elf, &world.directory()).unwrap();
    let twice = ["allnoconfig", "compiled", "allnoconfig", "compiled"];
    assert_eq!(world.made(), twice, "the object tree is kept");
    world.write("repo/linux/arch/lkl/include/asm/irq.h", "");
    build(Target::Elf, &world.directory()).unwrap();
    assert_eq!(world.made(), ["allnoconfig", "compiled"], "a new tree");
}

#[test]
fn failures_name_the_thing() {
    let world = World::new();
    let error = |request: &Request| build(Target::Coff, request).unwrap_err();

    let bad = Request {
        config: "bad".into(),
        ..world.directory()
    };
    let text = error(&bad).to_string();
    assert!(matches!(error(&bad), Error::Config { .. }), "{text}");
    assert!(
        text.contains("CONFIG_STUBBORN: asked for y, got n: a dependency is not met"),
        "{text}"
    );
    assert!(!text.contains("KNOWN") && !text.contains("FOREIGN:"), "{text}");

    let absent = Request {
        config: "absent".into(),
        ..world.directory()
    };
    assert!(error(&absent).to_string().contains("linux/configs/absent.config"));

    world.write("repo/linux/patches/0001-change.patch", "x");
    assert!(
        error(&world.directory())
            .to_string()
            .contains("0001-change.patch")
    );
    fs::remove_file(world.path("repo/linux/patches/0001-change.patch")).unwrap();

    world.write(
        "repo/linux/arch/lkl/kernel/port.c",
        &format!("{PORT}\nlong odd = nonsense;\n"),
    );
    let text = error(&world.directory()).to_string();
    assert!(
        text.contains("make vmlinux_o failed") && text.contains("nonsense") && text.contains("build.log"),
        "{text}"
    );

    let calls = "\nvoid __attribute__((visibility(\"hidden\"))) nowhere(void);\nlong f(void) { nowhere(); return 1; }\n";
    world.write("repo/linux/arch/lkl/kernel/port.c", &format!("{PORT}{calls}"));
    let text = error(&world.directory()).to_string();
    assert!(
        text.contains("undefined symbol: `nowhere`: used 1 times, first by f"),
        "{text}"
    );
    assert!(text.contains("linked.o cannot be used"), "{text}");

    world.write("linux-6.12/Makefile", "all:\n");
    assert!(
        error(&world.directory())
            .to_string()
            .contains("its Makefile does not set VERSION")
    );

    world.write("broken.tar.xz", "this is no archive");
    let broken = world.request(Source::at(&world.path("broken.tar.xz")).unwrap());
    assert!(
        error(&broken)
            .to_string()
            .contains("broken.tar.xz: tar cannot unpack it")
    );
    // A failure leaves nothing that a later build would take for a result.
    for folder in ["cache/sources", "cache/kernel"] {
        let left = fs::read_dir(world.path(folder))
            .unwrap()
            .flatten()
            .map(|e| e.path());
        let left: Vec<_> = left
            .filter(|path| path.extension() != Some("lock".as_ref()))
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}

#[test]
fn the_program_says_what_is_missing() {
    let program = env!("CARGO_BIN_EXE_lkl-build");
    let world = World::new();
    let output = Command::new(program)
        .args(["--source", "/nowhere/linux.tar.xz"])
        .env("LKLFS_CACHE", world.path("cache"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.starts_with("lkl-build: no Linux source at /nowhere/linux.tar.xz: install"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
    let usage = Command::new(program)
        .arg("--target")
        .arg("macho")
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
