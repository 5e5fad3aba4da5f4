//! Runs the command that the command line asks for.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use clap::CommandFactory;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure, reason, stdout_failure};
use crate::resolve::path_bytes;
use crate::source::{self, Opened};
use crate::{
    cat, copy, diag, info, list, log, manifest, mount, policy, scratch, status, stop, unmount, volumes,
};

/// Does what `cli` asks for.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    if let Some(shell) = cli.completions {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "userctl", &mut script);
        return out
            .write_all(&script)
            .and_then(|()| out.flush())
            .map_err(|error| stdout_failure(&error));
    }
    let Some(command) = cli.command else {
        return Err(Failure::new(
            Exit::Usage,
            "there is no command; see userctl --help",
        ));
    };
    match command {
        Command::Info { source, json } => match source::open(&source)? {
            Opened::Driver(mounted) => info::run_mounted(&mounted, json, &mut out),
            Opened::Linux(session) => info::run(&session, source.part, json, &mut out),
        },
        Command::Ls {
            long,
            recursive,
            source,
            path,
            json,
        } => {
            let (path, options) = (
                path_bytes(&path),
                list::Options {
                    long,
                    recursive,
                    json,
                },
            );
            match source::open(&source)? {
                Opened::Driver(mounted) => list::run(&mounted, &path, options, &mut out),
                Opened::Linux(session) => list::run(&session.mount(source.part)?, &path, options, &mut out),
            }
        }
        Command::Cat { source, path } => {
            let path = path_bytes(&path);
            match source::open(&source)? {
                Opened::Driver(mounted) => cat::run(&mounted, &path, &mut out),
                Opened::Linux(session) => cat::run(&session.mount(source.part)?, &path, &mut out),
            }
        }
        Command::Manifest { source, json } => match source::open(&source)? {
            Opened::Driver(mounted) => manifest::run(&mounted, json, &mut out),
            Opened::Linux(session) => manifest::run(&session.mount(source.part)?, json, &mut out),
        },
        Command::Cp {
            recursive,
            force,
            keep_going,
            source,
            path,
            destination,
            json,
        } => {
            remove_scratch_when_interrupted();
            let options = copy::Options {
                recursive,
                force,
                keep_going,
            };
            let path = path_bytes(&path);
            let opened = source::open(&source)?;
            let bar = Bar::new(!json);
            let done = match &opened {
                Opened::Driver(mounted) => {
                    copy::run(mounted, &path, &destination, &mounted.stem(), options, &bar)
                }
                Opened::Linux(session) => {
                    let mounted = session.mount(source.part)?;
                    copy::run(&mounted, &path, &destination, &session.stem(), options, &bar)
                }
            };
            bar.0.finish_and_clear();
            let summary = done?;
            if json {
                serde_json::to_writer(&mut out, &summary).map_err(|error| stdout_failure(&error.into()))?;
                writeln!(out)
                    .and_then(|()| out.flush())
                    .map_err(|error| stdout_failure(&error))?;
            }
            Ok(())
        }
        Command::Man { directory } => man(&directory),
        // What is coloured goes out another way; the above writes bytes, which must stay as they are.
        driver => {
            drop(out);
            with_driver(driver, &mut anstream::AutoStream::auto(io::stdout()))
        }
    }
}

/// The commands that ask the driver.
fn with_driver(command: Command, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::List { json } => volumes::run(json, out),
        Command::Mount(options) => mount::run(&options, out),
        Command::Unmount { what, force, json } => unmount::run(what, force, json, out),
        Command::Stop { force } => stop::stop(force, out),
        Command::Start => stop::start(out),
        Command::Status { json } => status::run(json, out),
        Command::Policy(options) => policy::run(&options, out),
        Command::Log { follow, driver } => log::run(follow, driver, out),
        Command::Diag { file, force, json } => diag::run(&file, force, json, out),
        _ => Ok(()),
    }
}

fn remove_scratch_when_interrupted() {
    let handler = || {
        scratch::remove_all();
        eprintln!("userctl: interrupted; nothing was left behind");
        std::process::exit(i32::from(Exit::Interrupted as u8));
    };
    // Without a handler an interrupt still ends the process, only its temporary file stays.
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("userctl: warning: interrupts are not handled: {error}");
    }
}

fn man(directory: &Path) -> Result<(), Failure> {
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| {
        let directory = directory.display();
        Failure::new(
            Exit::Destination,
            format_args!(
                "{directory}: {}; name a directory that you may write",
                reason(&error)
            ),
        )
    })
}

/// A progress bar, hidden unless a person looks at stderr.
struct Bar(ProgressBar);

impl Bar {
    fn new(wanted: bool) -> Bar {
        if !wanted || !io::stderr().is_terminal() {
            return Bar(ProgressBar::hidden());
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
        let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        Bar(bar
            .with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar())))
    }
}

impl copy::Progress for Bar {
    fn wants_total(&self) -> bool {
        !self.0.is_hidden()
    }

    fn total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn note(&self, line: &str) {
        self.0.suspend(|| eprintln!("userctl: {line}"));
    }
}
