//! Packets in a stream of a peer's, each behind its length, as QEMU and passt have them: `lkl_links`' framing.
//!
//! The bytes: how, four sizes of reads that take turns, then the stream: as it is, or packets, each described by a length and by how
//! much follows it. What must hold: the packets are those of a plain walk over the whole stream, wherever the reads cut it; a length that
//! no packet has ends it for good; there is always room to read; memory is bounded, and nothing is allocated after the start.

// The crate has functions of Linux's behind it, which is not linked with libFuzzer.
#[path = "../../../../linux/links/src/framing.rs"]
mod framing;

use crate::allocated::within;
use crate::input::Input;
use framing::{CHUNK, Deframer, MOST, Nonsense};

/// Bytes of the longest stream.
const LONGEST: usize = 1 << 20;

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let sizes: [u16; 4] = std::array::from_fn(|_| input.u16());
    let stream = match how & 1 {
        0 => input.0.to_vec(),
        _ => described(input, how & 2 != 0),
    };
    let (packets, ends) = plain(&stream);
    let mut expected = packets.into_iter();
    let mut deframer = within(CHUNK + MOST + 64, Deframer::new);
    // Where reads are large or small, by turns.
    let unit = if how & 4 == 0 { 1 } else { 16 };
    let mut sizes = sizes.iter().map(|size| usize::from(*size) * unit + 1).cycle();
    let mut rest = &stream[..];
    loop {
        let next = within(0, || deframer.next());
        match next {
            Ok(Some(packet)) => assert_eq!(Some(packet), expected.next()),
            Err(Nonsense) => {
                assert!(ends, "the stream makes sense");
                assert_eq!(expected.next(), None);
                assert_eq!(deframer.next(), Err(Nonsense), "it goes on");
                return;
            }
            Ok(None) if rest.is_empty() => break,
            Ok(None) => {
                let room = within(0, || deframer.room());
                assert!(room.len() >= CHUNK, "room for {} bytes", room.len());
                let size = sizes.next().unwrap_or(1).min(rest.len()).min(room.len());
                let (now, later) = rest.split_at(size);
                room[..size].copy_from_slice(now);
                deframer.filled(size);
                rest = later;
            }
        }
    }
    assert!(!ends, "a length that no packet has is passed over");
    assert_eq!(expected.next(), None, "a packet that is whole is kept back");
}

/// The packets of a stream that is there as a whole, and whether it ends with a length that no packet has.
fn plain(stream: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut packets = Vec::new();
    let mut at = 0;
    while let Some(length) = stream.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        if length > 65_553 {
            return (packets, true);
        }
        let Some(packet) = stream.get(at + 4..at + 4 + length as usize) else {
            break;
        };
        packets.push(packet);
        at += 4 + length as usize;
    }
    (packets, false)
}

/// A stream of packets: each length with so many bytes behind it that tell their places. `sound`: the length is that of the bytes.
fn described(mut input: Input<'_>, sound: bool) -> Vec<u8> {
    let mut stream = Vec::new();
    while !input.is_empty() && stream.len() < LONGEST {
        let (length, follows) = (input.u32(), usize::from(input.u16()) * 2);
        let length = if sound { follows as u32 } else { length };
        stream.extend(length.to_be_bytes());
        let start = stream.len();
        stream.extend((0..follows).map(|place| (place ^ start) as u8));
    }
    stream
}
