//! Disks with partitions, made of images: MBR with logical partitions, and GPT, by sfdisk.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Which table a disk gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Up to three primary partitions, all others logical (numbers from 5 on).
    Mbr,
    /// GPT.
    Gpt,
}

const MIB: u64 = 1 << 20;

/// Makes a disk at `path` with one partition for each of `images`, in their order; `None` is an empty partition of one
/// MiB. Returns the partitions' numbers.
pub fn make(path: &Path, table: Table, images: &[Option<&Path>]) -> io::Result<Vec<u32>> {
    let sizes = images
        .iter()
        .map(|image| {
            Ok(image
                .map_or(Ok(MIB), |image| image.metadata().map(|metadata| metadata.len()))?
                .div_ceil(MIB))
        })
        .collect::<io::Result<Vec<u64>>>()?;
    let mut script = match table {
        Table::Mbr => "label: dos\nlabel-id: 0x6c6b6c66\nunit: sectors\n".to_string(),
        Table::Gpt => {
            "label: gpt\nlabel-id: 6C6B6C66-7300-4D61-8000-000000000002\nunit: sectors\n".to_string()
        }
    };
    let sectors = |mebibytes: u64| mebibytes * MIB / 512;
    let total = sizes.iter().map(|size| size + 1).sum::<u64>() + 4;
    let mut start = 1;
    let mut places = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let number = match table {
            Table::Gpt => index + 1,
            Table::Mbr if index < 3 => index + 1,
            Table::Mbr => index + 2,
        };
        if table == Table::Mbr && index == 3 {
            script.push_str(&format!(
                "4 : start={}, size={}, type=5\n",
                sectors(start),
                sectors(total - start - 1)
            ));
            start += 1;
        }
        let kind = if table == Table::Mbr { "83" } else { "L" };
        script.push_str(&format!(
            "{number} : start={}, size={}, type={kind}\n",
            sectors(start),
            sectors(*size)
        ));
        places.push((number as u32, start * MIB));
        start += size + 1;
    }
    let disk = File::create(path)?;
    disk.set_len(total * MIB)?;
    let mut sfdisk = Command::new("/usr/sbin/sfdisk")
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(path)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = sfdisk.stdin.take() {
        input.write_all(script.as_bytes())?;
    }
    let output = sfdisk.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "sfdisk: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    let disk = File::options().write(true).open(path)?;
    for (image, (_, offset)) in images.iter().zip(&places) {
        if let Some(image) = image {
            copy(&File::open(image)?, &disk, *offset)?;
        }
    }
    Ok(places.into_iter().map(|(number, _)| number).collect())
}

/// Copies `from` to `offset` of `to`, leaving zeros out.
fn copy(from: &File, to: &File, offset: u64) -> io::Result<()> {
    let mut buffer = vec![0; MIB as usize];
    let mut place = 0;
    loop {
        let count = from.read_at(&mut buffer, place)?;
        if count == 0 {
            return Ok(());
        }
        if buffer[..count].iter().any(|&byte| byte != 0) {
            to.write_all_at(&buffer[..count], offset + place)?;
        }
        place += count as u64;
    }
}
