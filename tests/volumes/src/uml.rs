//! A real Linux that runs as a process: Debian's `user-mode-linux`.
//!
//! It mounts images that were made here, fills them and reads them back, whatever this machine's own kernel knows and
//! without root rights. Its root is this machine's file system, read-only; only a job's own directory is writable. The
//! program that it starts is the binary of this crate (`volumes uml-init`), which reads a [`Job`], does it, and leaves a
//! [`Report`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, UnmountFlags};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};
use serde::{Deserialize, Serialize};

use crate::kind::{Abilities, Kind, Maker};
use crate::manifest::Manifest;
use crate::tree::{Plan, Tree};

/// How long one job may take.
const LIMIT: Duration = Duration::from_secs(900);
/// Where the image is mounted inside.
const MOUNT: &str = "/mnt";
/// Where the job's directory is writable inside.
const OUT: &str = "/media";
const DEVICE: &str = "/dev/ubda";

/// Starts user-mode Linux where it sees no extended registers.
///
/// It takes and gives back its processes' registers by ptrace, in a buffer of 2,696 bytes. On a processor with AMX they have 11,008, and this machine's
/// kernel refuses part of them (EFAULT), which user-mode Linux does not survive. Told that there are none, it takes the old ones alone.
/// What the others held is then lost at times, so the C library inside is told to use none of them. A filter stays with the thread that sets it
/// and with what that starts.
fn spawn(command: &mut Command) -> io::Result<Child> {
    std::thread::scope(|scope| {
        let spawning = scope.spawn(|| {
            seccompiler::apply_filter(&no_extended_registers().map_err(io::Error::other)?)
                .map_err(io::Error::other)?;
            command.spawn()
        });
        spawning
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that starts it panicked")))
    })
}

/// A filter by which `ptrace(PTRACE_GETREGSET, ..., NT_X86_XSTATE, ...)` fails.
fn no_extended_registers() -> Result<BpfProgram, seccompiler::BackendError> {
    const PTRACE: i64 = 101;
    const PTRACE_GETREGSET: u64 = 0x4204;
    const NT_X86_XSTATE: u64 = 0x202;
    const EIO: u32 = 5;
    let equal =
        |argument, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
    let rule = SeccompRule::new(vec![equal(0, PTRACE_GETREGSET)?, equal(2, NT_X86_XSTATE)?])?;
    let filter = SeccompFilter::new(
        [(PTRACE, vec![rule])].into_iter().collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(EIO),
        TargetArch::x86_64,
    )?;
    filter.try_into()
}

/// What is to be done with an image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    linux: String,
    modules: Vec<String>,
    options: String,
    fill: Option<Fill>,
    /// End without unmounting, as when the power fails, once everything has been synchronised.
    cut: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fill {
    plan: Plan,
    abilities: Abilities,
    options: String,
    fuse: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Report {
    error: Option<String>,
    manifest: Option<String>,
}

impl Job {
    /// Fills an image of `kind` and reads it back.
    pub fn fill(kind: &Kind, plan: &Plan, cut: bool) -> Job {
        let fill = match kind.maker {
            Maker::Filled { options, fuse, .. } => Some(Fill {
                plan: plan.clone(),
                abilities: kind.abilities.clone(),
                options: options.into(),
                fuse: fuse.map(Into::into),
            }),
            Maker::Packed { .. } => None,
        };
        Job {
            fill,
            cut,
            ..Job::read(kind)
        }
    }

    /// Only reads it.
    pub fn read(kind: &Kind) -> Job {
        Job {
            linux: kind.linux.into(),
            modules: kind.modules.iter().map(|&module| module.into()).collect(),
            options: kind.options.into(),
            fill: None,
            cut: false,
        }
    }

    /// Runs the job on `image` and returns the manifest that the user-mode Linux reads from it. `None`: it was filled
    /// through FUSE, or the power was cut, and there is nothing to read.
    pub fn run(&self, image: &Path) -> io::Result<Option<Manifest>> {
        let place = tempfile::tempdir()?;
        fs::write(place.path().join("job.json"), serde_json::to_string(self)?)?;
        let image = image.canonicalize()?;
        let log = fs::File::create(place.path().join("log"))?;
        let mut command = Command::new("linux.uml");
        command
            .args([
                "mem=384M",
                "rootfstype=hostfs",
                "rootflags=/",
                "ro",
                "root=/dev/root",
                "quiet",
                "panic=-1",
                // See [`spawn`].
                "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load",
            ])
            .args([
                "con=null",
                "con0=null,fd:1",
                "con1=null",
                "ssl=null",
                "uml_dir=/tmp",
            ])
            .arg(format!("ubd0={}", image.display()))
            .arg(format!("init={}", binary()?.display()))
            .arg("--")
            .arg("uml-init")
            .arg(place.path())
            .current_dir(place.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = spawn(&mut command).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("linux.uml (package user-mode-linux): {error}"),
            )
        })?;
        let started = Instant::now();
        while child.try_wait()?.is_none() {
            if started.elapsed() > LIMIT {
                child.kill()?;
                child.wait()?;
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let report = fs::read(place.path().join("report.json")).ok();
        let report: Option<Report> = report.and_then(|report| serde_json::from_slice(&report).ok());
        let Some(report) = report else {
            let log = fs::read(place.path().join("log"))?;
            let log = String::from_utf8_lossy(&log);
            let tail = log.lines().rev().filter(|line| !line.starts_with(" [<")).take(15);
            let mut tail: Vec<&str> = tail.collect();
            tail.reverse();
            return Err(io::Error::other(format!(
                "user-mode Linux left no report; it said:\n{}",
                tail.join("\n")
            )));
        };
        match report {
            Report {
                error: Some(error), ..
            } => Err(io::Error::other(format!("inside user-mode Linux: {error}"))),
            Report { manifest, .. } => manifest
                .map(|text| Manifest::parse(&text))
                .transpose()
                .map_err(io::Error::other),
        }
    }
}

/// The binary of this crate: beside the running program, or built now.
fn binary() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("volumes"));
    if let Some(found) = beside
        .clone()
        .chain([own.clone()])
        .find(|path| path.is_file() && path.ends_with("volumes"))
    {
        return Ok(found);
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "volumes"])
        .status()?;
    match beside.into_iter().find(|path| path.is_file()) {
        Some(found) if built.success() => Ok(found),
        _ => Err(io::Error::other(
            "the program `volumes` is not there; run cargo build -p volumes",
        )),
    }
}

