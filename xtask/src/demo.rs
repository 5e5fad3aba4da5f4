//! `cargo xtask demo [IMAGE]`: the main job, shown.
//!
//! A fresh ext4 image (deep folders, hundreds of files, a sparse file, one of 2 GiB, names in UTF-8, symbolic and hard
//! links) is listed and read twice: by `userctl`, which asks Linux, and through `lklfs.sys`, loaded in the NT kernel
//! double and asked by I/O requests. The hash of every file must be the same, and must be what was written.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use xshell::Shell;

use crate::manifests::{Linux, Windows};
use crate::{double, driver, repo, setup, userctl};

/// The size of the big file, and of an image that has room for it.
const BIG: u64 = 2 << 30;
const IMAGE_BYTES: u64 = 3 << 30;
/// How many small files there are in one folder.
const WIDE: u32 = 500;

/// What is shown line by line, when the image has it.
const SHOWN: &[&str] = &["/big", "/sparse", "/hole"];

/// Runs the demonstration on `image`, or on a new one.
pub fn run(sh: &Shell, image: Option<PathBuf>) -> Result<()> {
    let mut groups = vec![&setup::KERNEL, &setup::WINDOWS];
    if image.is_none() {
        groups.push(&setup::VOLUMES);
        groups.push(&setup::REFERENCES);
    }
    setup::ensure(sh, &groups)?;
    let sys = driver::build(sh, true)?;
    let double = double::build(sh, true)?;
    let userctl = userctl::native(sh, true)?;
    let (image, source) = match image {
        Some(image) => (image, None),
        None => make(sh)?,
    };

    heading(&format!("what is on {}", image.display()));
    sh.cmd(&userctl).arg("info").arg(&image).quiet().run()?;
    heading("its root, as Windows sees it through lklfs.sys");
    sh.cmd(&double)
        .arg("ls")
        .arg(&image)
        .env(double::DRIVER_VARIABLE, &sys)
        .quiet()
        .run()?;

    heading("every file, read twice");
    let linux = timed("userctl", || {
        let text = sh.cmd(&userctl).arg("manifest").arg(&image).quiet().read()?;
        Linux::parse(&text)
    })?;
    let windows = timed("lklfs.sys", || {
        let cmd = sh
            .cmd(&double)
            .arg("manifest")
            .arg(&image)
            .env(double::DRIVER_VARIABLE, &sys)
            .quiet();
        Windows::parse(&cmd.read()?)
    })?;
    compare(source.as_ref(), &linux, &windows)
}

/// Makes the image and returns what was written to it.
fn make(sh: &Shell) -> Result<(PathBuf, Option<Linux>)> {
    let dir = repo::target_dir().join("demo");
    sh.create_dir(&dir)?;
    let (image, manifest) = (dir.join("ext4.img"), dir.join("source.manifest"));
    heading("a fresh ext4 image");
    sh.cmd("cargo")
        .args(["run", "--release", "-q", "-p", "volumes", "--manifest-path"])
        .arg(repo::root().join("Cargo.toml"))
        .args(["--", "make", "ext4"])
        .arg(&image)
        .args([
            "--big",
            &BIG.to_string(),
            "--size",
            &IMAGE_BYTES.to_string(),
            "--wide",
            &WIDE.to_string(),
        ])
        .arg("--manifest")
        .arg(&manifest)
        .run()
        .context("the image was not made")?;
    let source = Linux::parse(&sh.read_file(&manifest)?)?;
    Ok((image, Some(source)))
}

/// Prints what the readings have in common, and fails when they differ.
fn compare(source: Option<&Linux>, linux: &Linux, windows: &Windows) -> Result<()> {
    heading("the same bytes everywhere");
    let mut wrong = Vec::new();
    if let Some(source) = source {
        wrong.extend(
            source
                .differences(linux)
                .map(|path| format!("{path}: userctl and the source differ")),
        );
    }
    wrong.extend(
        linux
            .differences_from(windows)
            .into_iter()
            .map(|what| format!("through lklfs.sys: {what}")),
    );
    for path in SHOWN {
        if let Some((size, content)) = linux.file(path) {
            let same = windows.file(path) == Some((size, content));
            let also = source.is_none_or(|source| source.file(path) == Some((size, content)));
            let verdict = if same && also { "equal" } else { "DIFFERENT" };
            println!("{size:>12}  {content}  {path}  {verdict}");
        }
    }
    let (files, bytes) = linux.total();
    println!("{files} files with {bytes} bytes, {} entries in all", linux.len());
    if !wrong.is_empty() {
        bail!("{} entries differ:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    let who = if source.is_some() {
        "the source, userctl and lklfs.sys"
    } else {
        "userctl and lklfs.sys"
    };
    println!("{who} agree on every one");
    Ok(())
}

/// Runs one reading and says how long it took.
fn timed<T>(name: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = read().with_context(|| format!("reading through {name}"))?;
    println!("{name:<10} {:.1} s", start.elapsed().as_secs_f64());
    Ok(result)
}

/// Prints a heading.
fn heading(text: &str) {
    println!("\n== {text}");
}
