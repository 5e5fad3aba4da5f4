//! A loop inside Linux: the watchdog finds it, and everybody else goes on.

use crate::calls::{address, call};
use crate::image::{self, host_threads};
use crate::tried::Hooks;
use lkl::{BootConfig, Errno, FsKind, Halt, Kernel, OpenMode};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

// LKL_SELFTEST_* of host_ops.h.
const DEAF: u64 = 1;
const RESTLESS: u64 = 2;
const THREAD: u64 = 3;
const BUSY: u64 = 4;

fn lasting(what: u64, milliseconds: u64) -> u64 {
    what | milliseconds << 8
}

const FOR_EVER: u64 = u64::MAX >> 8;
/// The watchdog's limit here, of running time.
const LIMIT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Death {
    why: Mutex<String>,
    times: AtomicU32,
}

fn boot() -> (Kernel, Arc<Death>) {
    let death = Arc::new(Death::default());
    let mut hooks = Hooks::to_stderr();
    let told = death.clone();
    hooks.panicked = Some(Box::new(move |why| {
        *told.why.lock().unwrap() = String::from_utf8_lossy(why).into_owned();
        told.times.fetch_add(1, SeqCst);
    }));
    let config = BootConfig {
        pool_size: 64 << 20,
        command_line: "lkl_watch=1",
    };
    (crate::tried::boot_with(hooks, &config).unwrap(), death)
}

/// Waits, long enough for a busy machine.
fn eventually(so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > Duration::from_secs(40) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// One thread loops. One is blocked in Linux, one waits for the CPU, one waits for a task to be made: all of them end, and
/// what was open says that Linux is dead.
fn all_others_end(what: u64, ends: Halt) {
    let threads = host_threads();
    let (kernel, death) = boot();
    let image = image::ext4();
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let root = mount.root().unwrap();
    let start = Instant::now();
    let blocked = std::thread::spawn({
        let kernel = kernel.clone();
        move || {
            let mut time = [3600i64, 0];
            call(&kernel, 35, &[address(&mut time), 0])
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    let looping = std::thread::spawn({
        let kernel = kernel.clone();
        move || kernel.self_test_of(what)
    });
    std::thread::sleep(Duration::from_millis(50));
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let kernel = kernel.clone();
            // A thread of Linux's begins to loop when it gets its turn.
            std::thread::spawn(move || {
                loop {
                    call(&kernel, 186, &[])?;
                }
            })
        })
        .collect();
    for caller in waiting.into_iter().chain([blocked]) {
        assert_eq!(caller.join().unwrap(), Err(Errno::ENODEV));
    }
    assert!(start.elapsed() >= LIMIT, "dead after {:?}", start.elapsed());
    assert_eq!(death.times.load(SeqCst), 1);
    let why = death.why.lock().unwrap().clone();
    assert!(why.starts_with("a loop: task "), "died of {why:?}");
    assert!(kernel.is_dead());
    assert_eq!(root.open_at(b"f1", OpenMode::Path).map(drop), Err(Errno::ENODEV));
    assert!(kernel.mount(&device, FsKind::Probe, &Default::default()).is_err());
    drop((root, mount, device));
    assert_eq!(kernel.clone().halt(), ends);
    if ends == Halt::Whole {
        assert_eq!(
            looping.join().unwrap().map(drop),
            if what & 0xff == THREAD {
                Ok(())
            } else {
                Err(Errno::ENODEV)
            }
        );
        drop(kernel);
        assert!(eventually(|| host_threads() == threads), "threads are left");
        return;
    }
    // Nothing of what the thread uses has gone.
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(maps().contains("lkl-pool"), "the pool is gone under a thread");
    if what >> 8 == FOR_EVER {
        assert_eq!(kernel.clone().halt(), Halt::Stuck);
        drop(kernel);
        assert!(maps().contains("lkl-pool"), "the pool is gone under a thread");
        return;
    }
    // It leaves its loop late; then Linux can go.
    assert!(
        eventually(|| kernel.clone().halt() == Halt::Whole),
        "the loop has ended, and Linux is there still"
    );
    let _ = looping.join().unwrap();
    assert!(!maps().contains("lkl-pool"), "the pool is left");
    drop(kernel);
    assert!(eventually(|| host_threads() == threads), "threads are left");
}

pub fn deaf() {
    all_others_end(lasting(DEAF, FOR_EVER), Halt::Stuck);
}

pub fn deaf_for_a_moment() {
    all_others_end(lasting(DEAF, 100), Halt::Whole);
}

pub fn late() {
    all_others_end(lasting(DEAF, 5000), Halt::Stuck);
}

pub fn restless() {
    all_others_end(RESTLESS, Halt::Whole);
}

pub fn own_thread() {
    all_others_end(lasting(THREAD, FOR_EVER), Halt::Stuck);
}

pub fn own_thread_late() {
    all_others_end(lasting(THREAD, 5000), Halt::Stuck);
}

/// A halt that comes while a thread loops ends, too.
pub fn halt_meanwhile() {
    let (kernel, death) = boot();
    let looping = kernel.clone();
    std::thread::spawn(move || looping.self_test_of(lasting(DEAF, FOR_EVER)));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(death.times.load(SeqCst), 0);
    assert_eq!(kernel.halt(), Halt::Stuck);
    assert_eq!(death.times.load(SeqCst), 1);
}

/// Much work is no loop, when it leaves the CPU now and then; nor is a process that is stopped in the middle.
pub fn busy() {
    let (kernel, death) = boot();
    assert_eq!(kernel.self_test_of(lasting(BUSY, 4000)).map(drop), Ok(()));
    assert_eq!(death.times.load(SeqCst), 0, "{}", death.why.lock().unwrap());
    // Half the limit, in which this process is stopped for twice the limit, as by a debugger.
    let stopper = std::thread::spawn(|| {
        let me = std::process::id().to_string();
        let script = format!("sleep 0.2; kill -STOP {me}; sleep 2; kill -CONT {me}");
        std::process::Command::new("sh")
            .args(["-c", &script])
            .status()
            .unwrap()
    });
    let mut time = [0i64, 1_000_000];
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        call(&kernel, 35, &[address(&mut time), 0]).unwrap();
    }
    assert!(stopper.join().unwrap().success());
    assert_eq!(death.times.load(SeqCst), 0, "{}", death.why.lock().unwrap());
    assert_eq!(kernel.halt(), Halt::Whole);
}
