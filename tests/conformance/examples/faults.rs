//! Makes the processor find a fault in Linux's own code, and wants it contained: the call ends with an error, Linux is dead and
//! says of what, and can be halted; and another Linux boots after it. Most are put where every system call passes; others are self-tests of the port's: in a
//! thread of Linux's, of the stack, and while it boots. Takes the name of the fault; without one, the names are printed. For this
//! system's host, and for NT's under Wine.
//
// UNSAFETY: reads and writes this program's own code.

#![allow(unsafe_code)]

use linux_driver as _;
use lkl::{BootConfig, Errno, Halt, sys};
use std::process::ExitCode;

#[cfg(windows)]
use lkl_host_nt::boot;
#[cfg(target_os = "linux")]
use lkl_host_posix::boot;

/// What a fault is called, and the code for it.
const KINDS: &[(&str, &[u8])] = &[
    // xor ecx, ecx; xor eax, eax; xor edx, edx; div ecx
    ("division", &[0x31, 0xc9, 0x31, 0xc0, 0x31, 0xd2, 0xf7, 0xf1]),
    // ud2
    ("illegal-instruction", &[0x0f, 0x0b]),
    // hlt
    ("privileged-instruction", &[0xf4]),
    // xor eax, eax; mov eax, [rax + 8]
    ("null-read", &[0x31, 0xc0, 0x8b, 0x40, 0x08]),
    // xor eax, eax; mov [rax + 8], eax
    ("null-write", &[0x31, 0xc0, 0x89, 0x40, 0x08]),
    // mov rax, 0xdead000000000100; mov rax, [rax]
    (
        "not-canonical",
        &[0x48, 0xb8, 0x00, 0x01, 0, 0, 0, 0, 0xad, 0xde, 0x48, 0x8b, 0x00],
    ),
    // mov rax, 0xffff800012345678; mov rax, [rax]
    (
        "kernel-half",
        &[
            0x48, 0xb8, 0x78, 0x56, 0x34, 0x12, 0x00, 0x80, 0xff, 0xff, 0x48, 0x8b, 0x00,
        ],
    ),
    // xor eax, eax; call rax
    ("null-call", &[0x31, 0xc0, 0xff, 0xd0]),
];

/// A thread of Linux's reads by a null pointer.
const THREAD: &str = "thread";
/// Linux calls itself until the stack is used up. Not listed for NT's host: Wine 8 ends the thread and leaves the process, and no
/// other judge is here.
const OVERFLOW: &str = "stack-overflow";
/// It writes beyond its memory. Not listed for NT's host, which has no guards there.
const BEYOND: &str = "beyond";
/// It reads by a null pointer before it has a thread.
const BOOT: &str = "boot";
// LKL_SELFTEST_* of host_ops.h.
const FAULT_OF_A_THREAD: u64 = 7;
const OVERFLOW_OF_THE_STACK: u64 = 8;
/// So many bytes.
const BEYOND_MEMORY: u64 = 12 | 8 << 8;

/// What `linux_syscall()` has Linux run: the address that its `lea rsi, [rip + distance]` makes.
fn where_calls_pass() -> *mut u8 {
    let start = sys::linux_syscall as *const u8;
    // SAFETY: the function's own code, which is longer than that or followed by more code.
    let code = unsafe { std::slice::from_raw_parts(start, 96) };
    let at = code.windows(3).position(|bytes| bytes == [0x48, 0x8d, 0x35]);
    let at = at.expect("linux_syscall() gives a function to lkl_enter_and()");
    let distance = i32::from_le_bytes(code[at + 3..at + 7].try_into().expect("four bytes"));
    start
        .wrapping_add(at + 7)
        .wrapping_offset(distance as isize)
        .cast_mut()
}

/// Puts code in the place of this program's own; what was there.
fn replace(at: *mut u8, code: &[u8]) -> Vec<u8> {
    // SAFETY: as much of the function's code as it has, at least.
    let before = unsafe { std::slice::from_raw_parts(at.cast_const(), code.len()) }.to_vec();
    overwrite(at, code);
    before
}

#[cfg(windows)]
fn overwrite(at: *mut u8, code: &[u8]) {
    use windows_sys::Win32::System::Memory::{PAGE_EXECUTE_READWRITE, VirtualProtect};
    let mut before = 0;
    // SAFETY: pages of this program's own code, which stay executable.
    let done = unsafe { VirtualProtect(at.cast(), code.len(), PAGE_EXECUTE_READWRITE, &mut before) };
    assert!(done != 0, "the code cannot be made writable");
    // SAFETY: writable now; no thread is in there.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), at, code.len()) };
}

#[cfg(target_os = "linux")]
fn overwrite(at: *mut u8, code: &[u8]) {
    use std::os::unix::fs::FileExt;
    let memory = std::fs::File::options().write(true).open("/proc/self/mem");
    let memory = memory.expect("a process may write its own memory");
    memory.write_all_at(code, at as u64).expect("it is there");
}

/// Linux is what it was, as often as one likes.
fn boots_again() {
    for _ in 0..3 {
        let kernel = boot(&BootConfig::default()).expect("Linux boots again");
        kernel.release().expect("Linux is sound");
        let log = kernel.log();
        assert!(
            !String::from_utf8_lossy(&log).contains("fault in Linux"),
            "an old log"
        );
        assert_eq!(kernel.halt(), Halt::Whole);
    }
}

/// The boot ends with an error, and the process does not.
fn while_it_boots() -> ExitCode {
    let config = BootConfig {
        command_line: "lkl_selftest_fault",
        ..BootConfig::default()
    };
    let error = boot(&config).expect_err("it does not boot");
    boots_again();
    println!("contained: {BOOT}: {error}");
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let Some(kind) = std::env::args().nth(1) else {
        KINDS.iter().for_each(|(name, _)| println!("{name}"));
        println!("{THREAD}\n{BOOT}");
        if cfg!(target_os = "linux") {
            println!("{OVERFLOW}\n{BEYOND}");
        }
        return ExitCode::SUCCESS;
    };
    if kind == BOOT {
        return while_it_boots();
    }
    let kernel = boot(&BootConfig::default()).expect("Linux boots");
    kernel.release().expect("Linux is sound");
    match (kind.as_str(), KINDS.iter().find(|(name, _)| *name == kind)) {
        (THREAD, _) => {
            let _ = kernel.self_test_of(FAULT_OF_A_THREAD);
            while !kernel.is_dead() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        (OVERFLOW, _) => assert_eq!(kernel.self_test_of(OVERFLOW_OF_THE_STACK), Err(Errno::ENODEV)),
        (BEYOND, _) => assert_eq!(kernel.self_test_of(BEYOND_MEMORY), Err(Errno::ENODEV)),
        (_, Some((_, code))) => {
            let sound = replace(where_calls_pass(), code);
            assert_eq!(kernel.release(), Err(Errno::ENODEV));
            overwrite(where_calls_pass(), &sound);
        }
        (_, None) => {
            eprintln!("there is no fault called {kind}");
            return ExitCode::from(2);
        }
    }
    assert!(kernel.is_dead());
    let log = String::from_utf8_lossy(&kernel.log()).into_owned();
    let said = log.lines().find(|line| line.contains("fault in Linux: "));
    let said = said.expect("Linux says what it died of").to_owned();
    // Later calls end too, on other threads as well.
    let other = kernel.clone();
    let later = std::thread::spawn(move || other.release()).join();
    assert_eq!(later.expect("no panic"), Err(Errno::ENODEV));
    kernel.halt();
    boots_again();
    println!("contained: {kind}: {said}");
    ExitCode::SUCCESS
}
