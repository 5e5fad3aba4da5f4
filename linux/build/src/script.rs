//! What the build scripts of `linux/flavours` do: link a flavour of Linux into whatever program has their crate.
//!
//! No key `links` keeps a program from having both crates, because such a key is unique in a lock file and not in a program.
//! The linker refuses instead: both define the same functions, and all of each is linked.

use crate::{Error, Target, library};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The body of the build script of the crate for `config`. The variables name a library that is there already, for
/// programs on Linux and on Windows.
pub fn main(config: &str, elf_variable: &str, coff_variable: &str) -> ExitCode {
    for variable in [elf_variable, coff_variable] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let (target, variable) = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => (Target::Elf, elf_variable),
        Ok("windows") => (Target::Coff, coff_variable),
        // There is no host for it, and the crate is empty.
        _ => return ExitCode::SUCCESS,
    };
    match ready(variable, target, config).and_then(|library| directives(target, &library)) {
        Ok(directives) => {
            directives.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("cargo::error=the Linux kernel library: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ready(variable: &str, target: Target, config: &str) -> Result<PathBuf, String> {
    let Some(path) = std::env::var_os(variable) else {
        let built = library(target, config).map_err(|error: Error| error.to_string())?;
        return Ok(built.library);
    };
    let path = PathBuf::from(path);
    println!("cargo::rerun-if-changed={}", path.display());
    if !path.is_file() {
        return Err(format!("{variable}: {} is not a file", path.display()));
    }
    Ok(path)
}

/// What cargo is told. Not bundled: a copy of some 30 MB in each rlib would be of no use. Whole, because a linker that looks
/// at libraries in order (GNU's) would meet it before the crate that needs it. By its full name, because linkers disagree
/// about what a library is called.
fn directives(target: Target, library: &Path) -> Result<[String; 2], String> {
    let name = library.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("{} has no name", library.display()))?;
    if target == Target::Elf && !(name.starts_with("lib") && name.ends_with(".a")) {
        return Err(format!("{} is not named lib*.a", library.display()));
    }
    let folder = library.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.ok_or_else(|| format!("{} has no folder", library.display()))?;
    Ok([
        format!("cargo::rustc-link-search=native={}", folder.display()),
        format!("cargo::rustc-link-lib=static:+whole-archive,-bundle,+verbatim={name}"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_named_as_linkers_find_it() {
        let told = directives(Target::Elf, Path::new("/cache/kernel/1/liblkl-full.a")).unwrap();
        assert_eq!(told[0], "cargo::rustc-link-search=native=/cache/kernel/1");
        assert!(told[1].ends_with("+verbatim=liblkl-full.a"), "{told:?}");
        assert!(directives(Target::Coff, Path::new("/x/lkl-full.lib")).is_ok());
        assert!(directives(Target::Elf, Path::new("/x/lkl.o")).is_err());
        assert!(directives(Target::Elf, Path::new("liblkl.a")).is_err());
    }
}
