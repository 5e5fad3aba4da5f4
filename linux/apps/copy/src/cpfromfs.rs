//! `cpfromfs`: out of a file system of an image, into this machine's files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueHint};
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::watchdog::{self, Limit};
use lkl_tree::linux::Below;
use lkl_tree::resolve::{Last, path_bytes, resolve};
use lkl_tree::volume::Kind;
use lkl_volume::{Interruption, Program};

use crate::choice::Choices;
use crate::copy::Copy;
use crate::destination::Destination;
use crate::fs2tar::seconds;
use crate::host_place::{HostPlace, NOT_KEPT};
use crate::program::{
    Command, Named, Opening, Ownership, Selection, last_name, means_contents, missing, named,
};
use crate::report::{Listing, Report};

/// Copy files and folders out of a file system in a disk image
///
/// Linux' own file systems read the image, inside this program: no root, no mount, no driver of this machine's. Images are raw, VHD,
/// VHDX or qcow2, and never change. Everything is kept, as by cp -a: modes, times to the nanosecond, extended attributes, access
/// lists, several names of one file, holes; owners (as numbers) and devices if root runs it.
#[derive(Clone, Debug, Parser)]
#[command(name = "cpfromfs", version, after_help = MORE, max_term_width = 100)]
pub struct Cli {
    /// What is copied from the image, and last where it goes: into that folder if it is one, otherwise it gets that name; of
    /// FOLDER/. what is in the folder
    #[arg(value_name = "SRC... DST", value_hint = ValueHint::AnyPath, num_args = 2.., required = true)]
    pub paths: Vec<PathBuf>,
    /// The image
    #[command(flatten)]
    pub named: Named,
    /// How the image is opened
    #[command(flatten)]
    pub opening: Opening,
    /// What copies get
    #[command(flatten)]
    pub ownership: Ownership,
    /// What is copied
    #[command(flatten)]
    pub selection: Selection,
    /// Do not replay a journal; the volume may then look older than it is
    #[arg(long)]
    pub no_recovery: bool,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,
}

const MORE: &str = "\
Examples:
  cpfromfs -i disk.img /etc/fstab .            one file
  cpfromfs -i disk.qcow2 -P 2 /home /srv       /srv/home
  cpfromfs -i disk.img / tree                  all of it, as the folder tree

What is there already is replaced when its successor is complete, and folders are merged. Sockets are left out. A file has its name only when
it is complete. Exit codes are those of userctl: 0 everything was copied, 2 the command line is wrong, 3 the image cannot be read,
4 no file system or a damaged one, 5 a path does not exist, 6 no such partition, 7 Linux stopped, 8 the destination is full or
cannot be written, 9 the time limit passed, 13 the image is in use, 130 interrupted.";

impl Command for Cli {
    const PROGRAM: Program = named("cpfromfs");

    fn run(self) -> Result<(), Failure> {
        let image = self.named.image.clone();
        let Some((target, sources)) = self.paths.split_last() else {
            return Err(missing("what is copied"));
        };
        let choices = Choices::new(&self.selection.exclude, self.selection.one_file_system)?;
        let interruption = Interruption::watch(Self::PROGRAM);
        watchdog::start(Limit {
            program: Self::PROGRAM,
            subject: image.display().to_string(),
            timeout: self.timeout,
            is_finished: || false,
            clean_up: || {},
        });
        let mut options = self.opening.options(Self::PROGRAM, &image, false);
        options.recovery = !self.no_recovery;
        let volume = lkl_volume::open(&options, self.opening.memory)?;
        let root = volume
            .root()
            .map_err(|errno| Failure::at(b"/", errno, volume.is_dead()))?;
        let tree = Below::new(root);
        let listing = match self.selection.verbose {
            true => Listing::Output,
            false => Listing::No,
        };
        let report = Report::new(Self::PROGRAM, listing);
        let wishes = self.ownership.wishes();
        if let Some(what) = NOT_KEPT {
            Self::PROGRAM.note(format_args!("{what}"));
        }
        let (place, place_name) = (HostPlace::new(), target.display().to_string());
        let copied = sources.iter().try_for_each(|source| {
            let path = path_bytes(source.as_os_str());
            let last = match path.ends_with(b"/") || path.ends_with(b"/.") {
                true => Last::Followed,
                false => Last::Itself,
            };
            let found = resolve(&tree, &path, last)?;
            let contents = means_contents(&path) && found.stat.kind == Kind::Directory;
            let (folder, name) = destination(target, &path, contents, sources.len() > 1)?;
            let mut copy = Copy::new(
                &tree,
                &place,
                folder,
                &place_name,
                &wishes,
                &choices,
                &report,
                &interruption,
            );
            copy.tree(found.node, &found.path, name.as_deref())
        });
        self.opening.print_log(&volume);
        drop(tree);
        let unmounted = volume.unmount();
        match copied {
            Err(failure) if failure.exit == Exit::Interrupted => Err(Failure::new(
                Exit::Interrupted,
                "interrupted; what was copied before is whole",
            )),
            copied => copied.and(unmounted).and_then(|()| report.finish()),
        }
    }
}

/// The folder that a copy is made in, and its name there; without a name the folder is what is copied.
fn destination(
    target: &Path,
    source: &[u8],
    contents: bool,
    several: bool,
) -> Result<(<HostPlace as Destination>::Node, Option<Vec<u8>>), Failure> {
    let open = |path: &Path| {
        HostPlace::folder(path).map_err(|error| {
            Failure::new(
                Exit::Destination,
                format_args!(
                    "{}: {}; name a folder that is there",
                    path.display(),
                    reason(&error)
                ),
            )
        })
    };
    if target.is_dir() {
        let own = last_name(source).map(<[u8]>::to_vec);
        return Ok((open(target)?, if contents { None } else { own }));
    }
    if several {
        open(target)?;
    }
    let around = match target.parent() {
        Some(around) if !around.as_os_str().is_empty() => around,
        _ => Path::new("."),
    };
    let name = target
        .file_name()
        .ok_or_else(|| missing("the destination's name"))?;
    Ok((open(around)?, Some(path_bytes(name))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
