//! Which part of an image is read, and what to say when none can be.

use disk_partitions::Part;
use fs_probe::signature::{self, Signature};

use super::Session;
use crate::exit::{Exit, Failure};
use crate::partition;

impl Session {
    /// Whether the user says how to mount: a failure is then an answer to that.
    pub fn is_told_how(&self) -> bool {
        self.fs.is_some() || self.options.is_some()
    }

    /// The part that was asked for, or the one that is meant when none is named.
    pub fn part(&self, asked: Option<u32>) -> Result<&Part, Failure> {
        let (image, partitions) = (self.image.path.display(), &self.survey.partitions);
        let (option, equals) = (self.program.part, self.program.equals);
        let Some(number) = asked else {
            let whole = &self.survey.whole;
            let may_be_named = partitions.is_empty() && self.fs.is_some();
            let preferred = self.survey.preferred().or(Some(whole).filter(|_| may_be_named));
            return preferred.ok_or_else(|| self.nothing_readable());
        };
        let there: Vec<String> = partitions.iter().map(|part| part.number.to_string()).collect();
        self.survey.part(number).ok_or_else(|| match there.as_slice() {
            [] if self.survey.table.is_none() => Failure::new(
                Exit::Partition,
                format_args!(
                    "{image}: there is no partition table; leave {option} out, or use {option}{equals}0"
                ),
            ),
            [] => Failure::new(
                Exit::Partition,
                format_args!("{image}: there is no partition {number}; its table has none"),
            ),
            there => Failure::new(
                Exit::Partition,
                format_args!(
                    "{image}: there is no partition {number}; choose one of: {}",
                    there.join(", ")
                ),
            ),
        })
    }

    fn nothing_readable(&self) -> Failure {
        let (image, count) = (self.image.path.display(), self.survey.partitions.len());
        let message = match (count, self.holds(&self.survey.whole)) {
            (0, Some(signature)) => format!(
                "{image}: there is {} ({}), and nothing that can be read here; see userctl info",
                signature.words, signature.name
            ),
            (0, None) => format!(
                "{image}: no file system is recognised; check the image, or name the file system with {}",
                self.program.fs
            ),
            _ => format!(
                "{image}: none of its {count} partitions holds a file system that can be read; see userctl info"
            ),
        };
        Failure::new(Exit::FileSystem, message)
    }

    /// What a part holds besides a file system that can be read: by its signature, or a file system that this Linux has not
    /// got.
    pub fn holds(&self, part: &Part) -> Option<Signature> {
        let view = partition::Disk::new(&self.image);
        let unreadable = || {
            let superblock = part.superblock.as_ref().filter(|_| !part.is_readable())?;
            Some(Signature {
                name: superblock.kind.name(),
                words: "a file system that this Linux has not got",
            })
        };
        signature::name(&part.view(&view), part.present_bytes()).or_else(unreadable)
    }
}
