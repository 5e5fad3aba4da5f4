//! The two manifests and what must be the same in both: `userctl manifest` and `cargo xtask double manifest`.
//!
//! A path on the Windows side differs from Linux' in more than its separators: names that Windows does not allow are
//! mapped. So an entry is looked up by its plain path, and what is not found so is matched by everything else among the
//! entries that are left: one that is missing, additional or different is found either way.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// 100 ns from 1601 to 1970.
const EPOCH: i128 = 116_444_736_000_000_000;

/// FILE_ATTRIBUTE_DIRECTORY and FILE_ATTRIBUTE_REPARSE_POINT.
const DIRECTORY: u32 = 0x10;
const REPARSE_POINT: u32 = 0x400;

/// Nanoseconds since 1970 as NT's times hold them: whole units of 100 ns, and the nearest end of what they can hold.
fn nt_time(nanoseconds: i128) -> i128 {
    (nanoseconds.div_euclid(100) + EPOCH).clamp(1, i128::from(i64::MAX))
}

/// A manifest of Linux's with its times as NT's hold them, all else as it is.
pub fn in_nt_time(text: &str) -> Result<String> {
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        let mut fields: Vec<&str> = line.splitn(9, ' ').collect();
        let Some(time) = fields.get_mut(6) else {
            bail!("not a line of a manifest: {line}");
        };
        let nanoseconds: i128 = time.parse().with_context(|| format!("not a time: {line}"))?;
        let rounded = ((nt_time(nanoseconds) - EPOCH) * 100).to_string();
        *time = &rounded;
        lines.push_str(&fields.join(" "));
        lines.push('\n');
    }
    Ok(lines)
}

/// What Windows can tell an entry's type by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Directory,
    File,
    /// Links, FIFOs, sockets and devices.
    Other,
}

/// What both sides say about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    class: Class,
    /// Bytes of a file; 0 for the rest.
    size: u64,
    /// 100 ns since 1601.
    time: i128,
    /// The sha256 of a file; empty for the rest, whose targets are spelled differently.
    content: String,
}

/// What Linux sees: `type mode uid gid nlink size mtime content path`.
pub struct Linux {
    lines: BTreeMap<String, String>,
    entries: BTreeMap<String, Entry>,
}

impl Linux {
    /// Reads a manifest.
    pub fn parse(text: &str) -> Result<Linux> {
        let mut manifest = Linux {
            lines: BTreeMap::new(),
            entries: BTreeMap::new(),
        };
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(9, ' ').collect();
            let &[kind, _, _, _, _, size, time, content, path] = &fields[..] else {
                bail!("not a line of a manifest: {line}");
            };
            let class = match kind {
                "d" => Class::Directory,
                "f" => Class::File,
                _ => Class::Other,
            };
            let nanoseconds: i128 = time.parse().with_context(|| format!("not a time: {line}"))?;
            let time = nt_time(nanoseconds);
            let entry =
                Entry::new(class, size, time, content).with_context(|| format!("not a size: {line}"))?;
            manifest.entries.insert(path.to_owned(), entry);
            manifest.lines.insert(path.to_owned(), line.to_owned());
        }
        Ok(manifest)
    }

    /// Takes the root's time from `windows`: exFAT stores none, and Linux gives it that of the mount.
    pub fn forget_root_time(&mut self, windows: &Windows) {
        if let (Some(root), Some(there)) = (self.entries.get_mut("/"), windows.entries.get("\\")) {
            root.time = there.time;
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many files, and how many bytes in them.
    pub fn total(&self) -> (usize, u64) {
        let files = self.entries.values().filter(|entry| entry.class == Class::File);
        files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.size))
    }

    /// A file's size and hash.
    pub fn file(&self, path: &str) -> Option<(u64, &str)> {
        self.entries.get(path).and_then(Entry::file)
    }

    /// Paths whose lines differ, or that only one of the two has.
    pub fn differences<'a>(&'a self, other: &'a Linux) -> impl Iterator<Item = &'a str> {
        let mine = self
            .lines
            .iter()
            .filter(|(path, line)| other.lines.get(*path) != Some(line));
        let theirs = other
            .lines
            .iter()
            .filter(|(path, _)| !self.lines.contains_key(*path));
        mine.chain(theirs).map(|(path, _)| path.as_str())
    }

    /// Entries that the Windows side lacks, has in addition, or describes differently, each with what is wrong.
    pub fn differences_from(&self, windows: &Windows) -> Vec<String> {
        let mut there: BTreeMap<&str, &Entry> = windows
            .entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
            .collect();
        let (mut left, mut wrong) = (Vec::new(), Vec::new());
        for (path, entry) in &self.entries {
            match there.remove(windows_path(path).as_str()) {
                Some(found) if found == entry => {}
                Some(found) => wrong.push(format!("{path}: {entry:?} became {found:?}")),
                None => left.push((path, entry)),
            }
        }
        for (path, entry) in left {
            match there
                .iter()
                .find(|(_, found)| **found == entry)
                .map(|(path, _)| *path)
            {
                Some(mapped) => drop(there.remove(mapped)),
                None => wrong.push(format!("{path}: missing")),
            }
        }
        wrong.extend(there.into_keys().map(|path| format!("{path}: additional")));
        wrong
    }
}

