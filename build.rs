//! Build script of the driver image: Linux as a COFF object, the resources, the linker's options.
//!
//! For any other target than Windows the crate is empty and nothing is done. `LKLFS_LKL_OBJECT` names a ready object
//! to link instead of building Linux; empty, it links none, which is enough to type-check.

use lklfs_nt::LogEvent;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The linker's options: what makes the image a driver, and a driver that loads under HVCI.
const LINK_OPTIONS: &[&str] = &[
    "/DRIVER",
    "/ENTRY:DriverEntry",
    "/NODEFAULTLIB",
    "/DYNAMICBASE",
    "/NXCOMPAT",
    "/INTEGRITYCHECK",
    "/RELEASE",
    "/OPT:REF",
    "/MANIFEST:NO",
    "/SUBSYSTEM:NATIVE,10.00",
];

/// Warnings of Microsoft's linker about what rustc cannot know: objects not compiled for kernel mode, and an entry
/// point that is exported too.
const LINK_IGNORE: &[&str] = &["/IGNORE:4257", "/IGNORE:4216"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LKLFS_LKL_OBJECT");
    if env::var("CARGO_CFG_TARGET_OS")? != "windows" {
        return Ok(());
    }
    if env::var("CARGO_CFG_TARGET_ENV")? != "msvc" {
        return Err("the driver is built for x86_64-pc-windows-msvc".into());
    }
    link_kit()?;
    if let Some(object) = linux()? {
        println!("cargo::rerun-if-changed={}", object.display());
        println!("cargo::rustc-cdylib-link-arg={}", object.display());
    }
    for option in LINK_OPTIONS.iter().chain(LINK_IGNORE) {
        println!("cargo::rustc-cdylib-link-arg={option}");
    }
    resources()
}

/// Tells the linker where the kit's import libraries are.
#[cfg(windows)]
fn link_kit() -> Result<(), Box<dyn Error>> {
    for path in wdk_build::Config::from_env_auto()?.library_paths()? {
        println!("cargo::rustc-link-search={}", path.display());
    }
    Ok(())
}

/// Tells the linker where the kit's import libraries are: `cargo xtask` has made a kit and names it.
#[cfg(not(windows))]
fn link_kit() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=WDKContentRoot");
    println!("cargo::rerun-if-env-changed=Version_Number");
    let root =
        env::var_os("WDKContentRoot").ok_or("no Windows Driver Kit: build with `cargo xtask driver`")?;
    let path = Path::new(&root)
        .join("Lib")
        .join(env::var("Version_Number")?)
        .join("km/x64");
    println!("cargo::rustc-link-search={}", path.display());
    Ok(())
}

/// The object that Linux is linked from.
fn linux() -> Result<Option<PathBuf>, Box<dyn Error>> {
    match env::var_os("LKLFS_LKL_OBJECT") {
        Some(path) if path.is_empty() => Ok(None),
        Some(path) => Ok(Some(path.into())),
        None => Ok(Some(
            lkl_build::library(lkl_build::Target::Coff, lkl_build::DRIVER)?.object,
        )),
    }
}

/// The version, which Explorer and the installer show, and the texts of the driver's events, which Event Viewer shows.
fn resources() -> Result<(), Box<dyn Error>> {
    const VFT_DRV: u64 = 3;
    const VFT2_DRV_SYSTEM: u64 = 7;
    const LANG_EN_US: u16 = 0x0409;
    if !cfg!(windows) && env::var_os("RC_PATH").is_none() {
        return Err("no resource compiler: build with `cargo xtask driver`".into());
    }
    let messages = Path::new(&env::var("OUT_DIR")?).join("messages.bin");
    fs::write(
        &messages,
        message_table(&LogEvent::ALL.map(|event| (event.id(), event.text())))?,
    )?;
    winresource::WindowsResource::new()
        .set_language(LANG_EN_US)
        .set("FileDescription", "Linux file systems for Windows (read-only)")
        .set("ProductName", "lklfs")
        .set("OriginalFilename", "lklfs.sys")
        .set("InternalName", "lklfs.sys")
        .set("LegalCopyright", "GPL-2.0-only; contains the Linux kernel")
        .set_version_info(winresource::VersionInfo::FILETYPE, VFT_DRV)
        .set_version_info(winresource::VersionInfo::FILESUBTYPE, VFT2_DRV_SYSTEM)
        .append_rc_content(&format!(
            "1 11 \"{}\"\n",
            messages.display().to_string().replace('\\', "\\\\")
        ))
        .compile()?;
    Ok(())
}

/// A message table (`MESSAGE_RESOURCE_DATA`): blocks of messages with consecutive numbers, here one a block; the messages in UTF-16.
/// Messages come in the order of their numbers.
fn message_table(messages: &[(u32, &str)]) -> Result<Vec<u8>, Box<dyn Error>> {
    const UNICODE: u16 = 1;
    let mut sorted = messages.to_vec();
    sorted.sort_unstable();
    let count = u32::try_from(sorted.len())?;
    let (mut table, mut entries) = (count.to_le_bytes().to_vec(), Vec::new());
    for (number, text) in sorted {
        let at = u32::try_from(4 + 12 * messages.len() + entries.len())?;
        for field in [number, number, at] {
            table.extend(field.to_le_bytes());
        }
        let mut units: Vec<u8> = text
            .encode_utf16()
            .chain("\r\n\0".encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        units.resize(units.len().next_multiple_of(4), 0);
        entries.extend(u16::try_from(4 + units.len())?.to_le_bytes());
        entries.extend(UNICODE.to_le_bytes());
        entries.extend(units);
    }
    table.extend(entries);
    Ok(table)
}
