//! The C table in front of a [`Host`]: thin callbacks that turn pointers into Rust's types and call a safe method.
//!
//! Boxes cross the seam as raw pointers: `sem_alloc` lets go of a box, `sem_free` takes it back. The table's `host`
//! word points to a [`Context`], which the [`crate::Kernel`] keeps until Linux has been halted.

// UNSAFETY: turns the C table's pointers into references.

#![allow(unsafe_code)]

use crate::disk::DiskLink;
use crate::disk_request::ReadRequest;
use crate::errno::Errno;
use crate::host::{Alarm, Host, Semaphore, Thread, ThreadBody, Timer};
use crate::kernel::Shared;
use crate::sys::{self, Entry, lkl_death, lkl_disk_read, lkl_host_ops};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use fallible::try_box;

/// What the table's `host` word points to.
pub(crate) struct Context<H> {
    pub(crate) host: Arc<H>,
    pub(crate) shared: Arc<Shared>,
}

impl<H> Context<H> {
    /// What the host gave, with a note if it had nothing.
    fn noted<T>(&self, given: Option<T>) -> Option<T> {
        if given.is_none() {
            self.shared.note_shortage();
        }
        given
    }
}

/// The table for a context, which must stay where it is for as long as Linux may use the table.
pub(crate) fn table<H: Host>(context: &Context<H>) -> lkl_host_ops {
    lkl_host_ops {
        size: u32::try_from(size_of::<lkl_host_ops>()).unwrap_or(0),
        version: sys::LKL_HOST_OPS_VERSION,
        host: core::ptr::from_ref(context).cast_mut().cast(),
        print: print::<H>,
        panicked: panicked::<H>,
        stuck: stuck::<H>,
        sem_alloc: sem_alloc::<H>,
        sem_free: sem_free::<H>,
        sem_up: sem_up::<H>,
        sem_down: sem_down::<H>,
        thread_create: thread_create::<H>,
        thread_exit: thread_exit::<H>,
        thread_join: thread_join::<H>,
        thread_self: thread_self::<H>,
        thread_ran_ns: thread_ran_ns::<H>,
        thread_urgent: thread_urgent::<H>,
        pool_alloc: pool_alloc::<H>,
        pool_free,
        pages_map: pages_map::<H>,
        pages_unmap: pages_unmap::<H>,
        monotonic_ns: monotonic_ns::<H>,
        realtime_ns: realtime_ns::<H>,
        timer_alloc: timer_alloc::<H>,
        timer_arm: timer_arm::<H>,
        timer_free: timer_free::<H>,
        disk_read,
        overlay_alloc,
        yield_: yield_now::<H>,
    }
}

/// The context behind the `host` word.
///
/// # Safety
/// `host` is the word of a [`table`] whose context is still there, and that was made for the same `H`.
unsafe fn context<'a, H: Host>(host: *mut c_void) -> &'a Context<H> {
    // SAFETY: the caller's promise.
    unsafe { &*host.cast::<Context<H>>().cast_const() }
}

/// A box as C sees it; `None` is NULL.
fn give<T>(handle: Option<Box<T>>) -> *mut c_void {
    handle.map_or(null_mut(), |handle| Box::into_raw(handle).cast())
}

/// Takes back what [`give`] gave.
///
/// # Safety
/// `handle` came from `give::<T>`, is not null and not used again.
unsafe fn take<T>(handle: *mut c_void) -> Box<T> {
    // SAFETY: the caller's promise.
    unsafe { Box::from_raw(handle.cast::<T>()) }
}

/// Looks at what [`give`] gave.
///
/// # Safety
/// `handle` came from `give::<T>`, is not null and not taken back while the reference lives.
unsafe fn look<'a, T>(handle: *mut c_void) -> &'a T {
    // SAFETY: the caller's promise.
    unsafe { &*handle.cast::<T>().cast_const() }
}

/// Text as C hands it over.
///
/// # Safety
/// `text` is null, or `len` readable bytes.
unsafe fn bytes<'a>(text: *const u8, len: usize) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(text, len) }
}

// SAFETY, for all callbacks below: Linux keeps the contract of host_ops.h, which names for each argument what it is.

