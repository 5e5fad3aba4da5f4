//! What tests of networks stand on: a [`Machine`] is a network of this machine's kernel, in a name space of its own; a [`Side`] is a
//! network of the Linux that a program carries, with one interface. [`traffic`] goes between them, and is compared.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

pub mod machine;
pub mod side;
pub mod traffic;

pub use machine::Machine;
pub use side::Side;
pub use traffic::{echoes, exchange, noise};

use lkl::{BootConfig, Kernel};
use std::thread;
use std::time::Duration;

/// Boots the Linux of this program, of which there is one, with so many MiB of memory.
pub fn boot(mib: usize) -> Kernel {
    lkl_host_posix::boot(&BootConfig {
        pool_size: mib << 20,
        command_line: "loglevel=4",
    })
    .expect("Linux boots")
}

/// Ends the program if it is still there then: a packet that does not come would be waited for for ever.
pub fn ends_within_minutes(minutes: u64) {
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(60 * minutes));
        eprintln!("still there after {minutes} minutes");
        std::process::abort();
    });
}
