//! The end of Linux at a bad moment, and at many moments.
//!
//! [`late_interrupt`] makes one order of events by force: an interrupt that is raised after Linux was halted, while the
//! thread that has just left the CPU is about to look for interrupts. [`many`] boots and halts over and over, each time in
//! a process of its own, with threads that give way at random.
//!
//! `LKLFS_BOOTS=20000` says how often [`many`] does; `LKLFS_BOOTS_SEED` where its seeds begin.

// UNSAFETY: declares two of Linux's functions, to call them past the gates of `lkl`.

use crate::calls::{address, call};
use crate::image::{self, Image};
use crate::tried::FileDisk;
use crate::unruly::{Hook, Moment, Unruly, is_linux_thread};
use libtest_mimic::Failed;
use lkl::{BootConfig, Errno, FsKind, Kernel, OpenMode};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

unsafe extern "sysv64" {
    /// Raises an interrupt of Linux's from outside; callable at any time between boot and the end of halt.
    safe fn linux_disk_gone(major: u32, minor: u32);
    safe fn linux_is_dead() -> i32;
}

/// A thread of Linux that holds the CPU stops until the halting thread wants it; then it leaves the CPU and stops again,
/// on its way to look for interrupts, until Linux is dead and there is one.
#[derive(Default)]
struct LateInterrupt {
    step: AtomicU32,
    major: AtomicU32,
    /// Since when the halting thread waits, in milliseconds of `clock`; 0: it does not.
    waits_since: AtomicU64,
}

const HOLD: u32 = 1;
const HOLDS: u32 = 2;
const LEAVE: u32 = 3;
const DONE: u32 = 4;

fn milliseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis()).unwrap() + 1
}

