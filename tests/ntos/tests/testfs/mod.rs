//! Builds the test driver with clang and lld, and images for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const MINGW: &str = "/usr/x86_64-w64-mingw32";

/// Where this run's files lie.
pub fn scratch() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("testfs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the target directory is writable");
        dir
    })
}

fn run(program: &str, command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program} does not run: {error}; apt-get install clang-19 lld-19"));
    assert!(
        output.status.success(),
        "{program} fails:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The test driver with the fault `bug`, a name from its source.
pub fn driver(bug: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testfs/testfs.c");
    let (object, sys) = (
        scratch().join(format!("{bug}.obj")),
        scratch().join(format!("testfs-{bug}.sys")),
    );
    // The headers' intrinsics for processors that NT drivers do not ask for do not compile here.
    let hidden = ["IMMINTRIN", "X86INTRIN", "AMXINTRIN", "AMXTILEINTRIN", "MM3DNOW"];
    run(
        "clang-19",
        Command::new("clang-19")
            .args([
                "--target=x86_64-w64-windows-gnu",
                "-O1",
                "-ffreestanding",
                "-fno-stack-protector",
            ])
            .args(["-mno-stack-arg-probe", "-fno-ms-compatibility", "-Wno-everything"])
            .args(["-D_WIN32_WINNT=0x0A00", "-DNTDDI_VERSION=0x0A000000"])
            .args(hidden.iter().map(|name| format!("-D__{name}_H")))
            .arg(format!("-DBUG={bug}"))
            .args([
                "-isystem",
                &format!("{MINGW}/include/ddk"),
                "-isystem",
                &format!("{MINGW}/include"),
            ])
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object),
    );
    run(
        "lld-link-19",
        Command::new("lld-link-19")
            .args([
                "/DRIVER",
                "/SUBSYSTEM:NATIVE,10.00",
                "/ENTRY:DriverEntry",
                "/NODEFAULTLIB",
                "/RELEASE",
            ])
            .args(["/DYNAMICBASE", "/NXCOMPAT"])
            .arg(format!("/OUT:{}", sys.display()))
            .arg(&object)
            .arg(format!("{MINGW}/lib/libntoskrnl.a")),
    );
    sys
}

/// Lists a test volume through the driver with the fault `bug`, in a double of its own.
#[allow(dead_code, reason = "not every test program has faults")]
pub fn manifest(bug: &str, seed: u32) -> Output {
    let image = image(&format!("{bug}-{seed}.img"));
    Command::new(env!("CARGO_BIN_EXE_double"))
        .args(["manifest", "--seed", &seed.to_string(), "--driver"])
        .arg(driver(bug))
        .arg(image)
        .output()
        .expect("the double runs")
}

/// Bytes that differ from place to place.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(7) ^ (at / 251) ^ (at / 65_521)) as u8)
        .collect()
}

/// The files of the test volume.
pub fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("hello", b"hello world\n".to_vec()),
        ("empty", Vec::new()),
        ("big", pattern(700_001)),
        ("page", pattern(4096)),
    ]
}

/// A volume with [`files`] in the image `name`, padded to `pad` bytes before it.
pub fn image(name: &str) -> PathBuf {
    let files = files();
    let mut bytes = vec![0; 1024];
    bytes[..8].copy_from_slice(b"TESTFS01");
    bytes[8..12].copy_from_slice(&(files.len() as u32).to_le_bytes());
    for (index, (name, data)) in files.iter().enumerate() {
        // Odd places on purpose: nothing may rely on data that begins with a sector.
        let offset = bytes.len().next_multiple_of(512) + 100;
        let entry = 16 + index * 32;
        bytes[entry..entry + name.len()].copy_from_slice(name.as_bytes());
        bytes[entry + 16..entry + 24].copy_from_slice(&(offset as u64).to_le_bytes());
        bytes[entry + 24..entry + 32].copy_from_slice(&(data.len() as u64).to_le_bytes());
        bytes.resize(offset, 0);
        bytes.extend_from_slice(data);
    }
    bytes.resize((bytes.len() + 1024).next_multiple_of(4096), 0);
    let path = scratch().join(name);
    std::fs::write(&path, bytes).expect("the target directory is writable");
    path
}
