//! Routines that only some kernels have: looked up by name once, with what to do without them.
//!
//! The import table of the driver names only what every x64 NT exports, so that it loads everywhere. [`init`] runs
//! first thing in DriverEntry; before it, and on a kernel that lacks a routine, the fallback is used. For the expansion
//! of stacks there is none: a kernel without it is refused.
//
// UNSAFETY: turns addresses that the kernel gives for a name into functions of the documented type, and reads CR8
// and the shared user data page where the routine is missing.

use crate::nt::{
    BOOLEAN, KIRQL, LARGE_INTEGER, MmGetSystemRoutineAddress, NTSTATUS, PVOID, RTL_OSVERSIONINFOW,
    RtlGetVersion, SIZE_T, UNICODE_STRING, quad,
};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// What runs on an expanded stack.
pub type Callout = unsafe extern "C" fn(parameter: PVOID);
type ExpandEx = unsafe extern "C" fn(Callout, PVOID, SIZE_T, BOOLEAN, PVOID) -> NTSTATUS;
type Expand = unsafe extern "C" fn(Callout, PVOID, SIZE_T) -> NTSTATUS;
type SystemTime = unsafe extern "C" fn(*mut LARGE_INTEGER);
type CurrentIrql = unsafe extern "C" fn() -> KIRQL;

static EXPAND_EX: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static EXPAND: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static SYSTEM_TIME: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static IRQL: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// What only Wine's kernel exports.
static WINE: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
/// `major << 16 | minor`; 0 until [`init`].
static VERSION: AtomicU32 = AtomicU32::new(0);

/// NT 6.2 (Windows 8): non-executable pool and mappings exist from here on.
const NT_6_2: u32 = 0x0006_0002;

/// What a call would say that [`init`] has made impossible.
const STATUS_NOT_SUPPORTED: NTSTATUS = 0xc000_00bb_u32 as i32;

/// KUSER_SHARED_DATA.SystemTime as the kernel maps it: low half, high half, and the high half again.
const SHARED_SYSTEM_TIME: usize = 0xffff_f780_0000_0014;

/// Whether the kernel is Wine's, which is no NT in some ways. Any IRQL.
pub fn is_wine() -> bool {
    !WINE.load(Ordering::Acquire).is_null()
}

/// A routine that this crate cannot do without, and that this kernel lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking(pub &'static str);

/// Looks everything up. Without its `Ok`, nothing else of this crate may be used but the pool and printing.
///
/// IRQL: PASSIVE_LEVEL.
pub fn init() -> Result<(), Lacking> {
    for (slot, names) in [
        (&EXPAND_EX, &["KeExpandKernelStackAndCalloutEx"][..]),
        (&EXPAND, &["KeExpandKernelStackAndCallout"][..]),
        (
            &SYSTEM_TIME,
            &["KeQuerySystemTimePrecise", "KeQuerySystemTime"][..],
        ),
        (&IRQL, &["KeGetCurrentIrql"][..]),
        (&WINE, &["wine_ntoskrnl_main_loop"][..]),
    ] {
        let found = names
            .iter()
            .map(|name| lookup(name))
            .find(|address| !address.is_null());
        slot.store(found.unwrap_or(core::ptr::null_mut()), Ordering::Release);
    }
    let mut version = RTL_OSVERSIONINFOW {
        dwOSVersionInfoSize: size_of::<RTL_OSVERSIONINFOW>() as u32,
        ..Default::default()
    };
    // SAFETY: the structure says its own size and is writable.
    if unsafe { RtlGetVersion(&mut version) } >= 0 {
        let packed = (version.dwMajorVersion << 16) | (version.dwMinorVersion & 0xffff);
        VERSION.store(packed, Ordering::Release);
    }
    if EXPAND_EX.load(Ordering::Acquire).is_null() && EXPAND.load(Ordering::Acquire).is_null() {
        return Err(Lacking("KeExpandKernelStackAndCallout"));
    }
    Ok(())
}

