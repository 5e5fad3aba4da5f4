//! Structured exceptions: raised by imports or by faults in the driver, handled by the driver's `__try` blocks.
//!
//! The search goes from the place of the exception outwards through the driver's frames up to the call that brought
//! the thread into the driver. A frame whose handler is `__C_specific_handler` has a scope table: a filter of 1 handles,
//! another one is called on the kernel stack and decides. When a handler is found, the `__finally` blocks inside of it
//! run and the thread goes on at the handler with that frame's registers. When none is found it is a bug check; one of its
//! own when it is the end of an expanded-stack callout that the exception would leave ([`crate::ke::expand`]).
//!
//! A page fault at an address of the kernel's half is no exception at all: the memory manager stops the machine, and no
//! `__try` is asked. Nor is one anywhere at DISPATCH_LEVEL or above, where a page cannot be waited for: not even when the
//! address is a user's and a handler stands ready. What else the processor finds (an address that is not canonical, a
//! division by zero) is an exception at any level.
//!
//! The three entrances are [`raise`] (NT's ExRaiseStatus and everything that raises), [`raise_fault`] (from the
//! signal handler) and [`guarded_copy`], with which imports touch memory that a user owns.

#![allow(non_snake_case)]

use crate::{
    ke::{
        gate,
        unwind::{self, Context, Handler},
    },
    loader::{self, Image},
    nt::*,
    ps::{self, Thread},
    verifier::Code,
};
use std::arch::naked_asm;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        ExRaiseStatus <= HIGH;
        ExRaiseAccessViolation <= HIGH;
        ExRaiseDatatypeMisalignment <= HIGH;
        __C_specific_handler <= HIGH;
    }
}

/// An exception under way.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// Its code, an NTSTATUS.
    pub code: NTSTATUS,
    /// The address that was touched, for a fault.
    pub touched: Option<usize>,
    /// The fault was a write.
    pub write: bool,
    /// The fault was the fetch of an instruction.
    pub execute: bool,
}

/// What NT says was touched when the processor does not: a general protection fault, by an address that is not canonical
/// above all.
pub const UNKNOWN_ADDRESS: usize = usize::MAX;
/// Where the kernel's half begins on the processor. The double's own kernel addresses are a program's there.
const KERNEL_HALF: usize = 0x8000_0000_0000;

/// The EXCEPTION_RECORD that filters see.
#[repr(C)]
struct Record {
    code: i32,
    flags: u32,
    nested: u64,
    address: u64,
    count: u32,
    information: [u64; 15],
}

/// Raises an exception in the driver, at the import that the current thread runs. The Rust frames of the import are
/// left as they are: nothing in them is dropped.
pub fn raise(status: NTSTATUS) -> ! {
    let thread = ps::current();
    // SAFETY: the chain of frames of the current thread is valid while it runs in a gate.
    let Some(frame) = (unsafe { thread.gate.get().as_ref() }) else {
        crate::fail!(
            UnhandledException,
            "{} raised by the double itself",
            status::name(status)
        );
    };
    let context = Context::of_frame(frame);
    thread.restore(frame);
    thread.in_driver.set(false);
    dispatch(
        thread,
        Exception {
            code: status,
            touched: None,
            write: false,
            execute: false,
        },
        context,
    )
}

/// Raises an exception that the processor found, with the registers at the fault. The thread is on its host stack.
pub fn raise_fault(exception: Exception, context: Context) -> ! {
    let of_the_kernel = |touched: &usize| {
        *touched != UNKNOWN_ADDRESS
            && (*touched >= KERNEL_HALF || crate::mm::space::reserved().contains(touched))
    };
    if let Some(touched) = exception.touched.filter(of_the_kernel) {
        ps::current().exception.set(Some(context));
        invalid_kernel_address(&exception, touched, context);
    }
    let irql = ps::current().irql.get();
    if let Some(touched) = exception
        .touched
        .filter(|touched| irql > 1 && *touched != UNKNOWN_ADDRESS)
    {
        ps::current().exception.set(Some(context));
        let place = loader::describe(context.rip as usize);
        crate::fail!(
            PageFaultAtDispatch,
            "{} {touched:#x} at {place} at IRQL {irql}",
            verb(&exception)
        );
    }
    dispatch(ps::current(), exception, context)
}

