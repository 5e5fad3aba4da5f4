//! Makes the NT struct definitions: bindgen reads mingw-w64's DDK headers for the Windows target, and the status
//! codes are taken from its `ntstatus.h`.
//!
//! Needs `mingw-w64-x86-64-dev` and a libclang (bindgen looks it up; `LIBCLANG_PATH` says where else to look). Debian's
//! place for libclang 19 is tried when the variable is not set.

use std::{env, fmt::Write as _, fs, path::Path, path::PathBuf};

/// Where Debian puts mingw-w64's headers.
const MINGW_INCLUDE: &str = "/usr/x86_64-w64-mingw32/include";
/// Where Debian puts libclang 19.
const DEBIAN_LIBCLANG: &str = "/usr/lib/llvm-19/lib";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/nt/headers.h");
    println!("cargo::rerun-if-env-changed=LIBCLANG_PATH");
    println!("cargo::rerun-if-env-changed=NTOS_MINGW_INCLUDE");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let include = env::var("NTOS_MINGW_INCLUDE").unwrap_or_else(|_| MINGW_INCLUDE.to_owned());
    if !Path::new(&include).join("ddk/ntifs.h").exists() {
        panic!("no {include}/ddk/ntifs.h: install mingw-w64-x86-64-dev, or set NTOS_MINGW_INCLUDE");
    }
    if env::var_os("LIBCLANG_PATH").is_none() && Path::new(DEBIAN_LIBCLANG).exists() {
        // SAFETY: a build script has one thread.
        unsafe { env::set_var("LIBCLANG_PATH", DEBIAN_LIBCLANG) };
    }
    let definitions = bindgen::Builder::default()
        .header("src/nt/headers.h")
        .clang_args([
            "--target=x86_64-w64-windows-gnu",
            "-fno-ms-compatibility",
            "-Wno-everything",
        ])
        .clang_args(["-D_WIN32_WINNT=0x0A00", "-DNTDDI_VERSION=0x0A000000"])
        .clang_args([format!("-isystem{include}/ddk"), format!("-isystem{include}")])
        .ctypes_prefix("crate::nt::ctypes")
        .use_core()
        .derive_debug(false)
        .derive_default(false)
        .layout_tests(true)
        .clang_macro_fallback()
        .clang_macro_fallback_build_dir(&out)
        .generate_comments(false)
        .ignore_functions()
        .blocklist_item("STATUS_.*")
        .generate()
        .expect("mingw-w64's ntifs.h parses")
        .to_string()
        // Every function pointer in these structs is called with Microsoft's convention.
        .replace("extern \"C\" fn", "extern \"win64\" fn");
    fs::write(out.join("nt.rs"), definitions).expect("OUT_DIR is writable");

    let header = Path::new(&include).join("ntstatus.h");
    let text = fs::read_to_string(&header).expect("mingw-w64 has ntstatus.h");
    fs::write(out.join("status.rs"), status_codes(&text)).expect("OUT_DIR is writable");
}

/// Turns `#define STATUS_X ((NTSTATUS)0x...)` lines into constants and a table of names.
fn status_codes(header: &str) -> String {
    let mut code = String::new();
    let mut names = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in header.lines() {
        let mut words = line.split_whitespace();
        let (Some("#define"), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        let rest: String = words.collect();
        let Some(number) = rest
            .strip_prefix("((NTSTATUS)0x")
            .and_then(|r| r.split(')').next())
        else {
            continue;
        };
        let Ok(value) = u32::from_str_radix(number, 16) else {
            continue;
        };
        if !name.starts_with("STATUS_") || !seen.insert(name.to_owned()) {
            continue;
        }
        writeln!(
            code,
            "pub const {name}: NTSTATUS = 0x{value:08X}_u32 as NTSTATUS;"
        )
        .expect("a String");
        writeln!(names, "    (0x{value:08X}, \"{name}\"),").expect("a String");
    }
    format!(
        "{code}\n/// Every code with its name.\npub static STATUS_NAMES: &[(u32, &str)] = &[\n{names}];\n"
    )
}
