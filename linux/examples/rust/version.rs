//! Boots Linux, prints its version, and halts it: the least that a program does.

use linux_full as _;
use lkl::BootConfig;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let kernel = lkl_host_posix::boot(&BootConfig {
        pool_size: 32 << 20,
        command_line: "loglevel=4",
    })?;
    let release = kernel.release()?;
    println!(
        "Linux {}",
        String::from_utf8_lossy(&release).trim_end_matches('\0')
    );
    kernel.halt();
    Ok(())
}
