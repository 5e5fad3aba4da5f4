//! Every number and every record of this crate against the Windows headers, by a C compiler.
//!
//! The test writes a C program of static assertions (values of constants, `sizeof`, `offsetof`) and has
//! `x86_64-w64-mingw32-gcc` check it against mingw-w64's headers. Records that are newer than those headers are
//! declared in the program as Microsoft's reference pages give them. Without the compiler the test says so and passes;
//! the continuous build has it.

use std::{fmt::Write as _, process::Command};

use lklfs_nt::{
    AccessMask, ControlCode, CreateDisposition, CreateOptions, FileAttributes, FileInformationClass,
    FsInformationClass, NtStatus, ReparseTag, dirinfo::*, diskio::*, fileinfo::*, fsinfo::*, record::Record,
};

const COMPILER: &str = "x86_64-w64-mingw32-gcc";

/// What the headers of mingw-w64 10 do not have.
const NEWER: &str = r"
typedef struct { UCHAR Identifier[16]; } T_FILE_ID_128;
#define DIR_HEAD ULONG NextEntryOffset; ULONG FileIndex; LARGE_INTEGER CreationTime, LastAccessTime, LastWriteTime, \
    ChangeTime, EndOfFile, AllocationSize; ULONG FileAttributes; ULONG FileNameLength
typedef struct { DIR_HEAD; ULONG EaSize, ReparsePointTag; T_FILE_ID_128 FileId; WCHAR FileName[1]; }
    FILE_ID_EXTD_DIR_INFORMATION;
typedef struct { DIR_HEAD; ULONG EaSize, ReparsePointTag; T_FILE_ID_128 FileId; CCHAR ShortNameLength;
    WCHAR ShortName[12]; WCHAR FileName[1]; } FILE_ID_EXTD_BOTH_DIR_INFORMATION;
typedef struct { DIR_HEAD; ULONG EaSize, ReparsePointTag; LARGE_INTEGER FileId; WCHAR FileName[1]; }
    FILE_ID_64_EXTD_DIR_INFORMATION;
typedef struct { DIR_HEAD; ULONG EaSize, ReparsePointTag; LARGE_INTEGER FileId; CCHAR ShortNameLength;
    WCHAR ShortName[12]; WCHAR FileName[1]; } FILE_ID_64_EXTD_BOTH_DIR_INFORMATION;
typedef struct { DIR_HEAD; ULONG EaSize, ReparsePointTag; LARGE_INTEGER FileId; T_FILE_ID_128 FileId128;
    WCHAR FileName[1]; } FILE_ID_ALL_EXTD_DIR_INFORMATION;
typedef struct { DIR_HEAD; ULONG EaSize, ReparsePointTag; LARGE_INTEGER FileId; T_FILE_ID_128 FileId128;
    CCHAR ShortNameLength; WCHAR ShortName[12]; WCHAR FileName[1]; } FILE_ID_ALL_EXTD_BOTH_DIR_INFORMATION;
typedef struct { ULONGLONG VolumeSerialNumber; T_FILE_ID_128 FileId; } T_FILE_ID_INFORMATION;
#define FILE_ID_INFORMATION T_FILE_ID_INFORMATION
#define STAT_HEAD LARGE_INTEGER FileId, CreationTime, LastAccessTime, LastWriteTime, ChangeTime, AllocationSize, \
    EndOfFile; ULONG FileAttributes, ReparseTag, NumberOfLinks
typedef struct { STAT_HEAD; ACCESS_MASK EffectiveAccess; } FILE_STAT_INFORMATION;
typedef struct { STAT_HEAD; ACCESS_MASK EffectiveAccess; ULONG LxFlags, LxUid, LxGid, LxMode, LxDeviceIdMajor,
    LxDeviceIdMinor; } FILE_STAT_LX_INFORMATION;
typedef struct { STAT_HEAD; ULONG DeviceType, DeviceCharacteristics, Reserved; LARGE_INTEGER VolumeSerialNumber;
    T_FILE_ID_128 FileId128; } FILE_STAT_BASIC_INFORMATION;
