//! Which Rust toolchain can build for Windows on this machine.
//!
//! The driver's target is rustup's own where that is installed. The programs' target comes with no built standard library; it
//! is there because the library of the usual Windows target calls what Windows 7 does not have. For the programs, and where
//! rustup's target is not installed, Debian's `rustc-web`, `cargo-web` and `rust-web-src` (one version, in /usr/bin) build the
//! standard library from source: `-Zbuild-std`, for which `RUSTC_BOOTSTRAP=1` opens the unstable options of a stable compiler.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use xshell::{Cmd, Shell};

/// A target triple for Windows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Windows {
    /// The driver: `x86_64-pc-windows-msvc`, `core` and `alloc` only.
    Driver,
    /// Programs: `x86_64-win7-windows-gnu`, with `std`, linked by mingw-w64's gcc.
    Program,
}

impl Windows {
    /// The triple as rustc writes it.
    pub fn triple(self) -> &'static str {
        match self {
            Windows::Driver => "x86_64-pc-windows-msvc",
            Windows::Program => "x86_64-win7-windows-gnu",
        }
    }

    /// What `-Zbuild-std` must build for it.
    fn std_crates(self) -> &'static str {
        match self {
            Windows::Driver => "core,alloc,compiler_builtins",
            Windows::Program => "std,panic_abort",
        }
    }
}

/// A cargo that can build for a Windows target.
pub struct Toolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    build_std: bool,
}

const WEB_CARGO: &str = "/usr/bin/cargo";
const WEB_RUSTC: &str = "/usr/bin/rustc";
const WEB_STD_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/Cargo.lock";

impl Toolchain {
    /// Finds the toolchain for `target`.
    pub fn find(sh: &Shell, target: Windows) -> Result<Toolchain> {
        let sysroot = sh.cmd("rustc").args(["--print", "sysroot"]).quiet().read()?;
        let installed = Path::new(&sysroot)
            .join("lib/rustlib")
            .join(target.triple())
            .join("lib");
        if installed.is_dir() {
            return Ok(Toolchain {
                cargo: "cargo".into(),
                rustc: "rustc".into(),
                build_std: false,
            });
        }
        if [WEB_CARGO, WEB_RUSTC, WEB_STD_SOURCE]
            .iter()
            .all(|path| Path::new(path).exists())
        {
            return Ok(Toolchain {
                cargo: WEB_CARGO.into(),
                rustc: WEB_RUSTC.into(),
                build_std: true,
            });
        }
        let or = match target {
            Windows::Driver => format!("`rustup target add {}`, or on Debian ", target.triple()),
            Windows::Program => "on Debian ".to_owned(),
        };
        bail!(
            "no Rust toolchain for {}: run {or}`cargo xtask setup`",
            target.triple()
        )
    }

    /// `cargo <verb>` for `target`, with the options that the standard library needs.
    pub fn cargo<'a>(&self, sh: &'a Shell, target: Windows, verb: &str) -> Cmd<'a> {
        let mut cmd = sh.cmd(&self.cargo).arg(verb).arg("--target").arg(target.triple());
        // There is nothing to unwind in a kernel, and std is built for programs without it.
        cmd = cmd.args(["--config", "profile.dev.panic=\"abort\""]);
        // Cargo sets these for xtask itself; they name the other toolchain.
        for name in [
            "RUSTUP_TOOLCHAIN",
            "CARGO",
            "RUSTC_WRAPPER",
            "RUSTDOC",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
        ] {
            cmd = cmd.env_remove(name);
        }
        if self.build_std {
            cmd = cmd
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", &self.rustc)
                // cargo-clippy is found beside cargo, not through rustup's proxies.
                .env(
                    "PATH",
                    format!("/usr/bin:{}", std::env::var("PATH").unwrap_or_default()),
                )
                .arg(format!("-Zbuild-std={}", target.std_crates()));
            if target == Windows::Driver {
                cmd = cmd.arg("-Zbuild-std-features=compiler-builtins-mem");
            }
        }
        cmd
    }
}
