//! Links Linux as the driver has it. `LKLFS_LKL_ARCHIVE=/path/to/lib*.a`, or `LKLFS_LKL_COFF_ARCHIVE=C:\path\to\*.lib` on
//! Windows, names a library that is there already; without it `lkl-build` makes one, or finds it in its cache.

use std::process::ExitCode;

fn main() -> ExitCode {
    lkl_build::script::main(lkl_build::DRIVER, "LKLFS_LKL_ARCHIVE", "LKLFS_LKL_COFF_ARCHIVE")
}
