//! Symbolic links and special files: what reparse point stands for them.
//!
//! A link whose target lies on the volume becomes IO_REPARSE_TAG_SYMLINK with a relative target (from the link's
//! directory, or from the volume's root when it begins with a backslash; Linux's absolute targets are taken from the
//! volume's root). A link that leads out of the volume, or nowhere, becomes IO_REPARSE_TAG_LX_SYMLINK with the target as
//! Linux stores it: Windows shows it and cannot follow it. FIFOs, sockets and devices get WSL's tags.
//!
//! Windows resolves `..` in a target by text, Linux by directory. Both agree unless `..` comes after another link or
//! above the root; then the target's true path, from the volume's root, is written instead of the text.
//!
//! Nothing here is followed on the caller's behalf: the caller gets the reparse point, and its own token opens what it
//! names. Following happens only to learn whether the target exists and is a directory, with a limit on links and steps.

use alloc::{collections::VecDeque, vec::Vec};

use lklfs_nt::{
    NtStatus, ReparseTag,
    reparse::{SYMLINK_FLAG_RELATIVE, lx_symlink_data, symlink_data},
    utf16::{self, DOT, SEPARATOR},
};

use crate::{Errno, FileKind, Metadata, Vcb, Volume, errno::Context, namesup};

/// Links that may be followed for one target, as in Linux.
const MAX_LINKS: u32 = 40;
/// Components that may be looked up for one target.
const MAX_STEPS: u32 = 1024;

/// How a link or special file shows itself under one path. (The same link seen by another hard link, at another depth,
/// may lead elsewhere; so this belongs to the open, not to the inode.)
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkView {
    /// The reparse tag.
    pub tag: ReparseTag,
    /// The data of the reparse point: what follows the 8-byte header of `REPARSE_DATA_BUFFER`.
    pub data: Vec<u8>,
    /// The link leads to a directory: the attribute DIRECTORY is set beside REPARSE_POINT.
    pub directory: bool,
}

impl LinkView {
    /// A special file: a tag without data.
    const fn special(tag: ReparseTag) -> Self {
        Self {
            tag,
            data: Vec::new(),
            directory: false,
        }
    }
}

/// The tag of a kind of inode; a symbolic link's is decided by its target.
pub const fn special_tag(kind: FileKind) -> Option<ReparseTag> {
    match kind {
        FileKind::Fifo => Some(ReparseTag::IO_REPARSE_TAG_LX_FIFO),
        FileKind::Socket => Some(ReparseTag::IO_REPARSE_TAG_AF_UNIX),
        FileKind::CharacterDevice => Some(ReparseTag::IO_REPARSE_TAG_LX_CHR),
        FileKind::BlockDevice => Some(ReparseTag::IO_REPARSE_TAG_LX_BLK),
        FileKind::File | FileKind::Directory | FileKind::Symlink => None,
    }
}

/// The tag that an inode shows when nothing is known but its kind: a symbolic link's is then WSL's.
pub const fn tag_of_kind(kind: FileKind) -> ReparseTag {
    match (kind, special_tag(kind)) {
        (FileKind::Symlink, _) => ReparseTag::IO_REPARSE_TAG_LX_SYMLINK,
        (_, Some(tag)) => tag,
        (_, None) => ReparseTag::NONE,
    }
}

/// How `node` shows itself in the directory whose path is `directory` (in Windows names, from the volume's root). `None`
/// for files and directories.
///
/// # Errors
///
/// What reading the link ended with; INSUFFICIENT_RESOURCES when memory is short.
///
/// # IRQL
///
/// PASSIVE_LEVEL; may block for a symbolic link.
pub fn view<V: Volume>(
    vcb: &Vcb<V>,
    directory: &[u16],
    node: &V::Node,
    metadata: &Metadata,
) -> Result<Option<LinkView>, NtStatus> {
    if metadata.kind == FileKind::Symlink {
        let target = vcb
            .volume()
            .read_link(node)
            .map_err(|errno| errno.to_status(Context::Reading))?;
        return link_view(vcb, directory, &target).map(Some);
    }
    Ok(special_tag(metadata.kind).map(LinkView::special))
}

