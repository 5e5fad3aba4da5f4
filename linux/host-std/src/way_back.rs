//! Leaving a thread's stack from any depth, for hosts whose threads can only end by returning.
//!
//! Linux ends a thread from deep inside its own stack, where neither unwinding nor pthread_exit (which unwinds) can
//! work: its frames have no landing pads. So the first frame remembers its stack pointer, and [`exit`] goes back to it,
//! like longjmp, past frames that own nothing.

// UNSAFETY: changes the stack pointer.

#![allow(unsafe_code)]

use lkl::ThreadBody;
use std::arch::naked_asm;
use std::cell::Cell;
use std::ffi::c_void;

thread_local! {
    /// The stack pointer that [`exit`] goes back to; null on a thread that is not inside [`call`].
    static WAY_BACK: Cell<*mut c_void> = const { Cell::new(std::ptr::null_mut()) };
}

/// Runs `body`, and returns when it does or when it calls [`exit`].
pub fn call(body: ThreadBody) {
    let mut body = Some(body);
    let place: *mut Option<ThreadBody> = &mut body;
    WAY_BACK.with(|way_back| {
        // SAFETY: `run` gets `place`, which outlives the call, and the cell is this thread's. A body's frames own nothing when it
        // calls `exit`: that is the contract of Host::exit_thread.
        unsafe { call_with_way_back(run, place.cast(), way_back.as_ptr()) }
    });
    WAY_BACK.set(std::ptr::null_mut());
}

/// Ends the [`call`] that the calling thread is inside of.
pub fn exit() -> ! {
    let way_back = WAY_BACK.get();
    assert!(!way_back.is_null(), "exit of a thread that Linux did not create");
    // SAFETY: the value was stored by call_with_way_back on this thread, and that call has not returned.
    unsafe { go_back(way_back) }
}

/// Takes the body out of its place and runs it.
unsafe extern "sysv64" fn run(place: *mut c_void) {
    // SAFETY: `place` is the Option of `call`, which no other code touches.
    let body = unsafe { (*place.cast::<Option<ThreadBody>>()).take() };
    if let Some(body) = body {
        body.run();
    }
}

/// Calls `function(argument)` after storing the stack pointer, with the callee-saved registers below it, in `*place`.
/// Returns when the function does, or when [`go_back`] is called with that value.
///
/// # Safety
/// The frames between this and `go_back` own nothing that must be dropped.
#[unsafe(naked)]
unsafe extern "sysv64" fn call_with_way_back(
    function: unsafe extern "sysv64" fn(*mut c_void),
    argument: *mut c_void,
    place: *mut *mut c_void,
) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        // Where the shadow stack is, 0 without one. With it the stack is aligned to 16 bytes for the call.
        "xor eax, eax",
        "rdsspq rax",
        "push rax",
        "mov [rdx], rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "pop rdx",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Returns from the [`call_with_way_back`] that stored `stack`. Where the processor keeps a shadow stack, it loses the return
/// addresses of the frames that are left.
///
/// # Safety
/// That call is on this thread's stack and has not returned.
#[unsafe(naked)]
unsafe extern "sysv64" fn go_back(stack: *mut c_void) -> ! {
    naked_asm!(
        "mov rsp, rdi", // where call_with_way_back made its call
        "cld",
        "pop rdx",
        "xor eax, eax",
        "rdsspq rax",
        "test rax, rax",
        "jz 3f",
        "sub rdx, rax",
        "shr rdx, 3",
        "2:",
        "test rdx, rdx",
        "jz 3f",
        "mov eax, 255", // as many as incsspq takes at once
        "cmp rdx, rax",
        "cmovb rax, rdx",
        "incsspq rax",
        "sub rdx, rax",
        "jmp 2b",
        "3:",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}
