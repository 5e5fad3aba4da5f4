//! The kernel layer: threads' IRQL, dispatcher objects, timers and DPCs, spin locks, stacks.

use crate::imports::Import;

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[];
