//! The folder that everything else is made from: `target/package/lklfs-VERSION`.
//!
//! [`Payload::files`] is the one list of what a user gets. The zip, the set-up program's list of what it installs and
//! deletes, and the trial under Wine all take it from there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use super::catalogue::{self, Member};
use super::inf_rules;
use super::sign::Signer;
use super::stamp::{self, Stamp};
use crate::repo;

/// Where the driver package comes from.
pub enum Driver {
    /// An `lklfs.sys` that was built here; INF, catalogue and signatures are made for it.
    Built(PathBuf),
    /// A folder with all three files, signed by somebody else: what Microsoft's dashboard returns.
    Signed(PathBuf),
}

/// What is packaged.
pub struct Ready {
    /// The driver.
    pub driver: Driver,
    /// `userctl.exe`.
    pub program: PathBuf,
    /// `userctl` of this machine, which writes the completions and the manual.
    pub native: PathBuf,
}

/// The folder and its files.
pub struct Payload {
    /// Where it is.
    pub folder: PathBuf,
    /// Its files, relative to it, sorted, with `/` between folders.
    pub files: Vec<String>,
    /// Whether Windows loads the driver in test-signing mode only.
    pub is_test: bool,
}

/// The driver package's part.
pub const DRIVER: &str = "driver";
/// The shells whose completions are made, and the files' names by which these shells find them.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "userctl.bash"),
    ("elvish", "userctl.elv"),
    ("fish", "userctl.fish"),
    ("powershell", "userctl.ps1"),
    ("zsh", "_userctl"),
];
/// The subcommands whose help is in `userctl.txt` are those that the help itself lists.
const MANUAL: &str = "doc/userctl.txt";

/// Makes the folder anew.
pub fn make(sh: &Shell, folder: &Path, ready: &Ready, signer: &Signer, stamp: &Stamp) -> Result<Payload> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    for part in [DRIVER, "completions", "doc"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let part = folder.join(DRIVER);
    let is_test = match &ready.driver {
        Driver::Built(sys) => {
            driver(sh, &part, sys, signer, stamp)?;
            signer.is_test()
        }
        Driver::Signed(from) => {
            signed(from, &part)?;
            false
        }
    };
    let program = folder.join("userctl.exe");
    // Its line tables are two thirds of it, and are for whoever builds it.
    let built = &ready.program;
    cmd!(sh, "x86_64-w64-mingw32-strip -p -o {program} {built}")
        .quiet()
        .run()
        .context("userctl.exe cannot be stripped")?;
    signer.sign(sh, &program)?;
    texts(sh, folder, ready, stamp)?;
    if is_test {
        signer.certificate(sh, &folder.join("lklfs-test.cer"))?;
    }
    let mut files = Vec::new();
    list(folder, "", &mut files)?;
    files.sort();
    let payload = Payload {
        folder: folder.to_owned(),
        files,
        is_test,
    };
    payload.date(stamp)?;
    Ok(payload)
}

impl Payload {
    /// Gives every file the stamp's time.
    fn date(&self, stamp: &Stamp) -> Result<()> {
        for file in &self.files {
            date(&self.folder.join(file), stamp)?;
        }
        Ok(())
    }

    /// The size of all files, in bytes.
    pub fn bytes(&self) -> Result<u64> {
        self.files
            .iter()
            .map(|file| Ok(fs::metadata(self.folder.join(file))?.len()))
            .sum()
    }
}

/// Gives a file the stamp's time.
pub fn date(file: &Path, stamp: &Stamp) -> Result<()> {
    let seconds = u64::try_from(stamp.seconds).context("a day before 1970")?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options()
        .write(true)
        .open(file)?
        .set_modified(time)
        .with_context(|| format!("{}: its time", file.display()))
}

