//! The NT kernel double: an ordinary Linux process that loads the real `lklfs.sys` and is the kernel around it.
//!
//! The driver is mapped as the PE image that it is (`loader`) and its imports are bound to functions of this crate
//! that have NT's semantics ([`imports`]). Above it stand an I/O manager ([`io`]), a cache manager and sections
//! ([`cc`]), FsRtl ([`fsrtl`]), disks from image files ([`disk`]) and an NT API for the tests ([`user`]); below that the
//! executive: memory (`mm`), processes and threads (`ps`), objects and handles (`ob`), locks (`ex`), run-time
//! library (`rtl`), the registry ([`cm`]) and the kernel's dispatcher ([`ke`]). `verifier` plays Driver Verifier over all of it.
//!
//! Two rules hold everywhere:
//!
//! * a call of the driver runs on an NT-sized kernel stack, a call of an import on the thread's large host stack
//!   (`ke::gate`), so what is measured on the kernel stack is the driver's own;
//! * whatever NT would stop for ends in `verifier::fail`, which never returns.

// UNSAFETY (whole crate): NT's structs are shared with the driver by pointer, in every part of a kernel.

#![allow(
    clippy::multiple_unsafe_ops_per_block,
    reason = "NT's structs are the driver's memory, handled by pointer throughout; one proof covers one struct"
)]
#![allow(
    clippy::missing_safety_doc,
    reason = "the imports' contracts are NT's own, documented by Microsoft"
)]

pub mod cc;
pub mod cm;
pub mod disk;
pub mod ex;
pub mod fsrtl;
pub mod hostfs;
pub mod imports;
pub mod io;
pub mod ke;
pub mod loader;
pub mod mm;
pub mod mountmgr;
pub mod nt;
pub mod ob;
pub mod pnp;
pub mod ps;
pub mod rtl;
pub mod se;
pub mod user;
pub mod verifier;
