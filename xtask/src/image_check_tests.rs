//! Builds small images, each wrong in one way, and sees that the check names what is wrong.

use object::pe;
use object::write::pe::{NtHeaders, Writer};

use super::{checksum, checksum_offset, inspect};

const ALLOWED: &str = "DbgPrint\nhal.dll!KeStallExecutionProcessor\n";

/// An image that passes; each test changes one thing.
struct Image {
    machine: u16,
    subsystem: u16,
    flags: u16,
    text: u32,
    rdata: u32,
    entry_offset: u32,
    from: &'static str,
    import: &'static str,
    tls: bool,
    relocations: bool,
    unwind: bool,
    resource: bool,
    good_checksum: bool,
}

impl Default for Image {
    fn default() -> Image {
        Image {
            machine: pe::IMAGE_FILE_MACHINE_AMD64,
            subsystem: pe::IMAGE_SUBSYSTEM_NATIVE,
            flags: pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE
                | pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT
                | pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY,
            text: pe::IMAGE_SCN_CNT_CODE | pe::IMAGE_SCN_MEM_READ | pe::IMAGE_SCN_MEM_EXECUTE,
            rdata: pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ,
            entry_offset: 0,
            from: "ntoskrnl.exe",
            import: "DbgPrint",
            tls: false,
            relocations: true,
            unwind: true,
            resource: true,
            good_checksum: true,
        }
    }
}

impl Image {
    /// The file's bytes: `.text`, and `.rdata` with one import, whose other parts stand for the other tables.
    fn bytes(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let mut writer = Writer::new(true, 0x1000, 0x200, &mut data);
        writer.reserve_dos_header_and_stub();
        writer.reserve_nt_headers(16);
        writer.reserve_section_headers(2);
        let text = writer.reserve_section(*b".text\0\0\0", self.text, 16, 16);
        let rdata = writer.reserve_section(*b".rdata\0\0", self.rdata, 256, 256);
        let base = rdata.virtual_address;
        writer.set_data_directory(pe::IMAGE_DIRECTORY_ENTRY_IMPORT, base, 40);
        writer.set_data_directory(pe::IMAGE_DIRECTORY_ENTRY_IAT, base + 64, 16);
        for (present, index) in [
            (self.tls, pe::IMAGE_DIRECTORY_ENTRY_TLS),
            (self.relocations, pe::IMAGE_DIRECTORY_ENTRY_BASERELOC),
            (self.unwind, pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION),
            (self.resource, pe::IMAGE_DIRECTORY_ENTRY_RESOURCE),
        ] {
            if present {
                writer.set_data_directory(index, base + 128, 16);
            }
        }
        writer.write_dos_header_and_stub().unwrap();
        writer.write_nt_headers(NtHeaders {
            machine: self.machine,
            time_date_stamp: 0,
            characteristics: pe::IMAGE_FILE_EXECUTABLE_IMAGE,
            major_linker_version: 14,
            minor_linker_version: 0,
            address_of_entry_point: text.virtual_address + self.entry_offset,
            image_base: 0x1_8000_0000,
            major_operating_system_version: 10,
            minor_operating_system_version: 0,
            major_image_version: 0,
            minor_image_version: 0,
            major_subsystem_version: 10,
            minor_subsystem_version: 0,
            subsystem: self.subsystem,
            dll_characteristics: self.flags,
            size_of_stack_reserve: 0,
            size_of_stack_commit: 0,
            size_of_heap_reserve: 0,
            size_of_heap_commit: 0,
        });
        writer.write_section_headers();
        writer.write_section(text.file_offset, &[0xc3; 16]);
        writer.write_section(rdata.file_offset, &self.tables(base));
        if self.good_checksum {
            let field = checksum_offset(&data).unwrap();
            let sum = checksum(&data, field);
            data[field..field + 4].copy_from_slice(&sum.to_le_bytes());
        }
        data
    }

