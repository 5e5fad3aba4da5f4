//! Processes and threads.
//!
//! An NT thread is a host thread with a [`Thread`] object: the body of the ETHREAD that drivers see only the address of.
//! A host thread becomes one when it first needs to be ([`current`]); system threads of the driver and of the double
//! are host threads made for it. There are two processes: the system's, and one that stands for a user's.

use crate::{
    imports::Import,
    ke::{
        fault::SignalStack,
        gate::{self, Frame},
        stack::{KERNEL_STACK, KernelStack},
        unwind::Context,
        wait,
    },
    nt::*,
    ob::{self, ObjectType},
    verifier::locks,
};
use std::{
    cell::{Cell, RefCell, UnsafeCell},
    ffi::c_void,
    sync::{
        Condvar, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicUsize, Ordering},
    },
};

pub mod imports;
pub mod suspend;

/// One NT thread. All cells belong to the thread itself.
#[repr(C)]
pub struct Thread {
    /// The dispatcher header: threads are waited for until they end. Under the dispatcher's lock.
    header: UnsafeCell<DISPATCHER_HEADER>,
    /// Its ID, a multiple of 4.
    pub id: u32,
    /// Its name in reports.
    pub name: String,
    /// It belongs to the system process.
    pub is_system: bool,
    /// Its level.
    pub irql: Cell<KIRQL>,
    /// Critical regions that it is in.
    pub critical_regions: Cell<i32>,
    /// Guarded regions that it is in.
    pub guarded_regions: Cell<i32>,
    /// KernelMode (0) or UserMode (1): who called the system service.
    pub previous_mode: Cell<i8>,
    /// The I/O manager's top-level IRP.
    pub top_level_irp: Cell<usize>,
    /// For the I/O manager's own use.
    pub io: Cell<*mut c_void>,
    /// The device that a driver below has named in a request of this thread's (IoSetHardErrorOrVerifyDevice).
    pub device_to_verify: AtomicUsize,
    /// Errors of its requests are not shown to the user (IoSetThreadHardErrorMode).
    pub hides_hard_errors: AtomicBool,
    /// Calls of imports after which it is suspended, as soon as it may be; 0: never (see [`suspend`]).
    pub(crate) suspend_after: Cell<u64>,
    /// The host thread that it is; 0 before it runs.
    host: AtomicI32,
    /// Its priority; only kept.
    pub priority: AtomicI32,
    /// Locks that it holds, in the order of taking. Another thread may release a resource for it.
    held: Mutex<Vec<locks::Held>>,
    /// Nesting of expanded-stack callouts.
    pub expansions: Cell<u32>,
    /// Where it sleeps, with the dispatcher's lock.
    pub(crate) wake: Condvar,
    /// What it waits for. Under the dispatcher's lock.
    pub(crate) waiting: UnsafeCell<wait::Waiting>,
    pub(crate) gate: Cell<*mut Frame>,
    pub(crate) in_driver: Cell<bool>,
    pub(crate) host_rsp: Cell<usize>,
    pub(crate) kernel_rsp: Cell<usize>,
    pub(crate) base_rsp: Cell<usize>,
    /// The registers at an exception that is being dispatched.
    pub(crate) exception: Cell<Option<Context>>,
    pub(crate) exit_status: Cell<NTSTATUS>,
    /// The stack that the driver runs on now: the thread's own, or an expansion.
    pub(crate) limits: Cell<(usize, usize)>,
    stack: KernelStack,
}

// SAFETY: what other threads touch (header, wake, waiting) is under the dispatcher's lock; the rest is the thread's own.
unsafe impl Sync for Thread {}

/// How the names of drivers' system threads begin.
pub const DRIVERS_THREAD: &str = "system thread ";

impl Thread {
    /// An address on the stack that the driver runs on in this thread.
    pub fn is_on_kernel_stack(&self, address: usize) -> bool {
        let (low, high) = self.limits.get();
        (low..high).contains(&address) || self.stack_range().contains(&address)
    }

    /// The ETHREAD, as drivers see it.
    pub fn object(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }

