//! The processor's faults: Linux's signals, turned into NT's exceptions.
//!
//! The handler itself only looks at where the thread was and changes where it goes on:
//!
//! * in the driver, at a load that only kernel mode can do: after it ([`emulate`]);
//! * in the driver, at an instruction of shadow stacks or a step at a time: after it ([`shadow`]);
//! * else in the driver: at [`landing`], on the thread's host stack, which starts the search for a handler;
//! * in a guarded copy: at its error exit;
//! * in the double, at an address of the modelled kernel: the driver passed a bad pointer to an import, and
//!   [`import_landing`] reports that;
//! * anywhere else it is a bug of the double, and the signal takes its course.

use crate::{
    ke::{
        emulate,
        seh::{self, Exception},
        shadow::{self, Verdict},
        unwind::Context,
    },
    loader, mm,
    nt::*,
    ps,
};
use std::{cell::Cell, sync::Once};

/// Installs the signal handlers, once for the process.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGTRAP,
        ] {
            // SAFETY: a zeroed sigaction is valid; the handler has the signature that SA_SIGINFO asks for.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_signal as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
        }
    });
}

/// Bytes of a thread's signal stack.
const SIGNAL_STACK: usize = 64 * 1024;

/// A signal stack, installed for the thread that made it.
pub struct SignalStack(#[allow(dead_code, reason = "keeps the memory")] Box<[u8]>);

impl SignalStack {
    /// Gives the calling thread a signal stack.
    pub fn install() -> Self {
        let mut memory = vec![0_u8; SIGNAL_STACK].into_boxed_slice();
        let stack = libc::stack_t {
            ss_sp: memory.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: SIGNAL_STACK,
        };
        // SAFETY: the memory lives as long as the thread uses it, see Drop.
        unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
        Self(memory)
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let none = libc::stack_t {
            ss_sp: std::ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: the thread stops using the memory before it is freed.
        unsafe { libc::sigaltstack(&none, std::ptr::null_mut()) };
    }
}

thread_local! {
    static PENDING: Cell<Option<(Exception, Context)>> = const { Cell::new(None) };
}

/// The registers of ucontext in their hardware order.
pub(super) const ORDER: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

fn context_of(machine: &libc::ucontext_t) -> Context {
    let mut context = Context::default();
    for (register, number) in context.registers.iter_mut().zip(ORDER) {
        *register = machine.uc_mcontext.gregs[number as usize].cast_unsigned();
    }
    context.rip = machine.uc_mcontext.gregs[libc::REG_RIP as usize].cast_unsigned();
    // SAFETY: the kernel always delivers the floating-point state with a signal on x86-64.
    let xmm = unsafe { &(*machine.uc_mcontext.fpregs)._xmm };
    for (to, from) in context.xmm.iter_mut().zip(xmm) {
        let [a, b, c, d] = from.element;
        *to = [
            u64::from(a) | u64::from(b) << 32,
            u64::from(c) | u64::from(d) << 32,
        ];
    }
    context
}

unsafe extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, machine: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo_t and ucontext_t.
    let (info, machine) = unsafe { (&*info, &mut *machine.cast::<libc::ucontext_t>()) };
    let rip = machine.uc_mcontext.gregs[libc::REG_RIP as usize].cast_unsigned();
    if let Some(fixup) = seh::guarded_fixup(rip) {
        return go(machine, fixup, None);
    }
    let verdict = match signal {
        libc::SIGTRAP if info.si_code == libc::TRAP_TRACE => shadow::step(machine),
        libc::SIGILL => {
            let context = context_of(machine);
            shadow::illegal(machine, || context)
        }
        _ => Verdict::NotMine,
    };
    match verdict {
        Verdict::GoOn => return,
        Verdict::Broken => {
            let stack = ps::current_if_attached().map(|thread| (thread.host_stack() - 0x400) & !15);
            return go(
                machine,
                shadow::landing as *const () as u64,
                stack.map(|stack| stack - 8),
            );
        }
        Verdict::NotMine => {}
    }
    // SAFETY: si_addr is meaningful for these signals.
    let touched = unsafe { info.si_addr() } as usize;
    let error = machine.uc_mcontext.gregs[libc::REG_ERR as usize];
    let trap = machine.uc_mcontext.gregs[libc::REG_TRAPNO as usize];
    let exception = match signal {
        libc::SIGILL => Exception {
            code: STATUS_ILLEGAL_INSTRUCTION,
            touched: None,
            write: false,
            execute: false,
        },
        libc::SIGFPE => Exception {
            code: STATUS_INTEGER_DIVIDE_BY_ZERO,
            touched: None,
            write: false,
            execute: false,
        },
        libc::SIGTRAP => Exception {
            code: STATUS_BREAKPOINT,
            touched: None,
            write: false,
            execute: false,
        },
        _ => Exception {
            code: STATUS_ACCESS_VIOLATION,
            // A general protection fault has no address.
            touched: Some(if trap == 13 { seh::UNKNOWN_ADDRESS } else { touched }),
            write: error & 2 != 0 && trap != 13,
            execute: error & 16 != 0 && trap != 13,
        },
    };
    let Some(thread) = ps::current_if_attached() else {
        return by_default(signal);
    };
    if thread.in_driver.get() {
        if signal == libc::SIGSEGV && emulate::load(machine, touched, thread.irql.get()) {
            // In a window the next instruction is executed before the trap comes.
            if machine.uc_mcontext.gregs[libc::REG_EFL as usize] & shadow::TRAP != 0 {
                let _ = shadow::ahead(machine);
            }
            return;
        }
        PENDING.set(Some((exception, context_of(machine))));
        thread.in_driver.set(false);
        let stack = (thread.host_stack() - 0x400) & !15;
        // A function is entered with the stack 8 bytes off.
        return go(machine, landing as *const () as u64, Some(stack - 8));
    }
    let modelled = |range: std::ops::Range<usize>| range.contains(&touched);
    let in_kernel =
        modelled(mm::space::reserved()) || modelled(mm::space::user_range()) || touched < 0x1_0000;
    if signal == libc::SIGSEGV && in_kernel && !thread.gate.get().is_null() {
        PENDING.set(Some((exception, context_of(machine))));
        let stack = (machine.uc_mcontext.gregs[libc::REG_RSP as usize] as usize - 0x400) & !15;
        return go(machine, import_landing as *const () as u64, Some(stack - 8));
    }
    by_default(signal)
}

/// Changes where the interrupted thread goes on.
fn go(machine: &mut libc::ucontext_t, to: u64, stack: Option<usize>) {
    shadow::close();
    let registers = &mut machine.uc_mcontext.gregs;
    registers[libc::REG_RIP as usize] = to.cast_signed();
    if let Some(stack) = stack {
        registers[libc::REG_RSP as usize] = stack as i64;
        // The flags that matter to compiled code: direction, alignment check and single steps off.
        registers[libc::REG_EFL as usize] &= !0x4_0500;
    }
}

/// Lets the signal end the process when its instruction is tried again.
fn by_default(signal: i32) {
    eprintln!("*** the double itself faulted (signal {signal})");
    // SAFETY: the default action is always allowed.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Where a thread goes on after a fault in the driver: on its host stack, outside of the signal.
extern "C" fn landing() -> ! {
    let Some((exception, context)) = PENDING.take() else {
        unreachable!("set by the signal handler")
    };
    seh::raise_fault(exception, context)
}

/// Where a thread goes on after an import faulted on the driver's behalf.
extern "C" fn import_landing() -> ! {
    let Some((exception, context)) = PENDING.take() else {
        unreachable!("set by the signal handler")
    };
    let touched = exception.touched.unwrap_or(0);
    let imports = crate::ke::gate::import_names();
    let name = imports.last().map_or("?", String::as_str);
    let act = if exception.write { "writes" } else { "reads" };
    let place = loader::describe(crate::ke::gate::caller());
    if mm::space::kind_of(touched) == Some(mm::space::RegionKind::User) {
        crate::fail!(
            AccessViolation,
            "{name} {act} user memory {touched:#x} unguarded for {place} ({:#x})",
            context.rip
        );
    }
    let (code, story) = mm::pool::diagnose(touched);
    crate::verifier::fail(
        code,
        format_args!("{name}, called at {place}, {act} {touched:#x}: {story}"),
    )
}
