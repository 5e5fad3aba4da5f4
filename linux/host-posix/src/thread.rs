//! Linux's threads: each is a thread of this process.
//!
//! Linux ends a thread from deep inside its own stack, where neither unwinding nor pthread_exit (which unwinds) can
//! work: its frames have no landing pads. So the first frame remembers its stack pointer, and [`exit`] goes back to it,
//! like longjmp, past frames that own nothing.

#![allow(unsafe_code)]

use crate::fault;
use lkl::ThreadBody;
use std::arch::naked_asm;
use std::cell::Cell;
use std::ffi::c_void;
use std::io;

/// Stack of a thread, bytes. Linux's own frames need under 16 KiB; the rest is room for the host's callbacks
/// (standard library, a print hook) and for a fault handler's trampoline.
pub const STACK_SIZE: usize = 256 * 1024;

thread_local! {
    /// The stack pointer that [`exit`] goes back to; null on a thread that is not Linux's.
    static WAY_BACK: Cell<*mut c_void> = const { Cell::new(std::ptr::null_mut()) };
}

/// A running thread.
#[derive(Debug)]
pub struct Thread {
    handle: std::thread::JoinHandle<()>,
}

impl Thread {
    /// Starts a thread that runs `body`.
    pub fn start(body: ThreadBody) -> io::Result<Thread> {
        let handle = std::thread::Builder::new()
            .name("lkl".into())
            .stack_size(STACK_SIZE)
            .spawn(move || {
                fault::mark(true);
                let mut body = Some(body);
                let place: *mut Option<ThreadBody> = &mut body;
                WAY_BACK.with(|way_back| {
                    // SAFETY: `run` gets `place`, which outlives the call, and the cell is this thread's.
                    unsafe { call_with_way_back(run, place.cast(), way_back.as_ptr()) }
                });
                fault::mark(false);
            })?;
        Ok(Thread { handle })
    }
}

impl lkl::Thread for Thread {
    fn join(self: Box<Self>) {
        // An error would be a panic in this crate's few lines above.
        let _ = self.handle.join();
    }
}

/// Ends the calling thread, which runs inside [`Thread::start`].
pub fn exit() -> ! {
    let way_back = WAY_BACK.get();
    assert!(!way_back.is_null(), "exit of a thread that Linux did not create");
    // SAFETY: the value was stored by call_with_way_back on this thread, and that call has not returned.
    unsafe { go_back(way_back) }
}

thread_local! {
    /// The calling thread's number; asked for once.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The number of the calling thread.
pub fn name() -> u64 {
    match NUMBER.get() {
        0 => {
            // SAFETY: always works.
            let number = unsafe { libc::gettid() };
            NUMBER.set(u64::try_from(number).unwrap_or(0));
            NUMBER.get()
        }
        number => number,
    }
}

/// What the thread of that number, one of this process, has run.
pub fn ran_ns(number: u64) -> Option<u64> {
    // The clock of one thread, as the kernel's ABI has it (CPUCLOCK_PERTHREAD, CPUCLOCK_SCHED).
    let clock = (!libc::clockid_t::try_from(number).ok()? << 3) | 0b110;
    let mut ran = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: room for the time. A thread that is gone is an error.
    if unsafe { libc::clock_gettime(clock, &mut ran) } != 0 {
        return None;
    }
    let seconds = u64::try_from(ran.tv_sec).ok()?;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(u64::try_from(ran.tv_nsec).ok()?)
}

/// Takes the body out of its place and runs it.
unsafe extern "sysv64" fn run(place: *mut c_void) {
    // SAFETY: `place` is the Option of Thread::start, which nobody else touches.
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