    /// It runs code of the double only, outside of any call from the driver: a thread of the I/O manager's own, whose
    /// locks follow its own rules.
    pub fn is_the_doubles_own(&self) -> bool {
        self.gate.get().is_null()
    }

    /// Where its kernel stack starts.
    pub(crate) fn stack_top(&self) -> usize {
        self.stack.top()
    }

    /// The locks that it holds.
    pub fn held(&self) -> std::sync::MutexGuard<'_, Vec<locks::Held>> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How long it has run on a processor. Zero before it runs and after its end.
    pub fn ran(&self) -> std::time::Duration {
        let mut ran = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // The clock of one thread, as Linux's ABI has it.
        let clock = (!self.host.load(Ordering::Relaxed) << 3) | 0b110;
        // SAFETY: room for the time; a thread that is gone is an error.
        if unsafe { libc::clock_gettime(clock, &mut ran) } != 0 {
            return std::time::Duration::ZERO;
        }
        std::time::Duration::new(ran.tv_sec.unsigned_abs(), ran.tv_nsec.unsigned_abs() as u32)
    }

    /// Its kernel stack's addresses.
    pub fn stack_range(&self) -> std::ops::Range<usize> {
        self.stack.range()
    }
}

fn delete_thread(body: *mut c_void) {
    if live().contains(&(body as usize)) {
        crate::fail!(
            Reference,
            "the last reference of thread {body:p} is given back while it runs"
        );
    }
    // SAFETY: the last reference is gone, so nobody else sees the thread.
    unsafe { std::ptr::drop_in_place(body.cast::<Thread>()) };
}

/// The type of threads.
pub static THREAD_TYPE: ObjectType = ObjectType {
    name: "Thread",
    close: None,
    delete: delete_thread,
};
/// The type of processes.
pub static PROCESS_TYPE: ObjectType = ObjectType {
    name: "Process",
    close: None,
    delete: |_| (),
};

thread_local! {
    static CURRENT: Cell<*const Thread> = const { Cell::new(std::ptr::null()) };
    static ATTACHMENT: RefCell<Option<Attachment>> = const { RefCell::new(None) };
}

/// Keeps a host thread an NT thread; dropped when it ends.
struct Attachment(
    *const Thread,
    #[allow(dead_code, reason = "uninstalled by its Drop")] SignalStack,
);

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: the attachment holds a reference.
        let thread = unsafe { &*self.0 };
        end(thread);
        CURRENT.set(std::ptr::null());
        live().retain(|address| *address != self.0 as usize);
        ob::dereference(thread.object());
    }
}

static LIVE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static NEXT_ID: AtomicU32 = AtomicU32::new(8);

fn live() -> std::sync::MutexGuard<'static, Vec<usize>> {
    LIVE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Makes a thread object, with one reference.
fn create(name: String, is_system: bool) -> &'static Thread {
    let body = ob::create(&THREAD_TYPE, size_of::<Thread>()).cast::<Thread>();
    let stack = KernelStack::new(KERNEL_STACK);
    // SAFETY: a zeroed header is a valid one; it is initialised right below.
    let header = unsafe { std::mem::zeroed() };
    let thread = Thread {
        header: UnsafeCell::new(header),
        id: NEXT_ID.fetch_add(4, Ordering::Relaxed),
        name,
        is_system,
        irql: Cell::new(0),
        critical_regions: Cell::new(0),
        guarded_regions: Cell::new(0),
        previous_mode: Cell::new(0),
        top_level_irp: Cell::new(0),
        io: Cell::new(std::ptr::null_mut()),
        device_to_verify: AtomicUsize::new(0),
        hides_hard_errors: AtomicBool::new(false),
        suspend_after: Cell::new(0),
        host: AtomicI32::new(0),
        priority: AtomicI32::new(8),
        held: Mutex::new(Vec::new()),
        expansions: Cell::new(0),
        wake: Condvar::new(),
        waiting: UnsafeCell::new(wait::Waiting::default()),
        gate: Cell::new(std::ptr::null_mut()),
        in_driver: Cell::new(false),
        host_rsp: Cell::new(0),
        kernel_rsp: Cell::new(stack.top()),
        base_rsp: Cell::new(0),
        exception: Cell::new(None),
        exit_status: Cell::new(STATUS_SUCCESS),
        limits: Cell::new((stack.range().start, stack.range().end)),
        stack,
    };
    // SAFETY: the body is new and as long as a Thread, which needs no more than its 16-byte alignment.
    let thread = unsafe {
        body.write(thread);
        &*body
    };
    // SAFETY: the header is this thread's, and nobody waits for it yet.
    unsafe { wait::initialize_header(thread.header.get(), wait::THREAD, size_of::<Thread>(), 0) };
    thread
}

