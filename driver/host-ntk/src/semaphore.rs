//! Linux's semaphores: NT's.

use alloc::boxed::Box;
use lklfs_kernel::sync::Semaphore;

/// A semaphore of Linux's.
pub struct Tokens(Semaphore);

impl Tokens {
    /// A semaphore that starts at `count`; `None` for lack of memory, or when so many tokens are none that Linux has.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn new(count: u32) -> Option<Box<Self>> {
        let count = u16::try_from(count).ok()?;
        let tokens = fallible::try_box(Tokens(Semaphore::uninit()))?;
        tokens.0.init(count);
        Some(tokens)
    }
}

impl lkl::Semaphore for Tokens {
    fn up(&self) {
        self.0.up();
    }

    fn down(&self) {
        self.0.down();
    }
}
