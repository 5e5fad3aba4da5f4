// What an example of each flavour does: boots its Linux, and says how long that took and what it takes of memory.

use lkl::BootConfig;
use std::time::Instant;

/// KiB of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
        .unwrap_or(0)
}

fn main() {
    let before = resident();
    let start = Instant::now();
    let kernel = lkl_host_posix::boot(&BootConfig::default()).expect("Linux boots");
    let took = start.elapsed().as_secs_f64() * 1000.0;
    println!("{took:.1} ms, {} KiB", resident().saturating_sub(before));
    kernel.halt();
}
