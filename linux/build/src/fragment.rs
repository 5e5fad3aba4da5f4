//! Configuration fragments: the symbols that `linux/configs/NAME.config` asks for.
//!
//! A fragment is what kconfig reads (`CONFIG_X=y`, `CONFIG_X="text"`, `# CONFIG_X is not set`), with one addition for
//! a fragment that serves several Linux versions. Lines between
//!
//! ```text
//! # if >= 6.2
//! CONFIG_ONLY_THERE=y
//! # endif
//! ```
//!
//! count only for a tree of that version or a later one; `# if < 6.2` is the opposite. Conditions do not nest.
//!
//! A fragment may begin with `# include NAME.config`: all that the other fragment beside it asks for, of which the lines
//! below change what they name anew. A line that asks for what the other one asks for already is refused, so that what
//! stands in a fragment is what it differs in.
//!
//! kconfig drops silently what it cannot grant: a symbol that does not exist, that misses a dependency, or that
//! another one selects. So each symbol is compared afterwards with the configuration that came out.

use crate::Error;
use crate::error::io;
use crate::source::Version;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The value of a symbol that is not set.
const UNSET: &str = "n";

/// A fragment, reduced to what counts for one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    path: PathBuf,
    /// In the file's order: name without `CONFIG_`, value as in `.config` (`n` for one that is not set).
    asked: Vec<(String, String)>,
}

impl Fragment {
    /// Reads a fragment for a tree of version `version`, with those that it includes.
    pub fn read(path: &Path, version: Version) -> Result<Fragment, Error> {
        Fragment::read_within(path, version, &[])
    }

    /// `within` are the fragments that include this one.
    fn read_within(path: &Path, version: Version, within: &[PathBuf]) -> Result<Fragment, Error> {
        let text = io(fs::read_to_string(path), "cannot read", path)?;
        let mut fragment = Fragment {
            path: path.to_owned(),
            asked: Vec::new(),
        };
        let mut here = Lines::new(path, &text);
        let mut own: Vec<String> = Vec::new();
        let mut condition: Option<bool> = None;
        while let Some(line) = here.next() {
            if let Some(name) = included(line) {
                if condition.is_some() || !fragment.asked.is_empty() {
                    return here.fail("an inclusion comes first, and on no condition; there is one at most");
                }
                let other = path.with_file_name(name);
                if other == path || within.contains(&other) {
                    return here.fail("the fragment includes itself");
                }
                let within: Vec<PathBuf> = within.iter().cloned().chain([path.to_owned()]).collect();
                fragment.asked = Fragment::read_within(&other, version, &within)?.asked;
            } else if let Some(test) = line.strip_prefix("# if ") {
                if condition.is_some() {
                    return here.fail("conditions do not nest");
                }
                let Some(holds) = holds(test, version) else {
                    return here.fail("a condition is `# if >= 6.2` or `# if < 6.2`");
                };
                condition = Some(holds);
            } else if line == "# endif" {
                if condition.take().is_none() {
                    return here.fail("no condition is open here");
                }
            } else if let Some((name, value)) = assignment(line) {
                if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                    return here.fail("this is not the name of a symbol");
                }
                if condition == Some(false) {
                    continue;
                }
                if own.iter().any(|other| other == name) {
                    return here.fail("the symbol is asked for twice");
                }
                own.push(name.to_owned());
                match fragment.asked.iter_mut().find(|(other, _)| other == name) {
                    Some((_, other)) if other == value => {
                        return here.fail("the included fragment asks for that already");
                    }
                    Some((_, other)) => value.clone_into(other),
                    None => fragment.asked.push((name.to_owned(), value.to_owned())),
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                return here.fail("expected CONFIG_NAME=value or a comment");
            }
        }
        if condition.is_some() {
            return here.fail("`# endif` is missing");
        }
        Ok(fragment)
    }

    /// What kconfig is given.
    pub fn for_kconfig(&self) -> String {
        let line = |(name, value): &(String, String)| match value.as_str() {
            UNSET => format!("# CONFIG_{name} is not set\n"),
            value => format!("CONFIG_{name}={value}\n"),
        };
        self.asked.iter().map(line).collect()
    }

