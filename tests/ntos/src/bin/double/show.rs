//! What is printed about a volume.

use crate::failure::{Exit, Failure};
use ntos::nt::*;
use ntos::user::OpenAs;
use ntos::user::records;
use ntos::user::volume::{Entry, ReadError, Trouble, Volume, facts_of, join};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};

/// `bytes` with those below 0x21 and above 0x7e written `\xNN`; a backslash separates and stays.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            0x21..=0x7e => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text
}

fn utf8(path: &[u16]) -> Vec<u8> {
    String::from_utf16_lossy(path).into_bytes()
}

/// A path of the command line as the volume has it.
fn volume_path(text: &str) -> Vec<u16> {
    let mut path: Vec<u16> = text.replace('/', "\\").encode_utf16().collect();
    if path.first() != Some(&u16::from(b'\\')) {
        path.insert(0, u16::from(b'\\'));
    }
    while path.len() > 1 && path.last() == Some(&u16::from(b'\\')) {
        path.pop();
    }
    path
}

/// `attributes size mtime content path`, one line an entry, sorted by the bytes of the path.
///
/// The content is the sha256 of a file and the target of a link as Linux writes it (with the backslash
/// escaped, since it separates nothing there); `-` for the rest. A file with several names is read once.
pub fn manifest(volume: &Volume) -> Result<(), Failure> {
    let mut troubles = Vec::new();
    let mut entries = volume.walk(&mut troubles);
    entries.sort_by_cached_key(|entry| utf8(&entry.path));
    let mut out = BufWriter::new(io::stdout().lock());
    let mut hashes: HashMap<u64, String> = HashMap::new();
    for entry in &entries {
        match content(volume, entry, &mut hashes) {
            Ok(content) => {
                let Entry { path, facts } = entry;
                let directory = facts.attributes & FILE_ATTRIBUTE_DIRECTORY != 0;
                let size = if directory { 0 } else { facts.size };
                let (attributes, mtime) = (facts.attributes, facts.times[2]);
                writeln!(
                    out,
                    "{attributes:08x} {size} {mtime} {content} {}",
                    escaped(&utf8(path))
                )?;
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    out.flush()?;
    drop(out);
    for trouble in &troubles {
        eprintln!("double: {trouble}");
    }
    match troubles.len() {
        0 => Ok(()),
        count => Err(Failure::new(
            Exit::FileSystem,
            format_args!(
                "{count} entries cannot be read; the file system is damaged, repair a copy of the image"
            ),
        )),
    }
}

fn content(volume: &Volume, entry: &Entry, hashes: &mut HashMap<u64, String>) -> Result<String, Trouble> {
    let attributes = entry.facts.attributes;
    if attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        let target = records::linux_target(&volume.reparse(&entry.path)?);
        return Ok(target.map_or("-".into(), |target| {
            target.iter().map(|byte| one(*byte)).collect()
        }));
    }
    if attributes & FILE_ATTRIBUTE_DIRECTORY != 0 {
        return Ok("-".into());
    }
    let id = file_id(volume, entry)?;
    if let Some(hash) = id.and_then(|id| hashes.get(&id)) {
        return Ok(hash.clone());
    }
    let mut hasher = Sha256::new();
    let how = OpenAs::read().with(FILE_OPEN_REPARSE_POINT).exact_case();
    let len = volume.read(&entry.path, how, &mut |data| {
        hasher.update(data);
        Ok(())
    });
    match len {
        Ok(len) if len == entry.facts.size => {}
        Ok(len) => {
            let detail = format!("{len} bytes were read of {}", entry.facts.size);
            return Err(Trouble {
                path: entry.path.clone(),
                status: STATUS_FILE_CORRUPT_ERROR,
                detail,
            });
        }
        Err(ReadError::Volume(trouble)) => return Err(trouble),
        Err(ReadError::Sink(_)) => {}
    }
    let hash: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if let Some(id) = id {
        hashes.insert(id, hash.clone());
    }
    Ok(hash)
}

/// One byte of a target, the backslash escaped, too.
fn one(byte: u8) -> String {
    if byte == b'\\' {
        "\\x5c".into()
    } else {
        escaped(&[byte])
    }
}

/// The file's ID when it has more names than one.
fn file_id(volume: &Volume, entry: &Entry) -> Result<Option<u64>, Trouble> {
    let trouble = |status| Trouble {
        path: entry.path.clone(),
        status,
        detail: String::new(),
    };
    let handle = volume
        .open(&entry.path, OpenAs::look().exact_case())
        .map_err(trouble)?;
    let standard = handle.query_information(_FILE_INFORMATION_CLASS_FileStandardInformation as i32, 24);
    let standard = standard.into_result().map_err(trouble)?;
    if standard.get(16..20).is_none_or(|links| links == [1, 0, 0, 0]) {
        return Ok(None);
    }
    let id = handle.query_information(_FILE_INFORMATION_CLASS_FileInternalInformation as i32, 8);
    let id = id.into_result().map_err(trouble)?;
    Ok(id.try_into().ok().map(u64::from_le_bytes))
}

/// Names, sorted; with `long` all about each entry.
pub fn list(volume: &Volume, path: &str, long: bool, recursive: bool) -> Result<(), Failure> {
    let path = volume_path(path);
    let handle = volume.open(
        &path,
        OpenAs {
            access: OpenAs::look().access,
            ..OpenAs::read()
        },
    );
    let handle = handle.map_err(|status| Trouble {
        path: path.clone(),
        status,
        detail: String::new(),
    })?;
    let facts = facts_of(&handle).map_err(|status| Trouble {
        path: path.clone(),
        status,
        detail: String::new(),
    })?;
    let full: Vec<u16> = handle.path()[volume.device().encode_utf16().count()..].to_vec();
    handle.close();
    let mut out = BufWriter::new(io::stdout().lock());
    if facts.attributes & FILE_ATTRIBUTE_DIRECTORY == 0 {
        line(volume, &mut out, &path, &path, facts, long)?;
        return Ok(out.flush()?);
    }
    let mut todo = vec![if full.is_empty() {
        vec![u16::from(b'\\')]
    } else {
        full
    }];
    let mut first = true;
    while let Some(directory) = todo.pop() {
        if recursive {
            let gap = if first { "" } else { "\n" };
            writeln!(out, "{gap}{}:", String::from_utf16_lossy(&directory))?;
        }
        first = false;
        let mut entries = volume.list(&directory)?;
        entries.sort_by_cached_key(|entry| utf8(&entry.name));
        let mut below = Vec::new();
        for entry in &entries {
            let path = join(&directory, &entry.name);
            line(volume, &mut out, &entry.name, &path, entry.facts, long)?;
            let kind = entry.facts.attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT);
            if recursive && kind == FILE_ATTRIBUTE_DIRECTORY {
                below.push(path);
            }
        }
        todo.extend(below.into_iter().rev());
    }
    Ok(out.flush()?)
}

fn line(
    volume: &Volume,
    out: &mut impl Write,
    name: &[u16],
    path: &[u16],
    facts: records::FileFacts,
    long: bool,
) -> Result<(), Failure> {
    let name = String::from_utf16_lossy(name);
    if !long {
        writeln!(out, "{name}")?;
        return Ok(());
    }
    write!(
        out,
        "{:08x} {:>14} {} {name}",
        facts.attributes, facts.size, facts.times[2]
    )?;
    if facts.attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0
        && let Some(target) = records::linux_target(&volume.reparse(path)?)
    {
        write!(out, " -> {}", String::from_utf8_lossy(&target))?;
    }
    writeln!(out)?;
    Ok(())
}

/// The file's bytes; links are followed as Windows follows them.
pub fn cat(volume: &Volume, path: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match volume.read(&volume_path(path), OpenAs::read(), &mut |data| {
        out.write_all(data)
    }) {
        Ok(_) => Ok(out.flush()?),
        Err(ReadError::Volume(trouble)) => Err(trouble.into()),
        Err(ReadError::Sink(error)) => Err(error.into()),
    }
}

/// Device, partition, file system, label, serial number, size, attributes.
pub fn volume_info(volume: &Volume, part: u32) -> Result<(), Failure> {
    let root: Vec<u16> = vec![u16::from(b'\\')];
    let trouble = |status| Trouble {
        path: root.clone(),
        status,
        detail: String::new(),
    };
    let handle = volume.open(&root, OpenAs::look()).map_err(trouble)?;
    let ask = |class: u32, len: usize| handle.query_volume(class, len).into_result().map_err(trouble);
    let short = || trouble(STATUS_INFO_LENGTH_MISMATCH);
    let (serial, label) = records::volume_label(&ask(1, 600)?).ok_or_else(short)?;
    let (total, available, unit) = records::volume_size(&ask(7, 32)?).ok_or_else(short)?;
    let (attributes, longest, system) = records::volume_attributes(&ask(5, 600)?).ok_or_else(short)?;
    println!("device       {}", volume.device());
    println!(
        "partition    {}",
        if part == 0 {
            "whole disk".to_owned()
        } else {
            part.to_string()
        }
    );
    println!("file system  {}", String::from_utf16_lossy(&system));
    println!("label        {}", String::from_utf16_lossy(&label));
    println!("serial       {:04X}-{:04X}", serial >> 16, serial & 0xffff);
    println!("total bytes  {}", total * unit);
    println!("free bytes   {}", available * unit);
    println!("unit bytes   {unit}");
    println!("attributes   {attributes:08x}");
    println!("name length  {longest}");
    Ok(())
}

/// All about one entry itself.
pub fn entry_info(volume: &Volume, path: &str) -> Result<(), Failure> {
    let path = volume_path(path);
    let handle = volume.open(&path, OpenAs::look());
    let handle = handle.map_err(|status| Trouble {
        path: path.clone(),
        status,
        detail: String::new(),
    })?;
    let facts = facts_of(&handle).map_err(|status| Trouble {
        path: path.clone(),
        status,
        detail: String::new(),
    })?;
    println!("path         {}", String::from_utf16_lossy(&path));
    println!("attributes   {:08x}", facts.attributes);
    println!("size         {}", facts.size);
    println!("allocated    {}", facts.allocated);
    for (what, time) in ["created", "accessed", "written", "changed"]
        .iter()
        .zip(facts.times)
    {
        println!("{what:<12} {time}");
    }
    if facts.attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        match volume.reparse(&path)? {
            records::Reparse::Other(tag) => println!("reparse tag  {tag:08x}"),
            link => {
                let target = records::linux_target(&link).unwrap_or_default();
                println!("target       {}", String::from_utf8_lossy(&target));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_but_for_the_backslash() {
        assert_eq!(escaped(b"\\a b\\\xc3\xa4~"), "\\a\\x20b\\\\xc3\\xa4~");
        assert_eq!(volume_path("a/b/"), "\\a\\b".encode_utf16().collect::<Vec<_>>());
        assert_eq!(volume_path("/"), "\\".encode_utf16().collect::<Vec<_>>());
    }
}
