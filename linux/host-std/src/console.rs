//! Where Linux's console output goes, and who is told of its death.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Receives bytes of text. From any thread; must not call into Linux.
pub type TextHook = Box<dyn Fn(&[u8]) + Send + Sync>;

/// What happens with console output and with the news of Linux's death.
#[derive(Default)]
pub struct Hooks {
    /// Receives what Linux prints, as it comes.
    pub print: Option<TextHook>,
    /// Told once when Linux has died, with the reason.
    pub panicked: Option<TextHook>,
}

impl Hooks {
    /// Console output goes to standard error.
    pub fn to_stderr() -> Hooks {
        Hooks {
            print: Some(Box::new(write_stderr)),
            panicked: None,
        }
    }
}

fn write_stderr(text: &[u8]) {
    // A console that cannot be written to is no reason to fail.
    let _ = std::io::stderr().write_all(text);
}

/// The console of one boot.
#[derive(Default)]
pub struct Console {
    hooks: Hooks,
    panicked: AtomicBool,
}

impl Console {
    /// A console with these hooks.
    pub fn new(hooks: Hooks) -> Console {
        Console {
            hooks,
            panicked: AtomicBool::new(false),
        }
    }

    /// Hands on what Linux prints.
    pub fn print(&self, text: &[u8]) {
        if let Some(print) = &self.hooks.print {
            print(text);
        }
    }

    /// Linux has died. Its hook is told the first time only.
    pub fn panicked(&self, why: &[u8]) {
        if !self.panicked.swap(true, Ordering::AcqRel)
            && let Some(panicked) = &self.hooks.panicked
        {
            panicked(why);
        }
    }

    /// Whether Linux has said that it died.
    pub fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("panicked", &self.panicked)
            .finish_non_exhaustive()
    }
}
