//! The Linux that is fuzzed, booted in a test's own process, and what it says.

use lkl::{BootConfig, Kernel};
use lkl_host_posix::Hooks;
use lkl_host_virtual::{Start, World};
use std::sync::{Arc, Mutex};

/// Bytes of memory that it has.
pub const POOL: usize = 128 << 20;

/// Boots it in virtual time, which ends with the world; every warning is its death. `more` is for its command line.
pub fn boot(more: &str) -> (Kernel, World, Arc<Mutex<Vec<u8>>>) {
    linux_fuzz::map_shadow().expect("room for the shadow");
    let said = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&said);
    let hooks = Hooks {
        print: Some(Box::new(move |text| {
            into.lock().expect("no panic").extend_from_slice(text);
        })),
        panicked: None,
    };
    let config = BootConfig {
        pool_size: POOL,
        command_line: &format!("panic_on_warn=1 {more}"),
    };
    let (kernel, world) = lkl_host_virtual::boot(hooks, Start::default(), &config).expect("boots");
    (kernel, world, said)
}
