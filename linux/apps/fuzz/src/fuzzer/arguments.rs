//! What a call of the target *calls* is in numbers: which system call, and its arguments.

use crate::door::{Argument, At, Memory, Number, ROOM};
use lkl_fuzz::calls::{ATTRIBUTES, Call, Kind, NAMES, SLOTS};

const CURRENT: i64 = -100;
const NONBLOCK: i64 = 0o4000;
const REMOUNT: i64 = 0x20;
const READ_ONLY: i64 = 1;

/// Flags of an open; none waits.
const OPEN: [i64; 12] = [
    0,
    2,
    0o102,
    0o102,
    0o1102,
    0o2002,
    0o302,
    1,
    0o200_000,
    0o20_200_002,
    0o4_010_002,
    0o101,
];
/// Modes of fallocate: plain, without a change of size, punched, zeroed, collapsed, inserted, unshared.
const ALLOCATE: [i64; 10] = [0, 1, 3, 3, 0x10, 0x11, 8, 0x20, 0x40, 0x41];
/// Requests of ioctl whose argument is memory without pointers, or a number.
const CONTROL: [i64; 22] = [
    0x8008_6601, // FS_IOC_GETFLAGS
    0x4008_6602, // FS_IOC_SETFLAGS
    0xc020_660b, // FS_IOC_FIEMAP
    0xc018_5879, // FITRIM
    0x8008_7601, // FS_IOC_GETVERSION
    0x4008_7602, // FS_IOC_SETVERSION
    0x801c_581f, // FS_IOC_FSGETXATTR
    0x401c_5820, // FS_IOC_FSSETXATTR
    0x4020_940d, // FICLONERANGE
    0xc018_9436, // FIDEDUPERANGE
    0x8100_9431, // FS_IOC_GETFSLABEL
    0x4100_9432, // FS_IOC_SETFSLABEL
    0x8004_587d, // FS_IOC_SHUTDOWN
    MOVE_EXTENTS,
    0x4008_6610, // EXT4_IOC_RESIZE_FS
    0x6609,      // EXT4_IOC_MIGRATE
    0x660c,      // EXT4_IOC_ALLOC_DA_BLKS
    0x4004_662b, // EXT4_IOC_CHECKPOINT
    0x8010_581e, // XFS_IOC_DIOINFO
    0xf501,      // F2FS_IOC_START_ATOMIC_WRITE
    0xf502,      // F2FS_IOC_COMMIT_ATOMIC_WRITE
    0x4004_f506, // F2FS_IOC_GARBAGE_COLLECT
];
/// EXT4_IOC_MOVE_EXT, which has the other file in the upper half of its first eight bytes.
const MOVE_EXTENTS: i64 = 0xc028_660f;
/// Types of mknod.
const NODES: [i64; 5] = [0o100_644, 0o010_644, 0o140_644, 0o020_600, 0o060_600];
const REMOUNTS: [&str; 5] = ["", "errors=continue", "noload", "discard", "usrquota"];

/// Open files: numbers, or what calls before will give.
pub type Slots = [Argument; SLOTS as usize];

/// Where the arguments of one call come from.
pub struct Arguments<'a> {
    /// What its pointers are into.
    pub memory: &'a mut Memory,
    /// The files that are open.
    pub slots: &'a Slots,
    /// Where the volume is mounted.
    pub root: &'a [u8],
}

fn chosen<T: Copy>(list: &[T], index: u8) -> T {
    list[usize::from(index) % list.len()]
}

