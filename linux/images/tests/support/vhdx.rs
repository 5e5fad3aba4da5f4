//! Writes VHDX images of the kinds that QEMU does not: differencing ones, sectors of 4096 bytes, logs.

use std::collections::BTreeMap;

pub const MIB: u64 = 1 << 20;
/// Where the parts of the images made here are.
pub const LOG: u64 = MIB;
pub const METADATA: u64 = 2 * MIB;
pub const BAT: u64 = 3 * MIB;
pub const BLOCKS: u64 = 4 * MIB;

/// What a block is.
pub enum Block {
    /// A state without data.
    Empty(u64),
    /// All of it.
    Full(Vec<u8>),
    /// The sectors whose numbers in the block are listed.
    Partial(Vec<u8>, Vec<u64>),
}

/// A disk with blocks of 1 MiB.
pub struct Disk {
    pub size: u64,
    pub sector: u32,
    pub data_write: u128,
    /// Its parent's data write GUID and relative path.
    pub parent: Option<(u128, String)>,
    pub blocks: BTreeMap<u64, Block>,
}

pub fn guid(printed: u128) -> [u8; 16] {
    let mut bytes = printed.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

/// CRC-32C bit by bit: another way than the tables of the crate that is tested.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    };
    !bytes.iter().fold(u32::MAX, step)
}

pub fn put(bytes: &mut [u8], at: u64, value: &[u8]) {
    bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
}

/// Puts the checksum of the structure of `length` bytes at `at` right.
pub fn sum(bytes: &mut [u8], at: u64, length: usize) {
    put(bytes, at + 4, &[0; 4]);
    let crc = crc32c(&bytes[at as usize..at as usize + length]);
    put(bytes, at + 4, &crc.to_le_bytes());
}

/// Writes a header: the first or the second.
pub fn header(file: &mut [u8], which: u64, number: u64, data_write: u128, log: u128) {
    let at = (64 << 10) * (which + 1);
    put(file, at, &[0; 4096]);
    put(file, at, b"head");
    put(file, at + 8, &number.to_le_bytes());
    put(file, at + 16, &guid(77));
    put(file, at + 32, &guid(data_write));
    put(file, at + 48, &guid(log));
    put(file, at + 66, &1u16.to_le_bytes());
    put(file, at + 68, &(MIB as u32).to_le_bytes());
    put(file, at + 72, &LOG.to_le_bytes());
    sum(file, at, 4096);
}

impl Disk {
    pub fn write(&self) -> Vec<u8> {
        let mut file = vec![0; BLOCKS as usize];
        put(&mut file, 0, b"vhdxfile");
        header(&mut file, 0, 5, 1, 2);
        header(&mut file, 1, 6, self.data_write, 0);
        for at in [192u64 << 10, 256 << 10] {
            put(&mut file, at, b"regi");
            put(&mut file, at + 8, &2u32.to_le_bytes());
            let regions = [
                (0x2dc27766_f623_4200_9d64_115e9bfd4a08u128, BAT),
                (0x8b7ca206_4790_4b9a_b8fe_575f050f886e, METADATA),
            ];
            for (number, (kind, offset)) in regions.into_iter().enumerate() {
                let entry = at + 16 + 32 * number as u64;
                put(&mut file, entry, &guid(kind));
                put(&mut file, entry + 16, &offset.to_le_bytes());
                put(&mut file, entry + 24, &(MIB as u32).to_le_bytes());
                put(&mut file, entry + 28, &1u32.to_le_bytes());
            }
            sum(&mut file, at, 64 << 10);
        }
        self.metadata(&mut file);
        let ratio = (u64::from(self.sector) << 23) / MIB;
        let mut bitmaps: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (&number, block) in &self.blocks {
            let state = match block {
                Block::Empty(state) => *state,
                Block::Full(_) => 6 | file.len() as u64,
                Block::Partial(..) => 7 | file.len() as u64,
            };
            put(
                &mut file,
                BAT + 8 * (number + number / ratio),
                &state.to_le_bytes(),
            );
            match block {
                Block::Empty(_) => {}
                Block::Full(data) => file.extend(data),
                Block::Partial(data, own) => {
                    file.extend(data);
                    let chunk = number / ratio;
                    let bitmap = bitmaps.entry(chunk).or_insert_with(|| vec![0; MIB as usize]);
                    for sector in own {
                        let bit = number % ratio * (MIB / u64::from(self.sector)) + sector;
                        bitmap[bit as usize / 8] |= 1 << (bit % 8);
                    }
                }
            }
            file.resize(file.len().next_multiple_of(MIB as usize), 0);
        }
        for (chunk, bitmap) in bitmaps {
            let state = 6 | file.len() as u64;
            put(
                &mut file,
                BAT + 8 * ((chunk + 1) * ratio + chunk),
                &state.to_le_bytes(),
            );
            file.extend(bitmap);
        }
        file
    }

