//! `fs2tar.exe`, `cptofs.exe` and `cpfromfs.exe` under Wine: what they make is what Linux makes of the same, or finds there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::machine::Machine;
use super::{IMAGE, QUESTION, windows_program};
use crate::apps;

/// An image that is written to, and the folder that goes into it and comes out of it.
const WRITTEN: &str = "copied-into.img";
const TREE: &str = "tree";
const BACK: &str = "tree-back";

/// The programs to judge.
pub struct Programs(Vec<PathBuf>);

impl Programs {
    /// Where they are when they are built.
    pub fn built() -> Result<Programs> {
        let names = ["fs2tar", "cptofs", "cpfromfs"];
        Ok(Programs(
            names.into_iter().map(windows_program).collect::<Result<_>>()?,
        ))
    }
}

/// Runs each. The image is there.
pub fn run(sh: &Shell, machine: &Machine, programs: &Programs) -> Result<()> {
    let folder = machine.folder();
    for exe in &programs.0 {
        fs::copy(
            exe,
            folder.join(exe.file_name().context("a program without a name")?),
        )?;
    }
    for name in ["there.tar", "here.tar", WRITTEN] {
        let _ = fs::remove_file(folder.join(name));
    }
    for name in [TREE, BACK] {
        let _ = fs::remove_dir_all(folder.join(name));
    }
    archive(sh, machine)?;
    make(&folder.join(TREE))?;
    let image = folder.join(WRITTEN);
    fs::File::create(&image)?.set_len(64 << 20)?;
    sh.cmd("/usr/sbin/mkfs.ext4").arg("-q").arg(&image).run()?;
    let question = |program: &str, words: &[&str]| -> Result<()> {
        let ended = machine.run(program, words, QUESTION)?;
        ensure!(ended.code == 0, "{program}, under Wine: {ended}");
        Ok(())
    };
    question("cptofs.exe", &["-i", WRITTEN, TREE, "/"])?;
    sh.cmd("/usr/sbin/e2fsck")
        .arg("-fn")
        .arg(&image)
        .ignore_stdout()
        .run()
        .context("e2fsck finds errors in what cptofs.exe has written under Wine")?;
    mounted(sh, &image, &folder.join(TREE))?;
    question("cpfromfs.exe", &["-i", WRITTEN, "/tree", BACK])?;
    same(sh, &folder.join(TREE), &folder.join(BACK))?;
    println!(
        "cptofs.exe, cpfromfs.exe: a tree goes in, this machine mounts it, and it comes out, all the same"
    );
    Ok(())
}

/// The same archive of the same image, byte by byte.
fn archive(sh: &Shell, machine: &Machine) -> Result<()> {
    let folder = machine.folder();
    let ended = machine.run("fs2tar.exe", &[IMAGE, "there.tar"], QUESTION)?;
    ensure!(ended.code == 0, "fs2tar.exe, under Wine: {ended}");
    let all = apps::build(sh, false)?;
    let native = all.iter().find(|path| path.ends_with("fs2tar"));
    sh.cmd(native.context("there is no fs2tar")?)
        .arg(folder.join(IMAGE))
        .arg(folder.join("here.tar"))
        .quiet()
        .run()?;
    let (there, here) = (
        fs::read(folder.join("there.tar"))?,
        fs::read(folder.join("here.tar"))?,
    );
    ensure!(
        there == here && !here.is_empty(),
        "fs2tar.exe makes another archive than fs2tar: {} bytes, and {}",
        there.len(),
        here.len()
    );
    println!("fs2tar.exe: {} bytes, those of fs2tar", there.len());
    Ok(())
}

/// Files of several sizes, folders, names that Windows has only with care, a file with a hole, times.
fn make(tree: &Path) -> Result<()> {
    fs::create_dir_all(tree.join("folder/below"))?;
    fs::create_dir(tree.join("empty"))?;
    for (name, len) in [
        ("none", 0),
        ("small", 5),
        ("folder/grüße", 70_000),
        ("folder/below/large", 3 << 20),
    ] {
        let bytes: Vec<u8> = (0..len).map(|at: u32| (at % 251) as u8).collect();
        fs::write(tree.join(name), bytes)?;
    }
    let file = fs::File::create(tree.join("hole"))?;
    file.set_len(1 << 20)?;
    std::os::unix::fs::FileExt::write_all_at(&file, b"behind it", 600_000)?;
    let read_only = tree.join("read-only");
    fs::write(&read_only, "it stays")?;
    let mut permissions = fs::metadata(&read_only)?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&read_only, permissions)?;
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for name in ["small", "hole"] {
        fs::File::options()
            .write(true)
            .open(tree.join(name))?
            .set_modified(long_ago)?;
    }
    Ok(())
}

/// Whether this machine, which mounts the image, finds the tree in it.
fn mounted(sh: &Shell, image: &Path, tree: &Path) -> Result<()> {
    let place = tempfile::tempdir()?;
    sh.cmd("mount")
        .args(["-o", "loop,ro"])
        .arg(image)
        .arg(place.path())
        .quiet()
        .run()?;
    let found = same(sh, tree, &place.path().join(TREE));
    sh.cmd("umount").arg(place.path()).quiet().run()?;
    found
}

/// Whether two trees have the same entries with the same contents, times of files, and permission to write.
fn same(sh: &Shell, one: &Path, other: &Path) -> Result<()> {
    sh.cmd("diff")
        .arg("-r")
        .args([one, other])
        .quiet()
        .run()
        .context("the trees differ")?;
    let told = |tree: &Path| {
        let _dir = sh.push_dir(tree);
        // What NTFS keeps: kind, size, and for files the second of the last change.
        sh.cmd("sh")
            .args(["-c", "find . -type d -printf '%y %p\\n' -o -printf '%y %s %Ts %p\\n' | LC_ALL=C sort; find . -type f ! -perm /222 | sort"])
            .quiet()
            .read()
    };
    let (one, other) = (told(one)?, told(other)?);
    ensure!(one == other, "the trees differ:\n{one}\n\n{other}");
    Ok(())
}
