//! A volume that is in use: `userctl.exe` must not unmount it, and must with `--force`; a file that is open is then read no
//! more, and can still be closed.

use std::process::Command;
use std::rc::Rc;

use lklfs_nt::{AccessMask, CreateOptions, NtStatus};

use crate::io_manager::{IoManager, Opened, Opener};

/// The exit code of `userctl` for "files are open".
const IN_USE: i32 = 13;
/// Bytes that are read each time.
const PIECE: usize = 5000;

/// Opens a file of the volume on `device`, and has `userctl.exe`, which is in the current folder, unmount the volume at
/// `letter` meanwhile.
pub fn check(manager: &Rc<IoManager>, device: &str, file: &str, letter: &str) -> Result<(), String> {
    let path: Vec<u16> = format!("{device}{file}").encode_utf16().collect();
    let options = CreateOptions::FILE_NON_DIRECTORY_FILE;
    let opened = Opened::open(
        manager,
        Opener::Kernel,
        &path,
        AccessMask::FILE_READ_DATA,
        options,
    )
    .map_err(|status| format!("{device}{file}: {status:?}"))?;
    let read = || opened.read(0, PIECE);
    let before = read().map_err(|status| format!("before: {status:?}"))?;
    expect(&["unmount", letter], IN_USE)?;
    match read() {
        Ok(bytes) if bytes == before => {}
        other => return Err(format!("after an unmount that was refused: {other:?}")),
    }
    expect(&["unmount", letter, "--force"], 0)?;
    match read() {
        Err(NtStatus::VOLUME_DISMOUNTED) => Ok(()),
        other => Err(format!("after an unmount by force: {other:?}")),
    }
}

/// `userctl.exe` must end with this exit code.
fn expect(words: &[&str], code: i32) -> Result<(), String> {
    let output = Command::new("userctl.exe").args(words).output();
    let output = output.map_err(|error| format!("userctl.exe: {error}"))?;
    match output.status.code() {
        Some(found) if found == code => Ok(()),
        found => Err(format!(
            "userctl {}: exit {found:?} instead of {code}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
