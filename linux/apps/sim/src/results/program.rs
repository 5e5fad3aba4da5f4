//! What came of programs in nodes.

use crate::quantity::Time;
use lkl_session::exit::reason;
use lklrun::End;
use std::fmt::Write as _;
use std::io;

/// What came of a program in a node.
#[derive(Clone, Debug)]
pub struct ProgramResult {
    /// Its name.
    pub name: String,
    /// The node.
    pub node: String,
    /// What was run, without arguments.
    pub command: String,
    /// When it began.
    pub start: Time,
    /// When it ended.
    pub end: Time,
    /// How.
    pub how: End,
    /// It was stopped, and had not ended before.
    pub stopped: bool,
    /// The exit status that it was to have.
    pub expect: Option<u8>,
}

impl ProgramResult {
    /// What is wrong with how it has ended, if that is not as it should be.
    pub fn complaint(&self) -> Option<String> {
        let ProgramResult { name, command, .. } = self;
        match (self.how, self.expect) {
            (End::Unstarted(errno), _) => {
                let error = io::Error::from_raw_os_error(errno);
                Some(match error.kind() {
                    io::ErrorKind::NotFound => format!("program {name}: there is no program {command}"),
                    _ => format!("program {name}: {command}: {}", reason(&error)),
                })
            }
            (end, Some(expect)) if end.status() != expect => {
                let ended = match end {
                    End::Killed(signal) => format!("signal {signal}, which is {}", end.status()),
                    _ => format!("exit status {}", end.status()),
                };
                Some(format!(
                    "program {name}: it has ended with {ended}, and not {expect}; see programs/{name}.err"
                ))
            }
            _ => None,
        }
    }
}

/// `programs.csv`
pub(super) fn csv(programs: &[ProgramResult]) -> String {
    let mut text = "program,node,start_s,end_s,stopped,status,signal\n".to_owned();
    for program in programs {
        let (status, signal) = match program.how {
            End::Killed(signal) => (String::new(), signal.to_string()),
            end => (end.status().to_string(), String::new()),
        };
        let stopped = if program.stopped { "yes" } else { "no" };
        let _ = writeln!(
            text,
            "{},{},{},{},{stopped},{status},{signal}",
            program.name,
            program.node,
            program.start.seconds(),
            program.end.seconds(),
        );
    }
    text
}
