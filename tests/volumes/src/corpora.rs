//! Damaged images from the test suites of e2fsprogs and btrfs-progs, run through `userctl` in bounded time.
//!
//! The images come in the distribution's source packages, which its own package manager fetches: a list of sources is
//! derived from this machine's, so no address is written down here. They are unpacked into the cache once. Each is then
//! read by `userctl manifest` in a process of its own. What comes of it is one of:
//!
//! - `ok`: every entry was read; many of the images are damaged in ways that only a repair program sees.
//! - `refused`: one clear line and a documented exit code.
//! - `panic`: Linux panicked; `userctl` contained it and said so.
//! - `timeout`: `userctl` gave up at its own time limit.
//! - `crash` (a signal) and `hang` (not even the time limit worked), and output that breaks the rules: these fail.
//!
//! No image from here ever meets this machine's kernel.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What to run, over what, for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The userctl to test [default: the one beside this program]
    #[arg(long)]
    pub userctl: Option<PathBuf>,
    /// Stop starting new images after this time
    #[arg(long, value_name = "SECONDS", default_value_t = 160)]
    pub budget: u64,
    /// The time limit of one image
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub limit: u64,
    /// Only images whose name contains this
    #[arg(long, default_value = "")]
    pub only: String,
    /// How many at a time
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
    /// Print a line for each image
    #[arg(long)]
    pub verbose: bool,
}

/// The source packages.
const PACKAGES: [&str; 2] = ["e2fsprogs", "btrfs-progs"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Refused,
    Panic,
    Timeout,
    Crash,
    Hang,
    /// No documented exit code, or not one line for a failure.
    Unruly,
}

/// Runs `userctl` over the images; fails if any crashed, hung or broke the rules, or if there was none.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let program = match &options.userctl {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("userctl"),
    };
    if !program.is_file() {
        return Err(io::Error::other(format!(
            "{}: no userctl there; build it or use --userctl",
            program.display()
        )));
    }
    let mut images = images()?;
    images.retain(|(name, _)| name.contains(&options.only));
    // A fixed order in which neighbours differ, so that a run that is cut short has seen something of everything.
    images.sort_by_key(|(name, _)| {
        name.bytes()
            .fold(7, |sum, byte| crate::content::mix(sum ^ u64::from(byte)))
    });
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while started.elapsed() < Duration::from_secs(options.budget) {
                    let Some((name, image)) = images.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        return;
                    };
                    let began = Instant::now();
                    let (outcome, said) = match try_one(&program, image, Duration::from_secs(options.limit)) {
                        Ok(result) => result,
                        Err(error) => (Outcome::Unruly, error.to_string()),
                    };
                    if options.verbose {
                        println!("{outcome:?} {name} ({} ms): {said}", began.elapsed().as_millis());
                    }
                    results
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((outcome, name, said));
                }
            });
        }
    });
    let mut results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(_, name, _)| (*name).clone());
    report(&results, images.len(), started.elapsed())
}

