//! Options of a file system, as a user gives them after `-o`.

use crate::exit::{Exit, Failure};
use crate::program::Program;

/// Refuses those that no reader may have, as the driver does.
pub fn check(program: &Program, options: Option<&str>) -> Result<(), Failure> {
    let flag = program.options;
    match options.and_then(lkl::refused_option) {
        None => Ok(()),
        Some("rw") => Err(Failure::new(
            Exit::Usage,
            format_args!("{flag} rw: volumes are only ever read; leave it out"),
        )),
        Some(option) if lkl::names_a_disk(option) => Err(Failure::new(
            Exit::Usage,
            format_args!(
                "{flag} {option}: a volume is read from its own disk and from no other; leave it out"
            ),
        )),
        Some(option) => Err(Failure::new(
            Exit::Usage,
            format_args!("{flag} {option}: damage would stop Linux and every volume with it; leave it out"),
        )),
    }
}
