//! The folders of a copy: where the walk stands in the destination.
//!
//! A tree may be deeper than a program may have folders open, so outer ones are closed and found again by name.

use lkl_tree::volume::{Errno, Kind, Stat, Volume};

use super::{Copy, Frame, KEPT, Refused};
use crate::archive::acl;
use crate::destination::Destination;
use lkl_session::exit::Failure;

impl<S: Volume, D: Destination> Copy<'_, S, D> {
    /// The folder that entries are made in now, opened again if it was closed.
    pub(super) fn folder(&mut self) -> Result<&D::Node, Errno> {
        let place = self.place;
        let Some(last) = self.state.frames.len().checked_sub(1) else {
            return Ok(&self.top);
        };
        let open = self.state.frames.iter().rposition(|frame| frame.node.is_some());
        for at in open.map_or(0, |open| open + 1)..=last {
            let name = self.state.frames[at].name.clone();
            let around = match at.checked_sub(1) {
                None => Some(&self.top),
                Some(outer) => self.state.frames[outer].node.as_ref(),
            };
            let node = place.child(around.ok_or(Errno::EIO)?, &name)?;
            self.state.frames[at].node = Some(node);
            // Only the innermost is needed of what is opened on the way.
            if let Some(outer) = at
                .checked_sub(1)
                .filter(|outer| *outer > 0 && last - outer > KEPT)
            {
                self.state.frames[outer].node = None;
            }
        }
        self.state.frames[last].node.as_ref().ok_or(Errno::EIO)
    }

    /// Goes into a folder, which is made if it is not there.
    pub(super) fn enter(&mut self, path: &[u8], name: Option<&[u8]>, node: &S::Node) -> Result<(), Refused> {
        let gives_lists = self.state.gives_lists();
        let is_missing = self.state.frames.last().is_some_and(|frame| frame.is_missing);
        let mut frame = Frame {
            name: name.unwrap_or(b".").to_vec(),
            node: None,
            gives_lists,
            is_missing,
            xattrs: Vec::new(),
        };
        let mut entered = Ok(());
        if !is_missing {
            match self.source.xattrs(node) {
                Ok(xattrs) => frame.xattrs = xattrs,
                Err(errno) => entered = Err(Refused::Entry(self.source.failure(path, errno))),
            }
            match self.folder_of(name) {
                Ok((node, gives)) => {
                    frame.node = Some(node);
                    frame.gives_lists |= gives;
                    self.report.entry(path);
                }
                Err(errno) => {
                    frame.is_missing = true;
                    entered = Err(self.refused(path, errno));
                }
            }
        }
        if let Some(outer) = self.state.frames.len().checked_sub(KEPT)
            && let Some(outer) = self.state.frames.get_mut(outer)
        {
            outer.node = None;
        }
        self.state.frames.push(frame);
        entered
    }

    /// A folder of that name in the current one, or that one itself, and whether what is made in it gets access lists.
    pub(super) fn folder_of(&mut self, name: Option<&[u8]>) -> Result<(D::Node, bool), Errno> {
        let place = self.place;
        let folder = self.folder()?;
        let made = match name {
            Some(name) => place.make_folder(folder, name),
            None => Err(Errno::EEXIST),
        };
        let node = place.child(folder, name.unwrap_or(b"."))?;
        match made {
            Ok(()) => Ok((node, false)),
            Err(Errno::EEXIST) if place.kind(&node)?.0 == Kind::Directory => {
                let gives = place.has_xattr(&node, acl::DEFAULT);
                Ok((node, gives))
            }
            Err(errno) => Err(errno),
        }
    }

    /// All is in a folder.
    pub(super) fn leave(&mut self, path: &[u8], stat: &Stat) -> Result<(), Failure> {
        let is_missing = self.state.frames.last().is_none_or(|frame| frame.is_missing);
        let opened = if is_missing {
            Ok(())
        } else {
            self.folder().map(drop)
        };
        let frame = self.state.frames.pop();
        let dressed = match (opened, frame) {
            (Ok(()), Some(frame)) => match &frame.node {
                Some(node) => self.dress(path, node, stat, &frame.xattrs, frame.gives_lists),
                None => Ok(()),
            },
            (Err(errno), _) => Err(self.refused(path, errno)),
            (Ok(()), None) => Ok(()),
        };
        self.outcome(dressed)
    }

    /// The object at a path from the top on.
    pub(super) fn found(&self, path: &[u8]) -> Result<D::Node, Errno> {
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let first = names.next().ok_or(Errno::ENOENT)?;
        let mut node = self.place.child(&self.top, first)?;
        for name in names {
            node = self.place.child(&node, name)?;
        }
        Ok(node)
    }
}
