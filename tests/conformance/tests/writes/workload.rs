//! What a program does whose end comes at any moment: it makes and changes files, syncs each change, and says which syncs have
//! returned. What it has said must be there afterwards, whatever else is.
//!
//! A step is known by its number alone, so that another process can tell what it has to find. Of the step that was under way,
//! and of what was never synced, either state is right, but no other: a file has the bytes from before or after, or any mixture
//! of the two where it was overwritten, and never those of another file.

use crate::kind::{self, Kind, add, boot, unmount};
use conformance::content::content;
use lkl::Errno;
use lkl_write::{OpenOptions, Volume};
use std::io::Write;
use std::path::Path;

/// The scenario of the process that is killed: writes until then.
pub const WRITER: &str = "a writer that is killed";
/// The scenario of the process that looks.
pub const VERIFIER: &str = "a look at what is left";
/// Variables with which both are started.
pub const IMAGE: &str = "LKLFS_CRASH_IMAGE";
pub const KIND: &str = "LKLFS_CRASH_KIND";
pub const STEPS: &str = "LKLFS_CRASH_STEPS";

/// After this many steps the files are those of the beginning again, with other bytes.
const FILES: usize = 24;
/// Files of one folder.
const FOLDER: usize = 8;

/// What a step does with its file.
enum Step {
    /// Makes it under another name, syncs it, and renames it to its own, over what is there; then syncs the folder.
    Replace,
    /// Overwrites its beginning, and makes it longer, or shorter.
    Change,
}

fn of(step: usize) -> (usize, Step) {
    let (round, file) = (step / FILES, step % FILES);
    let replace = round == 0 || (round + file).is_multiple_of(3);
    (file, if replace { Step::Replace } else { Step::Change })
}

fn folder(file: usize) -> String {
    format!("d{}", file / FOLDER)
}

fn name(file: usize) -> String {
    format!("{}/f{file}", folder(file))
}

fn bytes_of(step: usize) -> Vec<u8> {
    content(step, 1 + step.wrapping_mul(7919) % 40_000)
}

/// What the file has after so many steps. A change overwrites all of the shorter of the two, and sets the length.
fn file_after(file: usize, steps: usize) -> Option<Vec<u8>> {
    let last = (0..steps).rev().find(|step| step % FILES == file)?;
    Some(bytes_of(last))
}

/// Makes the folders, durably. Once, on an empty volume.
pub fn prepare(volume: &Volume) -> Result<(), Errno> {
    for file in (0..FILES).step_by(FOLDER) {
        volume.create_dir(folder(file).as_bytes())?;
    }
    volume.sync()
}

/// Does a step; it is durable when this returns.
pub fn step(volume: &Volume, step: usize) -> Result<(), Errno> {
    let (file, what) = of(step);
    let (path, bytes) = (name(file), bytes_of(step));
    let open = OpenOptions {
        write: true,
        create: true,
        ..OpenOptions::default()
    };
    match what {
        Step::Replace => {
            let other = format!("{path}.new");
            let new = volume.open(
                other.as_bytes(),
                OpenOptions {
                    truncate: true,
                    ..open
                },
            )?;
            new.write_all_at(&bytes, 0)?;
            new.sync()?;
            volume.rename(other.as_bytes(), path.as_bytes())?;
            volume.sync_dir(folder(file).as_bytes())
        }
        Step::Change => {
            let file = volume.open(path.as_bytes(), open)?;
            file.write_all_at(&bytes, 0)?;
            file.set_len(bytes.len() as u64)?;
            if step.is_multiple_of(2) {
                file.sync()
            } else {
                file.sync_data()
            }
        }
    }
}

/// What is wrong with a tree after these steps were said to be done, `read` being its files.
pub fn wrong(steps: usize, read: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in 0..FILES {
        let path = name(file);
        let found = read(&path);
        let wanted = file_after(file, steps);
        if found == wanted {
            continue;
        }
        // The step that was under way, which has changed this file if any.
        let may_be_under_way = steps % FILES == file;
        let right = match (&wanted, &found) {
            _ if !may_be_under_way => false,
            (Some(_), None) => false,
            // Made, and not yet written in full, or with no bytes of its own yet.
            (None, Some(found)) => *found == bytes_of(steps),
            (Some(before), Some(found)) => {
                let after = bytes_of(steps);
                match of(steps).1 {
                    Step::Replace => *found == after,
                    Step::Change => {
                        found.len() <= before.len().max(after.len()) && mixed(found, before, &after)
                    }
                }
            }
            (None, None) => true,
        };
        if !right {
            let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(Vec::len);
            wrong.push(format!(
                "{path} is not what was synced: {:?} bytes, and {:?} were (of {steps} steps)",
                len(&found),
                len(&wanted)
            ));
        }
    }
    wrong
}

/// Whether each byte is one of the two, or zero where there was none before, or where the rest of a block is cut off: that is
/// zeroed before the length is changed.
fn mixed(found: &[u8], before: &[u8], after: &[u8]) -> bool {
    let cut = after.len()..after.len().next_multiple_of(4096);
    found.iter().enumerate().all(|(at, byte)| {
        let may_be_zero = at >= before.len() || cut.contains(&at);
        before.get(at) == Some(byte) || after.get(at) == Some(byte) || (may_be_zero && *byte == 0)
    })
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// Works on the image until it is killed. A line to standard output says that a step is durable.
pub fn write_until_killed() {
    let kind = kind::named(&variable(KIND));
    let kernel = boot();
    let device = add(&kernel, Path::new(&variable(IMAGE)));
    let volume = Volume::mount(&kernel, &device, kind.name, "").unwrap();
    prepare(&volume).unwrap();
    let mut out = std::io::stdout();
    for number in 0.. {
        // That many steps are durable. When the parent has gone, so does this.
        if writeln!(out, "{number}").and_then(|()| out.flush()).is_err() {
            return;
        }
        step(&volume, number).unwrap();
    }
}

/// Looks at an image with the Linux of this program, which replays its journal. A failure says what is wrong.
pub fn verify() {
    let kind = kind::named(&variable(KIND));
    let steps: usize = variable(STEPS).parse().unwrap();
    let kernel = boot();
    let device = add(&kernel, Path::new(&variable(IMAGE)));
    let volume = match Volume::mount(&kernel, &device, kind.name, "") {
        Ok(volume) => volume,
        Err(errno) => panic!("{} does not mount: {errno}", kind.name),
    };
    let read = |path: &str| match volume.read(path.as_bytes()) {
        Ok(bytes) => Some(bytes),
        Err(Errno::ENOENT) => None,
        Err(errno) => panic!("{path}: {errno}"),
    };
    let wrong = wrong(steps, read);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The volume is one to go on with.
    volume.write(b"afterwards", b"works").unwrap();
    unmount(volume);
    device.remove().unwrap();
    kernel.halt();
}

/// Has another process look, and the file system's checker. What they find.
pub fn looked_at(kind: &Kind, image: &Path, steps: usize) -> Result<(), String> {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .env(crate::processes::SCENARIO, VERIFIER)
        .env(IMAGE, image)
        .env(KIND, kind.name)
        .env(STEPS, steps.to_string())
        .output()
        .unwrap();
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let from = text.find("panicked at").unwrap_or(0);
        return Err(format!("{}: {}", output.status, &text[from..]));
    }
    kind.damage(image).map_or(Ok(()), Err)
}