impl Entry {
    fn new(class: Class, size: &str, time: i128, content: &str) -> Option<Entry> {
        let size = size.parse().ok()?;
        Some(match class {
            Class::File => Entry {
                class,
                size,
                time,
                content: content.to_owned(),
            },
            Class::Directory | Class::Other => Entry {
                class,
                size: 0,
                time,
                content: String::new(),
            },
        })
    }

    fn file(&self) -> Option<(u64, &str)> {
        (self.class == Class::File).then_some((self.size, self.content.as_str()))
    }
}

/// What Windows sees: `attributes size mtime content path`.
pub struct Windows {
    entries: BTreeMap<String, Entry>,
}

impl Windows {
    /// Reads a manifest.
    pub fn parse(text: &str) -> Result<Windows> {
        let mut entries = BTreeMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(5, ' ').collect();
            let &[attributes, size, time, content, path] = &fields[..] else {
                bail!("not a line of a manifest: {line}");
            };
            let attributes =
                u32::from_str_radix(attributes, 16).with_context(|| format!("not attributes: {line}"))?;
            let class = match attributes {
                bits if bits & REPARSE_POINT != 0 => Class::Other,
                bits if bits & DIRECTORY != 0 => Class::Directory,
                _ => Class::File,
            };
            let time = time.parse().with_context(|| format!("not a time: {line}"))?;
            let entry =
                Entry::new(class, size, time, content).with_context(|| format!("not a size: {line}"))?;
            entries.insert(path.to_owned(), entry);
        }
        Ok(Windows { entries })
    }

    /// A file's size and hash, by its Linux path.
    pub fn file(&self, path: &str) -> Option<(u64, &str)> {
        self.entries.get(&windows_path(path)).and_then(Entry::file)
    }
}

/// The path of a name that needs no mapping.
fn windows_path(path: &str) -> String {
    path.replace('/', "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "d 0755 0 0 3 0 0 - /\n\
                         f 0644 0 0 1 5 1099 aa /a\n\
                         f 0644 0 0 1 7 -1 bb /odd:name\n\
                         l 0777 0 0 1 1 0 a /link\n";

    const WINDOWS: &str = "00000010 0 116444736000000000 - \\\n\
                           00000080 5 116444736000000010 aa \\a\n\
                           00000080 7 116444735999999999 bb \\odd\\xef\\x80\\xbaname\n\
                           00000400 0 116444736000000000 a \\link\n";

    fn wrong(windows: &str) -> Vec<String> {
        Linux::parse(LINUX)
            .unwrap()
            .differences_from(&Windows::parse(windows).unwrap())
    }

    #[test]
    fn the_same_entries_are_equal_whatever_their_mapped_names() {
        assert_eq!(wrong(WINDOWS), [""; 0]);
    }

    #[test]
    fn what_is_missing_different_or_additional_is_named() {
        let without: String = WINDOWS
            .lines()
            .filter(|line| !line.contains("link"))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(wrong(&without), ["/link: missing"]);
        assert_eq!(
            wrong(&format!("{WINDOWS}00000080 1 0 cc \\x\n")),
            ["\\x: additional"]
        );
        for (from, to) in [
            ("aa \\a", "ab \\a"),
            ("80 5", "80 6"),
            ("000010 aa", "000011 aa"),
            ("00000400", "00000080"),
        ] {
            let wrong = wrong(&WINDOWS.replace(from, to));
            assert!(
                matches!(&wrong[..], [one] if one.contains("became")),
                "{from}: {wrong:?}"
            );
        }
    }

    #[test]
    fn two_linux_manifests_differ_by_line() {
        let one = Linux::parse(LINUX).unwrap();
        let other = Linux::parse(
            &LINUX
                .replace("0644 0 0 1 5", "0600 0 0 1 5")
                .replace("/link", "/knil"),
        )
        .unwrap();
        assert_eq!(
            one.differences(&other).collect::<Vec<_>>(),
            ["/a", "/link", "/knil"]
        );
        assert_eq!(one.total(), (2, 12));
    }

    #[test]
    fn times_are_cut_to_what_nt_can_hold() {
        let cut = in_nt_time("d 0755 0 0 3 0 199 - /\nl 0777 0 0 1 1 -1 a\\x20b /b c\n").unwrap();
        assert_eq!(cut, "d 0755 0 0 3 0 100 - /\nl 0777 0 0 1 1 -100 a\\x20b /b c\n");
        let early = in_nt_time("f 0644 0 0 1 0 -99999999999999999999 e /a\n").unwrap();
        assert_eq!(early, "f 0644 0 0 1 0 -11644473599999999900 e /a\n");
        assert!(in_nt_time("f 0644 0 0 1\n").is_err());
    }

    #[test]
    fn a_line_with_too_few_fields_is_refused() {
        assert!(Linux::parse("f 0644 0 0 1 5\n").is_err());
        assert!(Windows::parse("00000020 5\n").is_err());
    }
}
