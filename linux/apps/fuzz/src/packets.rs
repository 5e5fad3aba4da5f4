//! An input of the target *packets*: frames for a network interface of Linux's, and what happens meanwhile at its sockets.
//!
//! A record begins with what it is:
//!
//! | first byte | the rest |
//! |---|---|
//! | up to 0xdf | a frame behind a byte of switches ([`MEND`], [`FOLLOW`]) |
//! | up to 0xef | milliseconds that pass (2 bytes) |
//! | above | something is done with a socket: what (a byte), and a number |
//!
//! Linux is 10.0.0.1 and fd00::1, and has 02:00:00:00:00:01.

use crate::records::Grammar;
use crate::rng::Rng;

mod frames;
mod igmp;

pub use frames::{Segment, follow, mend, segment};

/// Switch of a frame: lengths and checksums are put right.
pub const MEND: u8 = 1;
/// Switch of a frame: a TCP segment goes on where Linux's last one was.
pub const FOLLOW: u8 = 2;

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame comes.
    Frame(u8, Vec<u8>),
    /// Time passes, milliseconds.
    Time(u16),
    /// Something is done with a socket.
    Socket(u8, u8),
}

impl Event {
    /// From a record.
    pub fn parse(record: &[u8]) -> Event {
        let byte = |at: usize| record.get(at).copied().unwrap_or(0);
        match byte(0) {
            0..=0xdf => Event::Frame(byte(1), record.get(2..).unwrap_or(&[]).to_vec()),
            0xe0..=0xef => Event::Time(u16::from_le_bytes([byte(1), byte(2)])),
            _ => Event::Socket(byte(1), byte(2)),
        }
    }
}

/// How such inputs become others.
pub struct Packets;

impl Grammar for Packets {
    fn fresh(&self, rng: &mut Rng) -> Vec<u8> {
        match rng.below(10) {
            0 => vec![0xe0, rng.bits() as u8, rng.choice(&[0, 0, 1, 8, 200])],
            1 | 2 => vec![0xf0, rng.bits() as u8, rng.bits() as u8],
            _ => {
                let mut record = vec![0, MEND | FOLLOW];
                record.extend(frames::template(rng));
                record
            }
        }
    }

    fn change(&self, record: &mut Vec<u8>, rng: &mut Rng) {
        if record.len() < 3 || record[0] >= 0xe0 {
            *record = self.fresh(rng);
            return;
        }
        let last = record.len();
        // The headers behind Ethernet's, mostly.
        let at = match rng.below(6) {
            0 => 2 + rng.below(last - 2),
            _ => (2 + 12 + rng.below(60)).min(last - 1),
        };
        match rng.below(12) {
            0 => record[1] ^= rng.choice(&[MEND, FOLLOW]),
            1 => record.truncate(at.max(3)),
            2 => {
                let more = rng.choice(&[1usize, 4, 8, 40, 200]);
                let with = rng.bits() as u8;
                record.resize(last + more, with);
            }
            3 => {
                let count = rng.choice(&[1usize, 2, 4, 8]).min(last - at);
                record.drain(at..at + count);
            }
            4 => {
                let more: Vec<u8> = (0..rng.choice(&[1usize, 2, 4, 8]))
                    .map(|_| rng.bits() as u8)
                    .collect();
                record.splice(at..at, more);
            }
            5 => record[at] ^= 1 << rng.below(8),
            6 => record[at] = record[at].wrapping_add(rng.choice(&[1, 0xff])),
            _ => {
                let width = rng.choice(&[1usize, 1, 2, 4]).min(last - at);
                let any = rng.bits();
                let value = rng.choice(&[0u64, 1, 4, 8, 0x7f, 0x80, 0xff, 0xffff, u64::MAX, any]);
                record[at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_frame_or_what_happens_meanwhile() {
        assert_eq!(Event::parse(&[0, 3, 9, 9]), Event::Frame(3, vec![9, 9]));
        assert_eq!(Event::parse(&[0xe1, 1, 1]), Event::Time(257));
        assert_eq!(Event::parse(&[0xff, 4, 5]), Event::Socket(4, 5));
        assert_eq!(Event::parse(&[]), Event::Frame(0, vec![]));
    }
}
