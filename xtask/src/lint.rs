//! `cargo xtask lint`: formatting, clippy for this machine, for the driver and for Windows' programs, the wall around
//! `unsafe`, and the driver's layers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use xshell::Shell;

use crate::driver::{self, Flavour};
use crate::licences;
use crate::repo;
use crate::structure;
use crate::toolchain::{Toolchain, Windows};
use crate::userctl::LINKER;

/// Crates that must forbid unsafe code in their root.
const SAFE_CRATES: &[&str] = &[
    "driver/control",
    "driver/fsd",
    "driver/lkl-vfs",
    "driver/nt",
    "driver/served",
    "linux/apps/copy",
    "linux/apps/get",
    "linux/apps/lklfuse",
    "linux/apps/serve",
    "linux/apps/sim",
    "linux/apps/volume",
    "linux/headers",
    "linux/images",
    "linux/net-setup",
    "linux/partitions",
    "linux/probe",
    "linux/session",
    "linux/tree",
    "userctl",
];

/// Crates that run in the kernel; clippy sees them for the driver's target too.
const DRIVER_CRATES: &[&str] = &["lkl-host-ntk", "lkl-vfs", "lklfs", "lklfs-kernel", "lklfs-ntk"];

/// Crates that have code for Windows' programs alone.
const PROGRAM_CRATES: &[&str] = &[
    "lkl-c",
    "lkl-host-nt",
    "lkl-net-setup",
    "lkl-server",
    "lklcopy",
    "lklfs-client",
    "lklget",
    "userctl",
    "wine-volume",
];

/// A crate of which only examples are built for Windows: Wine runs them.
const WINDOWS_EXAMPLES: &str = "conformance";

/// A crate with code for Windows that is neither a program's nor the driver's: it is built on Windows alone.
const NO_PROGRAM: &str = "xtask";

/// Crates that can ask Linux's host to write to a disk. None may be in the driver: its Linux, which the build of Linux
/// checks, has no such function, and its own code is to have no word for it either.
const WRITING_CRATES: &[&str] = &["linux-full", "lkl-write"];

/// All of it.
pub fn run(sh: &Shell) -> Result<()> {
    unsafe_wall(&repo::root())?;
    structure::check(sh)?;
    driver_reads_only(sh)?;
    windows_is_seen(sh)?;
    licences::check(sh)?;
    format(sh)?;
    clippy(sh)
}

/// Clippy on everything.
pub fn clippy(sh: &Shell) -> Result<()> {
    clippy_host(sh)?;
    clippy_driver(sh)?;
    clippy_programs(sh)
}

/// Clippy on what is built for Windows' programs, warnings being errors.
fn clippy_programs(sh: &Shell) -> Result<()> {
    let target = Windows::Program;
    let toolchain = Toolchain::find(sh, target)?;
    let crates: Vec<&str> = PROGRAM_CRATES.iter().flat_map(|name| ["-p", name]).collect();
    for what in [crates, vec!["-p", WINDOWS_EXAMPLES, "--examples"]] {
        toolchain
            .cargo(sh, target, "clippy")
            .args(what)
            .arg("--manifest-path")
            .arg(repo::root().join("Cargo.toml"))
            .args(["--config", LINKER, "--release", "--", "-D", "warnings"])
            .run()
            .context("clippy has something to say about the programs for Windows")?;
    }
    Ok(())
}

/// Each crate of the workspace that has code for Windows is one that clippy sees for Windows, or that one of those is made of.
fn windows_is_seen(sh: &Shell) -> Result<()> {
    let programs = PROGRAM_CRATES.iter().flat_map(|name| ["-p", name]);
    let tree = sh
        .cmd("cargo")
        .args(["tree", "-q", "--target", "x86_64-pc-windows-gnu"])
        .args(["--edges", "normal", "--prefix", "none"])
        .args(programs)
        .read()
        .context("cargo cannot tell what Windows' programs are made of")?;
    let mut seen: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    seen.extend(DRIVER_CRATES);
    seen.insert(NO_PROGRAM);
    seen.insert(WINDOWS_EXAMPLES);
    let unseen = with_windows_code(&repo::root())?;
    let unseen: Vec<String> = unseen
        .into_iter()
        .filter(|name| !seen.contains(name.as_str()))
        .collect();
    if !unseen.is_empty() {
        bail!(
            "clippy does not see for Windows what is written for it in {}; add it to PROGRAM_CRATES in xtask/src/lint.rs",
            unseen.join(", ")
        );
    }
    Ok(())
}

/// The crates that say of some of their code that it is for Windows.
fn with_windows_code(root: &Path) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for dir in ["driver", "linux", "tests", "userctl", "xtask"] {
        collect(&root.join(dir), &mut files)?;
    }
    let mut crates = BTreeSet::new();
    for path in files {
        let text = fs::read_to_string(&path)?;
        if !["cfg(windows)", "cfg!(windows)", "cfg_attr(windows"]
            .iter()
            .any(|mark| text.contains(mark))
        {
            continue;
        }
        let manifest = path.ancestors().map(|folder| folder.join("Cargo.toml"));
        let manifest = manifest.into_iter().find(|manifest| manifest.is_file());
        let manifest = manifest.with_context(|| format!("{} is in no crate", path.display()))?;
        let manifest = fs::read_to_string(manifest)?;
        let mut lines = manifest.lines();
        let name = lines.find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        crates.insert(name.context("a crate without a name")?.to_owned());
    }
    Ok(crates)
}

