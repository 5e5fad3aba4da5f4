//! What an image holds: its partitions and the file systems that are recognised. Linux is not asked.

use std::path::Path;

use disk_partitions::{Part, Partition};
use lkl_session::exit::Failure;
use lkl_session::image::Image;
use lkl_session::partition::type_name;
use lkl_session::session::{look, wanted_memory};

/// What an image holds.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The name of its format.
    pub format: &'static str,
    /// Bytes of its disk.
    pub size: u64,
    /// The part that is mounted when none is named; `None` when nothing is recognised that could be.
    pub preferred: Option<u32>,
    /// The whole disk, then its partitions.
    pub parts: Vec<Contained>,
    /// MiB that Linux needs for the largest journal in it, at least.
    pub memory: u32,
}

/// The whole disk, or a partition.
#[derive(Clone, Debug)]
pub struct Contained {
    /// The partition's number, as in Linux's device name; 0 for the whole disk.
    pub number: u32,
    /// Bytes from the start of the disk to its own.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// The name of a partition's type; empty for the whole disk.
    pub type_name: String,
    /// A partition's own name (GPT), if it has one.
    pub name: Option<String>,
    /// The file system that is recognised.
    pub file_system: Option<&'static str>,
    /// The file system's label, if it has one.
    pub label: Option<String>,
    /// The file system's UUID or serial number, if it has one.
    pub uuid: Option<String>,
    /// Whether Linux can mount it, if it is sound.
    pub is_readable: bool,
}

/// Looks at an image.
pub fn contents(image: &Path) -> Result<Contents, Failure> {
    let image = Image::open(image)?;
    let survey = look(&image)?;
    let table = survey.table.iter().flat_map(|table| &table.partitions);
    let partitions = survey.partitions.iter().zip(table);
    let partitions = partitions.map(|(part, partition)| contained(part, Some(partition)));
    Ok(Contents {
        format: image.format,
        size: image.size,
        preferred: survey.preferred().map(|part| part.number),
        memory: wanted_memory(&survey, true),
        parts: [contained(&survey.whole, None)]
            .into_iter()
            .chain(partitions)
            .collect(),
    })
}

fn contained(part: &Part, partition: Option<&Partition>) -> Contained {
    let superblock = part.superblock.as_ref();
    let filled = |text: String| (!text.is_empty()).then_some(text);
    Contained {
        number: part.number,
        offset: part.offset,
        size: part.size_bytes,
        type_name: partition.map_or_else(String::new, |partition| type_name(partition.kind)),
        name: partition.and_then(|partition| filled(partition.label.clone())),
        file_system: superblock.map(|superblock| superblock.kind.name()),
        label: superblock.and_then(|superblock| filled(superblock.label.to_string())),
        uuid: superblock.and_then(|superblock| Some(superblock.uuid?.to_string())),
        is_readable: part.is_readable(),
    }
}
