//! Whole volumes of ADFS, Acorn's file system: a hard disk of E format, with a map in several zones and directories of 77 names.
//!
//! The map is a string of bits, one for each 512 bytes. A fragment is a number of 12 bits, zeros, and a one; all fragments with a
//! number are an object, and its place on the disk is the fragment's place in the map. So nothing is shorter than 13 sectors. Each
//! zone of the map is a sector with a check byte of its own. The places are those of `include/uapi/linux/adfs_fs.h` and
//! `fs/adfs/dir_f.h`.

use super::bytes::{Image, Order};
use super::objects::{Held, Object};

const SECTOR: usize = 512;
/// Bits of a fragment's number.
const ID: usize = 12;
const SPARE: usize = 32;
/// Bits of a zone, of the disc record in the first, and of the header of each.
const ZONE: usize = SECTOR * 8 - SPARE;
const RECORD: usize = 480;
const HEADER: usize = 32;
/// Objects whose fragments may begin in a zone.
const PER_ZONE: usize = ZONE / (ID + 1);
const DIRECTORY: usize = 2048;
/// The fragment with the boot block, the maps and the root.
const SYSTEM: u16 = 2;
/// No fragment is longer, so that large files are in pieces.
const LONGEST: usize = 700;

/// A volume with these objects.
pub fn volume(objects: &[Object], size: u64) -> Vec<u8> {
    let mut maker = Maker::new(size as usize);
    // Indirect addresses: an object's number, and an offset in sectors, plus one, that the root alone has.
    let root = u32::from(SYSTEM) << 8 | (2 * maker.zones as u32 + 1);
    let places: Vec<(u32, Vec<usize>)> = objects
        .iter()
        .enumerate()
        .map(|(number, object)| {
            let length = match &object.held {
                Held::Directory(_) => DIRECTORY,
                Held::File(bytes) => bytes.len(),
                Held::Link(_) | Held::Special(..) => 0,
            };
            match number {
                0 => (root, maker.root_sectors()),
                _ => maker.object(length.div_ceil(SECTOR)),
            }
        })
        .collect();
    for (number, object) in objects.iter().enumerate() {
        let directory;
        let bytes = match &object.held {
            Held::Directory(names) => {
                directory = self::directory(names, objects, &places, places[object.parent].0);
                &directory
            }
            Held::File(bytes) => bytes,
            Held::Link(_) | Held::Special(..) => continue,
        };
        for (sector, bytes) in places[number].1.iter().zip(bytes.chunks(SECTOR)) {
            maker.image.put(sector * SECTOR, bytes);
        }
    }
    maker.finish(root)
}

struct Maker {
    image: Image,
    zones: usize,
    /// The map, a vector of fragments for each zone: number and length in bits.
    map: Vec<Vec<(u16, usize)>>,
    zone: usize,
    next: u16,
}

impl Maker {
    fn new(size: usize) -> Maker {
        let zones = (size / SECTOR + RECORD).div_ceil(ZONE);
        let mut maker = Maker {
            image: Image::new(size as u64, Order::Little),
            zones,
            map: vec![Vec::new(); zones],
            zone: 0,
            next: 0,
        };
        // The boot block is at 3072; the maps, twice, and the root are in the middle.
        maker.map[0].push((SYSTEM, ID + 1));
        maker.map[zones / 2].push((SYSTEM, (2 * zones + DIRECTORY / SECTOR).max(ID + 1)));
        maker
    }

    /// Bits that fragments may fill in a zone.
    fn bits(&self, zone: usize) -> usize {
        let start = self.sector(zone, 0);
        let end = if zone + 1 == self.zones {
            self.image.bytes.len() / SECTOR
        } else {
            self.sector(zone + 1, 0)
        };
        end - start
    }

    /// The sector of a bit, counted from the first fragment of a zone.
    fn sector(&self, zone: usize, bit: usize) -> usize {
        match zone {
            0 => bit,
            _ => zone * ZONE - RECORD + bit,
        }
    }

