//! Work that must not run in the calling context: requests that may wait for a disk, and what has to be done later.
//!
//! | module | what |
//! |---|---|
//! | [`request`] | requests of an open: done here, posted, or ended |
//! | [`cancel`] | posted requests, which can be cancelled |
//! | [`threads`] | the threads that serve them |
//! | [`deferred`] | deferred work, in threads of the driver's own |

pub mod cancel;
pub mod deferred;
pub mod request;
pub mod threads;