    /// One import descriptor and its strings, for a section at `base`.
    fn tables(&self, base: u32) -> Vec<u8> {
        const THUNKS: usize = 64;
        const IMAGE: usize = 160;
        const NAME: usize = 192;
        let mut tables = vec![0u8; 256];
        let mut put = |at: usize, value: u32| tables[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, base + THUNKS as u32);
        put(12, base + IMAGE as u32);
        put(16, base + THUNKS as u32);
        put(THUNKS, base + NAME as u32);
        tables[IMAGE..IMAGE + self.from.len()].copy_from_slice(self.from.as_bytes());
        tables[NAME + 2..NAME + 2 + self.import.len()].copy_from_slice(self.import.as_bytes());
        tables
    }

    /// The violations that the check finds.
    fn violations(&self) -> Vec<String> {
        inspect(&self.bytes(), ALLOWED).unwrap().violations
    }

    /// Asserts that exactly one thing is wrong, and that it is called `name`.
    #[track_caller]
    fn is_refused_for(&self, name: &str) {
        let violations = self.violations();
        assert!(
            matches!(&violations[..], [one] if one.contains(name)),
            "{name}: {violations:?}"
        );
    }
}

#[test]
fn a_good_image_passes_and_its_imports_are_listed() {
    let report = inspect(&Image::default().bytes(), ALLOWED).unwrap();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!(report.imports, ["ntoskrnl.exe!DbgPrint"]);
}

#[test]
fn an_import_that_is_not_listed_is_named() {
    Image {
        import: "ExAllocatePool2",
        ..Image::default()
    }
    .is_refused_for("ntoskrnl.exe!ExAllocatePool2");
}

#[test]
fn a_name_of_the_kernel_is_not_one_of_the_hal() {
    Image {
        from: "hal.dll",
        ..Image::default()
    }
    .is_refused_for("hal.dll!DbgPrint");
}

#[test]
fn other_images_are_refused() {
    let violations = Image {
        from: "ntdll.dll",
        ..Image::default()
    }
    .violations();
    assert!(violations[0].contains("ntdll.dll"), "{violations:?}");
}

#[test]
fn sections_are_never_writable_and_executable() {
    let image = Image {
        text: Image::default().text | pe::IMAGE_SCN_MEM_WRITE,
        ..Image::default()
    };
    let violations = image.violations();
    assert!(
        violations
            .iter()
            .any(|one| one.contains("section .text: writable and executable")),
        "{violations:?}"
    );
}

#[test]
fn the_import_table_is_read_only() {
    Image {
        rdata: Image::default().rdata | pe::IMAGE_SCN_MEM_WRITE,
        ..Image::default()
    }
    .is_refused_for("section .rdata: writable and holds the import table");
}

#[test]
fn the_entry_point_is_code() {
    Image {
        entry_offset: 0x1000,
        ..Image::default()
    }
    .is_refused_for("entry point");
}

#[test]
fn headers_are_a_drivers() {
    Image {
        machine: pe::IMAGE_FILE_MACHINE_ARM64,
        ..Image::default()
    }
    .is_refused_for("machine");
    Image {
        subsystem: pe::IMAGE_SUBSYSTEM_WINDOWS_CUI,
        ..Image::default()
    }
    .is_refused_for("subsystem");
    for (flag, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "dynamic base"),
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "no-execute"),
        (pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "force integrity"),
    ] {
        Image {
            flags: Image::default().flags & !flag,
            ..Image::default()
        }
        .is_refused_for(name);
    }
}

#[test]
fn tables_are_there_and_thread_local_storage_is_not() {
    Image {
        tls: true,
        ..Image::default()
    }
    .is_refused_for("TLS directory");
    Image {
        relocations: false,
        ..Image::default()
    }
    .is_refused_for("relocations");
    Image {
        unwind: false,
        ..Image::default()
    }
    .is_refused_for("unwind tables");
    Image {
        resource: false,
        ..Image::default()
    }
    .is_refused_for("version resource");
}

#[test]
fn the_checksum_is_the_files() {
    Image {
        good_checksum: false,
        ..Image::default()
    }
    .is_refused_for("checksum");
    let mut data = Image::default().bytes();
    let last = data.len() - 1;
    data[last] ^= 1;
    let violations = inspect(&data, ALLOWED).unwrap().violations;
    assert!(
        matches!(&violations[..], [one] if one.contains("checksum")),
        "{violations:?}"
    );
}
