//! Links the Linux kernel library, as COFF, into whatever program uses this host.
//!
//! `LKLFS_LKL_COFF_ARCHIVE=C:\path\to\lkl.lib` names a library that is there already; without it, `lkl-build` makes one
//! (or finds it in its cache).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const ARCHIVE: &str = "LKLFS_LKL_COFF_ARCHIVE";

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed={ARCHIVE}");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("windows") {
        // The crate is empty elsewhere: see lib.rs.
        return ExitCode::SUCCESS;
    }
    match library().and_then(|library| link(&library)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=the Linux kernel library: {error}");
            ExitCode::FAILURE
        }
    }
}

fn library() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os(ARCHIVE) {
        let path = PathBuf::from(path);
        println!("cargo::rerun-if-changed={}", path.display());
        return if path.is_file() {
            Ok(path)
        } else {
            Err(format!("{ARCHIVE}: {} is not a file", path.display()))
        };
    }
    lkl_build::library(lkl_build::Target::Coff)
        .map(|built| built.library)
        .map_err(|error| error.to_string())
}

fn link(library: &Path) -> Result<(), String> {
    let name = library
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or("the library has no name")?;
    let folder = library
        .parent()
        .ok_or_else(|| format!("{} has no folder", library.display()))?;
    println!("cargo::rustc-link-search=native={}", folder.display());
    // By its full name, because the two linkers disagree about what a library is called; and not bundled, because a
    // copy of some 30 MB in each rlib would be of no use.
    // Whole, because a linker that looks at libraries in order (GNU's) would meet it before the crate that needs it.
    println!("cargo::rustc-link-lib=static:+whole-archive,-bundle,+verbatim={name}");
    Ok(())
}
