//! A symbol that objects for Windows expect from the C runtime, which a driver does not have. (`_fltused`, the other one,
//! is defined by wdk-sys.)
//
// UNSAFETY: defines a symbol that the compiler's output refers to.

use core::arch::global_asm;

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
