//! Compressed clusters of qcow2, zstd and deflate: `disk_images`, against libzstd and a second use of miniz_oxide.
//!
//! The bytes: how, then the packed bytes of a cluster, or what is to be packed. A qcow2 image is put around them and its cluster
//! read. What must hold: memory is bounded; what is unpacked, the judge unpacks to the same bytes; what the judge has packed comes
//! out again, whatever it is of.

use crate::allocated::within;
use crate::input::Input;
use crate::sparse::Sparse;
use disk_images::{Cache, Unresolved, open};

/// Clusters of 4 KiB, or of 64 KiB.
const CLUSTERS: [u32; 2] = [12, 16];
const MEMORY: usize = 2 << 20;

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let bits = CLUSTERS[usize::from(how >> 1 & 1)];
    let zstd = how & 1 != 0;
    let cluster = 1usize << bits;
    if how & 4 != 0 {
        let mut plain = input.0.repeat(cluster / input.0.len().max(1) + 1);
        plain.resize(cluster, 0);
        let packed = packed(&plain, zstd, how >> 3);
        // A cluster that is not smaller when packed is not packed.
        if packed.len() < cluster {
            assert_eq!(unpacked(&packed, bits, zstd), Some(plain), "what was packed");
        }
        return;
    }
    let packed = &input.0[..input.0.len().min(cluster - 512)];
    let ours = unpacked(packed, bits, zstd);
    let judged = judge(packed, cluster, zstd);
    match (ours, judged) {
        (Some(ours), Some(judged)) => assert!(ours == judged, "other bytes than the judge's"),
        // libzstd does not look at the end of all its streams: what it takes, it must only be able to have written.
        (None, Some(judged)) if zstd => {
            let again = self::packed(&judged, true, how >> 3);
            assert!(again.len() >= cluster || unpacked(&again, bits, true) == Some(judged));
        }
        (None, Some(_)) => panic!("the judge can unpack it"),
        // The judge looks at a checksum, too.
        (Some(_), None) => assert!(zstd && packed[4] & 4 != 0, "the judge cannot unpack it"),
        (None, None) => {}
    }
}

fn packed(plain: &[u8], zstd: bool, level: u8) -> Vec<u8> {
    if zstd {
        let mut out = vec![0; zstd_safe::compress_bound(plain.len())];
        let length = zstd_safe::compress(&mut out[..], plain, i32::from(level % 20)).expect("room");
        out.truncate(length);
        return out;
    }
    miniz_oxide::deflate::compress_to_vec(plain, level % 10)
}

/// What the judge makes of it: a whole cluster, or nothing.
fn judge(packed: &[u8], cluster: usize, zstd: bool) -> Option<Vec<u8>> {
    let mut padded = packed.to_vec();
    // In an image the packed bytes end with zeros to the next sector.
    padded.resize(packed.len().next_multiple_of(512).max(512), 0);
    if zstd {
        let length = zstd_safe::find_frame_compressed_size(&padded).ok()?;
        let mut out = vec![0; cluster];
        let written = zstd_safe::decompress(&mut out[..], &padded[..length]).ok()?;
        return (written == cluster).then_some(out);
    }
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
    let mut out = vec![0; cluster];
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let mut state = Box::<DecompressorOxide>::default();
    let (status, _, written) = decompress(&mut state, &padded, &mut out, 0, flags);
    let whole = written == cluster && matches!(status, TINFLStatus::Done | TINFLStatus::HasMoreOutput);
    whole.then_some(out)
}

/// Reads the only cluster of an image that has the packed bytes behind its tables.
fn unpacked(packed: &[u8], bits: u32, zstd: bool) -> Option<Vec<u8>> {
    let cluster = 1u64 << bits;
    let mut header = vec![0; 112];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"QFI\xfb");
    put(4, &3u32.to_be_bytes());
    put(20, &bits.to_be_bytes());
    put(24, &cluster.to_be_bytes());
    put(36, &1u32.to_be_bytes());
    put(40, &cluster.to_be_bytes());
    put(72, &u64::from(zstd).wrapping_shl(3).to_be_bytes());
    put(100, &112u32.to_be_bytes());
    put(104, &[u8::from(zstd)]);
    let sectors = packed.len().div_ceil(512).max(1) as u64;
    let entry = (1u64 << 62) | ((sectors - 1) << (62 - (bits - 8))) | (3 * cluster);
    let mut description = ((4 * cluster) as u32 / 512).to_le_bytes().to_vec();
    description.extend([0, 0]);
    let mut file = Sparse::new(Input(&description));
    file.put(0, &header);
    file.put(cluster, &(2 * cluster).to_be_bytes());
    file.put(2 * cluster, &entry.to_be_bytes());
    file.put(3 * cluster, packed);
    let image = open(file, &mut |_| Err(Unresolved)).expect("an image that is sound");
    let mut out = vec![0; cluster as usize];
    let mut cache = Cache::with_pages(4).expect("memory");
    let read = within(MEMORY, || image.read_at(&mut cache, 0, &mut out));
    read.is_ok().then_some(out)
}
