//! A volume that is written to.
//!
//! Opening one changes nothing until it is clear that writing is possible: the image is raw and whole, neither a program of ours
//! (by locks) nor this machine (by a loop device) has it, and Linux has mounted the file system once for reading, where what a
//! journal's replay writes goes into memory. So a damaged volume is refused as it was.

use std::io;
use std::path::Path;
use std::sync::Arc;

use disk_partitions::Part;
use linux_full::WritableDisks;
use lkl::{Cause, Errno, Kernel, MountError, OwnedFd};
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::program::Program;
use lkl_session::session::{self, Session};
use lkl_write::{MountFlags, WritableDevice, WritableDisk, WritableSlice};

use crate::disks::{Claim, Disks, Refusal};
use crate::volume::Options;

#[cfg(windows)]
use lkl_host_nt::WritableFile;
#[cfg(unix)]
use lkl_host_posix::WritableFile;

/// statfs says so of a volume that Linux only reads.
const ST_RDONLY: u64 = 1;

/// A file system that is mounted for writing.
pub(crate) struct Writable {
    // In the order in which they must go.
    volume: lkl_write::Volume,
    device: WritableDevice,
    claim: Claim,
    fs_name: String,
    part: u32,
    what: String,
}

impl Writable {
    /// Mounts a file system of the session's image for writing.
    pub(crate) fn open(session: Session, options: &Options, disks: &Disks) -> Result<Writable, Failure> {
        let program = &options.program;
        if !options.recovery {
            let option = program.no_recovery;
            let why = "a journal that is left alone must not be written over; leave it out, or read only";
            return Err(Failure::new(Exit::Usage, format_args!("{option}: {why}")));
        }
        let image = options.image.display();
        if session.image.format != "raw" {
            let format = session.image.format;
            let reading = program.reading;
            return Err(Failure::new(
                Exit::Image,
                format_args!(
                    "{image}: an image in the format {format} is only ever read; {reading}, or make a raw image of it with qemu-img convert -O raw"
                ),
            ));
        }
        let part = session.part(options.part)?;
        if part.missing_bytes > 0 {
            let missing = session::missing(part);
            return Err(Failure::new(
                Exit::FileSystem,
                format_args!("{}: {missing}; or {}", session.what(part), program.reading),
            ));
        }
        let bytes = part.offset..part.offset.saturating_add(part.size_bytes);
        let claim = disks.claim(&options.image, bytes, || disk(&options.image, program));
        let claim = claim.map_err(|refusal| match refusal {
            Refusal::Open(failure) => failure,
            Refusal::Claimed => Failure::new(
                Exit::InUse,
                format_args!("{}: it is mounted already; name it once", session.what(part)),
            ),
        })?;
        let fs_name = look(&session, part, options)?;
        Writable::mount(&session, part, options, claim, fs_name)
    }

    fn mount(
        session: &Session,
        part: &Part,
        options: &Options,
        claim: Claim,
        fs_name: String,
    ) -> Result<Writable, Failure> {
        let (kernel, what, disk) = (session.kernel(), session.what(part), claim.disk());
        let other = |why: &dyn std::fmt::Display| Failure::new(Exit::Other, format_args!("{what}: {why}"));
        let slice = WritableSlice::new(
            Arc::clone(disk) as Arc<dyn WritableDisk>,
            part.offset,
            whole_blocks(disk, part),
        );
        let slice = slice.map_err(|_| {
            let reading = options.program.reading;
            other(&format_args!(
                "the partition does not begin at a block of the disk and cannot be written; {reading}"
            ))
        })?;
        let device = kernel.add_writable_disk(Arc::new(slice), 0).map_err(|errno| {
            let option = options.program.memory;
            other(&format_args!(
                "Linux does not take it as a disk: {errno}; try another {option}"
            ))
        })?;
        let given = mount_options(part, &fs_name, options.options.as_deref());
        let mark = kernel.read_log(u64::MAX, &mut []).0;
        // Programs that read through this Linux read for others, so the time of a read says nothing.
        let flags = MountFlags {
            no_access_times: true,
            synchronous: options.synchronous,
            ..MountFlags::default()
        };
        let volume = lkl_write::Volume::mount_with(kernel, &device, &fs_name, &given, flags);
        let volume = volume.map_err(|errno| {
            let error = MountError {
                fs_name: Some(fs_name.clone()),
                errno,
                detail: complaint(kernel, mark),
                cause: Cause::Other,
            };
            session.refusal(part, error, options.options.is_some()).failure
        })?;
        let writable = Writable {
            volume,
            device,
            claim,
            fs_name,
            part: part.number,
            what,
        };
        writable.prove(&options.program)?;
        Ok(writable)
    }

    /// Refuses a volume that Linux has mounted read-only nevertheless.
    fn prove(&self, program: &Program) -> Result<(), Failure> {
        let flags = self
            .root()
            .and_then(|root| root.statfs())
            .map(|found| found.flags);
        match flags {
            Ok(flags) if flags & ST_RDONLY == 0 => Ok(()),
            Ok(_) => Err(Failure::new(
                Exit::FileSystem,
                format_args!(
                    "{}: Linux only reads this {}; {}",
                    self.what, self.fs_name, program.reading
                ),
            )),
            Err(errno) => Err(Failure::new(
                Exit::FileSystem,
                format_args!("{}: {errno}; check the file system", self.what),
            )),
        }
    }

    pub(crate) fn root(&self) -> Result<OwnedFd, Errno> {
        self.volume.root()
    }

