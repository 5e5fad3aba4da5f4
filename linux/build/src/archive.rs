//! A static library with one member, for linkers and for rustc's `static=` kind.

use crate::error::io;
use crate::{Error, Target, cache};
use ar_archive_writer::{ArchiveKind, DEFAULT_OBJECT_READER, NewArchiveMember, write_archive_to_stream};
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Wraps `object` into the library `library`, with an index of its symbols and no times or owners.
pub fn write(target: Target, object: &Path, library: &Path) -> Result<(), Error> {
    let bytes = io(fs::read(object), "cannot read", object)?;
    let name = object
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let member = NewArchiveMember::new(bytes, &DEFAULT_OBJECT_READER, name);
    let kind = match target {
        Target::Elf => ArchiveKind::Gnu,
        Target::Coff => ArchiveKind::Coff,
    };
    let mut out = Cursor::new(Vec::new());
    let result = write_archive_to_stream(&mut out, &[member], kind, false, None);
    io(result, "cannot write", library)?;
    cache::write_atomically(library, &out.into_inner())
}
