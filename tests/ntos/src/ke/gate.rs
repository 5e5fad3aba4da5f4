//! The border between the driver and the double.
//!
//! Every import of the driver is bound to a gate: a few instructions that name the import and jump to the common
//! part, `gate`. That part saves all of the driver's registers in a [`Frame`] on the kernel stack, lets `enter`
//! check the call, changes to the thread's host stack, calls the Rust function there, and comes back. In the other
//! direction [`call`] changes from the host stack to the kernel stack and calls a function of the driver. The two
//! nest to any depth.
//!
//! So the kernel stack, which is as small as NT's, carries the driver's frames and the gates' only; and at any time the
//! thread's chain of frames tells which import was called from where with which registers, which is what exceptions
//! ([`crate::ke::seh`]) and reports need.

use crate::{
    ke::shadow,
    ps::{self, Thread},
};
use std::{
    arch::naked_asm,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

mod entries;
mod state;

use entries::gate_of;
pub use entries::{call_counts, entry_of};
use state::State;

/// The registers of the driver at a call of an import. The layout is that of the pushes in `gate`.
#[repr(C)]
pub struct Frame {
    /// rcx, rdx, r8, r9; after the call, the first is the result.
    pub arguments: [u64; 4],
    target: u64,
    index: u64,
    previous: *mut Frame,
    outer_kernel_rsp: usize,
    was_in_driver: u64,
    /// xmm6 to xmm15.
    pub xmm: [[u64; 2]; 10],
    /// rbx, rsi, rdi, r12, r13, r14, r15, rbp.
    pub registers: [u64; 8],
    /// Where the import returns to.
    pub return_address: u64,
}
const _: () = assert!(std::mem::offset_of!(Frame, xmm) == 0x48);
const _: () = assert!(std::mem::offset_of!(Frame, registers) == 0xE8);
const _: () = assert!(std::mem::offset_of!(Frame, return_address) == 0x128);

impl Frame {
    /// The stack pointer after the import's return.
    pub fn caller_rsp(&self) -> u64 {
        (&raw const self.return_address) as u64 + 8
    }
}

/// The common part of all gates: eax is the index, the rest is the driver's call.
#[unsafe(naked)]
unsafe extern "C" fn gate() {
    naked_asm!(
        "push rbp",
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push rdi",
        "push rsi",
        "push rbx",
        "sub rsp, 0xE8",
        "mov [rsp], rcx",
        "mov [rsp + 0x08], rdx",
        "mov [rsp + 0x10], r8",
        "mov [rsp + 0x18], r9",
        "mov [rsp + 0x28], rax",
        "movups [rsp + 0x48], xmm6",
        "movups [rsp + 0x58], xmm7",
        "movups [rsp + 0x68], xmm8",
        "movups [rsp + 0x78], xmm9",
        "movups [rsp + 0x88], xmm10",
        "movups [rsp + 0x98], xmm11",
        "movups [rsp + 0xA8], xmm12",
        "movups [rsp + 0xB8], xmm13",
        "movups [rsp + 0xC8], xmm14",
        "movups [rsp + 0xD8], xmm15",
        "mov rbp, rsp",
        "mov rcx, rsp",
        "sub rsp, 0x20",
        "cld",
        "call {enter}",
        // On to the host stack, with the register arguments' home and sixteen arguments from the caller's stack.
        "lea rsi, [rbp + 0x150]",
        "sub rax, 0xA0",
        "lea rdi, [rax + 0x20]",
        "mov rsp, rax",
        "mov ecx, 16",
        "rep movsq",
        "mov rcx, [rbp]",
        "mov rdx, [rbp + 0x08]",
        "mov r8, [rbp + 0x10]",
        "mov r9, [rbp + 0x18]",
        "call [rbp + 0x20]",
        "mov [rbp], rax",
        "mov rcx, rbp",
        "lea rsp, [rbp - 0x20]",
        "call {leave}",
        "test eax, eax",
        "mov rax, [rbp]",
        "lea rsp, [rbp + 0xE8]",
        "pop rbx",
        "pop rsi",
        "pop rdi",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop r15",
        "pop rbp",
        "jnz 2f",
        "ret",
        // The trap flag: the first trap comes where the driver goes on.
        "2:",
        "pushfq",
        "or qword ptr [rsp], 0x100",
        "popfq",
        "ret",
        enter = sym enter,
        leave = sym leave,
    )
}

/// Checks a call and returns the stack pointer to make it on.
unsafe extern "win64" fn enter(frame: *mut Frame) -> usize {
    let thread = ps::current();
    // SAFETY: the gate passes its own frame, which lives until the gate returns.
    let frame_ref = unsafe { &mut *frame };
    frame_ref.previous = thread.gate.replace(frame);
    frame_ref.was_in_driver = u64::from(thread.in_driver.get());
    frame_ref.outer_kernel_rsp = thread.kernel_rsp.get();
    let stack = if thread.in_driver.replace(false) {
        let (low, high) = thread.limits.get();
        if !(low..high).contains(&(frame as usize)) {
            frame_ref.target = elsewhere as *const () as u64;
            return thread.host_stack();
        }
        thread.kernel_rsp.set((frame as usize - 0x40) & !15);
        thread.host_stack()
    } else {
        // Rust code of the double called through a gate: there is nothing to change.
        (frame as usize - 0x100) & !15
    };
    let Some(gate) = gate_of(frame_ref.index as usize) else {
        unreachable!("gates are made with their entries")
    };
    gate.calls.fetch_add(1, Ordering::Relaxed);
    frame_ref.target = match gate.target {
        Some(target) => target as u64,
        None => unmodelled as *const () as u64,
    };
    crate::verifier::choose::maybe_yield();
    crate::verifier::moments::pass(crate::verifier::moments::Kind::Import);
    ps::suspend::point(thread);
    crate::verifier::moments::step();
    if thread.irql.get() > gate.ceiling {
        frame_ref.target = too_high as *const () as u64;
    }
    stack
}

/// Stands in for an import that nobody wrote.
unsafe extern "win64" fn unmodelled() -> ! {
    let name = import_names().pop().unwrap_or_default();
    crate::fail!(Unmodelled, "the double does not model {name}")
}

/// Stands in for an import that was called on a stack which is not the thread's.
unsafe extern "win64" fn elsewhere() -> ! {
    let thread = ps::current();
    let (low, high) = thread.limits.get();
    let name = import_names().pop().unwrap_or_default();
    crate::fail!(
        ForeignStack,
        "{name} is called at {:#x}, and the thread's stack is {low:#x} to {high:#x}",
        thread.gate.get() as usize
    )
}

/// Stands in for an import that was called above its ceiling.
unsafe extern "win64" fn too_high() -> ! {
    let thread = ps::current();
    // SAFETY: the chain of frames of the current thread is valid while it runs in a gate.
    let gate = unsafe { thread.gate.get().as_ref() }.and_then(|frame| gate_of(frame.index as usize));
    let (name, ceiling) = gate.map_or(("?", 0), |gate| (gate.name.as_str(), gate.ceiling));
    crate::fail!(
        IrqlTooHigh,
        "{name} is called at IRQL {}, allowed is <= {ceiling}",
        thread.irql.get()
    )
}

/// Undoes [`enter`]. Not 0: the driver goes on a step at a time.
unsafe extern "win64" fn leave(frame: *mut Frame) -> u32 {
    // SAFETY: the gate passes its own frame.
    let frame = unsafe { &*frame };
    crate::verifier::moments::step();
    let thread = ps::current();
    thread.restore(frame);
    if !shadow::is_on() || !thread.in_driver.get() {
        return 0;
    }
    gate_of(frame.index as usize).map_or(0, |gate| u32::from(shadow::resume(frame, &gate.name)))
}

impl Thread {
    /// Where imports run: below the innermost call into the driver.
    pub(crate) fn host_stack(&self) -> usize {
        match self.host_rsp.get() {
            0 => self.base_rsp.get(),
            inner => inner,
        }
    }

    /// Takes a frame off the chain: the driver runs again above it.
    pub(crate) fn restore(&self, frame: &Frame) {
        self.gate.set(frame.previous);
        self.kernel_rsp.set(frame.outer_kernel_rsp);
        self.in_driver.set(frame.was_in_driver != 0);
    }
}

/// Arguments that [`call`] passes at most.
pub const ARGUMENTS: usize = 12;

/// Saves the host's registers, stores the stack pointer, and calls `function` on another stack.
#[unsafe(naked)]
unsafe extern "sysv64" fn switch_and_call(
    function: *const (),
    arguments: *const u64,
    stack: usize,
    host_rsp: *mut usize,
) -> u64 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rcx], rsp",
        "mov rbp, rsp",
        "mov rax, rdi",
        "lea rsp, [rdx - 0x60]",
        "mov rdi, rsp",
        "mov ecx, 12",
        "cld",
        "rep movsq",
        "mov rcx, [rsp]",
        "mov rdx, [rsp + 0x08]",
        "mov r8, [rsp + 0x10]",
        "mov r9, [rsp + 0x18]",
        "call rax",
        ".globl ntos_driver_returns_here",
        "ntos_driver_returns_here:",
        "mov rsp, rbp",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Returns from the `switch_and_call` whose saved stack pointer is given, with `value`, from anywhere below it.
