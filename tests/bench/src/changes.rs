//! What changes a mounted volume, by the calls that cp, tar and rm make.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

/// Bytes of a file that is written in one go.
const SEQUENTIAL: usize = 64 << 20;
/// Bytes of a file that is written here and there, and how often.
const SCATTERED: u64 = 16 << 20;
const SYNCED: u32 = 300;
const BLOCK: usize = 4096;
/// Folders of a tree, files of each, and bytes of the smallest and the largest.
const FOLDERS: usize = 40;
const FILES: usize = 50;
const SMALLEST: usize = 500;
const LARGEST: usize = 20_000;

/// Makes a file in blocks of so many bytes, and syncs it. MiB of it.
pub fn write(path: &Path, block: usize) -> Result<f64> {
    let block = vec![0x5a; block];
    let mut file = File::create(path)?;
    for _ in 0..SEQUENTIAL / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok((SEQUENTIAL >> 20) as f64)
}

/// Writes blocks of a file, each of which is synced. How many a second; making the file does not count.
pub fn write_synced(path: &Path, next: impl Fn(&mut u64) -> u64) -> Result<f64> {
    let file = File::create_new(path)?;
    file.write_all_at(&vec![1; SCATTERED as usize], 0)?;
    file.sync_all()?;
    let (block, mut state) = ([2; BLOCK], 7);
    let start = Instant::now();
    for _ in 0..SYNCED {
        let at = next(&mut state) % (SCATTERED / BLOCK as u64) * BLOCK as u64;
        file.write_all_at(&block, at)?;
        file.sync_data()?;
    }
    Ok(f64::from(SYNCED) / start.elapsed().as_secs_f64().max(1e-9))
}

/// Makes a tree of small files, as tar does: each is made, written, and given a mode and a time. How many.
pub fn unpack(folder: &Path) -> Result<f64> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let bytes = vec![b'x'; LARGEST];
    for number in 0..FOLDERS {
        let folder = folder.join(number.to_string());
        fs::create_dir_all(&folder)?;
        for number in 0..FILES {
            let len = SMALLEST + number * (LARGEST - SMALLEST) / FILES;
            let mut file = File::create_new(folder.join(format!("file-{number}.c")))?;
            file.write_all(&bytes[..len])?;
            file.set_permissions(Permissions::from_mode(0o640))?;
            file.set_times(FileTimes::new().set_modified(time))?;
        }
    }
    Ok((FOLDERS * FILES) as f64)
}

/// Removes such a tree. How many files.
pub fn remove(folder: &Path) -> Result<f64> {
    fs::remove_dir_all(folder)?;
    Ok((FOLDERS * FILES) as f64)
}