    fn metadata(&self, file: &mut [u8]) {
        let mut items: Vec<(u128, u32, Vec<u8>)> = vec![
            (
                0x2fa54224_cd1b_4876_b211_5dbed83bf4b8,
                6,
                self.size.to_le_bytes().to_vec(),
            ),
            (
                0xbeca12ab_b2e6_4523_93ef_c309e000c746,
                6,
                guid(0x1122_3344).to_vec(),
            ),
            (
                0x8141bf1d_a96f_4709_ba47_f233a8faab5f,
                6,
                self.sector.to_le_bytes().to_vec(),
            ),
            (
                0xcda348c7_445d_4471_9cc9_e9885251c556,
                6,
                4096u32.to_le_bytes().to_vec(),
            ),
        ];
        let mut parameters = (MIB as u32).to_le_bytes().to_vec();
        parameters.extend(if self.parent.is_some() { 2u32 } else { 0 }.to_le_bytes());
        items.push((0xcaa16737_fa36_4d43_b3b6_33f0aa44e76b, 4, parameters));
        if let Some((id, path)) = &self.parent {
            items.push((0xa8d35f2d_b30b_454d_abf7_d3d84834ab0c, 4, locator(*id, path)));
        }
        put(file, METADATA, b"metadata");
        put(file, METADATA + 10, &(items.len() as u16).to_le_bytes());
        let mut at = 64u64 << 10;
        for (number, (kind, flags, value)) in items.iter().enumerate() {
            let entry = METADATA + 32 + 32 * number as u64;
            put(file, entry, &guid(*kind));
            put(file, entry + 16, &(at as u32).to_le_bytes());
            put(file, entry + 20, &(value.len() as u32).to_le_bytes());
            put(file, entry + 24, &flags.to_le_bytes());
            put(file, METADATA + at, value);
            at += value.len().next_multiple_of(8) as u64;
        }
    }
}

fn locator(id: u128, path: &str) -> Vec<u8> {
    let text = id
        .to_be_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let id = format!(
        "{{{}-{}-{}-{}-{}}}",
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..]
    );
    let pairs = [
        ("parent_linkage", id.as_str()),
        ("relative_path", path),
        ("volume_path", "\\\\?\\Volume{0}\\x"),
    ];
    let mut locator = guid(0xb04aefb7_d19e_4a81_b789_25b8e9445913).to_vec();
    locator.extend([0, 0]);
    locator.extend((pairs.len() as u16).to_le_bytes());
    let mut texts: Vec<u8> = Vec::new();
    let start = 20 + 12 * pairs.len();
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    for (key, value) in pairs {
        let (key, value) = (utf16(key), utf16(value));
        let key_at = (start + texts.len()) as u32;
        texts.extend(&key);
        let value_at = (start + texts.len()) as u32;
        texts.extend(&value);
        locator.extend(key_at.to_le_bytes());
        locator.extend(value_at.to_le_bytes());
        locator.extend((key.len() as u16).to_le_bytes());
        locator.extend((value.len() as u16).to_le_bytes());
    }
    locator.extend(texts);
    locator
}

/// What an entry of a log says.
pub enum Said {
    /// A sector of 4096 bytes at a place.
    Sector(u64, Vec<u8>),
    /// So many zeros at a place.
    Zeros(u64, u64),
}

/// An entry of a log.
pub fn entry(number: u64, tail: u64, log: u128, file_size: u64, said: &[Said]) -> Vec<u8> {
    let mut entry = vec![0; (64 + 32 * said.len()).next_multiple_of(4096)];
    put(&mut entry, 0, b"loge");
    put(&mut entry, 12, &(tail as u32).to_le_bytes());
    put(&mut entry, 16, &number.to_le_bytes());
    put(&mut entry, 24, &(said.len() as u32).to_le_bytes());
    put(&mut entry, 32, &guid(log));
    put(&mut entry, 48, &file_size.to_le_bytes());
    put(&mut entry, 56, &file_size.to_le_bytes());
    for (place, said) in said.iter().enumerate() {
        let at = 64 + 32 * place as u64;
        put(&mut entry, at + 24, &number.to_le_bytes());
        match said {
            Said::Sector(offset, data) => {
                put(&mut entry, at, b"desc");
                put(&mut entry, at + 4, &data[4092..]);
                put(&mut entry, at + 8, &data[..8]);
                put(&mut entry, at + 16, &offset.to_le_bytes());
                let mut sector = data.clone();
                put(&mut sector, 0, b"data");
                put(&mut sector, 4, &((number >> 32) as u32).to_le_bytes());
                put(&mut sector, 4092, &(number as u32).to_le_bytes());
                entry.extend(sector);
            }
            Said::Zeros(offset, length) => {
                put(&mut entry, at, b"zero");
                put(&mut entry, at + 8, &length.to_le_bytes());
                put(&mut entry, at + 16, &offset.to_le_bytes());
            }
        }
    }
    let length = entry.len();
    put(&mut entry, 8, &(length as u32).to_le_bytes());
    sum(&mut entry, 0, length);
    entry
}

/// Writes into the ring from `at` on, around its end if need be; says where the next entry goes.
pub fn write_ring(file: &mut [u8], log: u64, length: u64, at: u64, bytes: &[u8]) -> u64 {
    for (number, sector) in bytes.chunks(4096).enumerate() {
        put(file, log + (at + 4096 * number as u64) % length, sector);
    }
    (at + bytes.len() as u64) % length
}