/// Clippy on the crates that live in the driver, for the driver's target: as shipped, and with the suite for hosts.
fn clippy_driver(sh: &Shell) -> Result<()> {
    driver::clippy(sh, DRIVER_CRATES, Flavour::Shipped)?;
    driver::clippy(sh, DRIVER_CRATES, Flavour::SelfTest)
}

/// rustfmt in checking mode.
pub fn format(sh: &Shell) -> Result<()> {
    sh.cmd("cargo")
        .args(["fmt", "--all", "--check"])
        .run()
        .context("`cargo fmt --all` would change files")
}

/// What is off by default and is looked at, too: the host of the Apache Portable Runtime, DPDK's devices, and the programs that libFuzzer
/// drives. Clippy links nothing, so that the Linux which is fuzzed is not built for it.
const OFF_BY_DEFAULT: &str =
    "lkl-host-apr/apr,lkl-links/dpdk,lkl-net-setup/dpdk,lklget/dpdk,lkl-fuzz/fuzzer,fuzz-targets/libfuzzer";

/// Clippy on everything that builds for this machine, warnings being errors.
fn clippy_host(sh: &Shell) -> Result<()> {
    sh.cmd("cargo")
        .args(["clippy", "--workspace", "--exclude", "lklfs", "--all-targets"])
        .args(["--features", OFF_BY_DEFAULT])
        .args(["--", "-D", "warnings"])
        .run()
        .context("clippy has something to say")
}

/// No crate that the driver is made of, however deep, is one that writes.
pub fn driver_reads_only(sh: &Shell) -> Result<()> {
    let tree = sh
        .cmd("cargo")
        .args(["tree", "-q", "-p", "lklfs", "--target", "x86_64-pc-windows-msvc"])
        .args(["--edges", "normal", "--prefix", "none", "--features", "selftest"])
        .read()
        .context("cargo cannot tell what the driver is made of")?;
    let writing = writing_crates(&tree);
    if !writing.is_empty() {
        bail!("the driver has crates in it that write: {}", writing.join(", "));
    }
    if !tree.lines().any(|line| line.starts_with("lkl ")) {
        bail!("cargo does not list the driver's crates any more as this check expects it");
    }
    Ok(())
}

/// Those of `cargo tree`'s lines.
fn writing_crates(tree: &str) -> Vec<&str> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| WRITING_CRATES.contains(name)).collect()
}

/// A file that uses `unsafe` says why at its top (`// UNSAFETY: why`), or its crate does for all of them
/// (`// UNSAFETY (whole crate): why` in lib.rs); the crates behind the wall forbid it.
pub fn unsafe_wall(root: &Path) -> Result<()> {
    let mut broken = Vec::new();
    for dir in SAFE_CRATES {
        let source = root.join(dir).join("src");
        let roots = ["lib.rs", "main.rs"].map(|name| source.join(name));
        let existing: Vec<&PathBuf> = roots.iter().filter(|path| path.exists()).collect();
        for path in &existing {
            if !fs::read_to_string(path)?.contains("#![forbid(unsafe_code)]") {
                broken.push(format!("{}: no #![forbid(unsafe_code)]", shown(root, path)));
            }
        }
        if existing.is_empty() {
            broken.push(format!("{dir}: not a crate"));
        }
    }
    let mut files = BTreeSet::new();
    for dir in ["driver", "linux", "tests", "userctl", "xtask", "build.rs"] {
        collect(&root.join(dir), &mut files)?;
    }
    let edges: Vec<PathBuf> = files.iter().filter_map(|path| edge_crate(path)).collect();
    for path in files {
        let text = fs::read_to_string(&path)?;
        match uses_unsafe(&text) {
            Ok(true) if !says_why(&text) && !edges.iter().any(|edge| path.starts_with(edge)) => {
                broken.push(format!(
                    "{}: uses unsafe and has no `// UNSAFETY: why` line",
                    shown(root, &path)
                ));
            }
            Ok(_) => {}
            Err(error) => broken.push(format!("{}: {error}", shown(root, &path))),
        }
    }
    if !broken.is_empty() {
        bail!(
            "the wall around unsafe code has holes:\n  {}",
            broken.join("\n  ")
        );
    }
    Ok(())
}

/// A path as it is written in the repository.
fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// All Rust files below `path`, build output left out.
fn collect(path: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    if path.is_file() {
        if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path.to_path_buf());
        }
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        if entry.file_name() != "target" {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// Whether the keyword occurs in code: not in comments, not in strings.
fn uses_unsafe(text: &str) -> Result<bool, String> {
    let tokens: TokenStream = text.parse().map_err(|error| format!("not Rust: {error}"))?;
    Ok(has_keyword(tokens))
}

/// Whether the keyword is anywhere in the tree of tokens.
fn has_keyword(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "unsafe",
        TokenTree::Group(group) => has_keyword(group.stream()),
        _ => false,
    })
}