    /// How many symbols are asked for.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Compares with the full configuration `config`. The error names each symbol that has another value, and says
    /// of one that no Kconfig file under `tree` defines that it does not exist.
    pub fn check(&self, config: &str, tree: &Path) -> Result<(), Error> {
        let got: BTreeMap<&str, &str> = config.lines().filter_map(assignment).collect();
        let differing: Vec<_> = self
            .asked
            .iter()
            .map(|(name, asked)| (name, asked, got.get(name.as_str()).copied().unwrap_or(UNSET)))
            .filter(|(_, asked, got)| asked.as_str() != *got)
            .collect();
        if differing.is_empty() {
            return Ok(());
        }
        let known = defined_symbols(tree);
        let line = |(name, asked, got): (&String, &String, &str)| {
            let why = match got {
                UNSET if !known.is_empty() && !known.contains(name) => ": this tree has no such symbol",
                UNSET => ": a dependency is not met, or a choice excludes it",
                _ if asked == UNSET => ": another symbol selects it, or it cannot be switched off",
                _ => "",
            };
            format!("  CONFIG_{name}: asked for {asked}, got {got}{why}")
        };
        Err(Error::Config {
            fragment: self.path.clone(),
            lines: differing.into_iter().map(line).collect(),
        })
    }
}

/// The fragment `path` and those that it includes, the outermost first. What cannot be read ends the list; reading the
/// fragment will say so.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let mut last = path.to_owned();
    while let Ok(text) = fs::read_to_string(&last)
        && let Some(name) = text.lines().find_map(|line| included(line.trim()))
        && !files.contains(&last.with_file_name(name))
    {
        last = last.with_file_name(name);
        files.push(last.clone());
    }
    files
}

/// The lines of a fragment, with the place of the one that was read last.
struct Lines<'a> {
    path: &'a Path,
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    number: usize,
    line: &'a str,
}

impl<'a> Lines<'a> {
    fn new(path: &'a Path, text: &'a str) -> Lines<'a> {
        Lines {
            path,
            lines: text.lines().enumerate(),
            number: 0,
            line: "",
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        let Some((index, line)) = self.lines.next() else {
            self.line = "";
            return None;
        };
        (self.number, self.line) = (index + 1, line.trim());
        Some(self.line)
    }

    fn fail<T>(&self, why: &'static str) -> Result<T, Error> {
        Err(Error::Fragment {
            path: self.path.to_owned(),
            line: self.number,
            text: self.line.to_owned(),
            why,
        })
    }
}

/// The name in `# include NAME`.
fn included(line: &str) -> Option<&str> {
    let name = line.strip_prefix("# include ")?;
    name.ends_with(".config").then_some(name)
}

/// `CONFIG_X=value` or `# CONFIG_X is not set`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    if let Some(rest) = line.strip_prefix("# CONFIG_") {
        return Some((rest.strip_suffix(" is not set")?, UNSET));
    }
    line.strip_prefix("CONFIG_")?.split_once('=')
}

fn holds(test: &str, version: Version) -> Option<bool> {
    let (operator, number) = test.trim().split_once(' ')?;
    let (major, minor) = number.trim().split_once('.')?;
    let series = (major.parse().ok()?, minor.parse().ok()?);
    match operator {
        ">=" => Some(version.series >= series),
        "<" => Some(version.series < series),
        _ => None,
    }
}

