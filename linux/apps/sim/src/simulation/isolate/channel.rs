//! Frames on their way from one node to another: a channel for each direction of a link, in the memory file that the processes share.
//!
//! A channel is a part of the file that begins again at its beginning when it has come to its end, which is far away; bytes that were read
//! are taken out of the file, so that it has as much memory as there are frames on their way. One process writes and one reads, each of which knows how far
//! it is, and how far the writer is both can see.

use super::shared::{NUMBERS, Shared};
use rustix::fs::{FallocateFlags, fallocate};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Bytes of a channel.
const SIZE: u64 = 1 << 40;
/// As many bytes are taken out of the file at once. Channels have a whole number of them.
const PIECE: u64 = 256 << 10;

/// A frame of Ethernet, when it comes, and how many its sender has sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) time: u64,
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
}

/// Either end of a channel.
#[derive(Debug)]
struct End {
    shared: Arc<Shared>,
    channel: usize,
    /// How many bytes have gone by.
    passed: u64,
}

/// The end that sends.
#[derive(Debug)]
pub(super) struct Outgoing {
    end: End,
    /// Frames that are sent together.
    buffer: Vec<u8>,
}

/// The end that receives.
#[derive(Debug)]
pub(super) struct Incoming {
    end: End,
    /// Bytes that are no more in the file.
    gone: u64,
}

impl End {
    fn new(shared: &Arc<Shared>, channel: usize) -> End {
        End {
            shared: Arc::clone(shared),
            channel,
            passed: 0,
        }
    }

    /// Where in the file a byte of the channel is.
    fn place(&self, passed: u64) -> u64 {
        let channel = u64::try_from(self.channel).unwrap_or(u64::MAX);
        let first = NUMBERS.saturating_add(channel.saturating_mul(SIZE));
        first.saturating_add(passed % SIZE)
    }

    /// How many of so many bytes there are before the channel begins again.
    fn before_end(&self, len: usize) -> usize {
        let left = SIZE - self.passed % SIZE;
        usize::try_from(left).map_or(len, |left| left.min(len))
    }

    fn pass(&mut self, len: usize) {
        self.passed = self.passed.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
}

impl Outgoing {
    pub(super) fn new(shared: &Arc<Shared>, channel: usize) -> Outgoing {
        Outgoing {
            end: End::new(shared, channel),
            buffer: Vec::new(),
        }
    }

    /// Has a frame be among those that are sent next.
    pub(super) fn add(&mut self, frame: &Frame) {
        let len = u64::try_from(frame.bytes.len()).unwrap_or(u64::MAX);
        for number in [frame.time, frame.number, len] {
            self.buffer.extend(number.to_ne_bytes());
        }
        self.buffer.extend(&frame.bytes);
    }

    /// Sends them.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let mut left = &self.buffer[..];
        while !left.is_empty() {
            let (now, later) = left.split_at(self.end.before_end(left.len()));
            let place = self.end.place(self.end.passed);
            self.end.shared.file().write_all_at(now, place)?;
            self.end.pass(now.len());
            left = later;
        }
        self.buffer.clear();
        let written = self.end.shared.written(self.end.channel);
        written.store(self.end.passed, Ordering::Release);
        Ok(())
    }
}

impl Incoming {
    pub(super) fn new(shared: &Arc<Shared>, channel: usize) -> Incoming {
        Incoming {
            end: End::new(shared, channel),
            gone: 0,
        }
    }

    /// The frames that were sent since.
    pub(super) fn receive(&mut self) -> io::Result<Vec<Frame>> {
        let written = self.end.shared.written(self.end.channel).load(Ordering::Acquire);
        let len = usize::try_from(written.saturating_sub(self.end.passed)).unwrap_or(usize::MAX);
        if len == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; len];
        let mut left = &mut bytes[..];
        while !left.is_empty() {
            let (now, later) = left.split_at_mut(self.end.before_end(left.len()));
            let place = self.end.place(self.end.passed);
            self.end.shared.file().read_exact_at(now, place)?;
            self.end.pass(now.len());
            left = later;
        }
        while self.gone.saturating_add(PIECE) <= self.end.passed {
            let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(self.end.shared.file(), mode, self.end.place(self.gone), PIECE)?;
            self.gone = self.gone.saturating_add(PIECE);
        }
        frames(&bytes)
    }
}

fn number(bytes: &mut &[u8]) -> io::Result<u64> {
    let (number, rest) = bytes.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
    *bytes = rest;
    Ok(u64::from_ne_bytes(*number))
}

/// What [`Outgoing::add`] has made of frames.
fn frames(mut bytes: &[u8]) -> io::Result<Vec<Frame>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (time, of_sender) = (number(&mut bytes)?, number(&mut bytes)?);
        let len = usize::try_from(number(&mut bytes)?).unwrap_or(usize::MAX);
        let (frame, rest) = bytes.split_at_checked(len).ok_or(io::ErrorKind::InvalidData)?;
        frames.push(Frame {
            time,
            number: of_sender,
            bytes: frame.to_vec(),
        });
        bytes = rest;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::isolate::shared::Layout;

    fn ends(channel: usize) -> (Outgoing, Incoming) {
        let shared = Arc::new(Shared::new(Layout { nodes: 2, links: 3 }).unwrap());
        (Outgoing::new(&shared, channel), Incoming::new(&shared, channel))
    }

    fn frame(number: u64, len: usize) -> Frame {
        let byte = u8::try_from(number % 251).unwrap();
        Frame {
            time: 1 << (number % 64),
            number,
            bytes: vec![byte; len],
        }
    }

    #[test]
    fn frames_come_in_order_when_they_were_sent_and_the_file_has_what_was_not_read_alone() {
        use std::os::unix::fs::MetadataExt;
        let (mut out, mut into) = ends(5);
        let mut number = 0;
        for _ in 0..2000 {
            let sent: Vec<Frame> = [60, 1514, 0, 9014]
                .map(|len| {
                    number += 1;
                    frame(number, len)
                })
                .into();
            sent.iter().for_each(|frame| out.add(frame));
            assert_eq!(into.receive().unwrap(), []);
            out.send().unwrap();
            assert_eq!(into.receive().unwrap(), sent);
        }
        let blocks = out.end.shared.file().metadata().unwrap().blocks();
        assert!(blocks * 512 < 2 * PIECE + (64 << 10), "{blocks} blocks");
    }

    #[test]
    fn a_frame_at_the_end_of_the_channel_goes_on_at_its_beginning() {
        let (mut out, mut into) = ends(0);
        for end in [&mut out.end, &mut into.end] {
            end.passed = SIZE - 30;
        }
        into.gone = SIZE - PIECE;
        let sent = [frame(1, 100), frame(2, 300_000)];
        sent.iter().for_each(|frame| out.add(frame));
        out.send().unwrap();
        assert_eq!(into.receive().unwrap(), sent);
        assert_eq!(into.end.place(into.end.passed), NUMBERS + 300_000 + 100 + 48 - 30);
    }

    #[test]
    fn half_a_frame_is_an_error() {
        let (mut out, _) = ends(0);
        out.add(&frame(1, 10));
        for cut in 1..34 {
            assert!(frames(&out.buffer[..cut]).is_err(), "{cut}");
        }
        assert_eq!(frames(&out.buffer).unwrap(), [frame(1, 10)]);
    }
}
