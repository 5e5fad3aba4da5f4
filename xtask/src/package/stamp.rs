//! Which version is packaged, of which day and which commit.
//!
//! Everything with a date in the package takes it from here, so that the same commit makes the same package. The day is,
//! in this order: `SOURCE_DATE_EPOCH`, as the reproducible-builds project defines it; the commit's; where there is no git
//! checkout, the newest source file's; and if even that is no day that can be, one that is fixed. What is guessed is told.
//!
//! The last number of the version counts commits. A shallow clone does not know how many there were, and an unpacked
//! archive knows of none: there it is 0, or what `LKLFS_BUILD` says.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use xshell::Shell;

use crate::repo;

/// Names the number of this build, where git cannot tell it.
const BUILD: &str = "LKLFS_BUILD";
/// The day when nothing says one: 2026-01-01.
const FALLBACK: i64 = 1_767_225_600;
/// The first day that a zip can hold, 1980-01-01.
const EARLIEST: i64 = 315_532_800;

/// What the package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Cargo's version: three numbers.
    pub version: String,
    /// The number of commits up to this one, or what the environment says; 0 when neither is known. Grows with each, so that
    /// Windows takes a later build of the same version for the newer one.
    pub build: u16,
    /// Seconds since 1970.
    pub seconds: i64,
    /// The commit, with a `+` if files were changed since; empty outside a git checkout.
    pub commit: String,
}

impl Stamp {
    /// Asks git and the environment.
    pub fn read(sh: &Shell) -> Result<Stamp> {
        Stamp::of(sh, &repo::root(), &|name| std::env::var(name).ok())
    }

    /// The same of the tree in `root`, with these variables.
    fn of(sh: &Shell, root: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Stamp> {
        let git = |words: &[&str]| {
            let text = sh
                .cmd("git")
                .arg("-C")
                .arg(root)
                .args(words)
                .quiet()
                .ignore_stderr();
            text.read().ok()
        };
        // An archive that was unpacked inside somebody else's checkout is none.
        let is_checkout = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
        let commit = git(&["rev-parse", "--verify", "HEAD"])
            .filter(|_| is_checkout)
            .unwrap_or_default();
        let changed = !commit.is_empty()
            && git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
        let is_whole = git(&["rev-parse", "--is-shallow-repository"]).as_deref() == Some("false");
        let build = match variable(BUILD) {
            Some(text) => text
                .parse()
                .with_context(|| format!("{BUILD}={text} is no number up to 65535"))?,
            None => {
                let count = git(&["rev-list", "--count", "HEAD"]).filter(|_| !commit.is_empty() && is_whole);
                let count: Option<u32> = count.and_then(|count| count.parse().ok());
                if count.is_none() {
                    eprintln!(
                        "package: nobody knows the number of commits here, so the version ends in 0; {BUILD} can say one"
                    );
                }
                count.unwrap_or(0).min(u32::from(u16::MAX)).try_into()?
            }
        };
        let seconds = match variable("SOURCE_DATE_EPOCH") {
            Some(text) => text
                .parse()
                .context("SOURCE_DATE_EPOCH is no number of seconds")?,
            None => {
                let time = git(&["log", "-1", "--format=%ct"]).filter(|_| !commit.is_empty());
                match time.and_then(|text| text.parse().ok()) {
                    Some(seconds) => seconds,
                    None => guessed(root)?,
                }
            }
        };
        Ok(Stamp {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build,
            seconds,
            commit: if changed { format!("{commit}+") } else { commit },
        })
    }

    /// The version of four numbers that Windows compares.
    pub fn windows_version(&self) -> String {
        format!("{}.{}", self.version, self.build)
    }

    /// A day in the given form of `strftime`, in UTC.
    pub fn day(&self, form: &str) -> Result<String> {
        let time = Timestamp::from_second(self.seconds).context("no day that a calendar has")?;
        Ok(time.to_zoned(TimeZone::UTC).strftime(form).to_string())
    }

    /// Puts what a template leaves open: `@VERSION@` (four numbers), `@DATE@` (mm/dd/yyyy), `@COMMIT@`, `@PUBLISHER@`.
    pub fn fill(&self, template: &str) -> Result<String> {
        Ok(template
            .replace("@VERSION@", &self.windows_version())
            .replace("@DATE@", &self.day("%m/%d/%Y")?)
            .replace("@ISODATE@", &self.day("%Y-%m-%d")?)
            .replace(
                "@COMMIT@",
                if self.commit.is_empty() {
                    "unknown"
                } else {
                    &self.commit
                },
            )
            .replace("@PUBLISHER@", PUBLISHER))
    }
}

/// A day for a tree without git, and where it is from.
fn guessed(root: &Path) -> Result<i64> {
    let now = seconds_of(SystemTime::now());
    let newest = newest(root)?.filter(|seconds| (EARLIEST..=now).contains(seconds));
    match newest {
        Some(_) => {
            eprintln!("package: no git checkout and no SOURCE_DATE_EPOCH: the day is the newest file's")
        }
        None => eprintln!("package: no git checkout and no SOURCE_DATE_EPOCH: the day is 2026-01-01"),
    }
    Ok(newest.unwrap_or(FALLBACK))
}

/// The time of the newest source file below `folder`: builds and what begins with a dot are none.
fn newest(folder: &Path) -> Result<Option<i64>> {
    let mut found = None;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if name.as_encoded_bytes().starts_with(b".") || name == "target" {
            continue;
        }
        let time = if kind.is_dir() {
            newest(&entry.path())?
        } else if kind.is_file() {
            Some(seconds_of(entry.metadata()?.modified()?))
        } else {
            None
        };
        found = found.max(time);
    }
    Ok(found)
}

