//! What a terminal shows while bytes come: a bar for each URL.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};

/// The bars of a run.
#[derive(Clone)]
pub struct Progress {
    bars: MultiProgress,
    quiet: bool,
}

const KNOWN: &str =
    "{prefix:30!} {bar:25} {bytes:>11} of {total_bytes:11} {binary_bytes_per_sec:>14} {eta:>4}";
const UNKNOWN: &str = "{prefix:30!} {spinner} {bytes:>11} {binary_bytes_per_sec:>14}";

impl Progress {
    /// Bars if standard error is a terminal and they are wanted.
    pub fn new(quiet: bool) -> Progress {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Progress {
            bars: MultiProgress::with_draw_target(target),
            quiet,
        }
    }

    /// A bar: `already` of `total` bytes are there.
    pub fn bar(&self, name: &str, already: u64, total: Option<u64>) -> ProgressBar {
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), KNOWN),
            None => (ProgressBar::no_length(), UNKNOWN),
        };
        let bar = self.bars.add(bar);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(lkl_session::text::shown(name.as_bytes()));
        bar.set_position(already);
        bar.reset_eta();
        bar
    }

    /// A line that is good to know.
    pub fn note(&self, line: &str) {
        if !self.quiet {
            self.say(&format!("note: {line}"));
        }
    }

    /// A line on standard error, above the bars.
    pub fn say(&self, line: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(std::io::stderr(), "lklget: {line}");
        });
    }
}
