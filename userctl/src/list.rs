//! `userctl ls`: names, or with `-l` all about them, of a directory or with `-R` of everything below it.
//!
//! Names are sorted by their bytes and shown so that no name can play tricks on a terminal (`text::shown`). With
//! `--json` each entry is an object on a line of its own, with the whole path, escaped as in a manifest.

use std::io::Write;

use serde::Serialize;

use crate::entries::{MOST_BYTES, Names, Trouble};
use crate::exit::{Failure, stdout_failure};
use crate::resolve::{Last, resolve};
use crate::session::PROGRAM;
use crate::text::{escaped, mode_string, shown, time};
use crate::volume::{Kind, Stat, Volume};
use crate::walk::{Damage, Step, walk};
use crate::watchdog;

/// What the options ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// `-l`: type, mode, links, owners, size and time as well.
    pub long: bool,
    /// `-R`: everything below, too.
    pub recursive: bool,
    /// `--json`.
    pub json: bool,
}

/// One entry as JSON.
#[derive(Serialize)]
struct Entry {
    #[serde(rename = "type")]
    letter: char,
    mode: String,
    uid: u32,
    gid: u32,
    nlink: u64,
    size: u64,
    allocated: u64,
    mtime: String,
    inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    path: String,
}

/// Lists `path` on `volume`.
pub fn run<V: Volume>(volume: &V, path: &[u8], options: Options, out: &mut dyn Write) -> Result<(), Failure> {
    // As with ls: a link to a directory is entered, unless its own line is asked for.
    let mut found = resolve(volume, path, Last::Itself)?;
    if found.stat.kind == Kind::Link && !options.long {
        found = match resolve(volume, path, Last::Followed) {
            Ok(target) if target.stat.kind == Kind::Directory => target,
            _ => found,
        };
    }
    let mut printer = Printer {
        volume,
        options,
        out,
        damage: Damage::default(),
    };
    if found.stat.kind != Kind::Directory {
        printer.entry(&found.path, &found.node, &found.stat, &shown(path))?;
    } else if options.recursive {
        printer.tree(found.node, &found.path)?;
    } else {
        printer.directory(&found.node, &found.path)?;
    }
    printer.out.flush().map_err(|error| stdout_failure(&error))?;
    printer.damage.finish(&PROGRAM)
}

struct Printer<'a, V: Volume> {
    volume: &'a V,
    options: Options,
    out: &'a mut dyn Write,
    damage: Damage,
}

