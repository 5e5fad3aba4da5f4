//! `cptofs`: see [`lklcopy::cptofs`].

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    lklcopy::program::main::<lklcopy::cptofs::Cli>()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("cptofs: this program is for Linux");
    std::process::exit(1);
}
