//! `lklsim`: see [`lklsim::cli`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lklsim::cli::main()
}