/// The first process of the user-mode Linux: does the job in `place`, reports, and switches the machine off.
pub fn init(place: &Path) -> io::Result<()> {
    mount("proc", "/proc", "proc", "")?;
    mount("none", OUT, "hostfs", &place.display().to_string())?;
    let job: Job = serde_json::from_slice(&fs::read(Path::new(OUT).join("job.json"))?)?;
    let report = match job.act() {
        Ok(manifest) => Report {
            error: None,
            manifest: manifest.map(|manifest| manifest.to_string()),
        },
        Err(error) => Report {
            error: Some(error.to_string()),
            manifest: None,
        },
    };
    fs::write(
        Path::new(OUT).join("report.json"),
        serde_json::to_string(&report)?,
    )?;
    rustix::mount::unmount(OUT, UnmountFlags::empty())?;
    rustix::system::reboot(rustix::system::RebootCommand::PowerOff)?;
    Ok(())
}

fn mount(source: &str, target: &str, kind: &str, options: &str) -> io::Result<()> {
    mount_with(source, target, kind, MountFlags::empty(), options)
}

fn mount_with(source: &str, target: &str, kind: &str, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options)?;
    rustix::mount::mount(source, target, kind, flags, options.as_c_str())
        .map_err(|error| io::Error::other(format!("mounting {source} as {kind}: {error}")))
}

impl Job {
    fn act(&self) -> io::Result<Option<Manifest>> {
        for module in &self.modules {
            // modprobe looks below DIRECTORY/lib/modules.
            let tree = Path::new(OUT).join("lib");
            if !tree.exists() {
                fs::create_dir(&tree)?;
                std::os::unix::fs::symlink("/usr/lib/uml/modules", tree.join("modules"))?;
            }
            run("modprobe", &["-d", OUT, module])?;
        }
        if let Some(fill) = &self.fill {
            match &fill.fuse {
                Some(program) => run(program, &["-o", "nonempty", DEVICE, MOUNT])?,
                None => mount(DEVICE, MOUNT, &self.linux, &fill.options)?,
            }
            Tree::new(&fill.plan, &fill.abilities).write(Path::new(MOUNT))?;
            rustix::fs::sync();
            if self.cut {
                return Ok(None);
            }
            if fill.fuse.is_some() {
                // The program goes on writing after the unmount; umount -a of FUSE waits for it by its socket only.
                run("umount", &[MOUNT])?;
                wait_for_others()?;
                return Ok(None);
            }
            rustix::mount::unmount(MOUNT, UnmountFlags::empty())?;
        }
        mount_with(DEVICE, MOUNT, &self.linux, MountFlags::RDONLY, &self.options)?;
        let manifest = Manifest::of_directory(Path::new(MOUNT))?;
        rustix::mount::unmount(MOUNT, UnmountFlags::empty())?;
        Ok(Some(manifest))
    }
}

/// Waits until no program but this one is left (kernel threads have no command line).
fn wait_for_others() -> io::Result<()> {
    for _ in 0..600 {
        let others = fs::read_dir("/proc")?.flatten().filter(|entry| {
            let number = entry.file_name().to_string_lossy().parse::<u32>().ok();
            number.is_some_and(|number| number != 1)
                && fs::read(entry.path().join("cmdline")).is_ok_and(|line| !line.is_empty())
        });
        if others.count() == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(io::Error::other("the FUSE program does not end"))
}

fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    Err(io::Error::other(format!(
        "{program} {}: {}: {said}",
        arguments.join(" "),
        output.status
    )))
}
