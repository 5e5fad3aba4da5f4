//! The one place where a fault is survived.
//!
//! Some NT routines raise instead of returning an error: MmProbeAndLockPages on a bad user buffer, CcCopyRead when a
//! page cannot be read or the buffer went away, CcInitializeCacheMap for lack of memory. Rust has no `__try`, so one
//! assembler function stands in for it: it calls a function, and its unwind data names `__C_specific_handler` with a
//! scope that covers this call and an unconditional handler. An exception ends the call and comes back as its code.
//!
//! What runs inside is Rust without destructors that matter: [`guarded`] takes a function that makes one NT call.
//
// UNSAFETY: assembler with hand-written unwind data.

use crate::nt::{NTSTATUS, PVOID};
use core::arch::global_asm;

/// Calls `act` and returns what it returns, or the code of the exception that it was ended by.
///
/// # Safety
/// `act` owns nothing that must be dropped when it is ended in the middle (its captures stay valid: they belong to
/// the caller), and an exception in it leaves no lock of ours held.
pub unsafe fn guarded<R>(act: impl FnOnce() -> R) -> Result<R, NTSTATUS> {
    // SAFETY: promised by the caller.
    unsafe { run(act) }
}

struct Call<F, R> {
    act: Option<F>,
    result: Option<R>,
}

unsafe extern "C" fn perform<F: FnOnce() -> R, R>(call: PVOID) {
    // SAFETY: run() passes a Call of these types that nobody else uses meanwhile.
    let call = unsafe { &mut *call.cast::<Call<F, R>>() };
    if let Some(act) = call.act.take() {
        call.result = Some(act());
    }
}

unsafe fn run<F: FnOnce() -> R, R>(act: F) -> Result<R, NTSTATUS> {
    let mut call = Call {
        act: Some(act),
        result: None,
    };
    let argument: PVOID = (&raw mut call).cast();
    // SAFETY: perform::<F, R> takes this call, which outlives it.
    let code = unsafe { lklfs_guarded_call(perform::<F, R>, argument) };
    /// STATUS_UNHANDLED_EXCEPTION, should the function have come back with neither a result nor a code.
    const UNHANDLED: NTSTATUS = 0xc000_0144_u32 as i32;
    match call.result {
        Some(result) if code == 0 => Ok(result),
        _ if code != 0 => Err(code),
        _ => Err(UNHANDLED),
    }
}

unsafe extern "C" {
    /// 0, or the code of the exception that ended the call.
    fn lklfs_guarded_call(function: unsafe extern "C" fn(PVOID), argument: PVOID) -> NTSTATUS;
}

global_asm!(
    r#"
    .text
    .globl lklfs_guarded_call
    .def lklfs_guarded_call; .scl 2; .type 32; .endef
    .p2align 4
    .seh_proc lklfs_guarded_call
lklfs_guarded_call:
    sub rsp, 40
    .seh_stackalloc 40
    .seh_handler __C_specific_handler, @except
    .seh_endprologue
    mov rax, rcx
    mov rcx, rdx
.Llklfs_guarded_begin:
    call rax
    nop
.Llklfs_guarded_end:
    xor eax, eax
    jmp .Llklfs_guarded_out
.Llklfs_guarded_caught:
    nop
.Llklfs_guarded_out:
    add rsp, 40
    ret
    .seh_handlerdata
    .long 1
    .long .Llklfs_guarded_begin@IMGREL
    .long .Llklfs_guarded_end@IMGREL
    .long 1
    .long .Llklfs_guarded_caught@IMGREL
    .text
    .seh_endproc
"#
);