fn link_view<V: Volume>(vcb: &Vcb<V>, directory: &[u16], target: &[u8]) -> Result<LinkView, NtStatus> {
    if let Some(resolved) = Walk::resolve(vcb, directory, target)? {
        let text = if resolved.textual {
            windows_target(target)?
        } else {
            resolved.path
        };
        match symlink_data(&text, SYMLINK_FLAG_RELATIVE) {
            Ok(data) => {
                let tag = ReparseTag::IO_REPARSE_TAG_SYMLINK;
                return Ok(LinkView {
                    tag,
                    data,
                    directory: resolved.directory,
                });
            }
            Err(NtStatus::NAME_TOO_LONG) => {}
            Err(status) => return Err(status),
        }
    }
    let data = lx_symlink_data(target)?;
    Ok(LinkView {
        tag: ReparseTag::IO_REPARSE_TAG_LX_SYMLINK,
        data,
        directory: false,
    })
}

/// The text of a target in Windows' syntax.
fn windows_target(target: &[u8]) -> Result<Vec<u16>, NtStatus> {
    let mut text = Vec::new();
    let absolute = target.first() == Some(&b'/');
    for component in target.split(|byte| *byte == b'/') {
        if matches!(component, b"" | b".") {
            continue;
        }
        if absolute || !text.is_empty() {
            utf16::append(&mut text, &[SEPARATOR])?;
        }
        match component {
            b".." => utf16::append(&mut text, &[DOT, DOT])?,
            name => utf16::append(&mut text, &namesup::to_windows(name)?)?,
        }
    }
    if text.is_empty() {
        utf16::append(&mut text, &[if absolute { SEPARATOR } else { DOT }])?;
    }
    Ok(text)
}

/// Where a target leads.
struct Resolved {
    /// The path from the volume's root, in Windows names.
    path: Vec<u16>,
    /// It is a directory.
    directory: bool,
    /// Windows, resolving the target's text, gets to the same place.
    textual: bool,
}

/// A directory on the way, with the Windows name under which it was entered.
struct Step<V: Volume> {
    node: V::Node,
    name: Vec<u16>,
}

/// The walk along a target.
struct Walk<'a, V: Volume> {
    vcb: &'a Vcb<V>,
    root: V::Node,
    /// The directories below the root, down to where the walk stands.
    steps: Vec<Step<V>>,
    /// What is still to walk.
    rest: VecDeque<Vec<u8>>,
    links: u32,
    lookups: u32,
    /// A target was absolute: the volume's root is `/`, and `..` there stays there.
    rooted: bool,
    /// See [`Resolved::textual`].
    textual: bool,
}

impl<'a, V: Volume> Walk<'a, V> {
    /// Follows `target` from `directory`. `None` when it leads out of the volume or nowhere.
    fn resolve(vcb: &'a Vcb<V>, directory: &[u16], target: &[u8]) -> Result<Option<Resolved>, NtStatus> {
        let root = vcb
            .volume()
            .root()
            .map_err(|errno| errno.to_status(Context::Reading))?;
        let (steps, rest) = (Vec::new(), VecDeque::new());
        let mut walk = Self {
            vcb,
            root,
            steps,
            rest,
            links: 0,
            lookups: 0,
            rooted: false,
            textual: true,
        };
        for name in directory
            .split(|unit| *unit == SEPARATOR)
            .filter(|name| !name.is_empty())
        {
            let linux = namesup::to_linux(name)?;
            let node = vcb.volume().lookup(walk.here(), &linux);
            let node = node.map_err(|errno| errno.to_status(Context::Walking))?;
            let mut copy = Vec::new();
            utf16::append(&mut copy, name)?;
            walk.steps
                .try_reserve(1)
                .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
            walk.steps.push(Step { node, name: copy });
        }
        walk.insert(target)?;
        walk.run()
    }

