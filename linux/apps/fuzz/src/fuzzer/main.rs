//! The program that libFuzzer drives, for one target.
//!
//! | variable | meaning |
//! |---|---|
//! | `LKLFS_FUZZ_TARGET` | a name of a [`Target`](lkl_fuzz::target::Target) |
//! | `LKLFS_FUZZ_VOLUME` | for *image*, *calls* and *schedules* a name in `seeds/`: the file system, and behind a hyphen what is special |
//! | `LKLFS_FUZZ_BUG` | the planted bug that is awake |
//! | `LKLFS_FUZZ_PROCESSOR` | the one that the program runs on (see `stacks.rs`) |
//! | `LKLFS_FUZZ_LAST` | a file: the edges that the last input has reached (see `reached.rs`) |
//! | `LKLFS_FUZZ_SLOW` | a folder for inputs that were ended because they took too long (see `slow.rs`); without it none is |
//! | `LKLFS_FUZZ_TRACE` | a file: how the last input's strands met, a line |
//! | `LKLFS_FUZZ_EDGES` | a file: which edges were reached is added to it now and then (see `reached.rs`) |
//! | `LKLFS_FUZZ_EXECUTIONS` | after so many, the program ends with [`death::FRESH`], for another that begins anew |

#![no_main]

mod arguments;
mod calls;
mod death;
mod door;
mod linux;
mod netlink;
mod packets;
mod reached;
mod slow;
mod stacks;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use linux::Linux;
use std::cell::RefCell;

thread_local! {
    /// Linux, and all that belongs to it: the thread that libFuzzer runs inputs on has booted it. It is not halted: it ends with the
    /// program.
    static LINUX: RefCell<Option<&'static mut Linux>> = const { RefCell::new(None) };
}

fn with_linux<T>(act: impl FnOnce(&mut Linux) -> T) -> T {
    LINUX.with_borrow_mut(|linux| act(linux.get_or_insert_with(|| Box::leak(Box::new(Linux::boot())))))
}

fuzz_target!(
    init: with_linux(|_| ()),
    |input: &[u8]| {
        with_linux(|linux| linux.execute(input));
    }
);

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let input = with_linux(|linux| linux.mutate(&data[..size], max_size, seed));
    data[..input.len()].copy_from_slice(&input);
    input.len()
});
