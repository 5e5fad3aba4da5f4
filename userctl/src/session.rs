//! A file system that the Linux in this program has mounted, as the commands see it.

use lkl_session::image::Sharing;
use lkl_session::program::Program;
use lkl_session::session::Options;

use crate::cli::Source;
use crate::entries::{MOST_BYTES, Names};
use crate::exit::Failure;
use crate::volume::{Space, Volume};

pub use lkl_session::session::{Mounted, Refusal, Session};

/// What messages call this program and its options.
pub const PROGRAM: Program = Program::new("userctl");

/// Opens the image that `source` names, and boots Linux.
pub fn open(source: &Source) -> Result<Session, Failure> {
    Session::open(&Options {
        program: PROGRAM,
        image: source.image.clone(),
        sharing: Sharing::Any,
        fs: source.fs.clone(),
        options: source.options.clone(),
        recovery: !source.no_recovery,
        memory: source.memory,
        print_log: source.linux_log,
    })
}

/// The subvolumes at the top of a btrfs of which only the default subvolume is shown; `None` when the top itself is
/// shown, or it cannot be told.
///
/// Each subvolume is a device of its own to `stat`, and its root has the same number everywhere.
pub fn hidden_subvolumes(mounted: &Mounted) -> Option<Vec<Vec<u8>>> {
    const ROOT: u64 = 256;
    if mounted.fs_name() != "btrfs" {
        return None;
    }
    let top = mounted.view("subvolid=5").ok()?;
    let (shown, all) = (mounted.root().ok()?.statx().ok()?, top.statx().ok()?);
    if shown.dev == all.dev {
        return None;
    }
    let (names, _) = Names::of(mounted, &top, MOST_BYTES);
    let subvolumes = names.iter().filter(|name| {
        let found = mounted.child(&top, name).and_then(|node| node.statx());
        found.is_ok_and(|stat| stat.ino == ROOT && stat.dev != all.dev)
    });
    Some(subvolumes.map(<[u8]>::to_vec).collect())
}

/// Space and names.
pub fn space(mounted: &Mounted) -> Result<Space, Failure> {
    let space = mounted.statfs().map_err(|errno| mounted.failure(b"/", errno))?;
    let unit = if space.fragment_size == 0 {
        space.block_size
    } else {
        space.fragment_size
    };
    Ok(Space {
        total: space.blocks.saturating_mul(unit),
        free: space.blocks_free.saturating_mul(unit),
        block_size: space.block_size,
        inodes: space.files,
        inodes_free: space.files_free,
        name_max: space.name_max,
    })
}
