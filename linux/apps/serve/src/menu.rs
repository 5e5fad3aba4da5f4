//! A folder of other nodes, in memory: the top of a server, and the partitions of an image.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lkl::Errno;

use crate::tree::{Content, Node, Space, Stat, Time};

/// A folder whose entries do not change.
#[derive(Default)]
pub struct Menu {
    entries: BTreeMap<Vec<u8>, Arc<dyn Node>>,
    made: Time,
}

impl Menu {
    /// An empty one, made now.
    pub fn new() -> Menu {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Menu {
            entries: BTreeMap::new(),
            made: Time {
                seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: 0,
            },
        }
    }

    /// Adds an entry of this name, or of another one like it if the name is taken: `disk.img`, `disk.img (2)`. Returns the
    /// name that it got.
    pub fn add(&mut self, name: &[u8], node: Arc<dyn Node>) -> Vec<u8> {
        let wanted = plain(name);
        let mut chosen = wanted.clone();
        for number in 2u32.. {
            if !self.entries.contains_key(&chosen) {
                break;
            }
            chosen = [&wanted[..], format!(" ({number})").as_bytes()].concat();
        }
        self.entries.insert(chosen.clone(), node);
        chosen
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A name that an entry may have.
fn plain(name: &[u8]) -> Vec<u8> {
    let name: Vec<u8> = name
        .iter()
        .map(|byte| match byte {
            b'/' | b'\\' | 0..=31 | 127 => b'_',
            byte => *byte,
        })
        .collect();
    match &name[..] {
        b"" | b"." | b".." => b"image".to_vec(),
        _ => name,
    }
}

impl Node for Menu {
    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat::of_menu(self.made))
    }

    fn child(&self, name: &[u8]) -> Result<Arc<dyn Node>, Errno> {
        self.entries.get(name).cloned().ok_or(Errno::ENOENT)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    fn list(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Errno> {
        for name in self.entries.keys() {
            if sink(name).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Content>, Errno> {
        Err(Errno::EISDIR)
    }

    /// The sum over what is in it, and can be asked.
    fn space(&self) -> Result<Space, Errno> {
        let mut sum = Space::default();
        for space in self.entries.values().filter_map(|node| node.space().ok()) {
            sum.used = sum.used.saturating_add(space.used);
            sum.available = sum.available.saturating_add(space.available);
        }
        Ok(sum)
    }

    fn is_volume(&self) -> bool {
        // Nothing climbs out of an image to its neighbours, and there are no links here.
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::names;

    #[test]
    fn images_of_one_name_are_told_apart() {
        let mut menu = Menu::new();
        for name in [&b"disk.img"[..], b"disk.img", b"disk.img", b"a/../b", b"..", b""] {
            menu.add(name, Arc::new(Menu::new()));
        }
        let names = names(&menu).unwrap();
        let names: Vec<&str> = names.iter().map(|name| str::from_utf8(name).unwrap()).collect();
        assert_eq!(
            names,
            [
                "a_.._b",
                "disk.img",
                "disk.img (2)",
                "disk.img (3)",
                "image",
                "image (2)"
            ]
        );
    }
}
