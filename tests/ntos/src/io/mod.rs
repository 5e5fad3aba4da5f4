//! The I/O manager of the double.
//!
//! | module | what |
//! |---|---|
//! | [`irp`], [`ledger`] | packets, and what is known about each apart from its memory |
//! | [`call`], [`complete`], [`cancel`] | down the stack, up again, and out of turn |
//! | [`request`] | building requests and ending them |
//! | [`device`], [`native`], [`names`] | driver and device objects, modelled drivers, the name space |
//! | [`mount`], [`open`], [`reparse`], [`file`], [`share`] | volumes, opening, links, file objects, sharing |
//! | [`service`], [`filter`] | unloading, and a filter on every file system, which stands in the way of that |
//! | [`refusal`], [`raw`], [`other`] | what becomes of a volume that a file system refuses, and who else may take it |
//! | [`errorlog`] | what drivers tell the event log |
//! | [`harderror`] | errors for the user, and devices that want to be verified |
//! | [`work`], [`thread`], [`misc`] | work queues, per-thread state, the rest |
//! | [`kernel`] | what this side uses of the kernel |

#![allow(non_snake_case, reason = "imports have NT's names")]
#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "NT structs are handled by pointer throughout; the proof is per step"
)]

use crate::imports::Import;
use crate::nt::PDRIVER_OBJECT;

pub mod call;
pub mod cancel;
pub mod complete;
pub mod device;
pub mod errorlog;
pub mod file;
pub mod filter;
pub mod harderror;
pub mod irp;
pub mod kernel;
pub mod ledger;
pub mod misc;
pub mod mount;
pub mod names;
pub mod native;
pub mod open;
pub mod other;
pub mod raw;
pub mod refusal;
pub mod reparse;
pub mod request;
pub mod service;
pub mod share;
pub mod thread;
pub mod work;
pub mod zw;

/// The name of `driver`, for messages.
///
/// # Safety
/// `driver` is live.
pub unsafe fn name_of_driver(driver: PDRIVER_OBJECT) -> String {
    // SAFETY: a driver object's name lives as long as it.
    unsafe { String::from_utf16_lossy(&names::characters(&raw const (*driver).DriverName)) }
}

/// The imports of this module, and of `cc` and `fsrtl`.
pub static IMPORTS: &[&[Import]] = &[
    irp::IMPORTS,
    call::IMPORTS,
    complete::IMPORTS,
    cancel::IMPORTS,
    request::IMPORTS,
    device::IMPORTS,
    names::IMPORTS,
    mount::IMPORTS,
    open::IMPORTS,
    file::IMPORTS,
    share::IMPORTS,
    thread::IMPORTS,
    work::IMPORTS,
    zw::IMPORTS,
    crate::pnp::IMPORTS,
    crate::cm::IMPORTS,
    misc::IMPORTS,
    errorlog::IMPORTS,
    harderror::IMPORTS,
    crate::cc::cache::IMPORTS,
    crate::cc::copy::IMPORTS,
    crate::cc::mapped::IMPORTS,
    crate::cc::section::IMPORTS,
    crate::fsrtl::names::IMPORTS,
    crate::fsrtl::locks::IMPORTS,
    crate::fsrtl::notify::IMPORTS,
    crate::fsrtl::contexts::IMPORTS,
    crate::fsrtl::fast::IMPORTS,
    crate::fsrtl::misc::IMPORTS,
];
