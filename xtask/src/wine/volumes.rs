//! Volumes under Wine: `lklfs.sys` is asked by `userctl.exe` to mount an image, and what its requests show of the tree is
//! compared with what Linux shows.
//!
//! Wine 8's I/O manager has no file systems. A test driver (`tests/wine/iomgr`) is loaded before `lklfs.sys`, into the same
//! process, and supplies the routines that Wine lacks; `wine-volume.exe` (`tests/wine`) sends it the requests of a whole
//! tree and prints a manifest, byte for byte as `userctl manifest` prints it on Linux. `lklfs.sys` itself is the file that
//! is shipped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use xshell::Shell;

use super::machine::{Ended, Machine};
use super::{here, windows_program};
use crate::{manifests, repo, userctl};

/// The test driver's service.
const IO_MANAGER: &str = "iomgr";
/// The driver's.
const LKLFS: &str = "lklfs";
/// Drivers of one group share a process.
const GROUP: &str = "lklfs under test";
/// How long a step may stand still, in seconds; and one in which Linux boots or stops.
const STEP: u32 = 60;
const LINUX: u32 = 180;
/// How long the reading of a whole tree may stand still, in seconds.
const TREE: u32 = 300;

/// An image, and how its files are read.
struct Image {
    file: &'static str,
    /// What `volumes` is told.
    make: &'static [&'static str],
    /// What it is converted to, if it is not raw.
    format: Option<&'static str>,
    /// Linux has to replay a journal, which it writes to memory.
    dirty: bool,
    /// What `wine-volume manifest` is told besides the device.
    readings: &'static [&'static [&'static str]],
}

/// What is mounted, one after the other.
const IMAGES: &[Image] = &[
    Image {
        file: "ext4.img",
        make: &["ext4"],
        format: None,
        dirty: false,
        readings: &[&["direct"], &["cached", "3"], &["userctl"]],
    },
    Image {
        file: "btrfs.img",
        make: &["btrfs"],
        format: None,
        dirty: false,
        readings: &[&["userctl", "2"]],
    },
    Image {
        file: "xfs.img",
        make: &["xfs", "--dirty"],
        format: None,
        dirty: true,
        readings: &[&["cached"]],
    },
    Image {
        file: "ext4.qcow2",
        make: &["ext4", "--dirty"],
        format: Some("qcow2"),
        dirty: true,
        readings: &[&["direct"]],
    },
];
/// The letter that is asked for.
const LETTER: &str = "L:";

/// Wine's only user.
const USER: &str = "S-1-5-21-0-0-0-1000";

/// What is built for this.
pub struct Programs {
    volume: PathBuf,
}

impl Programs {
    /// Where they are when they are built.
    pub fn built() -> Result<Programs> {
        Ok(Programs {
            volume: windows_program("wine-volume")?,
        })
    }
}

/// An image, and what Linux says about it.
struct Expected {
    image: &'static Image,
    /// As `userctl.exe` is told.
    windows_path: String,
    manifest: Vec<u8>,
    /// The same with times as NT's classes have them.
    in_nt_time: Vec<u8>,
    file_system: Value,
}

/// The machine with the services in it.
struct Scene<'a> {
    machine: &'a Machine,
}

/// Runs all of it; `sys` is the driver. The folder has `userctl.exe`.
pub fn run(sh: &Shell, machine: &Machine, programs: &Programs, sys: &Path) -> Result<()> {
    let images = machine.path("images");
    fs::create_dir_all(&images)?;
    fs::copy(&programs.volume, machine.folder().join("wine-volume.exe"))?;
    let drivers = machine.path("windows/system32/drivers");
    io_manager(sh, &drivers.join("iomgr.sys"))?;
    fs::copy(sys, drivers.join("lklfs.sys"))?;
    let expected: Vec<Expected> = IMAGES
        .iter()
        .map(|image| expected(sh, image, &images))
        .collect::<Result<_>>()?;
    let scene = Scene { machine };
    scene.remove_services()?;
    scene.create_services()?;
    let outcome = scene.play(&expected);
    let removed = scene.remove_services();
    outcome?;
    removed
}

/// Compiles the test driver to `output`.
fn io_manager(sh: &Shell, output: &Path) -> Result<()> {
    let folder = repo::root().join("tests/wine/iomgr");
    let mut sources: Vec<PathBuf> = fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "c"));
    sources.sort();
    sh.cmd("x86_64-w64-mingw32-gcc")
        .args([
            "-Wall",
            "-Wextra",
            "-Werror",
            "-O2",
            "-gdwarf-4",
            "-ffreestanding",
        ])
        .args(["-D_WIN32_WINNT=0x0A00", "-DNTDDI_VERSION=0x0A000000"])
        .arg("-I/usr/share/mingw-w64/include/ddk")
        .args(["-nostdlib", "-shared", "-Wl,--exclude-all-symbols"])
        .args(["-Wl,--subsystem,native", "-Wl,--entry,DriverEntry", "-o"])
        .arg(output)
        .args(sources)
        .args(["-lntoskrnl", "-lhal", "-lntdll", "-lkernel32"])
        .run()
        .context("the test driver does not compile")
}