unsafe extern "sysv64" fn print<H: Host>(host: *mut c_void, text: *const u8, len: usize) {
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    // SAFETY: host_ops.h.
    let text = unsafe { bytes(text, len) };
    context.shared.log.append(text);
    context.host.print(text);
}

unsafe extern "sysv64" fn panicked<H: Host>(host: *mut c_void, death: *const lkl_death) {
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    // SAFETY: host_ops.h: it is there for the call.
    let death = unsafe { &*death };
    // SAFETY: host_ops.h.
    let why = unsafe { bytes(death.why, death.why_len) };
    context.shared.note_death(death.task, death.disk);
    context.shared.waits.call_off();
    context.host.panicked(why);
}

unsafe extern "sysv64" fn stuck<H: Host>(host: *mut c_void) {
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    context.shared.calls.call_off();
    context.host.stuck();
}

unsafe extern "sysv64" fn sem_alloc<H: Host>(host: *mut c_void, count: u32) -> *mut c_void {
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    give(context.noted(context.host.semaphore(count)))
}

unsafe extern "sysv64" fn sem_free<H: Host>(_host: *mut c_void, sem: *mut c_void) {
    if !sem.is_null() {
        // SAFETY: host_ops.h: it came from sem_alloc.
        drop(unsafe { take::<H::Semaphore>(sem) });
    }
}

unsafe extern "sysv64" fn sem_up<H: Host>(_host: *mut c_void, sem: *mut c_void) {
    // SAFETY: host_ops.h: it came from sem_alloc.
    unsafe { look::<H::Semaphore>(sem) }.up();
}

unsafe extern "sysv64" fn sem_down<H: Host>(_host: *mut c_void, sem: *mut c_void) {
    // SAFETY: host_ops.h: it came from sem_alloc.
    unsafe { look::<H::Semaphore>(sem) }.down();
}

unsafe extern "sysv64" fn thread_create<H: Host>(
    host: *mut c_void,
    entry: Entry,
    arg: *mut c_void,
) -> *mut c_void {
    // SAFETY: host_ops.h: entry(arg) is what the new thread has to do.
    let body = unsafe { ThreadBody::of_linux(entry, arg) };
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    give(context.noted(context.host.thread(body)))
}

unsafe extern "sysv64" fn thread_exit<H: Host>(host: *mut c_void) -> ! {
    // SAFETY: host_ops.h.
    unsafe { context::<H>(host) }.host.exit_thread()
}

unsafe extern "sysv64" fn thread_join<H: Host>(_host: *mut c_void, thread: *mut c_void) {
    // SAFETY: host_ops.h: it came from thread_create and is joined once.
    unsafe { take::<H::Thread>(thread) }.join();
}

unsafe extern "sysv64" fn thread_self<H: Host>(host: *mut c_void) -> u64 {
    // SAFETY: host_ops.h.
    unsafe { context::<H>(host) }.host.thread_self()
}

unsafe extern "sysv64" fn thread_ran_ns<H: Host>(host: *mut c_void, thread: u64) -> u64 {
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    context.host.thread_ran_ns(thread).unwrap_or(u64::MAX)
}

unsafe extern "sysv64" fn thread_urgent<H: Host>(host: *mut c_void) {
    // SAFETY: host_ops.h.
    unsafe { context::<H>(host) }.host.thread_urgent();
}

