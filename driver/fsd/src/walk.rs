//! The way along a path: component by component, through directories only.
//!
//! Each component is found by its Windows name ([`namesup::find`]), which brings its true case. A link or special file on
//! the way ends the walk as a reparse point; at the end of the path it is what was asked for, and CREATE decides.
//!
//! A walk without leave to wait ends with CANT_WAIT at the first name that is not in memory. It meets no symbolic link,
//! since [`Volume::lookup_cached`] tells of none.

use alloc::vec::Vec;

use lklfs_nt::{
    NtStatus,
    utf16::{self, SEPARATOR},
};

use crate::{
    Ccb, Errno, Fcb, FileKind, LinkView, Metadata, Vcb, Volume, Wait, create::MayPass, errno::Context,
    linksup, namesup,
};

/// Where a walk ended.
pub(crate) struct Place<V: Volume> {
    pub node: V::Node,
    pub metadata: Metadata,
    /// The directory above.
    pub parent: Metadata,
    /// The path from the volume's root in true case; `\` for the root.
    pub path: Vec<u16>,
}

/// What a walk leads to.
#[allow(
    clippy::large_enum_variant,
    reason = "a box would be one more thing that memory may be short for"
)]
pub(crate) enum Walked<V: Volume> {
    /// Every component was found; a link at the end is not followed.
    Found(Place<V>),
    /// A reparse point is in the middle; so many bytes of the name are not parsed.
    Reparse(LinkView, u16),
    /// All but the last component was found.
    Missing,
}

/// Walks `components` from the root or from an open directory.
pub(crate) fn walk<V: Volume>(
    vcb: &Vcb<V>,
    start: Option<(&Fcb<V>, &Ccb)>,
    components: &[u16],
    case_sensitive: bool,
    unparsed_end: u16,
    may_pass: Option<MayPass<'_>>,
    wait: Wait,
) -> Result<Walked<V>, NtStatus> {
    let volume = vcb.volume();
    let walking = |errno: Errno| errno.to_status(Context::Walking);
    let mut path = Vec::new();
    // The directory where the walk stands: the start, which is borrowed, and then each that is found.
    let mut found: Option<Place<V>> = None;
    let root;
    let (start, start_metadata) = match start.and_then(|(fcb, ccb)| Some((fcb.node()?, fcb, ccb))) {
        Some((node, fcb, ccb)) => {
            if ccb.path != [SEPARATOR] {
                utf16::append(&mut path, &ccb.path)?;
            }
            (node, *fcb.metadata())
        }
        None => {
            root = volume.root().map_err(walking)?;
            (&root, *vcb.root_metadata())
        }
    };
    let mut rest = components;
    loop {
        let length = rest
            .iter()
            .position(|unit| *unit == SEPARATOR)
            .unwrap_or(rest.len());
        let (name, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        let last = tail.is_empty();
        let (node, metadata) = match &found {
            Some(place) => (&place.node, place.metadata),
            None => (start, start_metadata),
        };
        if let Some(may_pass) = may_pass {
            may_pass(&metadata)?;
        }
        let parent_length = path.len();
        let Some(entry) = namesup::find(volume, node, name, case_sensitive, wait)
            .map_err(|status| if last { status } else { on_the_way(status) })?
        else {
            return if last {
                Ok(Walked::Missing)
            } else {
                Err(NtStatus::OBJECT_PATH_NOT_FOUND)
            };
        };
        let below = volume.metadata(&entry.node).map_err(|errno| {
            errno.to_status(if last {
                Context::FinalName
            } else {
                Context::Walking
            })
        })?;
        utf16::append(&mut path, &[SEPARATOR])?;
        utf16::append(&mut path, &entry.windows)?;
        if last {
            return Ok(Walked::Found(Place {
                node: entry.node,
                metadata: below,
                parent: metadata,
                path,
            }));
        }
        match below.kind {
            FileKind::Directory => {}
            FileKind::File => return Err(NtStatus::OBJECT_PATH_NOT_FOUND),
            _ => {
                let directory = path.get(..parent_length).unwrap_or_default();
                let Some(view) = linksup::view(vcb, directory, &entry.node, &below)? else {
                    return Err(NtStatus::OBJECT_PATH_NOT_FOUND);
                };
                let unparsed = tail.len().saturating_mul(2).saturating_add(unparsed_end.into());
                return Ok(Walked::Reparse(view, u16::try_from(unparsed).unwrap_or(u16::MAX)));
            }
        }
        found = Some(Place {
            node: entry.node,
            metadata: below,
            parent: metadata,
            path: Vec::new(),
        });
        rest = tail.strip_prefix(&[SEPARATOR]).unwrap_or(tail);
    }
}

/// What NT calls, on the way of a path, what it calls otherwise at the path's end.
const fn on_the_way(status: NtStatus) -> NtStatus {
    match status {
        NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::NOT_A_DIRECTORY => NtStatus::OBJECT_PATH_NOT_FOUND,
        other => other,
    }
}

/// The root as a place. Needs no leave to wait.
pub(crate) fn root<V: Volume>(vcb: &Vcb<V>) -> Result<Place<V>, NtStatus> {
    let node = vcb
        .volume()
        .root()
        .map_err(|errno| errno.to_status(Context::FinalName))?;
    let mut path = Vec::new();
    utf16::append(&mut path, &[SEPARATOR])?;
    Ok(Place {
        node,
        metadata: *vcb.root_metadata(),
        parent: *vcb.root_metadata(),
        path,
    })
}
