//! Manifests: one line for each entry, `type mode uid gid nlink size mtime content path`, sorted by path.
//!
//! Written here from the specification alone (`userctl manifest --help` states it), so that a mistake in `userctl`'s
//! own spelling shows.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// What a line says before its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// One of `f d l p s b c`.
    pub letter: char,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u64,
    /// Length in bytes, 0 for a directory.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime: i128,
    /// sha256, escaped target, or `-`.
    pub content: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line {
            letter,
            mode,
            uid,
            gid,
            links,
            size,
            mtime,
            content,
        } = self;
        write!(
            f,
            "{letter} {mode:04o} {uid} {gid} {links} {size} {mtime} {content}"
        )
    }
}

/// Which fields two manifests must agree in. Type, content, path and the size of what is no directory always count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Permission bits.
    pub mode: bool,
    /// Owner and group.
    pub owner: bool,
    /// Links of what is no directory.
    pub links: bool,
    /// Links of directories.
    pub directory_links: bool,
    /// Time of change.
    pub mtime: bool,
}

impl Fields {
    /// All of them.
    pub const ALL: Fields = Fields {
        mode: true,
        owner: true,
        links: true,
        directory_links: true,
        mtime: true,
    };
}

/// The lines of a volume by path: bytes, starting with `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest(pub BTreeMap<Vec<u8>, Line>);

/// Writes bytes below 0x21, 0x5c and above 0x7e as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    let escape = |&byte: &u8| match byte {
        b'!'..=b'[' | b']'..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(escape).collect()
}

/// The way back from [`escape`].
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if *first != b'\\' {
            bytes.push(*first);
            rest = more;
            continue;
        }
        let [b'x', digits @ ..] = more else { return None };
        let (digits, more) = digits.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = more;
    }
    Some(bytes)
}

impl Manifest {
    /// Reads what `userctl manifest` has written. Lines out of order, twice or malformed are errors.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let mut lines = BTreeMap::new();
        let mut last: Option<Vec<u8>> = None;
        for line in text.lines() {
            let bad = || format!("malformed line: {line}");
            let fields: Vec<&str> = line.split(' ').collect();
            let [letter, mode, uid, gid, links, size, mtime, content, path] = fields[..] else {
                return Err(bad());
            };
            let letter = match letter.as_bytes() {
                [letter] if b"fdlpsbc".contains(letter) => char::from(*letter),
                _ => return Err(bad()),
            };
            let path = unescape(path)
                .filter(|path| path.starts_with(b"/"))
                .ok_or_else(bad)?;
            if last.as_ref().is_some_and(|last| *last >= path) {
                return Err(format!("out of order: {line}"));
            }
            let entry = Line {
                letter,
                mode: u32::from_str_radix(mode, 8)
                    .ok()
                    .filter(|_| mode.len() == 4)
                    .ok_or_else(bad)?,
                uid: uid.parse().map_err(|_| bad())?,
                gid: gid.parse().map_err(|_| bad())?,
                links: links.parse().map_err(|_| bad())?,
                size: size.parse().map_err(|_| bad())?,
                mtime: mtime.parse().map_err(|_| bad())?,
                content: content.to_string(),
            };
            last = Some(path.clone());
            lines.insert(path, entry);
        }
        Ok(Manifest(lines))
    }

    /// The manifest of a mounted volume, read through this machine's Linux.
    pub fn of_directory(root: &Path) -> io::Result<Manifest> {
        let mut lines = BTreeMap::new();
        let mut todo = vec![Vec::new()];
        while let Some(path) = todo.pop() {
            let here = if path.is_empty() {
                root.to_path_buf()
            } else {
                root.join(std::ffi::OsStr::from_bytes(&path[1..]))
            };
            let name =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", here.display()));
            let metadata = here.symlink_metadata().map_err(name)?;
            let kind = metadata.file_type();
            let (letter, content) = if kind.is_file() {
                ('f', hash(&here).map_err(name)?)
            } else if kind.is_dir() {
                for entry in fs::read_dir(&here).map_err(name)? {
                    let mut child = path.clone();
                    child.push(b'/');
                    child.extend(entry.map_err(name)?.file_name().into_vec());
                    todo.push(child);
                }
                ('d', "-".into())
            } else if kind.is_symlink() {
                (
                    'l',
                    escape(fs::read_link(&here).map_err(name)?.as_os_str().as_bytes()),
                )
            } else {
                let letter = match () {
                    () if kind.is_fifo() => 'p',
                    () if kind.is_socket() => 's',
                    () if kind.is_block_device() => 'b',
                    () => 'c',
                };
                (letter, "-".into())
            };
            let line = Line {
                letter,
                mode: metadata.mode() & 0o7777,
                uid: metadata.uid(),
                gid: metadata.gid(),
                links: metadata.nlink(),
                size: if letter == 'd' { 0 } else { metadata.size() },
                mtime: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
                content,
            };
            lines.insert(if path.is_empty() { b"/".to_vec() } else { path }, line);
        }
        Ok(Manifest(lines))
    }

    /// Leaves out what lies at `paths` and below: what a mkfs adds of its own (`/lost+found`).
    pub fn without(mut self, paths: &[&str]) -> Manifest {
        self.0.retain(|path, _| {
            !paths
                .iter()
                .any(|left_out| match path.strip_prefix(left_out.as_bytes()) {
                    Some(rest) => rest.is_empty() || rest.starts_with(b"/"),
                    None => false,
                })
        });
        self
    }

    /// How `found` differs from this in `fields`: a line for each difference, at most `most` of them.
    pub fn differences(&self, found: &Manifest, fields: Fields, most: usize) -> Vec<String> {
        let mut differences = Vec::new();
        for (path, line) in &self.0 {
            let Some(other) = found.0.get(path) else {
                differences.push(format!("missing: {line} {}", escape(path)));
                continue;
            };
            let (want, have) = (masked(line, fields), masked(other, fields));
            if want != have {
                let path = escape(path);
                differences.push(format!("differs: {path}\n    wanted {want}\n    found  {have}"));
            }
        }
        let surplus = found.0.iter().filter(|(path, _)| !self.0.contains_key(*path));
        differences.extend(surplus.map(|(path, line)| format!("surplus: {line} {}", escape(path))));
        let count = differences.len();
        if count > most {
            differences.truncate(most);
            differences.push(format!("... and {} more", count - most));
        }
        differences
    }
}