    /// The directory where the walk stands.
    fn here(&self) -> &V::Node {
        self.steps.last().map_or(&self.root, |step| &step.node)
    }

    /// Puts a target before what is still to walk.
    fn insert(&mut self, target: &[u8]) -> Result<(), NtStatus> {
        if target.first() == Some(&b'/') {
            self.steps.clear();
            self.rooted = true;
        }
        for component in target.rsplit(|byte| *byte == b'/') {
            if !matches!(component, b"" | b".") {
                let mut copy = Vec::new();
                let reserved =
                    copy.try_reserve_exact(component.len()).is_ok() && self.rest.try_reserve(1).is_ok();
                if !reserved {
                    return Err(NtStatus::INSUFFICIENT_RESOURCES);
                }
                copy.extend_from_slice(component);
                self.rest.push_front(copy);
            }
        }
        Ok(())
    }

    fn run(mut self) -> Result<Option<Resolved>, NtStatus> {
        while let Some(component) = self.rest.pop_front() {
            if component == b".." {
                let at_root = self.steps.pop().is_none();
                if at_root && !self.rooted {
                    return Ok(None);
                }
                // Windows goes by the text: after a link, or above the root, that leads elsewhere.
                self.textual &= !at_root && self.links == 0;
                continue;
            }
            self.lookups = self.lookups.saturating_add(1);
            if self.lookups > MAX_STEPS {
                return Ok(None);
            }
            let Some((node, kind)) = self.look_up(&component)? else {
                return Ok(None);
            };
            match kind {
                FileKind::Directory => {
                    let name = namesup::to_windows(&component)?;
                    self.steps
                        .try_reserve(1)
                        .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
                    self.steps.push(Step { node, name });
                }
                FileKind::Symlink => {
                    self.links = self.links.saturating_add(1);
                    if self.links > MAX_LINKS {
                        return Ok(None);
                    }
                    match self.vcb.volume().read_link(&node) {
                        Ok(target) => self.insert(&target)?,
                        Err(errno) => return unreadable(errno),
                    }
                }
                _ if self.rest.is_empty() => {
                    let mut path = self.path()?;
                    utf16::append(&mut path, &[SEPARATOR])?;
                    utf16::append(&mut path, &namesup::to_windows(&component)?)?;
                    return Ok(Some(Resolved {
                        path,
                        directory: false,
                        textual: self.textual,
                    }));
                }
                // A file in the middle of a path.
                _ => return Ok(None),
            }
        }
        let mut path = self.path()?;
        if path.is_empty() {
            utf16::append(&mut path, &[SEPARATOR])?;
        }
        Ok(Some(Resolved {
            path,
            directory: true,
            textual: self.textual,
        }))
    }

    fn look_up(&self, name: &[u8]) -> Result<Option<(V::Node, FileKind)>, NtStatus> {
        let found = self.vcb.volume().lookup(self.here(), name);
        let found = found.and_then(|node| {
            let kind = self.vcb.volume().metadata(&node)?.kind;
            Ok((node, kind))
        });
        match found {
            Ok(found) => Ok(Some(found)),
            Err(errno) => unreadable(errno),
        }
    }

    /// The path of where the walk stands; empty for the root.
    fn path(&self) -> Result<Vec<u16>, NtStatus> {
        let mut path = Vec::new();
        for step in &self.steps {
            utf16::append(&mut path, &[SEPARATOR])?;
            utf16::append(&mut path, &step.name)?;
        }
        Ok(path)
    }
}

/// What cannot be looked at on the way of a target makes the target lead nowhere; only a lack of memory is an error.
fn unreadable<T>(errno: Errno) -> Result<Option<T>, NtStatus> {
    match errno {
        Errno::ENOMEM => Err(NtStatus::INSUFFICIENT_RESOURCES),
        _ => Ok(None),
    }
}
