//! `cpfromfs`: see [`lklcopy::cpfromfs`].

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    lklcopy::program::main::<lklcopy::cpfromfs::Cli>()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("cpfromfs: this program is for Linux");
    std::process::exit(1);
}
