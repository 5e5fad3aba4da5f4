//! Control codes: what an `FSCTL_*` or `IOCTL_*` number says, and the ones that a file system meets.

use crate::number::named_numbers;

/// How a control's buffers are passed: the two low bits of its code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `METHOD_BUFFERED`: one system buffer for both directions.
    Buffered,
    /// `METHOD_IN_DIRECT`.
    InDirect,
    /// `METHOD_OUT_DIRECT`.
    OutDirect,
    /// `METHOD_NEITHER`: raw user pointers.
    Neither,
}

/// `FILE_ANY_ACCESS`.
pub const FILE_ANY_ACCESS: u32 = 0;
/// `FILE_READ_ACCESS`.
pub const FILE_READ_ACCESS: u32 = 1;
/// `FILE_WRITE_ACCESS`.
pub const FILE_WRITE_ACCESS: u32 = 2;

named_numbers! {
    /// A control code.
    ControlCode(u32);
    /// Level-1 oplock.
    FSCTL_REQUEST_OPLOCK_LEVEL_1 = 0x0009_0000;
    /// Level-2 oplock.
    FSCTL_REQUEST_OPLOCK_LEVEL_2 = 0x0009_0004;
    /// Batch oplock.
    FSCTL_REQUEST_BATCH_OPLOCK = 0x0009_0008;
    /// Acknowledge an oplock's break.
    FSCTL_OPLOCK_BREAK_ACKNOWLEDGE = 0x0009_000C;
    /// Acknowledge a batch oplock's break by closing soon.
    FSCTL_OPBATCH_ACK_CLOSE_PENDING = 0x0009_0010;
    /// Wait for an oplock's break.
    FSCTL_OPLOCK_BREAK_NOTIFY = 0x0009_0014;
    /// Lock the volume.
    FSCTL_LOCK_VOLUME = 0x0009_0018;
    /// Unlock the volume.
    FSCTL_UNLOCK_VOLUME = 0x0009_001C;
    /// Dismount the volume.
    FSCTL_DISMOUNT_VOLUME = 0x0009_0020;
    /// Is the volume mounted?
    FSCTL_IS_VOLUME_MOUNTED = 0x0009_0028;
    /// Is the path well formed?
    FSCTL_IS_PATHNAME_VALID = 0x0009_002C;
    /// Mark the volume dirty.
    FSCTL_MARK_VOLUME_DIRTY = 0x0009_0030;
    /// The disk runs of a paging file.
    FSCTL_QUERY_RETRIEVAL_POINTERS = 0x0009_003B;
    /// How the file is compressed.
    FSCTL_GET_COMPRESSION = 0x0009_003C;
    /// Compress the file.
    FSCTL_SET_COMPRESSION = 0x0009_C040;
    /// Oplock level 2 with an acknowledgement.
    FSCTL_OPLOCK_BREAK_ACK_NO_2 = 0x0009_0050;
    /// Invalidate all handles of a volume.
    FSCTL_INVALIDATE_VOLUMES = 0x0009_0054;
    /// Filter oplock.
    FSCTL_REQUEST_FILTER_OPLOCK = 0x0009_005C;
    /// Statistics.
    FSCTL_FILESYSTEM_GET_STATISTICS = 0x0009_0060;
    /// NTFS: volume data.
    FSCTL_GET_NTFS_VOLUME_DATA = 0x0009_0064;
    /// Which clusters are in use.
    FSCTL_GET_VOLUME_BITMAP = 0x0009_006F;
    /// The disk runs of a file.
    FSCTL_GET_RETRIEVAL_POINTERS = 0x0009_0073;
    /// Move a file's clusters.
    FSCTL_MOVE_FILE = 0x0009_0074;
    /// Is the volume dirty?
    FSCTL_IS_VOLUME_DIRTY = 0x0009_0078;
    /// Allow extended DASD I/O: reads beyond the partition's end as the boot sector tells it.
    FSCTL_ALLOW_EXTENDED_DASD_IO = 0x0009_0083;
    /// Set an object ID.
    FSCTL_SET_OBJECT_ID = 0x0009_0098;
    /// Get an object ID.
    FSCTL_GET_OBJECT_ID = 0x0009_009C;
    /// Delete an object ID.
    FSCTL_DELETE_OBJECT_ID = 0x0009_00A0;
    /// Set a reparse point.
    FSCTL_SET_REPARSE_POINT = 0x0009_00A4;
    /// Get a reparse point.
    FSCTL_GET_REPARSE_POINT = 0x0009_00A8;
    /// Delete a reparse point.
    FSCTL_DELETE_REPARSE_POINT = 0x0009_00AC;
    /// Get or make an object ID.
    FSCTL_CREATE_OR_GET_OBJECT_ID = 0x0009_00C0;
    /// Make a file sparse.
    FSCTL_SET_SPARSE = 0x0009_00C4;
    /// Zero a range.
    FSCTL_SET_ZERO_DATA = 0x0009_80C8;
    /// Which ranges of a file hold data.
    FSCTL_QUERY_ALLOCATED_RANGES = 0x0009_40CF;
    /// Write a USN record.
    FSCTL_WRITE_USN_CLOSE_RECORD = 0x0009_00EF;
    /// Query the USN journal.
    FSCTL_QUERY_USN_JOURNAL = 0x0009_00F4;
    /// Read a file's USN data.
    FSCTL_READ_FILE_USN_DATA = 0x0009_00EB;
    /// A lease-style oplock, with its own structure.
    FSCTL_REQUEST_OPLOCK = 0x0009_0240;
    /// Query a volume's persistent state.
    FSCTL_QUERY_PERSISTENT_VOLUME_STATE = 0x0009_023C;
    /// Set a volume's persistent state.
    FSCTL_SET_PERSISTENT_VOLUME_STATE = 0x0009_0238;
    /// Reserved by remote storage: query.
    FSCTL_QUERY_FILE_REGIONS = 0x0009_0284;
    /// Discard ranges of a file.
    FSCTL_FILE_LEVEL_TRIM = 0x0009_8208;
}

impl ControlCode {
    /// How its buffers are passed.
    pub const fn method(self) -> Method {
        match self.0 & 3 {
            0 => Method::Buffered,
            1 => Method::InDirect,
            2 => Method::OutDirect,
            _ => Method::Neither,
        }
    }

    /// The type of device that it is for.
    pub const fn device_type(self) -> u32 {
        self.0 >> 16
    }

    /// The right that the handle needs: `FILE_*_ACCESS`.
    pub const fn access(self) -> u32 {
        (self.0 >> 14) & 3
    }

    /// The function number.
    pub const fn function(self) -> u32 {
        (self.0 >> 2) & 0xFFF
    }
}
