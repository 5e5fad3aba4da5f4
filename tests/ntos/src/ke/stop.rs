//! Bug checks that the driver asks for.

#![allow(non_snake_case)]

use crate::nt::*;

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeBugCheck <= HIGH;
        KeBugCheckEx <= HIGH;
        KeRegisterBugCheckReasonCallback <= HIGH;
        KeDeregisterBugCheckReasonCallback <= HIGH;
        DbgBreakPoint <= HIGH;
        DbgBreakPointWithStatus <= HIGH;
    }
}

unsafe extern "win64" fn KeBugCheck(code: ULONG) -> ! {
    crate::fail!(BugCheck, "KeBugCheck({code:#x})")
}

unsafe extern "win64" fn KeBugCheckEx(code: ULONG, first: u64, second: u64, third: u64, fourth: u64) -> ! {
    crate::fail!(
        BugCheck,
        "KeBugCheckEx({code:#x}, {first:#x}, {second:#x}, {third:#x}, {fourth:#x})"
    )
}

unsafe extern "win64" fn KeRegisterBugCheckReasonCallback(
    _record: PVOID,
    _routine: PVOID,
    _reason: i32,
    _name: PVOID,
) -> BOOLEAN {
    1
}

unsafe extern "win64" fn KeDeregisterBugCheckReasonCallback(_record: PVOID) -> BOOLEAN {
    1
}

unsafe extern "win64" fn DbgBreakPoint() {
    crate::fail!(IllegalInstruction, "DbgBreakPoint without a debugger")
}

unsafe extern "win64" fn DbgBreakPointWithStatus(status: ULONG) {
    crate::fail!(
        IllegalInstruction,
        "DbgBreakPointWithStatus({status:#x}) without a debugger"
    )
}