/// Seconds since 1970; 0 for what is before.
fn seconds_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Who publishes: the workspace's authors, or the product where none are named.
pub const PUBLISHER: &str = {
    let authors = env!("CARGO_PKG_AUTHORS");
    if authors.is_empty() { "lklfs" } else { authors }
};

/// Today, as (year, month, day) in UTC.
pub fn today() -> Result<(u16, u8, u8)> {
    let day = Timestamp::now().to_zoned(TimeZone::UTC).date();
    Ok((
        day.year().try_into()?,
        day.month().try_into()?,
        day.day().try_into()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_stamp_fills_the_same_text() {
        let stamp = Stamp {
            version: "0.1.0".to_owned(),
            build: 12,
            seconds: 951_782_400,
            commit: "abc".to_owned(),
        };
        let filled = stamp
            .fill("@DATE@,@VERSION@ @ISODATE@ @COMMIT@ @PUBLISHER@")
            .unwrap();
        assert_eq!(filled, format!("02/29/2000,0.1.0.12 2000-02-29 abc {PUBLISHER}"));
    }

    #[test]
    fn this_tree_has_a_stamp() {
        let stamp = Stamp::read(&Shell::new().unwrap()).unwrap();
        assert!(stamp.seconds > 0);
        assert_eq!(stamp.windows_version().split('.').count(), 4);
    }

    const DAY: i64 = 951_782_400;

    /// A folder with two files, of which the newer is of [`DAY`].
    fn tree() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (name, seconds) in [
            ("below/a", DAY),
            ("b", DAY - 1),
            (".hidden", DAY + 1),
            ("target/c", DAY + 1),
        ] {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            dated(&path, seconds);
        }
        place
    }

    fn dated(path: &Path, seconds: i64) {
        let time = UNIX_EPOCH + std::time::Duration::from_secs(seconds.try_into().unwrap());
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    fn of(root: &Path, variables: &[(&str, &str)]) -> Result<Stamp> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Stamp::of(&Shell::new().unwrap(), root, &variable)
    }

    /// Commits of 2001-01-01 and the day after.
    fn git(root: &Path, words: &[&str]) {
        let status = std::process::Command::new("git")
            .arg("-C")
            .arg(root)
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@x",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(words)
            .env("GIT_COMMITTER_DATE", "978307200 +0000")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "git {words:?}");
    }

    #[test]
    fn without_git_the_day_is_the_newest_files_or_a_fixed_one() {
        let place = tree();
        let stamp = of(place.path(), &[]).unwrap();
        assert_eq!((stamp.seconds, stamp.build), (DAY, 0));
        assert!(stamp.commit.is_empty());
        // A day that is to come, and one that no zip can hold, are no days to go by.
        for wrong in [4_102_444_800, 1] {
            dated(&place.path().join("below/a"), wrong);
            dated(&place.path().join("b"), wrong);
            assert_eq!(of(place.path(), &[]).unwrap().seconds, FALLBACK);
        }
        let told = of(place.path(), &[("SOURCE_DATE_EPOCH", "978307200"), (BUILD, "77")]).unwrap();
        assert_eq!((told.seconds, told.build), (978_307_200, 77));
        assert!(of(place.path(), &[("SOURCE_DATE_EPOCH", "today")]).is_err());
        assert!(of(place.path(), &[(BUILD, "65536")]).is_err());
    }

    /// A machine that unpacked an archive may have no git.
    fn has_git() -> bool {
        let asked = std::process::Command::new("git").arg("--version").output();
        asked.is_ok_and(|output| output.status.success())
    }

    #[test]
    fn git_tells_day_commit_and_number_and_a_shallow_clone_all_but_the_number() {
        if !has_git() {
            return;
        }
        let place = tree();
        let root = place.path();
        git(root, &["init", "-q"]);
        // A checkout without a commit knows nothing yet.
        assert_eq!(of(root, &[]).unwrap().seconds, DAY);
        git(root, &["add", "b"]);
        git(root, &["commit", "-q", "-m", "one"]);
        git(root, &["commit", "-q", "-m", "two", "--allow-empty"]);
        let whole = of(root, &[]).unwrap();
        assert_eq!(
            (whole.seconds, whole.build, whole.commit.len()),
            (978_307_200, 2, 40)
        );

        let clones = tempfile::tempdir().unwrap();
        let shallow = clones.path().join("shallow");
        let url = format!("file://{}", root.display());
        git(clones.path(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
        assert_eq!(
            of(&shallow, &[]).unwrap(),
            Stamp {
                build: 0,
                ..whole.clone()
            }
        );

        fs::write(root.join("b"), "changed").unwrap();
        assert_eq!(of(root, &[]).unwrap().commit, format!("{}+", whole.commit));
        // A folder of a checkout is not the checkout.
        let inner = of(&root.join("below"), &[]).unwrap();
        assert_eq!((inner.seconds, inner.commit.as_str()), (DAY, ""));
    }
}
