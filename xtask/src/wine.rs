//! What Wine can judge: the program for Windows and the host below it, run where there is no Windows.
//!
//! [`machine`] is a Windows of our own under cargo's target folder, and the only way in which anything is run in it; the
//! trial of the set-up program uses it too. On it, [`run`] shows these things:
//!
//! - the NT user host passes the suite that every host passes, and contains each kind of fault in Linux's code;
//! - `userctl.exe` prints, of an ext4 image, what `userctl` prints on Linux, copies a file, and ends bad requests with
//!   the same exit codes;
//! - `lklftpd.exe` and `lklserve.exe` ([`servers`]) serve it to this machine's curl;
//! - `lklget.exe` ([`network`]) fetches a file over Linux's own TCP;
//! - `fs2tar.exe`, `cptofs.exe` and `cpfromfs.exe` ([`copies`]) copy out of images and into them as on Linux;
//! - `lklfs.sys` ([`driver`]) goes as far as Wine lets it, and with a test driver that supplies what Wine lacks
//!   ([`volumes`]) it mounts images and shows what Linux shows.

mod copies;
mod crashes;
mod driver;
pub mod machine;
mod network;
mod servers;
mod volumes;
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use xshell::Shell;

use crate::library::Library;
use crate::toolchain::{Toolchain, Windows};
use crate::{repo, userctl};
use machine::{Ended, Machine};

/// The image that is read.
const IMAGE: &str = "ext4.img";
/// A file on it.
const FILE: &str = "/wide/file-0001";
/// How long one question to `userctl.exe` may stand still, in seconds.
const QUESTION: u32 = 60;
/// How long the suite for hosts may stand still, in seconds: some of its scenarios wait.
const SUITE: u32 = 120;
/// How long all of it may take. On two idle cores it is a few minutes.
const TIME: Duration = Duration::from_secs(20 * 60);

/// What is asked and answered alike: the same exit code, the same bytes on stdout.
const QUESTIONS: &[&[&str]] = &[
    &["info", IMAGE],
    &["info", IMAGE, "--json"],
    &["ls", IMAGE],
    &["ls", "-lR", IMAGE, "/deep"],
    &["cat", IMAGE, FILE],
    &["manifest", IMAGE],
    // Bad requests. Each has an exit code of its own, and one line on stderr.
    &["frobnicate"],
    &["info", "missing.img"],
    &["info", "zeros.img"],
    &["cat", IMAGE, "/no/such/file"],
    &["ls", IMAGE, "--part", "9"],
    &["cp", IMAGE, FILE, "taken"],
    // Linux divides by zero: its end, and not the program's.
    &["info", "divides.img"],
    &["ls", "divides.img"],
];

/// The programs to judge.
pub struct Subjects {
    userctl: PathBuf,
    suite: PathBuf,
    faults: PathBuf,
    writes: PathBuf,
    servers: servers::Programs,
    network: PathBuf,
    copies: copies::Programs,
    volumes: volumes::Programs,
}

/// What is built for Windows besides what a user installs.
const PACKAGES: &[&str] = &["conformance", "lkl-server", "lklcopy", "lklget", "wine-volume"];
const EXAMPLES: &[&str] = &["faults", "host", "writes"];
const PROGRAMS: &[&str] = &[
    "cpfromfs",
    "cptofs",
    "fs2tar",
    "lklftpd",
    "lklget",
    "lklserve",
    "wine-volume",
];