/// The names in all `config NAME` and `menuconfig NAME` lines of a tree's Kconfig files. Other architectures' files
/// are left out, as kconfig does not read them either.
fn defined_symbols(tree: &Path) -> std::collections::BTreeSet<String> {
    let other_arch = |entry: &walkdir::DirEntry| {
        let parent = entry.path().parent().and_then(Path::file_name);
        entry.file_type().is_dir() && parent == Some("arch".as_ref()) && entry.file_name() != "lkl"
    };
    let walk = walkdir::WalkDir::new(tree)
        .follow_links(true)
        .into_iter()
        .filter_entry(|e| !other_arch(e));
    let kconfig = walk
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("Kconfig"));
    let mut names = std::collections::BTreeSet::new();
    for text in kconfig.filter_map(|entry| fs::read_to_string(entry.path()).ok()) {
        for line in text.lines().map(str::trim) {
            let name = line
                .strip_prefix("config ")
                .or_else(|| line.strip_prefix("menuconfig "));
            names.extend(name.map(|name| name.trim().to_owned()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(major: u32, minor: u32) -> Version {
        Version {
            series: (major, minor),
            sublevel: 3,
        }
    }

    fn parse(text: &str, version: Version) -> Result<Fragment, String> {
        parse_beside(&[], text, version)
    }

    /// The fragment x.config, with others beside it.
    fn parse_beside(others: &[(&str, &str)], text: &str, version: Version) -> Result<Fragment, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in others.iter().chain(&[("x.config", text)]) {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let result = Fragment::read(&dir.path().join("x.config"), version);
        result.map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
    }

    #[test]
    fn an_included_fragment_is_the_base_that_lines_change() {
        let base = ("base.config", "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=8\n");
        let parse = |text| parse_beside(&[base, ("loop.config", "# include x.config\n")], text, v(6, 12));
        let text = "# the story\n# include base.config\nCONFIG_B=y\n# CONFIG_A is not set\nCONFIG_D=y\n";
        assert_eq!(
            parse(text).unwrap().for_kconfig(),
            "# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_C=8\nCONFIG_D=y\n"
        );
        for (text, expected) in [
            (
                "# include base.config\nCONFIG_C=8\n",
                "x.config:2: the included fragment asks for that already",
            ),
            (
                "# include base.config\nCONFIG_C=9\nCONFIG_C=8\n",
                "x.config:3: the symbol is asked for twice",
            ),
            (
                "CONFIG_A=y\n# include base.config\n",
                "x.config:2: an inclusion comes first",
            ),
            (
                "# if >= 6.2\n# include base.config\n# endif\n",
                "x.config:2: an inclusion comes first",
            ),
            ("# include x.config\n", "x.config:1: the fragment includes itself"),
            (
                "# include loop.config\n",
                "loop.config:1: the fragment includes itself",
            ),
            ("# include absent.config\n", "cannot read absent.config"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_files_of_a_fragment_are_all_found() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a.config"), "# include b.config\n").unwrap();
        fs::write(at("b.config"), "# include c.config\n").unwrap();
        fs::write(at("c.config"), "# include a.config\n").unwrap();
        assert_eq!(
            files(&at("a.config")),
            [at("a.config"), at("b.config"), at("c.config")]
        );
        assert_eq!(files(&at("absent.config")), [at("absent.config")]);
    }

    #[test]
    fn conditions_select_by_version() {
        let text = "# note\nCONFIG_A=y\n# if >= 6.2\nCONFIG_B=\"t\"\n# endif\n# if < 6.2\n# CONFIG_C is not set\n# endif\n";
        assert_eq!(
            parse(text, v(6, 12)).unwrap().for_kconfig(),
            "CONFIG_A=y\nCONFIG_B=\"t\"\n"
        );
        assert_eq!(
            parse(text, v(6, 1)).unwrap().for_kconfig(),
            "CONFIG_A=y\n# CONFIG_C is not set\n"
        );
        assert_eq!(parse(text, v(7, 0)).unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (text, expected) in [
            (
                "CONFIG_A=y\nCONFIG B=y\n",
                "x.config:2: expected CONFIG_NAME=value",
            ),
            (
                "CONFIG_A=y\nCONFIG_A=n\n",
                "x.config:2: the symbol is asked for twice",
            ),
            ("# if > 6.2\n# endif\n", "x.config:1: a condition is"),
            ("# if >= 6.2\n# if >= 6.3\n", "x.config:2: conditions do not nest"),
            ("# endif\n", "x.config:1: no condition is open"),
            ("# if >= 6.2\nCONFIG_A=y\n", "x.config:2: `# endif` is missing"),
            ("CONFIG_=y\n", "x.config:1: this is not the name"),
        ] {
            let error = parse(text, v(6, 12)).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn every_symbol_that_kconfig_changed_is_named() {
        let tree = tempfile::tempdir().unwrap();
        fs::write(
            tree.path().join("Kconfig"),
            "config KEPT\n\tbool\nmenuconfig DROPPED\nconfig FORCED\n",
        )
        .unwrap();
        let text = "CONFIG_KEPT=y\nCONFIG_DROPPED=y\nCONFIG_NEVER=y\n# CONFIG_FORCED is not set\nCONFIG_NR=8\n# CONFIG_OFF is not set\n";
        let fragment = parse(text, v(6, 12)).unwrap();
        let config = "CONFIG_KEPT=y\n# CONFIG_DROPPED is not set\nCONFIG_FORCED=y\nCONFIG_NR=64\n";
        let error = fragment.check(config, tree.path()).unwrap_err().to_string();
        for expected in [
            "CONFIG_DROPPED: asked for y, got n: a dependency",
            "CONFIG_NEVER: asked for y, got n: this tree has no such symbol",
            "CONFIG_FORCED: asked for n, got y: another symbol",
            "CONFIG_NR: asked for 8, got 64",
        ] {
            assert!(error.contains(expected), "{error}");
        }
        assert!(!error.contains("KEPT") && !error.contains("OFF"), "{error}");
        let granted = "CONFIG_KEPT=y\nCONFIG_DROPPED=y\nCONFIG_NEVER=y\nCONFIG_NR=8\n";
        fragment.check(granted, tree.path()).unwrap();
    }
}
