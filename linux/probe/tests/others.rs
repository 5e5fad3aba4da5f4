//! Superblocks of small and old file systems, by hand from the published layouts, in every place and byte order that Linux
//! reads; and that nothing else is taken for one of them.

use fs_probe::{Kind, probe, signature};

/// A volume of zeros with fields in it.
struct Volume(Vec<u8>);

impl Volume {
    fn new(size: usize) -> Volume {
        Volume(vec![0; size])
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Volume {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn le32(self, at: usize, value: u32) -> Volume {
        self.put(at, &value.to_le_bytes())
    }

    fn be32(self, at: usize, value: u32) -> Volume {
        self.put(at, &value.to_be_bytes())
    }

    fn word(self, little: bool, at: usize, value: u32) -> Volume {
        if little {
            self.le32(at, value)
        } else {
            self.be32(at, value)
        }
    }

    fn told(&self) -> Option<(Kind, String)> {
        probe(&self.0[..]).map(|found| (found.kind, found.label.as_str().to_string()))
    }

    fn is(&self, kind: Kind, label: &str) {
        assert_eq!(self.told(), Some((kind, label.to_string())));
    }

    /// The same with one bit changed is nothing, for each of these bytes.
    fn not_without(&self, bytes: &[usize]) {
        for at in bytes {
            let mut other = self.0.clone();
            other[*at] ^= 0x40;
            assert_eq!(
                probe(&other[..]).map(|found| found.kind),
                None,
                "byte {at} does not matter"
            );
        }
    }
}

#[test]
fn bfs() {
    let volume = Volume::new(1 << 20)
        .le32(0, 0x1bad_face)
        .le32(4, 512 + 64 * 48)
        .le32(8, (1 << 20) - 1)
        .put(34, b"boot\0\0");
    volume.is(Kind::Bfs, "boot");
    volume.not_without(&[0, 1, 2, 3, 7]);
}

#[test]
fn befs() {
    for (start, little) in [(0, false), (0, true), (512, false), (512, true)] {
        let volume = Volume::new(1 << 20)
            .put(start, b"Haiku")
            .word(little, start + 32, 0x4246_5331)
            .word(little, start + 36, 0x4249_4745)
            .word(little, start + 40, 2048)
            .word(little, start + 44, 11)
            .word(little, start + 68, 0xdd12_1031)
            .word(little, start + 112, 0x15b6_830e);
        volume.is(Kind::Befs, "Haiku");
        volume.not_without(&[start + 33, start + 36, start + 41, start + 70, start + 113]);
    }
}

#[test]
fn system_v() {
    for block in [0, 9, 15, 18] {
        for little in [true, false] {
            let start = block * 1024 + 512;
            let volume = Volume::new(64 << 10)
                .put(start, &if little { [20, 0] } else { [0, 20] })
                .word(little, start + 504, 0xfd18_7e20)
                .word(little, start + 508, 2);
            volume.is(Kind::Sysv, "");
            volume.not_without(&[start + 505, start + 509]);
        }
    }
    let xenix = Volume::new(64 << 10)
        .put(1024, &[20, 0])
        .le32(2040, 0x002b_5544)
        .le32(2044, 2);
    xenix.is(Kind::Sysv, "");
}

/// What Linux does not mount is no file system that is told, but has a name.
#[test]
fn what_linux_has_a_driver_for_and_does_not_read_is_only_named() {
    let coherent = Volume::new(64 << 10)
        .put(512 + 484, b"noname")
        .put(512 + 490, b"nopack");
    let mut named = vec![(coherent, "coherent")];
    for place in [8192, 262_144] {
        for little in [true, false] {
            named.push((
                Volume::new(1 << 20).word(little, place + 1372, 0x1954_0119),
                "ufs",
            ));
        }
    }
    for (volume, name) in named {
        assert_eq!(volume.told(), None);
        let found = signature::name(&volume.0[..], volume.0.len() as u64);
        assert_eq!(found.map(|found| found.name), Some(name));
    }
    for little in [true, false] {
        Volume::new(1 << 20)
            .word(little, 65_536 + 1372, 0x1954_0119)
            .is(Kind::Ufs, "");
    }
}

#[test]
fn qnx4() {
    let volume = Volume::new(64 << 10)
        .put(512, b"/")
        .le32(512 + 20, 5)
        .le32(512 + 24, 2)
        .put(4 * 512 + 512 + 64, b".bitmap\0");
    volume.is(Kind::Qnx4, "");
    volume.not_without(&[512, 513, 4 * 512 + 512 + 64]);
}

/// CRC-32 with the highest bit first, from 0 on, by the textbook.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = 0u32;
    for byte in bytes {
        for bit in (0..8).rev() {
            let top = (crc >> 31 != 0) ^ (byte >> bit & 1 != 0);
            crc <<= 1;
            if top {
                crc ^= 0x04c1_1db7;
            }
        }
    }
    crc
}

#[test]
fn qnx6() {
    for (start, little) in [(8192, true), (8192, false), (0, true)] {
        let volume = Volume::new(64 << 10)
            .word(little, start, 0x6819_1122)
            .word(little, start + 48, 1024)
            .word(little, start + 60, 40);
        let sum = crc32(&volume.0[start + 8..start + 512]);
        let volume = volume.word(little, start + 4, sum);
        volume.is(Kind::Qnx6, "");
        volume.not_without(&[start, start + 5, start + 100]);
    }
}

#[test]
fn efs() {
    for (first, magic) in [(0usize, 0x0007_2959), (64, 0x0007_295a)] {
        let start = (first + 1) * 512;
        let mut volume = Volume::new(256 << 10)
            .be32(start, 400)
            .be32(start + 4, 18)
            .be32(start + 8, 100)
            .put(start + 12, &[0, 10])
            .put(start + 18, &[0, 3])
            .be32(start + 28, magic)
            .put(start + 38, b"irix\0\0");
        if first != 0 {
            volume = volume
                .be32(0, 0x0be5_a941)
                .be32(312 + 12 + 4, first as u32)
                .be32(312 + 12 + 8, 7);
        }
        volume.is(Kind::Efs, "irix");
        volume.not_without(&[start + 29, start + 31]);
    }
}

#[test]
fn affs() {
    for (size, block, root) in [
        (901_120, 512, 880usize),
        (1 << 20, 1024, 512),
        (1 << 20, 512, 1024),
    ] {
        let at = root * block;
        let volume = Volume::new(size)
            .put(0, b"DOS\x01")
            .be32(at, 2)
            .put(at + block - 80, b"\x06Amiga1")
            .be32(at + block - 4, 1);
        let sum = volume.0[at..at + block].chunks(4).fold(0u32, |sum, word| {
            sum.wrapping_add(u32::from_be_bytes(word.try_into().unwrap()))
        });
        let volume = volume.be32(at + 20, sum.wrapping_neg());
        volume.is(Kind::Affs, "Amiga1");
        volume.not_without(&[0, 2, at + 3, at + 21]);
    }
}

fn disc_record(volume: Volume, at: usize, size: u32) -> Volume {
    volume
        .put(at, &[10, 5, 2, 2, 15, 7, 1, 0, 0, 1])
        .le32(at + 12, 0x203)
        .le32(at + 16, size)
        .put(at + 22, b"Acorn")
}

#[test]
fn adfs() {
    let floppy = disc_record(Volume::new(819_200), 4, 819_200);
    floppy.is(Kind::Adfs, "Acorn");
    floppy.not_without(&[4, 4 + 4, 4 + 9, 4 + 17, 4 + 52]);
    let disk = disc_record(Volume::new(4 << 20), 3072 + 0x1c0, 4 << 20);
    let mut sum = 0u32;
    for byte in disk.0[3072..3072 + 511].iter().rev() {
        sum = (sum & 0xff) + (sum >> 8) + u32::from(*byte);
    }
    let disk = disk.put(3072 + 511, &[sum as u8]);
    disk.is(Kind::Adfs, "Acorn");
    disk.not_without(&[3072 + 100, 3072 + 511, 3072 + 0x1c0, 3072 + 0x1c0 + 52]);
}

#[test]
fn omfs() {
    let volume = Volume::new(1 << 20)
        .put(256, &1u64.to_be_bytes())
        .put(264, &128u64.to_be_bytes())
        .be32(272, 0xc299_3d87)
        .be32(276, 8192)
        .be32(284, 2048)
        .put(8192 + 32, &128u64.to_be_bytes())
        .put(8192 + 72, b"rio");
    volume.is(Kind::Omfs, "rio");
    volume.not_without(&[272, 285, 8192 + 39]);
}

#[test]
fn noise_is_nothing() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = vec![0u8; 256 << 10];
    for round in 0..200 {
        for byte in &mut noise {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = state as u8;
        }
        assert_eq!(probe(&noise[..]), None, "round {round}");
    }
    // Short magic numbers everywhere, and nothing that makes sense around them.
    for word in [
        0x1bad_face_u32,
        0xfd18_7e20,
        0x6819_1122,
        0xc299_3d87,
        0x0007_2959,
    ] {
        for bytes in [word.to_le_bytes(), word.to_be_bytes()] {
            let everywhere: Vec<u8> = bytes.iter().copied().cycle().take(256 << 10).collect();
            assert_eq!(probe(&everywhere[..]), None, "{word:#x}");
        }
    }
}