impl Arguments<'_> {
    /// Puts a file's name at a place.
    fn name(&mut self, place: usize, index: u8) -> Argument {
        self.memory.put(place, chosen(&NAMES, index).as_bytes())
    }

    fn slot(&self, index: u8) -> Argument {
        chosen(self.slots, index)
    }

    /// The number of the call, and its arguments.
    pub fn of(&mut self, call: &Call) -> (i64, Vec<Argument>) {
        let Call {
            a,
            b,
            c,
            offset,
            length,
            ..
        } = *call;
        let (place, size) = (Number(offset as i64), Number(length as i64));
        let few = (length % ROOM as u64) as i64;
        let folder = Number(CURRENT);
        let slot = self.slot(a);
        match call.kind {
            Kind::Open => {
                let flags = Number(chosen(&OPEN, c) | NONBLOCK);
                (257, vec![folder, self.name(0, b), flags, Number(0o644)])
            }
            Kind::Close => (3, vec![slot]),
            Kind::Read | Kind::ReadVector => (17, vec![slot, At(0), Number(few), place]),
            Kind::Write => {
                self.memory.place(0).fill(c);
                (18, vec![slot, At(0), Number(few), place])
            }
            Kind::Seek => (8, vec![slot, place, Number(i64::from(c % 5))]),
            Kind::Truncate => (77, vec![slot, place]),
            Kind::Allocate => (285, vec![slot, Number(chosen(&ALLOCATE, c)), place, size]),
            Kind::Sync => (74, vec![slot]),
            Kind::SyncData => (75, vec![slot]),
            Kind::SyncVolume => (306, vec![slot]),
            Kind::SyncRange => (277, vec![slot, place, size, Number(i64::from(c & 7))]),
            Kind::MakeFolder => (258, vec![folder, self.name(0, b), Number(0o755)]),
            Kind::MakeNode => (
                259,
                vec![folder, self.name(0, b), Number(chosen(&NODES, c)), Number(0x103)],
            ),
            Kind::SymbolicLink => {
                let target = self.memory.put(1, &vec![b'x'; usize::from(c) * 16 + 1]);
                (266, vec![target, folder, self.name(0, b)])
            }
            Kind::Link => (
                265,
                vec![folder, self.name(0, a), folder, self.name(1, b), Number(0)],
            ),
            Kind::Rename => {
                let flags = Number(chosen(&[0, 0, 1, 2, 4], c));
                (316, vec![folder, self.name(0, a), folder, self.name(1, b), flags])
            }
            Kind::Unlink => (263, vec![folder, self.name(0, b), Number(0)]),
            Kind::RemoveFolder => (263, vec![folder, self.name(0, b), Number(0x200)]),
            Kind::Mode => (268, vec![folder, self.name(0, b), Number(length as i64 & 0o7777)]),
            Kind::Owner => (260, vec![folder, self.name(0, b), size, place, Number(0)]),
            Kind::Times => {
                let times = [offset, length % 1_000_000_000, length, offset % 1_000_000_000];
                let bytes: Vec<u8> = times.iter().flat_map(|time| time.to_le_bytes()).collect();
                let name = self.name(0, b);
                (280, vec![folder, name, self.memory.put(1, &bytes), Number(0x100)])
            }
            Kind::Stat => (
                332,
                vec![folder, self.name(0, b), Number(0x100), Number(0xffff), At(1)],
            ),
            Kind::List => (217, vec![slot, At(0), Number(few.max(64))]),
            Kind::SetAttribute => {
                self.memory.place(2).fill(c);
                let attribute = chosen(&ATTRIBUTES, a).as_bytes();
                let name = self.name(0, b);
                let attribute = self.memory.put(1, attribute);
                (
                    189,
                    vec![
                        name,
                        attribute,
                        At(2),
                        Number(few % 5000),
                        Number(i64::from(c % 3)),
                    ],
                )
            }
            Kind::GetAttribute => {
                let name = self.name(0, b);
                let attribute = self.memory.put(1, chosen(&ATTRIBUTES, a).as_bytes());
                (192, vec![name, attribute, At(2), Number(few)])
            }
            Kind::ListAttributes => (195, vec![self.name(0, b), At(1), Number(few)]),
            Kind::RemoveAttribute => {
                let name = self.name(0, b);
                (
                    198,
                    vec![name, self.memory.put(1, chosen(&ATTRIBUTES, a).as_bytes())],
                )
            }
            Kind::Control => {
                let request = chosen(&CONTROL, c);
                let other = self.memory.word(self.slot(b));
                self.control(
                    if request == MOVE_EXTENTS {
                        other << 32
                    } else {
                        other
                    },
                    offset,
                    length,
                );
                (16, vec![slot, Number(request), At(0)])
            }
            Kind::CopyRange => {
                let (from, to) = (offset.to_le_bytes(), length.to_le_bytes());
                let (from, to) = (self.memory.put(0, &from), self.memory.put(1, &to));
                (326, vec![slot, from, self.slot(b), to, Number(few), Number(0)])
            }
            Kind::SendFile => (40, vec![slot, self.slot(b), Number(0), Number(few)]),
            Kind::Remount => {
                let at = self.memory.put(0, self.root);
                let options = self.memory.put(1, chosen(&REMOUNTS, b).as_bytes());
                let flags = REMOUNT | if c & 1 != 0 { READ_ONLY } else { 0 };
                (165, vec![Number(0), at, Number(0), Number(flags), options])
            }
            Kind::StatVolume => (137, vec![self.name(0, b), At(1)]),
            Kind::ReadLink => (267, vec![folder, self.name(0, b), At(1), Number(few)]),
            Kind::Advise => (221, vec![slot, place, size, Number(i64::from(c % 6))]),
            Kind::Sleep => {
                let milliseconds = length % 60_000;
                let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
                let bytes: Vec<u8> = time.iter().flat_map(|part| part.to_le_bytes()).collect();
                (35, vec![self.memory.put(2, &bytes), Number(0)])
            }
        }
    }

    /// What a request of ioctl finds: numbers, and another file where it looks for one.
    fn control(&mut self, other: i64, offset: u64, length: u64) {
        // FIEMAP's count of extents that there is room for is the fourth.
        let words = [other as u64, offset, length, (offset ^ length) & 63, 8, 0, 0, 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let place = self.memory.place(0);
        place[..4096].fill(0);
        place[..bytes.len()].copy_from_slice(&bytes);
    }
}
