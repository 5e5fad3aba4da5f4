//! The imports that look up other exports, and the kernel's version.

#![allow(non_snake_case)]

use crate::{
    imports::{Import, Since, Target},
    ke::gate,
    nt::*,
};

crate::table! {
    static TABLE = {
        MmGetSystemRoutineAddress <= PASSIVE;
        RtlGetVersion <= PASSIVE;
        PsGetVersion <= PASSIVE;
        IoIsWdmVersionAvailable <= HIGH;
        data NtBuildNumber = (&raw const BUILD).cast();
    }
}

/// This module's imports.
pub static IMPORTS: &[&[Import]] = &[TABLE];

static BUILD: u32 = 0xF000_4A65;

/// A played kernel's version: major, minor, build.
fn version() -> (u32, u32, u32) {
    match super::played() {
        Since::Nt52 => (5, 2, 3790),
        Since::Nt60 => (6, 0, 6002),
        Since::Nt61 => (6, 1, 7601),
        Since::Nt62 => (6, 2, 9200),
        Since::Nt10 => (10, 0, 19045),
    }
}

unsafe extern "win64" fn MmGetSystemRoutineAddress(name: PUNICODE_STRING) -> PVOID {
    // SAFETY: the driver passes a UNICODE_STRING.
    let name = String::from_utf16_lossy(unsafe { crate::rtl::units(name) });
    match super::visible(&name) {
        None => std::ptr::null_mut(),
        Some(import) => match import.target {
            Target::Data(datum) => datum.cast_mut().cast(),
            Target::Function(_) => gate::entry_of(&name, Some(import)) as PVOID,
        },
    }
}

unsafe extern "win64" fn RtlGetVersion(info: *mut OSVERSIONINFOEXW) -> NTSTATUS {
    let (major, minor, build) = version();
    // SAFETY: the driver passes an OSVERSIONINFO(EX)W with its size filled in.
    unsafe {
        let size = (*info).dwOSVersionInfoSize as usize;
        (*info).dwMajorVersion = major;
        (*info).dwMinorVersion = minor;
        (*info).dwBuildNumber = build;
        (*info).dwPlatformId = 2;
        (*info).szCSDVersion[0] = 0;
        if size >= size_of::<OSVERSIONINFOEXW>() {
            (*info).wServicePackMajor = 0;
            (*info).wServicePackMinor = 0;
            (*info).wSuiteMask = 0;
            (*info).wProductType = 1;
            (*info).wReserved = 0;
        }
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn PsGetVersion(
    major: *mut u32,
    minor: *mut u32,
    build: *mut u32,
    service_pack: PUNICODE_STRING,
) -> BOOLEAN {
    let (a, b, c) = version();
    for (place, value) in [(major, a), (minor, b), (build, c)] {
        if !place.is_null() {
            // SAFETY: the driver passes NULL or a pointer for the number.
            unsafe { *place = value };
        }
    }
    if !service_pack.is_null() {
        // SAFETY: the driver passes NULL or a UNICODE_STRING.
        unsafe { (*service_pack).Length = 0 };
    }
    0
}

unsafe extern "win64" fn IoIsWdmVersionAvailable(major: u8, minor: u8) -> BOOLEAN {
    // WDM ended at 6.0; later kernels say that.
    let (m, n, _) = version();
    let wdm = if (m, n) >= (6, 0) { (6, 0x00) } else { (1, 0x30) };
    u8::from((major, minor) <= wdm)
}
