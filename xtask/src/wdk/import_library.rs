//! Import libraries for the kernel and the HAL, made from a list of names.
//!
//! Only names that every x64 NT exports are in the list, so a use of any other name fails to link, by name. Short
//! import objects let the linker put the address table into a read-only section, which mingw's own libraries do not.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use ar_archive_writer::{COFFShortExport, MachineTypes, write_import_library};

/// The images whose exports are listed; lines without an image name belong to the first.
pub const KERNEL: &str = "ntoskrnl.exe";
/// The hardware abstraction layer.
pub const HAL: &str = "hal.dll";

/// Exported variables. Their symbol names the slot of the import table, as it does in the WDK's library (`CONSTANT`).
const DATA: &[&str] = &[
    "CcFastMdlReadWait",
    "CcFastReadNotPossible",
    "CcFastReadWait",
    "ExDesktopObjectType",
    "ExEventObjectType",
    "ExSemaphoreObjectType",
    "ExWindowStationObjectType",
    "FsRtlLegalAnsiCharacterArray",
    "IoAdapterObjectType",
    "IoDeviceHandlerObjectType",
    "IoDeviceObjectType",
    "IoDriverObjectType",
    "IoFileObjectType",
    "KeNumberProcessors",
    "LpcPortObjectType",
    "MmHighestUserAddress",
    "MmSectionObjectType",
    "MmSystemRangeStart",
    "MmUserProbeAddress",
    "SeTokenObjectType",
];

/// Left out, because the image brings its own: `compiler_builtins` defines them, and one definition must win.
const OWN: &[&str] = &["memcmp", "memcpy", "memmove", "memset", "strlen"];

/// The names of `list` (one a line, `#` comments, `image!name` for other images) that `image` exports.
pub fn names<'a>(list: &'a str, image: &'a str) -> impl Iterator<Item = &'a str> {
    list.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(move |line| {
            let (from, name) = line.split_once('!').unwrap_or((KERNEL, line));
            (from == image).then_some(name)
        })
}

/// Writes the import library of `image` for the names in `list`.
pub fn write(path: &Path, list: &str, image: &str) -> Result<()> {
    let exports: Vec<COFFShortExport> = names(list, image)
        .filter(|name| !OWN.contains(name))
        .map(|name| COFFShortExport {
            name: name.to_owned(),
            ext_name: None,
            symbol_name: None,
            import_name: None,
            export_as: None,
            ordinal: 0,
            noname: false,
            data: false,
            private: false,
            constant: DATA.contains(&name),
        })
        .collect();
    let mut file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    write_import_library(&mut file, image, &exports, MachineTypes::AMD64, false, false, &[])
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_belongs_to_the_kernel_unless_it_names_an_image() {
        let list = "# comment\nCcCopyRead\n\nhal.dll!KeStallExecutionProcessor\n";
        assert_eq!(names(list, KERNEL).collect::<Vec<_>>(), ["CcCopyRead"]);
        assert_eq!(
            names(list, HAL).collect::<Vec<_>>(),
            ["KeStallExecutionProcessor"]
        );
    }

    #[test]
    fn every_listed_variable_is_in_the_committed_list() {
        let list = std::fs::read_to_string(crate::repo::root().join(super::super::EXPORTS)).unwrap();
        let kernel: Vec<&str> = names(&list, KERNEL).collect();
        for name in DATA {
            assert!(
                kernel.contains(name),
                "{name} is not in {}",
                super::super::EXPORTS
            );
        }
    }
}
