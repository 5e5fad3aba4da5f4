//! `fs2tar`: all that is in a file system of an image, as a tar archive.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueHint};
use lkl_session::exit::{Exit, Failure};
use lkl_session::watchdog::{self, Limit};
use lkl_tree::linux::Below;
use lkl_tree::scratch::{self, Scratch};
use lkl_volume::{Interruption, Program};

use crate::choice::Choices;
use crate::program::{Command, Opening, Selection, named};
use crate::report::{Listing, Report};
use crate::to_tar::{ToTar, written};

/// Make a tar archive of a file system in a disk image
///
/// Linux' own file systems read the image, inside this program: no root, no mount, no driver of this machine's. Images are raw, VHD,
/// VHDX or qcow2, and never change. The archive has all that a file is: owners (as numbers), modes, times to the nanosecond, extended
/// attributes, access lists, devices, several names of one file; holes are left out. GNU tar and bsdtar read all of it.
#[derive(Clone, Debug, Parser)]
#[command(name = "fs2tar", version, after_help = MORE, max_term_width = 100)]
pub struct Cli {
    /// The image: a file (raw, VHD, VHDX, qcow2) or a disk
    #[arg(value_hint = ValueHint::FilePath)]
    pub image: PathBuf,
    /// The archive that is made; - for standard output
    #[arg(value_name = "OUT.tar", value_hint = ValueHint::FilePath)]
    pub archive: PathBuf,
    /// How the image is opened
    #[command(flatten)]
    pub opening: Opening,
    /// What is copied
    #[command(flatten)]
    pub selection: Selection,
    /// Write a list of SELinux contexts: a path and its context a line, other bytes than letters as \xNN
    #[arg(short = 's', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub selinux_contexts: Option<PathBuf>,
    /// Do not replay a journal; the volume may then look older than it is
    #[arg(long)]
    pub no_recovery: bool,
    /// Have what can be read of a damaged volume: the rest is left out, or is zeros
    #[arg(long)]
    pub keep_going: bool,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

const MORE: &str = "\
Examples:
  fs2tar disk.img disk.tar                     all of it
  fs2tar -P 2 disk.qcow2 - | zstd > root.tar.zst
  fs2tar disk.img - | tar -t                   what is in it
  sudo tar -xpf disk.tar --xattrs --xattrs-include='*' --acls --numeric-owner -C /mnt

Sockets are left out. An archive that cannot be completed is removed. Exit codes are those of userctl: 0 the archive is complete,
2 the command line is wrong, 3 the image cannot be read, 4 no file system or a damaged one, 6 no such partition, 7 Linux stopped,
8 the archive cannot be written, 9 the time limit passed, 13 the image is in use, 130 interrupted.";

/// A time limit.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl Command for Cli {
    const PROGRAM: Program = named("fs2tar");

    fn run(self) -> Result<(), Failure> {
        let (image, target) = (self.image.clone(), self.archive.clone());
        let to_output = target.as_os_str() == "-";
        check(&image, &target, to_output)?;
        let choices = Choices::new(&self.selection.exclude, self.selection.one_file_system)?;
        let interruption = Interruption::watch(Self::PROGRAM);
        interruption.then(|| {
            // The image does not change, so there is nothing else to be brought to an end.
            scratch::remove_all();
            eprintln!("fs2tar: interrupted; nothing was left behind");
            std::process::exit(i32::from(Exit::Interrupted as u8));
        });
        if !to_output || self.timeout.is_some() {
            // A reader of the output may take its time.
            watchdog::start(Limit {
                program: Self::PROGRAM,
                subject: image.display().to_string(),
                timeout: self.timeout,
                is_finished: scratch::is_finished,
                clean_up: scratch::remove_all,
            });
        }
        let mut options = self.opening.options(Self::PROGRAM, &image, false);
        options.recovery = !self.no_recovery;
        let volume = lkl_volume::open(&options, self.opening.memory)?;
        let root = volume
            .root()
            .map_err(|errno| Failure::at(b"/", errno, volume.is_dead()))?;
        let tree = Below::new(root);
        let listing = match (self.selection.verbose, to_output) {
            (false, _) => Listing::No,
            (true, false) => Listing::Output,
            (true, true) => Listing::Error,
        };
        let report = Report::new(Self::PROGRAM, listing);
        let mut contexts = Out::maybe(self.selinux_contexts.as_deref())?;
        let name = match to_output {
            true => "standard output".to_owned(),
            false => target.display().to_string(),
        };
        let mut out = Out::new(&target, to_output)?;
        let mut to_tar = ToTar::new(&tree, &choices, &report, &name, &mut out);
        to_tar.keep_going = self.keep_going;
        to_tar.contexts = contexts.as_mut().map(|out| out as &mut dyn Write);
        let done = to_tar.run().map(drop);
        self.opening.print_log(&volume);
        done?;
        out.publish(&name)?;
        if let Some(contexts) = contexts {
            contexts.publish("--selinux-contexts")?;
        }
        drop(tree);
        volume.unmount()?;
        report.finish()
    }
}

