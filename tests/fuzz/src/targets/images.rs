//! Disk images with parents, backing and data files: `disk_images`.
//!
//! The bytes: how, the length of the first file's description, then two files, each a [`Sparse`] one. The first is opened; what
//! it asks for is the second, and what that asks for a small raw file. What must hold: opening and reading end, with bytes or an
//! error, with bounded reads and memory; each extent is in its file and in the range that was asked for; a range that is read
//! at once, in sectors, by a cache that is full and by one that is new, is the same; what the extents say is what is read.

use crate::allocated::within;
use crate::checksums;
use crate::input::Input;
use crate::sparse::{SECTOR, Sparse};
use disk_images::{Cache, Declared, Error, Extent, Format, Image, MAX_LAYERS, ReadAt, Reference, Unresolved, open_as};

/// A log of 64 MiB, and what replaying takes.
const OPENING: usize = 80 << 20;
/// One cluster as it is packed and unpacked, of 2 MiB each, and decoders.
const READING: usize = 6 << 20;
/// Reads, and bytes of them, that opening may take: a log of VHDX is read, a table of regions, metadata.
const OPEN: (u64, u64) = (600_000, 512 << 20);
/// Bytes of a disk that are read whole.
const WHOLE: u64 = 256 << 10;
/// Extents that are looked at of a larger one, and bytes of each.
const EXTENTS: usize = 64;
const PROBE: u64 = 1024;

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let first = usize::from(input.u16());
    let mut files = [Sparse::new(Input(input.take(first))), Sparse::new(input)];
    if how & 1 != 0 {
        files.iter_mut().for_each(checksums::image);
    }
    let declared = [
        Declared::Unknown,
        Declared::Raw,
        Declared::Vhd,
        Declared::Vhdx,
        Declared::Qcow2,
        Declared::Unknown,
        Declared::Unknown,
        Declared::Unknown,
    ][usize::from(how >> 1 & 7)];
    let [file, other] = files;
    let base = raw();
    let mut asked = 0;
    let mut resolve = |reference: &Reference| {
        asked += 1;
        assert!(!reference.names.is_empty() && reference.file < asked);
        let longest = reference.names.iter().map(|name| name.bytes.len()).max();
        assert!(longest.is_some_and(|longest| longest <= 1 << 16));
        reference.names.iter().for_each(|name| drop(name.text()));
        match asked {
            1 if how & 0x10 == 0 => Ok(other.clone()),
            2 if how & 0x20 == 0 => Ok(base.clone()),
            // The image itself, as its own parent.
            3 => Ok(file.clone()),
            _ => Err(Unresolved),
        }
    };
    let opened = within(OPENING, || open_as(file.clone(), declared, &mut resolve));
    for one in [&file, &other] {
        let (reads, bytes) = one.was_read();
        assert!(reads <= OPEN.0 && bytes <= OPEN.1, "{reads} reads of {bytes} bytes to open it");
    }
    match opened {
        Ok(image) => disk(&image, how),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A raw file whose sectors tell their numbers.
fn raw() -> Sparse {
    let mut description = 64u32.to_le_bytes().to_vec();
    description.extend([0, 0]);
    let mut base = Sparse::new(Input(&description));
    for sector in 0..64u8 {
        base.put(u64::from(sector) * SECTOR, &[sector | 0x40; 512]);
    }
    base
}

fn disk(image: &Image<Sparse>, how: u8) {
    assert!(image.layers() <= MAX_LAYERS);
    assert!([512, 4096].contains(&image.logical_sector_size()));
    let size = image.virtual_size();
    let mut cache = cache();
    assert_eq!(image.map(&mut cache, size, 1), Err(Error::Beyond));
    assert_eq!(image.read_at(&mut cache, size, &mut [0]), Err(Error::Beyond));
    if size == 0 {
        return;
    }
    if size <= WHOLE {
        whole(image, size);
    }
    // From the start, and from the middle: extent by extent.
    let middle = if how & 0x40 == 0 { size / 2 } else { size - size / 7 - 1 };
    for start in [0, middle] {
        let mut at = start;
        for _ in 0..EXTENTS {
            if at >= size {
                break;
            }
            match within(READING, || image.map(&mut cache, at, size - at)) {
                Ok(extent) => {
                    check(image, &mut cache, at, size - at, extent);
                    at += extent.length();
                }
                // What is bad stays bad when less is asked for; behind it there may be more.
                Err(_) => {
                    assert!(image.map(&mut cache, at, 1).is_err(), "byte {at} alone can be mapped");
                    at += 512 - at % 512;
                }
            }
        }
    }
}

fn cache() -> Cache {
    within(512 << 10, || Cache::with_pages(4)).expect("memory")
}

/// Compares an extent's start with what is read there.
fn check(image: &Image<Sparse>, cache: &mut Cache, at: u64, asked: u64, extent: Extent) {
    let length = extent.length();
    assert!(length > 0 && length <= asked, "{extent:?} of {asked}");
    let mut read = vec![0xa5; length.min(PROBE) as usize];
    let done = within(READING, || image.read_at(cache, at, &mut read));
    let fresh = image.read_at(&mut self::cache(), at, &mut read.clone());
    assert_eq!(done, fresh, "another answer by a new cache, of byte {at}");
    match extent {
        Extent::Zero { .. } => {
            assert_eq!(done, Ok(()));
            assert!(read.iter().all(|byte| *byte == 0));
        }
        Extent::Data { file, offset, .. } => {
            let file = image.file(file).expect("a file of the image");
            assert!(offset.checked_add(length).is_some_and(|end| end <= file.size_bytes()), "{extent:?}");
            let mut stored = vec![0; read.len()];
            file.read_at(offset, &mut stored).expect("it is in the file");
            assert_eq!(done, Ok(()));
            assert_eq!(read, stored);
        }
        Extent::Computed { .. } => {}
    }
}

/// All of a small disk: at once, by sectors, and backwards by a cache of the least size.
fn whole(image: &Image<Sparse>, size: u64) {
    let size = size as usize;
    let mut all = vec![0xa5; size];
    let at_once = within(READING, || image.read_at(&mut cache(), 0, &mut all));
    let mut forwards = cache();
    let mut failed = None;
    for start in (0..size).step_by(SECTOR as usize) {
        let mut sector = vec![0; (size - start).min(SECTOR as usize)];
        match image.read_at(&mut forwards, start as u64, &mut sector) {
            Ok(()) if at_once.is_ok() => assert_eq!(all[start..start + sector.len()], sector, "at {start}"),
            Ok(()) => {}
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    assert_eq!(at_once.err(), failed, "at once, and by sectors");
    let mut backwards = cache();
    for start in (0..size).step_by(SECTOR as usize).rev() {
        let mut sector = vec![0; (size - start).min(SECTOR as usize)];
        let read = image.read_at(&mut backwards, start as u64, &mut sector);
        if at_once.is_ok() {
            assert_eq!(read, Ok(()));
            assert_eq!(all[start..start + sector.len()], sector, "at {start}, backwards");
        } else {
            assert_eq!(read, image.read_at(&mut forwards, start as u64, &mut sector), "at {start}, backwards");
        }
    }
    if image.format() == Format::Raw {
        assert_eq!(at_once, Ok(()));
    }
}
