//! Enough stack for Linux: [`on_large_stack`] and [`insist`], and the jump that a Linux thread's end is made of.
//!
//! An NT thread has 24 KiB of kernel stack; Linux was written for 16 KiB of its own but with interrupts elsewhere,
//! and its deepest paths here (mount, log recovery) want more than NT leaves. So the kernel is asked to lend a larger
//! stack for the time of one call (`KeExpandKernelStackAndCalloutEx`; it runs in place when enough is left). There is
//! no other way: a stack of our own would lie outside of the limits that the kernel has for the thread, which whoever
//! is called below may ask for (`IoGetStackLimits`), and by which exceptions are dispatched.
//!
//! A Linux thread ends deep inside such a call, by `thread_exit`, but the callout must return and only then may the
//! thread be terminated. [`Base`] is the way back: [`Base::run`] saves the registers that a callee must keep, runs
//! the body, and either the body returns or [`Base::leave`] jumps to the end of `run`. No frame in between owns
//! anything. With kernel shadow stacks the jump also drops the abandoned return addresses.
//
// UNSAFETY: assembler that jumps between frames, and the callback that the kernel makes on the larger stack.

use crate::nt::{KERNEL_MODE, KeDelayExecutionThread, NO, PVOID, large};
use crate::routines;
use core::arch::global_asm;

/// What Linux is given, bytes. The kernel lends 70 KiB at most (MAXIMUM_EXPANSION_SIZE).
pub const LINUX_STACK_BYTES: usize = 64 * 1024;
/// Between two tries of [`insist`]: 5 ms, in units of 100 ns.
const PAUSE: i64 = 50_000;
/// There was no memory for a larger stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoStack;

struct Job<F, R> {
    work: Option<F>,
    result: Option<R>,
}

unsafe extern "C" fn perform<F: FnOnce() -> R, R>(job: PVOID) {
    // SAFETY: on_large_stack() passes a Job of these types, which outlives the callout and is used by nobody else.
    let job = unsafe { &mut *job.cast::<Job<F, R>>() };
    if let Some(work) = job.work.take() {
        job.result = Some(work());
    }
}

/// Runs `work` with [`LINUX_STACK_BYTES`] of kernel stack and returns what it returns.
///
/// IRQL: <= APC_LEVEL; may wait for memory. `work` must not terminate the thread.
pub fn on_large_stack<R>(work: impl FnOnce() -> R) -> Result<R, NoStack> {
    run_job(work)
}

/// As [`on_large_stack`], for work that must be done and cannot say that it was not: tries until there is memory for the stack,
/// with pauses.
///
/// IRQL: <= APC_LEVEL; may wait for long. `work` must not terminate the thread.
pub fn insist<R>(work: impl FnOnce() -> R) -> R {
    let mut work = Some(work);
    loop {
        // A failure leaves the work where it is.
        if let Ok(Some(done)) = on_large_stack(|| work.take().map(|work| work())) {
            return done;
        }
        let mut pause = large(-PAUSE);
        // SAFETY: kernel mode, not alertable; the interval is readable.
        let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &mut pause) };
    }
}

fn run_job<F: FnOnce() -> R, R>(work: F) -> Result<R, NoStack> {
    let mut job = Job {
        work: Some(work),
        result: None,
    };
    let parameter: PVOID = (&raw mut job).cast();
    // SAFETY: perform::<F, R> takes this job, and `job` lives until after the call.
    let status = unsafe { routines::expand_stack(perform::<F, R>, parameter, LINUX_STACK_BYTES) };
    if status < 0 {
        return Err(NoStack);
    }
    job.result.ok_or(NoStack)
}

/// The frame that a thread returns to when it ends: see the head of the file.
#[repr(C)]
#[derive(Debug)]
pub struct Base {
    stack_pointer: usize,
    shadow_stack_pointer: usize,
}

impl Default for Base {
    fn default() -> Self {
        Base::new()
    }
}

impl Base {
    /// A base that nothing has entered yet.
    pub const fn new() -> Self {
        Base {
            stack_pointer: 0,
            shadow_stack_pointer: 0,
        }
    }

