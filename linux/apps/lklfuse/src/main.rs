//! Mounts disks and disk images through FUSE: see [`lklfuse::run`].

#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    lklfuse::run::PROGRAM.main(lklfuse::run::run)
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("lklfuse: there is no FUSE here");
    std::process::exit(1);
}
