//! `cpfromfs`: see [`lklcopy::cpfromfs`].

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lklcopy::program::main::<lklcopy::cpfromfs::Cli>()
}
