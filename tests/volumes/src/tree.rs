//! What files a test volume holds: a description, the same for the same plan and abilities. The file is long because the
//! description and what a manifest of it says belong side by side.

use serde::{Deserialize, Serialize};

use crate::content::{Content, mix};
use crate::kind::{Abilities, DirectoryLinks, Owners};
use crate::manifest::{Fields, Line, Manifest, escape};
use std::collections::BTreeMap;

/// How much there is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Everything that is arbitrary comes from this.
    pub seed: u64,
    /// Size of the big file in bytes.
    pub big: u64,
    /// Size of the sparse file in bytes.
    pub sparse: u64,
    /// Number of files in the wide directory.
    pub wide: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            seed: 1,
            big: (6 << 20) + 1,
            sparse: (96 << 20) + 4321,
            wide: 300,
        }
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A directory.
    Directory,
    /// A file.
    File(Content),
    /// A symbolic link with this target.
    Link(Vec<u8>),
    /// Another name of the file at this path.
    Name(Vec<u8>),
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
    /// A block device with these numbers.
    Block(u32, u32),
    /// A character device with these numbers.
    Character(u32, u32),
}

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From the root, without a slash at the start; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub what: What,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of change: seconds since 1970 and nanoseconds after.
    pub mtime: (i64, u32),
    /// Extended attributes.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// A described tree; parents come before children, and a file before its other names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The entries, the root first.
    pub entries: Vec<Entry>,
    abilities: Abilities,
}

/// 2001-09-09 and some: where times that are nothing special begin.
const ORDINARY: i64 = 1_000_000_000;

impl Tree {
    /// The tree of `plan` on a file system with `abilities`.
    pub fn new(plan: &Plan, abilities: &Abilities) -> Tree {
        let mut tree = Tree {
            entries: Vec::new(),
            abilities: abilities.clone(),
        };
        let mut random = plan.seed;
        tree.add("", What::Directory, 0o755);
        if abilities.flat {
            for index in 0..20u64 {
                random = mix(random);
                tree.file(&format!("file{index}"), Content::solid(random, random % 9000));
            }
            return tree;
        }
        let mut path = "deep".to_string();
        tree.directory(&path);
        for level in 0..abilities.depth {
            path = format!("{path}/d{level:02}");
            tree.directory(&path);
            tree.file(
                &format!("{path}/file"),
                Content::solid(u64::from(level), u64::from(level) * 100),
            );
        }
        tree.directory("wide");
        for index in 0..plan.wide.min(abilities.wide) {
            random = mix(random);
            tree.file(
                &format!("wide/file-{index:04}"),
                Content::solid(random, random % 3000),
            );
        }
        tree.directory("empty");
        tree.sizes();
        tree.names();
        tree.links();
        tree.modes();
        tree.times();
        tree.file(
            "big",
            Content::solid(mix(plan.seed ^ 7), plan.big.min(abilities.largest)),
        );
        if abilities.holes {
            let size = plan.sparse.min(abilities.largest);
            let data = [0..100, 5 * 4096..6 * 4096 + 3, size / 2 - 7..size / 2 + 9000];
            tree.file("sparse", Content::sparse(random, size, data.to_vec()));
            tree.file("hole", Content::sparse(random, size.min(1 << 20), Vec::new()));
        }
        tree
    }

    fn sizes(&mut self) {
        self.directory("sizes");
        let most = self.abilities.largest / 4;
        for size in [
            1,
            59,
            60,
            61,
            156,
            511,
            512,
            513,
            1023,
            1024,
            1025,
            2048,
            3000,
            4095,
            4096,
            4097,
            12 * 1024 + 1,
        ]
        .into_iter()
        .chain([65_535, 65_536, 65_537, 131_072, 131_073, 1_048_575, 1_048_577])
        .filter(|&size| size <= most)
        {
            self.file(&format!("sizes/{size}"), Content::solid(size, size));
        }
        self.file("sizes/0", Content::solid(0, 0));
    }

    fn names(&mut self) {
        self.directory("names");
        let longest = self.abilities.name;
        let file = |tree: &mut Tree, name: &[u8]| {
            let path = [b"names/", name].concat();
            if name.len() <= longest {
                tree.add(path, What::File(Content::solid(name.len() as u64, 5)), 0o644);
            }
        };
        file(self, b"with space");
        file(self, b".hidden");
        file(self, b"-dash");
        file(self, b"quote'");
        file(self, b"percent%20 $x !#&()[]{}~^`=+,@");
        file(self, &vec![b'n'; longest]);
        if !self.abilities.ascii_names {
            file(self, "grüße".as_bytes());
            file(self, "日本語 テキスト".as_bytes());
            file(self, "ελληνικά-кириллица".as_bytes());
            if !self.abilities.bmp_names {
                file(self, "crab-🦀".as_bytes());
            }
        }
        if self.abilities.case_sensitive {
            file(self, b"Twin");
            file(self, b"tWIN");
        }
        if self.abilities.any_bytes {
            for name in [
                &b"back\\slash"[..],
                b"new\nline",
                b"\x01control\x7f",
                b"\xff\xfe",
                b"col:on*?<>|\"",
                b"end. ",
                b"CON",
                b"...",
            ] {
                file(self, name);
            }
        }
    }

