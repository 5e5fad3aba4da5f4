//! Writes the standard input to a file of an image: `writefs IMAGE TYPE PATH`. It is on the host's disk when the program ends
//! well.

use linux_full::WritableDisks;
use lkl::BootConfig;
use lkl_host_posix::WritableFile;
use lkl_write::Volume;
use std::error::Error;
use std::io::Read;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, kind, path] = arguments.as_slice() else {
        return Err("usage: writefs IMAGE TYPE PATH".into());
    };
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    // Refused while another program writes to it.
    let disk = WritableFile::open(image, true)?;
    let kernel = lkl_host_posix::boot(&BootConfig::default())?;
    let device = kernel.add_writable_disk(Arc::new(disk), 0)?;
    let volume = Volume::mount(&kernel, &device, kind, "")?;
    volume.write(path.as_bytes(), &bytes)?;
    // Everything that was written, and a flush.
    volume.unmount()?;
    Ok(())
}
