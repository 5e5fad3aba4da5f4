//! Whether the programs start on Windows 7: each import of theirs must be in `installer/windows7-imports.txt`.
//!
//! Looked at is every image of the payload that is not the driver's (which has a check of its own, at its link), the set-up
//! program, and the libraries that NSIS packs into it: it loads them while it runs, and they are compressed by then. Which
//! ones those are, the scripts say, ours and those of the pages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::payload::{DRIVER, Payload};
use crate::imports::Exports;
use crate::repo;

/// The list.
const LIST: &str = "installer/windows7-imports.txt";
/// NSIS' libraries for a 64-bit set-up program.
const PLUGINS: &str = "/usr/share/nsis/Plugins/amd64-unicode";
/// The scripts of its pages.
const PAGES: &str = "/usr/share/nsis/Contrib/Modern UI 2";

/// Fails, with a line for each import that Windows 7 lacks, unless all is well.
pub fn check(payload: &Payload, setup: &Path) -> Result<()> {
    let text = fs::read_to_string(repo::root().join(LIST)).context(LIST)?;
    let windows7 = Exports {
        list: LIST,
        text: &text,
    };
    let mut images: Vec<PathBuf> = payload
        .files
        .iter()
        .filter(|file| is_image(file) && !file.starts_with(DRIVER))
        .map(|file| payload.folder.join(file))
        .collect();
    images.push(setup.to_owned());
    images.extend(plugins()?);
    let mut missing = Vec::new();
    for path in &images {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lines = windows7
            .missing(&fs::read(path)?)
            .with_context(|| name.to_string())?;
        missing.extend(lines.into_iter().map(|line| format!("{name}: {line}")));
    }
    if !missing.is_empty() {
        bail!("what Windows 7 may lack is imported:\n  {}", missing.join("\n  "));
    }
    println!(
        "package: {} programs and libraries import what Windows 7 has",
        images.len()
    );
    Ok(())
}

/// Whether Windows loads it into programs.
fn is_image(file: &str) -> bool {
    let extension = Path::new(file).extension().unwrap_or_default();
    ["exe", "dll"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// The libraries that the scripts call.
fn plugins() -> Result<Vec<PathBuf>> {
    let mut scripts = String::new();
    for folder in [
        repo::root().join("installer"),
        PAGES.into(),
        Path::new(PAGES).join("Pages"),
    ] {
        for path in listed(&folder)? {
            if path.extension().is_some_and(|end| end == "nsi" || end == "nsh") {
                scripts.push_str(&String::from_utf8_lossy(&fs::read(path)?));
            }
        }
    }
    let mut called = listed(Path::new(PLUGINS))?;
    called.retain(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        is_image(&path.to_string_lossy()) && scripts.contains(&format!("{name}::"))
    });
    ensure!(!called.is_empty(), "no script calls a library of {PLUGINS}");
    Ok(called)
}

/// What is in a folder, in order.
fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    /// A program that imports one function, and what the list says of it.
    fn missing(library: &str, function: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(
            at("p.c"),
            format!("__declspec(dllimport) void {function}(void); void start(void) {{ {function}(); }}"),
        )
        .unwrap();
        fs::write(at("l.def"), format!("LIBRARY {library}\nEXPORTS\n{function}\n")).unwrap();
        run(
            "x86_64-w64-mingw32-dlltool",
            &["-d", "l.def", "-l", "l.a"],
            folder.path(),
        );
        run(
            "x86_64-w64-mingw32-gcc",
            &["-nostdlib", "-Wl,-e,start", "-o", "p.exe", "p.c", "l.a"],
            folder.path(),
        );
        let text = fs::read_to_string(repo::root().join(LIST)).unwrap();
        let windows7 = Exports {
            list: LIST,
            text: &text,
        };
        windows7.missing(&fs::read(at("p.exe")).unwrap()).unwrap()
    }

    fn run(program: &str, words: &[&str], folder: &Path) {
        let status = Command::new(program)
            .args(words)
            .current_dir(folder)
            .status()
            .unwrap();
        assert!(status.success(), "{program}");
    }

    #[test]
    fn an_import_that_windows_7_lacks_is_named() {
        for (library, function) in [
            ("KERNEL32.dll", "GetSystemTimePreciseAsFileTime"),
            ("api-ms-win-core-synch-l1-2-0.dll", "WaitOnAddress"),
            ("WS2_32.dll", "GetHostNameW"),
            ("bcryptprimitives.dll", "ProcessPrng"),
            // Windows 7 has it, in another library.
            ("USER32.dll", "CreateFileW"),
        ] {
            let line = format!("import {library}!{function}: not in {LIST}");
            assert_eq!(missing(library, function), [line]);
        }
    }

    #[test]
    fn capitals_in_a_librarys_name_do_not_matter_and_those_in_a_functions_do() {
        assert_eq!(missing("KERNEL32.dll", "CreateFileW"), [""; 0]);
        assert_eq!(missing("kernel32.DLL", "CreateFileW"), [""; 0]);
        assert_eq!(missing("kernel32.dll", "createfilew").len(), 1);
    }
}