    fn links(&mut self) {
        if self.abilities.links {
            self.directory("links");
            let long = vec![b'x'; self.abilities.target.min(1000)];
            for (name, target) in [
                ("relative", &b"../sizes/1"[..]),
                ("absolute", b"/sizes/1"),
                ("dangling", b"no/such/file"),
                ("directory", b"../deep"),
                ("loop", b"loop"),
                ("odd", b"a b\\c\xc3\xa9"),
                ("middle", &[b'm'; 59]),
                ("border", &[b'm'; 60]),
                ("long", &long),
            ] {
                self.add(format!("links/{name}"), What::Link(target.to_vec()), 0o777);
            }
        }
        if self.abilities.hard_links {
            self.directory("hard");
            self.file("hard/first", Content::solid(11, 7000));
            self.name("hard/second", "hard/first");
            self.name("third", "hard/first");
        }
        if self.abilities.fifos || self.abilities.devices {
            self.directory("special");
        }
        if self.abilities.fifos {
            self.add("special/fifo", What::Fifo, 0o600);
            self.add("special/socket", What::Socket, 0o755);
        }
        if self.abilities.devices {
            self.add("special/block", What::Block(8, 1), 0o660);
            self.add("special/character", What::Character(1, 3), 0o666);
        }
    }

    fn modes(&mut self) {
        if self.abilities.modes {
            self.directory("modes");
            let zero = self.abilities.mode_zero;
            for mode in [0o000, 0o400, 0o070, 0o007, 0o755, 0o777, 0o4755, 0o2755, 0o1644]
                .into_iter()
                .filter(|&mode| mode != 0 || zero)
            {
                let path = format!("modes/{mode:04o}");
                self.add(path, What::File(Content::solid(u64::from(mode), 3)), mode);
            }
            self.add("modes/sticky", What::Directory, 0o1777);
            self.add("modes/group", What::Directory, 0o2770);
        }
        let ids: &[(u32, u32)] = match self.abilities.owners {
            Owners::None => return,
            Owners::Small => &[(0, 0), (1000, 100), (65_534, 254)],
            Owners::Medium => &[(0, 0), (1000, 100), (65_534, 65_533)],
            Owners::Large => &[(0, 0), (1000, 100), (65_534, 65_534), (100_000, 4_000_000_000)],
        };
        self.directory("owners");
        for (uid, gid) in ids {
            let path = format!("owners/{uid}-{gid}");
            self.file(&path, Content::solid(u64::from(*uid), 3));
            self.last(|entry| (entry.uid, entry.gid) = (*uid, *gid));
        }
        if self.abilities.xattrs {
            self.directory("xattrs");
            for (name, size) in [("small", 10), ("medium", 900)] {
                self.file(&format!("xattrs/{name}"), Content::solid(3, 100));
                let value = vec![b'v'; size];
                self.last(|entry| entry.xattrs.push(("user.test".into(), value)));
            }
        }
    }

    fn times(&mut self) {
        let Some(times) = self.abilities.mtime.clone() else {
            return;
        };
        self.directory("times");
        for (name, time) in [
            ("first", (times.first, 0)),
            ("epoch", (0, 0)),
            ("epoch-1ns", (-1, 999_999_999)),
            ("1969", (-12_345_678, 500_000_000)),
            ("2000", (951_827_696, 123_456_789)),
            ("2038", (0x7fff_ffff, 999_999_999)),
            ("2038-after", (0x8000_0000, 1)),
            ("2106-after", (0x1_0000_0000, 1)),
            ("last", (times.last, 0)),
        ] {
            if (times.first..=times.last).contains(&time.0) {
                self.file(&format!("times/{name}"), Content::solid(5, 5));
                self.last(|entry| entry.mtime = times.round(time));
            }
        }
    }