    pub(crate) fn fs_name(&self) -> &str {
        &self.fs_name
    }

    pub(crate) fn part(&self) -> u32 {
        self.part
    }

    pub(crate) fn sync(&self) -> Result<(), Errno> {
        self.volume.sync()
    }

    /// Writes everything and unmounts.
    pub(crate) fn unmount(self) -> Result<(), Failure> {
        let Writable {
            volume,
            device,
            claim,
            what,
            ..
        } = self;
        let unmounted = match volume.unmount() {
            Ok(()) => Ok(()),
            Err(error) if error.errno == Errno::EBUSY => {
                // Linux has it mounted still, so the disk and its lock stay until the process ends.
                std::mem::forget((error, device, claim));
                return Err(Failure::new(
                    Exit::InUse,
                    format_args!(
                        "{what}: files on it are open; what was written is on the disk, and it was not unmounted cleanly"
                    ),
                ));
            }
            Err(error) => Err(Failure::new(
                Exit::Destination,
                format_args!(
                    "{what}: not all of what was written has come to the image: {}; check the file system and the disk that it is on",
                    error.errno
                ),
            )),
        };
        // Not every file system ends with a flush.
        let removed = device.remove();
        let durable = claim.disk().file().sync_data();
        unmounted?;
        if let Err(errno) = removed {
            return Err(Failure::new(
                Exit::Other,
                format_args!("{what}: Linux does not let go of the disk: {errno}; check the file system"),
            ));
        }
        durable.map_err(|error| {
            Failure::new(
                Exit::Destination,
                format_args!(
                    "{what}: what was written may be lost: {}; check the disk that it is on",
                    reason(&error)
                ),
            )
        })
    }
}

/// Mounts the part for reading, to see that it can be mounted: Linux's name for the file system.
fn look(session: &Session, part: &Part, options: &Options) -> Result<String, Failure> {
    let mounted = session.mount_part(part, options.fs.as_deref(), options.options.as_deref());
    match mounted {
        Ok(mounted) => Ok(mounted.fs_name().to_owned()),
        Err(refusal) => Err(refusal.failure),
    }
}

/// Opens the image for writing, alone.
fn disk(image: &Path, program: &Program) -> Result<WritableFile, Failure> {
    let (shown, reading) = (image.display(), program.reading);
    if let Some(device) = loop_device(image) {
        return Err(Failure::new(
            Exit::InUse,
            format_args!(
                "{shown}: this machine has it as {device}; unmount that and take it away with losetup -d {device}"
            ),
        ));
    }
    WritableFile::open(image, true).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => Failure::new(
            Exit::InUse,
            format_args!("{shown}: it is in use by another program or mounted; end that first, or {reading}"),
        ),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Failure::new(
            Exit::Image,
            format_args!(
                "{shown}: it cannot be written: {}; {reading}, or choose an image that you may write",
                reason(&error)
            ),
        ),
        _ => Failure::new(
            Exit::Image,
            format_args!("{shown}: it cannot be written: {}; {reading}", reason(&error)),
        ),
    })
}

/// The loop device of this machine's that has the file.
fn loop_device(image: &Path) -> Option<String> {
    let image = image.canonicalize().ok()?;
    let devices = std::fs::read_dir("/sys/block").ok()?;
    devices.flatten().find_map(|device| {
        let backing = std::fs::read_to_string(device.path().join("loop/backing_file")).ok()?;
        let is_it = Path::new(backing.trim_end_matches('\n')) == image;
        is_it.then(|| format!("/dev/{}", device.file_name().to_string_lossy()))
    })
}

/// Bytes of a part in whole blocks of the disk.
fn whole_blocks(disk: &WritableFile, part: &Part) -> u64 {
    let block = u64::from(lkl::Disk::block_size(disk)).max(1);
    part.size_bytes - part.size_bytes % block
}

/// What the file system needs, and what the user says, which comes last and holds.
fn mount_options(part: &Part, fs_name: &str, given: Option<&str>) -> String {
    let needed = part
        .superblock
        .as_ref()
        .map_or("", |superblock| superblock.linux_options);
    // These keep a reader from a replay.
    let needed = needed
        .split(',')
        .filter(|option| !matches!(*option, "noload" | "norecovery"));
    // A superblock may ask for a panic, which would end every volume.
    let safe = match fs_name {
        "ext2" | "ext3" | "ext4" => "errors=remount-ro",
        _ => "",
    };
    let given = given.unwrap_or_default().split(',');
    let all = [safe].into_iter().chain(needed).chain(given.map(str::trim));
    let all: Vec<&str> = all.filter(|option| !option.is_empty()).collect();
    all.join(",")
}

/// The last complaint in Linux's log since `mark`.
fn complaint(kernel: &Kernel, mark: u64) -> String {
    let mut buffer = vec![0; 16 << 10];
    let (_, len) = kernel.read_log(mark, &mut buffer);
    let text = String::from_utf8_lossy(buffer.get(..len).unwrap_or_default());
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_user_hold() {
        let mut disk = vec![0u8; 4096];
        disk[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        let survey = disk_partitions::Survey::take(&disk[..], 4096, 512).unwrap();
        let options = |fs, given| mount_options(&survey.whole, fs, given);
        assert_eq!(
            options("ext4", Some("noatime, errors=continue")),
            "errors=remount-ro,noatime,errors=continue"
        );
        assert_eq!(options("xfs", None), "");
    }
}