    fn used(&self, zone: usize) -> usize {
        self.map[zone].iter().map(|(_, bits)| bits).sum()
    }

    fn map_at(&self) -> usize {
        self.sector(self.zones / 2, 0)
    }

    fn root_sectors(&self) -> Vec<usize> {
        let start = self.map_at() + 2 * self.zones;
        (start..start + DIRECTORY / SECTOR).collect()
    }

    /// Makes an object of `count` sectors: its indirect address, and its sectors.
    fn object(&mut self, count: usize) -> (u32, Vec<usize>) {
        if count == 0 {
            // What is empty has no place; one that exists is said.
            return (u32::from(SYSTEM) << 8, Vec::new());
        }
        while self.bits(self.zone) - self.used(self.zone) < ID + 1 {
            self.zone += 1;
            self.next = 0;
        }
        // The number says in which zone the first fragment is; 0 is for free space, 1 for what is damaged.
        let first = (self.zone * PER_ZONE) as u16;
        let id = (first + self.next).max(SYSTEM + 1);
        self.next = id + 1 - first;
        assert!(
            usize::from(self.next) < PER_ZONE && id < 1 << ID,
            "too many objects"
        );
        let mut sectors = Vec::new();
        let mut zone = self.zone;
        while sectors.len() < count {
            let room = self.bits(zone) - self.used(zone);
            if room < ID + 1 {
                zone += 1;
                continue;
            }
            let mut bits = (count - sectors.len()).clamp(ID + 1, LONGEST).min(room);
            // Less than a fragment cannot be left over.
            if room - bits < ID + 1 {
                bits = room;
            }
            let start = self.sector(zone, self.used(zone));
            sectors.extend(start..start + bits);
            self.map[zone].push((id, bits));
            if sectors.len() < count && zone == self.zone && self.bits(zone) - self.used(zone) > 2 * (ID + 1)
            {
                // Another object is between the pieces.
                self.gap(zone);
            }
        }
        sectors.truncate(count);
        (u32::from(id) << 8, sectors)
    }

    /// Sectors that are said to be damaged.
    fn gap(&mut self, zone: usize) {
        const DAMAGED: u16 = 1;
        self.map[zone].push((DAMAGED, ID + 1));
    }

    fn finish(mut self, root: u32) -> Vec<u8> {
        let mut record = Image::new(60, Order::Little);
        let values = [
            (0, SECTOR.ilog2()),
            (1, 32),
            (2, 4),
            (4, ID as u32),
            (5, SECTOR.ilog2()),
            (9, self.zones as u32),
        ];
        for (at, value) in values {
            record.bytes[at] = value as u8;
        }
        record.u16(10, SPARE as u16);
        record.u32(12, root);
        record.u32(16, self.image.bytes.len() as u32);
        record.u16(20, 0x6c6b);
        record.put(22, b"lklfs     ");
        self.image.put(0xc00 + 0x1c0, &record.bytes);
        let sum = self.image.bytes[0xc00..0xc00 + 511]
            .iter()
            .rev()
            .fold(0u32, |sum, byte| (sum & 0xff) + (sum >> 8) + u32::from(*byte));
        self.image.bytes[0xc00 + 511] = sum as u8;
        for zone in 0..self.zones {
            let map = self.zone_map(zone, &record.bytes);
            for copy in [0, self.zones] {
                self.image.put((self.map_at() + copy + zone) * SECTOR, &map);
            }
        }
        self.image.bytes
    }

