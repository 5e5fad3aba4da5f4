//! Linux boots with little memory and with much, warns of nothing, and has each of its file systems.

#![cfg(target_os = "linux")]

// UNSAFETY (whole test): a system call by number, and its argument.

use linux_full as _;
use lkl_host_posix::Hooks;
use std::process::Command;

/// How much memory the process of a boot gives to Linux, in MiB; each boot has a process of its own.
const MEMORY: &str = "LKL_TEST_MEMORY";
const FILE_SYSTEMS: [&std::ffi::CStr; 10] = [
    c"ext4", c"btrfs", c"xfs", c"f2fs", c"jfs", c"nilfs2", c"ntfs3", c"vfat", c"udf", c"nfsd",
];

fn boot(mib: usize) {
    let config = lkl::BootConfig {
        pool_size: mib << 20,
        command_line: "loglevel=8",
    };
    let kernel = lkl_host_posix::boot_with(Hooks::to_stderr(), &config).unwrap();
    for name in FILE_SYSTEMS {
        const FSOPEN: i64 = 430;
        let at = name.as_ptr().expose_provenance().cast_signed() as i64;
        // SAFETY: a text that ends with a NUL, and stays.
        let opened = unsafe { kernel.syscall(FSOPEN, [at, 0, 0, 0, 0, 0]) };
        assert!(opened.is_ok(), "{name:?}: {opened:?}");
    }
    assert_eq!(kernel.halt(), lkl::Halt::Whole);
}

#[test]
fn linux_warns_of_nothing_and_has_its_file_systems_whatever_memory_it_gets() {
    if let Ok(mib) = std::env::var(MEMORY) {
        boot(mib.parse().unwrap());
        return;
    }
    for mib in ["48", "512", "513", "1024", "4096"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("linux_warns_of_nothing_and_has_its_file_systems_whatever_memory_it_gets")
            .env(MEMORY, mib)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{mib} MiB: {said}");
        assert!(said.contains("JFS: nTxBlock"), "{mib} MiB: {said}");
        assert!(!said.contains("WARNING"), "{mib} MiB: {said}");
    }
}