typedef struct { ULONG Flags; } FILE_CASE_SENSITIVE_INFORMATION;
typedef struct { ULONGLONG ActualTotalAllocationUnits, ActualAvailableAllocationUnits,
    ActualPoolUnavailableAllocationUnits, CallerTotalAllocationUnits, CallerAvailableAllocationUnits,
    CallerPoolUnavailableAllocationUnits, UsedAllocationUnits, TotalReservedAllocationUnits,
    VolumeStorageReserveAllocationUnits, AvailableCommittedAllocationUnits, PoolAvailableAllocationUnits;
    ULONG SectorsPerAllocationUnit, BytesPerSector; } FILE_FS_FULL_SIZE_INFORMATION_EX;
typedef struct { ULONG LogicalBytesPerSector, PhysicalBytesPerSectorForAtomicity,
    PhysicalBytesPerSectorForPerformance, FileSystemEffectivePhysicalBytesPerSectorForAtomicity, Flags,
    ByteOffsetForSectorAlignment, ByteOffsetForPartitionAlignment; } FILE_FS_SECTOR_SIZE_INFORMATION;
";

/// The control codes of disks, volumes and the mount manager.
const DISK_CODES: &[(u32, &str)] = &[
    (IOCTL_DISK_GET_DRIVE_GEOMETRY, "IOCTL_DISK_GET_DRIVE_GEOMETRY"),
    (
        IOCTL_DISK_GET_DRIVE_GEOMETRY_EX,
        "IOCTL_DISK_GET_DRIVE_GEOMETRY_EX",
    ),
    (IOCTL_DISK_IS_WRITABLE, "IOCTL_DISK_IS_WRITABLE"),
    (IOCTL_DISK_GET_PARTITION_INFO, "IOCTL_DISK_GET_PARTITION_INFO"),
    (IOCTL_DISK_GET_LENGTH_INFO, "IOCTL_DISK_GET_LENGTH_INFO"),
    (IOCTL_DISK_CHECK_VERIFY, "IOCTL_DISK_CHECK_VERIFY"),
    (IOCTL_STORAGE_CHECK_VERIFY, "IOCTL_STORAGE_CHECK_VERIFY"),
    (IOCTL_STORAGE_CHECK_VERIFY2, "IOCTL_STORAGE_CHECK_VERIFY2"),
    (IOCTL_STORAGE_GET_HOTPLUG_INFO, "IOCTL_STORAGE_GET_HOTPLUG_INFO"),
    (
        IOCTL_MOUNTDEV_QUERY_DEVICE_NAME,
        "IOCTL_MOUNTDEV_QUERY_DEVICE_NAME",
    ),
    (IOCTL_VOLUME_ONLINE, "IOCTL_VOLUME_ONLINE"),
    (IOCTL_VOLUME_GET_GPT_ATTRIBUTES, "IOCTL_VOLUME_GET_GPT_ATTRIBUTES"),
    (IOCTL_MOUNTMGR_CREATE_POINT, "IOCTL_MOUNTMGR_CREATE_POINT"),
    (IOCTL_MOUNTMGR_DELETE_POINTS, "IOCTL_MOUNTMGR_DELETE_POINTS"),
    (IOCTL_MOUNTMGR_QUERY_POINTS, "IOCTL_MOUNTMGR_QUERY_POINTS"),
    (
        IOCTL_MOUNTMGR_NEXT_DRIVE_LETTER,
        "IOCTL_MOUNTMGR_NEXT_DRIVE_LETTER",
    ),
    (
        IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION,
        "IOCTL_MOUNTMGR_VOLUME_ARRIVAL_NOTIFICATION",
    ),
    (IOCTL_MOUNTDEV_QUERY_UNIQUE_ID, "IOCTL_MOUNTDEV_QUERY_UNIQUE_ID"),
    (
        IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME,
        "IOCTL_MOUNTDEV_QUERY_SUGGESTED_LINK_NAME",
    ),
    (IOCTL_MOUNTDEV_LINK_CREATED, "IOCTL_MOUNTDEV_LINK_CREATED"),
    (IOCTL_MOUNTDEV_LINK_DELETED, "IOCTL_MOUNTDEV_LINK_DELETED"),
];