/// Linux's memory, which goes back to the host with this.
struct Pool<H: Host> {
    host: Arc<H>,
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: only the start of it is here, for its end.
unsafe impl<H: Host> Send for Pool<H> {}
// SAFETY: as above.
unsafe impl<H: Host> Sync for Pool<H> {}

impl<H: Host> Drop for Pool<H> {
    fn drop(&mut self) {
        // SAFETY: it came from pool_alloc. Linux is done with it (its kernel was not booted, or was halted), and no request
        // that reads into it is under way.
        unsafe { self.host.pool_free(self.start, self.size) }
    }
}

unsafe extern "sysv64" fn pool_alloc<H: Host>(host: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    let Some(start) = context.host.pool_alloc(size) else {
        return null_mut();
    };
    let host = Arc::clone(&context.host);
    let Some(pool) = try_box(Pool { host, start, size }) else {
        return null_mut();
    };
    let before = context.shared.pool.lock().replace(pool);
    drop(before);
    start.as_ptr().cast()
}

/// Linux is done with it; requests under way may not be. It goes when they have ended, too.
unsafe extern "sysv64" fn pool_free(_host: *mut c_void, _pool: *mut c_void, _size: usize) {}

unsafe extern "sysv64" fn pages_map<H: Host>(
    host: *mut c_void,
    pages: *const usize,
    count: usize,
) -> *mut c_void {
    if pages.is_null() || count == 0 {
        return null_mut();
    }
    // SAFETY: host_ops.h: `count` page numbers.
    let pages = unsafe { core::slice::from_raw_parts(pages, count) };
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    let addr = context.noted(context.host.pages_map(pages));
    addr.map_or(null_mut(), |addr| addr.as_ptr().cast())
}

unsafe extern "sysv64" fn pages_unmap<H: Host>(host: *mut c_void, addr: *mut c_void, count: usize) {
    let Some(addr) = NonNull::new(addr.cast::<u8>()) else {
        return;
    };
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    // SAFETY: host_ops.h: it came from pages_map with the same count.
    unsafe { context.host.pages_unmap(addr, count) }
}

unsafe extern "sysv64" fn monotonic_ns<H: Host>(host: *mut c_void) -> u64 {
    // SAFETY: host_ops.h.
    unsafe { context::<H>(host) }.host.monotonic_ns()
}

unsafe extern "sysv64" fn realtime_ns<H: Host>(host: *mut c_void) -> u64 {
    // SAFETY: host_ops.h.
    unsafe { context::<H>(host) }.host.realtime_ns()
}

unsafe extern "sysv64" fn timer_alloc<H: Host>(
    host: *mut c_void,
    fire: Entry,
    arg: *mut c_void,
) -> *mut c_void {
    // SAFETY: host_ops.h: fire(arg) may be called until timer_free.
    let alarm = unsafe { Alarm::new(fire, arg) };
    // SAFETY: host_ops.h.
    let context = unsafe { context::<H>(host) };
    give(context.noted(context.host.timer(alarm)))
}

unsafe extern "sysv64" fn timer_arm<H: Host>(_host: *mut c_void, timer: *mut c_void, delta_ns: u64) {
    // SAFETY: host_ops.h: it came from timer_alloc.
    unsafe { look::<H::Timer>(timer) }.arm(delta_ns);
}

unsafe extern "sysv64" fn timer_free<H: Host>(_host: *mut c_void, timer: *mut c_void) {
    if !timer.is_null() {
        // SAFETY: host_ops.h: it came from timer_alloc.
        drop(unsafe { take::<H::Timer>(timer) });
    }
}

unsafe extern "sysv64" fn disk_read(_host: *mut c_void, disk: *mut c_void, request: *mut lkl_disk_read) {
    let Some(request) = NonNull::new(request) else {
        return;
    };
    // SAFETY: the word is the address of an Arc's content, which the kernel's table of disks keeps until linux_disk_remove or
    // linux_halt has returned; both wait for the caller, who is on Linux's CPU.
    let link = unsafe { &*disk.cast::<DiskLink>().cast_const() };
    if !link.shared().reads.enter() {
        // SAFETY: host_ops.h: answering from inside disk_read is allowed.
        unsafe { sys::linux_disk_read_done(request.as_ptr(), Errno::EIO.negated()) };
        return;
    }
    // SAFETY: host_ops.h: the request is ours now; the gate was entered.
    let request = unsafe { ReadRequest::adopt(request, Arc::clone(link.shared())) };
    // It may be answered, and a Linux that has died be given up, before this returns.
    let disk = Arc::clone(&link.disk);
    disk.read(request);
}

unsafe extern "sysv64" fn overlay_alloc(_host: *mut c_void, disk: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the word is the address of an Arc's content, which the kernel's table of disks keeps until
    // linux_disk_remove or linux_halt has returned.
    let link = unsafe { &*disk.cast::<DiskLink>().cast_const() };
    link.overlay_block(size)
        .map_or(null_mut(), |block| block.as_ptr().cast())
}

unsafe extern "sysv64" fn yield_now<H: Host>(host: *mut c_void) {
    // SAFETY: host_ops.h.
    unsafe { context::<H>(host) }.host.yield_now();
}