    /// Runs `body(argument)` on the present stack until it returns or calls [`Base::leave`] on `base`.
    ///
    /// # Safety
    /// `base` is valid until this returns; `body` may be called with `argument`.
    pub unsafe fn run(base: *mut Base, body: routines::Callout, argument: PVOID) {
        // SAFETY: promised by the caller.
        unsafe { lkl_ntk_enter(base, body, argument) }
    }

    /// Goes back to the end of [`Base::run`], from any depth of the same thread's stack.
    ///
    /// # Safety
    /// The calling thread is inside `run` on `base`, and no frame above it owns anything that must be dropped or
    /// unwound.
    pub unsafe fn leave(base: *const Base) -> ! {
        // SAFETY: promised by the caller.
        unsafe { lkl_ntk_leave(base) }
    }
}

unsafe extern "C" {
    fn lkl_ntk_enter(base: *mut Base, body: routines::Callout, argument: PVOID);
    fn lkl_ntk_leave(base: *const Base) -> !;
}

global_asm!(
    r#"
    .text
    .globl lkl_ntk_enter
    .def lkl_ntk_enter; .scl 2; .type 32; .endef
    .p2align 4
    .seh_proc lkl_ntk_enter
lkl_ntk_enter:
    push rbp
    .seh_pushreg rbp
    push rbx
    .seh_pushreg rbx
    push rdi
    .seh_pushreg rdi
    push rsi
    .seh_pushreg rsi
    push r12
    .seh_pushreg r12
    push r13
    .seh_pushreg r13
    push r14
    .seh_pushreg r14
    push r15
    .seh_pushreg r15
    sub rsp, 168
    .seh_stackalloc 168
    mov rbp, rsp
    .seh_setframe rbp, 0
    movaps [rbp], xmm6
    .seh_savexmm xmm6, 0
    movaps [rbp + 16], xmm7
    .seh_savexmm xmm7, 16
    movaps [rbp + 32], xmm8
    .seh_savexmm xmm8, 32
    movaps [rbp + 48], xmm9
    .seh_savexmm xmm9, 48
    movaps [rbp + 64], xmm10
    .seh_savexmm xmm10, 64
    movaps [rbp + 80], xmm11
    .seh_savexmm xmm11, 80
    movaps [rbp + 96], xmm12
    .seh_savexmm xmm12, 96
    movaps [rbp + 112], xmm13
    .seh_savexmm xmm13, 112
    movaps [rbp + 128], xmm14
    .seh_savexmm xmm14, 128
    movaps [rbp + 144], xmm15
    .seh_savexmm xmm15, 144
    .seh_endprologue
    xor eax, eax
    rdsspq rax
    mov [rcx], rbp
    mov [rcx + 8], rax
    sub rsp, 32
    mov rcx, r8
    call rdx
.Llkl_ntk_back:
    movaps xmm6, [rbp]
    movaps xmm7, [rbp + 16]
    movaps xmm8, [rbp + 32]
    movaps xmm9, [rbp + 48]
    movaps xmm10, [rbp + 64]
    movaps xmm11, [rbp + 80]
    movaps xmm12, [rbp + 96]
    movaps xmm13, [rbp + 112]
    movaps xmm14, [rbp + 128]
    movaps xmm15, [rbp + 144]
    lea rsp, [rbp + 168]
    pop r15
    pop r14
    pop r13
    pop r12
    pop rsi
    pop rdi
    pop rbx
    pop rbp
    ret
    .seh_endproc

    .globl lkl_ntk_leave
    .def lkl_ntk_leave; .scl 2; .type 32; .endef
    .p2align 4
lkl_ntk_leave:
    xor eax, eax
    rdsspq rax
    test rax, rax
    jz 3f
    mov rdx, [rcx + 8]
    sub rdx, rax
    shr rdx, 3
2:
    test rdx, rdx
    jz 3f
    mov eax, 255
    cmp rdx, rax
    cmovb rax, rdx
    incsspq rax
    sub rdx, rax
    jmp 2b
3:
    mov rbp, [rcx]
    cld
    jmp .Llkl_ntk_back
"#
);
