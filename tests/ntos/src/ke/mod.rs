//! The kernel layer.
//!
//! | module | what |
//! |---|---|
//! | [`gate`] | the border between driver and double: gates, calls into the driver |
//! | [`stack`] | kernel stacks, and how deep they were used |
//! | [`irql`] | the level, critical and guarded regions |
//! | [`unwind`], [`seh`], [`fault`] | frames, exceptions, processor faults |
//! | [`emulate`] | loads that only kernel mode can do |
//! | [`shadow`] | shadow stacks |
//! | [`wait`] | the dispatcher: waiting and waking |
//! | [`event`], [`semaphore`], [`mutex`] | dispatcher objects |
//! | [`timer`], [`dpc`], [`time`] | timers, deferred calls, clocks |
//! | [`spin`] | spin locks |
//! | [`expand`] | expanded stacks |
//! | [`stop`] | bug checks |

use crate::imports::Import;

pub mod dpc;
pub mod emulate;
pub mod event;
pub mod expand;
pub mod fault;
pub mod gate;
pub mod irql;
pub mod mutex;
pub mod seh;
pub mod semaphore;
pub mod shadow;
pub mod spin;
pub mod stack;
pub mod stop;
pub mod time;
pub mod timer;
pub mod unwind;
pub mod wait;

pub use gate::call_driver;
pub use irql::{apcs_disabled, assert_irql_at_most, irql, irql_or_zero, lower_irql, raise_irql};
pub use seh::{guarded_copy, raise};

/// How many critical regions the current thread is in.
pub fn critical_depth() -> i32 {
    crate::ps::current().critical_regions.get()
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[
    irql::IMPORTS,
    wait::IMPORTS,
    event::IMPORTS,
    semaphore::IMPORTS,
    mutex::IMPORTS,
    timer::IMPORTS,
    dpc::IMPORTS,
    time::IMPORTS,
    spin::IMPORTS,
    expand::IMPORTS,
    stop::IMPORTS,
    seh::IMPORTS,
];