    fn add(&mut self, path: impl Into<Vec<u8>>, what: What, mode: u32) {
        let index = self.entries.len() as i64;
        // Times of their own for all, in the unit of the file system.
        let mtime = (
            ORDINARY + index * 1000,
            (index as u32).wrapping_mul(987_654_321) % 1_000_000_000,
        );
        let mtime = self
            .abilities
            .mtime
            .as_ref()
            .map_or((0, 0), |times| times.round(mtime));
        let mtime = if index == 0 && !self.abilities.root_time {
            (0, 0)
        } else {
            mtime
        };
        self.entries.push(Entry {
            path: path.into(),
            what,
            mode,
            uid: 0,
            gid: 0,
            mtime,
            xattrs: Vec::new(),
        });
    }

    fn directory(&mut self, path: &str) {
        self.add(path, What::Directory, 0o755);
    }

    fn file(&mut self, path: &str, content: Content) {
        self.add(path, What::File(content), 0o644);
    }

    fn name(&mut self, path: &str, first: &str) {
        self.add(path, What::Name(first.into()), 0o644);
    }

    fn last(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.last_mut() {
            change(entry);
        }
    }

    /// What a manifest of this tree says, in the fields of [`Tree::fields`].
    pub fn manifest(&self) -> Manifest {
        let mut links: BTreeMap<&[u8], u64> = BTreeMap::new();
        let mut subdirectories: BTreeMap<&[u8], u64> = BTreeMap::new();
        for entry in &self.entries {
            match &entry.what {
                What::Name(first) => *links.entry(first).or_insert(1) += 1,
                What::Directory if !entry.path.is_empty() => {
                    let parent = entry
                        .path
                        .iter()
                        .rposition(|&byte| byte == b'/')
                        .map_or(&b""[..], |end| &entry.path[..end]);
                    *subdirectories.entry(parent).or_insert(0) += 1;
                }
                _ => {}
            }
        }
        let by_path: BTreeMap<&[u8], &Entry> = self
            .entries
            .iter()
            .map(|entry| (&entry.path[..], entry))
            .collect();
        let line = |entry: &Entry| {
            let object = match &entry.what {
                What::Name(first) => by_path[&first[..]],
                _ => entry,
            };
            let (letter, size, content) = match &object.what {
                What::Directory | What::Name(_) => ('d', 0, "-".to_string()),
                What::File(content) => ('f', content.size(), content.sha256()),
                What::Link(target) => ('l', target.len() as u64, escape(target)),
                What::Fifo => ('p', 0, "-".to_string()),
                What::Socket => ('s', 0, "-".to_string()),
                What::Block(..) => ('b', 0, "-".to_string()),
                What::Character(..) => ('c', 0, "-".to_string()),
            };
            let links = match (&object.what, self.abilities.directory_links) {
                (What::Directory, DirectoryLinks::Subdirectories) => {
                    let lost_found = object.path.is_empty() && self.abilities.lost_found;
                    2 + u64::from(lost_found) + subdirectories.get(&object.path[..]).copied().unwrap_or(0)
                }
                (What::Directory, _) => 1,
                _ => links.get(&object.path[..]).copied().unwrap_or(1),
            };
            let mtime = i128::from(object.mtime.0) * 1_000_000_000 + i128::from(object.mtime.1);
            Line {
                letter,
                mode: object.mode,
                uid: object.uid,
                gid: object.gid,
                links,
                size,
                mtime,
                content,
            }
        };
        let path = |entry: &Entry| [b"/", &entry.path[..]].concat();
        Manifest(
            self.entries
                .iter()
                .map(|entry| (path(entry), line(entry)))
                .collect(),
        )
    }

    /// How `found`, read from a volume that this was put on, differs from this in the fields that the file system keeps;
    /// `extra` lists what its mkfs adds. At most `most` differences.
    pub fn differences(&self, found: &Manifest, extra: &[&str], most: usize) -> Vec<String> {
        let mut wanted = self.manifest();
        let root = &b"/"[..];
        if let (false, Some(line), Some(seen)) = (
            self.abilities.root_time,
            wanted.0.get_mut(root),
            found.0.get(root),
        ) {
            line.mtime = seen.mtime;
        }
        wanted.differences(&found.clone().without(extra), self.fields(), most)
    }

    /// The fields that the file system keeps.
    pub fn fields(&self) -> Fields {
        Fields {
            mode: self.abilities.modes,
            owner: self.abilities.owners != Owners::None,
            links: self.abilities.hard_links,
            directory_links: self.abilities.directory_links != DirectoryLinks::Unknown,
            mtime: self.abilities.mtime.is_some(),
        }
    }

    /// Bytes of all files.
    pub fn data(&self) -> u64 {
        let size = |entry: &Entry| match &entry.what {
            What::File(content) => content.size(),
            _ => 0,
        };
        self.entries.iter().map(size).sum()
    }
}
