//! `cptofs`: see [`lklcopy::cptofs`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lklcopy::program::main::<lklcopy::cptofs::Cli>()
}