/// Whether it became so within the time.
fn becomes(limit: Duration, so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

impl Hook for LateInterrupt {
    fn at(&self, moment: Moment) {
        match moment {
            Moment::Down if !is_linux_thread() => self.waits_since.store(milliseconds(), SeqCst),
            Moment::Downed if !is_linux_thread() => self.waits_since.store(0, SeqCst),
            Moment::Down | Moment::Downed => {}
            // The first operation of a thread that serves an interrupt.
            Moment::Clock | Moment::Arm | Moment::Up
                if is_linux_thread() && self.step.compare_exchange(HOLD, HOLDS, SeqCst, SeqCst).is_ok() =>
            {
                let waits = || {
                    let since = self.waits_since.load(SeqCst);
                    since != 0 && milliseconds() - since > 100
                };
                if becomes(Duration::from_secs(10), waits) {
                    self.step.store(LEAVE, SeqCst);
                }
            }
            // It has left the CPU, and has woken the thread that wants it.
            Moment::Upped
                if is_linux_thread()
                    && self.step.load(SeqCst) == LEAVE
                    && becomes(Duration::from_millis(300), || linux_is_dead() != 0) =>
            {
                self.step.store(DONE, SeqCst);
                linux_disk_gone(self.major.load(SeqCst), 0);
            }
            _ => {}
        }
    }
}

/// An interrupt that comes between the end and a thread's last look for interrupts does not keep that thread.
pub fn late_interrupt() {
    let image = image::ext4();
    let hook = Arc::new(LateInterrupt::default());
    let kernel = Kernel::boot(Unruly::new(hook.clone()), &BootConfig::default()).unwrap();
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let (major, _) = device.numbers().unwrap();
    hook.major.store(major, SeqCst);
    // Until nothing runs in Linux of itself.
    std::thread::sleep(Duration::from_millis(200));
    hook.step.store(HOLD, SeqCst);
    linux_disk_gone(major, 7);
    assert!(
        becomes(Duration::from_secs(10), || hook.step.load(SeqCst) == HOLDS),
        "no thread of Linux's serves the interrupt"
    );
    kernel.clone().halt();
    assert_eq!(
        hook.step.load(SeqCst),
        DONE,
        "the interrupt did not come in time to test anything"
    );
    drop(device);
}

/// Gives way at random, by a seed: mostly not at all, sometimes a little, seldom for a while.
struct GivesWay(AtomicU64);

impl Hook for GivesWay {
    fn at(&self, _: Moment) {
        let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        match (x ^ x >> 31) % 4096 {
            0..200 => std::thread::yield_now(),
            200..206 => std::thread::sleep(Duration::from_micros(x >> 40 & 255)),
            206 => std::thread::sleep(Duration::from_millis(x >> 40 & 3)),
            _ => {}
        }
    }
}

const SEED: &str = "LKLFS_CONFORMANCE_SEED";
const IMAGE: &str = "LKLFS_CONFORMANCE_IMAGE";

/// One boot and one end, in a process of its own: what runs meanwhile, when it ends and by whom is the seed's choice.
pub fn once() {
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let config = BootConfig {
        pool_size: 32 << 20,
        command_line: "loglevel=1",
    };
    println!("boots");
    let kernel = Kernel::boot(Unruly::new(Arc::new(GivesWay(AtomicU64::new(seed)))), &config).unwrap();
    println!("runs");
    let device = (seed & 1 != 0).then(|| {
        let disk = Arc::new(FileDisk::open(std::env::var(IMAGE).unwrap()).unwrap());
        kernel.add_disk(disk, Default::default()).unwrap()
    });
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..seed >> 1 & 3 {
            let (kernel, ends) = (&kernel, &ends);
            scope.spawn(move || {
                let mut round = seed.wrapping_add(number);
                while !ends.load(SeqCst) {
                    round = round.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let mut time = [0i64, (round >> 44) as i64 % 1_000_000];
                    // nanosleep, and gettid
                    let (number, args) =
                        [(35, [address(&mut time), 0]), (186, [0, 0])][usize::from(round >> 63 == 0)];
                    match call(kernel, number, &args) {
                        Ok(_) | Err(Errno::ENODEV) => {}
                        Err(errno) => panic!("system call {number}: {errno}"),
                    }
                }
            });
        }
        if let Some(device) = &device
            && seed & 8 != 0
            && let Ok(mount) = kernel.mount(device, FsKind::Probe, &Default::default())
        {
            let root = mount.root().unwrap();
            let _ = root
                .open_at(b"f20", OpenMode::Read)
                .map(|file| file.pread(&mut [0; 4096], 0));
        }
        std::thread::sleep(Duration::from_micros(
            seed.wrapping_mul(2_654_435_761) >> 7 & 0xfff,
        ));
        println!("ends");
        if seed & 0x70 == 0 {
            // One time in eight Linux dies first: of a pointer to where no system has anything.
            assert_eq!(call(&kernel, 35, &[0x8000, 0]), Err(Errno::ENODEV));
        }
        kernel.clone().halt();
        ends.store(true, SeqCst);
    });
    drop(device);
    println!("has ended");
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// What a process has run on processors, so that a machine on which it hardly gets one does it no harm.
fn ran(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which is in parentheses: user and system time in hundredths of a second are the 12th and 13th.
    let times = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = times
        .skip(11)
        .take(2)
        .filter_map(|text| text.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

/// The process of one seed. It must end by itself: before it has run for 10 s (some 0.1 s are usual), and in any case within
/// minutes.
fn one(seed: u64, image: &Image, scenario: (&str, &str)) -> Result<(), String> {
    const RUNS: Duration = Duration::from_secs(10);
    const LIMIT: Duration = Duration::from_secs(180);
    let said = tempfile::tempfile().unwrap();
    let mut child: Child = Command::new(std::env::current_exe().unwrap())
        .env(scenario.0, scenario.1)
        .env(SEED, seed.to_string())
        .env(IMAGE, image.path())
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said.try_clone().unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    loop {
        let ended = child.try_wait().unwrap();
        let why = match ended {
            Some(status) if status.success() => return Ok(()),
            Some(status) => status.to_string(),
            None if start.elapsed() > LIMIT || ran(child.id()) > RUNS => {
                let had = ran(child.id());
                child.kill().unwrap();
                child.wait().unwrap();
                format!(
                    "still there after {:?}, of which it ran for {had:?}",
                    start.elapsed()
                )
            }
            None => {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
        };
        use std::io::{Read, Seek};
        let (mut text, mut said) = (Vec::new(), said);
        said.rewind().unwrap();
        said.read_to_end(&mut text).unwrap();
        return Err(format!("seed {seed}: {why}\n{}", String::from_utf8_lossy(&text)));
    }
}

/// Boots and halts as often as asked, with all processors busy besides.
pub fn many(scenario: (&'static str, &'static str)) -> Result<(), Failed> {
    let boots = number("LKLFS_BOOTS", 24);
    let first = number("LKLFS_BOOTS_SEED", 1);
    let image = image::ext4();
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    std::hint::spin_loop();
                }
            });
        }
        let workers: Vec<_> = (0..processors)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, SeqCst);
                        if number >= boots {
                            return;
                        }
                        if let Err(why) = one(first.wrapping_add(number), &image, scenario) {
                            eprintln!("{why}");
                            failures.lock().unwrap().push(why);
                        }
                        if number % 1000 == 999 {
                            eprintln!("{} boots, in {:.0} s", number + 1, start.elapsed().as_secs_f64());
                        }
                    }
                })
            })
            .collect();
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        // Before a worker that panicked is told of: those who keep the machine busy would else do so for ever.
        over.store(true, SeqCst);
        ends.into_iter().for_each(|end| end.unwrap());
    });
    let failures = failures.into_inner().unwrap();
    eprintln!(
        "{} of {boots} boots ended, in {:.0} s",
        boots - failures.len() as u64,
        start.elapsed().as_secs_f64()
    );
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} of {boots} did not end well:\n{}",
        failures.len(),
        failures.join("\n")
    )
    .into())
}

