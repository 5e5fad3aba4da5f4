//! What can go wrong in a build, each with the name of the thing at fault.

use crate::check::Finding;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// An error of the build. Its text is complete: it names the file, symbol or tool and says what to do where that helps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "cannot read".
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The Linux source named by the request does not exist.
    #[error(
        "no Linux source at {}: install the package linux-source-6.12, or name a tarball or a folder in \
         LKLFS_LINUX_SOURCE", .0.display()
    )]
    SourceMissing(PathBuf),
    /// What is there is not a Linux tree.
    #[error("{} is not a Linux source tree: {why}", path.display())]
    NotLinux {
        /// The tree.
        path: PathBuf,
        /// What is missing in it.
        why: String,
    },
    /// A tool that the build needs is not installed or does not run.
    #[error("cannot run {tool}: {source} (on Debian: apt-get install {package})")]
    ToolMissing {
        /// The program.
        tool: String,
        /// The Debian package that holds it.
        package: &'static str,
        /// Why it did not start.
        source: std::io::Error,
    },
    /// A tool ran and failed.
    #[error("{tool} failed ({status}); the end of its output:\n{tail}\n(all of it: {})", log.display())]
    Tool {
        /// The program and its main argument.
        tool: String,
        /// How it ended.
        status: String,
        /// The lines that tell why.
        tail: String,
        /// The file with the whole output.
        log: PathBuf,
    },
    /// A line of the configuration fragment has no meaning.
    #[error("{}:{line}: {why}: `{text}`", path.display())]
    Fragment {
        /// The fragment.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Symbols that the fragment asks for did not get their value.
    #[error("the kernel's configuration differs from what {} asks for:\n{}", fragment.display(), lines.join("\n"))]
    Config {
        /// The fragment.
        fragment: PathBuf,
        /// One line for each symbol.
        lines: Vec<String>,
    },
    /// The folder for patches is not empty: this builder applies none.
    #[error("{}: patches to Linux are not applied by this build; there must be none", .0.display())]
    Patches(PathBuf),
    /// COFF was asked for of a kernel that programs on Linux alone have.
    #[error("the configuration {0} is compiled by clang for programs on Linux: it has no COFF object")]
    ElfOnly(String),
    /// The contract's header declares no function.
    #[error("{}: no function named linux_... is declared there", .0.display())]
    NoApi(PathBuf),
    /// The object breaks rules that it must keep to run inside a Windows driver.
    #[error("{} cannot be used:\n{}", object.display(), list(findings))]
    Object {
        /// The object.
        object: PathBuf,
        /// All that was found.
        findings: Vec<Finding>,
    },
    /// An object file could not be read or written.
    #[error("{what}: {why}")]
    Format {
        /// The file or section.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// How many findings of one rule are spelled out.
const SHOWN_PER_RULE: usize = 25;

fn list(findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut rules: Vec<_> = findings.iter().map(|f| f.rule).collect();
    rules.sort();
    rules.dedup();
    for rule in rules {
        let of_rule: Vec<_> = findings.iter().filter(|f| f.rule == rule).collect();
        for finding in of_rule.iter().take(SHOWN_PER_RULE) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {finding}");
        }
        if of_rule.len() > SHOWN_PER_RULE {
            let _ = writeln!(
                text,
                "  ({} more of this kind: {rule})",
                of_rule.len() - SHOWN_PER_RULE
            );
        }
    }
    text.truncate(text.trim_end().len());
    text
}

/// Names the path in an error of `std::io`.
pub(crate) fn io<T>(result: std::io::Result<T>, what: &'static str, path: &Path) -> Result<T, Error> {
    result.map_err(|source| Error::Io {
        what,
        path: path.to_owned(),
        source,
    })
}
