//! `cptofs`: this machine's files into a file system of an image.

use std::path::PathBuf;

use clap::{Parser, ValueHint};
use lkl::OwnedFd;
use lkl_session::exit::{Exit, Failure};
use lkl_session::text::shown;
use lkl_tree::linux::Below;
use lkl_tree::resolve::{Last, path_bytes, resolve};
use lkl_tree::volume::{Errno, Kind, Volume as _};
use lkl_volume::{Interruption, Program, Volume};

use crate::choice::Choices;
use crate::copy::{Copy, Wishes};
use crate::host_tree::HostTree;
use crate::image_place::ImagePlace;
use crate::program::{
    Command, Named, Opening, Ownership, Selection, last_name, means_contents, missing, named,
};
use crate::report::{Listing, Report};

/// Copy files and folders into a file system in a disk image
///
/// Linux' own file systems write the image, inside this program: no root, no mount, no driver of this machine's, and owners other than
/// oneself need no root either. Everything is kept, as by cp -a: owners (as numbers), modes, times to the nanosecond, extended
/// attributes, access lists, devices, several names of one file, holes. Images are raw files and disks.
#[derive(Clone, Debug, Parser)]
#[command(name = "cptofs", version, after_help = MORE, max_term_width = 100)]
pub struct Cli {
    /// What is copied, and last where it goes in the image: into that folder if it is one, otherwise it gets that name; of FOLDER/.
    /// what is in the folder
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
}

const MORE: &str = "\
Examples:
  truncate -s 1G disk.img && mkfs.ext4 -q disk.img
  cptofs -i disk.img tree/. /                  what is in tree, into the root
  cptofs -i disk.img -P 2 -o 0 -g 0 site.conf /etc
  cptofs -i disk.img --exclude '*.o' src /usr  /usr/src

What is there already is replaced when its successor is complete, and folders are merged. Sockets are left out. However it ends, the image
is unmounted, and what was copied until then is whole. Exit codes are those of userctl: 0 everything was copied, 2 the command line
is wrong, 3 the image cannot be read or written, 4 no file system or a damaged one, 5 a path does not exist, 6 no such partition,
7 Linux stopped, 8 the image is full or cannot hold it, 11 a file may not be read, 13 the image is in use, 130 interrupted.";

impl Command for Cli {
    const PROGRAM: Program = named("cptofs");

    fn run(self) -> Result<(), Failure> {
        let image = self.named.image.clone();
        let Some((target, sources)) = self.paths.split_last() else {
            return Err(missing("what is copied"));
        };
        let choices = Choices::new(&self.selection.exclude, self.selection.one_file_system)?;
        // Before anything is changed: what is not there at all is not copied.
        for source in sources {
            let tree = HostTree::new(source.clone());
            let path = path_bytes(source.as_os_str());
            tree.root().map_err(|errno| tree.failure(&path, errno))?;
        }
        let interruption = Interruption::watch(Self::PROGRAM);
        let options = self.opening.options(Self::PROGRAM, &image, true);
        let volume = lkl_volume::open(&options, self.opening.memory)?;
        let listing = match self.selection.verbose {
            true => Listing::Output,
            false => Listing::No,
        };
        let report = Report::new(Self::PROGRAM, listing);
        let wishes = self.ownership.wishes();
        let run = Run {
            volume: &volume,
            image: image.display().to_string(),
            choices: &choices,
            wishes: &wishes,
            report: &report,
            interruption: &interruption,
        };
        let done = run.copy(sources, &path_bytes(target.as_os_str()));
        self.opening.print_log(&volume);
        let unmounted = volume.unmount();
        match (done, unmounted) {
            (Ok(()), Ok(())) => report.finish(),
            (Ok(()), Err(failure)) => Err(failure),
            (Err(failure), Ok(())) if failure.exit == Exit::Interrupted => Err(Failure::new(
                Exit::Interrupted,
                "interrupted; what was copied before is whole, and the image is unmounted",
            )),
            (Err(failure), Ok(())) => Err(failure),
            (Err(failure), Err(more)) => {
                eprintln!("{}: {failure}", Self::PROGRAM.name);
                Err(more)
            }
        }
    }
}

