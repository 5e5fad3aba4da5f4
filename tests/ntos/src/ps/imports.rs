//! The imports that create, end and name threads and processes.

#![allow(non_snake_case)]

use crate::{
    ke::gate,
    mm::pool,
    nt::*,
    ob,
    ps::{self, PROCESS_TYPE, THREAD_TYPE, Thread},
    verifier::{
        fault::{self, Site},
        ledger::{self, Kind as Held},
    },
};

/// A pointer in a static that a data import points to.
pub struct TypePointer(pub *const ob::ObjectType);
// SAFETY: the pointer is to a static that is Sync; it is only read.
unsafe impl Sync for TypePointer {}

static THREAD_POINTER: TypePointer = TypePointer(&raw const THREAD_TYPE);
static PROCESS_POINTER: TypePointer = TypePointer(&raw const PROCESS_TYPE);

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        PsCreateSystemThread <= PASSIVE;
        PsTerminateSystemThread <= PASSIVE;
        PsGetCurrentThread <= HIGH;
        KeGetCurrentThread = PsGetCurrentThread, <= HIGH;
        PsGetCurrentProcess <= HIGH;
        IoGetCurrentProcess = PsGetCurrentProcess, <= HIGH;
        PsGetCurrentThreadId <= HIGH;
        PsGetCurrentProcessId <= HIGH;
        PsGetThreadId <= HIGH;
        PsLookupThreadByThreadId <= PASSIVE;
        KeQueryRuntimeThread <= PASSIVE;
        PsGetProcessId <= HIGH;
        PsIsSystemThread <= HIGH;
        IoThreadToProcess <= HIGH;
        PsGetThreadProcess = IoThreadToProcess, <= HIGH;
        PsIsThreadTerminating <= HIGH;
        KeSetPriorityThread <= DISPATCH;
        KeQueryPriorityThread <= DISPATCH;
        ExGetPreviousMode <= HIGH;
        KeGetPreviousMode = ExGetPreviousMode, <= HIGH;
        IoGetStackLimits <= DISPATCH;
        IoGetRemainingStackSize <= DISPATCH since Nt60;
        data PsThreadType = (&raw const THREAD_POINTER).cast();
        data PsProcessType = (&raw const PROCESS_POINTER).cast();
        data PsInitialSystemProcess = (&raw const SYSTEM_PROCESS).cast();
    }
}

/// The variable PsInitialSystemProcess; set when an image is bound.
static SYSTEM_PROCESS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Gives exported variables their values.
pub(crate) fn fill_variables() {
    SYSTEM_PROCESS.store(
        ps::system_process() as usize,
        std::sync::atomic::Ordering::Relaxed,
    );
}

unsafe extern "win64" fn PsCreateSystemThread(
    handle: *mut HANDLE,
    access: ULONG,
    _attributes: POBJECT_ATTRIBUTES,
    _process: HANDLE,
    client: PCLIENT_ID,
    routine: PKSTART_ROUTINE,
    context: PVOID,
) -> NTSTATUS {
    let Some(routine) = routine else {
        return STATUS_INVALID_PARAMETER;
    };
    if fault::should_fail(Site::Thread) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let name = format!("system thread {}", crate::loader::describe(routine as usize));
    let held = ledger_for_new_thread();
    let thread = match ps::spawn_driver(&name, routine as usize, context as usize, held) {
        Ok(thread) => thread,
        Err(status) => return status,
    };
    let opened = ob::open_handle_for_driver(thread, access);
    // SAFETY: the driver passes a pointer for the handle, and one or none for the ID.
    unsafe {
        *handle = opened;
        if !client.is_null() {
            (*client).UniqueProcess = 4_usize as HANDLE;
            (*client).UniqueThread = (*thread.cast::<Thread>()).id as usize as HANDLE;
        }
    }
    ob::dereference(thread);
    STATUS_SUCCESS
}

/// Returns the note that a thread of the driver is alive. It must be made before the thread can end.
fn ledger_for_new_thread() -> impl FnOnce(usize) {
    |thread| ledger::add(Held::Thread, thread, "system thread")
}

