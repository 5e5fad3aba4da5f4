//! Where the checkout is, and where builds go.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> PathBuf {
    // `cargo run` says where the manifest is now; the compiled-in path serves when the program is started by hand.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest)
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Cargo's target folder: `$CARGO_TARGET_DIR`, else `target` in the checkout.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR").map(PathBuf::from) {
        Some(dir) if dir.is_absolute() => dir,
        Some(dir) => env::current_dir().unwrap_or_default().join(dir),
        None => root().join("target"),
    }
}

/// The name of cargo's output folder for a profile.
pub fn profile(release: bool) -> &'static str {
    if release { "release" } else { "debug" }
}

/// Cargo's options for a build of some packages. In the profile of the tests they are chosen by their targets alone from the whole
/// workspace, with the features that it has as a whole: with those of the packages alone, much would be compiled once more, and
/// differently, beside what the tests have made.
pub fn packages<'a>(names: &[&'a str], release: bool) -> Vec<&'a str> {
    if release {
        let names = names.iter().flat_map(|name| ["-p", name]);
        names.chain(["--release"]).collect()
    } else {
        vec!["--workspace", "--exclude", "lklfs"]
    }
}