/// The folder of the crate whose root this file is, if it says that the whole crate is an edge.
fn edge_crate(path: &Path) -> Option<PathBuf> {
    let (source, name) = (path.parent()?, path.file_name()?);
    let is_root = source.file_name()? == "src" && name == "lib.rs";
    let text = fs::read_to_string(path).ok().filter(|_| is_root)?;
    reason(&text, "UNSAFETY (whole crate):").then(|| source.parent().map(Path::to_path_buf))?
}

/// Whether a line of comment gives the reason.
fn says_why(text: &str) -> bool {
    reason(text, "UNSAFETY:") || reason(text, "UNSAFETY (whole crate):")
}

/// Whether a line of comment begins with `mark` and goes on for more than a word.
fn reason(text: &str, mark: &str) -> bool {
    text.lines().any(|line| {
        let line = line
            .trim_start()
            .trim_start_matches('/')
            .trim_start_matches('!')
            .trim_start();
        line.strip_prefix(mark)
            .is_some_and(|reason| reason.trim().len() >= 10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_counts_only_in_code() {
        assert_eq!(
            uses_unsafe("// unsafe\nfn f() { let _ = \"unsafe\"; }"),
            Ok(false)
        );
        assert_eq!(uses_unsafe("fn f() { unsafe { g() } }"), Ok(true));
        assert_eq!(
            uses_unsafe("#[unsafe(no_mangle)] pub extern \"C\" fn f() {}"),
            Ok(true)
        );
        assert_eq!(uses_unsafe("#![forbid(unsafe_code)]"), Ok(false));
        assert!(uses_unsafe("fn f( {").is_err());
    }

    #[test]
    fn a_crate_that_writes_is_found_in_the_driver() {
        let tree = "lklfs v0.1.0 (/x)\nlkl v0.1.0 (/x/linux/lkl)\nspin v0.9.9\n";
        assert!(writing_crates(tree).is_empty());
        let with = format!(
            "{tree}lkl-host-std v0.1.0 (/x)\nlkl-write v0.1.0 (/x/linux/lkl-write)\nlkl v0.1.0 (*)\n"
        );
        assert_eq!(writing_crates(&with), ["lkl-write"]);
    }

    #[test]
    fn code_for_windows_is_found_with_its_crate() {
        let found = with_windows_code(&repo::root()).unwrap();
        for name in ["lkl-c", "lkl-links", "userctl", WINDOWS_EXAMPLES] {
            assert!(found.contains(name), "{name} is not among {found:?}");
        }
        assert!(!found.contains("lkl-net"));
    }

    #[test]
    fn a_reason_is_more_than_a_mark() {
        assert!(says_why("// UNSAFETY: calls the host's C functions.\n"));
        assert!(says_why("//! UNSAFETY: calls the host's C functions.\n"));
        assert!(!says_why("// UNSAFETY:\n"));
        assert!(!says_why("let reason = \"UNSAFETY: in a string\";\n"));
    }

    #[test]
    fn holes_are_named() {
        let dir = std::env::temp_dir().join(format!("lklfs-wall-{}", std::process::id()));
        for name in SAFE_CRATES {
            fs::create_dir_all(dir.join(name).join("src")).unwrap();
            fs::write(dir.join(name).join("src/lib.rs"), "#![forbid(unsafe_code)]\n").unwrap();
        }
        for name in ["tests", "xtask"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        fs::write(dir.join("build.rs"), "fn main() {}\n").unwrap();
        unsafe_wall(&dir).unwrap();

        fs::create_dir_all(dir.join("tests/double/src/ke")).unwrap();
        fs::write(
            dir.join("tests/double/src/ke/irql.rs"),
            "fn f() { unsafe { g() } }\n",
        )
        .unwrap();
        let root = dir.join("tests/double/src/lib.rs");
        fs::write(
            &root,
            "// UNSAFETY (whole crate): it is made of another kernel's memory.\n",
        )
        .unwrap();
        unsafe_wall(&dir).unwrap();
        fs::write(&root, "\n").unwrap();
        assert!(unsafe_wall(&dir).is_err());
        fs::remove_dir_all(dir.join("tests/double")).unwrap();

        fs::write(dir.join("tests/edge.rs"), "fn f() { unsafe { g() } }\n").unwrap();
        fs::write(dir.join(SAFE_CRATES[0]).join("src/lib.rs"), "\n").unwrap();
        let message = unsafe_wall(&dir).unwrap_err().to_string();
        fs::remove_dir_all(&dir).unwrap();
        assert!(message.contains("tests/edge.rs: uses unsafe"), "{message}");
        assert!(
            message.contains(&format!("{}/src/lib.rs: no #![forbid", SAFE_CRATES[0])),
            "{message}"
        );
    }
}
