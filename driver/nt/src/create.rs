//! What an open asks for: options, disposition, share access, and what it is told.

use crate::number::{flag_numbers, named_numbers};

flag_numbers! {
    /// `CreateOptions` of `NtCreateFile`, the low 24 bits of `Parameters.Create.Options`.
    CreateOptions(u32);
    /// The name must be a directory.
    FILE_DIRECTORY_FILE = 0x0000_0001;
    /// Write through caches.
    FILE_WRITE_THROUGH = 0x0000_0002;
    /// Access will be sequential.
    FILE_SEQUENTIAL_ONLY = 0x0000_0004;
    /// Bypass the cache manager; offsets and lengths are whole sectors.
    FILE_NO_INTERMEDIATE_BUFFERING = 0x0000_0008;
    /// Synchronous, alertable waits.
    FILE_SYNCHRONOUS_IO_ALERT = 0x0000_0010;
    /// Synchronous waits.
    FILE_SYNCHRONOUS_IO_NONALERT = 0x0000_0020;
    /// The name must not be a directory.
    FILE_NON_DIRECTORY_FILE = 0x0000_0040;
    /// Make a tree connection (network redirectors).
    FILE_CREATE_TREE_CONNECTION = 0x0000_0080;
    /// Complete at once when an oplock must break.
    FILE_COMPLETE_IF_OPLOCKED = 0x0000_0100;
    /// The caller does not know extended attributes.
    FILE_NO_EA_KNOWLEDGE = 0x0000_0200;
    /// Open for recovery, even from remote storage.
    FILE_OPEN_REMOTE_INSTANCE = 0x0000_0400;
    /// Access will be random.
    FILE_RANDOM_ACCESS = 0x0000_0800;
    /// Delete when the last handle closes.
    FILE_DELETE_ON_CLOSE = 0x0000_1000;
    /// The name is an 8-byte file ID or a 16-byte object ID.
    FILE_OPEN_BY_FILE_ID = 0x0000_2000;
    /// For backup: some access checks are replaced by privileges.
    FILE_OPEN_FOR_BACKUP_INTENT = 0x0000_4000;
    /// Never compress a new file.
    FILE_NO_COMPRESSION = 0x0000_8000;
    /// Ask for an oplock with the open.
    FILE_OPEN_REQUIRING_OPLOCK = 0x0001_0000;
    /// Do not open an executable that is in use.
    FILE_DISALLOW_EXCLUSIVE = 0x0002_0000;
    /// The caller tracks sessions.
    FILE_SESSION_AWARE = 0x0004_0000;
    /// Reserve an opportunistic filter lock.
    FILE_RESERVE_OPFILTER = 0x0010_0000;
    /// Open the reparse point itself.
    FILE_OPEN_REPARSE_POINT = 0x0020_0000;
    /// Do not recall from remote storage.
    FILE_OPEN_NO_RECALL = 0x0040_0000;
    /// Query free space for the caller, not the volume.
    FILE_OPEN_FOR_FREE_SPACE_QUERY = 0x0080_0000;
}

named_numbers! {
    /// What to do when the file exists, and when not (the top 8 bits of `Parameters.Create.Options`).
    CreateDisposition(u32);
    /// Replace it, or create it.
    FILE_SUPERSEDE = 0;
    /// Open it, or fail.
    FILE_OPEN = 1;
    /// Create it, or fail.
    FILE_CREATE = 2;
    /// Open it, or create it.
    FILE_OPEN_IF = 3;
    /// Overwrite it, or fail.
    FILE_OVERWRITE = 4;
    /// Overwrite it, or create it.
    FILE_OVERWRITE_IF = 5;
}

named_numbers! {
    /// `IoStatus.Information` of a successful open.
    CreateInformation(u32);
    /// The old file is replaced.
    FILE_SUPERSEDED = 0;
    /// The file was there and is open.
    FILE_OPENED = 1;
    /// The file is new.
    FILE_CREATED = 2;
    /// The old data is gone.
    FILE_OVERWRITTEN = 3;
    /// The file exists.
    FILE_EXISTS = 4;
    /// The file does not exist.
    FILE_DOES_NOT_EXIST = 5;
}

flag_numbers! {
    /// What an open lets other opens do.
    ShareAccess(u16);
    /// Others may read.
    FILE_SHARE_READ = 0x1;
    /// Others may write.
    FILE_SHARE_WRITE = 0x2;
    /// Others may delete.
    FILE_SHARE_DELETE = 0x4;
}