unsafe extern "win64" fn ExRaiseStatus(status: NTSTATUS) -> ! {
    raise(status)
}

unsafe extern "win64" fn ExRaiseAccessViolation() -> ! {
    raise(STATUS_ACCESS_VIOLATION)
}

unsafe extern "win64" fn ExRaiseDatatypeMisalignment() -> ! {
    raise(STATUS_DATATYPE_MISALIGNMENT)
}

/// Named by unwind data, where it is recognised; never called.
unsafe extern "win64" fn __C_specific_handler() -> ! {
    crate::fail!(
        UnhandledException,
        "__C_specific_handler was called by the driver itself"
    )
}

/// One scope of a `__C_specific_handler` table.
struct Scope {
    begin: u32,
    end: u32,
    handler: u32,
    target: u32,
}

/// The scopes of a function that hold `rva`, innermost first.
fn scopes(image: &Image, handler: &Handler, rva: u32) -> Vec<Scope> {
    let at = (handler.data - image.base()) as u32;
    let word = |rva: u32| {
        image
            .bytes(rva, 4)
            .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let all = (0..word(at)).map(|index| {
        let entry = at + 4 + index * 16;
        Scope {
            begin: word(entry),
            end: word(entry + 4),
            handler: word(entry + 8),
            target: word(entry + 12),
        }
    });
    all.filter(|scope| (scope.begin..scope.end).contains(&rva))
        .collect()
}

/// Finds who handles the exception and goes there.
fn dispatch(thread: &'static Thread, exception: Exception, origin: Context) -> ! {
    thread.exception.set(Some(origin));
    let mut context = origin;
    let mut return_address = false;
    for _ in 0..256 {
        if context.rip == gate::boundary() {
            break;
        }
        let Some(image) = loader::image_of(context.rip as usize) else {
            // NT takes code that it has no tables for to be a leaf: the caller of a wild pointer is found.
            match unwind::leaf(&context) {
                Some(caller) => context = caller,
                None => break,
            }
            return_address = true;
            continue;
        };
        let Some(unwound) = unwind::unwind(&image, &context) else {
            break;
        };
        if let Some(handler) = unwound.handler.filter(|h| image.is_c_specific_handler(h.handler)) {
            // A return address belongs to the call before it, which may be the last instruction of its scope.
            let rva = image.rva_of(context.rip as usize).unwrap_or(0) - u32::from(return_address);
            for scope in scopes(&image, &handler, rva)
                .into_iter()
                .filter(|scope| scope.target != 0)
            {
                if filter_accepts(thread, &image, &scope, &exception, &origin, unwound.establisher) {
                    unwind_to(thread, &origin, &context, &scope);
                    let mut target = context;
                    target.registers[0] = u64::from(exception.code.cast_unsigned());
                    target.rip = image.address_of(scope.target) as u64;
                    thread.exception.set(None);
                    thread.in_driver.set(true);
                    // SAFETY: the registers are those of a live frame of the driver, at its own handler.
                    unsafe { continue_at(&target) }
                }
            }
        }
        context = unwound.caller;
        return_address = true;
    }
    if context.rip == gate::boundary() && crate::ke::expand::is_callout(thread, context.rsp() as usize) {
        crate::fail!(
            CalloutException,
            "{} at {} leaves the expanded-stack callout that it was raised in",
            status::name(exception.code),
            loader::describe(origin.rip as usize)
        );
    }
    unhandled(exception, origin)
}

/// Asks a scope's filter.
fn filter_accepts(
    thread: &Thread,
    image: &Image,
    scope: &Scope,
    exception: &Exception,
    origin: &Context,
    establisher: u64,
) -> bool {
    if scope.handler == 1 {
        return true;
    }
    let mut information = [0; 15];
    let touched = exception.touched.map_or(0, |address| address as u64);
    let act = if exception.execute {
        8
    } else {
        u64::from(exception.write)
    };
    (information[0], information[1]) = (act, touched);
    let record = Record {
        code: exception.code,
        flags: 0,
        nested: 0,
        address: origin.rip,
        count: if exception.touched.is_some() { 2 } else { 0 },
        information,
    };
    let pointers = [(&raw const record) as u64, 0];
    let stack = (origin.rsp() as usize).min(thread.kernel_rsp.get()) - 0x200;
    let filter = image.address_of(scope.handler) as *const ();
    // SAFETY: a filter takes EXCEPTION_POINTERS and its function's frame; it runs below the frames of the exception.
    let answer = unsafe { gate::call(thread, filter, &[pointers.as_ptr() as u64, establisher], stack) };
    match answer as i32 {
        1 => true,
        0 => false,
        other => crate::fail!(
            UnhandledException,
            "a filter answered {other}; continuing is not modelled"
        ),
    }
}

/// Runs the `__finally` blocks between the exception and the scope that handles it.
fn unwind_to(thread: &Thread, origin: &Context, target: &Context, handling: &Scope) {
    let mut context = *origin;
    let mut return_address = false;
    loop {
        let Some(image) = loader::image_of(context.rip as usize) else {
            let Some(caller) = unwind::leaf(&context) else {
                return;
            };
            (context, return_address) = (caller, true);
            continue;
        };
        let Some(unwound) = unwind::unwind(&image, &context) else {
            return;
        };
        let in_target = context.rsp() == target.rsp() && context.rip == target.rip;
        if let Some(handler) = unwound.handler.filter(|h| image.is_c_specific_handler(h.handler)) {
            let rva = image.rva_of(context.rip as usize).unwrap_or(0) - u32::from(return_address);
            for scope in scopes(&image, &handler, rva) {
                if in_target && scope.begin == handling.begin && scope.target == handling.target {
                    return;
                }
                if scope.target == 0 {
                    let stack = (origin.rsp() as usize).min(thread.kernel_rsp.get()) - 0x200;
                    let block = image.address_of(scope.handler) as *const ();
                    // SAFETY: a termination handler takes "abnormal" and its function's frame.
                    unsafe { gate::call(thread, block, &[1, unwound.establisher], stack) };
                }
            }
        }
        if in_target {
            return;
        }
        context = unwound.caller;
        return_address = true;
    }
}

/// A page fault that NT makes no exception of.
fn invalid_kernel_address(exception: &Exception, touched: usize, origin: Context) -> ! {
    let place = loader::describe(origin.rip as usize);
    let act = verb(exception);
    if crate::ke::stack::ran_over(touched, origin.rsp() as usize) {
        crate::fail!(
            StackOverflow,
            "{act} {touched:#x} at {place}: the kernel stack ran over"
        );
    }
    let (code, story) = crate::mm::pool::diagnose(touched);
    let code = match code {
        Code::AccessViolation if crate::mm::space::kind_of(touched).is_none() => Code::InvalidKernelAddress,
        other => other,
    };
    crate::verifier::fail(code, format_args!("{act} {touched:#x} at {place}: {story}"))
}

fn verb(exception: &Exception) -> &'static str {
    match (exception.execute, exception.write) {
        (true, _) => "a jump to",
        (false, true) => "write to",
        (false, false) => "read from",
    }
}

