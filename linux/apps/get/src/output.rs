//! Standard output: bodies and heads.

use lkl_session::exit::{Failure, stdout_failure};
use std::io::Write;

/// Writes all of it. A reader that has closed the pipe has had enough: an [`lkl_session::exit::Exit::Ok`] without a message.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| stdout_failure(&error))
}
