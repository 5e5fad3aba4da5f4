//! Writes a file of an image to the standard output: `readfs IMAGE PATH`. The image does not change, even if its journal is
//! replayed.

use linux_full as _;
use lkl::{BootConfig, DiskOptions, FsKind, MountOptions, OpenMode};
use lkl_host_posix::FileDisk;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, path] = arguments.as_slice() else {
        return Err("usage: readfs IMAGE PATH".into());
    };
    let disk = FileDisk::open(image)?;
    let kernel = lkl_host_posix::boot(&BootConfig::default())?;
    let device = kernel.add_disk(Arc::new(disk), DiskOptions::default())?;
    let mount = kernel.mount(&device, FsKind::Probe, &MountOptions::default())?;
    // One component at a time: a symbolic link is not followed.
    let mut file = mount.root()?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        file = file.open_at(name.as_bytes(), OpenMode::Path)?;
    }
    let file = file.reopen(OpenMode::Read)?;
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; 1 << 16];
    let mut offset = 0;
    loop {
        let read = file.pread(&mut buffer, offset)?;
        if read == 0 {
            break;
        }
        out.write_all(&buffer[..read])?;
        offset += read as u64;
    }
    drop(file);
    mount.unmount();
    Ok(())
}