fn report(results: &[(Outcome, &String, String)], all: usize, time: Duration) -> io::Result<ExitCode> {
    use Outcome::{Crash, Hang, Ok, Panic, Refused, Timeout, Unruly};
    for (outcome, name, said) in results
        .iter()
        .filter(|(outcome, ..)| !matches!(outcome, Ok | Refused))
    {
        println!("{outcome:?}: {name}: {said}");
    }
    let count = |wanted| results.iter().filter(|(outcome, ..)| *outcome == wanted).count();
    let bad = count(Crash) + count(Hang) + count(Unruly);
    println!(
        "damaged images: {} of {all} run in {} s: {} ok, {} refused, {} panics contained, {} timeouts, {} crashes, \
         {} hangs, {} unruly",
        results.len(),
        time.as_secs(),
        count(Ok),
        count(Refused),
        count(Panic),
        count(Timeout),
        count(Crash),
        count(Hang),
        count(Unruly)
    );
    Result::Ok(if bad == 0 && !results.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn try_one(program: &Path, image: &Path, limit: Duration) -> io::Result<(Outcome, String)> {
    let mut child = Command::new(program)
        .arg("manifest")
        .arg(image)
        .arg("--timeout")
        .arg(limit.as_secs().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = child.stderr.take().ok_or_else(|| io::Error::other("no stderr"))?;
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    // Its own limit, and as much again as a loaded machine may need to act on it.
    let status = wait(&mut child, limit * 2 + Duration::from_secs(10))?;
    let said = reader.join().unwrap_or_default();
    let last = said.lines().last().unwrap_or_default().to_string();
    let orderly = said.lines().all(|line| line.starts_with("userctl: "));
    let outcome = match status.map(|status| status.code()) {
        None => Outcome::Hang,
        Some(None) => Outcome::Crash,
        Some(Some(0)) if said.is_empty() || orderly => Outcome::Ok,
        _ if !orderly || said.is_empty() => Outcome::Unruly,
        Some(Some(4..=6)) => Outcome::Refused,
        Some(Some(7)) => Outcome::Panic,
        Some(Some(9)) => Outcome::Timeout,
        _ => Outcome::Unruly,
    };
    let status = status.map_or_else(|| "killed".to_string(), |status| status.to_string());
    Ok((outcome, if last.is_empty() { status } else { last }))
}

/// Waits for the end of a child until `limit`, and ends it then. `None`: it had to be ended.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The images by name, unpacked into the cache.
fn images() -> io::Result<Vec<(String, PathBuf)>> {
    let place = crate::make::cache().with_file_name("corpora");
    let done = place.join("done");
    if !done.exists() {
        fs::create_dir_all(&place)?;
        let sources = fetch(&place)?;
        for source in sources {
            unpack(&source, &place)?;
        }
        fs::write(&done, "")?;
    }
    let mut images = Vec::new();
    for package in PACKAGES {
        for entry in fs::read_dir(place.join(package))? {
            let entry = entry?;
            images.push((
                format!("{package}/{}", entry.file_name().to_string_lossy()),
                entry.path(),
            ));
        }
    }
    Ok(images)
}

/// Has apt fetch the packages' sources; returns the archives.
fn fetch(place: &Path) -> io::Result<Vec<PathBuf>> {
    let release = fs::read_to_string("/etc/os-release")?;
    let release = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or_default();
    let parts = place.join("sources.list.d");
    fs::create_dir_all(&parts)?;
    fs::create_dir_all(place.join("lists/partial"))?;
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    files.extend(
        fs::read_dir("/etc/apt/sources.list.d")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    for file in files {
        let (Some(name), Ok(text)) = (file.file_name(), fs::read_to_string(&file)) else {
            continue;
        };
        let sources = match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => source_lines(&text, release),
            Some("sources") => source_stanzas(&text, release),
            _ => String::new(),
        };
        if !sources.is_empty() {
            fs::write(parts.join(name), sources)?;
        }
    }
    let apt = |arguments: &[&str]| -> io::Result<()> {
        let output = Command::new("apt-get")
            .current_dir(place)
            .args([
                "-qq",
                "-o",
                "Dir::Etc::sourcelist=/dev/null",
                "-o",
                "APT::Sandbox::User=root",
            ])
            .arg("-o")
            .arg(format!("Dir::Etc::sourceparts={}", parts.display()))
            .arg("-o")
            .arg(format!("Dir::State::lists={}", place.join("lists").display()))
            .args(["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="])
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "apt-get {}: {}: {said}",
                arguments.join(" "),
                output.status
            )))
        }
    };
    apt(&["update"])?;
    for package in PACKAGES {
        apt(&["source", "--download-only", package])?;
    }
    let is_archive = |path: &PathBuf| {
        path.to_string_lossy().contains(".orig.tar.") && path.extension() != Some("asc".as_ref())
    };
    Ok(fs::read_dir(place)?
        .flatten()
        .map(|entry| entry.path())
        .filter(is_archive)
        .collect())
}

/// Whether a suite belongs to the distribution's release: `NAME`, or `NAME-updates` and the like.
fn is_release(suite: &str, release: &str) -> bool {
    !release.is_empty()
        && suite
            .strip_prefix(release)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// `deb` lines of the release as `deb-src` lines.
fn source_lines(text: &str, release: &str) -> String {
    let lines = text
        .lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("deb "));
    let lines = lines.filter(|line| line.split_whitespace().any(|word| is_release(word, release)));
    lines.map(|line| format!("deb-src {line}\n")).collect()
}

