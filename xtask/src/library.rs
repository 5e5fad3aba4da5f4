//! `cargo xtask install`: the C library, its headers and what pkg-config says of it. [`trial`] has programs compile and run with what was
//! installed, [`calls`] has each function called, and [`network`] those of the network.

mod calls;
mod network;
mod trial;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::read::Object;
use object::read::pe::PeFile64;
use xshell::Shell;

use crate::repo;
use crate::toolchain::{Toolchain, Windows};
use crate::userctl::LINKER;
use crate::wdk::import_library;

pub use trial::tried;

/// The library's name for the dynamic linker.
const SONAME: &str = "liblkl.so.0";
/// Its name on Windows.
const DLL: &str = "lkl.dll";

/// The two libraries lie in one folder, where a linker that is told `-llkl` takes the shared one. So `--static` names the static one by its
/// file, before the shared one, in which the linker then finds nothing that is still needed.
const SHARED_OR_STATIC: &str = "Requires: lkl-shared\nLibs: -L${libdir}\nLibs.private: -l:liblkl.a -llkl-linux -lgcc_s -lpthread -lm -ldl";

/// What is installed.
pub struct Library {
    prefix: PathBuf,
    windows: bool,
}

impl Library {
    /// Builds everything and copies it below `prefix`.
    pub fn install(sh: &Shell, prefix: &Path, release: bool) -> Result<Library> {
        let library = Library {
            prefix: std::path::absolute(prefix)?,
            windows: false,
        };
        library.folders(&["include", "lib/pkgconfig"])?;
        library.headers(sh)?;
        library.binaries(sh, release)?;
        library.describe(&[
            ("lkl", SHARED_OR_STATIC),
            (
                "lkl-shared",
                "Libs: -L${libdir} -Wl,--as-needed -llkl -Wl,--no-as-needed",
            ),
        ])?;
        Ok(library)
    }

    /// The same for programs on Windows: a DLL, and an import library that both mingw-w64 and Microsoft's linker take.
    pub fn install_windows(sh: &Shell, prefix: &Path) -> Result<Library> {
        let library = Library {
            prefix: std::path::absolute(prefix)?,
            windows: true,
        };
        library.folders(&["bin", "include", "lib/pkgconfig"])?;
        library.headers(sh)?;
        library.dll(sh)?;
        library.describe(&[("lkl", "Libs: -L${libdir} -llkl")])?;
        Ok(library)
    }

    fn folders(&self, names: &[&str]) -> Result<()> {
        for folder in names {
            let path = self.prefix.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(())
    }

    /// What pkg-config knows, by the name that it knows it by.
    fn describe(&self, libraries: &[(&str, &str)]) -> Result<()> {
        for (name, libraries) in libraries {
            let description = self.prefix.join(format!("lib/pkgconfig/{name}.pc"));
            fs::write(&description, package_description(name, libraries))
                .with_context(|| format!("cannot write {name}.pc"))?;
        }
        Ok(())
    }

    /// The files that were installed, but for the many headers.
    pub fn files(&self) -> Vec<PathBuf> {
        let binaries: &[&str] = if self.windows {
            &["bin/lkl.dll", "lib/lkl.lib"]
        } else {
            &["lib/liblkl.a", "lib/liblkl-linux.a", "lib/liblkl.so"]
        };
        ["include/lkl.h", "include/lkl_host.h", "lib/pkgconfig/lkl.pc"]
            .iter()
            .chain(binaries)
            .map(|file| self.prefix.join(file))
            .collect()
    }

    fn headers(&self, sh: &Shell) -> Result<()> {
        let made = sh
            .cmd("cargo")
            .args(["run", "-q", "-p", "lkl-headers"])
            .read()
            .context("the headers cannot be generated")?;
        let include = self.prefix.join("include");
        copy_tree(Path::new(made.trim()), &include)?;
        copy_tree(&repo::root().join("linux/c/include"), &include)
    }

    fn binaries(&self, sh: &Shell, release: bool) -> Result<()> {
        sh.cmd("cargo")
            // With its own features: with the workspace's it would need libraries that programs do not link.
            .args(["build", "-q", "-p", "lkl-c"])
            .args(release.then_some("--release"))
            .run()
            .context("the library does not build")?;
        let built = repo::target_dir().join(repo::profile(release));
        let folder = self.prefix.join("lib");
        copy(&built.join("liblkl_c.so"), &folder.join(SONAME))?;
        let link = folder.join("liblkl.so");
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).context("cannot replace liblkl.so")?;
        }
        symlink(SONAME, &link).context("cannot make liblkl.so")?;
        copy(&built.join("liblkl_c.a"), &folder.join("liblkl.a"))?;
        // Cargo leaves Linux out of a static library: each rlib between would hold a copy.
        let linux = sh
            .cmd("cargo")
            .args([
                "run",
                "-q",
                "-p",
                "lkl-build",
                "--",
                "--target",
                "elf",
                "--config",
                "full",
            ])
            .read()
            .context("Linux does not build")?;
        let archive = linux.lines().nth(1).context("lkl-build names no archive")?;
        let installed = folder.join("liblkl-linux.a");
        copy(Path::new(archive.trim()), &installed)?;
        // In the cache it is its owner's alone.
        fs::set_permissions(&installed, fs::Permissions::from_mode(0o644))?;
        Ok(())
    }

    fn dll(&self, sh: &Shell) -> Result<()> {
        let built = build_dll(sh)?;
        copy(&built, &self.prefix.join("bin").join(DLL))?;
        let list = exports(&built)?;
        import_library::write(&self.prefix.join("lib/lkl.lib"), &list, DLL)
    }
}

/// Builds the library for Windows, and says where it is.
pub fn build_dll(sh: &Shell) -> Result<PathBuf> {
    let target = Windows::Program;
    Toolchain::find(sh, target)?
        .cargo(sh, target, "build")
        .args(["--release", "-p", "lkl-c", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(["--config", LINKER])
        .run()
        .context("the library does not build for Windows")?;
    Ok(repo::target_dir().join(target.triple()).join("release/lkl_c.dll"))
}

/// What programs find in a DLL, as the maker of import libraries reads it.
fn exports(dll: &Path) -> Result<String> {
    let image = fs::read(dll).with_context(|| format!("cannot read {}", dll.display()))?;
    let file = PeFile64::parse(&*image).context("the DLL is no PE image")?;
    let names: Vec<_> = Object::exports(&file)?
        .iter()
        .map(|export| String::from_utf8_lossy(export.name()).into_owned())
        .filter(|name| name.starts_with("lkl_"))
        .collect();
    ensure!(
        names.iter().any(|name| name == "lkl_init"),
        "{}: it exports nothing that programs call",
        dll.display()
    );
    let lines = names.iter().map(|name| format!("{DLL}!{name}\n"));
    Ok(lines.collect())
}

fn package_description(name: &str, libraries: &str) -> String {
    format!(
        "prefix=${{pcfiledir}}/../..\nincludedir=${{prefix}}/include\nlibdir=${{prefix}}/lib\n\nName: {name}\nDescription: Linux as a library\nVersion: {}\nCflags: -I${{includedir}}\n{libraries}\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            copy(&path, &target)?;
        }
    }
    Ok(())
}
