//! Each fault of `examples/faults.rs` is contained by this system's host. `cargo test` builds the examples too, unless it is told
//! which tests to build.

#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::Command;

fn faults() -> Command {
    let tests = std::env::current_exe().expect("this program");
    let built = tests.parent().and_then(|deps| deps.parent());
    let program: PathBuf = built.expect("cargo's folder").join("examples/faults");
    assert!(program.exists(), "build the example first: {}", program.display());
    Command::new(program)
}

#[test]
fn every_fault_in_linux_is_contained_by_the_posix_host() {
    let listed = faults().output().expect("it runs").stdout;
    let kinds = String::from_utf8(listed).expect("names");
    assert!(kinds.lines().count() >= 11, "{kinds}");
    for kind in kinds.lines() {
        let ended = faults().arg(kind).output().expect("it runs");
        let said = String::from_utf8_lossy(&ended.stdout);
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{kind}: {}: {errors}", ended.status);
        assert!(
            said.starts_with(&format!("contained: {kind}: ")),
            "{kind}: {said}"
        );
    }
}