/// No handler: a bug check that says as much as is known.
fn unhandled(exception: Exception, origin: Context) -> ! {
    let place = loader::describe(origin.rip as usize);
    let Some(touched) = exception.touched else {
        if matches!(
            exception.code,
            STATUS_ILLEGAL_INSTRUCTION | STATUS_INTEGER_DIVIDE_BY_ZERO | STATUS_BREAKPOINT
        ) {
            crate::fail!(IllegalInstruction, "{} at {place}", status::name(exception.code));
        }
        crate::fail!(
            UnhandledException,
            "{} raised at {place}",
            status::name(exception.code)
        );
    };
    let act = verb(&exception);
    let (code, story) = crate::mm::pool::diagnose(touched);
    crate::verifier::fail(code, format_args!("{act} {touched:#x} at {place}: {story}"))
}

/// Loads all registers and goes on there.
#[unsafe(naked)]
unsafe extern "sysv64" fn continue_at(context: &Context) -> ! {
    naked_asm!(
        "movups xmm6, [rdi + 0xE8]",
        "movups xmm7, [rdi + 0xF8]",
        "movups xmm8, [rdi + 0x108]",
        "movups xmm9, [rdi + 0x118]",
        "movups xmm10, [rdi + 0x128]",
        "movups xmm11, [rdi + 0x138]",
        "movups xmm12, [rdi + 0x148]",
        "movups xmm13, [rdi + 0x158]",
        "movups xmm14, [rdi + 0x168]",
        "movups xmm15, [rdi + 0x178]",
        "mov rax, [rdi]",
        "mov rdx, [rdi + 0x10]",
        "mov rbx, [rdi + 0x18]",
        "mov rsp, [rdi + 0x20]",
        "mov rbp, [rdi + 0x28]",
        "mov rsi, [rdi + 0x30]",
        "mov r8, [rdi + 0x40]",
        "mov r9, [rdi + 0x48]",
        "mov r10, [rdi + 0x50]",
        "mov r12, [rdi + 0x60]",
        "mov r13, [rdi + 0x68]",
        "mov r14, [rdi + 0x70]",
        "mov r15, [rdi + 0x78]",
        "mov rcx, [rdi + 0x80]",
        "mov rdi, [rdi + 0x38]",
        "jmp rcx",
    )
}
const _: () = assert!(std::mem::offset_of!(Context, rip) == 0x80);
const _: () = assert!(std::mem::offset_of!(Context, xmm) == 0x88);