struct Run<'a> {
    volume: &'a Volume,
    image: String,
    choices: &'a Choices,
    wishes: &'a Wishes,
    report: &'a Report,
    interruption: &'a Interruption,
}

impl Run<'_> {
    fn copy(&self, sources: &[PathBuf], target: &[u8]) -> Result<(), Failure> {
        for source in sources {
            let path = path_bytes(source.as_os_str());
            let path = &path[..];
            let tree = HostTree::new(source.clone());
            let fail = |errno| tree.failure(path, errno);
            let start = tree.root().map_err(fail)?;
            let kind = tree.stat(&start).map_err(fail)?.kind;
            let contents = means_contents(path) && kind == Kind::Directory;
            let (folder, name) = self.place(target, path, contents, sources.len() > 1)?;
            let mut copy = Copy::new(
                &tree,
                &ImagePlace,
                folder,
                &self.image,
                self.wishes,
                self.choices,
                self.report,
                self.interruption,
            );
            let mut path = path;
            while let Some(rest) = path.strip_suffix(b"/.").or(path.strip_suffix(b"/")) {
                if rest.is_empty() {
                    break;
                }
                path = rest;
            }
            copy.tree(start, path, name.as_deref())?;
        }
        Ok(())
    }

    /// The folder of the image that a copy is made in, and its name there; without a name the folder is what is copied.
    fn place(
        &self,
        target: &[u8],
        source: &[u8],
        contents: bool,
        several: bool,
    ) -> Result<(OwnedFd, Option<Vec<u8>>), Failure> {
        let root = self
            .volume
            .root()
            .map_err(|errno| Failure::at(b"/", errno, self.volume.is_dead()))?;
        let tree = Below::new(root);
        let own = last_name(source).map(<[u8]>::to_vec);
        let missing_exit = match resolve(&tree, target, Last::Followed) {
            Ok(found) if found.stat.kind == Kind::Directory => {
                return Ok((found.node, if contents { None } else { own }));
            }
            Ok(_) if several => return Err(no_folder(&self.image, target)),
            Ok(_) => None,
            Err(failure) => Some(failure),
        };
        let name = last_name(target)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| no_folder(&self.image, target))?;
        if several || target.ends_with(b"/.") {
            return Err(no_folder(&self.image, target));
        }
        let around = around(target);
        let found = resolve(&tree, around, Last::Followed).map_err(|_| no_folder(&self.image, around))?;
        if found.stat.kind != Kind::Directory {
            return Err(no_folder(&self.image, around));
        }
        match (tree.child(&found.node, &name), missing_exit) {
            (Err(Errno::ENOENT), _) | (Ok(_), None) => Ok((found.node, Some(name))),
            (_, Some(failure)) => Err(failure),
            (Err(errno), None) => Err(tree.failure(target, errno)),
        }
    }
}

/// The path without its last name.
fn around(path: &[u8]) -> &[u8] {
    let path = path.trim_ascii_end();
    let end = path
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(0, |last| last + 1);
    let path = path.get(..end).unwrap_or_default();
    let cut = path.iter().rposition(|byte| *byte == b'/');
    cut.and_then(|cut| path.get(..cut))
        .filter(|path| !path.is_empty())
        .unwrap_or(b"/")
}

fn no_folder(image: &str, path: &[u8]) -> Failure {
    let path = shown(path);
    Failure::new(
        Exit::Path,
        format_args!("{path}: no such folder in {image}; name one that is there, see userctl ls"),
    )
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
    fn the_folder_around_a_path() {
        for (path, wanted) in [("/a", "/"), ("a", "/"), ("/a/b", "/a"), ("a/b/", "a"), ("/", "/")] {
            assert_eq!(around(path.as_bytes()), wanted.as_bytes(), "{path}");
        }
    }
}