/// Makes the calling host thread that NT thread.
fn attach(thread: &'static Thread) {
    crate::ke::fault::install();
    // SAFETY: always works.
    thread.host.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    CURRENT.set(thread);
    live().push(thread as *const Thread as usize);
    ATTACHMENT.with(|slot| *slot.borrow_mut() = Some(Attachment(thread, SignalStack::install())));
}

/// The current thread; a host thread that is none becomes a thread of the user process.
pub fn current() -> &'static Thread {
    match current_if_attached() {
        Some(thread) => thread,
        None => {
            let name = std::thread::current().name().unwrap_or("host").to_owned();
            attach(create(name, false));
            current_if_attached().expect("attached just now")
        }
    }
}

/// The current thread, when it is an NT thread already.
pub fn current_if_attached() -> Option<&'static Thread> {
    // SAFETY: the attachment holds a reference for as long as CURRENT is set.
    CURRENT
        .try_with(Cell::get)
        .ok()
        .and_then(|thread| unsafe { thread.as_ref() })
}

/// The current thread's name, for reports.
pub fn current_name() -> String {
    current_if_attached().map_or_else(|| "(host)".to_owned(), |thread| thread.name.clone())
}

/// What must hold when a thread ends.
pub(crate) fn check_end(thread: &Thread) {
    let left = thread.held().first().copied();
    if let Some(lock) = left {
        let place = crate::loader::describe(lock.place);
        crate::fail!(
            ThreadExit,
            "a thread ends with {:?} {:#x} held since {place}",
            lock.kind,
            lock.address
        );
    }
    if crate::se::token::impersonates() {
        crate::fail!(ThreadExit, "a thread ends while it acts for a client");
    }
    if thread.critical_regions.get() > 0 || thread.guarded_regions.get() > 0 || thread.irql.get() > 0 {
        crate::fail!(
            ThreadExit,
            "a thread ends in a critical or guarded region, or above PASSIVE_LEVEL"
        );
    }
}

/// A thread ends: checks, and signals those who wait for it.
fn end(thread: &'static Thread) {
    check_end(thread);
    thread.stack.note(&thread.name);
    // SAFETY: the header is the thread's own.
    unsafe { wait::signal_thread(thread.header.get()) };
}

/// Calls `act` with each live thread.
pub(crate) fn for_each_thread(mut act: impl FnMut(&Thread)) {
    for address in live().iter() {
        // SAFETY: threads leave the list before they drop their reference, and the list is locked.
        act(unsafe { &*(*address as *const Thread) });
    }
}

/// Whether every system thread of a driver's waits for something that has not happened; as [`wait::all_wait`] has it.
pub fn drivers_threads_wait() -> Option<u64> {
    if STARTING.load(Ordering::SeqCst) != 0 {
        return None;
    }
    let mut threads = Vec::new();
    for_each_thread(|thread| {
        if thread.name.starts_with(DRIVERS_THREAD) {
            threads.push(std::ptr::from_ref(thread) as usize);
        }
    });
    wait::all_wait(&threads)
}

/// Calls `act` with the thread that has that object, if it lives.
pub(crate) fn with_thread(object: usize, act: impl FnOnce(&Thread)) {
    let threads = live();
    if threads.contains(&object) {
        // SAFETY: threads leave the list before they drop their reference, and the list is locked.
        act(unsafe { &*(object as *const Thread) });
    }
}

