//! Runs a test command, shows what it prints, and keeps which tests failed and why: the summary of a long run says it again,
//! where its reader looks.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Lines of a failed test's own output that are kept: a panic's place and message are among the first.
const LINES: usize = 6;

/// What libtest has printed so far, as far as it speaks of failures.
#[derive(Default)]
struct Failures {
    /// The names, each followed by the first lines that the test printed.
    lines: Vec<String>,
    /// How many lines of the failure that is being read may still be kept.
    room: usize,
}

impl Failures {
    /// Takes one line of a test program's standard output.
    fn read(&mut self, line: &str) {
        let header = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(name) = header {
            self.lines.push(name.to_owned());
            self.room = LINES;
        } else if line == "failures:" || line.starts_with("test result:") {
            self.room = 0;
        } else if self.room > 0 && !line.trim().is_empty() {
            self.room -= 1;
            self.lines.push(format!("  {line}"));
        }
    }

    /// Takes one line of cargo's standard error: the programs that failed, at its end.
    fn read_cargo(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("`-p ") && line.ends_with('`') {
            self.lines.push(format!("program {line}"));
        }
    }
}

/// Runs `command`, which is `cargo test` or one of its kind. The error names each test that failed.
pub fn run(command: Command) -> Result<()> {
    eprintln!("$ {}", shown(&command));
    run_to(command, std::io::stdout(), std::io::stderr())
}

fn run_to(
    mut command: Command,
    mut out_to: impl Write,
    mut err_to: impl Write + Send + 'static,
) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(&command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let errors = std::thread::spawn(move || {
        let mut failures = Failures::default();
        copy(err, &mut err_to, |line| failures.read_cargo(line)).map(|()| failures)
    });
    let mut failures = Failures::default();
    copy(out, &mut out_to, |line| failures.read(line))?;
    let programs = errors.join().ok().context("a thread of ours panicked")??;
    let status = child.wait().context("waiting for the tests")?;
    if status.success() {
        return Ok(());
    }
    failures.lines.extend(programs.lines);
    bail!("{status}\n{}", failures.lines.join("\n"));
}

/// Copies a stream as it comes and hands each line on.
fn copy(from: Option<impl Read>, to: &mut impl Write, mut line: impl FnMut(&str)) -> Result<()> {
    let mut from = BufReader::new(from.context("the tests' output is no pipe")?);
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes)? > 0 {
        to.write_all(&bytes)?;
        line(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    Ok(to.flush()?)
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_test_is_named_with_what_it_said_first() {
        let text = "test a ... ok\ntest b::c ... FAILED\n\nfailures:\n\n---- b::c stdout ----\n\nthread 'b::c' panicked at x.rs:1:2:\n\
                    wrong\n\nfailures:\n    b::c\n\ntest result: FAILED. 1 passed; 1 failed";
        let mut failures = Failures::default();
        text.lines().for_each(|line| failures.read(line));
        failures.read_cargo("    `-p one --test two`");
        let expected = [
            "b::c",
            "  thread 'b::c' panicked at x.rs:1:2:",
            "  wrong",
            "program `-p one --test two`",
        ];
        assert_eq!(failures.lines, expected);
    }

    #[test]
    fn a_command_that_fails_is_an_error_and_its_lines_are_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo '`-p one --test two`' >&2; exit 3"]);
        let error = run_to(command, std::io::sink(), std::io::sink())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "exit status: 3\nprogram `-p one --test two`");
    }

    #[test]
    fn a_command_that_passes_is_no_error() {
        run(Command::new("true")).unwrap();
    }
}
