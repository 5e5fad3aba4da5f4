//! An image in memory, and numbers in the byte order of its file system.

/// A byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The lowest byte first.
    Little,
    /// The highest byte first.
    Big,
}

/// An image that is being made.
#[derive(Clone, Debug)]
pub struct Image {
    /// All of it.
    pub bytes: Vec<u8>,
    order: Order,
}

impl Image {
    /// `size` bytes of zeros.
    pub fn new(size: u64, order: Order) -> Image {
        Image {
            bytes: vec![0; size as usize],
            order,
        }
    }

    /// The byte order of its numbers.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Puts bytes at an offset.
    pub fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Puts a number of 16 bits.
    pub fn u16(&mut self, at: usize, value: u16) {
        match self.order {
            Order::Little => self.put(at, &value.to_le_bytes()),
            Order::Big => self.put(at, &value.to_be_bytes()),
        }
    }

    /// Puts a number of 32 bits.
    pub fn u32(&mut self, at: usize, value: u32) {
        match self.order {
            Order::Little => self.put(at, &value.to_le_bytes()),
            Order::Big => self.put(at, &value.to_be_bytes()),
        }
    }

    /// Puts a number of 64 bits.
    pub fn u64(&mut self, at: usize, value: u64) {
        match self.order {
            Order::Little => self.put(at, &value.to_le_bytes()),
            Order::Big => self.put(at, &value.to_be_bytes()),
        }
    }

    /// Sets a bit, the lowest of each byte first.
    pub fn set_bit(&mut self, at: usize, bit: usize) {
        self.bytes[at + bit / 8] |= 1 << (bit % 8);
    }

    /// Sets a bit of a map of words of 32 bits that have their highest byte first, the lowest bit of each word first.
    pub fn set_bit_be32(&mut self, at: usize, bit: usize) {
        self.bytes[at + bit / 32 * 4 + 3 - bit % 32 / 8] |= 1 << (bit % 8);
    }

    /// The words of 32 bits in a range, highest byte first, added up.
    pub fn sum_be32(&self, at: usize, length: usize) -> u32 {
        self.bytes[at..at + length]
            .chunks_exact(4)
            .fold(0, |sum: u32, word| {
                sum.wrapping_add(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))
            })
    }
}

/// A CRC whose highest bit comes first and which begins at zero: of 16 or 32 bits, by its polynomial.
pub fn crc(bytes: &[u8], width: u32, polynomial: u32) -> u32 {
    let top = 1u32 << (width - 1);
    let mask = top | (top - 1);
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u32::from(byte) << (width - 8)), |crc, _| {
            let carry = crc & top != 0;
            let shifted = (crc << 1) & mask;
            if carry { shifted ^ polynomial } else { shifted }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_order() {
        for (order, bytes) in [(Order::Little, [4, 3, 2, 1]), (Order::Big, [1, 2, 3, 4])] {
            let mut image = Image::new(4, order);
            image.u32(0, 0x0102_0304);
            assert_eq!(image.bytes, bytes);
        }
    }

    /// The check values of CRC-16/XMODEM and, without its last complement, of CRC-32 with the highest bit first.
    #[test]
    fn sums_are_the_published_ones() {
        assert_eq!(crc(b"123456789", 16, 0x1021), 0x31c3);
        assert_eq!(crc(b"123456789", 32, 0x04c1_1db7), 0x89a1_897f);
    }
}
