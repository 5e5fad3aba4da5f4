//! Packets in a stream, each behind its length: four bytes, the highest first. QEMU's and passt's peers speak so.
//!
//! It knows no socket: bytes are put in as they come, cut anywhere, and packets are taken out. `tests/fuzz` has it as target `streams`.

/// The longest packet that is believed.
pub(crate) const MOST: usize = 65535 + 18;
/// Bytes of a length.
const PREFIX: usize = 4;
/// How much can be read at once, at least.
pub(crate) const CHUNK: usize = 256 << 10;

/// The stream has a length that no packet has: nothing behind it can be told apart any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonsense;

/// What came and was not taken yet.
pub(crate) struct Deframer {
    /// Room for a chunk behind a packet of which the last byte is missing.
    bytes: Vec<u8>,
    /// What is not taken yet is from here
    start: usize,
    /// to here.
    end: usize,
    broken: bool,
}

impl Deframer {
    pub(crate) fn new() -> Deframer {
        Deframer {
            bytes: vec![0; PREFIX + MOST + CHUNK],
            start: 0,
            end: 0,
            broken: false,
        }
    }

    /// The bytes of the next packet, if they are all there; it is taken.
    ///
    /// # Errors
    /// [`Nonsense`], from then on always.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, Nonsense> {
        if self.broken {
            return Err(Nonsense);
        }
        let there = self.bytes.get(self.start..self.end).unwrap_or(&[]);
        let Some((length, behind)) = there.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MOST {
            self.broken = true;
            return Err(Nonsense);
        }
        if behind.len() < length {
            return Ok(None);
        }
        let start = self.start.saturating_add(PREFIX);
        self.start = start.saturating_add(length);
        Ok(self.bytes.get(start..self.start))
    }

    /// Room for what comes next. Once no whole packet is there, it is [`CHUNK`] bytes at least.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        self.bytes.get_mut(self.end..).unwrap_or(&mut [])
    }

    /// So many bytes of the room were filled.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(deframer: &mut Deframer, bytes: &[u8]) {
        deframer.room()[..bytes.len()].copy_from_slice(bytes);
        deframer.filled(bytes.len());
    }

    #[test]
    fn packets_come_out_as_they_were_cut_anywhere() {
        let mut deframer = Deframer::new();
        for byte in b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c" {
            assert_eq!(deframer.next(), Ok(None));
            put(&mut deframer, &[*byte]);
            match byte {
                b'b' => assert_eq!(deframer.next(), Ok(Some(&b"ab"[..]))),
                b'c' => assert_eq!(deframer.next(), Ok(Some(&b"c"[..]))),
                // The packet of no bytes is whole with its length.
                0 if deframer.end == PREFIX => assert_eq!(deframer.next(), Ok(Some(&b""[..]))),
                _ => {}
            }
        }
        assert_eq!(deframer.next(), Ok(None));
    }

    #[test]
    fn a_length_that_no_packet_has_ends_the_stream() {
        let mut deframer = Deframer::new();
        let most = u32::try_from(MOST).unwrap();
        put(&mut deframer, &most.to_be_bytes());
        assert_eq!(deframer.next(), Ok(None));
        assert!(deframer.room().len() >= CHUNK);
        let mut deframer = Deframer::new();
        put(&mut deframer, &(most + 1).to_be_bytes());
        assert_eq!(deframer.next(), Err(Nonsense));
        put(&mut deframer, b"\0\0\0\x01a");
        assert_eq!(deframer.next(), Err(Nonsense));
    }
}
