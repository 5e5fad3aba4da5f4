//! `lklrun`: see [`lklrun::cli`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lklrun::cli::main()
}