/// Where each record's name begins, when it has one: the member of that name in C.
const NAMES: &[(&str, &str)] = &[
    ("FILE_NAME_INFORMATION", "FileName"),
    ("FILE_STREAM_INFORMATION", "StreamName"),
    ("FILE_LINK_ENTRY_INFORMATION", "FileName"),
    ("FILE_DIRECTORY_INFORMATION", "FileName"),
    ("FILE_FULL_DIR_INFORMATION", "FileName"),
    ("FILE_ID_FULL_DIR_INFORMATION", "FileName"),
    ("FILE_BOTH_DIR_INFORMATION", "FileName"),
    ("FILE_ID_BOTH_DIR_INFORMATION", "FileName"),
    ("FILE_NAMES_INFORMATION", "FileName"),
    ("FILE_ID_EXTD_DIR_INFORMATION", "FileName"),
    ("FILE_ID_EXTD_BOTH_DIR_INFORMATION", "FileName"),
    ("FILE_ID_64_EXTD_DIR_INFORMATION", "FileName"),
    ("FILE_ID_64_EXTD_BOTH_DIR_INFORMATION", "FileName"),
    ("FILE_ID_ALL_EXTD_DIR_INFORMATION", "FileName"),
    ("FILE_ID_ALL_EXTD_BOTH_DIR_INFORMATION", "FileName"),
    ("FILE_FS_VOLUME_INFORMATION", "VolumeLabel"),
    ("FILE_FS_ATTRIBUTE_INFORMATION", "FileSystemName"),
];

fn assert_record<R: Record>(program: &mut String) {
    let name = R::C_NAME;
    for field in R::FIELDS {
        // The members of a nested record are the outer struct's own in C; where it begins is what counts.
        let (member, offset) = (field.c_name, field.offset);
        writeln!(
            program,
            "_Static_assert(offsetof({name}, {member}) == {offset}, \"{name}.{member} {offset}\");"
        )
        .unwrap();
    }
    match NAMES.iter().find(|(record, _)| *record == name) {
        Some((_, member)) => writeln!(
            program,
            "_Static_assert(offsetof({name}, {member}) == {}, \"{name}.{member}\");",
            R::NAME_OFFSET
        ),
        // These two end in a nested record with a name or entry of its own.
        None if name == "FILE_ALL_INFORMATION" => {
            writeln!(
                program,
                "_Static_assert(offsetof({name}, NameInformation.FileName) == {}, \"all\");",
                R::END
            )
        }
        None if name == "FILE_LINKS_INFORMATION" => {
            writeln!(
                program,
                "_Static_assert(offsetof({name}, Entry) == {}, \"links\");",
                R::END
            )
        }
        None => writeln!(
            program,
            "_Static_assert(sizeof({name}) == {}, \"sizeof {name}\");",
            R::SIZE
        ),
    }
    .unwrap();
    assert!(R::SIZE <= 200, "{name} exceeds writer::MAX_RECORD");
}

macro_rules! assert_records {
    ($program:expr; $( $record:ident )*) => { $( assert_record::<$record>($program); )* };
}

fn assert_values<T: Copy>(program: &mut String, prefix: &str, named: &[(T, &str)], value: impl Fn(T) -> u64) {
    for (constant, name) in named {
        let number = value(*constant);
        writeln!(
            program,
            "_Static_assert((unsigned long long)(ULONG)({prefix}{name}) == {number}ull, \"{prefix}{name}\");"
        )
        .unwrap();
    }
}