/// The line with `*` for the fields that do not count.
fn masked(line: &Line, fields: Fields) -> String {
    let show = |counts: bool, value: String| if counts { value } else { "*".to_string() };
    let directory = line.letter == 'd';
    [
        line.letter.to_string(),
        show(fields.mode, format!("{:04o}", line.mode)),
        show(fields.owner, format!("{} {}", line.uid, line.gid)),
        show(
            if directory {
                fields.directory_links
            } else {
                fields.links
            },
            line.links.to_string(),
        ),
        line.size.to_string(),
        show(fields.mtime, line.mtime.to_string()),
        line.content.clone(),
    ]
    .join(" ")
}

fn hash(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(digest
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect());
        }
        digest.update(&buffer[..count]);
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(path, line)| writeln!(f, "{line} {}", escape(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "d 0755 0 0 2 0 5 - /\nl 0777 1 2 1 3 -7 a\\x20b /\\xff\\x5c\n";

    #[test]
    fn a_manifest_survives_the_round_trip() {
        let manifest = Manifest::parse(TEXT).unwrap();
        assert_eq!(manifest.to_string(), TEXT);
        assert_eq!(manifest.0[b"/\xff\\".as_slice()].mtime, -7);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for bad in [
            "d 755 0 0 2 0 5 - /",
            "d 0755 0 0 2 0 5 - x",
            "x 0755 0 0 2 0 5 - /",
            "d 0755 0 0 2 0 5 -  /",
            "d 0755 0 0 2 0 5 - /b\nd 0755 0 0 2 0 5 - /a",
            "d 0755 0 0 2 0 5 - /a\nd 0755 0 0 2 0 5 - /a",
            "d 0755 0 0 2 0 5 - /\\y41",
        ] {
            assert!(Manifest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn differences_are_found_in_the_fields_that_count() {
        let wanted = Manifest::parse(TEXT).unwrap();
        let found = Manifest::parse("d 0755 0 0 2 0 6 - /\nf 0644 0 0 1 0 0 x /new\n").unwrap();
        assert_eq!(wanted.differences(&found, Fields::ALL, 9).len(), 3);
        assert_eq!(
            wanted
                .differences(
                    &found,
                    Fields {
                        mtime: false,
                        ..Fields::ALL
                    },
                    9
                )
                .len(),
            2
        );
        assert_eq!(wanted.differences(&found, Fields::ALL, 1).len(), 2);
        assert!(wanted.differences(&wanted, Fields::ALL, 9).is_empty());
        assert!(found.without(&["/new"]).0.len() == 1);
    }
}
