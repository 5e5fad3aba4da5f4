//! The compiler that a configuration is for.
//!
//! Kernels that programs carry are gcc's. One that is fuzzed is clang's, which puts in the counters that libFuzzer reads: its
//! fragment asks for `CONFIG_CC_IS_CLANG=y`, which kconfig finds out by itself, so that the check of the configuration says whether the
//! right compiler was there.
//!
//! What is instrumented is what KCOV would instrument: Linux's Makefiles give `CFLAGS_KCOV` to the files that are worth it, and
//! a variable on make's command line wins over theirs. So the counters need no change of Linux.

use crate::Error;
use crate::error::io;
use crate::{fragment, link};
use std::path::Path;
use std::process::Command;

/// A compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compiler {
    /// GNU's.
    #[default]
    Gcc,
    /// LLVM's, with counters of edges.
    Clang,
}

/// The line of a configuration that wants clang.
const CLANG_LINE: &str = "CONFIG_CC_IS_CLANG=y";
/// Debian's name for it.
const CLANG: &str = "clang-19";

/// What make's command line says for clang. Linux's Makefiles know by which flags clang compiles for which architecture; of this
/// one they do not.
const CLANG_VARIABLES: [&str; 3] = [
    "CC=clang-19",
    "CLANG_TARGET_FLAGS_lkl=x86_64-linux-gnu",
    "CFLAGS_KCOV=-fsanitize-coverage=inline-8bit-counters,pc-table",
];

/// Lines, for the stack of a finding.
const LINES: &str = "-gline-tables-only";

impl Compiler {
    /// The one that a fragment asks for, or a full configuration has.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of(configuration: &Path) -> Result<Compiler, Error> {
        for file in fragment::files(configuration) {
            let text = io(std::fs::read_to_string(&file), "cannot read", &file)?;
            if text.lines().any(|line| line.trim() == CLANG_LINE) {
                return Ok(Compiler::Clang);
            }
        }
        Ok(Compiler::Gcc)
    }

    /// What of it counts for the result, for a key: its version, and what make is told beyond what it always is.
    ///
    /// # Errors
    /// It does not run.
    pub fn identity(self) -> Result<String, Error> {
        match self {
            Compiler::Gcc => link::tool_version("gcc"),
            Compiler::Clang => Ok(format!(
                "{} {CLANG_VARIABLES:?} {LINES}",
                link::tool_version(CLANG)?
            )),
        }
    }

    /// Has make use it, for the tree `tree`. In what it says of lines, that is `/linux`.
    pub fn tell(self, make: &mut Command, tree: &Path) {
        if self == Compiler::Clang {
            make.args(CLANG_VARIABLES);
            make.arg(format!(
                "KCFLAGS={LINES} -fdebug-prefix-map={}=/linux",
                tree.display()
            ));
        }
    }

    /// Has the last link do what its objects need.
    ///
    /// clang puts a function and its table of edges into one section group, and the link merges sections.
    pub fn tell_linker(self, ld: &mut Command) {
        if self == Compiler::Clang {
            ld.arg("--force-group-allocation");
        }
    }

    /// Names that its objects mention and the script leaves without a use.
    pub fn mentions(self) -> &'static [&'static str] {
        match self {
            Compiler::Gcc => &[],
            Compiler::Clang => &[
                "__sanitizer_cov_8bit_counters_init",
                "__sanitizer_cov_pcs_init",
                "__start___sancov_cntrs",
                "__start___sancov_pcs",
                "__stop___sancov_cntrs",
                "__stop___sancov_pcs",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_fragment_says_which_compiler_it_is_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            Compiler::of(&path).unwrap()
        };
        assert_eq!(
            at("a.config", "CONFIG_A=y\n# CONFIG_CC_IS_CLANG=y\n"),
            Compiler::Gcc
        );
        assert_eq!(
            at("b.config", "CONFIG_A=y\nCONFIG_CC_IS_CLANG=y\n"),
            Compiler::Clang
        );
        assert_eq!(at("c.config", "# include b.config\n"), Compiler::Clang);
    }

    #[test]
    fn gcc_is_told_nothing() {
        let words = |compiler: Compiler| {
            let mut make = Command::new("make");
            compiler.tell(&mut make, Path::new("/tree"));
            compiler.tell_linker(&mut make);
            make.get_args()
                .map(|word| word.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert!(words(Compiler::Gcc).is_empty());
        let clang = words(Compiler::Clang);
        assert!(clang.contains(&format!("CC={CLANG}")), "{clang:?}");
        assert!(
            clang
                .iter()
                .any(|word| word.ends_with("-fdebug-prefix-map=/tree=/linux")),
            "{clang:?}"
        );
    }
}
