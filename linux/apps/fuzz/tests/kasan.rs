//! KASAN, as it is compiled in and as its shadow is mapped, finds what it is there for.
//!
//! Linux is given a pointer into memory of its own that nothing has allocated, in place of a program's: the port has no user
//! mode, so Linux follows it.

// UNSAFETY: system calls with such pointers.

#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod booted;

use booted::{POOL, boot};
use lkl::Errno;

/// `getcwd(2)` and `openat(2)`.
const GETCWD: i64 = 79;
const OPENAT: i64 = 257;

/// Linux's memory: where it begins.
fn pool() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("there");
    let line = maps.lines().find(|line| line.contains("lkl-pool"));
    let start = line.and_then(|line| line.split('-').next()).expect("a pool");
    usize::from_str_radix(start, 16).expect("an address")
}

#[test]
fn an_access_to_memory_that_nothing_has_allocated_is_reported() {
    let (kernel, _world, said) = boot("");
    let mut own = [0u8; 64];
    let good = own.as_mut_ptr().expose_provenance();
    // SAFETY: as much room as is said.
    let path = unsafe { kernel.syscall(GETCWD, [good as i64, 64, 0, 0, 0, 0]) };
    assert_eq!(path, Ok(2));
    assert!(!kernel.is_dead());
    // Late in the pool, of which a fresh Linux uses the least.
    let stray = pool() + POOL / 4 * 3;
    // SAFETY: Linux's own memory, which holds zeros at worst.
    let open = unsafe { kernel.syscall(OPENAT, [-100, stray as i64, 0, 0, 0, 0]) };
    let text = String::from_utf8_lossy(&said.lock().unwrap()).into_owned();
    assert_eq!(open, Err(Errno::ENODEV), "{text}");
    assert!(
        text.contains("BUG: KASAN: ") && text.contains("Read of size"),
        "{text}"
    );
    assert!(kernel.is_dead());
}