impl<V: Volume> Printer<'_, V> {
    /// The entries of one directory.
    fn directory(&mut self, directory: &V::Node, path: &[u8]) -> Result<(), Failure> {
        let (names, trouble) = Names::of(self.volume, directory, MOST_BYTES);
        self.children(directory, path, &names)?;
        match trouble {
            None => Ok(()),
            Some(Trouble::Errno(errno)) => Err(self.volume.failure(path, errno)),
            Some(trouble) => {
                self.damage.note(path, trouble);
                Ok(())
            }
        }
    }

    fn children(&mut self, directory: &V::Node, path: &[u8], names: &Names) -> Result<(), Failure> {
        for name in names.iter() {
            watchdog::progress();
            let mut whole = if path == b"/" { Vec::new() } else { path.to_vec() };
            whole.push(b'/');
            whole.extend_from_slice(name);
            if !self.options.long && !self.options.json {
                self.line(&shown(name))?;
                continue;
            }
            let found = self
                .volume
                .child(directory, name)
                .and_then(|node| Ok((self.volume.stat(&node)?, node)));
            match found {
                Ok((stat, node)) => self.entry(&whole, &node, &stat, &shown(name))?,
                Err(errno) if self.volume.is_dead() => return Err(self.volume.failure(&whole, errno)),
                Err(errno) => self.damage.note(&whole, errno),
            }
        }
        Ok(())
    }

    /// Every directory below, each under its path as `ls -R` does; with JSON simply every entry.
    fn tree(&mut self, start: V::Node, path: &[u8]) -> Result<(), Failure> {
        let volume = self.volume;
        let mut first = true;
        walk(volume, start, path, &mut |step| match step {
            Step::Entry { path, node, stat } if self.options.json => self.entry(path, node, stat, ""),
            Step::Entry { path, node, stat } if stat.kind == Kind::Directory => {
                if !std::mem::take(&mut first) {
                    self.line("")?;
                }
                self.line(&format!("{}:", shown(path)))?;
                // The walk meets and reports what cannot be listed.
                let (names, _) = Names::of(self.volume, node, MOST_BYTES);
                self.children(node, path, &names)
            }
            Step::Damaged { path, trouble } => {
                self.damage.note(path, trouble);
                Ok(())
            }
            _ => Ok(()),
        })
    }

    fn entry(&mut self, path: &[u8], node: &V::Node, stat: &Stat, name: &str) -> Result<(), Failure> {
        let options = self.options;
        if !options.long && !options.json {
            return self.line(name);
        }
        let target = match stat.kind {
            Kind::Link => match self.volume.read_link(node) {
                Ok(target) => Some(target),
                Err(errno) if self.volume.is_dead() => return Err(self.volume.failure(path, errno)),
                Err(errno) => {
                    self.damage.note(path, errno);
                    None
                }
            },
            _ => None,
        };
        let device = matches!(stat.kind, Kind::Block | Kind::Character)
            .then(|| format!("{}, {}", stat.node_device.0, stat.node_device.1));
        if options.json {
            let entry = Entry {
                letter: stat.kind.letter(),
                mode: format!("{:04o}", stat.mode),
                uid: stat.uid,
                gid: stat.gid,
                nlink: stat.links,
                size: stat.size,
                allocated: stat.blocks.saturating_mul(512),
                mtime: time(stat.modified),
                inode: stat.inode,
                device,
                target: target.map(|target| escaped(&target)),
                path: escaped(path),
            };
            serde_json::to_writer(&mut *self.out, &entry).map_err(|error| stdout_failure(&error.into()))?;
            return self.line("");
        }
        let size = device.unwrap_or_else(|| stat.size.to_string());
        let target = target
            .map(|target| format!(" -> {}", shown(&target)))
            .unwrap_or_default();
        self.line(&format!(
            "{} {:>3} {:>5} {:>5} {size:>12} {} {name}{target}",
            mode_string(stat.kind, stat.mode),
            stat.links,
            stat.uid,
            stat.gid,
            time(stat.modified),
        ))
    }

    fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.out, "{text}").map_err(|error| stdout_failure(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::memory::Memory;
    use crate::volume::{Errno, Time};

    fn volume() -> Memory {
        let mut volume = Memory::new();
        volume.add_file("/d/b", b"12345");
        volume.add_file("/d/a\x1b", b"");
        volume.add_directory("/d/sub");
        volume.add_link("/to-d", b"d");
        volume.change("/d/b", |stat| {
            stat.modified = Time {
                seconds: 0,
                nanoseconds: 0,
            }
        });
        volume
    }

    fn ls(volume: &Memory, path: &str, options: Options) -> Result<String, Failure> {
        let mut out = Vec::new();
        run(volume, path.as_bytes(), options, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn short_long_and_recursive() {
        let volume = volume();
        let short = Options::default();
        let long = Options { long: true, ..short };
        let recursive = Options {
            recursive: true,
            ..short
        };
        assert_eq!(ls(&volume, "/to-d", short).unwrap(), "a\\x1b\nb\nsub\n");
        let line = "-rw-r--r--   1     0     0            5 1970-01-01T00:00:00.000000000Z b";
        assert_eq!(ls(&volume, "/d", long).unwrap().lines().nth(1).unwrap(), line);
        assert!(ls(&volume, "/to-d", long).unwrap().ends_with(" /to-d -> d\n"));
        assert_eq!(
            ls(&volume, "/", recursive).unwrap(),
            "/:\nd\nto-d\n\n/d:\na\\x1b\nb\nsub\n\n/d/sub:\n"
        );
    }

    #[test]
    fn json_names_whole_paths() {
        let json = Options {
            json: true,
            recursive: true,
            ..Options::default()
        };
        let text = ls(&volume(), "/d", json).unwrap();
        let paths: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["path"]
                    .as_str()
                    .unwrap()
                    .to_string()
            })
            .collect();
        assert_eq!(paths, ["/d", "/d/a\\x1b", "/d/b", "/d/sub"]);
    }

    #[test]
    fn damage_is_told_once_after_the_rest() {
        let mut volume = volume();
        volume.break_path("/d/b", Errno::EUCLEAN);
        let failure = ls(
            &volume,
            "/",
            Options {
                long: true,
                recursive: true,
                json: false,
            },
        )
        .unwrap_err();
        assert_eq!(failure.exit, Exit::FileSystem);
    }
}
