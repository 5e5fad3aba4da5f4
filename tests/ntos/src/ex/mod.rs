//! The executive's locks and lists.
//!
//! | module | what |
//! |---|---|
//! | [`resource`] | ERESOURCE |
//! | [`fast_mutex`] | FAST_MUTEX and KGUARDED_MUTEX |
//! | [`push_lock`] | push locks, rundown protection |
//! | [`lookaside`] | lookaside lists and interlocked singly linked lists |

use crate::imports::Import;

pub mod fast_mutex;
pub mod lookaside;
pub mod push_lock;
pub mod resource;

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[
    resource::IMPORTS,
    fast_mutex::IMPORTS,
    push_lock::IMPORTS,
    lookaside::IMPORTS,
];
