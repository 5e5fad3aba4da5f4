//! Linux's death, told: its last words and the stack with lines of Linux's source. Then the program ends by SIGABRT, so that libFuzzer
//! keeps the input.
//!
//! A panic of Linux's comes here as a call of the host's hook, on the stack of the thread that panics. A fault of the processor comes
//! as a signal, to a handler that stands before the host's own: the host would have Linux panic, and the place would be lost. It
//! runs on a stack of its own (`stacks.rs`), since the thread's may have run out. A sleep where none may be is what Linux only says;
//! that is taken for a death here, and so is, of a sound volume, what is there twice.
//
// UNSAFETY: signal handlers are installed, and the program is left without its ending.

use lkl_host_posix::Hooks;
use std::backtrace::Backtrace;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The exit code of a program that has had its time: not a finding.
pub const FRESH: i32 = 88;
/// Bytes between a stack pointer and an access that is to the stack.
const NEAR: usize = 16 << 10;
/// Bytes that are kept of what Linux says.
const MOST: usize = 64 << 10;

/// What Linux says of a sleep where none may be.
const SLEEP: &[u8] = b"BUG: sleeping function called from invalid context";

/// What file systems say of a block or an inode that is given out twice, or given back twice. A volume that was changed has such.
const TWICE: [&[u8]; 2] = [b"bit already set", b"bit already cleared"];

/// The volume is what mkfs made, changed by Linux alone.
static SOUND: AtomicBool = AtomicBool::new(false);
/// What Linux has said since the input was begun.
static SAID: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// What Linux has said since [`forget`].
pub fn said() -> String {
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&said).into_owned()
}

/// Another input begins.
pub fn forget() {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// From now on volumes are sound: what Linux says of one that is not is a finding.
pub fn the_volume_is_sound() {
    SOUND.store(true, Ordering::Relaxed);
}

/// What the host does with what Linux prints, and with its death.
pub fn hooks() -> Hooks {
    Hooks {
        print: Some(Box::new(|text| {
            let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
            if said.len() < MOST {
                said.extend_from_slice(text);
            }
            drop(said);
            let says = |what: &[u8]| text.windows(what.len()).any(|words| words == what);
            let twice = SOUND.load(Ordering::Relaxed) && TWICE.iter().any(|what| says(what));
            if twice || says(SLEEP) {
                tell(&String::from_utf8_lossy(text));
            }
        })),
        panicked: Some(Box::new(|why| tell(&String::from_utf8_lossy(why)))),
    }
}

/// Tells it, and ends the program.
fn tell(why: &str) -> ! {
    let stack = Backtrace::force_capture();
    let why = why.to_owned();
    // Names are found on a stack of its own, which takes more than one of Linux's threads has.
    let told = std::thread::Builder::new().stack_size(16 << 20).spawn(move || {
        let said = said();
        for line in said.lines() {
            eprintln!("linux: {line}");
        }
        eprintln!("LINUX HAS DIED: {}", why.trim());
        eprintln!("stack backtrace:\n{stack}");
    });
    if let Ok(told) = told {
        let _ = told.join();
    }
    std::process::abort();
}

extern "C" fn fault(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes it.
    let info = unsafe { &*info };
    // SAFETY: for signals of faults the field is filled.
    let address = unsafe { info.si_addr() };
    // SAFETY: the kernel passes a ucontext_t.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let stack = registers[libc::REG_RSP as usize] as usize;
    let what = match signal {
        libc::SIGSEGV if address.addr().abs_diff(stack) < NEAR => "a stack that has run out",
        libc::SIGSEGV => "bad access",
        libc::SIGBUS => "bus error",
        libc::SIGILL => "illegal instruction",
        _ => "arithmetic fault",
    };
    tell(&format!("fault in Linux: {what} ({address:?})"));
}

/// Installs the handlers, over those of the host.
pub fn watch_faults() {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        // SAFETY: all zeros is a valid sigaction.
        let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) = fault;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
        // SAFETY: the handler ends the program.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
}

/// Ends the program, for another one to go on.
pub fn leave(why: &str) -> ! {
    eprintln!("FRESH: {why}");
    // SAFETY: libFuzzer takes an ordinary end for a finding.
    unsafe { libc::_exit(FRESH) };
}