unsafe extern "win64" fn PsTerminateSystemThread(status: NTSTATUS) -> NTSTATUS {
    let thread = ps::current();
    if thread.expansions.get() > 0 {
        crate::fail!(
            ThreadExit,
            "PsTerminateSystemThread inside of an expanded stack's callout"
        );
    }
    if !thread.is_system || thread.base_rsp.get() == 0 {
        return STATUS_INVALID_PARAMETER;
    }
    ps::check_end(thread);
    thread.exit_status.set(status);
    gate::leave_thread()
}

/// `PsGetCurrentThread`.
pub unsafe extern "win64" fn PsGetCurrentThread() -> PVOID {
    ps::current().object()
}

unsafe extern "win64" fn PsGetCurrentProcess() -> PEPROCESS {
    ps::current_process()
}

unsafe extern "win64" fn PsGetCurrentThreadId() -> HANDLE {
    ps::current().id as usize as HANDLE
}

unsafe extern "win64" fn PsGetCurrentProcessId() -> HANDLE {
    ps::process_id(ps::current_process()) as HANDLE
}

/// The thread behind an ETHREAD of the driver's.
fn thread_of(object: PVOID) -> &'static Thread {
    if !ob::type_of(object).is_some_and(|t| std::ptr::eq(t, &raw const THREAD_TYPE)) {
        crate::fail!(
            BadObject,
            "{object:p} is no thread: {}",
            pool::explain(object as usize)
        );
    }
    // SAFETY: it is a live thread object, see above.
    unsafe { &*object.cast::<Thread>() }
}

unsafe extern "win64" fn PsGetThreadId(thread: PVOID) -> HANDLE {
    thread_of(thread).id as usize as HANDLE
}

unsafe extern "win64" fn PsLookupThreadByThreadId(id: HANDLE, thread: *mut PVOID) -> NTSTATUS {
    match ps::lookup(id as usize) {
        Some(object) => {
            // SAFETY: the driver passes a pointer for the thread.
            unsafe { *thread = object };
            STATUS_SUCCESS
        }
        None => STATUS_INVALID_CID,
    }
}

/// All of a thread's time counts as the kernel's. Whole ticks, as on NT.
unsafe extern "win64" fn KeQueryRuntimeThread(thread: PVOID, user: *mut ULONG) -> ULONG {
    // SAFETY: the driver passes a pointer for the user time.
    unsafe { *user = 0 };
    let units = thread_of(thread).ran().as_nanos() / 100;
    (units / u128::from(crate::ke::time::INCREMENT)) as ULONG
}

unsafe extern "win64" fn PsGetProcessId(process: PEPROCESS) -> HANDLE {
    ps::process_id(process) as HANDLE
}

unsafe extern "win64" fn PsIsSystemThread(thread: PVOID) -> BOOLEAN {
    u8::from(thread_of(thread).is_system)
}

unsafe extern "win64" fn IoThreadToProcess(thread: PVOID) -> PEPROCESS {
    if thread_of(thread).is_system {
        ps::system_process()
    } else {
        ps::user_process()
    }
}

unsafe extern "win64" fn PsIsThreadTerminating(thread: PVOID) -> BOOLEAN {
    thread_of(thread);
    0
}

unsafe extern "win64" fn KeSetPriorityThread(thread: PVOID, priority: i32) -> i32 {
    thread_of(thread)
        .priority
        .swap(priority, std::sync::atomic::Ordering::Relaxed)
}

unsafe extern "win64" fn KeQueryPriorityThread(thread: PVOID) -> i32 {
    thread_of(thread)
        .priority
        .load(std::sync::atomic::Ordering::Relaxed)
}

unsafe extern "win64" fn ExGetPreviousMode() -> i8 {
    ps::current().previous_mode.get()
}

unsafe extern "win64" fn IoGetStackLimits(low: *mut usize, high: *mut usize) {
    let (start, end) = gate::stack_limits();
    // SAFETY: the driver passes pointers for both.
    unsafe {
        *low = start;
        *high = end;
    }
}

unsafe extern "win64" fn IoGetRemainingStackSize() -> usize {
    let thread = ps::current();
    thread.kernel_rsp.get() - gate::stack_limits().0
}
