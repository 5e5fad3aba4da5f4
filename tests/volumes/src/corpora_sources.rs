//! Gets the images: source packages by apt, unpacked into the cache once.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// No image is larger; a limit in case one that is comes along.
const LARGEST: u64 = 16 << 30;

/// The source packages with damaged images.
pub(super) const DAMAGED: &[&str] = &["e2fsprogs", "btrfs-progs"];

/// The source package with an image of everything that `blkid` has a name for.
pub(super) const NAMED: &[&str] = &["util-linux"];

/// The images of some packages by name, unpacked into the cache.
pub(super) fn images(packages: &[&str]) -> io::Result<Vec<(String, PathBuf)>> {
    let folder = match packages == DAMAGED {
        true => "corpora".to_string(),
        false => format!("corpora-{}", packages.join("-")),
    };
    let place = crate::make::cache().with_file_name(folder);
    let done = place.join("done");
    if !done.exists() {
        fs::create_dir_all(&place)?;
        let sources = fetch(&place, packages)?;
        for source in sources {
            unpack(&source, &place, packages)?;
        }
        fs::write(&done, "")?;
    }
    let mut images = Vec::new();
    for package in packages {
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
fn fetch(place: &Path, packages: &[&str]) -> io::Result<Vec<PathBuf>> {
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
    for package in packages {
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
fn unpack(archive: &Path, place: &Path, packages: &[&str]) -> io::Result<()> {
    let name = archive
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let Some(package) = packages
        .iter()
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
            // What btrfs-convert is tested with are sound ext images, some of them enormous.
            if below.starts_with("tests_") && !below.contains("convert-tests") {
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
    // What blkid is tested with are images as they are; what btrfs-image has made is metadata only, to be restored.
    let named = stem.contains("_blkid_") && stem.ends_with(".img");
    let raw = raw || named;
    let dump = stem.ends_with(".img") && !named;
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
            let written = write_sparse(&mut from, &image);
            drop(from);
            child.wait()?;
            written?;
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
        if size > LARGEST {
            return Err(io::Error::other(format!(
                "{}: larger than {LARGEST} bytes",
                to.display()
            )));
        }
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
