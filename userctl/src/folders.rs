//! Volumes in folders, on Linux: `lklfuse` mounts them. It is another program because a program has one Linux in it, and this
//! one's cannot write.
//!
//! It is looked for beside this program, and then in PATH. What it has to say is said as this program's own, with the same exit codes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::Mount;
use crate::driver::{write_json, write_text};
use crate::exit::{Exit, Failure, reason};
use crate::table::{Align, Cell, table};
use crate::text::plain;

/// Its name.
const PROGRAM: &str = "lklfuse";

/// A volume in a folder, as `--json` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Folder {
    /// The image.
    pub image: String,
    /// The folder.
    pub folder: String,
    /// Whether it can be written to.
    pub writable: bool,
}

/// Those that are there.
#[derive(Debug, Serialize)]
struct List {
    folders: Vec<Folder>,
}

/// Mounts an image in a folder.
pub fn mount(options: &Mount, folder: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let settings = &options.settings;
    let of_the_driver = [
        ("--format", options.format.is_some()),
        ("--no-letter", options.no_letter),
        ("--everyone", settings.everyone.is_some()),
        ("--hide-dot-files", settings.hide_dot_files.is_some()),
        ("--owner", !settings.owner.is_empty()),
    ];
    if let Some((option, _)) = of_the_driver.into_iter().find(|(_, given)| *given) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!("{option} is for drive letters on Windows; leave it out"),
        ));
    }
    let mut words: Vec<String> = settings.options.iter().cloned().collect();
    words.extend(options.part.map(|part| format!("part={part}")));
    words.extend(settings.read_as.as_ref().map(|fs| format!("fs={fs}")));
    words.extend(options.no_recovery.then(|| "norecovery".to_owned()));
    let mut arguments = vec![options.target.clone(), folder.as_os_str().to_owned()];
    if !words.is_empty() {
        arguments.extend([OsString::from("-o"), words.join(",").into()]);
    }
    let output = run(&arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let (lines, mark) = (said.lines(), format!("{PROGRAM}: "));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(&mark).unwrap_or(line))
        .collect();
    if !output.status.success() {
        let exit = output.status.code().and_then(Exit::from_code);
        return Err(Failure::new(exit.unwrap_or(Exit::Other), lines.join(" ")));
    }
    for line in lines {
        eprintln!("userctl: {line}");
    }
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    if options.json {
        let there = list()
            .into_iter()
            .find(|there| Path::new(&there.folder) == folder);
        return write_json(&there, out);
    }
    write_text(
        &format!("{}\n", plain(folder.display().to_string().as_bytes())),
        out,
    )
}

/// Takes a volume out of its folder, and waits until everything is in the image.
pub fn unmount(folder: &Path, force: bool) -> Result<(), Failure> {
    let shown = folder.display();
    let place = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let there = list().into_iter().find(|there| Path::new(&there.folder) == place);
    let there = there.ok_or_else(|| {
        Failure::new(
            Exit::Volume,
            format_args!("{shown}: no volume is mounted there; see userctl list"),
        )
    })?;
    let how: &[&str] = if force { &["-u", "-z", "--"] } else { &["-u", "--"] };
    // Another program may look into a mount for a moment.
    let started = Instant::now();
    let output = loop {
        let output = Command::new("fusermount3").args(how).arg(&place).output();
        let output = output.map_err(|error| {
            let why = reason(&error);
            Failure::new(
                Exit::Other,
                format_args!("fusermount3: {why}; install fuse3, or use umount"),
            )
        })?;
        let busy = String::from_utf8_lossy(&output.stderr).contains("busy");
        if !busy || started.elapsed() > Duration::from_secs(1) {
            break output;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let busy = said.contains("busy");
        let (exit, advice) = match busy {
            true => (
                Exit::InUse,
                "close the programs that use it, or unmount with --force",
            ),
            false => (Exit::Rights, "run it as who has mounted it, or as root"),
        };
        let said = said.trim().trim_start_matches("fusermount3: ");
        return Err(Failure::new(exit, format_args!("{shown}: {said}; {advice}")));
    }
    if there.writable && !force {
        wait_for(Path::new(&there.image))?;
    }
    Ok(())
}

/// Waits until the program that wrote to an image has let go of it.
fn wait_for(image: &Path) -> Result<(), Failure> {
    const PATIENCE: Duration = Duration::from_secs(300);
    let started = Instant::now();
    // Who may not look does not wait.
    let Ok(file) = File::open(image) else {
        return Ok(());
    };
    while matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock)) {
        if started.elapsed() > PATIENCE {
            return Err(Failure::new(
                Exit::Timeout,
                format_args!("{}: it is still being written to", image.display()),
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Writes those that are there.
pub fn run_list(json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let folders = list();
    if json {
        return write_json(&List { folders }, out);
    }
    if folders.is_empty() {
        let text = "no volume is mounted in a folder; mount one with: userctl mount IMAGE DIR\n";
        return write_text(text, out);
    }
    let rows: Vec<[Cell; 3]> = folders
        .iter()
        .map(|there| {
            let access = if there.writable { "read and write" } else { "read" };
            [
                plain(there.folder.as_bytes()).into(),
                access.into(),
                plain(there.image.as_bytes()).into(),
            ]
        })
        .collect();
    let columns = [
        ("AT", Align::Left),
        ("ACCESS", Align::Left),
        ("SOURCE", Align::Left),
    ];
    write_text(&table(columns, &rows), out)
}

/// Those that are there.
pub fn list() -> Vec<Folder> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().filter_map(mounted).collect()
}

/// A line of the kernel's table, if it is of `lklfuse`.
fn mounted(line: &str) -> Option<Folder> {
    let mut fields = line.split(' ');
    let (image, folder, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let writable = fields.next()?.split(',').any(|option| option == "rw");
    (kind == "fuse.lklfuse").then(|| Folder {
        image: unescaped(image),
        folder: unescaped(folder),
        writable,
    })
}

/// Blanks and backslashes are written `\040` and so on there.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = (*first == b'\\').then(|| behind.get(..3)).flatten();
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[3..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs `lklfuse`.
fn run(arguments: &[OsString]) -> Result<Output, Failure> {
    let beside = std::env::current_exe()
        .ok()
        .map(|program| program.with_file_name(PROGRAM));
    let program = beside
        .filter(|program| program.is_file())
        .unwrap_or_else(|| PathBuf::from(PROGRAM));
    Command::new(&program).args(arguments).output().map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "it is not here; install it beside userctl or in PATH".to_owned(),
            _ => format!("{}; is it installed well?", reason(&error)),
        };
        Failure::new(Exit::Other, format_args!("{}: {what}", program.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let line = "/a\\040b\\134c.img /mnt/x\\011y fuse.lklfuse rw,nosuid,user_id=0 0 0";
        let wanted = Folder {
            image: "/a b\\c.img".to_owned(),
            folder: "/mnt/x\ty".to_owned(),
            writable: true,
        };
        assert_eq!(mounted(line), Some(wanted));
        assert!(!mounted("/a /b fuse.lklfuse ro 0 0").unwrap().writable);
        assert_eq!(mounted("/a /b ext4 rw 0 0"), None);
    }
}
