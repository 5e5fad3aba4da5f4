//! The set-up program: `installer/setup.nsi`, given the files of the payload.
//!
//! NSIS compiles a list of instructions into a 64-bit stub. What is particular to one build comes as definitions, and as
//! a generated list (`files.nsh`) of what is installed and, in reverse, deleted: an uninstaller that knows each file by
//! name deletes nothing else. The uninstaller is signed before it is packed, by NSIS' own hook.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::payload::{self, Payload};
use super::sign::Signer;
use super::stamp::{PUBLISHER, Stamp};
use crate::repo;

/// Compiles and signs the set-up program `to`.
pub fn make(
    sh: &Shell,
    payload: &Payload,
    work: &Path,
    to: &Path,
    signer: &Signer,
    stamp: &Stamp,
) -> Result<PathBuf> {
    let files = work.join("files.nsh");
    fs::write(&files, file_list(payload))?;
    let kilobytes = payload.bytes()?.div_ceil(1024);
    let script = repo::root().join("installer/setup.nsi");
    let sign = signer.script();
    let define = |name: &str, value: &str| format!("-D{name}={value}");
    let mut defines = vec![
        define("VERSION", &stamp.version),
        define("FULL_VERSION", &stamp.windows_version()),
        define("PUBLISHER", PUBLISHER),
        define("KILOBYTES", &kilobytes.to_string()),
        define("FILES", &files.display().to_string()),
        define("OUTPUT", &to.display().to_string()),
        define("SIGN", &sign.display().to_string()),
    ];
    if payload.is_test {
        defines.push("-DTEST_SIGNED".to_owned());
    }
    cmd!(sh, "makensis -V2 -WX -NOCD {defines...} {script}")
        .env("SOURCE_DATE_EPOCH", stamp.seconds.to_string())
        .run()
        .context("NSIS does not compile installer/setup.nsi")?;
    ensure!(to.is_file(), "NSIS made no {}", to.display());
    signer.sign(sh, to)?;
    payload::date(to, stamp)?;
    Ok(to.to_owned())
}

/// `files.nsh`: two macros, one that installs each file and one that deletes it again.
fn file_list(payload: &Payload) -> String {
    let mut install = String::new();
    let mut remove = String::new();
    let mut folders: Vec<String> = Vec::new();
    for file in &payload.files {
        let name = file.replace('/', "\\");
        let folder = name.rsplit_once('\\').map_or("", |(folder, _)| folder);
        if !folder.is_empty() && !folders.iter().any(|known| known == folder) {
            folders.push(folder.to_owned());
        }
        let source = payload.folder.join(file);
        let _ = writeln!(install, "  SetOutPath \"{}\"", inside(folder));
        let _ = writeln!(
            install,
            "  File \"/oname={}\" \"{}\"",
            last(&name),
            source.display()
        );
        let _ = writeln!(remove, "  Delete /REBOOTOK \"{}\"", inside(&name));
    }
    for folder in folders.iter().rev() {
        let _ = writeln!(remove, "  RMDir \"{}\"", inside(folder));
    }
    format!(
        "; Made by cargo xtask package.\n!macro INSTALL_FILES\n{install}!macroend\n!macro REMOVE_FILES\n{remove}!macroend\n"
    )
}

fn inside(path: &str) -> String {
    if path.is_empty() {
        "$INSTDIR".to_owned()
    } else {
        format!("$INSTDIR\\{path}")
    }
}

fn last(path: &str) -> &str {
    path.rsplit_once('\\').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_is_installed_is_deleted_and_folders_go_last() {
        let payload = Payload {
            folder: "/p".into(),
            files: ["README.txt", "doc/a/b.txt", "doc/c.txt"]
                .map(str::to_owned)
                .into(),
            is_test: true,
        };
        let text = file_list(&payload);
        for name in ["README.txt", "doc\\a\\b.txt", "doc\\c.txt"] {
            assert!(
                text.contains(&format!("Delete /REBOOTOK \"$INSTDIR\\{name}\"")),
                "{text}"
            );
        }
        assert!(text.contains("SetOutPath \"$INSTDIR\\doc\\a\"\n  File \"/oname=b.txt\" \"/p/doc/a/b.txt\""));
        let (inner, outer) = (
            text.find("RMDir \"$INSTDIR\\doc\\a\""),
            text.find("RMDir \"$INSTDIR\\doc\""),
        );
        assert!(outer.is_some() && inner.is_some(), "{text}");
    }
}
