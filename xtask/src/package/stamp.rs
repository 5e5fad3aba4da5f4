//! Which version is packaged, of which day and which commit.
//!
//! Everything with a date in the package takes it from here, so that the same commit makes the same package: the time is
//! that of the commit, or `SOURCE_DATE_EPOCH` as the reproducible-builds project defines it.

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use xshell::Shell;

use crate::repo;

/// What the package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Cargo's version: three numbers.
    pub version: String,
    /// The number of commits up to this one, 0 outside a git checkout. Grows with each, so that Windows takes a later
    /// build of the same version for the newer one.
    pub build: u16,
    /// Seconds since 1970.
    pub seconds: i64,
    /// The commit, with a `+` if files were changed since; empty outside a git checkout.
    pub commit: String,
}

impl Stamp {
    /// Asks git and the environment.
    pub fn read(sh: &Shell) -> Result<Stamp> {
        let git = |words: &[&str]| {
            let text = sh
                .cmd("git")
                .arg("-C")
                .arg(repo::root())
                .args(words)
                .quiet()
                .ignore_stderr();
            text.read().ok()
        };
        let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
        let count = git(&["rev-list", "--count", "HEAD"]).and_then(|count| count.parse().ok());
        let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => text
                .parse()
                .context("SOURCE_DATE_EPOCH is no number of seconds")?,
            Err(_) => git(&["log", "-1", "--format=%ct"])
                .and_then(|text| text.parse().ok())
                .context("neither a git checkout nor SOURCE_DATE_EPOCH says what day this is of")?,
        };
        Ok(Stamp {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: count.unwrap_or(0).min(u32::from(u16::MAX)).try_into()?,
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
    fn this_checkout_has_a_stamp() {
        let stamp = Stamp::read(&Shell::new().unwrap()).unwrap();
        assert!(stamp.seconds > 0);
        assert_eq!(stamp.windows_version().split('.').count(), 4);
    }
}
