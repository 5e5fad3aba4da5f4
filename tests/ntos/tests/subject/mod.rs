//! Builds the test drivers and runs them in processes of their own, because the double ends its process when a driver
//! breaks a rule.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Mutex, OnceLock},
};

/// A tool, by the names that Debian and others give it.
fn tool(names: &[&str]) -> String {
    for name in names {
        if Command::new(name).arg("--version").output().is_ok() {
            return (*name).to_owned();
        }
    }
    panic!("none of {names:?} is installed");
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    let more = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?} failed:\n{text}{more}");
}

fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("drivers");
    std::fs::create_dir_all(&directory).expect("the target folder is writable");
    directory
}

/// An import library with every name that the double models, and one that nobody has.
fn kernel_library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let definition = directory().join("ntoskrnl.def");
        let library = directory().join("ntoskrnl.lib");
        let mut text = "LIBRARY ntoskrnl.exe\nEXPORTS\n".to_owned();
        for import in ntos::imports::all() {
            let data = if matches!(import.target, ntos::imports::Target::Data(_)) {
                " DATA"
            } else {
                ""
            };
            text += &format!("    {}{data}\n", import.name);
        }
        text += "    NotAnExportOfAnyKernel\n";
        std::fs::write(&definition, text).expect("the target folder is writable");
        run(Command::new(tool(&["llvm-dlltool-19", "llvm-dlltool"]))
            .args(["-m", "i386:x86-64", "-d"])
            .arg(&definition)
            .arg("-l")
            .arg(&library));
        library
    };
    LIBRARY.get_or_init(build).clone()
}

/// Compiles and links `drivers/<source>.c` as `<name>.sys`, with more arguments for the linker.
pub fn driver(source: &str, name: &str, link: &[&str]) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _guard = BUILDING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/drivers")
        .join(format!("{source}.c"));
    let object = directory().join(format!("{name}.obj"));
    let image = directory().join(format!("{name}.sys"));
    let mut compile = Command::new(tool(&["clang-19", "clang"]));
    compile.args([
        "--target=x86_64-pc-windows-msvc",
        "-ffreestanding",
        "-fms-extensions",
        "-O1",
        "-Wall",
        "-Wextra",
    ]);
    compile
        .args([
            "-Wno-unused-value",
            "-mno-stack-arg-probe",
            "-fasync-exceptions",
            "-c",
            "-o",
        ])
        .arg(&object)
        .arg(&from);
    run(&mut compile);
    let mut linker = Command::new(tool(&["lld-link-19", "lld-link"]));
    linker.args([
        "/DRIVER",
        "/SUBSYSTEM:NATIVE,10.00",
        "/ENTRY:DriverEntry",
        "/NODEFAULTLIB",
        "/RELEASE",
        "/MAP",
    ]);
    linker
        .args(link)
        .arg(format!("/OUT:{}", image.display()))
        .arg(&object)
        .arg(kernel_library());
    run(&mut linker);
    image
}

/// Runs the ignored test `child` of the calling test program in a process of its own: it loads `image` and calls its
/// entry with `which`. Returns what the process printed and the report of its failure, if any.
pub fn child(image: &Path, which: u32) -> (Output, Option<serde_json::Value>) {
    let report = directory().join(format!(
        "{}-{which}.json",
        image.file_stem().expect("a file").to_string_lossy()
    ));
    let _ = std::fs::remove_file(&report);
    let this = std::env::current_exe().expect("the test program has a path");
    let mut command = Command::new("timeout");
    command
        .arg("60")
        .arg(this)
        .args(["--ignored", "--exact", "child", "--nocapture", "--test-threads=1"]);
    command
        .env("NTOS_CHILD_IMAGE", image)
        .env("NTOS_CHILD_WHICH", which.to_string())
        .env("NTOS_REPORT", &report);
    // The bugs that are about shadow stacks.
    if which >= 75 {
        command.env("NTOS_SHADOW", "all");
    }
    let output = command.output().expect("timeout(1) is installed");
    let report = std::fs::read_to_string(report)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok());
    (output, report)
}

/// What `child` does: `None` when the process is not one.
pub fn be_child() -> Option<(PathBuf, u32)> {
    let image = std::env::var_os("NTOS_CHILD_IMAGE")?;
    let which = std::env::var("NTOS_CHILD_WHICH").ok()?.parse().ok()?;
    Some((image.into(), which))
}
