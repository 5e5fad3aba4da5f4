//! The command line. `--help` and the man page come from this definition.

use std::path::PathBuf;

use clap::{Parser, ValueHint};

/// Mount a disk or a disk image in a folder
///
/// Linux' own file systems read and write it, inside this program: no root, no loop device, no driver of this machine's. Images are
/// raw, VHD, VHDX or qcow2; only raw images and disks can be written. A volume is mounted read-only unless -o rw is given; a
/// journal is then replayed in memory only, and the image never changes.
#[derive(Clone, Debug, Parser)]
#[command(name = "lklfuse", version, after_help = MORE, max_term_width = 100)]
pub struct Cli {
    /// The image: a file (raw, VHD, VHDX, qcow2) or a disk
    #[arg(value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// The folder that is to show it
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// Options, separated by commas; may be given again
    #[arg(short, value_name = "OPTIONS")]
    pub options: Vec<String>,
    /// Stay in the foreground
    #[arg(short, long)]
    pub foreground: bool,
    /// What mount(8) says besides: nothing is sloppy, and nothing verbose
    #[arg(short = 'n', hide = true)]
    pub no_mtab: bool,
    /// This is the process in the background
    #[arg(long, hide = true)]
    pub daemon: bool,
}

const MORE: &str = "\
Options of lklfuse:
  rw                   mount for writing (raw images and disks)
  part=N               partition N, 0 for the whole disk [default: a file system of Linux's before others, the largest]
  fs=TYPE              take it for this file system, by Linux's name for it
  norecovery           do not replay a journal; the volume may then look older than it is
  memory=MIB           memory for Linux [default: 64, for writing 256, or what the journal needs]
  threads=N            requests that are answered at once [default: 2 for each processor, 8 at most]
  writeback            let the kernel keep what is written and tell of a full volume late, for speed

Options of every FUSE file system:
  allow_other          for other users, too; modes and owners count then
  allow_root           for root, too
  default_permissions  modes, owners and access lists count; without it the user who mounts may do everything
  fsname=NAME          the source that mount(8) shows [default: the image]
  dev, suid, exec, nodev, nosuid, noexec, sync, dirsync as for every mount

All others are for the file system, as for mount -o on Linux: subvol=home, uid=1000, compress=zstd.

Examples:
  lklfuse disk.img /mnt                        look into an image
  lklfuse disk.qcow2 /mnt -o part=2            into its second partition
  lklfuse disk.img /mnt -o rw                  change it
  fusermount3 -u /mnt                          unmount it; root may use umount
  mount -t fuse.lklfuse disk.img /mnt -o ro    by mount(8), which says rw unless it is told ro

In /etc/fstab:
  /srv/disk.img  /mnt  fuse.lklfuse  ro,allow_other,part=1  0  0

Exit codes are those of userctl: 0 mounted, 2 the command line is wrong, 3 the image cannot be read or written, 4 no file
system or a damaged one, 6 no such partition, 7 Linux stopped, 8 the folder cannot be mounted on, 13 the image is in use,
130 interrupted. In the foreground, 0 also says that everything was written when it ended.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
