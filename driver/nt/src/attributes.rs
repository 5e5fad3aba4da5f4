//! `FILE_ATTRIBUTE_*`: what a listing shows about a file.

use crate::number::flag_numbers;

flag_numbers! {
    /// A file's attributes.
    FileAttributes(u32);
    /// The file cannot be written.
    READONLY = 0x0000_0001;
    /// Listings leave the file out unless asked.
    HIDDEN = 0x0000_0002;
    /// The file belongs to the operating system.
    SYSTEM = 0x0000_0004;
    /// A directory.
    DIRECTORY = 0x0000_0010;
    /// Changed since the last back-up.
    ARCHIVE = 0x0000_0020;
    /// No other attribute: only ever alone.
    NORMAL = 0x0000_0080;
    /// A temporary file.
    TEMPORARY = 0x0000_0100;
    /// Parts of the file are not on the disk and read as zeros.
    SPARSE_FILE = 0x0000_0200;
    /// The file carries a reparse tag.
    REPARSE_POINT = 0x0000_0400;
    /// Stored compressed.
    COMPRESSED = 0x0000_0800;
    /// The data is elsewhere.
    OFFLINE = 0x0000_1000;
    /// Left out of content indexing.
    NOT_CONTENT_INDEXED = 0x0000_2000;
    /// Stored encrypted.
    ENCRYPTED = 0x0000_4000;
    /// Protected by checksums.
    INTEGRITY_STREAM = 0x0000_8000;
}
