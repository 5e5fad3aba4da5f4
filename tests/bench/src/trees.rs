//! Trees to be copied and served, and what running other programs takes.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Bytes that do not repeat soon.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

/// A file of so many bytes.
pub fn large(path: &Path, bytes: u64) -> Result<()> {
    let block = noise(16 << 20);
    let mut file = fs::File::create(path)?;
    for _ in 0..bytes / block.len() as u64 {
        file.write_all(&block)?;
    }
    Ok(())
}

/// Like the sources of a large program: 12,000 files in 600 folders, most of them small.
pub fn sources(top: &Path) -> Result<()> {
    let bytes = noise(256 << 10);
    let mut places = bytes
        .chunks_exact(4)
        .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    for folder in 0..600 {
        let folder = top.join(format!("{}/{folder}", folder % 20));
        fs::create_dir_all(&folder)?;
        for file in 0..20 {
            let random = places.next().context("too few random numbers")? as usize;
            let len = 32usize << (random % 11);
            fs::write(
                folder.join(format!("file-{file}.c")),
                &bytes[..len + (random >> 8) % len],
            )?;
        }
    }
    Ok(())
}

/// Runs a program that must do well.
pub fn well(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| program.clone())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}: {said}", output.status);
    Ok(())
}

/// The one in the middle.
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
