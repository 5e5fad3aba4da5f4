//! The licences of what we build with, as their packages declare them (SPDX).
//!
//! What is linked with Linux is GPL-2.0-only as a whole, so each crate of such a program must come under a licence that goes
//! with it; Apache-2.0 alone does not. What only builds or tests has a wider table.

use anyhow::{Context, Result, bail};
use spdx::{Expression, ParseMode};
use xshell::Shell;

/// What is given away with Linux in it, and the systems that it is built for.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("lklfs", &["x86_64-pc-windows-msvc"]),
    ("userctl", &["x86_64-unknown-linux-gnu", "x86_64-pc-windows-gnu"]),
    ("lkl-c", &["x86_64-unknown-linux-gnu"]),
    ("lklcopy", &["x86_64-unknown-linux-gnu"]),
    ("lklfuse", &["x86_64-unknown-linux-gnu"]),
    ("lklget", &["x86_64-unknown-linux-gnu", "x86_64-pc-windows-gnu"]),
    ("lklrun", &["x86_64-unknown-linux-gnu"]),
    ("lklsim", &["x86_64-unknown-linux-gnu"]),
    (
        "lkl-server",
        &["x86_64-unknown-linux-gnu", "x86_64-pc-windows-gnu"],
    ),
];

/// Licences that go with GPL-2.0-only.
const WITH_LINUX: &[&str] = &[
    "0BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "GPL-2.0-only",
    "ISC",
    "LGPL-2.1-or-later",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Further ones, for tools. NCSA is libFuzzer's.
const FOR_TOOLS: &[&str] = &["Apache-2.0", "Apache-2.0 WITH LLVM-exception", "MPL-2.0", "NCSA"];

/// The crates that link Linux, as a line of [`tree`] begins with them.
const FLAVOURS: [&str; 3] = ["linux-driver ", "linux-full ", "linux-fuzz "];

/// libFuzzer's, in the one program that has it and Linux: LLVM's exception says that its code may be combined with what is under
/// GPL-2.0, and NCSA's terms are among those of the GPL. That program is installed nowhere.
const OF_LIBFUZZER: &[&str] = &["Apache-2.0 WITH LLVM-exception", "NCSA"];

/// Checks both tables.
pub fn check(sh: &Shell) -> Result<()> {
    let mut wrong = Vec::new();
    for (program, targets) in PROGRAMS {
        for target in *targets {
            let tree = tree(sh, &["-p", program, "--edges", "normal", "--target", target])?;
            if !tree.lines().any(|line| line.starts_with("lkl ")) {
                bail!("cargo does not list {program}'s crates as this check expects it");
            }
            wrong.extend(refused(&tree, &[WITH_LINUX]).map(|line| format!("{program}: {line}")));
        }
    }
    let all = tree(
        sh,
        &["--workspace", "--edges", "normal,build,dev", "--target", "all"],
    )?;
    wrong.extend(refused(&all, &[WITH_LINUX, FOR_TOOLS]).map(|line| format!("a tool: {line}")));
    let fuzzer = tree(sh, &["-p", "fuzz-targets", "--features", "libfuzzer"])?;
    wrong.extend(refused(&fuzzer, &[WITH_LINUX, FOR_TOOLS]).map(|line| format!("a tool: {line}")));
    if fuzzer
        .lines()
        .any(|line| FLAVOURS.iter().any(|flavour| line.starts_with(flavour)))
    {
        bail!("libFuzzer would be linked with Linux");
    }
    let with_linux = tree(
        sh,
        &["-p", "lkl-fuzz", "--features", "libfuzzer", "--edges", "normal"],
    )?;
    wrong.extend(refused(&with_linux, &[WITH_LINUX, OF_LIBFUZZER]).map(|line| format!("lkl-fuzz: {line}")));
    wrong.sort();
    wrong.dedup();
    if !wrong.is_empty() {
        bail!("licences that do not fit:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

/// A line for each crate: its name, its version, and its licence after a bar.
fn tree(sh: &Shell, arguments: &[&str]) -> Result<String> {
    sh.cmd("cargo")
        .args([
            "tree",
            "-q",
            "--prefix",
            "none",
            "--no-dedupe",
            "--format",
            "{p}|{l}",
        ])
        .args(arguments)
        .quiet()
        .read()
        .context("cargo cannot tell what the crates are")
}

/// The lines whose licence none of the tables allows. Cargo marks what it has told already with an asterisk.
fn refused<'a>(tree: &'a str, tables: &'a [&'a [&'a str]]) -> impl Iterator<Item = &'a str> {
    tree.lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty())
        .filter(move |line| {
            !line
                .split_once('|')
                .is_some_and(|(_, licence)| allowed(licence, tables))
        })
}

/// Whether one may choose licences of the tables so that the expression holds.
fn allowed(licence: &str, tables: &[&[&str]]) -> bool {
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
        return false;
    };
    expression.evaluate(|wanted| {
        let wanted = wanted.to_string();
        tables.iter().any(|table| table.contains(&wanted.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apache_alone_does_not_go_with_linux() {
        for (licence, with_linux, for_tools) in [
            ("MIT", true, true),
            ("MIT/Apache-2.0", true, true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true, true),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true, true),
            ("Apache-2.0", false, true),
            ("Apache-2.0 AND MIT", false, true),
            ("Apache-2.0 WITH LLVM-exception", false, true),
            ("GPL-3.0-only", false, false),
            ("", false, false),
            ("LicenseRef-own", false, false),
        ] {
            assert_eq!(allowed(licence, &[WITH_LINUX]), with_linux, "{licence}");
            assert_eq!(allowed(licence, &[WITH_LINUX, FOR_TOOLS]), for_tools, "{licence}");
        }
    }

    #[test]
    fn a_crate_that_does_not_fit_is_named() {
        let tree = "lkl v0.1.0|GPL-2.0-only\nring v0.17.0|Apache-2.0 AND ISC\nnone v1.0.0|\n";
        let named: Vec<&str> = refused(tree, &[WITH_LINUX]).collect();
        assert_eq!(named, ["ring v0.17.0|Apache-2.0 AND ISC", "none v1.0.0|"]);
    }
}
