//! A program of the machine's that runs in a node, as the file has it.

use super::Spanned;
use crate::quantity::Time;
use serde::Deserialize;

/// A program in a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// What results and the files of its output call it.
    pub name: Spanned<String>,
    /// The node whose network it has.
    pub node: Spanned<String>,
    /// The program and its arguments.
    pub run: Spanned<Vec<Spanned<String>>>,
    /// When it begins.
    pub start: Option<Spanned<Time>>,
    /// When it is stopped; otherwise at the end of the run.
    pub stop: Option<Spanned<Time>>,
    /// The exit status that it must have; 128 and the signal for one that a signal has ended.
    pub expect: Option<Spanned<u8>>,
}