/// The living thread of that ID, with a reference for the caller.
pub(crate) fn lookup(id: usize) -> Option<*mut c_void> {
    let threads = live();
    // SAFETY: threads leave the list before they drop their reference, and the list is locked.
    let mut all = threads
        .iter()
        .map(|address| unsafe { &*(*address as *const Thread) });
    let thread = all.find(|thread| thread.id as usize == id)?;
    ob::reference(thread.object());
    Some(thread.object())
}

/// Notes how deep the stacks of living threads were used.
pub(crate) fn note_stacks() {
    for address in live().iter() {
        // SAFETY: threads leave the list before they drop their reference.
        let thread = unsafe { &*(*address as *const Thread) };
        thread.stack.note(&thread.name);
    }
}

/// System threads that are started, and not yet among the living.
static STARTING: AtomicU32 = AtomicU32::new(0);
/// Bytes of a system thread's host stack.
const HOST_STACK: usize = 1 << 20;

/// Starts a host thread that is a system thread and runs `body`. Returns its object with a reference for the caller.
fn start(
    name: &str,
    before_start: impl FnOnce(usize),
    body: impl FnOnce(&'static Thread) + Send + 'static,
) -> Result<*mut c_void, std::io::Error> {
    let thread = create(name.to_owned(), true);
    before_start(thread.object() as usize);
    // One reference is the caller's, one the thread's own.
    ob::reference(thread.object());
    STARTING.fetch_add(1, Ordering::SeqCst);
    let spawned = std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(HOST_STACK)
        .spawn(move || {
            attach(thread);
            STARTING.fetch_sub(1, Ordering::SeqCst);
            body(thread);
            ATTACHMENT.with(|slot| slot.borrow_mut().take());
        });
    match spawned {
        Ok(_) => Ok(thread.object()),
        Err(error) => {
            STARTING.fetch_sub(1, Ordering::SeqCst);
            crate::verifier::ledger::remove(crate::verifier::ledger::Kind::Thread, thread.object() as usize);
            ob::dereference(thread.object());
            ob::dereference(thread.object());
            Err(error)
        }
    }
}

/// Runs a closure as an NT system thread. The result is waitable; the reference is the caller's.
pub fn spawn_system(name: &str, body: impl FnOnce() + Send + 'static) -> *mut c_void {
    start(name, |_| (), move |_| body()).expect("the host has threads")
}

/// Starts a system thread in the driver.
pub(crate) fn spawn_driver(
    name: &str,
    routine: usize,
    context: usize,
    before_start: impl FnOnce(usize),
) -> Result<*mut c_void, NTSTATUS> {
    let run = move |thread: &'static Thread| {
        let top = thread.kernel_rsp.get();
        // SAFETY: the driver passed the routine; the outermost call of a thread is what leave_thread returns from, and
        // the host stack pointer is stored before the driver runs.
        unsafe { gate::call_base(thread, routine as *const (), context as u64, top) };
        crate::verifier::ledger::remove(crate::verifier::ledger::Kind::Thread, thread.object() as usize);
    };
    start(name, before_start, run).map_err(|_| STATUS_INSUFFICIENT_RESOURCES)
}

#[repr(C, align(16))]
struct Process {
    header: DISPATCHER_HEADER,
    id: usize,
}

struct Processes([usize; 2]);

static PROCESSES: LazyLock<Processes> = LazyLock::new(|| {
    Processes([4_usize, 0x1000].map(|id| {
        let body = ob::create(&PROCESS_TYPE, size_of::<Process>());
        // SAFETY: the body is new and as long as a Process.
        unsafe { (*body.cast::<Process>()).id = id };
        body as usize
    }))
});

/// The system process.
pub fn system_process() -> PEPROCESS {
    PROCESSES.0[0] as PEPROCESS
}

/// The process that user threads belong to.
pub fn user_process() -> PEPROCESS {
    PROCESSES.0[1] as PEPROCESS
}

/// The current thread's process.
pub fn current_process() -> PEPROCESS {
    if current().is_system {
        system_process()
    } else {
        user_process()
    }
}

/// A process's ID.
pub fn process_id(process: PEPROCESS) -> usize {
    // SAFETY: PEPROCESS values of the double are Process bodies that live for ever.
    unsafe { (*process.cast::<Process>()).id }
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[imports::IMPORTS];
