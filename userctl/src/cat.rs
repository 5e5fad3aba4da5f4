//! `userctl cat`: the bytes of one file on standard output.

use std::io::Write;

use crate::exit::{Exit, Failure, stdout_failure};
use crate::resolve::resolve_file;
use crate::text::shown;
use crate::volume::Volume;
use crate::watchdog;

/// Bytes asked for at a time.
const CHUNK: usize = 1 << 20;

/// Writes the data of the regular file at `path` to `out`. Links are followed inside the volume.
pub fn run<V: Volume>(volume: &V, path: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
    let found = resolve_file(volume, path)?;
    let fail = |errno| volume.failure(&found.path, errno);
    let file = volume.open(&found.node).map_err(fail)?;
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0u64;
    loop {
        let count = volume.read(&file, offset, &mut buffer).map_err(fail)?;
        if count == 0 {
            break;
        }
        // Progress is Linux's: a slow reader of our output is not a hang, and it is not progress either, so the
        // clock is touched on both sides of the write.
        watchdog::progress();
        out.write_all(&buffer[..count])
            .map_err(|error| stdout_failure(&error))?;
        watchdog::progress();
        offset += count as u64;
    }
    out.flush().map_err(|error| stdout_failure(&error))?;
    if offset < found.stat.size {
        let (path, size) = (shown(&found.path), found.stat.size);
        let message = format_args!(
            "{path}: ends after {offset} of {size} bytes; the file system is damaged or the image incomplete, repair a copy of it"
        );
        return Err(Failure::new(Exit::FileSystem, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::volume::Errno;

    fn cat(volume: &Memory, path: &str) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        run(volume, path.as_bytes(), &mut out).map(|()| out)
    }

    #[test]
    fn writes_the_whole_file() {
        let mut volume = Memory::new();
        let data: Vec<u8> = (0..CHUNK + 5).map(|index| index as u8).collect();
        volume.add_file("/f", &data);
        volume.add_link("/l", b"f");
        assert_eq!(cat(&volume, "/l").unwrap(), data);
    }

    #[test]
    fn a_directory_a_break_and_a_short_file_are_told_apart() {
        let mut volume = Memory::new();
        volume.add_file("/d/f", b"123");
        assert_eq!(cat(&volume, "/d").unwrap_err().exit, Exit::Path);
        volume.change("/d/f", |stat| stat.size = 4);
        assert_eq!(cat(&volume, "/d/f").unwrap_err().exit, Exit::FileSystem);
        volume.break_data("/d/f", 0, Errno::EIO);
        assert!(
            cat(&volume, "/d/f")
                .unwrap_err()
                .message
                .contains("input/output error")
        );
    }
}
