//! Faults in Linux code: a bad access or an illegal instruction becomes a panic of Linux instead of the end of the
//! process.
//!
//! A thread is marked while it runs Linux code. The signal handler looks at the mark: on a marked thread it makes the
//! thread go on in [`lkl::fault`], on its own stack, as if the faulting instruction had called it, and Linux takes the
//! thread away from there. (If the stack itself ran out, one emergency stack serves.) On any other thread the handler
//! that was there before gets the signal.
//!
//! The handler runs on the alternate stack that Rust's standard library gives to each of its threads. A thread that
//! was made otherwise and has none runs it on its own stack, which serves for all faults but a stack overflow.

#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

const SIGNALS: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

thread_local! {
    static IN_LINUX: Cell<bool> = const { Cell::new(false) };
}

/// Marks the calling thread as running Linux code, or not.
pub fn mark(in_linux: bool) {
    IN_LINUX.set(in_linux);
}

/// The handlers that were there before, one for each of [`SIGNALS`].
static BEFORE: [AtomicPtr<libc::sigaction>; SIGNALS.len()] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; SIGNALS.len()];

/// Installs the handlers, once per process.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (signal, before) in SIGNALS.iter().zip(&BEFORE) {
            let mut old = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: room for the old action.
            if unsafe { libc::sigaction(*signal, std::ptr::null(), old.as_mut_ptr()) } != 0 {
                continue;
            }
            // SAFETY: sigaction filled it. It lives for ever: a handler may need it at any time.
            before.store(
                Box::into_raw(Box::new(unsafe { old.assume_init() })),
                Ordering::Release,
            );
            // SAFETY: all zeros is a valid sigaction.
            let mut action = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
            let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) = handle;
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: the handler below does only what a signal handler may do.
            unsafe { libc::sigaction(*signal, &action, std::ptr::null_mut()) };
        }
    });
}

/// Bytes of the emergency stack.
const EMERGENCY: usize = 64 * 1024;

#[repr(C, align(4096))]
struct Emergency(UnsafeCell<[u8; EMERGENCY]>);
// SAFETY: used as a stack, by the one thread that gets IN_USE.
unsafe impl Sync for Emergency {}
static EMERGENCY_STACK: Emergency = Emergency(UnsafeCell::new([0; EMERGENCY]));
static EMERGENCY_IN_USE: AtomicBool = AtomicBool::new(false);

extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // A fault that another process sent (kill) has a code of 0 or less and is not Linux's.
    // SAFETY: the kernel passes both.
    let code = unsafe { (*info).si_code };
    if !IN_LINUX.get() || code <= 0 || context.is_null() {
        return pass_on(signal, info, context);
    }
    // A fault on the way to Linux's panic is one too many.
    IN_LINUX.set(false);
    // SAFETY: the kernel passes a ucontext_t.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let stack = registers[libc::REG_RSP as usize] as usize;
    // SAFETY: for the three signals of memory accesses the field is filled; for the others it is the instruction.
    let info = unsafe { &*info };
    // SAFETY: as above.
    let address = unsafe { info.si_addr() } as usize;
    let overflow = signal == libc::SIGSEGV && address.abs_diff(stack) < 64 * 1024 && unmapped_below(stack);
    let top = if overflow && !EMERGENCY_IN_USE.swap(true, Ordering::AcqRel) {
        EMERGENCY_STACK.0.get() as usize + EMERGENCY
    } else {
        stack - 256
    };
    // As after a call: aligned to 16, then the return address (none: linux_fault does not return).
    registers[libc::REG_RSP as usize] = ((top & !15) - 8) as i64;
    registers[libc::REG_RIP as usize] = die as *const () as i64;
    registers[libc::REG_RDI as usize] = i64::from(signal);
}

/// Whether there is no usable memory just below the stack pointer (a guard page), so that nothing can be called there.
/// The kernel is asked to read a byte; it says EFAULT if it cannot.
fn unmapped_below(stack: usize) -> bool {
    let mut byte = 0u8;
    let into = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let from = libc::iovec {
        iov_base: stack.saturating_sub(4096) as *mut c_void,
        iov_len: 1,
    };
    // SAFETY: always works.
    let this = unsafe { libc::getpid() };
    // SAFETY: reads one byte of this very process into `byte`, or fails.
    unsafe { libc::process_vm_readv(this, &into, 1, &from, 1, 0) != 1 }
}

/// Where a faulting thread goes on.
extern "sysv64" fn die(signal: i32) {
    lkl::fault(match signal {
        libc::SIGSEGV => c"segmentation fault in Linux code",
        libc::SIGBUS => c"bus error in Linux code",
        libc::SIGILL => c"illegal instruction in Linux code",
        libc::SIGFPE => c"arithmetic fault in Linux code",
        _ => c"fault in Linux code",
    });
    // Linux did not know this thread: nothing can go on from here.
    std::process::abort();
}

/// Hands a signal to whom it belonged before.
fn pass_on(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    let index = SIGNALS.iter().position(|each| *each == signal);
    let before = index.map_or(std::ptr::null_mut(), |index| {
        BEFORE[index].load(Ordering::Acquire)
    });
    // SAFETY: install stored a sigaction that lives for ever, or nothing.
    let before = unsafe { before.as_ref() };
    match before {
        Some(action) if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN => {
            if action.sa_flags & libc::SA_SIGINFO != 0 {
                type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void);
                // SAFETY: with SA_SIGINFO the word is such a function.
                let handler = unsafe { std::mem::transmute::<usize, Handler>(action.sa_sigaction) };
                handler(signal, info, context);
            } else {
                // SAFETY: without it, one of this kind.
                let handler =
                    unsafe { std::mem::transmute::<usize, extern "C" fn(i32)>(action.sa_sigaction) };
                handler(signal);
            }
        }
        _ => {
            // The default is death, which comes when the instruction is tried again.
            // SAFETY: resets the action of one signal.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}