/// Copies memory, stopping at a fault: returns 0, or 1 after a fault.
#[unsafe(naked)]
unsafe extern "sysv64" fn copy_or_fault(_to: *mut u8, _from: *const u8, _length: usize) -> u64 {
    naked_asm!(
        "mov rcx, rdx",
        "cld",
        ".globl ntos_guarded_begin",
        "ntos_guarded_begin:",
        "rep movsb",
        ".globl ntos_guarded_end",
        "ntos_guarded_end:",
        "xor eax, eax",
        "ret",
        ".globl ntos_guarded_fault",
        "ntos_guarded_fault:",
        "mov eax, 1",
        "ret",
    )
}

unsafe extern "C" {
    safe static ntos_guarded_begin: u8;
    safe static ntos_guarded_end: u8;
    safe static ntos_guarded_fault: u8;
}

/// Where a fault at `rip` inside of the guarded copy goes on.
pub(crate) fn guarded_fixup(rip: u64) -> Option<u64> {
    let range = (&raw const ntos_guarded_begin) as u64..(&raw const ntos_guarded_end) as u64;
    range
        .contains(&rip)
        .then_some((&raw const ntos_guarded_fault) as u64)
}

/// Copies `length` bytes where one side may be a user's memory. A fault there is STATUS_ACCESS_VIOLATION, with an
/// unknown part copied; at DISPATCH_LEVEL and above it stops the machine.
///
/// # Safety
/// Each side is valid memory or user memory; they do not overlap harmfully.
pub unsafe fn guarded_copy(to: *mut u8, from: *const u8, length: usize) -> Result<(), NTSTATUS> {
    // SAFETY: passed on from the caller; faults are fixed up by the signal handler.
    match unsafe { copy_or_fault(to, from, length) } {
        0 => Ok(()),
        _ => {
            let irql = ps::current_if_attached().map_or(0, |thread| thread.irql.get());
            if irql > 1 {
                crate::fail!(
                    PageFaultAtDispatch,
                    "a copy of {length} bytes from {from:p} to {to:p} for {} at IRQL {irql}",
                    loader::describe(gate::caller())
                );
            }
            Err(STATUS_ACCESS_VIOLATION)
        }
    }
}
