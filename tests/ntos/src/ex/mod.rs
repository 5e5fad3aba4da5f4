//! The executive's locks, lists and callbacks.
//!
//! | module | what |
//! |---|---|
//! | [`resource`] | ERESOURCE |
//! | [`fast_mutex`] | FAST_MUTEX and KGUARDED_MUTEX |
//! | [`push_lock`] | push locks, rundown protection |
//! | [`callback`] | the kernel's callback object for the power state |
//! | [`lookaside`] | lookaside lists and interlocked singly linked lists |
//! | [`system`] | questions about the machine |

use crate::imports::Import;

pub mod callback;
pub mod fast_mutex;
pub mod lookaside;
pub mod push_lock;
pub mod resource;
pub mod system;

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[
    callback::IMPORTS,
    resource::IMPORTS,
    fast_mutex::IMPORTS,
    push_lock::IMPORTS,
    lookaside::IMPORTS,
    system::IMPORTS,
];
