//! The frame of a program: its command line is read, `--man DIRECTORY` writes its man pages, and what it comes to is a line
//! and an exit code.

use crate::exit::{Exit, Failure, end_on_panic, reason};
use crate::program::Program;
use clap::builder::PathBufValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Termination};

impl Program {
    /// The program, from beginning to end: `act` does what a command line says.
    pub fn main<Cli: Parser, Status: Termination>(
        &self,
        act: impl FnOnce(Cli) -> Result<Status, Failure>,
    ) -> ExitCode {
        match self.man_folder() {
            Some(folder) => self.end(man_pages::<Cli>(&folder, "name a folder that you may write to")),
            None => self.obey(act),
        }
    }

    /// The same of a program whose command line asks for man pages in a way of its own.
    pub fn obey<Cli: Parser, Status: Termination>(
        &self,
        act: impl FnOnce(Cli) -> Result<Status, Failure>,
    ) -> ExitCode {
        end_on_panic();
        match Cli::try_parse() {
            Ok(cli) => self.end(act(cli)),
            Err(error) => match error.kind() {
                ErrorKind::DisplayHelp
                | ErrorKind::DisplayVersion
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                    // A closed pipe is no fault.
                    let _ = error.print();
                    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
                    exit.report()
                }
                _ => self.end::<()>(Err(self.usage(&error))),
            },
        }
    }

    /// The folder of `--man`, which is no part of any other command line.
    fn man_folder(&self) -> Option<PathBuf> {
        let folder = Arg::new("man").long("man").required(true);
        let command = Command::new(self.name).arg(folder.value_parser(PathBufValueParser::new()));
        command.try_get_matches().ok()?.remove_one("man")
    }

    /// The end of the program: a line, unless it went well, and an exit code.
    pub fn end<Status: Termination>(&self, done: Result<Status, Failure>) -> ExitCode {
        match done {
            Ok(status) => status.report(),
            Err(failure) => {
                if !failure.message.is_empty() {
                    let _ = writeln!(std::io::stderr(), "{}: {failure}", self.name);
                }
                failure.exit.report()
            }
        }
    }

    /// clap explains itself over several lines; those before "Usage:" say what is wrong.
    fn usage(&self, error: &clap::Error) -> Failure {
        let text = error.to_string();
        let lines = text.lines().map(str::trim);
        let lines = lines.take_while(|line| !line.starts_with("Usage:"));
        let lines: Vec<&str> = lines
            .filter(|line| !line.is_empty() && !line.starts_with("tip:") && !line.starts_with("For more"))
            .collect();
        let message = lines.join(" ");
        let message = message.strip_prefix("error: ").unwrap_or(&message);
        Failure::new(Exit::Usage, format_args!("{message}; see {} --help", self.name))
    }
}

/// Writes the man pages of a command line into a folder.
///
/// # Errors
/// That they cannot be written there, with that advice.
pub fn man_pages<Cli: CommandFactory>(folder: &Path, advice: &str) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), folder).map_err(|error| {
        let (folder, why) = (folder.display(), reason(&error));
        Failure::new(Exit::Destination, format_args!("{folder}: {why}; {advice}"))
    })
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "test")]
    struct Cli {
        #[arg(long)]
        count: Option<u8>,
        #[arg(required = true)]
        file: Option<PathBuf>,
    }

    fn said(words: &[&str]) -> String {
        let error = Cli::try_parse_from(words).unwrap_err();
        let failure = Program::new("test").usage(&error);
        assert_eq!(failure.exit, Exit::Usage);
        failure.message
    }

    #[test]
    fn a_wrong_command_line_is_one_line() {
        assert_eq!(
            said(&["test", "--count", "many", "x"]),
            "invalid value 'many' for '--count <COUNT>': invalid digit found in string; see test --help"
        );
        assert_eq!(
            said(&["test"]),
            "the following required arguments were not provided: <FILE>; see test --help"
        );
        assert!(said(&["test", "--cuont"]).starts_with("unexpected argument '--cuont' found;"));
    }

    #[test]
    fn man_pages_are_files_and_a_folder_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        man_pages::<Cli>(folder.path(), "").unwrap();
        assert!(folder.path().join("test.1").is_file());
        let failure = man_pages::<Cli>(Path::new("/nowhere/at/all"), "choose").unwrap_err();
        assert_eq!(failure.exit, Exit::Destination);
        assert!(
            failure.message.starts_with("/nowhere/at/all: ") && failure.message.ends_with("; choose"),
            "{}",
            failure.message
        );
    }
}
