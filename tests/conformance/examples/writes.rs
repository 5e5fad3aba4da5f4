//! Writes files to an ext4 volume, or checks that they are there: `writes IMAGE`, `writes IMAGE check`. A program, so that NT's
//! user host can be tried under Wine and what it wrote be looked at on Linux.

use conformance::content::content;
use linux_full::WritableDisks;
use lkl::{BootConfig, Errno};
use lkl_write::Volume;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

#[cfg(windows)]
use lkl_host_nt::{FileDisk, WritableFile, boot};
#[cfg(target_os = "linux")]
use lkl_host_posix::{FileDisk, WritableFile, boot};

const FILES: usize = 40;

fn name(number: usize) -> Vec<u8> {
    format!("folder/f{number}").into_bytes()
}

fn bytes(number: usize) -> Vec<u8> {
    content(number, number * number * 1000)
}

fn write(volume: &Volume) -> Result<(), Errno> {
    volume.create_dir(b"folder")?;
    volume.write(b"goes", &content(1, 16 << 20))?;
    for number in 0..FILES {
        volume.write(&name(number), &bytes(number))?;
    }
    volume.sync()?;
    volume.remove_file(b"goes")?;
    volume.rename(&name(0), b"renamed")?;
    volume.sync()?;
    println!("trimmed: {} bytes", volume.trim()?);
    Ok(())
}

fn check(volume: &Volume) -> Result<(), Box<dyn Error>> {
    for number in 1..FILES {
        if volume.read(&name(number))? != bytes(number) {
            return Err(format!("f{number} is not what was written").into());
        }
    }
    let names = volume.entries(b"folder")?.len();
    if names != FILES - 1
        || volume.read(b"goes") != Err(Errno::ENOENT)
        || !volume.read(b"renamed")?.is_empty()
    {
        return Err("the names are others".into());
    }
    Ok(())
}

/// The writer is alone.
fn alone(image: &Path) -> Result<(), Box<dyn Error>> {
    let busy = std::io::ErrorKind::ResourceBusy;
    match WritableFile::open(image, false) {
        Err(error) if error.kind() == busy => {}
        other => return Err(format!("a second writer: {other:?}").into()),
    }
    if FileDisk::open_still(image).is_ok() {
        return Err("a reader that wants no writer was let in".into());
    }
    FileDisk::open(image).map_err(|error| format!("a reader is refused: {error}"))?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let image = Path::new(arguments.first().ok_or("no image is named")?);
    let disk = WritableFile::open(image, true)?;
    alone(image)?;
    let kernel = boot(&BootConfig::default())?;
    let device = kernel.add_writable_disk(Arc::new(disk), 0)?;
    let volume = Volume::mount(&kernel, &device, "ext4", "discard")?;
    if arguments.len() == 1 {
        write(&volume)?;
    }
    check(&volume)?;
    volume.unmount()?;
    device.remove()?;
    kernel.halt();
    println!("{FILES} files are as they should be");
    Ok(())
}
