//! `cargo xtask apps`: the applications on Linux as a library, for this machine or for Windows. `cargo xtask install` puts them, and
//! their man pages, beside the library.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use crate::repo;
use crate::toolchain::{Toolchain, Windows};
use crate::userctl::LINKER;

/// A crate of `linux/apps`, and the programs that it makes.
struct App {
    package: &'static str,
    programs: &'static [&'static str],
    /// Whether there are such programs for Windows.
    windows: bool,
}

const APPS: &[App] = &[
    App {
        package: "lklfuse",
        programs: &["lklfuse"],
        windows: false,
    },
    App {
        package: "lklcopy",
        programs: &["fs2tar", "cptofs", "cpfromfs"],
        windows: true,
    },
    App {
        package: "lklget",
        programs: &["lklget"],
        windows: true,
    },
    App {
        package: "lkl-server",
        programs: &["lklftpd", "lklserve"],
        windows: true,
    },
    App {
        package: "lklrun",
        programs: &["lklrun"],
        windows: false,
    },
    App {
        package: "lklsim",
        programs: &["lklsim"],
        windows: false,
    },
];

/// Builds them, and returns where they are.
pub fn build(sh: &Shell, release: bool) -> Result<Vec<PathBuf>> {
    let packages: Vec<&str> = APPS.iter().map(|app| app.package).collect();
    let programs = APPS.iter().flat_map(|app| app.programs);
    sh.cmd("cargo")
        .args(["build", "-q", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(programs.flat_map(|name| ["--bin", name]))
        .args(repo::packages(&packages, release))
        .run()
        .context("an application does not build")?;
    let folder = repo::target_dir().join(repo::profile(release));
    let programs = APPS.iter().flat_map(|app| app.programs);
    let paths: Vec<PathBuf> = programs.map(|name| folder.join(name)).collect();
    for path in &paths {
        ensure!(path.is_file(), "cargo made no {}", path.display());
    }
    Ok(paths)
}

/// Builds those for Windows, and returns where they are.
pub fn build_windows(sh: &Shell) -> Result<Vec<PathBuf>> {
    let target = Windows::Program;
    let there = || APPS.iter().filter(|app| app.windows);
    Toolchain::find(sh, target)?
        .cargo(sh, target, "build")
        .args(["-q", "--release", "--bins", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(there().flat_map(|app| ["-p", app.package]))
        .args(["--config", LINKER])
        .run()
        .context("an application does not build for Windows")?;
    let folder = repo::target_dir().join(target.triple()).join("release");
    let programs = there().flat_map(|app| app.programs);
    let paths: Vec<PathBuf> = programs.map(|name| folder.join(format!("{name}.exe"))).collect();
    for path in &paths {
        ensure!(path.is_file(), "cargo made no {}", path.display());
    }
    Ok(paths)
}

/// Builds those for Windows and copies them into `bin` below `prefix`. Windows has no man pages.
pub fn install_windows(sh: &Shell, prefix: &Path) -> Result<Vec<PathBuf>> {
    let folder = prefix.join("bin");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut installed = Vec::new();
    for built in build_windows(sh)? {
        let target = folder.join(built.file_name().context("a program without a name")?);
        fs::copy(&built, &target).with_context(|| format!("cannot write {}", target.display()))?;
        installed.push(target);
    }
    Ok(installed)
}

/// Builds them and installs them below `prefix`: programs into `bin`, man pages into `share/man/man1`. Returns the programs.
pub fn install(sh: &Shell, prefix: &Path, release: bool) -> Result<Vec<PathBuf>> {
    let (programs, pages) = (prefix.join("bin"), prefix.join("share/man/man1"));
    for folder in [&programs, &pages] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut installed = Vec::new();
    for built in build(sh, release)? {
        let name = built.file_name().context("a program without a name")?;
        let target = programs.join(name);
        // A program that runs cannot be overwritten, but it can be replaced.
        if target.exists() {
            fs::remove_file(&target).with_context(|| format!("cannot replace {}", target.display()))?;
        }
        fs::copy(&built, &target).with_context(|| format!("cannot write {}", target.display()))?;
        sh.cmd(&target)
            .arg("--man")
            .arg(&pages)
            .quiet()
            .run()
            .with_context(|| format!("{} writes no man page", target.display()))?;
        let page = pages.join(name).with_extension("1");
        ensure!(page.is_file(), "there is no {}", page.display());
        installed.push(target);
    }
    Ok(installed)
}
