//! Threads of this program: each has a second stack, for the handler of a fault of the first one's, and all run on one processor.
//!
//! Of Linux's threads one runs at a time. On one processor the next one is where the last one was, and no other processor has to
//! be woken up for it.
//!
//! A Rust program's threads get such stacks from the standard library, if that has begun the program. libFuzzer begins this
//! one. So `pthread_create`, which makes them all, is one of ours that calls the system's.
//
// UNSAFETY: a function of the C library is replaced, memory is mapped, and the process' personality is set.

use libc::{c_int, c_void, pthread_attr_t, pthread_t};
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null_mut;

/// Bytes of a second stack. Finding the names of a stack's functions is another thread's.
const SIZE: usize = 256 << 10;

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

/// What a new thread is to do.
struct Body {
    start: Start,
    argument: *mut c_void,
}

/// Gives the calling thread its second stack.
pub fn second() -> *mut c_void {
    let (access, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: new memory.
    let place = unsafe { libc::mmap(null_mut(), SIZE, access, kind, -1, 0) };
    if place == libc::MAP_FAILED {
        return null_mut();
    }
    let stack = libc::stack_t {
        ss_sp: place,
        ss_flags: 0,
        ss_size: SIZE,
    };
    // SAFETY: the memory is this thread's from now on.
    unsafe { libc::sigaltstack(&stack, null_mut()) };
    place
}

extern "C" fn run(body: *mut c_void) -> *mut c_void {
    // SAFETY: the box that pthread_create made.
    let Body { start, argument } = *unsafe { Box::from_raw(body.cast::<Body>()) };
    let place = second();
    let result = start(argument);
    if !place.is_null() {
        let none = libc::stack_t {
            ss_sp: null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: SIZE,
        };
        // SAFETY: no handler runs on it now.
        unsafe { libc::sigaltstack(&none, null_mut()) };
        // SAFETY: what second() has mapped.
        unsafe { libc::munmap(place, SIZE) };
    }
    result
}

/// As the system's.
///
/// # Safety
/// That of pthread_create(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    // SAFETY: a name that the C library has.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) };
    if next.is_null() {
        return libc::ENOSYS;
    }
    // SAFETY: the system's function is one of this type.
    let create = unsafe { std::mem::transmute::<*mut c_void, Create>(next) };
    let body = Box::into_raw(Box::new(Body { start, argument }));
    // SAFETY: the caller's promise; the new thread takes the box.
    let error = unsafe { create(thread, attributes, run, body.cast()) };
    if error != 0 {
        // SAFETY: there is no thread that would take it.
        drop(unsafe { Box::from_raw(body) });
    }
    error
}

/// Begins the program again with every mapping at the same address in each run, unless it is: Linux hashes addresses, so that they
/// decide which way it goes.
///
/// # Panics
/// When the program cannot be begun again.
pub fn at_the_same_addresses() {
    // SAFETY: asks alone.
    let now = unsafe { libc::personality(0xffff_ffff) };
    if now & libc::ADDR_NO_RANDOMIZE != 0 {
        return;
    }
    let Ok(fixed) = libc::c_ulong::try_from(now | libc::ADDR_NO_RANDOMIZE) else {
        return;
    };
    // SAFETY: counts for the program that is begun below.
    if unsafe { libc::personality(fixed) } == -1 {
        return;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let error = Command::new("/proc/self/exe").arg0(name).args(arguments).exec();
    panic!("the program cannot be begun again: {error}");
}

/// Names a processor.
const PROCESSOR: &str = "LKLFS_FUZZ_PROCESSOR";

/// Has this thread, and those that it starts, run on one processor: the one that is named, or the one that it is on. `all` for none.
pub fn on_one_processor() {
    let named = std::env::var(PROCESSOR).ok();
    if named.as_deref() == Some("all") {
        return;
    }
    // SAFETY: always works.
    let here = unsafe { libc::sched_getcpu() };
    let number = named
        .and_then(|name| name.parse().ok())
        .or(usize::try_from(here).ok())
        .unwrap_or(0);
    // SAFETY: all zeros is an empty set.
    let mut set = unsafe { MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init() };
    // SAFETY: a number beyond the set is ignored.
    unsafe { libc::CPU_SET(number, &mut set) };
    // SAFETY: the calling thread. Where it may not run there it runs anywhere.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
}
