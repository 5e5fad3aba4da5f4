//! The rule that keeps the driver's promise: in a kernel that was not configured with [`SYMBOL`] there is nothing that asks
//! the host to write.
//!
//! All that does is in one file of the port, `drivers/hostblk_write.c`, whose functions have names of their own; the one that
//! the host calls is declared in `asm/host_write.h`. An object keeps the names of its functions and of the files that they
//! come from, local ones too.

use super::{Finding, Rule};
use crate::elf::{Object, Place};

/// The symbol of Linux's configuration with which a kernel can write.
pub const SYMBOL: &str = "CONFIG_LKL_HOSTBLK_WRITE=y";
/// The functions that a host may call then.
const CALLS: [&str; 1] = ["linux_disk_add_writable"];
/// How the names of the port's file and of its functions begin.
const PREFIX: &str = "hostblk_write";

/// What `name` breaks, if it is that of a function that writes, or of the file with them.
pub(crate) fn finding(name: &str) -> Option<Finding> {
    (CALLS.contains(&name) || name.starts_with(PREFIX)).then(|| Finding {
        rule: Rule::Write,
        symbol: name.to_owned(),
        place: String::new(),
        detail: "only a kernel with CONFIG_LKL_HOSTBLK_WRITE may have it, and the driver's is none".into(),
    })
}

/// All that `object` has of it.
pub fn check(object: &Object) -> Vec<Finding> {
    let present = object
        .symbols
        .iter()
        .filter(|symbol| symbol.place != Place::Undefined);
    present.filter_map(|symbol| finding(&symbol.name)).collect()
}
