//! Mounts disks and disk images through FUSE: parse, run, one line and an exit code.

#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use clap::Parser;
    use lkl_volume::{Exit, Failure};
    use std::process::ExitCode;

    lkl_volume::exit::end_on_panic();
    let failure = match lklfuse::cli::Cli::try_parse() {
        Ok(cli) => match lklfuse::run::run(&cli) {
            Ok(code) => return ExitCode::from(code),
            Err(failure) => failure,
        },
        Err(error) if !error.use_stderr() => {
            // Help that was asked for; a closed pipe is no fault.
            let _ = error.print();
            return ExitCode::from(Exit::Ok as u8);
        }
        Err(error) => {
            let text = error.to_string();
            let lines = text.lines().map(str::trim);
            let lines = lines.take_while(|line| !line.starts_with("Usage:"));
            let words: Vec<&str> = lines
                .filter(|line| !line.is_empty() && !line.starts_with("tip:"))
                .collect();
            let words = words.join(" ");
            let words = words.strip_prefix("error: ").unwrap_or(&words);
            Failure::new(Exit::Usage, format_args!("{words}; see lklfuse --help"))
        }
    };
    eprintln!("lklfuse: {failure}");
    ExitCode::from(failure.exit as u8)
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("lklfuse: there is no FUSE here");
    std::process::exit(1);
}
