//! Builds the Linux kernel library from an untouched Linux tree and the port in `linux/arch/lkl`.
//!
//! The stages, each in its own module, in the order in which [`build`] runs them:
//!
//! 1. [`request`] says what is wanted: which Linux, which configuration, for which kind of linker.
//! 2. [`source`] unpacks the Linux tree once and lays the port over it: a tree of symbolic links in which only
//!    `arch/lkl` is real, so that the tree below stays untouched and is shared by all builds.
//! 3. [`fragment`] reads `linux/configs/NAME.config` and checks that each symbol it asks for got the value it asks for.
//! 4. [`kbuild`] runs Linux's own build.
//! 5. [`link`] does the last link, `ld -r` with the port's script, and makes every symbol but the API local.
//! 6. [`check`] refuses an object that cannot live inside a Windows driver, naming the symbol at fault.
//! 7. [`coff`] rewrites the ELF object as COFF, with [`unwind`] tables made from `.eh_frame`.
//! 8. [`archive`] wraps the object for linkers that want a library.
//!
//! What comes out is kept in [`cache`] under a hash of everything that went in, so a second build costs milliseconds;
//! [`prune`] removes what was not used for long.
//!
//! Linux comes in two flavours, by configuration: [`DRIVER`] and [`FULL`]. Build scripts that link a kernel call [`library`]
//! and print the link directives themselves; programs say which they want by a crate of `linux/flavours`.

pub mod archive;
pub mod cache;
pub mod check;
pub mod coff;
pub mod compiler;
pub mod elf;
mod error;
#[cfg(test)]
mod fixture;
pub mod fragment;
pub mod kbuild;
pub mod link;
mod pipeline;
pub mod prune;
pub mod report;
pub mod request;
pub mod script;
pub mod source;
pub mod unwind;

pub use error::Error;
pub use pipeline::{build, build_port, relink};
pub use request::{DRIVER, FULL, FUZZ, Request, Source, Target};

use std::path::PathBuf;

/// The files that a build leaves in the cache. They are complete and do not change any more.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// The folder that holds all of them: also `report.txt`, `symbols.txt`.
    pub dir: PathBuf,
    /// One relocatable object: `lkl.o` (ELF) or `lkl.obj` (COFF).
    pub object: PathBuf,
    /// The same object as a static library: `liblkl-CONFIG.a` or `lkl-CONFIG.lib`. Linkers look for a library by its name in
    /// all folders that they know, so that two flavours must not have the same.
    pub library: PathBuf,
    /// The full kernel configuration.
    pub config: PathBuf,
    /// The hash of everything that the build depends on.
    pub key: String,
}

/// What a build script calls: builds `config` for `target` with the defaults and the environment ([`Request::from_env`]), and
/// tells cargo what to watch when it runs inside a build script.
///
/// The caller prints its own link directives from the result.
pub fn library(target: Target, config: &str) -> Result<Artifacts, Error> {
    let mut request = Request::from_env()?;
    if config != DRIVER {
        config.clone_into(&mut request.config);
    }
    let for_cargo = std::env::var_os("OUT_DIR").is_some();
    if for_cargo {
        request.print_cargo_directives();
    }
    let artifacts = build(target, &request)?;
    if for_cargo {
        // When the cache was emptied meanwhile, cargo must not link from its memory of where things were.
        println!("cargo::rerun-if-changed={}", artifacts.library.display());
    }
    if config == DRIVER {
        // Whatever configuration the environment has put in its place.
        artifacts.refuse_writes()?;
    }
    Ok(artifacts)
}

impl Artifacts {
    /// Refuses a kernel that can ask its host to write to a disk, naming each function that does.
    pub fn refuse_writes(&self) -> Result<(), Error> {
        let list = self.dir.join("symbols.txt");
        let text = error::io(std::fs::read_to_string(&list), "cannot read", &list)?;
        let names = text.lines().filter_map(|line| line.rsplit(' ').next());
        let findings: Vec<_> = names.filter_map(check::writes::finding).collect();
        if findings.is_empty() {
            return Ok(());
        }
        Err(Error::Object {
            object: self.object.clone(),
            findings,
        })
    }
}