/// Has so many things to give, and then one less.
struct Lacking {
    given: AtomicU32,
    missing: u32,
}

impl Hook for Lacking {
    fn at(&self, _moment: Moment) {}

    fn has_more(&self) -> bool {
        self.given.fetch_add(1, SeqCst) != self.missing
    }
}

/// How a boot ends that wanted no more than there was.
const ENOUGH: i32 = 77;

/// One boot, in a process of its own, with as many things to be had as the seed says.
pub fn lacking_once() {
    let missing = u32::try_from(number(SEED, 0)).unwrap();
    let threads = image::host_threads();
    let hook = Arc::new(Lacking {
        given: AtomicU32::new(0),
        missing,
    });
    let booted = Kernel::boot(Unruly::new(hook.clone()), &BootConfig::default());
    println!("{:?}", booted.as_ref().err());
    let is_enough = hook.given.load(SeqCst) <= missing;
    match booted {
        // Without some things Linux boots all the same.
        Ok(kernel) => drop(kernel.halt()),
        Err(_) => assert!(!is_enough),
    }
    assert_eq!(image::host_threads(), threads, "threads are left");
    if is_enough {
        std::process::exit(ENOUGH);
    }
}

/// Whatever it is that the host cannot give while Linux boots, the boot says so, and leaves nothing behind.
pub fn lacking(scenario: (&'static str, &'static str)) -> Result<(), Failed> {
    let image = image::ext4();
    for missing in 0.. {
        match one(missing, &image, scenario) {
            Ok(()) => {}
            Err(why) if why.contains(&format!("exit status: {ENOUGH}\n")) => {
                eprintln!("a boot wants {missing} things of its host");
                assert!(missing > 10, "{missing}");
                break;
            }
            Err(why) => return Err(why.into()),
        }
    }
    Ok(())
}