#[unsafe(naked)]
unsafe extern "sysv64" fn return_from(host_rsp: usize, value: u64) -> ! {
    naked_asm!(
        "mov rax, rsi",
        "lea rsp, [rdi + 8]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

unsafe extern "C" {
    /// The return address of every call into the driver: where walks of the kernel stack end.
    safe static ntos_driver_returns_here: u8;
}

/// The address that calls into the driver return to.
pub fn boundary() -> u64 {
    (&raw const ntos_driver_returns_here) as u64
}

/// Calls a function of the driver on the current thread's kernel stack and checks that it returns with the IRQL, the
/// regions and the locks that it came with.
///
/// # Safety
/// `function` follows Microsoft's calling convention and the arguments are what it expects. The caller holds nothing
/// that an import of the driver may want, and has no unfinished Rust borrow of what the driver may change.
pub unsafe fn call_driver<const N: usize>(function: *const (), arguments: [u64; N]) -> u64 {
    let thread = ps::current();
    let before = State::of(thread);
    let _raised = before.at_dispatch_level().then(Raised::new);
    // SAFETY: passed on from the caller; kernel_rsp is this thread's kernel stack.
    let result = unsafe { call(thread, function, &arguments, thread.kernel_rsp.get()) };
    before.check(thread, function as usize);
    result
}

/// Calls into drivers at DISPATCH_LEVEL or above that have not returned: completion routines, timers, DPCs.
static RAISED: AtomicUsize = AtomicUsize::new(0);

/// One of them.
struct Raised;

impl Raised {
    fn new() -> Self {
        RAISED.fetch_add(1, Ordering::AcqRel);
        Raised
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        RAISED.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Waits until what runs in drivers at DISPATCH_LEVEL has returned: on NT no processor is in the middle of that when
/// an image goes, since whoever unloads it has run on each of them. A routine that has woken the thread which unloads its
/// driver may have its last instructions still before it.
pub fn settle_raised() {
    const LONGEST: Duration = Duration::from_secs(10);
    let start = Instant::now();
    while RAISED.load(Ordering::Acquire) != 0 && start.elapsed() < LONGEST {
        std::thread::yield_now();
    }
}

/// [`call_driver`] on the stack that ends at `top`, and without the check at the end.
///
/// # Safety
/// As [`call_driver`]; `top` is the end of a mapped stack that nobody else uses.
pub unsafe fn call(thread: &Thread, function: *const (), arguments: &[u64], top: usize) -> u64 {
    assert!(
        !thread.in_driver.get(),
        "a call into the driver comes from an import or from host code"
    );
    let mut block = [0_u64; ARGUMENTS];
    for (slot, argument) in block.iter_mut().zip(arguments) {
        *slot = *argument;
    }
    let outer_host = thread.host_rsp.get();
    let outer_kernel = thread.kernel_rsp.get();
    let window = shadow::suspend();
    thread.in_driver.set(true);
    // SAFETY: passed on from the caller.
    let result = unsafe { switch_and_call(function, block.as_ptr(), top & !15, thread.host_rsp.as_ptr()) };
    thread.in_driver.set(false);
    thread.host_rsp.set(outer_host);
    thread.kernel_rsp.set(outer_kernel);
    shadow::restore(window);
    result
}

/// The outermost call of a system thread: where [`leave_thread`] returns from.
///
/// # Safety
/// As [`call`].
pub unsafe fn call_base(thread: &Thread, routine: *const (), context: u64, top: usize) {
    let mut block = [0_u64; ARGUMENTS];
    block[0] = context;
    thread.in_driver.set(true);
    // SAFETY: passed on from the caller. The stack pointer goes to `base_rsp`, from where imports take it while there is
    // no inner call.
    unsafe { switch_and_call(routine, block.as_ptr(), top & !15, thread.base_rsp.as_ptr()) };
    thread.in_driver.set(false);
    thread.base_rsp.set(0);
    ps::check_end(thread);
}

/// The limits of the stack that the driver runs on.
pub fn stack_limits() -> (usize, usize) {
    ps::current().limits.get()
}

/// Ends the current system thread: its outermost call into the driver returns.
pub fn leave_thread() -> ! {
    let thread = ps::current();
    let base = thread.base_rsp.get();
    assert!(base != 0, "only a system thread ends itself");
    thread.gate.set(std::ptr::null_mut());
    thread.host_rsp.set(0);
    thread.kernel_rsp.set(thread.stack_top());
    // SAFETY: base_rsp was stored by the thread's outermost call, whose host frame is still there below us; the Rust
    // frames in between are the import's, which own nothing any more.
    unsafe { return_from(base, 0) }
}

/// Where in the driver the import that runs now was called; 0 when none runs.
pub fn caller() -> usize {
    let Some(thread) = ps::current_if_attached() else {
        return 0;
    };
    // SAFETY: the chain of frames of the current thread is valid while it runs in a gate.
    unsafe { thread.gate.get().as_ref() }.map_or(0, |frame| frame.return_address as usize)
}

/// The frames of the current thread's gates, innermost first.
fn frames() -> Vec<&'static Frame> {
    let Some(thread) = ps::current_if_attached() else {
        return Vec::new();
    };
    let mut list = Vec::new();
    let mut next = thread.gate.get();
    // SAFETY: the chain of frames of the current thread is valid while it runs in a gate.
    while let Some(frame) = unsafe { next.as_ref() } {
        list.push(frame);
        next = frame.previous;
    }
    list
}

/// The import that another thread is in, and where it called it. The thread should stand still.
pub(crate) fn outer_view(thread: &Thread) -> Option<(String, usize)> {
    // SAFETY: the frame lies on the thread's kernel stack, which is mapped while the thread lives; when the thread goes
    // on, what is read is stale and no worse.
    let frame = unsafe { thread.gate.get().as_ref() }?;
    let gate = gate_of(frame.index as usize)?;
    Some((gate.name.clone(), frame.return_address as usize))
}

/// The imports that the current thread runs, outermost first.
pub fn import_names() -> Vec<String> {
    let mut names: Vec<String> = frames()
        .into_iter()
        .map(|frame| gate_of(frame.index as usize).map_or_else(String::new, |gate| gate.name.clone()))
        .collect();
    names.reverse();
    names
}

/// Where in the driver the import that runs now was called, and the callers of that, innermost first.
pub fn places() -> Vec<usize> {
    match frames().first() {
        Some(frame) => crate::ke::unwind::walk(crate::ke::unwind::Context::of_frame(frame)),
        None => vec![0],
    }
}

/// Where in the driver the current thread is, innermost first, in words.
pub fn driver_stack() -> Vec<String> {
    let Some(thread) = ps::current_if_attached() else {
        return Vec::new();
    };
    let mut places = Vec::new();
    if let Some(context) = thread.exception.get() {
        places.extend(crate::ke::unwind::walk(context));
    }
    for frame in frames() {
        places.extend(crate::ke::unwind::walk(crate::ke::unwind::Context::of_frame(
            frame,
        )));
    }
    places.truncate(48);
    places.into_iter().map(crate::loader::describe).collect()
}
