//! Microsoft's `wdk-sys` on a machine that has no WDK.
//!
//! `wdk-sys` runs bindgen over a WDK that its build script finds through `wdk-build`. On Windows both are used as
//! published. Elsewhere three things are made in the cache, and cargo is told of them on its command line, so that no
//! manifest and no lock file differs between the two:
//!
//! * [`content_root`]: a folder laid out as the WDK is, whose headers are mingw-w64's DDK headers;
//! * [`import_library`]: `ntoskrnl.lib` and `hal.lib`, made from the list of names that the driver may import;
//! * [`adapt`]: a copy of the registry's `wdk-build` that compiles on Linux, used through `[patch]`. The lock file that
//!   belongs to it is a copy in the target folder.

mod adapt;
mod content_root;
pub mod import_library;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell};

use crate::repo;

/// What a build for the driver's target needs besides the toolchain.
pub struct Wdk {
    root: PathBuf,
    wdk_build: PathBuf,
    llvm: Llvm,
}

/// The names that `lklfs.sys` may import, in the checkout.
pub const EXPORTS: &str = "driver/image/nt-exports.txt";

impl Wdk {
    /// Makes (or finds in the cache) the content root and the adapted crate. `None` on Windows: the real WDK is used.
    pub fn prepare(sh: &Shell) -> Result<Option<Wdk>> {
        if cfg!(windows) {
            return Ok(None);
        }
        let llvm = Llvm::find()?;
        let exports = fs::read_to_string(repo::root().join(EXPORTS)).context(EXPORTS)?;
        let root = content_root::assemble(&exports)?;
        let wdk_build = adapt::wdk_build(sh)?;
        Ok(Some(Wdk {
            root,
            wdk_build,
            llvm,
        }))
    }

    /// Adds to `cmd` (a cargo build for the driver's target) what makes `wdk-sys` build here.
    pub fn apply<'a>(&self, cmd: Cmd<'a>) -> Result<Cmd<'a>> {
        let lock = patched_lock()?;
        let clang_args = format!(
            "--target=x86_64-w64-windows-gnu -fno-ms-compatibility -D_WIN32_WINNT=0x0A00 \
             -DNTDDI_VERSION=0x0A000000 -isystem {}",
            self.llvm.include.display()
        );
        let string = |path: &Path| format!("{:?}", path.display().to_string());
        Ok(cmd
            .arg("--config")
            .arg(format!(
                "patch.crates-io.wdk-build.path={}",
                string(&self.wdk_build)
            ))
            .arg("-Zlockfile-path")
            .arg("--config")
            .arg(format!("resolver.lockfile-path={}", string(&lock)))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("WDKContentRoot", &self.root)
            .env("Version_Number", content_root::VERSION)
            .env("LIBCLANG_PATH", &self.llvm.lib)
            .env("RC_PATH", &self.llvm.rc)
            .env("BINDGEN_EXTRA_CLANG_ARGS", clang_args)
            .env(adapt::MANIFEST_VARIABLE, repo::root().join("Cargo.toml"))
            .env("RUST_LOG", "error"))
    }
}

/// A copy of the lock file that cargo may change for the patch. It is made anew only when the original has changed, so
/// that nothing is built twice.
fn patched_lock() -> Result<PathBuf> {
    let dir = repo::target_dir().join("wdk-lock");
    let (lock, origin) = (dir.join("Cargo.lock"), dir.join("Cargo.lock.origin"));
    let current = fs::read(repo::root().join("Cargo.lock")).context("Cargo.lock")?;
    if !lock.exists() || fs::read(&origin).ok().as_deref() != Some(&current) {
        fs::create_dir_all(&dir)?;
        fs::write(&lock, &current)?;
        fs::write(&origin, &current)?;
    }
    Ok(lock)
}

/// The parts of LLVM that a build for Windows takes.
struct Llvm {
    /// The folder of libclang.
    lib: PathBuf,
    /// Clang's own headers.
    include: PathBuf,
    /// The resource compiler.
    rc: PathBuf,
}

impl Llvm {
    /// The newest version that is installed whole.
    fn find() -> Result<Llvm> {
        for version in (16..=22).rev() {
            let root = PathBuf::from(format!("/usr/lib/llvm-{version}"));
            let lib = root.join("lib");
            let llvm = Llvm {
                include: lib.join(format!("clang/{version}/include")),
                rc: root.join("bin/llvm-rc"),
                lib,
            };
            if llvm.lib.join("libclang.so").exists() && llvm.include.is_dir() && llvm.rc.exists() {
                return Ok(llvm);
            }
        }
        bail!("LLVM with libclang (16 or later) is not installed: run `cargo xtask setup`")
    }
}
