//! The two manifests, read just far enough to compare them: `userctl manifest` and `cargo xtask double manifest`.
//!
//! A path on the Windows side differs from Linux' in more than its separators: names that Windows does not allow are
//! mapped. So a file is looked up by its plain path, and what is not found so is matched by size and hash among the
//! files that are left: a file that is missing, additional or different is found either way.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// A file's size in bytes and the hex digits of its sha256.
type Content = (u64, String);

/// FILE_ATTRIBUTE_DIRECTORY and FILE_ATTRIBUTE_REPARSE_POINT: what is no plain file.
const NOT_A_FILE: u32 = 0x10 | 0x400;

/// What Linux sees: `type mode uid gid nlink size mtime content path`.
pub struct Linux {
    lines: BTreeMap<String, String>,
    files: BTreeMap<String, Content>,
}

impl Linux {
    /// Reads a manifest.
    pub fn parse(text: &str) -> Result<Linux> {
        let mut manifest = Linux {
            lines: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(9, ' ').collect();
            let &[kind, _, _, _, _, size, _, content, path] = &fields[..] else {
                anyhow::bail!("not a line of a manifest: {line}");
            };
            if kind == "f" {
                let size = size.parse().with_context(|| format!("not a size: {line}"))?;
                manifest.files.insert(path.to_owned(), (size, content.to_owned()));
            }
            manifest.lines.insert(path.to_owned(), line.to_owned());
        }
        Ok(manifest)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// How many files, and how many bytes in them.
    pub fn total(&self) -> (usize, u64) {
        (self.files.len(), self.files.values().map(|(size, _)| size).sum())
    }

    /// A file's size and hash.
    pub fn file(&self, path: &str) -> Option<(u64, &str)> {
        self.files
            .get(path)
            .map(|(size, content)| (*size, content.as_str()))
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

    /// Files that the Windows side lacks, has in addition, or has with another content.
    pub fn differences_from(&self, windows: &Windows) -> impl Iterator<Item = String> {
        let mut left: Vec<(&String, &Content)> = Vec::new();
        let mut wrong = Vec::new();
        let mut there: BTreeMap<String, &Content> = windows
            .files
            .iter()
            .map(|(path, content)| (path.clone(), content))
            .collect();
        for (path, content) in &self.files {
            match there.remove(&windows_path(path)) {
                Some(found) if found == content => {}
                Some(_) => wrong.push(path.clone()),
                None => left.push((path, content)),
            }
        }
        for (path, content) in left {
            let mapped = there
                .iter()
                .find(|(_, found)| **found == content)
                .map(|(path, _)| path.clone());
            match mapped {
                Some(mapped) => drop(there.remove(&mapped)),
                None => wrong.push(path.clone()),
            }
        }
        wrong.extend(there.into_keys());
        wrong.into_iter()
    }
}

/// What Windows sees: `attributes size mtime content path`.
pub struct Windows {
    files: BTreeMap<String, Content>,
}

impl Windows {
    /// Reads a manifest.
    pub fn parse(text: &str) -> Result<Windows> {
        let mut files = BTreeMap::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.splitn(5, ' ').collect();
            let &[attributes, size, _, content, path] = &fields[..] else {
                anyhow::bail!("not a line of a manifest: {line}");
            };
            let attributes =
                u32::from_str_radix(attributes, 16).with_context(|| format!("not attributes: {line}"))?;
            if attributes & NOT_A_FILE == 0 {
                let size = size.parse().with_context(|| format!("not a size: {line}"))?;
                files.insert(path.to_owned(), (size, content.to_owned()));
            }
        }
        Ok(Windows { files })
    }

    /// A file's size and hash, by its Linux path.
    pub fn file(&self, path: &str) -> Option<(u64, &str)> {
        self.files
            .get(&windows_path(path))
            .map(|(size, content)| (*size, content.as_str()))
    }
}

/// The path of a name that needs no mapping.
fn windows_path(path: &str) -> String {
    path.replace('/', "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "d 0755 0 0 3 0 1000000000000000000 - /\n\
                         f 0644 0 0 1 5 1000000000000000000 aa /a\n\
                         f 0644 0 0 1 7 1000000000000000000 bb /odd:name\n\
                         l 0777 0 0 1 1 1000000000000000000 a /link\n";

    fn wrong(windows: &str) -> Vec<String> {
        Linux::parse(LINUX)
            .unwrap()
            .differences_from(&Windows::parse(windows).unwrap())
            .collect()
    }

    #[test]
    fn the_same_files_are_equal_whatever_their_mapped_names() {
        let windows = "00000010 0 0 - \\\n00000020 5 0 aa \\a\n00000020 7 0 bb \\odd\\xef\\x80\\xbaname\n00000420 0 0 a \\link\n";
        assert_eq!(wrong(windows), [""; 0]);
    }

    #[test]
    fn what_is_missing_different_or_additional_is_named() {
        assert_eq!(wrong("00000020 7 0 bb \\x\n"), ["/a"]);
        assert_eq!(wrong("00000020 5 0 cc \\a\n00000020 7 0 bb \\x\n"), ["/a"]);
        assert_eq!(
            wrong("00000020 5 0 aa \\a\n00000020 7 0 bb \\x\n00000020 7 0 bb \\y\n"),
            ["\\y"]
        );
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
    fn a_line_with_too_few_fields_is_refused() {
        assert!(Linux::parse("f 0644 0 0 1 5\n").is_err());
        assert!(Windows::parse("00000020 5\n").is_err());
    }
}
