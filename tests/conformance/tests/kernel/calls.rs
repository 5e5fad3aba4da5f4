//! System calls from many threads, blocked ones among them.

use crate::image::boot;
use lkl::{Errno, Kernel};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A system call with numbers and pointers that the caller vouches for.
pub fn call(kernel: &Kernel, number: i64, args: &[i64]) -> Result<u64, Errno> {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    // SAFETY: each use here passes pointers to memory that outlives the call, of the size that Linux expects.
    unsafe { kernel.syscall(number, all) }
}

pub fn address<T>(place: &mut T) -> i64 {
    std::ptr::from_mut(place).expose_provenance() as i64
}

const READ: i64 = 0;
const WRITE: i64 = 1;
const OPEN: i64 = 2;
const NANOSLEEP: i64 = 35;
const GETPID: i64 = 39;
const UNAME: i64 = 63;
const GETTID: i64 = 186;
const FUTEX: i64 = 202;
const CLOCK_GETTIME: i64 = 228;
const EVENTFD2: i64 = 290;
const PIPE2: i64 = 293;
const GETRANDOM: i64 = 318;

pub fn many_threads() {
    let kernel = boot();
    const CALLS: u32 = 2000;
    let expected = call(&kernel, GETPID, &[]);
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    assert!(call(&kernel, GETTID, &[]).is_ok());
                    done.fetch_add(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 16 * CALLS);
    assert!(expected.is_ok());
    assert_eq!(call(&kernel, 9999, &[]), Err(Errno::ENOSYS));
    assert!(
        (1..=16).contains(&kernel.entry_tasks()),
        "{} entry tasks",
        kernel.entry_tasks()
    );
    kernel.halt();
}

/// What a caller gets who passes a null pointer, or one a little beyond: an error, and Linux goes on.
pub fn null_pointers() {
    let kernel = boot();
    let mut ends = [0i32; 2];
    call(&kernel, PIPE2, &[address(&mut ends), 0]).unwrap();
    let (reader, writer) = (i64::from(ends[0]), i64::from(ends[1]));
    let mut byte = 7u8;
    for null in [0, 8, 4095] {
        let refused = [
            call(&kernel, PIPE2, &[null, 0]),
            call(&kernel, WRITE, &[writer, null, 1]),
            call(&kernel, CLOCK_GETTIME, &[1, null]),
            call(&kernel, NANOSLEEP, &[null, 0]),
            call(&kernel, FUTEX, &[null & !3, 0, 0]),
            call(&kernel, OPEN, &[null, 0, 0]),
            call(&kernel, UNAME, &[null]),
        ];
        assert_eq!(refused, [Err(Errno::EFAULT); 7], "{null}");
        assert_eq!(call(&kernel, WRITE, &[writer, address(&mut byte), 1]), Ok(1));
        assert_eq!(call(&kernel, READ, &[reader, null, 1]), Err(Errno::EFAULT));
        // Nothing is copied there, so that it is no mistake.
        assert_eq!(call(&kernel, WRITE, &[writer, null, 0]), Ok(0));
    }
    assert!(!kernel.is_dead());
    kernel.halt();
}

/// Random numbers begin with the seed that the host gives, of which nothing is to be read anywhere.
pub fn seed() {
    let digits = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let kernel = crate::image::boot_with(&format!("loglevel=7 lkl_seed={digits} lkl_watch=30"));
    let mut numbers = [0u8; 32];
    const GRND_NONBLOCK: i64 = 1;
    let got = call(&kernel, GETRANDOM, &[address(&mut numbers), 32, GRND_NONBLOCK]);
    assert_eq!(got, Ok(32), "the seed is enough");
    assert_ne!(numbers, [0; 32]);
    let log = String::from_utf8_lossy(&kernel.log()).into_owned();
    assert!(log.contains("lkl_seed=xxxx"), "{log}");
    assert!(!log.contains("001122"), "{log}");
    kernel.halt();
}

pub fn blocked_call() {
    let kernel = boot();
    let mut ends = [0i32; 2];
    call(&kernel, PIPE2, &[address(&mut ends), 0]).unwrap();
    let event = call(&kernel, EVENTFD2, &[0, 0]).unwrap();
    let woken = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pipe_reader = scope.spawn(|| {
            let mut text = [0u8; 5];
            let len = call(&kernel, READ, &[ends[0].into(), address(&mut text), 5]);
            woken.store(true, SeqCst);
            assert_eq!((len, &text), (Ok(5), b"hello"));
        });
        let event_reader = scope.spawn(|| {
            let mut count = 0u64;
            assert_eq!(
                call(&kernel, READ, &[event as i64, address(&mut count), 8]),
                Ok(8)
            );
            assert_eq!(count, 7);
        });
        // With both of them blocked inside, calls are made and return.
        let start = Instant::now();
        let mut calls = 0;
        while start.elapsed() < Duration::from_millis(50) {
            call(&kernel, GETTID, &[]).unwrap();
            calls += 1;
        }
        assert!(calls > 100, "only {calls} calls in 50 ms");
        assert!(!woken.load(SeqCst), "a read of an empty pipe returned");
        let mut text = *b"hello";
        assert_eq!(
            call(&kernel, WRITE, &[ends[1].into(), address(&mut text), 5]),
            Ok(5)
        );
        let mut seven = 7u64;
        assert_eq!(
            call(&kernel, WRITE, &[event as i64, address(&mut seven), 8]),
            Ok(8)
        );
        pipe_reader.join().unwrap();
        event_reader.join().unwrap();
    });
    kernel.halt();
}

pub fn sleeps_overlap() {
    let kernel = boot();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut time = [0i64, 50_000_000];
                let began = Instant::now();
                call(&kernel, NANOSLEEP, &[address(&mut time), 0]).unwrap();
                assert!(
                    began.elapsed() >= Duration::from_millis(50),
                    "woken after {:?}",
                    began.elapsed()
                );
            });
        }
    });
    assert!(
        start.elapsed() < Duration::from_millis(300),
        "8 sleeps of 50 ms took {:?}",
        start.elapsed()
    );
    kernel.halt();
}

pub fn futex() {
    const WAIT: i64 = 0x80;
    const WAKE: i64 = 0x81;
    let kernel = boot();
    let word = AtomicU32::new(0);
    let place = word.as_ptr().expose_provenance() as i64;
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while word.load(SeqCst) == 0 {
                match call(&kernel, FUTEX, &[place, WAIT, 0, 0]) {
                    Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
                    Err(errno) => panic!("{errno}"),
                }
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        word.store(1, SeqCst);
        call(&kernel, FUTEX, &[place, WAKE, 1]).unwrap();
        waiter.join().unwrap();
    });
    kernel.halt();
}

pub fn clocks() {
    let kernel = boot();
    let now = |clock: i64| {
        let mut time = [0i64; 2];
        call(&kernel, CLOCK_GETTIME, &[clock, address(&mut time)]).unwrap();
        Duration::new(time[0] as u64, time[1] as u32)
    };
    let (monotonic, outside) = (now(1), Instant::now());
    std::thread::sleep(Duration::from_millis(100));
    let (inside, outside) = (now(1) - monotonic, outside.elapsed());
    assert!(
        inside.abs_diff(outside) < Duration::from_millis(20),
        "{inside:?} inside, {outside:?} outside"
    );
    let outside = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let inside = now(0);
    assert!(
        inside.abs_diff(outside) < Duration::from_secs(2),
        "{inside:?} inside, {outside:?} outside"
    );
    kernel.halt();
}
