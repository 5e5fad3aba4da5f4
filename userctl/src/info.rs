//! `userctl info`: what an image holds, or what a volume of the driver's is.

use std::io::Write;

use disk_partitions::{Part, Partition, Scheme};
use serde::Serialize;

use crate::driver::write_json;
use crate::exit::{Exit, Failure, stdout_failure};
use crate::mounted;
use crate::partition::type_name;
use crate::session::{self, Mounted, Refusal, Session};
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
    /// What the whole disk holds, by its signature.
    pub holds: Option<Holds>,
    /// The partition that was asked for, or the one that is meant when none is named; 0 for the whole disk, null when nothing
    /// can be read.
    pub part: Option<u32>,
    /// The file system there, if it can be mounted.
    pub file_system: Option<FileSystem>,
    /// Why not.
    pub problem: Option<String>,
    /// Of a btrfs whose default subvolume alone is shown: those at its top. `-o subvolid=5` shows all.
    pub hidden_subvolumes: Option<Vec<String>>,
}

/// What is there besides a file system that can be mounted.
#[derive(Debug, Serialize)]
pub struct Holds {
    /// As `blkid` calls it.
    pub name: &'static str,
    /// In words.
    pub words: &'static str,
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
    /// What else it holds, by its signature: a member of an array, encryption, swap.
    pub holds: Option<Holds>,
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

/// Writes what the image of `session` holds to `out`. That nothing on it can be mounted is an answer, too, unless the user
/// has said how to mount it.
pub fn run(session: &Session, asked: Option<u32>, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let survey = &session.survey;
    let table = survey.table.as_ref();
    let partitions = table.map_or(&[][..], |table| &table.partitions);
    let partitions = partitions
        .iter()
        .zip(&survey.partitions)
        .map(|(partition, part)| look(session, partition, part))
        .collect::<Result<Vec<_>, _>>()?;
    let mut info = Info {
        image: session.image.path.display().to_string(),
        format: session.image.format,
        size: session.image.size,
        table: table.map(|table| table.scheme).map(Scheme::name),
        partitions,
        holds: holds(session, &survey.whole),
        part: None,
        file_system: None,
        problem: None,
        hidden_subvolumes: None,
    };
    match session.part(asked) {
        Ok(part) => match session.mount_and_warn(part) {
            Ok(mounted) => {
                info.part = Some(part.number);
                info.file_system = Some(file_system(&mounted)?);
                info.hidden_subvolumes = session::hidden_subvolumes(&mounted).map(|names| {
                    let names = names.iter();
                    names.map(|name| shown(name)).collect()
                });
            }
            Err(Refusal { failure, .. }) if session.is_told_how() || failure.exit == Exit::Kernel => {
                return Err(failure);
            }
            Err(refusal) => {
                info.part = asked.or((!refusal.unknown).then_some(part.number));
                info.problem = (!refusal.unknown).then_some(refusal.failure.message);
            }
        },
        Err(failure) if asked.is_some() || session.is_told_how() => return Err(failure),
        Err(_) => {}
    }
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

fn look(session: &Session, partition: &Partition, part: &Part) -> Result<PartitionInfo, Failure> {
    let (file_system, problem) = match session.mount_part(part, None, None) {
        Ok(mounted) => (Some(mounted.fs_name().to_string()), None),
        Err(refusal) if refusal.failure.exit == Exit::Kernel => return Err(refusal.failure),
        Err(refusal) if refusal.unknown => (None, None),
        Err(refusal) => (None, Some(refusal.failure.message)),
    };
    Ok(PartitionInfo {
        number: part.number,
        offset: part.offset,
        size: part.size_bytes,
        kind: type_name(partition.kind),
        name: partition.label.clone(),
        holds: holds(session, part),
        file_system,
        problem,
    })
}

fn holds(session: &Session, part: &Part) -> Option<Holds> {
    session.holds(part).map(|found| Holds {
        name: found.name,
        words: found.words,
    })
}

fn file_system(mounted: &Mounted) -> Result<FileSystem, Failure> {
    let space = session::space(mounted)?;
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
        holds,
        file_system,
        problem,
    } in &info.partitions
    {
        let name = if name.is_empty() {
            String::new()
        } else {
            format!(" \"{}\"", shown(name.as_bytes()))
        };
        let what = match (file_system, holds, problem) {
            (Some(file_system), None, _) => file_system.clone(),
            (Some(file_system), Some(holds), _) => format!("{file_system}; {}", words(holds)),
            (None, Some(holds), _) => words(holds),
            (None, None, Some(problem)) => format!("unreadable ({problem})"),
            (None, None, None) => "not recognised".to_string(),
        };
        let text = format!(
            "offset {offset}, {length} bytes ({}), {kind}{name}: {what}",
            size(*length)
        );
        line(&format!("partition {number}:"), &format!(" {text}"))?;
    }
    if let Some(holds) = &info.holds {
        line("holds:", &words(holds))?;
    }
    match info.part {
        Some(0) => line("read:", "the whole image")?,
        Some(number) => line("read:", &format!("partition {number}"))?,
        None => {}
    }
    if let Some(file_system) = &info.file_system {
        write_file_system(file_system, out)?;
    } else {
        line("file system:", "none that can be read")?;
    }
    if let Some(problem) = &info.problem {
        self::line(out, "problem:", problem)?;
    }
    if let Some(names) = &info.hidden_subvolumes {
        let others = match names.as_slice() {
            [] => String::new(),
            names => format!(": {}", names.join(", ")),
        };
        let text = format!("this is the default subvolume only; -o subvolid=5 shows all{others}");
        self::line(out, "note:", &text)?;
    }
    Ok(())
}

/// A signature for people, with the name by which more can be found.
fn words(holds: &Holds) -> String {
    format!("{} ({})", holds.words, holds.name)
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
