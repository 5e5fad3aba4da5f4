//! Driver Verifier: what the driver must not do, who did it, and what it left behind.
//!
//! [`fail`] is the double's bug check: it prints one report that names the rule, the thread, its IRQL and where in the
//! driver it happened, and ends the process (or freezes the thread, for a program that wants to read the report
//! itself, see [`on_failure`]). [`ledger`] counts what the driver holds; [`locks`] orders its locks; [`fault`] makes
//! chosen calls fail; [`moments`] numbers the points at which something may happen from outside; [`choose`] decides what
//! is random by a seed; [`hang`] limits how long something may take; [`code`] lists the rules.

pub mod choose;
pub mod code;
pub mod fault;
pub mod hang;
pub mod ledger;
pub mod locks;
pub mod moments;
pub mod report;

pub use code::Code;
pub use report::{Report, report};

use std::{
    fmt,
    sync::{Mutex, mpsc::Sender},
};

/// The exit code of a process whose driver broke a rule.
pub const EXIT_CODE: i32 = 86;

/// One broken rule.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Failure {
    /// Which rule.
    pub code: Code,
    /// What happened, in words.
    pub detail: String,
    /// The thread's name.
    pub thread: String,
    /// Its IRQL.
    pub irql: u8,
    /// The import that was being called, innermost last.
    pub imports: Vec<String>,
    /// Where in the driver: image, RVA and symbol where known, innermost first.
    pub driver_stack: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "*** {:?}: {}", self.code, self.detail)?;
        writeln!(f, "    thread {}, IRQL {}", self.thread, self.irql)?;
        if !self.imports.is_empty() {
            writeln!(f, "    in {}", self.imports.join(" > "))?;
        }
        for place in &self.driver_stack {
            writeln!(f, "    at {place}")?;
        }
        Ok(())
    }
}

/// What happens after a report was printed.
#[derive(Clone, Default)]
pub enum OnFailure {
    /// The process ends with [`EXIT_CODE`].
    #[default]
    Exit,
    /// The failure is sent and the thread stands still for ever, as a stopped NT would.
    Freeze(Sender<Failure>),
}

static ON_FAILURE: Mutex<OnFailure> = Mutex::new(OnFailure::Exit);

/// Says what [`fail`] does after its report.
pub fn on_failure(what: OnFailure) {
    *ON_FAILURE.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = what;
}

/// Reports a broken rule and stops. With `NTOS_REPORT=<path>` in the environment, the report is also written there, as
/// JSON.
pub fn fail(code: Code, detail: fmt::Arguments<'_>) -> ! {
    let failure = Failure {
        code,
        detail: detail.to_string(),
        thread: crate::ps::current_name(),
        irql: crate::ke::irql_or_zero(),
        imports: crate::ke::gate::import_names(),
        driver_stack: crate::ke::gate::driver_stack(),
    };
    // One failure is enough: a second thread that fails meanwhile waits here for the end.
    let action = ON_FAILURE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    eprint!("{failure}");
    for line in crate::rtl::print::last_lines(12) {
        eprintln!("    log: {line}");
    }
    if let (Some(path), Ok(text)) = (std::env::var_os("NTOS_REPORT"), serde_json::to_string(&failure)) {
        let _ = std::fs::write(path, text);
    }
    match &*action {
        OnFailure::Exit => {
            // SAFETY: _exit has no precondition; nothing of this process is worth running any more.
            unsafe { libc::_exit(EXIT_CODE) }
        }
        OnFailure::Freeze(sender) => {
            let _ = sender.send(failure);
            drop(action);
            loop {
                std::thread::park();
            }
        }
    }
}

/// `fail!(DoubleFree, "block {:p}", pointer)`: see [`fail`].
#[macro_export]
macro_rules! fail {
    ($code:ident, $($detail:tt)+) => {
        $crate::verifier::fail($crate::verifier::Code::$code, format_args!($($detail)+))
    };
}
pub use crate::fail;
