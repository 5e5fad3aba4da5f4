//! `userctl manifest`: every entry of a volume on a line of its own, for comparing volumes.
//!
//! Fields are separated by one space: `type mode uid gid nlink size mtime content path`. The type is one of
//! `f d l p s b c`; the mode is four octal digits; the size is in bytes, 0 for a directory; the time is in ns since
//! 1970; the content is the sha256 of a file, the target of a link, `-` for the rest; path and target are escaped
//! (`text::escaped`). Lines are sorted by the bytes of the path as it is on the volume, the root first.
//!
//! A file that cannot be read to its end has no line, since a wrong hash would be worse than none; it is named on
//! stderr and the run fails.

use std::collections::HashMap;
use std::io::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::exit::{Failure, stdout_failure};
use crate::session::PROGRAM;
use crate::text::{escaped, hex};
use crate::volume::{Errno, Kind, Stat, Volume};
use crate::walk::{Damage, Order, Step, walk_in};
use crate::watchdog;

/// Bytes asked for at a time.
const CHUNK: usize = 1 << 20;

/// One line, with path and target already escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// One of `f d l p s b c`.
    #[serde(rename = "type")]
    pub letter: char,
    /// Four octal digits.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub nlink: u64,
    /// Length in bytes, 0 for a directory.
    pub size: u64,
    /// Last change, in ns since 1970.
    pub mtime: i128,
    /// sha256 of a file, target of a link, `-` for the rest.
    pub content: String,
    /// Path from the root.
    pub path: String,
}

