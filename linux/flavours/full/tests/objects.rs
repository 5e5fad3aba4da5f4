//! The two kernels as they are built: one has what writes, the other has nothing of it.

use lkl_build::{Artifacts, DRIVER, FULL, Request, Target, build};

/// From the cache, if anything was built before.
fn kernel(config: &str) -> Artifacts {
    let request = Request {
        config: config.to_owned(),
        ..Request::from_env().unwrap()
    };
    build(Target::Elf, &request).unwrap()
}

#[test]
fn the_full_kernel_writes_and_the_drivers_cannot() {
    let error = kernel(FULL).refuse_writes().unwrap_err().to_string();
    for name in [
        "linux_disk_add_writable",
        "hostblk_write_start",
        "hostblk_write_done",
        "hostblk_write_limits",
    ] {
        let named = format!("write to a disk: `{name}`");
        assert!(error.contains(&named), "{named} is not in: {error}");
    }
    kernel(DRIVER).refuse_writes().unwrap();
}

#[test]
fn the_full_kernel_has_all_that_the_drivers_has() {
    let read = |config| std::fs::read_to_string(kernel(config).config).unwrap();
    let full = read(FULL);
    let has = |line: &str| full.lines().any(|other| other == line);
    let file_systems = read(DRIVER);
    let missing: Vec<_> = file_systems
        .lines()
        .filter(|line| line.contains("_FS=y") || line.contains("_FS_") && line.ends_with("=y"))
        .filter(|line| !has(line))
        .collect();
    assert!(missing.is_empty(), "the full kernel has not: {missing:?}");
}

/// Nothing but the linker keeps a program from having both: it must.
#[test]
fn a_program_with_both_does_not_link() {
    let output = std::env::temp_dir().join(format!("two-kernels-{}.o", std::process::id()));
    let link = |libraries: &[&Artifacts]| {
        let linked = std::process::Command::new("ld")
            .args(["-r", "--whole-archive", "-o"])
            .arg(&output)
            .args(libraries.iter().map(|kernel| &kernel.library))
            .output()
            .unwrap();
        let _ = std::fs::remove_file(&output);
        (
            linked.status.success(),
            String::from_utf8_lossy(&linked.stderr).into_owned(),
        )
    };
    let (full, driver) = (kernel(FULL), kernel(DRIVER));
    let (linked, said) = link(&[&full]);
    assert!(linked, "{said}");
    let (linked, said) = link(&[&driver, &full]);
    assert!(
        !linked && said.contains("multiple definition of `linux_boot'"),
        "{said}"
    );
}
