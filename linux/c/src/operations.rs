//! `lkl_host_ops`: what the host offers to programs, and what they may replace in it.
//!
//! Linux itself goes to its host by the table of `host_ops.h`. Of these operations it uses two, print and panic; the others are
//! the standard library's, under the names that programs expect.

use lkl::{BootConfig, BootError, Kernel};
#[cfg(windows)]
use lkl_host_nt as host;
#[cfg(unix)]
use lkl_host_posix as host;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

type Print = unsafe extern "C" fn(*const c_char, i32);
type Panic = unsafe extern "C" fn();
type Body = unsafe extern "C" fn(*mut c_void);

/// `struct lkl_host_operations`
#[repr(C)]
pub struct Operations {
    print: Option<Print>,
    panic: Option<Panic>,
    sem_alloc: extern "C" fn(i32) -> *mut Semaphore,
    sem_free: unsafe extern "C" fn(*mut Semaphore),
    sem_up: unsafe extern "C" fn(*mut Semaphore),
    sem_down: unsafe extern "C" fn(*mut Semaphore),
    mutex_alloc: extern "C" fn(i32) -> *mut Lock,
    mutex_free: unsafe extern "C" fn(*mut Lock),
    mutex_lock: unsafe extern "C" fn(*mut Lock),
    mutex_unlock: unsafe extern "C" fn(*mut Lock),
    thread_create: unsafe extern "C" fn(Body, *mut c_void) -> usize,
    thread_join: extern "C" fn(usize) -> i32,
    thread_self: extern "C" fn() -> usize,
    gettid: extern "C" fn() -> std::ffi::c_long,
    time: extern "C" fn() -> u64,
}

/// This host's. A program may write to it before it boots.
#[unsafe(no_mangle)]
pub static mut lkl_host_ops: Operations = Operations {
    print: Some(print_to_stderr),
    panic: Some(abort),
    sem_alloc,
    sem_free,
    sem_up,
    sem_down,
    mutex_alloc,
    mutex_free,
    mutex_lock,
    mutex_unlock,
    thread_create,
    thread_join,
    thread_self,
    gettid,
    time,
};

/// Those that the program has given to lkl_init().
static IN_USE: AtomicPtr<Operations> = AtomicPtr::new(null_mut());

pub(crate) fn use_those(ops: *mut Operations) {
    IN_USE.store(ops, Ordering::Release);
}

/// Writes text, if the program wants any.
pub(crate) fn print(text: &[u8]) {
    let ops = IN_USE.load(Ordering::Acquire);
    let len = i32::try_from(text.len()).unwrap_or(i32::MAX);
    // SAFETY: null, or the program's, which stays from lkl_init() to lkl_cleanup().
    if let Some(print) = unsafe { ops.as_ref() }.and_then(|ops| ops.print) {
        // SAFETY: a function of the program's, for so many bytes.
        unsafe { print(text.as_ptr().cast(), len) };
    }
}

/// Tells the program of the end.
pub(crate) fn panic() {
    let ops = IN_USE.load(Ordering::Acquire);
    // SAFETY: as in print().
    if let Some(panic) = unsafe { ops.as_ref() }.and_then(|ops| ops.panic) {
        // SAFETY: a function of the program's.
        unsafe { panic() };
    }
}

pub(crate) fn boot(config: &BootConfig<'_>) -> Result<Kernel, BootError> {
    let hooks = host::Hooks {
        print: Some(Box::new(print)),
        panicked: Some(Box::new(|_| panic())),
    };
    host::boot_with(hooks, config)
}

unsafe extern "C" fn print_to_stderr(text: *const c_char, len: i32) {
    use std::io::Write;
    let len = usize::try_from(len).unwrap_or(0);
    // SAFETY: so many bytes.
    let text = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    // Text that cannot be written is no reason to fail.
    let _ = std::io::stderr().write_all(text);
}

