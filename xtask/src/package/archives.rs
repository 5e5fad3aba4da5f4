//! The package in other forms: a zip for those who want no set-up program, a cabinet to submit for attestation signing,
//! and the source that the licence asks for. The same files give the same bytes.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::payload::{self, DRIVER, Payload};
use super::stamp::Stamp;
use crate::repo;

/// Writes the payload as a zip, below one folder named `top`.
pub fn zip(payload: &Payload, top: &str, to: &Path, stamp: &Stamp) -> Result<()> {
    let number = |form: &str| -> Result<u8> { Ok(stamp.day(form)?.parse()?) };
    let time = DateTime::from_date_and_time(
        stamp.day("%Y")?.parse()?,
        number("%m")?,
        number("%d")?,
        number("%H")?,
        number("%M")?,
        number("%S")?,
    );
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(time.ok().context("a zip cannot hold a time before 1980")?)
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(File::create(to)?);
    for file in &payload.files {
        writer.start_file(format!("{top}/{file}"), options)?;
        writer.write_all(&fs::read(payload.folder.join(file))?)?;
    }
    writer.finish()?;
    payload::date(to, stamp)
}

/// Writes the driver package as the cabinet that Microsoft's dashboard takes: its files below one folder.
///
/// Who submits it signs the cabinet with an EV certificate and gets the driver and a catalogue back, signed.
pub fn cabinet(sh: &Shell, payload: &Payload, work: &Path, to: &Path, stamp: &Stamp) -> Result<()> {
    let folder = work.join("cabinet/lklfs");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut names = Vec::new();
    for name in ["lklfs.cat", "lklfs.inf", "lklfs.sys"] {
        let file = folder.join(name);
        fs::copy(payload.folder.join(DRIVER).join(name), &file)?;
        payload::date(&file, stamp)?;
        names.push(format!("lklfs/{name}"));
    }
    let _here = sh.push_dir(work.join("cabinet"));
    if to.exists() {
        fs::remove_file(to)?;
    }
    cmd!(sh, "gcab --create --zip {to} {names...}")
        .env("TZ", "UTC")
        .quiet()
        .ignore_stdout()
        .run()
        .context("gcab makes no cabinet")?;
    let listed = cmd!(sh, "gcab --list {to}").quiet().read()?;
    for name in ["lklfs.cat", "lklfs.inf", "lklfs.sys"] {
        if !listed
            .lines()
            .any(|line| line.replace('\\', "/") == format!("lklfs/{name}"))
        {
            bail!("the cabinet has no lklfs\\{name}: {listed}");
        }
    }
    payload::date(to, stamp)
}

/// Writes this commit's files as a compressed archive. `false` outside a git checkout.
pub fn source(sh: &Shell, top: &str, to: &Path, stamp: &Stamp) -> Result<bool> {
    if stamp.commit.is_empty() {
        return Ok(false);
    }
    let root = repo::root();
    let prefix = format!("{top}/");
    cmd!(
        sh,
        "git -C {root} archive --format=tar.gz --prefix={prefix} -o {to} HEAD"
    )
    .quiet()
    .run()?;
    payload::date(to, stamp)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_zip() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("doc")).unwrap();
        fs::write(folder.path().join("doc/a.txt"), "text").unwrap();
        let payload = Payload {
            folder: folder.path().to_owned(),
            files: vec!["doc/a.txt".to_owned()],
            is_test: true,
        };
        let stamp = Stamp {
            version: "0.1.0".to_owned(),
            build: 1,
            seconds: 951_782_400,
            commit: String::new(),
        };
        let make = |name: &str| {
            let to = folder.path().join(name);
            zip(&payload, "top", &to, &stamp).unwrap();
            fs::read(to).unwrap()
        };
        let made = make("one.zip");
        assert_eq!(made, make("two.zip"));
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(made)).unwrap();
        let file = archive.by_name("top/doc/a.txt").unwrap();
        assert_eq!(file.size(), 4);
    }
}
