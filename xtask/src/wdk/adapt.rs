//! A copy of the registry's `wdk-build` that compiles on Linux.
//!
//! The published crate refuses to compile on anything but Windows, although all that it does for a WDM driver is to
//! put paths together. The copy is made in the cache from cargo's own unpacked source, by the edits below; each must
//! match exactly as often as it says, so that a new release of the crate fails here by name and not later by surprise.
//! Its dependencies stay as published, though one becomes Windows' own, so `Cargo.lock` stays as it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xshell::Shell;

use crate::cache::{self, Key};
use crate::repo;

/// Names the workspace's manifest, which the published crate looks for above `OUT_DIR`: the target folder need not be
/// in the checkout.
pub const MANIFEST_VARIABLE: &str = "LKLFS_WORKSPACE_MANIFEST";

/// One replacement in a file of the crate.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    times: usize,
}

const EDITS: &[Edit] = &[
    // The registry of Windows is asked only on Windows.
    Edit {
        file: "Cargo.toml",
        from: "\n[dependencies.windows]\n",
        to: "\n[target.'cfg(windows)'.dependencies.windows]\n",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "\nuse windows::{\n",
        to: "\n#[cfg(windows)]\nuse windows::{\n",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "    if let Some(path) = read_registry_key_string_value(",
        to: "    #[cfg(windows)]\n    if let Some(path) = read_registry_key_string_value(",
        times: 2,
    },
    Edit {
        file: "src/utils.rs",
        from: "    ffi::{CStr, OsStr},\n",
        to: "    ffi::OsStr,\n",
        times: 1,
    },
    Edit {
        file: "src/utils.rs",
        from: "\nfn read_registry_key_string_value(",
        to: "\n#[cfg(windows)]\nfn read_registry_key_string_value(",
        times: 1,
    },
    // A build script of this crate sets variables before it starts threads.
    Edit {
        file: "src/utils.rs",
        from: "#[cfg(target_os = \"windows\")]\npub fn ",
        to: "pub fn ",
        times: 2,
    },
    Edit {
        file: "src/utils.rs",
        from: "#[cfg(not(target_os = \"windows\"))]\n",
        to: "#[cfg(any())]\n",
        times: 2,
    },
    Edit {
        file: "src/cargo_make.rs",
        from: "std::os::windows::fs::",
        to: "std::os::unix::fs::",
        times: 2,
    },
    Edit {
        file: "src/cargo_make.rs",
        from: "unix::fs::symlink_file",
        to: "unix::fs::symlink",
        times: 2,
    },
    Edit {
        file: "src/lib.rs",
        from: "pub fn find_top_level_cargo_manifest() -> PathBuf {\n",
        to: "pub fn find_top_level_cargo_manifest() -> PathBuf {\n    \
             if let Some(manifest) = env::var_os(\"LKLFS_WORKSPACE_MANIFEST\") {\n        \
             return PathBuf::from(manifest);\n    }\n",
        times: 1,
    },
];

/// Makes the adapted copy, or finds it in the cache.
pub fn wdk_build(sh: &Shell) -> Result<PathBuf> {
    let source = locate(sh, "wdk-build")?;
    let key = Key::default()
        .add(source.to_string_lossy().as_bytes())
        .add(include_str!("adapt.rs"))
        .add_file(&source.join("Cargo.toml"))?
        .finish();
    let entry = cache::entry("wdk-build", &key, |dir| {
        copy_tree(&source, dir)?;
        EDITS.iter().try_for_each(|edit| apply(dir, edit))
    })?;
    Ok(entry)
}

/// The unpacked source of the workspace's dependency `name`; cargo downloads it when needed.
fn locate(sh: &Shell, name: &str) -> Result<PathBuf> {
    let manifest = repo::root().join("Cargo.toml");
    let json = sh
        .cmd("cargo")
        .args(["metadata", "--format-version=1", "--quiet", "--manifest-path"])
        .arg(manifest)
        .quiet()
        .read()
        .context("cargo metadata")?;
    let metadata: Value = serde_json::from_str(&json).context("cargo metadata's output")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let path = packages
        .iter()
        .find(|package| package["name"] == name)
        .and_then(|package| package["manifest_path"].as_str())
        .with_context(|| format!("{name} is not a dependency of the workspace"))?;
    Ok(Path::new(path)
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default())
}

/// Makes one edit, which must match as often as it says.
fn apply(dir: &Path, edit: &Edit) -> Result<()> {
    let path = dir.join(edit.file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.replace("\r\n", "\n");
    // Only the crate itself: its tests repeat some of these lines.
    let end = text.find("\n#[cfg(test)]\n").unwrap_or(text.len());
    let (code, tests) = text.split_at(end);
    let found = code.matches(edit.from).count();
    if found != edit.times {
        bail!(
            "wdk-build has changed: {} has {found} of {:?}, not {}; adapt xtask/src/wdk/adapt.rs",
            edit.file,
            edit.from,
            edit.times
        );
    }
    fs::write(&path, code.replace(edit.from, edit.to) + tests)?;
    Ok(())
}

/// Copies a folder of files and folders.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