unsafe extern "C" fn abort() {
    std::process::abort();
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `struct lkl_sem`
pub struct Semaphore {
    count: Mutex<u64>,
    more: Condvar,
}

extern "C" fn sem_alloc(count: i32) -> *mut Semaphore {
    Box::into_raw(Box::new(Semaphore {
        count: Mutex::new(u64::try_from(count).unwrap_or(0)),
        more: Condvar::new(),
    }))
}

unsafe extern "C" fn sem_free(sem: *mut Semaphore) {
    // SAFETY: made by sem_alloc(), and not used any more.
    drop(unsafe { Box::from_raw(sem) });
}

unsafe extern "C" fn sem_up(sem: *mut Semaphore) {
    // SAFETY: made by sem_alloc().
    let sem = unsafe { &*sem };
    let mut count = locked(&sem.count);
    *count += 1;
    // With the lock held: the one that it wakes may free the semaphore.
    sem.more.notify_one();
}

unsafe extern "C" fn sem_down(sem: *mut Semaphore) {
    // SAFETY: made by sem_alloc().
    let sem = unsafe { &*sem };
    let mut count = locked(&sem.count);
    while *count == 0 {
        count = sem.more.wait(count).unwrap_or_else(PoisonError::into_inner);
    }
    *count -= 1;
}

/// `struct lkl_mutex`
pub struct Lock {
    recursive: bool,
    /// The thread that has it, and how often.
    held: Mutex<Option<(usize, usize)>>,
    free: Condvar,
}

extern "C" fn mutex_alloc(recursive: i32) -> *mut Lock {
    Box::into_raw(Box::new(Lock {
        recursive: recursive != 0,
        held: Mutex::new(None),
        free: Condvar::new(),
    }))
}

unsafe extern "C" fn mutex_free(mutex: *mut Lock) {
    // SAFETY: made by mutex_alloc(), and not used any more.
    drop(unsafe { Box::from_raw(mutex) });
}

unsafe extern "C" fn mutex_lock(mutex: *mut Lock) {
    // SAFETY: made by mutex_alloc().
    let mutex = unsafe { &*mutex };
    let me = thread_self();
    let mut held = locked(&mutex.held);
    loop {
        match &mut *held {
            None => {
                *held = Some((me, 1));
                return;
            }
            Some((owner, times)) if mutex.recursive && *owner == me => {
                *times += 1;
                return;
            }
            Some(_) => held = mutex.free.wait(held).unwrap_or_else(PoisonError::into_inner),
        }
    }
}

unsafe extern "C" fn mutex_unlock(mutex: *mut Lock) {
    // SAFETY: made by mutex_alloc().
    let mutex = unsafe { &*mutex };
    let mut held = locked(&mutex.held);
    match &mut *held {
        Some((_, times)) if *times > 1 => *times -= 1,
        _ => {
            *held = None;
            mutex.free.notify_one();
        }
    }
}

/// Threads that were not joined yet.
static THREADS: LazyLock<Mutex<HashMap<usize, JoinHandle<()>>>> = LazyLock::new(Mutex::default);
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    static ME: Cell<usize> = const { Cell::new(0) };
}

/// What a thread runs.
struct Work(Body, *mut c_void);

// SAFETY: the program wants this function called with this argument on another thread.
unsafe impl Send for Work {}

unsafe extern "C" fn thread_create(body: Body, arg: *mut c_void) -> usize {
    let number = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
    let work = Work(body, arg);
    // Joining finds it in the table, however soon it ends.
    let mut threads = locked(&THREADS);
    let spawned = std::thread::Builder::new().spawn(move || {
        let Work(body, arg) = { work };
        ME.set(number);
        // SAFETY: the program's promise.
        unsafe { body(arg) };
    });
    match spawned {
        Ok(thread) => {
            threads.insert(number, thread);
            number
        }
        Err(_) => 0,
    }
}

extern "C" fn thread_join(thread: usize) -> i32 {
    let found = locked(&THREADS).remove(&thread);
    match found.map(JoinHandle::join) {
        Some(Ok(())) => 0,
        _ => -1,
    }
}

extern "C" fn thread_self() -> usize {
    ME.with(|me| {
        if me.get() == 0 {
            me.set(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
        }
        me.get()
    })
}

extern "C" fn gettid() -> std::ffi::c_long {
    std::ffi::c_long::try_from(thread_self()).unwrap_or(std::ffi::c_long::MAX)
}

extern "C" fn time() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
