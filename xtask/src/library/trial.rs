//! Programs compile and run with what was installed, as their authors would have them: shared and static, and of other people's pages.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Cmd, Shell};

use super::{Library, calls, network};
use crate::apps;
use crate::repo;

/// Which of the two libraries a program is linked with.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Linkage {
    Shared,
    Static,
}

/// A folder with the library and the programs that are made with it.
pub struct Workshop {
    place: tempfile::TempDir,
}

impl Workshop {
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// Compiles one of `linux/examples/c`, or of this folder, as its author would. What the compiler says when it does not.
    fn compile(&self, sh: &Shell, name: &str, linkage: Linkage) -> Result<Result<PathBuf, String>> {
        let own = self.path(&format!("{name}.c"));
        let source = if own.exists() {
            own
        } else {
            repo::root().join(format!("linux/examples/c/{name}.c"))
        };
        self.compile_from(sh, name, &[source], linkage, &[])
    }

    /// Compiles a program of several files.
    pub fn compile_from(
        &self,
        sh: &Shell,
        name: &str,
        sources: &[PathBuf],
        linkage: Linkage,
        options: &[&str],
    ) -> Result<Result<PathBuf, String>> {
        let found = sh
            .cmd("pkg-config")
            .arg("--cflags")
            .args((linkage == Linkage::Static).then_some("--static"))
            .args(["--libs", "lkl"])
            .env("PKG_CONFIG_PATH", self.path("prefix/lib/pkgconfig"))
            .quiet()
            .read()
            .context("pkg-config does not know lkl")?;
        let program = self.path(name);
        let compiled = sh
            .cmd("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"])
            .arg(&program)
            .args(sources)
            .args(options)
            .args(found.split_whitespace())
            .quiet()
            .ignore_status()
            .output()?;
        if !compiled.status.success() {
            return Ok(Err(String::from_utf8_lossy(&compiled.stderr).into_owned()));
        }
        let wanted = sh.cmd("readelf").arg("-d").arg(&program).quiet().read()?;
        ensure!(
            wanted.contains("liblkl.so.0") == (linkage == Linkage::Shared),
            "{name}: the linker took the other library:\n{wanted}"
        );
        Ok(Ok(program))
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
        self.run(sh, &program, linkage, |cmd| cmd.args(arguments))
    }

    /// Runs one, and returns what it writes. A static one is not told where the library is.
    pub fn run(
        &self,
        sh: &Shell,
        program: &Path,
        linkage: Linkage,
        with: impl FnOnce(Cmd<'_>) -> Cmd<'_>,
    ) -> Result<String> {
        let mut cmd = with(sh.cmd(program)).quiet().ignore_status();
        if linkage == Linkage::Shared {
            cmd = cmd.env("LD_LIBRARY_PATH", self.path("prefix/lib"));
        }
        let run = cmd.output()?;
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        ensure!(
            run.status.success(),
            "{}: {}\n{text}{}",
            program.display(),
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
        network::tried(sh, &shop, linkage)?;
    }
    calls::tried(sh, &shop)?;
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
pub fn path_with_sbin() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
