//! Writes every file of /proc to the standard output, each after its name, but for those of processes. It shows how a program makes
//! system calls that crate `lkl` has no name for.

// UNSAFETY (whole crate): system calls by number.

use linux_full as _;
use lkl::{BootConfig, EntryKind, Errno, Kernel, OpenMode, OwnedFd};
use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Mounts proc, where no path leads, and returns its root.
fn proc_root(kernel: &Kernel) -> Result<OwnedFd, Errno> {
    const FSOPEN: i64 = 430;
    const FSCONFIG: i64 = 431;
    const FSMOUNT: i64 = 432;
    const FSCONFIG_CMD_CREATE: i64 = 6;
    const CLOSE: i64 = 3;
    let kind = c"proc".as_ptr().expose_provenance().cast_signed() as i64;
    // SAFETY: a text that ends with a NUL.
    let context = unsafe { kernel.syscall(FSOPEN, [kind, 0, 0, 0, 0, 0]) }?.cast_signed();
    // SAFETY: no pointers but null ones, which mean none.
    let created = unsafe { kernel.syscall(FSCONFIG, [context, FSCONFIG_CMD_CREATE, 0, 0, 0, 0]) };
    // SAFETY: no pointers.
    let root = created.and_then(|_| unsafe { kernel.syscall(FSMOUNT, [context, 0, 0, 0, 0, 0]) });
    // SAFETY: the descriptor is this function's.
    unsafe { kernel.syscall(CLOSE, [context, 0, 0, 0, 0, 0]) }?;
    let root = i32::try_from(root?).map_err(|_| Errno::EMFILE)?;
    // SAFETY: a descriptor that was just opened, and that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw(kernel, root) })
}

fn write_file(file: &OwnedFd, out: &mut impl Write) -> io::Result<()> {
    const MOST: usize = 1 << 20; // some never end
    let mut buffer = vec![0; 1 << 16];
    let mut offset = 0;
    while offset < MOST {
        match file.pread(&mut buffer, offset as u64) {
            Ok(0) => break,
            Ok(len) => out.write_all(&buffer[..len])?,
            Err(errno) => {
                writeln!(out, "({errno})")?;
                break;
            }
        }
        offset += buffer.len();
    }
    Ok(())
}

fn write_folder(folder: &OwnedFd, path: &str, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut entries = Vec::new();
    folder.reopen(OpenMode::Directory)?.read_dir(0, &mut |entry| {
        entries.push((entry.name.to_vec(), entry.kind));
        ControlFlow::Continue(())
    })?;
    for (name, kind) in entries {
        // "." and "..", and the processes with their numbers.
        if name[0] == b'.' || name[0].is_ascii_digit() {
            continue;
        }
        let below = format!("{path}/{}", String::from_utf8_lossy(&name));
        let found = folder.open_at(&name, OpenMode::Path)?;
        match kind {
            EntryKind::Directory => write_folder(&found, &below, out)?,
            EntryKind::Regular if below != "/proc/kmsg" => {
                writeln!(out, "==> {below}")?;
                match found.reopen(OpenMode::Read) {
                    Ok(file) => write_file(&file, out)?,
                    Err(errno) => writeln!(out, "({errno})")?,
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let kernel = lkl_host_posix::boot(&BootConfig::default())?;
    let root = proc_root(&kernel)?;
    write_folder(&root, "/proc", &mut io::stdout().lock())?;
    drop(root);
    kernel.halt();
    Ok(())
}