#[test]
fn numbers_and_layouts_are_those_of_the_windows_headers() {
    if Command::new(COMPILER).arg("--version").output().is_err() {
        eprintln!("SKIPPED: {COMPILER} is not installed, layouts are not checked");
        return;
    }
    let mut program = String::from(
        "#define _WIN32_WINNT 0x0A00\n#define NTDDI_VERSION 0x0A000007\n#include <ntifs.h>\n#include <ntddk.h>\n\
         #include <ntdddisk.h>\n#include <ntddvol.h>\n#include <mountmgr.h>\n#include <mountdev.h>\n\
         #include <ntstatus.h>\n#include <stddef.h>\n",
    );
    program.push_str(NEWER);
    let p = &mut program;
    assert_records!(p;
        FileBasicInformation FileStandardInformation FileInternalInformation FileEaInformation
        FileAccessInformation FileNameInformation FilePositionInformation FileModeInformation
        FileAlignmentInformation FileAllInformation FileStreamInformation FileCompressionInformation
        FileNetworkOpenInformation FileAttributeTagInformation FileLinksInformation FileLinkEntryInformation
        FileStandardLinkInformation FileIdInformation FileStatInformation FileStatLxInformation
        FileCaseSensitiveInformation FileStatBasicInformation
        FileDirectoryInformation FileFullDirInformation FileIdFullDirInformation FileBothDirInformation
        FileIdBothDirInformation FileNamesInformation FileIdExtdDirInformation FileIdExtdBothDirInformation
        FileId64ExtdDirInformation FileId64ExtdBothDirInformation FileIdAllExtdDirInformation
        FileIdAllExtdBothDirInformation
        FileFsVolumeInformation FileFsSizeInformation FileFsDeviceInformation FileFsAttributeInformation
        FileFsControlInformation FileFsFullSizeInformation FileFsObjectIdInformation
        FileFsVolumeFlagsInformation FileFsSectorSizeInformation FileFsFullSizeInformationEx
        DiskGeometry PartitionInformation LengthInformation HotplugInfo CreatePoint MountPoint DriveLetter
    );
    assert_values(p, "", DISK_CODES, u64::from);
    assert_values(p, "STATUS_", NtStatus::NAMED, |status| status.0.into());
    assert_values(p, "", AccessMask::NAMED, |mask| mask.0.into());
    let known: Vec<_> = FileAttributes::NAMED
        .iter()
        .filter(|(_, name)| *name != "INTEGRITY_STREAM")
        .copied()
        .collect();
    assert_values(p, "FILE_ATTRIBUTE_", &known, |attributes| attributes.0.into());
    // Three option bits are newer than the headers.
    let newer = [
        "FILE_DISALLOW_EXCLUSIVE",
        "FILE_SESSION_AWARE",
        "FILE_CREATE_TREE_CONNECTION",
    ];
    let known: Vec<_> = CreateOptions::NAMED
        .iter()
        .filter(|(_, name)| !newer.contains(name))
        .copied()
        .collect();
    assert_values(p, "", &known, |options| options.0.into());
    assert_values(p, "", CreateDisposition::NAMED, |disposition| {
        disposition.0.into()
    });
    let known: Vec<_> = FileInformationClass::NAMED
        .iter()
        .filter(|(class, _)| class.0 <= 74)
        .copied()
        .collect();
    assert_values(p, "", &known, |class| class.0.into());
    assert_values(p, "", FsInformationClass::NAMED, |class| class.0.into());

    let known: Vec<_> = ReparseTag::NAMED
        .iter()
        .filter(|(tag, _)| tag.0 >= 0xA000_0003 && tag.0 <= 0xA000_000C)
        .copied()
        .collect();
    assert_values(p, "", &known, |tag| tag.0.into());
    let newer = [
        "FSCTL_REQUEST_OPLOCK",
        "FSCTL_FILE_LEVEL_TRIM",
        "FSCTL_QUERY_FILE_REGIONS",
    ];
    let known: Vec<_> = ControlCode::NAMED
        .iter()
        .filter(|(_, name)| !newer.contains(name) && !name.contains("PERSISTENT_VOLUME_STATE"))
        .copied()
        .collect();
    assert_values(p, "", &known, |code| code.0.into());

    let directory = std::env::temp_dir().join(format!("lklfs-nt-layout-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let source = directory.join("layout.c");
    std::fs::write(&source, &program).unwrap();
    let ddk = [
        "/usr/x86_64-w64-mingw32/include/ddk",
        "/usr/share/mingw-w64/include/ddk",
    ];
    let output = Command::new(COMPILER)
        .args(["-fsyntax-only", "-w"])
        .args(ddk.iter().map(|path| format!("-I{path}")))
        .arg(&source)
        .output()
        .unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
