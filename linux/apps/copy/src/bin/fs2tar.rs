//! `fs2tar`: see [`lklcopy::fs2tar`].

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    lklcopy::program::main::<lklcopy::fs2tar::Cli>()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("fs2tar: this program is for Linux");
    std::process::exit(1);
}
