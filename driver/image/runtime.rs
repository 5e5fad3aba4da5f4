//! Symbols that objects for Windows expect from the C runtime, which a driver does not have.
//
// UNSAFETY: defines symbols that the compiler's output refers to.

use core::arch::global_asm;

/// Says that floating point may be used; objects with a float in them refer to it. Linux and the driver use none in
/// kernel mode: the symbol is there for constants and formatting code of `core`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the compiler refers to it by this name")]
pub static _fltused: i32 = 0x9875;

// The stack probe: functions with frames of a page and more call it with the size in rax, to touch each page in order.
// NT 5.2 exports none, so the image brings its own. It changes no register but the flags.
global_asm!(
    ".globl __chkstk",
    "__chkstk:",
    "push rcx",
    "push rax",
    "cmp rax, 4096",
    "lea rcx, [rsp + 24]",
    "jb 3f",
    "2:",
    "sub rcx, 4096",
    "test byte ptr [rcx], 0",
    "sub rax, 4096",
    "cmp rax, 4096",
    "ja 2b",
    "3:",
    "sub rcx, rax",
    "test byte ptr [rcx], 0",
    "pop rax",
    "pop rcx",
    "ret",
);
