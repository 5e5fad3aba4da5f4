//! NT's own definitions: structs, constants and status codes, as the driver's compiler sees them.
//!
//! [`defs`] is made at build time by bindgen from mingw-w64's DDK headers for the Windows target, so `ULONG` is 32 bits
//! and `WCHAR` 16 although this process is a Linux one; each struct's layout is asserted at compile time. What those
//! headers lack or have too short is declared by hand in [`newer`], with asserts of its own. [`status`] has the
//! status codes.
//!
//! Everything is re-exported here: `use crate::nt::*` is meant to be used by the modules that implement imports.

/// C's integer types as Windows (LLP64) has them; bindgen's output names these.
#[allow(non_camel_case_types, missing_docs)]
pub mod ctypes {
    pub type c_char = i8;
    pub type c_schar = i8;
    pub type c_uchar = u8;
    pub type c_short = i16;
    pub type c_ushort = u16;
    pub type c_int = i32;
    pub type c_uint = u32;
    pub type c_long = i32;
    pub type c_ulong = u32;
    pub type c_longlong = i64;
    pub type c_ulonglong = u64;
    pub type c_float = f32;
    pub type c_double = f64;
    pub type c_void = core::ffi::c_void;
}

/// Made by bindgen from mingw-w64's `ddk/ntifs.h`.
#[allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    missing_docs,
    unnecessary_transmutes,
    unsafe_op_in_unsafe_fn,
    improper_ctypes,
    clippy::all,
    clippy::pedantic,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    clippy::missing_safety_doc
)]
pub mod defs {
    include!(concat!(env!("OUT_DIR"), "/nt.rs"));
}

/// NTSTATUS codes with their names.
#[allow(missing_docs, overflowing_literals)]
pub mod status {
    use super::defs::NTSTATUS;
    include!(concat!(env!("OUT_DIR"), "/status.rs"));

    /// `STATUS_...` for a code that the headers know, else its number.
    pub fn name(status: NTSTATUS) -> String {
        let code = status as u32;
        match STATUS_NAMES.iter().find(|(value, _)| *value == code) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("{code:#010x}"),
        }
    }
}

pub mod newer;

pub use defs::*;
pub use newer::*;
pub use status::*;

/// `NT_SUCCESS`: success and informational codes.
pub fn nt_success(status: NTSTATUS) -> bool {
    status >= 0
}