/// Builds them.
pub fn build(sh: &Shell) -> Result<Subjects> {
    let userctl = userctl::windows(sh, true)?;
    let target = Windows::Program;
    // All at once: one after the other, each would have the crates below compiled with its own features.
    Toolchain::find(sh, target)?
        .cargo(sh, target, "build")
        .args(["--release", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(PACKAGES.iter().flat_map(|name| ["-p", name]))
        .args(EXAMPLES.iter().flat_map(|name| ["--example", name]))
        .args(PROGRAMS.iter().flat_map(|name| ["--bin", name]))
        .args(["--config", userctl::LINKER])
        .run()
        .context("the programs to judge do not build for Windows")?;
    Ok(Subjects {
        userctl,
        suite: windows_program("examples/host")?,
        faults: windows_program("examples/faults")?,
        writes: windows_program("examples/writes")?,
        servers: servers::Programs::built()?,
        network: windows_program("lklget")?,
        copies: copies::Programs::built()?,
        volumes: volumes::Programs::built()?,
    })
}

/// Runs all of it; `sys` is the driver.
pub fn run(sh: &Shell, subjects: &Subjects, sys: &Path) -> Result<()> {
    let folder = repo::target_dir().join("wine");
    fs::create_dir_all(&folder)?;
    let machine = Machine::kept(&folder, TIME)?;
    crashes::check(sh, &machine)?;
    host(&machine, &subjects.suite)?;
    faults(&machine, &subjects.faults)?;
    writes(sh, &machine, &subjects.writes)?;
    programs(sh, &machine, &subjects.userctl)?;
    servers::run(sh, &machine, &subjects.servers)?;
    network::run(&machine, &subjects.network)?;
    copies::run(sh, &machine, &subjects.copies)?;
    library(sh, &machine)?;
    driver::run(sh, &machine, sys)?;
    volumes::run(sh, &machine, &subjects.volumes, sys)?;
    machine.off()
}

/// Where cargo has put a program for Windows.
fn windows_program(name: &str) -> Result<PathBuf> {
    let folder = repo::target_dir().join(Windows::Program.triple()).join("release");
    let path = folder.join(name).with_extension("exe");
    ensure!(path.is_file(), "cargo made no {}", path.display());
    Ok(path)
}

/// The NT user host passes the suite. What a host need not have, mapping scattered pages on a Windows without
/// placeholders, may be skipped.
fn host(machine: &Machine, suite: &Path) -> Result<()> {
    fs::copy(suite, machine.folder().join("host.exe"))?;
    let ended = machine.run("host.exe", &[], SUITE)?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let skipped = text.lines().filter(|line| line.contains("Skipped(")).count();
    let passed = text.lines().filter(|line| line.contains("Passed(")).count();
    if ended.code != 0 || passed == 0 {
        bail!("the NT user host, under Wine: {ended}\n{text}");
    }
    println!("NT user host: {passed} scenarios passed, {skipped} skipped");
    for line in text.lines().filter(|line| line.contains("Skipped(")) {
        println!("  {line}");
    }
    Ok(())
}

/// The NT user host contains each kind of fault in Linux's code.
fn faults(machine: &Machine, exe: &Path) -> Result<()> {
    fs::copy(exe, machine.folder().join("faults.exe"))?;
    let listed = machine.run("faults.exe", &[], QUESTION)?;
    let kinds = String::from_utf8_lossy(&listed.stdout).into_owned();
    ensure!(
        listed.code == 0 && !kinds.is_empty(),
        "faults.exe, under Wine: {listed}"
    );
    for kind in kinds.lines().map(str::trim) {
        let ended = machine.run("faults.exe", &[kind], QUESTION)?;
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        ensure!(
            ended.code == 0 && said.starts_with(&format!("contained: {kind}: ")),
            "a fault in Linux ({kind}) in the NT user host, under Wine: {ended}\n{said}"
        );
        print!("NT user host: {said}");
    }
    Ok(())
}

/// The NT user host writes to a volume what the POSIX host then finds there, and ext4's own checker finds nothing wrong.
fn writes(sh: &Shell, machine: &Machine, exe: &Path) -> Result<()> {
    let (name, folder) = ("written.img", machine.folder());
    fs::copy(exe, folder.join("writes.exe"))?;
    let image = folder.join(name);
    fs::File::create(&image)?.set_len(96 << 20)?;
    sh.cmd("/usr/sbin/mkfs.ext4")
        .args(["-q", "-b", "4096"])
        .arg(&image)
        .run()
        .context("the image was not made")?;
    let ended = machine.run("writes.exe", &[name], QUESTION)?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    ensure!(ended.code == 0, "writes.exe, under Wine: {ended}\n{said}");
    sh.cmd("/usr/sbin/e2fsck")
        .arg("-fn")
        .arg(&image)
        .ignore_stdout()
        .run()
        .context("e2fsck finds errors in what writes.exe has written under Wine")?;
    sh.cmd("cargo")
        .args([
            "run",
            "-q",
            "-p",
            "conformance",
            "--example",
            "writes",
            "--manifest-path",
        ])
        .arg(repo::root().join("Cargo.toml"))
        .arg("--")
        .arg(&image)
        .arg("check")
        .ignore_stdout()
        .run()
        .context("what writes.exe has written under Wine is not what the POSIX host finds")?;
    print!("NT user host: {said}");
    Ok(())
}

/// `userctl.exe` answers as `userctl` does.
fn programs(sh: &Shell, machine: &Machine, exe: &Path) -> Result<()> {
    let folder = machine.folder();
    let native = userctl::native(sh, false)?;
    material(sh, folder)?;
    fs::copy(exe, folder.join("userctl.exe"))?;
    let mut wrong = Vec::new();
    for question in QUESTIONS {
        let name = question.join(" ");
        let expected = here(&native, question, folder)?;
        let found = machine.run("userctl.exe", question, QUESTION)?;
        match difference(&expected, &found) {
            None => println!(
                "userctl.exe {name}: exit {}, {} bytes, as on Linux",
                found.code,
                found.stdout.len()
            ),
            Some(what) => wrong.push(format!("userctl.exe {name}: {what}")),
        }
    }
    let copied = machine.run("userctl.exe", &["cp", IMAGE, FILE, "copied"], QUESTION)?;
    let expected = here(&native, &["cat", IMAGE, FILE], folder)?.stdout;
    if copied.code != 0 || fs::read(folder.join("copied")).ok().as_ref() != Some(&expected) {
        wrong.push(format!("userctl.exe cp: the copy is not the file: {copied}"));
    }
    if !wrong.is_empty() {
        bail!("{} of the answers differ:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    println!("userctl.exe cp {FILE}: {} bytes, the file's", expected.len());
    Ok(())
}

/// Programs in C that mingw-w64 compiles with what `cargo xtask install --windows` installs boot Linux and read the image.
fn library(sh: &Shell, machine: &Machine) -> Result<()> {
    let prefix = machine.folder().join("prefix");
    Library::install_windows(sh, &prefix)?;
    fs::copy(prefix.join("bin/lkl.dll"), machine.folder().join("lkl.dll"))?;
    let sources = [
        ("version", "linux/examples/c"),
        ("readfs", "linux/examples/c"),
        ("unhalted", "xtask/src/wine"),
    ];
    for (name, source) in sources {
        sh.cmd("x86_64-w64-mingw32-gcc")
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
            .arg(machine.folder().join(name).with_extension("exe"))
            .arg(repo::root().join(format!("{source}/{name}.c")))
            .arg(format!("-I{}", prefix.join("include").display()))
            .arg(format!("-L{}", prefix.join("lib").display()))
            .arg("-llkl")
            .quiet()
            .run()
            .with_context(|| format!("{name}.c does not compile for Windows"))?;
    }
    let version = machine.run("version.exe", &[], QUESTION)?;
    ensure!(
        version.code == 0 && version.stdout.starts_with(b"Linux version 6."),
        "version.exe, under Wine: {version}"
    );
    let read = machine.run("readfs.exe", &[IMAGE, "ext4", FILE], QUESTION)?;
    let native = userctl::native(sh, false)?;
    let expected = here(&native, &["cat", IMAGE, FILE], machine.folder())?.stdout;
    ensure!(
        read.code == 0 && read.stdout == expected,
        "readfs.exe, under Wine, of {} bytes: {read}",
        expected.len()
    );
    let unhalted = machine.run("unhalted.exe", &[], QUESTION)?;
    ensure!(unhalted.code == 7, "unhalted.exe, under Wine: {unhalted}");
    println!(
        "lkl.dll: a program boots Linux, another reads {} bytes as on Linux",
        expected.len()
    );
    Ok(())
}

/// What is read, and what is in the way.
fn material(sh: &Shell, folder: &Path) -> Result<()> {
    sh.cmd("cargo")
        .args(["run", "-q", "-p", "volumes", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(["--", "make", "ext4"])
        .arg(folder.join(IMAGE))
        .run()
        .context("the image was not made")?;
    fs::write(folder.join("zeros.img"), vec![0; 1 << 20])?;
    divides_by_zero(sh, folder, "divides.img")?;
    fs::write(folder.join("taken"), "in the way")?;
    match fs::remove_file(folder.join("copied")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A UFS image whose superblock says that a cylinder group has no fragments, by which Linux divides.
fn divides_by_zero(sh: &Shell, folder: &Path, name: &str) -> Result<()> {
    const FRAGMENTS_PER_GROUP: usize = 8312;
    let tree = folder.join("one");
    fs::create_dir_all(&tree)?;
    fs::write(tree.join("f"), "hi\n")?;
    let image = folder.join(name);
    sh.cmd("makefs")
        .args(["-t", "ffs", "-o", "version=1", "-s", "1m"])
        .arg(&image)
        .arg(&tree)
        .quiet()
        .ignore_stdout()
        .run()
        .context("makefs makes no UFS")?;
    let mut bytes = fs::read(&image)?;
    bytes
        .get_mut(FRAGMENTS_PER_GROUP..FRAGMENTS_PER_GROUP + 4)
        .context("the image is too short")?
        .fill(0);
    Ok(fs::write(&image, bytes)?)
}

/// What is not the same in two answers. Messages name what the system says, which differs; that there is one line, or
/// none, stays. (Wine itself, and its services, say things on stderr too.)
fn difference(expected: &Ended, found: &Ended) -> Option<String> {
    if found.code != expected.code {
        return Some(format!("{found}; on Linux exit {}", expected.code));
    }
    if found.stdout != expected.stdout {
        return Some("prints something else than userctl".to_owned());
    }
    let lines = |ended: &Ended| {
        let said = String::from_utf8_lossy(&ended.stderr);
        said.lines().filter(|line| line.starts_with("userctl: ")).count()
    };
    (lines(found) != lines(expected)).then(|| format!("does not end with one line: {found}"))
}

/// Runs a program of this machine.
fn here(program: &Path, words: &[&str], folder: &Path) -> Result<Ended> {
    let output = Command::new(program)
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    Ok(Ended::of(output))
}

/// Compiles one C file for Windows.
pub fn compile(
    sh: &Shell,
    folder: &Path,
    name: &str,
    text: &str,
    output: &Path,
    options: &[&str],
) -> Result<()> {
    let source = folder.join(name);
    fs::write(&source, text)?;
    sh.cmd("x86_64-w64-mingw32-gcc")
        .args(["-Wall", "-Werror", "-O1"])
        .args(options)
        .arg("-o")
        .arg(output)
        .arg(source)
        .arg("-ladvapi32")
        .run()
        .with_context(|| format!("{name} does not compile"))?;
    ensure!(output.is_file(), "gcc made no {}", output.display());
    Ok(())
}
