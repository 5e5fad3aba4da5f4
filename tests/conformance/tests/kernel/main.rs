//! The second table: a booted kernel, through the `lkl` crate and the POSIX host.
//!
//! Each scenario runs in a process of its own ([`processes`]), for three minutes at most.

#![cfg_attr(not(target_os = "linux"), allow(unused))]

#[cfg(target_os = "linux")]
use linux_driver as _;

#[cfg(target_os = "linux")]
mod again;
#[cfg(target_os = "linux")]
mod cached;
#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod death;
#[cfg(target_os = "linux")]
mod disks;
#[cfg(all(target_os = "linux", not(feature = "apr")))]
mod ends;
#[cfg(target_os = "linux")]
mod image;
#[cfg(target_os = "linux")]
mod life;
#[cfg(target_os = "linux")]
mod lives;
#[cfg(all(target_os = "linux", not(feature = "apr")))]
mod loops;
#[cfg(target_os = "linux")]
#[path = "../processes/mod.rs"]
mod processes;
#[cfg(all(target_os = "linux", not(feature = "apr")))]
mod unruly;
#[cfg(target_os = "linux")]
mod volume;

/// The host that is tried.
#[cfg(all(target_os = "linux", feature = "apr"))]
use lkl_host_apr as tried;
#[cfg(all(target_os = "linux", not(feature = "apr")))]
use lkl_host_posix as tried;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    runner::main();
}

#[cfg(target_os = "linux")]
mod runner {
    use super::processes;
    #[cfg(not(feature = "apr"))]
    use super::processes::SCENARIO;
    use super::{again, cached, calls, death, disks, life, lives, volume};
    #[cfg(not(feature = "apr"))]
    use super::{ends, loops};
    use libtest_mimic::{Arguments, Trial};
    use std::time::Duration;

    const TIME_LIMIT: Duration = Duration::from_secs(180);

    const TABLE: &[(&str, fn())] = &[
        ("boots and halts", life::boots_and_halts),
        ("a bad configuration is refused", life::bad_config),
        ("dropping the last handle halts", life::dropped),
        (
            "boots again, whatever ended the last Linux",
            again::whatever_ended_it,
        ),
        ("one Linux at a time", again::one_at_a_time),
        ("boots after a boot that failed", again::after_a_boot_that_failed),
        (
            "boots while a disk keeps requests of the last Linux",
            again::beside_requests_of_the_last,
        ),
        ("an ext4 volume outlives Linux", lives::ext4),
        ("a btrfs volume outlives Linux", lives::btrfs),
        ("an XFS volume outlives Linux", lives::xfs),
        ("volumes outlive Linux under load", lives::under_load),
        ("one volume pays for a death of Linux", lives::one_pays),
        (
            "a volume outlives Linux while its disk hangs",
            lives::while_a_disk_hangs,
        ),
        ("the port's own tests", life::self_test),
        ("handles outlive the kernel", life::handles_outlive),
        ("system calls on many threads", calls::many_threads),
        ("a null pointer is an error", calls::null_pointers),
        ("random numbers begin with the host's seed", calls::seed),
        ("a blocked call lets others run", calls::blocked_call),
        ("sleeps overlap", calls::sleeps_overlap),
        ("a futex hands over", calls::futex),
        ("time passes as outside", calls::clocks),
        ("reads an ext4 volume", volume::reads_ext4),
        ("reads a squashfs volume", volume::reads_squashfs),
        ("one component at a time", volume::one_component),
        ("listings resume at cookies", volume::cookies),
        ("sixteen threads read one volume", volume::sixteen_threads),
        ("thousands of files are open", volume::many_open),
        ("a partition is a disk", volume::partition),
        ("what is not a file system is refused", volume::refused),
        ("a dirty volume is replayed in memory", volume::dirty),
        ("ext4: a hanging disk and names in memory", cached::ext4),
        ("btrfs: a hanging disk and names in memory", cached::btrfs),
        ("xfs: a hanging disk and names in memory", cached::xfs),
        ("mounts come and go", volume::come_and_go),
        ("slow disks overlap", disks::overlap),
        ("a disk's errors are errors", disks::errors),
        ("a forgotten request is an error", disks::forgotten),
        ("a disk vanishes under a reader", disks::vanishes),
        ("halt waits for a disk", disks::halt_waits),
        ("a panic of Linux is contained", death::panic),
        ("a damaged volume that asks for a panic gets none", death::none),
    ];

    /// What a host must be able to do besides: to catch a fault of the processor's, to tell how long a thread has run.
    #[cfg(not(feature = "apr"))]
    const MORE: &[(&str, fn())] = &[
        ("a fault in Linux is contained", death::fault),
        ("a disk that was taken away is let go", disks::let_go),
        (
            "a volume pays for a death of a thread of Linux's",
            lives::a_thread_of_linuxs_pays,
        ),
        ("an interrupt comes after the end", ends::late_interrupt),
        ("a call loops for ever", loops::deaf),
        (
            "a call loops, and sees that Linux is dead",
            loops::deaf_for_a_moment,
        ),
        ("a call loops, and sees late that Linux is dead", loops::late),
        (
            "two tasks loop and pass the processor to each other",
            loops::restless,
        ),
        ("a thread of Linux's loops for ever", loops::own_thread),
        (
            "a thread of Linux's loops, and sees late that Linux is dead",
            loops::own_thread_late,
        ),
        ("a halt comes while a call loops", loops::halt_meanwhile),
        ("a busy or stopped Linux is in no loop", loops::busy),
    ];

    /// A boot and an end of [`ends::many`].
    #[cfg(not(feature = "apr"))]
    const ONCE: &str = "one of many boots";

    /// A boot of [`ends::lacking`].
    #[cfg(not(feature = "apr"))]
    const LACKING: &str = "a boot without something";

    /// All scenarios of the host that is tried.
    fn table() -> Vec<(&'static str, fn())> {
        #[cfg(feature = "apr")]
        const MORE: &[(&str, fn())] = &[];
        [TABLE, MORE].concat()
    }

    /// What needs processes of its own way.
    #[cfg(not(feature = "apr"))]
    fn boots() -> [Trial; 2] {
        [
            Trial::test("many boots on a busy machine end", || {
                ends::many((SCENARIO, ONCE))
            }),
            Trial::test("a boot for which the host lacks something ends", || {
                ends::lacking((SCENARIO, LACKING))
            }),
        ]
    }

    #[cfg(feature = "apr")]
    fn boots() -> [Trial; 0] {
        []
    }

    pub fn main() {
        if let Some(wanted) = processes::wanted() {
            #[cfg(not(feature = "apr"))]
            match wanted.as_str() {
                ONCE => return ends::once(),
                LACKING => return ends::lacking_once(),
                _ => {}
            }
            return processes::run(&table(), &wanted);
        }
        let mut arguments = Arguments::from_args();
        // Two at a time are as many as small machines have processors for.
        arguments.test_threads = arguments.test_threads.or(Some(2));
        let table = table();
        let scenarios = table
            .iter()
            .map(|(name, _)| Trial::test(*name, || processes::in_a_process(name, TIME_LIMIT)));
        let trials = scenarios.chain(boots()).collect();
        libtest_mimic::run(&arguments, trials).exit();
    }
}