/// The driver package: INF, image, catalogue.
fn driver(sh: &Shell, folder: &Path, built: &Path, signer: &Signer, stamp: &Stamp) -> Result<()> {
    let template = fs::read_to_string(repo::root().join("installer/lklfs.inf"))?;
    let inf = stamp.fill(&template)?;
    keeps_rules(&inf)?;
    let inf = windows_lines(&inf);
    let (inf_path, sys_path) = (folder.join("lklfs.inf"), folder.join("lklfs.sys"));
    fs::write(&inf_path, &inf)?;
    fs::copy(built, &sys_path)?;
    signer.sign(sh, &sys_path)?;
    let sys = fs::read(&sys_path)?;
    let members = [
        Member {
            name: "lklfs.inf",
            bytes: inf.as_bytes(),
        },
        Member {
            name: "lklfs.sys",
            bytes: &sys,
        },
    ];
    let made = catalogue::make(&members, stamp)?;
    catalogue::is_catalogue(&made)?;
    let path = folder.join("lklfs.cat");
    fs::write(&path, made)?;
    signer.sign(sh, &path)?;
    signer.verify(sh, &sys_path, Some(&path))?;
    // osslsigncode looks up images only; that the INF's hash is in what was signed is seen in the bytes.
    ensure!(
        catalogue::has(&fs::read(&path)?, inf.as_bytes()),
        "the signed catalogue has no hash of lklfs.inf"
    );
    // A check that passes whatever it is given would be none.
    let changed = path.with_extension("changed");
    let mut bytes = sys;
    if let Some(last) = bytes.get_mut(0x80) {
        *last ^= 1;
    }
    fs::write(&changed, bytes)?;
    let accepted = signer.verify(sh, &changed, Some(&path)).is_ok();
    fs::remove_file(&changed)?;
    ensure!(
        !accepted,
        "osslsigncode finds a driver in the catalogue that is not in it"
    );
    Ok(())
}

/// The driver package as somebody else signed it. Who that was is for Windows to judge; that the catalogue is for these files
/// is checked.
fn signed(from: &Path, folder: &Path) -> Result<()> {
    for name in ["lklfs.inf", "lklfs.sys", "lklfs.cat"] {
        let file = from.join(name);
        fs::copy(&file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    let read = |name: &str| fs::read(folder.join(name));
    let (inf, catalogue) = (read("lklfs.inf")?, read("lklfs.cat")?);
    keeps_rules(&String::from_utf8_lossy(&inf))?;
    catalogue::is_catalogue(&catalogue)?;
    for name in ["lklfs.inf", "lklfs.sys"] {
        ensure!(
            catalogue::has(&catalogue, &read(name)?),
            "the catalogue in {} is not for its {name}",
            from.display()
        );
    }
    Ok(())
}

/// An error that lists the rules that an INF breaks.
fn keeps_rules(inf: &str) -> Result<()> {
    let broken = inf_rules::check(inf, stamp::today()?);
    if !broken.is_empty() {
        let lines: Vec<_> = broken.iter().map(ToString::to_string).collect();
        bail!(
            "lklfs.inf breaks {} rules:\n  {}",
            lines.len(),
            lines.join("\n  ")
        );
    }
    Ok(())
}

/// Completions, manual, README, licence, where the source is.
fn texts(sh: &Shell, folder: &Path, ready: &Ready, stamp: &Stamp) -> Result<()> {
    let native = &ready.native;
    for (shell, name) in COMPLETIONS {
        let script = cmd!(sh, "{native} --completions {shell}").quiet().read()?;
        fs::write(folder.join("completions").join(name), format!("{script}\n"))?;
    }
    let doc = folder.join("doc");
    cmd!(sh, "{native} man {doc}").quiet().run()?;
    fs::write(folder.join(MANUAL), windows_lines(&manual(sh, native)?))?;
    let source = |name: &str| fs::read_to_string(repo::root().join(name));
    for (from, to) in [
        ("installer/README.txt", "README.txt"),
        ("installer/SOURCE.txt", "SOURCE.txt"),
        ("LICENSE", "LICENSE.txt"),
    ] {
        let text = source(from).with_context(|| format!("cannot read {from}"))?;
        let text = text.replace("@LINUX@", &linux(sh)?);
        fs::write(folder.join(to), windows_lines(&stamp.fill(&text)?))?;
    }
    Ok(())
}

/// The help of `userctl` and of each of its commands, as one text.
fn manual(sh: &Shell, native: &Path) -> Result<String> {
    let help = cmd!(sh, "{native} --help").quiet().read()?;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    let mut text = format!("{help}\n");
    for command in commands {
        let help = cmd!(sh, "{native} {command} --help").quiet().read()?;
        text.push_str(&format!("\n{}\nuserctl {command}\n\n{help}\n", "-".repeat(80)));
    }
    Ok(text)
}

/// Which Linux is inside: Debian's source package and its version.
fn linux(sh: &Shell) -> Result<String> {
    let listed = cmd!(sh, "dpkg-query -W -f '${Package} ${Version}' linux-source-6.12")
        .quiet()
        .ignore_status()
        .ignore_stderr()
        .read()?;
    Ok(if listed.is_empty() {
        "linux-source-6.12".to_owned()
    } else {
        listed
    })
}

/// Text with the line ends that every editor on Windows shows.
pub fn windows_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// Lists the files below `folder`.
fn list(folder: &Path, below: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder.join(below))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().context("a file's name is not UTF-8")?;
        let path = if below.is_empty() {
            name.to_owned()
        } else {
            format!("{below}/{name}")
        };
        if entry.file_type()?.is_dir() {
            list(folder, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
