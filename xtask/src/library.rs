//! `cargo xtask install`: the C library, its headers and what pkg-config says of it; and the test that programs compile and
//! run with what was installed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use object::read::Object;
use object::read::pe::PeFile64;
use xshell::Shell;

use crate::apps;
use crate::repo;
use crate::toolchain::{Toolchain, Windows};
use crate::userctl::LINKER;
use crate::wdk::import_library;

/// The library's name for the dynamic linker.
const SONAME: &str = "liblkl.so.0";
/// Its name on Windows.
const DLL: &str = "lkl.dll";

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
        library.describe("-llkl-linux -lgcc_s -lpthread -lm -ldl")?;
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
        library.describe("")?;
        Ok(library)
    }

    fn folders(&self, names: &[&str]) -> Result<()> {
        for folder in names {
            let path = self.prefix.join(folder);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        Ok(())
    }

    fn describe(&self, private: &str) -> Result<()> {
        let description = self.prefix.join("lib/pkgconfig/lkl.pc");
        fs::write(&description, package_description(private)).context("cannot write lkl.pc")
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
        let target = Windows::Program;
        Toolchain::find(sh, target)?
            .cargo(sh, target, "build")
            .args(["--release", "-p", "lkl-c", "--manifest-path"])
            .arg(repo::root().join("Cargo.toml"))
            .args(["--config", LINKER])
            .run()
            .context("the library does not build for Windows")?;
        let built = repo::target_dir().join(target.triple()).join("release/lkl_c.dll");
        copy(&built, &self.prefix.join("bin").join(DLL))?;
        let list = exports(&built)?;
        import_library::write(&self.prefix.join("lib/lkl.lib"), &list, DLL)
    }
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

fn package_description(private: &str) -> String {
    format!(
        "prefix=${{pcfiledir}}/../..\nincludedir=${{prefix}}/include\nlibdir=${{prefix}}/lib\n\nName: lkl\nDescription: Linux as a library\nVersion: {}\nCflags: -I${{includedir}}\nLibs: -L${{libdir}} -llkl\nLibs.private: {private}\n",
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

/// Which of the two libraries a program is linked with.
#[derive(Clone, Copy)]
enum Linkage {
    Shared,
    Static,
}

/// A folder with the library and the programs of `linux/examples/c`.
struct Workshop {
    place: tempfile::TempDir,
}

impl Workshop {
    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Compiles a program as its author would. What the compiler says when it does not.
    fn compile(&self, sh: &Shell, name: &str, linkage: Linkage) -> Result<Result<PathBuf, String>> {
        let ask = |what: &str| {
            sh.cmd("pkg-config")
                .args(what.split(' '))
                .arg("lkl")
                .env("PKG_CONFIG_PATH", self.path("prefix/lib/pkgconfig"))
                .quiet()
                .read()
                .context("pkg-config does not know lkl")
        };
        let options = match linkage {
            Linkage::Shared => ask("--cflags --libs")?,
            Linkage::Static => {
                let libraries = ask("--static --libs")?;
                // The shared one lies beside it.
                format!(
                    "{} {}",
                    ask("--cflags")?,
                    libraries.replacen("-llkl ", "-l:liblkl.a ", 1)
                )
            }
        };
        let program = self.path(name);
        let own = self.path(&format!("{name}.c"));
        let source = if own.exists() {
            own
        } else {
            repo::root().join(format!("linux/examples/c/{name}.c"))
        };
        let compiled = sh
            .cmd("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
            .arg(&program)
            .arg(source)
            .args(options.split_whitespace())
            .quiet()
            .ignore_status()
            .output()?;
        Ok(if compiled.status.success() {
            Ok(program)
        } else {
            Err(String::from_utf8_lossy(&compiled.stderr).into_owned())
        })
    }

    /// What the program that newcomers write, as its page has it, says of an image.
    fn first_program(&self, sh: &Shell, image: &str) -> Result<String> {
        let page = fs::read_to_string(repo::root().join("doc/first-program.md"))?;
        let (_, rest) = page.split_once("```c\n").context("the page has no program")?;
        let (program, _) = rest.split_once("```").context("its program has no end")?;
        fs::write(self.path("first.c"), program)?;
        self.output(sh, "first", Linkage::Shared, &[image])
    }

    /// Compiles one, runs it, and returns what it writes.
    fn output(&self, sh: &Shell, name: &str, linkage: Linkage, arguments: &[&str]) -> Result<String> {
        let program = self
            .compile(sh, name, linkage)?
            .map_err(|errors| anyhow::anyhow!("{name}.c does not compile:\n{errors}"))?;
        let run = sh
            .cmd(&program)
            .args(arguments)
            .env("LD_LIBRARY_PATH", self.path("prefix/lib"))
            .quiet()
            .ignore_status()
            .output()?;
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        ensure!(
            run.status.success(),
            "{name}: {}\n{text}{}",
            run.status,
            String::from_utf8_lossy(&run.stderr)
        );
        Ok(text)
    }
}

/// Installs the library into a folder that is removed afterwards, and has programs compile and run with it.
pub fn tried(sh: &Shell) -> Result<()> {
    let shop = Workshop {
        place: tempfile::tempdir()?,
    };
    for file in Library::install(sh, &shop.path("prefix"), false)?.files() {
        let mode = fs::metadata(&file)?.permissions().mode();
        ensure!(
            mode & 0o444 == 0o444,
            "{}: not every user can read it",
            file.display()
        );
    }
    for program in apps::install(sh, &shop.path("prefix"), false)? {
        let said = sh.cmd(&program).arg("--version").quiet().read()?;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        ensure!(said.starts_with(&*name), "{name} --version: {said}");
    }
    let image = shop.path("image");
    fs::create_dir(shop.path("tree"))?;
    fs::write(shop.path("tree/hello"), "hello\n")?;
    sh.cmd("mkfs.ext4")
        .args(["-q", "-F", "-d"])
        .arg(shop.path("tree"))
        .arg(&image)
        .arg("8M")
        .env("PATH", path_with_sbin())
        .run()?;
    let disk = shop.path("disk");
    partitioned(sh, &image, &disk)?;
    let (image, disk) = (
        image.to_str().context("a path")?,
        disk.to_str().context("a path")?,
    );
    for linkage in [Linkage::Shared, Linkage::Static] {
        let version = shop.output(sh, "version", linkage, &[])?;
        ensure!(version.starts_with("Linux version 6."), "version: {version}");
        let hello = shop.output(sh, "readfs", linkage, &[image, "ext4", "/hello"])?;
        ensure!(hello == "hello\n", "readfs: {hello}");
        let hello = shop.output(sh, "readfs", linkage, &[disk, "ext4", "/hello", "2"])?;
        ensure!(hello == "hello\n", "readfs of a partition: {hello}");
        let copy = shop.path("copy");
        fs::copy(image, &copy)?;
        let all = shop.output(
            sh,
            "everything",
            linkage,
            &[image, copy.to_str().context("a path")?],
        )?;
        ensure!(all.ends_with(" checks, 0 failed\n"), "everything: {all}");
        written(sh, &copy)?;
    }
    let said = shop.first_program(sh, image)?;
    // The entries in ext4's own order, which is another in each file system, then what the file has.
    let mut lines: Vec<&str> = said.lines().collect();
    let content = lines.pop();
    lines.sort_unstable();
    ensure!(
        lines == [".", "..", "hello", "lost+found"] && content == Some("hello"),
        "the program of doc/first-program.md: {said}"
    );
    let proc = shop.output(sh, "proc", Linkage::Shared, &[])?;
    for file in ["version", "filesystems", "sys/kernel/osrelease"] {
        ensure!(
            proc.contains(&format!("==> /proc/{file}\n")),
            "proc: no {file}:\n{proc}"
        );
    }
    // A program of long ago, and a compiler that says what is wrong with it.
    let errors = shop.compile(sh, "old_start", Linkage::Shared)?;
    ensure!(
        errors
            .as_ref()
            .is_err_and(|errors| errors.contains("give the host's operations to lkl_init() before")),
        "old_start.c: {errors:?}"
    );
    Ok(())
}

/// A disk with a partition table whose second partition is `image`.
fn partitioned(sh: &Shell, image: &Path, disk: &Path) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let content = fs::read(image)?;
    let file = fs::File::create(disk)?;
    file.set_len(2 * MIB + u64::try_from(content.len())? + MIB)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &content, 2 * MIB)?;
    sh.cmd("sfdisk")
        .arg("-q")
        .arg(disk)
        .env("PATH", path_with_sbin())
        .stdin(format!(
            "label: gpt\nstart=1MiB, size=1MiB\nstart=2MiB, size={}KiB\n",
            content.len() >> 10
        ))
        .quiet()
        .run()
        .context("sfdisk makes no table")
}

/// Whether the file system is sound and has the files that a program wrote, as its own tools see it.
fn written(sh: &Shell, image: &Path) -> Result<()> {
    sh.cmd("e2fsck")
        .args(["-f", "-n"])
        .arg(image)
        .env("PATH", path_with_sbin())
        .quiet()
        .ignore_stderr()
        .read()
        .context("e2fsck finds fault")?;
    for name in ["by_the_host", "by_functions"] {
        let text = sh
            .cmd("debugfs")
            .args(["-R", &format!("cat /{name}")])
            .arg(image)
            .env("PATH", path_with_sbin())
            .quiet()
            .ignore_stderr()
            .read()?;
        ensure!(text.trim() == "written", "{name}: {text}");
    }
    Ok(())
}

/// Where Debian keeps the makers of file systems.
fn path_with_sbin() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
