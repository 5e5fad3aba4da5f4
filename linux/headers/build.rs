//! Hashes this crate's own sources, so that a changed generator never serves headers that an older one made.

use std::path::Path;

fn main() -> Result<(), lkl_build::Error> {
    println!("cargo::rerun-if-changed=src");
    let mut key = lkl_build::cache::Key::new();
    key.tree("src", Path::new("src"), |_| true)?;
    println!("cargo::rustc-env=LKL_HEADERS_SELF={}", key.finish());
    Ok(())
}
