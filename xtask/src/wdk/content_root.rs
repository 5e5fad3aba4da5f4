//! A folder laid out as the Windows Driver Kit, made from mingw-w64's headers.
//!
//! ```text
//! Include/<version>/km          ntifs.h and others of our own in front of links to mingw's ddk/*.h
//! Include/<version>/km/crt      empty: mingw's C headers are found through `shared`
//! Include/<version>/shared      link to mingw's include folder
//! Lib/<version>/km/x64          ntoskrnl.lib, hal.lib (import libraries), two empty libraries
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::import_library;
use crate::cache::{self, Key};

/// The version of the kit that the folder claims to be.
pub const VERSION: &str = "10.0.26100.0";

/// Where Debian's mingw-w64-x86-64-dev puts its headers.
const MINGW_INCLUDE: &str = "/usr/x86_64-w64-mingw32/include";

/// Headers that we put in front of mingw's: name, text.
const OVERLAY: &[(&str, &str)] = &[("ntifs.h", include_str!("overlay/ntifs.h"))];

/// Makes the folder, or finds it in the cache.
pub fn assemble(exports: &str) -> Result<PathBuf> {
    let mingw = Path::new(MINGW_INCLUDE);
    if !mingw.join("ddk/ntifs.h").exists() {
        bail!("mingw-w64's DDK headers are not in {MINGW_INCLUDE}: run `cargo xtask setup`");
    }
    let mut key = Key::default()
        .add(VERSION)
        .add(include_str!("import_library.rs"))
        .add(exports);
    for (name, text) in OVERLAY {
        key = key.add(name).add(text);
    }
    for header in ["ddk/ntifs.h", "ddk/wdm.h", "_mingw.h"] {
        key = key.add_file(&mingw.join(header))?;
    }
    cache::entry("wdk", &key.finish(), |root| fill(root, mingw, exports))
}

/// Fills an empty folder.
fn fill(root: &Path, mingw: &Path, exports: &str) -> Result<()> {
    let include = root.join("Include").join(VERSION);
    let km = include.join("km");
    let lib = root.join("Lib").join(VERSION).join("km/x64");
    fs::create_dir_all(km.join("crt"))?;
    fs::create_dir_all(&lib)?;

    link(mingw, &include.join("shared"))?;
    for entry in fs::read_dir(mingw.join("ddk"))? {
        let entry = entry?;
        if !OVERLAY.iter().any(|(name, _)| entry.file_name() == *name) {
            link(&entry.path(), &km.join(entry.file_name()))?;
        }
    }
    for (name, text) in OVERLAY {
        fs::write(km.join(name), text)?;
    }

    import_library::write(&lib.join("ntoskrnl.lib"), exports, import_library::KERNEL)?;
    import_library::write(&lib.join("hal.lib"), exports, import_library::HAL)?;
    for name in ["BufferOverflowFastFailK.lib", "wmilib.lib"] {
        fs::write(lib.join(name), b"!<arch>\n")?;
    }
    Ok(())
}

#[cfg(unix)]
fn link(target: &Path, path: &Path) -> Result<()> {
    std::os::unix::fs::symlink(target, path).with_context(|| format!("cannot link {}", path.display()))
}

#[cfg(not(unix))]
fn link(_target: &Path, path: &Path) -> Result<()> {
    bail!(
        "{}: the content root is made only where there is no WDK",
        path.display()
    )
}