impl Line {
    /// The line of an object, its content given.
    pub fn new(path: &[u8], stat: &Stat, content: String) -> Line {
        Line {
            letter: stat.kind.letter(),
            mode: format!("{:04o}", stat.mode & 0o7777),
            uid: stat.uid,
            gid: stat.gid,
            nlink: stat.links,
            size: if stat.kind == Kind::Directory {
                0
            } else {
                stat.size
            },
            mtime: stat.modified.total_nanoseconds(),
            content,
            path: escaped(path),
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Line {
            letter,
            mode,
            uid,
            gid,
            nlink,
            size,
            mtime,
            content,
            path,
        } = self;
        write!(
            f,
            "{letter} {mode} {uid} {gid} {nlink} {size} {mtime} {content} {path}"
        )
    }
}

/// How many files with several names have their hash kept for the next name. Of more, it is made again.
const HASHES: usize = 1 << 19;

/// Writes the manifest of `volume` to `out`, as lines or as one JSON object a line. Nothing is collected: a line is
/// written when its entry is met.
pub fn run<V: Volume>(volume: &V, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let damage = lines(volume, &mut |line| {
        if json {
            serde_json::to_writer(&mut *out, &line).map_err(|error| stdout_failure(&error.into()))?;
            writeln!(out).map_err(|error| stdout_failure(&error))
        } else {
            writeln!(out, "{line}").map_err(|error| stdout_failure(&error))
        }
    })?;
    out.flush().map_err(|error| stdout_failure(&error))?;
    damage.finish(&PROGRAM)
}

/// The lines of `volume` in their order, and what could not be read.
pub fn collect<V: Volume>(volume: &V) -> Result<(Vec<Line>, Damage), Failure> {
    let mut all = Vec::new();
    let damage = lines(volume, &mut |line| {
        all.push(line);
        Ok(())
    })?;
    Ok((all, damage))
}

/// Gives `sink` the lines of `volume` in their order; what could not be read.
fn lines<V: Volume>(
    volume: &V,
    sink: &mut dyn FnMut(Line) -> Result<(), Failure>,
) -> Result<Damage, Failure> {
    let mut damage = Damage::default();
    // A file with several names is read once.
    let mut hashes: HashMap<(u64, u64), String> = HashMap::new();
    let mut buffer = vec![0; CHUNK];
    let root = volume.root().map_err(|errno| volume.failure(b"/", errno))?;
    walk_in(Order::Paths, volume, root, b"/", &mut |step| {
        let (path, node, stat) = match step {
            Step::Entry { path, node, stat } => (path, node, stat),
            Step::Leave { .. } => return Ok(()),
            Step::Damaged { path, trouble } => {
                damage.note(path, trouble);
                return Ok(());
            }
        };
        let content = match stat.kind {
            Kind::File => match hashes.get(&(stat.device, stat.inode)) {
                Some(hash) => Ok(hash.clone()),
                None => hash(volume, node, stat, &mut buffer),
            },
            Kind::Link => volume.read_link(node).map(|target| escaped(&target)),
            _ => Ok("-".to_string()),
        };
        match content {
            Ok(content) => {
                if stat.kind == Kind::File && stat.links > 1 && hashes.len() < HASHES {
                    hashes
                        .entry((stat.device, stat.inode))
                        .or_insert_with(|| content.clone());
                }
                sink(Line::new(path, stat, content))?;
            }
            Err(errno) if volume.is_dead() => return Err(volume.failure(path, errno)),
            Err(errno) => damage.note(path, errno),
        }
        Ok(())
    })?;
    Ok(damage)
}

/// The sha256 of a file, in hexadecimal digits.
fn hash<V: Volume>(volume: &V, node: &V::Node, stat: &Stat, buffer: &mut [u8]) -> Result<String, Errno> {
    let mut digest = Sha256::new();
    let mut offset = 0u64;
    if stat.size > 0 {
        let file = volume.open(node)?;
        loop {
            let count = volume.read(&file, offset, buffer)?;
            watchdog::progress();
            if count == 0 {
                break;
            }
            digest.update(&buffer[..count]);
            offset += count as u64;
        }
    }
    if offset == stat.size {
        Ok(hex(digest.finalize().as_slice()))
    } else {
        Err(Errno::EIO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn lines_have_the_documented_form_and_order() {
        let mut volume = crate::memory::Memory::new();
        volume.add_file("/a/x", b"abc");
        volume.add_file("/a.b", b"");
        volume.add_link("/a b", b"t\n");
        volume.add_special("/fifo", Kind::Fifo);
        volume.add_hard_link("/second", "/a/x");
        volume.change("/a.b", |stat| {
            stat.mode = 0o4755;
            (stat.uid, stat.gid) = (1000, 4_294_967_294);
            stat.modified = crate::volume::Time {
                seconds: -2,
                nanoseconds: 5,
            };
        });
        let (lines, damage) = collect(&volume).unwrap();
        damage.finish(&PROGRAM).unwrap();
        let lines: Vec<String> = lines.iter().map(Line::to_string).collect();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(
            lines,
            [
                "d 0755 0 0 1 0 1000000001123456700 - /".to_string(),
                "d 0755 0 0 1 0 1000000002123456700 - /a".to_string(),
                "l 0777 0 0 1 2 1000000005123456700 t\\x0a /a\\x20b".to_string(),
                format!("f 4755 1000 4294967294 1 0 -1999999995 {empty} /a.b"),
                format!("f 0644 0 0 2 3 1000000003123456700 {abc} /a/x"),
                "p 0600 0 0 1 0 1000000006123456700 - /fifo".to_string(),
                format!("f 0644 0 0 2 3 1000000003123456700 {abc} /second"),
            ]
        );
    }

    #[test]
    fn a_file_that_breaks_off_has_no_line() {
        let mut volume = crate::memory::Memory::new();
        volume.add_file("/good", b"1");
        volume.add_file("/bad", b"22");
        volume.break_data("/bad", 1, Errno::EIO);
        let mut out = Vec::new();
        let failure = run(&volume, false, &mut out).unwrap_err();
        assert_eq!(failure.exit, Exit::FileSystem);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("/good") && !text.contains("/bad"), "{text}");
    }

    #[test]
    fn json_has_an_object_a_line() {
        let volume = crate::memory::Memory::new();
        let mut out = Vec::new();
        run(&volume, true, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["type"], "d");
        assert_eq!(value["path"], "/");
        assert_eq!(value["mtime"], 1_000_000_001_123_456_700u64);
    }
}
