//! A script as it is written: options, then events, each with its time and its place in the file.
//!
//! The language is packetdrill's. [`parse`] turns text into a [`Script`]; [`Cursor`] walks through the text and knows line and column;
//! [`packets`], [`values`] and [`conditions`] parse what one event may be.

pub mod conditions;
pub mod cursor;
pub mod packets;
pub mod values;

mod events;

pub use cursor::{Cursor, Place};
pub use events::parse;

use conditions::Assertion;
use packets::Packet;
use values::Call;

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the script.
    pub place: Place,
    /// In words.
    pub what: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A whole script.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// `--name=value` at its head.
    pub options: Vec<(Place, String, String)>,
    /// In their order.
    pub events: Vec<Event>,
}

/// Something that happens at a time.
#[derive(Debug, Clone)]
pub struct Event {
    /// Where the event's time, or what has none, begins.
    pub place: Place,
    /// When.
    pub when: When,
    /// What.
    pub what: What,
}

/// When an event is to happen. Times are nanoseconds, since the script's start or since the event before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Between two times, which may be equal.
    Within {
        /// Not before.
        from: u64,
        /// Not after.
        to: u64,
        /// Since the event before.
        relative: bool,
    },
    /// `*`: whenever it comes.
    Any,
    /// `0...0.2`: a call that begins at a time and ends at another.
    Blocking {
        /// When it begins.
        from: u64,
        /// When it ends.
        to: u64,
        /// Since the event before.
        relative: bool,
    },
}

/// What may happen.
#[derive(Debug, Clone)]
pub enum What {
    /// `< S 0:0(0)`: the runner sends it to Linux.
    Inbound(Packet),
    /// `> S. 0:0(0) ack 1`: Linux is to send it.
    Outbound(Packet),
    /// A call of a program's.
    Call(Call),
    /// Lines in backticks.
    Command(String),
    /// `%{ assert ... }%`
    Assertions(Vec<Assertion>),
}
