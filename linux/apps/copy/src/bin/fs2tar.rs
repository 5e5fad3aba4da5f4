//! `fs2tar`: see [`lklcopy::fs2tar`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lklcopy::program::main::<lklcopy::fs2tar::Cli>()
}
