//! `userctl diag`: one archive with what helps to find a fault, and nothing of what files hold.
//!
//! What cannot be asked for is left out and said, in the archive and on stderr: an archive that says "the driver is not
//! running" is an answer, too.

use std::io::{self, Cursor, Write};
use std::path::Path;

use lklfs_client::{Driver, LogSource};
use serde::Serialize;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::driver::{self, failed, write_json};
use crate::exit::{Exit, Failure, reason};
use crate::text::hex;
use crate::{log, policy, status, volumes};

/// What was made, as `--json` writes it.
#[derive(Debug, Serialize)]
struct Report {
    /// The archive.
    file: String,
    /// What is in it.
    entries: Vec<String>,
    /// What is not, and why.
    problems: Vec<String>,
}

/// What this program is and where it runs.
#[derive(Debug, Serialize)]
struct About {
    userctl: &'static str,
    interface: String,
    system: &'static str,
    architecture: &'static str,
    time: String,
}

/// What goes into the archive.
#[derive(Debug, Default)]
struct Collected {
    entries: Vec<(&'static str, Vec<u8>)>,
    problems: Vec<String>,
}

impl Collected {
    /// Adds an entry, or why there is none.
    fn add(&mut self, name: &'static str, entry: Result<Vec<u8>, Failure>) {
        match entry {
            Ok(bytes) => self.entries.push((name, bytes)),
            Err(failure) => self.problems.push(format!("{name}: {failure}")),
        }
    }
}

/// Collects everything into `file`.
pub fn run(file: &Path, force: bool, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    // An answer to "where" before any work is done.
    if !force && file.symlink_metadata().is_ok() {
        return Err(not_written(
            file,
            "exists already",
            "choose another name, or replace it with --force",
        ));
    }
    let mut collected = Collected::default();
    collect(&mut collected);
    let problems = collected.problems.join("\n");
    if !problems.is_empty() {
        collected
            .entries
            .push(("problems.txt", format!("{problems}\n").into_bytes()));
    }
    let failed = |error: io::Error| not_written(file, &reason(&error), "free space there or write elsewhere");
    let bytes = archive(&collected.entries).map_err(|error| failed(error.into()))?;
    write(file, force, &bytes).map_err(failed)?;
    if json {
        let report = Report {
            file: file.display().to_string(),
            entries: collected
                .entries
                .iter()
                .map(|(name, _)| (*name).to_string())
                .collect(),
            problems: collected.problems,
        };
        return write_json(&report, out);
    }
    for problem in &collected.problems {
        eprintln!("userctl: warning: not in the archive: {problem}");
    }
    Ok(())
}

fn not_written(file: &Path, why: &str, advice: &str) -> Failure {
    Failure::new(
        Exit::Destination,
        format_args!("{}: {why}; {advice}", file.display()),
    )
}

fn collect(collected: &mut Collected) {
    let version = lklfs_client::VERSION;
    let about = About {
        userctl: env!("CARGO_PKG_VERSION"),
        interface: format!("{}.{}", version >> 16, version & 0xffff),
        system: std::env::consts::OS,
        architecture: std::env::consts::ARCH,
        time: jiff::Timestamp::now().to_string(),
    };
    collected.add("about.json", pretty(&about));
    match driver::look() {
        Ok(driver) => {
            collected.add(
                "status.json",
                status::ask(&driver).and_then(|report| pretty(&report)),
            );
            let list = driver
                .list()
                .and_then(|list| Ok((list, driver.places()?)))
                .map_err(failed);
            collected.add(
                "volumes.json",
                list.and_then(|(list, places)| pretty(&volumes::list(&list, &places))),
            );
            let kept = driver.policies().map_err(failed);
            collected.add(
                "policies.json",
                kept.and_then(|kept| pretty(&policy::report(kept, Vec::new()))),
            );
        }
        Err(failure) => {
            collected
                .problems
                .push(format!("status.json and all else of the driver: {failure}"));
            return;
        }
    }
    match driver::change() {
        Ok(driver) => {
            for (name, source) in [("linux.log", LogSource::Linux), ("driver.log", LogSource::Driver)] {
                collected.add(name, log::all(&driver, source).map(|(text, _)| text));
            }
            collected.add("superblocks.json", superblocks(&driver));
        }
        Err(failure) => collected
            .problems
            .push(format!("linux.log, driver.log, superblocks.json: {failure}")),
    }
}

/// What a volume begins with: no more than its file system's own superblock.
#[derive(Debug, Serialize)]
struct SuperblockReport {
    /// The NT name of the device.
    device: String,
    /// The file system.
    file_system: Option<String>,
    /// Where the bytes are, in bytes from the start of the device.
    offset: Option<u64>,
    /// The bytes, in hexadecimal.
    bytes: Option<String>,
    /// Why there are none.
    problem: Option<String>,
}

fn superblocks(driver: &Driver) -> Result<Vec<u8>, Failure> {
    let places = driver.places().map_err(failed)?;
    let known = places.iter().filter(|place| place.fs_name.is_some());
    let reports: Vec<SuperblockReport> = known
        .map(|place| {
            let told = driver.superblock(&place.device_units);
            let problem = told.as_ref().err().map(ToString::to_string);
            let told = told.ok();
            SuperblockReport {
                device: place.device.clone(),
                file_system: place.fs_name.clone(),
                offset: told.as_ref().map(|(offset, _)| *offset),
                bytes: told.as_ref().map(|(_, bytes)| hex(bytes)),
                problem,
            }
        })
        .collect();
    pretty(&reports)
}

fn pretty(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    write_json(value, &mut bytes).map(|()| bytes)
}

/// The bytes of the archive.
fn archive(entries: &[(&str, Vec<u8>)]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in entries {
        archive.start_file(*name, options)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Writes the whole file, or nothing.
fn write(file: &Path, force: bool, bytes: &[u8]) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut temporary = tempfile::Builder::new()
        .prefix(".userctl-")
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    temporary.write_all(bytes)?;
    match force {
        true => temporary.persist(file)?,
        false => temporary.persist_noclobber(file)?,
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_archive_holds_what_was_collected() {
        let entries = [("a.txt", b"one".to_vec()), ("b.txt", vec![b'x'; 100_000])];
        let bytes = archive(&entries).unwrap();
        assert!(bytes.len() < 5000, "it is not compressed");
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        for (name, content) in &entries {
            let mut read = Vec::new();
            archive.by_name(name).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == *content, "{name}");
        }
    }

    #[test]
    fn a_file_is_replaced_only_by_force() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("x.zip");
        write(&file, false, b"first").unwrap();
        assert!(write(&file, false, b"second").is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"first");
        write(&file, true, b"third").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"third");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
