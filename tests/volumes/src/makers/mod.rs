//! Images of file systems that the distribution has no maker for: System V, QNX, BeFS, EFS, Amiga, ADFS, OMFS, HFS+; and UFS by
//! `makefs`, in both byte orders.
//!
//! What Linux writes to is made empty here and filled by user-mode Linux, as a kind with a mkfs is. What it only reads is written
//! whole, from the objects of a tree ([`objects`]). One file a family, from the structures of Linux's own headers. So where a
//! maker and Linux misunderstand a format in the same way, a test of such an image shows only that they agree; what is known of
//! Linux's own mistakes is said in each file.
//!
//! These images have a cache of their own, beside the one of [`crate::make`]: a change here makes no other image again.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::kind::Kind;
use crate::make::{self, Made};
use crate::manifest::Manifest;
use crate::tree::{Plan, Tree, What};
use crate::uml::Job;

mod adfs;
mod affs;
mod befs;
mod bytes;
pub mod damage;
mod efs;
pub mod fatal;
mod hfsplus;
mod objects;
mod omfs;
mod qnx4;
mod qnx6;
mod sysv;
mod table;
mod ufs2;

/// Makes an empty volume of a size.
type Empty = fn(u64) -> Vec<u8>;
/// Makes a volume of a size with these objects.
type Whole = fn(&[objects::Object], u64) -> Vec<u8>;

/// How a kind of this module is made.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// Empty, to be filled by Linux.
    Empty(Empty),
    /// Whole.
    Whole(Whole),
    /// By `makefs`, with these options.
    Makefs(&'static [&'static str]),
}

/// Everything that decides what an image of this module holds.
const RECIPES: [&str; 17] = [
    include_str!("../content.rs"),
    include_str!("../tree.rs"),
    include_str!("../uml.rs"),
    include_str!("../write.rs"),
    include_str!("adfs.rs"),
    include_str!("affs.rs"),
    include_str!("befs.rs"),
    include_str!("bytes.rs"),
    include_str!("efs.rs"),
    include_str!("hfsplus.rs"),
    include_str!("objects.rs"),
    include_str!("omfs.rs"),
    include_str!("qnx4.rs"),
    include_str!("qnx6.rs"),
    include_str!("sysv.rs"),
    include_str!("table.rs"),
    include_str!("ufs2.rs"),
];

fn sources() -> &'static [(Kind, Source)] {
    static SOURCES: LazyLock<Vec<(Kind, Source)>> = LazyLock::new(table::all);
    &SOURCES
}

/// The kinds that are made here.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    sources().iter().map(|(kind, _)| kind)
}

/// An image of `kind`, of this module or not, with the tree of `plan`.
pub fn make(kind: &'static Kind, plan: &Plan) -> io::Result<Made> {
    match sources().iter().find(|(own, _)| own.name == kind.name) {
        Some((_, source)) => prepared(kind, *source, plan),
        None => make::make(kind, plan),
    }
}

fn prepared(kind: &'static Kind, source: Source, plan: &Plan) -> io::Result<Made> {
    let tree = Tree::new(plan, &kind.abilities);
    let folder = make::cache().join(format!("own-{}", digest(&RECIPES.concat())));
    let key = digest(&format!("{plan:?} {}", kind.size));
    let place = folder.join(format!("{}-{key}", kind.name));
    if !place.join("reference").exists() {
        fs::create_dir_all(&folder)?;
        let scratch = tempfile::Builder::new().prefix(".making-").tempdir_in(&folder)?;
        let image = scratch.path().join("image");
        produce(kind, source, &tree, &image)?;
        let reference = Job::fill(kind, plan, false)
            .run(&image)?
            .ok_or_else(|| io::Error::other("user-mode Linux read nothing"))?;
        fs::write(scratch.path().join("reference"), reference.to_string())?;
        let scratch = scratch.keep();
        // Another process may have made it meanwhile; that one is as good.
        if fs::rename(&scratch, &place).is_err() {
            fs::remove_dir_all(&scratch)?;
        }
    }
    let reference = fs::read_to_string(place.join("reference"))?;
    Ok(Made {
        kind,
        image: place.join("image"),
        tree,
        reference: Some(Manifest::parse(&reference).map_err(io::Error::other)?),
    })
}

fn digest(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn produce(kind: &Kind, source: Source, tree: &Tree, image: &Path) -> io::Result<()> {
    match source {
        Source::Empty(empty) => fs::write(image, empty(kind.size)),
        Source::Whole(volume) => fs::write(image, volume(&objects::objects(tree)?, kind.size)),
        Source::Makefs(options) => {
            let folder = tempfile::tempdir()?;
            tree.write(folder.path())?;
            let output = Command::new("makefs")
                .args(["-t", "ffs", "-s", &kind.size.to_string()])
                .args(options)
                .args([image, folder.path()])
                .stdin(Stdio::null())
                .output()
                .map_err(|error| {
                    io::Error::new(error.kind(), format!("makefs: {error}; install its package"))
                })?;
            if output.status.success() {
                return Ok(());
            }
            let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
            Err(io::Error::other(format!("makefs: {}: {said}", output.status)))
        }
    }
}

impl Made {
    /// How `found`, read from this image, differs from what was put on it in the fields that the file system keeps. At most
    /// `most` differences.
    pub fn differences(&self, found: &Manifest, most: usize) -> Vec<String> {
        let mut found = found.clone();
        if self.kind.linux == "befs" {
            // Linux's befs gives no length of a target that is in the inode.
            for entry in &self.tree.entries {
                let path = [b"/", &entry.path[..]].concat();
                if let (What::Link(target), Some(line)) = (&entry.what, found.0.get_mut(&path))
                    && target.len() <= befs::SHORT_TARGET
                    && line.size == 0
                {
                    line.size = target.len() as u64;
                }
            }
        }
        self.tree.differences(&found, self.kind.extra, most)
    }
}
