//! What a client's path means: a [`Place`] is a node and the way to it, a [`Walker`] finds one by a path.
//!
//! A path of a client's is made plain first ([`parse`]): `..` takes back the name before it, and at the top nothing. Then it is
//! walked name by name. A symbolic link's target is walked from where the link is, its `..` goes the way back that was come,
//! and neither `..` nor a `/` at the front leads out of the volume that the link is on. So what an image says cannot name
//! another image, or this machine's files.

use std::sync::Arc;

use lkl::Errno;

use crate::tree::{Kind, Node};

/// Links that are followed on one way.
const MOST_LINKS: u32 = 40;
/// Links to folders in one path of a client that is shown links as what they point to: two that point to each other would make
/// trees without an end.
pub const MOST_SHOWN_LINKS: u32 = 8;
/// Folders above each other.
const MOST_DEPTH: u32 = 2048;

/// The names of a plain path, from the top.
pub type Names = Vec<Vec<u8>>;

/// Makes a path plain: relative to `here` unless it begins with a slash. EINVAL with a NUL in it.
pub fn parse(here: &[Vec<u8>], path: &[u8]) -> Result<Names, Errno> {
    if path.contains(&0) {
        return Err(Errno::EINVAL);
    }
    let mut names = match path.first() {
        Some(b'/') => Vec::new(),
        _ => here.to_vec(),
    };
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name.to_vec()),
        }
    }
    Ok(names)
}

/// A plain path as text for a client: with a slash in front.
pub fn written(names: &[Vec<u8>]) -> Vec<u8> {
    let mut path = Vec::new();
    for name in names {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

/// A node and the way to it.
#[derive(Clone)]
pub struct Place(Arc<Spot>);

struct Spot {
    node: Arc<dyn Node>,
    parent: Option<Place>,
    /// Its name there.
    name: Vec<u8>,
    depth: u32,
    /// Links followed on the way here.
    links: u32,
}

impl Place {
    /// The top.
    pub fn top(node: Arc<dyn Node>) -> Place {
        Place(Arc::new(Spot {
            node,
            parent: None,
            name: Vec::new(),
            depth: 0,
            links: 0,
        }))
    }

    /// What is there.
    pub fn node(&self) -> &dyn Node {
        &*self.0.node
    }

    /// The folder that it was found in, and its name there; nothing of the top.
    pub fn entry_of(&self) -> Option<(&Place, &[u8])> {
        Some((self.0.parent.as_ref()?, &self.0.name))
    }

    /// Links that were followed on the way here.
    pub fn links(&self) -> u32 {
        self.0.links
    }

    /// Whether `other` is this folder or one above it.
    pub fn is_within(&self, inode: (u64, u64)) -> bool {
        let mut at = Some(self);
        while let Some(place) = at {
            if place
                .node()
                .stat()
                .is_ok_and(|stat| (stat.device, stat.inode) == inode)
            {
                return true;
            }
            at = place.0.parent.as_ref();
        }
        false
    }

    /// The entry of this name, a link as itself.
    pub fn entry(&self, name: &[u8]) -> Result<Place, Errno> {
        let depth = self.0.depth.saturating_add(1);
        if depth > MOST_DEPTH {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(Place(Arc::new(Spot {
            node: self.0.node.child(name)?,
            parent: Some(self.clone()),
            name: name.to_vec(),
            depth,
            links: self.0.links,
        })))
    }

    /// The entry of this name, or what it leads to if it is a link.
    pub fn step(&self, name: &[u8]) -> Result<Place, Errno> {
        let mut budget = MOST_LINKS.saturating_sub(self.0.links);
        let place = self.step_with(name, &mut budget)?;
        let links = MOST_LINKS.saturating_sub(budget);
        if place.0.links == links {
            return Ok(place);
        }
        Ok(Place(Arc::new(Spot {
            node: Arc::clone(&place.0.node),
            parent: place.0.parent.clone(),
            name: place.0.name.clone(),
            depth: place.0.depth,
            links,
        })))
    }

    fn step_with(&self, name: &[u8], budget: &mut u32) -> Result<Place, Errno> {
        let place = self.entry(name)?;
        match place.node().stat()?.kind {
            Kind::Link => self.follow(&place.node().read_link()?, budget),
            _ => Ok(place),
        }
    }

    /// Where a link in this folder leads.
    fn follow(&self, target: &[u8], budget: &mut u32) -> Result<Place, Errno> {
        *budget = budget.checked_sub(1).ok_or(Errno::ELOOP)?;
        let mut at = match target.first() {
            None => return Err(Errno::ENOENT),
            Some(b'/') => self.volume(),
            Some(_) => self.clone(),
        };
        for name in target.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => at = at.above(),
                name => at = at.step_with(name, budget)?,
            }
        }
        Ok(at)
    }

    /// The root of the volume that this is on.
    fn volume(&self) -> Place {
        let mut at = self;
        while let (false, Some(parent)) = (at.node().is_volume(), &at.0.parent) {
            at = parent;
        }
        at.clone()
    }

    /// The folder above, within the volume.
    fn above(&self) -> Place {
        match &self.0.parent {
            Some(parent) if !self.node().is_volume() => parent.clone(),
            _ => self.clone(),
        }
    }
}

/// Finds places by plain paths. It remembers the way to the folder that it was in last: the next path most often begins so.
/// Where folders may be renamed or removed, it is told to forget ([`Walker::forget`]).
pub struct Walker {
    top: Place,
    names: Names,
    /// One place for each of the names.
    places: Vec<Place>,
}

impl Walker {
    /// One that begins at this node.
    pub fn new(top: Arc<dyn Node>) -> Walker {
        Walker {
            top: Place::top(top),
            names: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Forgets the way: a folder may be another one now.
    pub fn forget(&mut self) {
        self.names.clear();
        self.places.clear();
    }

    /// Forgets the way if its volume has gone on without it.
    fn catch_up(&mut self) {
        if self
            .places
            .last()
            .is_some_and(|place| place.node().is_left_behind())
        {
            self.forget();
        }
    }

    /// The place that a path names; if that is a link, what it leads to.
    pub fn find(&mut self, path: &[Vec<u8>]) -> Result<Place, Errno> {
        match path.split_last() {
            None => Ok(self.top.clone()),
            Some((last, folders)) => {
                self.catch_up();
                let known = self.names.len() >= path.len() && self.names[..path.len()] == *path;
                match known.then(|| self.places.get(folders.len())).flatten() {
                    Some(place) => Ok(place.clone()),
                    None => self.folder(folders)?.step(last),
                }
            }
        }
    }

    /// The place that a path names; a link as itself.
    pub fn find_link(&mut self, path: &[Vec<u8>]) -> Result<Place, Errno> {
        match path.split_last() {
            None => Ok(self.top.clone()),
            Some((last, folders)) => self.folder(folders)?.entry(last),
        }
    }

    /// The folder of this path, which is remembered.
    pub fn folder(&mut self, path: &[Vec<u8>]) -> Result<Place, Errno> {
        self.catch_up();
        let same = self.names.iter().zip(path).take_while(|(a, b)| a == b).count();
        self.names.truncate(same);
        self.places.truncate(same);
        for name in path.iter().skip(same) {
            let at = self.places.last().unwrap_or(&self.top);
            let place = at.step(name)?;
            self.names.push(name.clone());
            self.places.push(place);
        }
        Ok(self.places.last().unwrap_or(&self.top).clone())
    }
}

#[cfg(all(test, unix))]
#[path = "place_tests.rs"]
mod tests;
