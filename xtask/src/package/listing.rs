//! All that is in a prefix: every file with a hash of what is in it, every folder, every registry key and value.
//!
//! Services are keys below `SYSTEM\CurrentControlSet\Services`, so they are in the
//! listing as well. Two listings are compared entry by entry; what Wine itself changes while it runs is in [`OWN`], each
//! with its reason, and nothing else may differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::registry::{self, Keys};

/// What Wine changes by itself between two ends of its server: the start of an entry, and why.
pub const OWN: &[(&str, &str)] = &[
    (
        "HKLM\\System\\CurrentControlSet\\Control\\Session Manager\\PendingFileRenameOperations",
        "written for every delayed deletion, and emptied by the next start",
    ),
    (
        "HKCU\\Volatile Environment",
        "made anew at each start of a session",
    ),
    (
        "HKLM\\System\\CurrentControlSet\\Control\\Class\\{4D36E968-E325-11CE-BFC1-08002BE10318}",
        "the display, which Wine describes anew when the first program with windows starts",
    ),
    (
        "HKLM\\System\\CurrentControlSet\\Control\\Class\\{4D36E96E-E325-11CE-BFC1-08002BE10318}",
        "its monitor, likewise",
    ),
];

/// The registry's files and what they are.
const HIVES: &[(&str, &str)] = &[
    ("system.reg", "HKLM"),
    ("user.reg", "HKCU"),
    ("userdef.reg", "HKU\\.Default"),
];

/// A state of a prefix.
pub struct Listing {
    /// Its entries: paths, and `key\name = value` for the registry.
    entries: BTreeMap<String, String>,
    /// The registry.
    pub registry: Keys,
}

impl Listing {
    /// Reads the prefix in `prefix`, whose server has ended.
    pub fn read(prefix: &Path) -> Result<Listing> {
        let mut entries = BTreeMap::new();
        files(&prefix.join("drive_c"), "C:", &mut entries)?;
        let mut keys = Keys::new();
        for (file, root) in HIVES {
            let text = fs::read(prefix.join(file)).with_context(|| format!("cannot read {file}"))?;
            keys.extend(registry::parse(&String::from_utf8_lossy(&text), root));
        }
        for (key, values) in &keys {
            entries.insert(key.clone(), String::new());
            for (name, value) in values {
                entries.insert(format!("{key}\\{name}"), value.0.clone());
            }
        }
        Ok(Listing {
            entries,
            registry: keys,
        })
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// A registry value.
    pub fn value(&self, key: &str, name: &str) -> Option<&registry::Value> {
        self.registry.get(key)?.get(name)
    }

    /// The entries that are not the same in `other`, one line each, without those of [`OWN`].
    pub fn difference(&self, other: &Listing) -> Vec<String> {
        let names: BTreeSet<_> = self.entries.keys().chain(other.entries.keys()).collect();
        let mut lines = Vec::new();
        for name in names {
            if OWN.iter().any(|(own, _)| name.starts_with(own)) {
                continue;
            }
            match (self.entries.get(name), other.entries.get(name)) {
                (Some(before), Some(after)) if before == after => {}
                (Some(before), Some(after)) => lines.push(format!("changed: {name}: {before} -> {after}")),
                (Some(_), None) => lines.push(format!("gone: {name}")),
                (None, Some(after)) => lines.push(format!("new: {name}: {after}")),
                (None, None) => {}
            }
        }
        lines
    }

    /// The listing as text, one line an entry.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.entries {
            let _ = writeln!(text, "{name} = {value}");
        }
        text
    }
}

fn files(folder: &Path, name: &str, entries: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let name = format!("{name}\\{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            // Wine's own links to the user's folders: where they lead is not the prefix.
            entries.insert(name, format!("link to {}", fs::read_link(&path)?.display()));
        } else if kind.is_dir() {
            entries.insert(name.clone(), "folder".to_owned());
            files(&path, &name, entries)?;
        } else {
            let bytes = fs::read(&path)?;
            let mut text = format!("{} bytes, ", bytes.len());
            for byte in Sha256::digest(&bytes).iter().take(8) {
                write!(text, "{byte:02x}")?;
            }
            entries.insert(name, text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(file: &str, value: &str) -> Listing {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("drive_c/x")).unwrap();
        fs::write(folder.path().join("drive_c/x/f"), file).unwrap();
        for (name, _) in HIVES {
            fs::write(folder.path().join(name), format!("[K] 1\n\"v\"=\"{value}\"\n")).unwrap();
        }
        Listing::read(folder.path()).unwrap()
    }

    #[test]
    fn every_difference_is_found() {
        let before = prefix("a", "1");
        assert!(before.difference(&prefix("a", "1")).is_empty());
        assert_eq!(before.difference(&prefix("b", "1")).len(), 1);
        let changed = before.difference(&prefix("a", "2"));
        assert_eq!(changed.len(), HIVES.len(), "{changed:?}");
        let mut more = prefix("a", "1");
        more.entries.insert("C:\\left".to_owned(), "folder".to_owned());
        assert_eq!(before.difference(&more), ["new: C:\\left: folder"]);
        assert_eq!(more.difference(&before), ["gone: C:\\left"]);
        more.entries.remove("C:\\left");
        more.entries.insert(format!("{}\\x", OWN[1].0), String::new());
        assert!(before.difference(&more).is_empty());
    }
}
