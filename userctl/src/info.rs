//! `userctl info`: what an image holds, or what a volume of the driver's is.

use std::io::Write;

use disk_partitions::{Partition, Scheme};
use serde::Serialize;

use crate::driver::write_json;
use crate::exit::{Exit, Failure, stdout_failure};
use crate::mounted;
use crate::partition::type_name;
use crate::session::{Mounted, Part, Session};
use crate::text::{shown, size};

/// All about an image, as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct Info {
    /// As it was named.
    pub image: String,
    /// Its format: `raw`, `VHD`, `VHDX` or `qcow2`.
    pub format: &'static str,
    /// The disk's length in bytes.
    pub size: u64,
    /// The kind of its partition table: `mbr` or `gpt`.
    pub table: Option<&'static str>,
    /// Its partitions and what is on them.
    pub partitions: Vec<PartitionInfo>,
    /// The partition that was asked for, or the first that is recognised; 0 for the whole disk.
    pub part: u32,
    /// The file system there.
    pub file_system: FileSystem,
}

/// All about a volume that the driver has mounted, as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct MountedInfo {
    /// As it was named.
    pub volume: String,
    /// The file system there.
    pub file_system: FileSystem,
}

/// A partition and what is on it.
#[derive(Debug, Serialize)]
pub struct PartitionInfo {
    /// Its number, as in Linux's device name (`sda1` is 1).
    pub number: u32,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes, as the table has it.
    pub size: u64,
    /// Its type: a name, or the raw identifier where there is none for it.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name (GPT), empty if it has none.
    pub name: String,
    /// Linux's name for the file system, if it can be mounted.
    pub file_system: Option<String>,
    /// Why not.
    pub problem: Option<String>,
}

/// A mounted file system.
#[derive(Debug, Serialize)]
pub struct FileSystem {
    /// Linux's name for it.
    pub name: String,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// Its UUID or serial number, if it has one.
    pub uuid: Option<String>,
    /// Bytes in all.
    pub total: u64,
    /// Bytes not in use.
    pub free: u64,
    /// Size of a block in bytes.
    pub block_size: u64,
    /// Number of inodes, 0 where there is no limit.
    pub inodes: u64,
    /// Inodes not in use.
    pub inodes_free: u64,
    /// Whether a journal was left unreplayed, so that this may be an older state.
    pub stale: bool,
}

/// Writes what the image of `session` holds to `out`.
pub fn run(session: &Session, asked: Option<u32>, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let partitions = session.table.as_ref().map_or(&[][..], |table| &table.partitions);
    let partitions = partitions
        .iter()
        .map(|partition| look(session, partition))
        .collect::<Result<Vec<_>, _>>()?;
    let info = |mounted: &Mounted| -> Result<Info, Failure> {
        Ok(Info {
            image: session.image.path.display().to_string(),
            format: session.image.format,
            size: session.image.size,
            table: session.table.as_ref().map(|table| table.scheme).map(Scheme::name),
            partitions,
            part: match &mounted.part {
                Part::Whole => 0,
                Part::Partition(partition) => partition.index,
            },
            file_system: file_system(mounted)?,
        })
    };
    let info = info(&session.mount(asked)?)?;
    if json {
        return write_json(&info, out);
    }
    write_text(&info, out)
        .and_then(|()| out.flush())
        .map_err(|error| stdout_failure(&error))
}

/// Writes what a volume of the driver's is to `out`.
pub fn run_mounted(mounted: &mounted::Mounted, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let info = MountedInfo {
        volume: mounted.name().to_string(),
        file_system: mounted.file_system()?,
    };
    if json {
        return write_json(&info, out);
    }
    line(out, "volume:", &shown(info.volume.as_bytes()))
        .and_then(|()| line(out, "read:", "through the driver"))
        .and_then(|()| write_file_system(&info.file_system, out))
        .and_then(|()| out.flush())
        .map_err(|error| stdout_failure(&error))
}

fn look(session: &Session, partition: &Partition) -> Result<PartitionInfo, Failure> {
    let (file_system, problem) = match session.mount_part(Part::Partition(partition.clone())) {
        Ok(mounted) => (Some(mounted.fs_name().to_string()), None),
        Err(refusal) if refusal.failure.exit == Exit::Kernel => return Err(refusal.failure),
        Err(refusal) if refusal.unknown => (None, None),
        Err(refusal) => (None, Some(refusal.failure.message)),
    };
    Ok(PartitionInfo {
        number: partition.index,
        offset: partition.offset,
        size: partition.size_bytes.saturating_add(partition.missing_bytes),
        kind: type_name(partition.kind),
        name: partition.label.clone(),
        file_system,
        problem,
    })
}

fn file_system(mounted: &Mounted) -> Result<FileSystem, Failure> {
    let space = mounted.space()?;
    Ok(FileSystem {
        name: mounted.fs_name().to_string(),
        label: mounted.label(),
        uuid: mounted.uuid(),
        total: space.total,
        free: space.free,
        block_size: space.block_size,
        inodes: space.inodes,
        inodes_free: space.inodes_free,
        stale: mounted.stale(),
    })
}

fn line(out: &mut dyn Write, name: &str, value: &str) -> std::io::Result<()> {
    writeln!(out, "{name:<13}{value}")
}

fn write_text(info: &Info, out: &mut dyn Write) -> std::io::Result<()> {
    let mut line = |name: &str, value: &str| line(out, name, value);
    line("image:", &shown(info.image.as_bytes()))?;
    line("format:", info.format)?;
    line("size:", &format!("{} bytes ({})", info.size, size(info.size)))?;
    match info.table {
        Some(kind) => line("table:", &kind.to_uppercase())?,
        None => line("table:", "none")?,
    }
    for PartitionInfo {
        number,
        offset,
        size: length,
        kind,
        name,
        file_system,
        problem,
    } in &info.partitions
    {
        let name = if name.is_empty() {
            String::new()
        } else {
            format!(" \"{}\"", shown(name.as_bytes()))
        };
        let what = match (file_system, problem) {
            (Some(file_system), _) => file_system.clone(),
            (None, Some(problem)) => format!("unreadable ({problem})"),
            (None, None) => "not recognised".to_string(),
        };
        let text = format!(
            "offset {offset}, {length} bytes ({}), {kind}{name}: {what}",
            size(*length)
        );
        line(&format!("partition {number}:"), &format!(" {text}"))?;
    }
    match info.part {
        0 => line("read:", "the whole image")?,
        number => line("read:", &format!("partition {number}"))?,
    }
    write_file_system(&info.file_system, out)
}

fn write_file_system(file_system: &FileSystem, out: &mut dyn Write) -> std::io::Result<()> {
    let mut line = |name: &str, value: &str| line(out, name, value);
    let FileSystem {
        name,
        label,
        uuid,
        total,
        free,
        block_size,
        inodes,
        inodes_free,
        stale,
    } = file_system;
    line("file system:", name)?;
    if let Some(label) = label {
        line("label:", &shown(label.as_bytes()))?;
    }
    if let Some(uuid) = uuid {
        line("uuid:", uuid)?;
    }
    line(
        "space:",
        &format!("{total} bytes ({}), {free} free ({})", size(*total), size(*free)),
    )?;
    line("block size:", &format!("{block_size} bytes"))?;
    if *inodes > 0 {
        line("inodes:", &format!("{inodes}, {inodes_free} free"))?;
    }
    if *stale {
        line("warning:", "mounted without recovery, this may be an older state")?;
    }
    Ok(())
}