    fn zone_map(&self, zone: usize, record: &[u8]) -> Vec<u8> {
        let mut map = Image::new(SECTOR as u64, Order::Little);
        let mut bit = HEADER;
        if zone == 0 {
            map.put(4, record);
            bit += RECORD;
        }
        let free = self.bits(zone) - self.used(zone);
        let mut fragments = self.map[zone].clone();
        // All that is free is one fragment, whose number says that none follows.
        let mut link = 0;
        match (free, fragments.last_mut()) {
            (0, _) => {}
            (1..=ID, Some((_, bits))) => *bits += free,
            _ => {
                link = bit - 8 + self.used(zone);
                fragments.push((0, free));
            }
        }
        for (id, bits) in fragments {
            (0..ID)
                .filter(|place| id >> place & 1 == 1)
                .for_each(|place| map.set_bit(0, bit + place));
            bit += bits;
            map.set_bit(0, bit - 1);
        }
        assert!(link < 1 << ID, "free space begins too late in its zone");
        map.u16(1, 0x8000 | link as u16);
        // All of these together are 255.
        map.bytes[3] = if zone == 0 { 0xff } else { 0 };
        map.bytes[0] = zone_check(&map.bytes);
        map.bytes
    }
}

/// Four sums of every fourth byte, from the last to the first but for the check byte itself, with the carry of each going into
/// the next.
fn zone_check(map: &[u8]) -> u8 {
    let mut sums = [0u32; 4];
    for word in map.chunks_exact(4).rev() {
        for lane in 0..4 {
            let before = (lane + 3) % 4;
            let carry = sums[before] >> 8;
            sums[before] &= 0xff;
            sums[lane] += u32::from(word[lane]) + carry;
        }
    }
    // The last step took the check byte, still zero, with it.
    sums.iter().fold(0, |check, sum| check ^ *sum as u8)
}

fn directory(
    names: &[(Vec<u8>, usize)],
    objects: &[Object],
    places: &[(u32, Vec<usize>)],
    parent: u32,
) -> Vec<u8> {
    let mut names = names.to_vec();
    names.sort_by_key(|(name, _)| name.to_ascii_uppercase());
    assert!(names.len() <= 77, "more names than a directory has room for");
    let mut image = Image::new(DIRECTORY as u64, Order::Little);
    image.put(1, b"Hugo");
    for (index, (name, child)) in names.iter().enumerate() {
        let at = 5 + index * 26;
        // A dot separates the parts of a path there, and so a slash is in its place.
        let mut field = [0x0d; 10];
        for (place, byte) in field.iter_mut().zip(name) {
            *place = if *byte == b'.' { b'/' } else { *byte };
        }
        image.put(at, &field);
        let object = &objects[*child];
        // Hundredths of a second since 1900, and the type of "data".
        let time = (object.mtime.0 + 2_208_988_800) as u64 * 100 + u64::from(object.mtime.1 / 10_000_000);
        image.u32(at + 10, 0xfff0_0000 | 0xffd << 8 | (time >> 32) as u32);
        image.u32(at + 14, time as u32);
        let (length, attributes) = match &object.held {
            Held::Directory(_) => (DIRECTORY, 0x0b),
            Held::File(bytes) => (bytes.len(), 0x03),
            Held::Link(_) | Held::Special(..) => (0, 0x03),
        };
        image.u32(at + 18, length as u32);
        image.put(at + 22, &places[*child].0.to_le_bytes()[..3]);
        image.bytes[at + 25] = attributes;
    }
    let tail = 2007;
    image.put(tail + 3, &parent.to_le_bytes()[..3]);
    image.put(tail + 6, b"lklfs\r");
    image.put(tail + 25, b"$\r");
    image.put(tail + 36, b"Hugo");
    let end = 5 + names.len() * 26;
    image.bytes[DIRECTORY - 1] = directory_check(&image.bytes, end);
    image.bytes
}

/// Over the words of the entries, the bytes that are left of them, and the words of the tail but for its first byte and the last.
fn directory_check(bytes: &[u8], end: usize) -> u8 {
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let whole = end & !3;
    let values = (0..whole)
        .step_by(4)
        .map(word)
        .chain((whole..end).map(|at| u32::from(bytes[at])))
        .chain((2008..2044).step_by(4).map(word));
    let sum = values.fold(0u32, |sum, value| value ^ sum.rotate_right(13));
    (sum ^ (sum >> 8) ^ (sum >> 16) ^ (sum >> 24)) as u8
}
