//! Links Linux as it is fuzzed. `LKLFS_LKL_FUZZ_ARCHIVE=/path/to/lib*.a` names a library that is there already; without it
//! `lkl-build` makes one, or finds it in its cache. For Windows there is none, and the crate is empty. Without the feature `linux` nothing is linked.

use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted = std::env::var_os("CARGO_FEATURE_LINUX").is_some();
    if !wanted || std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return ExitCode::SUCCESS;
    }
    lkl_build::script::main(
        lkl_build::FUZZ,
        "LKLFS_LKL_FUZZ_ARCHIVE",
        "LKLFS_LKL_FUZZ_COFF_ARCHIVE",
    )
}
