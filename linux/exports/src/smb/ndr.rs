//! NDR, in which the arguments of DCE's remote calls are written: numbers at multiples of their size, UTF-16 with counts in front,
//! and pointers, whose values come later.

/// What is written.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    pointers: u32,
}

impl Writer {
    pub(super) fn word(&mut self, value: u32) -> &mut Writer {
        let end = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(end, 0);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A pointer to something that is written later.
    pub(super) fn pointer(&mut self) -> &mut Writer {
        self.pointers = self.pointers.wrapping_add(1);
        let place = 0x0002_0000u32.wrapping_add(self.pointers.wrapping_mul(4));
        self.word(place)
    }

    /// A text that a pointer points to.
    pub(super) fn text(&mut self, text: &str) -> &mut Writer {
        let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let count = u32::try_from(units.len()).unwrap_or(u32::MAX);
        self.word(count).word(0).word(count);
        self.bytes
            .extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        self
    }
}

/// What is read, from the start on. `None` where the bytes are too few.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The longest text that is taken.
const LONGEST: u32 = 1024;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        self.at = self.at.checked_next_multiple_of(4)?;
        let word = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += 4;
        Some(u32::from_le_bytes(*word))
    }

    /// A text.
    pub(super) fn text(&mut self) -> Option<String> {
        let (_, offset, count) = (self.word()?, self.word()?, self.word()?);
        if offset != 0 || count > LONGEST {
            return None;
        }
        let len = usize::try_from(count).ok()?.checked_mul(2)?;
        let bytes = self.bytes.get(self.at..)?.get(..len)?;
        self.at += len;
        let units = bytes
            .chunks_exact(2)
            .filter_map(|pair| Some(u16::from_le_bytes(*pair.first_chunk()?)));
        let text: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        Some(String::from_utf16_lossy(&text))
    }

    /// A pointer to a text, and the text: nothing for a null pointer.
    pub(super) fn pointer_to_text(&mut self) -> Option<String> {
        match self.word()? {
            0 => Some(String::new()),
            _ => self.text(),
        }
    }
}