/// Makes an image, and asks Linux about it.
fn expected(sh: &Shell, image: &'static Image, images: &Path) -> Result<Expected> {
    let name = image.file;
    let path = images.join(name);
    let made = match image.format {
        Some(_) => images.join("raw.img"),
        None => path.clone(),
    };
    sh.cmd("cargo")
        .args(["run", "-q", "-p", "volumes", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(["--", "make"])
        .args(image.make)
        .arg(&made)
        .run()
        .context("an image was not made")?;
    if let Some(format) = image.format {
        sh.cmd("qemu-img")
            .args(["convert", "-O", format])
            .args([&made, &path])
            .run()
            .with_context(|| format!("{name} was not converted"))?;
        fs::remove_file(&made)?;
    }
    let native = userctl::native(sh, false)?;
    let ask = |words: &[&str]| -> Result<Vec<u8>> {
        let ended = here(&native, words, images)?;
        ensure!(ended.code == 0, "userctl {}: {ended}", words.join(" "));
        Ok(ended.stdout)
    };
    let info: Value = serde_json::from_slice(&ask(&["info", name, "--json"])?)?;
    let manifest = String::from_utf8(ask(&["manifest", name])?)?;
    Ok(Expected {
        image,
        windows_path: format!("C:\\images\\{name}"),
        in_nt_time: manifests::in_nt_time(&manifest)?.into_bytes(),
        manifest: manifest.into_bytes(),
        file_system: info["file_system"].clone(),
    })
}

impl Scene<'_> {
    fn run(&self, program: &str, words: &[&str], seconds: u32) -> Result<Ended> {
        self.machine.run(program, words, seconds)
    }

    /// A step that must succeed, and what it prints.
    fn step(&self, program: &str, words: &[&str], seconds: u32) -> Result<Vec<u8>> {
        let ended = self.run(program, words, seconds)?;
        ensure!(
            ended.code == 0,
            "{program} {}, under Wine: {ended}",
            words.join(" ")
        );
        Ok(ended.stdout)
    }

    /// What `userctl.exe` answers in JSON.
    fn asked(&self, words: &[&str]) -> Result<Value> {
        let stdout = self.step("userctl.exe", words, LINUX)?;
        serde_json::from_slice(&stdout).with_context(|| format!("userctl.exe {}: no JSON", words.join(" ")))
    }

    fn create_services(&self) -> Result<()> {
        for (service, file, kind) in [
            (IO_MANAGER, "iomgr.sys", "kernel"),
            (LKLFS, "lklfs.sys", "filesys"),
        ] {
            let path = format!("C:\\windows\\system32\\drivers\\{file}");
            self.step(
                "sc",
                &[
                    "create", service, "binPath=", &path, "type=", kind, "start=", "demand", "group=", GROUP,
                ],
                STEP,
            )?;
        }
        Ok(())
    }

    /// Stops and deletes what is there; a run that was interrupted may have left it.
    fn remove_services(&self) -> Result<()> {
        for service in [LKLFS, IO_MANAGER] {
            for verb in ["stop", "delete"] {
                self.run("sc", &[verb, service], LINUX)?;
            }
        }
        Ok(())
    }

    /// The whole play: every image is mounted, compared and unmounted; then one is mounted when the driver is stopped, and
    /// again by a driver that was started afresh.
    fn play(&self, images: &[Expected]) -> Result<()> {
        self.step("net", &["start", IO_MANAGER], STEP)?;
        self.step("net", &["start", LKLFS], STEP)?;
        let missing = self.run("userctl.exe", &["mount", "C:\\missing.img"], STEP)?;
        ensure!(
            missing.code == 3,
            "userctl.exe mount of a missing file: {missing}"
        );
        for expected in images {
            self.mount(expected)?;
            for reading in expected.image.readings {
                self.compare(expected, reading)?;
            }
            self.unmount()?;
        }
        let Some(last) = images.first() else {
            bail!("no image");
        };
        self.rights(last)?;
        self.mount(last)?;
        self.in_use()?;
        self.mount(last)?;
        // It lets go first, as on NT it must.
        self.stopped("userctl.exe", &["stop"])?;
        self.step("net", &["start", LKLFS], STEP)?;
        self.mount(last)?;
        self.compare(last, &["cached"])?;
        // Wine's service manager stops it also when it has not been asked to let go.
        self.stopped("net", &["stop", LKLFS])?;
        self.step("net", &["stop", IO_MANAGER], STEP)?;
        println!(
            "lklfs.sys under Wine: unmounted by force with a file open; stopped with a volume mounted, by userctl and by \
             the service manager, started and mounted again; nothing left over"
        );
        Ok(())
    }

    /// Mounts an image by `userctl.exe`, which must then list it as Linux has it.
    fn mount(&self, expected: &Expected) -> Result<()> {
        let file = expected.image.file;
        let mounted = self.asked(&["mount", &expected.windows_path, LETTER, "--json"])?;
        ensure!(mounted["letter"] == "L", "mounted as {mounted}");
        let list = self.asked(&["list", "--json"])?;
        let volumes = list["volumes"].as_array().context("a list without volumes")?;
        let [volume] = &volumes[..] else {
            bail!("one volume is mounted, and the list is {list}");
        };
        let there = &expected.file_system;
        for (here, theirs) in [
            ("file_system", "name"),
            ("label", "label"),
            ("uuid", "uuid"),
            ("total", "total"),
            ("free", "free"),
        ] {
            ensure!(
                volume[here] == there[theirs],
                "{file}: {here} is {}, on Linux {}",
                volume[here],
                there[theirs]
            );
        }
        ensure!(
            volume["volume"] == mounted["volume"] && volume["letter"] == "L" && volume["image"] == true,
            "the list says {volume}"
        );
        ensure!(
            (volume["overlay"] != 0) == expected.image.dirty,
            "{file}: Linux wrote {} bytes to memory",
            volume["overlay"]
        );
        let status = self.asked(&["status", "--json"])?;
        ensure!(
            status["linux"]["state"] == "running" && status["volumes"] == 1 && status["handles"] == 0,
            "the status is {status}"
        );
        Ok(())
    }

    /// The manifest through the driver is Linux's.
    fn compare(&self, expected: &Expected, reading: &[&str]) -> Result<()> {
        let device = format!("\\??\\{LETTER}");
        let words = [&["manifest", &device], reading].concat();
        let (file, reading) = (expected.image.file, reading.join(" x "));
        let found = self.step("wine-volume.exe", &words, TREE)?;
        // The driver's own controls tell nanoseconds, NT's classes 100 of them.
        let wanted = match reading.starts_with("userctl") {
            true => &expected.manifest,
            false => &expected.in_nt_time,
        };
        if found != *wanted {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (there, here) = (text(wanted), text(&found));
            let differing = there
                .lines()
                .zip(here.lines())
                .find(|(there, here)| there != here);
            bail!(
                "{file}, {reading}: the driver shows {} lines, Linux {}; first difference: {differing:?}",
                here.lines().count(),
                there.lines().count()
            );
        }
        println!(
            "{file} through lklfs.sys under Wine, {reading}: {} entries, byte for byte as on Linux",
            found.iter().filter(|byte| **byte == b'\n').count()
        );
        Ok(())
    }

    /// Who may read what: everyone everything, which is how the driver mounts if it is not told otherwise; then what the modes
    /// allow, to others and to the owner whom a mount makes the user. The volume is left unmounted.
    fn rights(&self, expected: &Expected) -> Result<()> {
        let device = format!("\\??\\{LETTER}");
        let owner = format!("uid:0={USER}");
        for (options, who) in [
            (&[][..], "everyone"),
            (&["--everyone", "no"], "other"),
            (&["--everyone", "no", "--owner", &owner], "0"),
        ] {
            let mount = [&["mount", &expected.windows_path, LETTER], options].concat();
            self.step("userctl.exe", &mount, LINUX)?;
            let opens = self.step("wine-volume.exe", &["rights", &device, who], TREE)?;
            println!(
                "{} opened as an administrator and as a standard user, with the rights of {who}: {}",
                expected.image.file,
                String::from_utf8_lossy(&opens).trim_end()
            );
            self.unmount()?;
        }
        Ok(())
    }

    /// An unmount while a file is open is refused, and done by force; then nothing is mounted.
    fn in_use(&self) -> Result<()> {
        let device = format!("\\??\\{LETTER}");
        self.step("wine-volume.exe", &["busy", &device, "\\big", LETTER], LINUX)?;
        self.nothing_mounted()
    }

    fn unmount(&self) -> Result<()> {
        self.step("userctl.exe", &["unmount", LETTER], LINUX)?;
        self.nothing_mounted()
    }

    fn nothing_mounted(&self) -> Result<()> {
        let list = self.asked(&["list", "--json"])?;
        ensure!(
            list["volumes"] == Value::Array(Vec::new()),
            "left after unmount: {list}"
        );
        Ok(())
    }

    /// Stops the driver by this program; it must have given everything back.
    fn stopped(&self, program: &str, words: &[&str]) -> Result<()> {
        self.step(program, words, LINUX)?;
        self.step("wine-volume.exe", &["left-over"], STEP)?;
        Ok(())
    }
}