/// Stanzas of the release with their types changed to `deb-src`.
fn source_stanzas(text: &str, release: &str) -> String {
    let field = |line: &str, name: &str| {
        let (found, value) = line.split_once(':')?;
        found
            .trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().to_string())
    };
    let mut all = String::new();
    for stanza in text.split("\n\n") {
        let suites = stanza
            .lines()
            .find_map(|line| field(line, "Suites"))
            .unwrap_or_default();
        if !suites.split_whitespace().any(|suite| is_release(suite, release)) {
            continue;
        }
        for line in stanza.lines() {
            all.push_str(if field(line, "Types").is_some() {
                "Types: deb-src"
            } else {
                line
            });
            all.push('\n');
        }
        all.push('\n');
    }
    all
}

/// Takes the images out of one source archive.
fn unpack(archive: &Path, place: &Path) -> io::Result<()> {
    let name = archive
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let Some(package) = PACKAGES
        .into_iter()
        .find(|package| name.starts_with(&format!("{package}_")))
    else {
        return Ok(());
    };
    let scratch = tempfile::tempdir_in(place)?;
    let status = Command::new("tar")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(scratch.path())
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("tar: {name}: {status}")));
    }
    let out = place.join(package);
    fs::create_dir_all(&out)?;
    let mut todo = vec![scratch.path().to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                todo.push(path);
                continue;
            }
            let below = path.strip_prefix(scratch.path()).unwrap_or(&path);
            // Without the folder that is named after the version.
            let below = below
                .iter()
                .skip(1)
                .map(|part| part.to_string_lossy())
                .collect::<Vec<_>>()
                .join("_");
            if below.starts_with("tests_") {
                extract(&path, &below, &out)?;
            }
        }
    }
    Ok(())
}

/// Unpacks `path` to `out` if it is an image.
fn extract(path: &Path, name: &str, out: &Path) -> io::Result<()> {
    let (stem, program) = match name {
        _ if name.ends_with(".gz") => (&name[..name.len() - 3], Some("gzip")),
        _ if name.ends_with(".xz") => (&name[..name.len() - 3], Some("xz")),
        _ if name.ends_with(".bz2") => (&name[..name.len() - 4], Some("bzip2")),
        _ => (name, None),
    };
    let raw = stem.ends_with(".raw") || stem.ends_with("image");
    // What btrfs-image has made: metadata only, to be restored.
    let dump = stem.ends_with(".img");
    if !raw && !dump {
        return Ok(());
    }
    let image = out.join(stem);
    match program {
        Some(program) => {
            let mut child = Command::new(program)
                .arg("-dc")
                .arg(path)
                .stdout(Stdio::piped())
                .spawn()?;
            let mut from = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
            write_sparse(&mut from, &image)?;
            child.wait()?;
        }
        None => write_sparse(&mut File::open(path)?, &image)?,
    }
    if dump {
        let restored = out.join(format!("{stem}.restored"));
        let status = Command::new("btrfs-image")
            .args(["-r", "-t", "1"])
            .args([&image, &restored])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        // Some are raw images, and some cannot be restored; those are run as they are.
        if status.success() {
            fs::rename(&restored, &image)?;
        } else {
            let _ = fs::remove_file(&restored);
        }
    }
    Ok(())
}

fn write_sparse(from: &mut dyn Read, to: &Path) -> io::Result<()> {
    let file = File::create(to)?;
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0u64;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return file.set_len(size);
        }
        if buffer[..count].iter().any(|&byte| byte != 0) {
            file.write_all_at(&buffer[..count], size)?;
        }
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_derived_from_the_release_only() {
        let lines = "# deb x bookworm main\ndeb [signed-by=k] a bookworm main\ndeb b other-bookworm main\n";
        assert_eq!(
            source_lines(lines, "bookworm"),
            "deb-src [signed-by=k] a bookworm main\n"
        );
        let stanzas = "Types: deb\nURIs: a\nSuites: bookworm bookworm-updates\nComponents: main\n\nTypes: deb\nURIs: b\nSuites: x\n";
        let found = source_stanzas(stanzas, "bookworm");
        assert!(
            found.starts_with("Types: deb-src\nURIs: a\n") && !found.contains("URIs: b"),
            "{found}"
        );
        assert_eq!(source_stanzas(stanzas, ""), "");
    }
}