/// The address of an exported routine; null when this kernel has none of that name.
fn lookup(name: &str) -> *mut () {
    let mut wide = [0u16; 48];
    let mut length: u16 = 0;
    for (unit, slot) in name.encode_utf16().zip(wide.iter_mut()) {
        *slot = unit;
        length = length.saturating_add(2);
    }
    let mut string = UNICODE_STRING {
        Length: length,
        MaximumLength: length,
        Buffer: wide.as_mut_ptr(),
    };
    // SAFETY: the string describes `wide`, which outlives the call.
    unsafe { MmGetSystemRoutineAddress(&mut string) }.cast()
}

/// Whether pool and mappings can be made non-executable by flag.
pub fn has_no_execute() -> bool {
    VERSION.load(Ordering::Acquire) >= NT_6_2
}

/// Runs `callout(parameter)` with at least `bytes` of kernel stack. A failure says that it did not run: there was no
/// memory for the stack.
///
/// IRQL: <= APC_LEVEL.
///
/// # Safety
/// `callout` may be called with `parameter`, once, before this returns. It returns normally.
pub unsafe fn expand_stack(callout: Callout, parameter: PVOID, bytes: usize) -> NTSTATUS {
    let expand_ex = EXPAND_EX.load(Ordering::Acquire);
    if !expand_ex.is_null() {
        // SAFETY: the kernel's routine of that name has this type.
        let expand: ExpandEx = unsafe { core::mem::transmute(expand_ex) };
        // SAFETY: promised by the caller; TRUE lets it wait for memory, which the IRQL allows.
        unsafe { expand(callout, parameter, bytes as SIZE_T, 1, core::ptr::null_mut()) }
    } else {
        let expand = EXPAND.load(Ordering::Acquire);
        if expand.is_null() {
            return STATUS_NOT_SUPPORTED;
        }
        // SAFETY: the kernel's routine of that name has this type.
        let expand: Expand = unsafe { core::mem::transmute(expand) };
        // SAFETY: promised by the caller.
        unsafe { expand(callout, parameter, bytes as SIZE_T) }
    }
}

/// The time in 100 ns since 1601, UTC. Any IRQL.
pub fn system_time() -> i64 {
    let routine = SYSTEM_TIME.load(Ordering::Acquire);
    if !routine.is_null() {
        let mut time = LARGE_INTEGER::default();
        // SAFETY: the kernel's routines of those names have this type.
        let query: SystemTime = unsafe { core::mem::transmute(routine) };
        // SAFETY: `time` is writable.
        unsafe { query(&mut time) };
        return quad(&time);
    }
    // The kernel writes high2, low, high1 in this order, so equal halves mean that low belongs to them.
    let base = SHARED_SYSTEM_TIME as *const u32;
    loop {
        // SAFETY: every x64 NT maps the page at this address, readable, for ever.
        let high = unsafe { base.wrapping_add(1).read_volatile() };
        // SAFETY: as above.
        let low = unsafe { base.read_volatile() };
        // SAFETY: as above.
        let check = unsafe { base.wrapping_add(2).read_volatile() };
        if high == check {
            return ((u64::from(high) << 32) | u64::from(low)) as i64;
        }
    }
}

/// The IRQL of the processor.
pub fn irql() -> KIRQL {
    let routine = IRQL.load(Ordering::Acquire);
    if !routine.is_null() {
        // SAFETY: the kernel's routine of that name has this type.
        let current: CurrentIrql = unsafe { core::mem::transmute(routine) };
        // SAFETY: it may be called in any context.
        return unsafe { current() };
    }
    let irql: u64;
    // SAFETY: in kernel mode CR8 is readable and holds the IRQL; nothing else is touched.
    unsafe { core::arch::asm!("mov {}, cr8", out(reg) irql, options(nomem, nostack, preserves_flags)) };
    irql as KIRQL
}