/// Refuses what no one means.
fn check(image: &Path, target: &Path, to_output: bool) -> Result<(), Failure> {
    if to_output && io::stdout().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "standard output is a terminal; name a file, or send the archive to another program",
        ));
    }
    if !to_output && are_one(image, target) {
        return Err(Failure::new(
            Exit::Usage,
            format_args!(
                "{}: this is the image; name another file for the archive",
                target.display()
            ),
        ));
    }
    Ok(())
}

/// Whether two paths lead to one file.
#[cfg(unix)]
fn are_one(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path: &Path| {
        let found = path.metadata().ok()?;
        Some((found.dev(), found.ino()))
    };
    id(a).is_some() && id(a) == id(b)
}

/// Whether two paths lead to one file.
#[cfg(windows)]
fn are_one(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(a).is_some() && whole(a) == whole(b)
}

/// What is written: a file that gets its name when it is complete, or something that is no file.
struct Out {
    writer: BufWriter<Box<dyn Write>>,
    scratch: Option<(Scratch, PathBuf)>,
}

impl Out {
    fn maybe(path: Option<&Path>) -> Result<Option<Out>, Failure> {
        path.map(|path| Out::new(path, false)).transpose()
    }

    fn new(target: &Path, to_output: bool) -> Result<Out, Failure> {
        let fail = |error: io::Error| written(&target.display().to_string(), &error);
        if to_output {
            return Ok(Out::to(Box::new(io::stdout()), None));
        }
        // A link is followed, as tar does.
        let target = target.canonicalize().unwrap_or_else(|_| target.to_path_buf());
        if let Ok(found) = target.metadata() {
            if found.is_dir() {
                return Err(fail(io::ErrorKind::IsADirectory.into()));
            }
            if !found.is_file() {
                let file = File::options().write(true).open(&target).map_err(fail)?;
                return Ok(Out::to(Box::new(file), None));
            }
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".fs2tar-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let made = builder.tempfile_in(parent);
        let (file, path) = made.and_then(|made| Ok(made.keep()?)).map_err(fail)?;
        let scratch = Scratch::new(path);
        Ok(Out::to(Box::new(file), Some((scratch, target))))
    }

    fn to(writer: Box<dyn Write>, scratch: Option<(Scratch, PathBuf)>) -> Out {
        Out {
            writer: BufWriter::with_capacity(256 << 10, writer),
            scratch,
        }
    }

    /// It is complete.
    fn publish(mut self, name: &str) -> Result<(), Failure> {
        let fail = |error: io::Error| written(name, &error);
        self.writer.flush().map_err(fail)?;
        match self.scratch.take() {
            None => Ok(()),
            Some((scratch, target)) => scratch.finish(|path| std::fs::rename(path, target)).map_err(fail),
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn limits_are_numbers_of_seconds() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert!(seconds("-1").is_err() && seconds("soon").is_err());
    }
}
