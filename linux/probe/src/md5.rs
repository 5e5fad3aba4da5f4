//! MD5 (RFC 1321) of a message that fits into one block. UUIDs of version 3 are made with it; it protects nothing.

/// Bytes of the longest message: a block without the mark behind it and the length.
const LONGEST: usize = 55;

/// How far each step turns, four for each round.
const TURNS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// The whole parts of 2^32 |sin i|.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// The digest; `None` for a message of more than [`LONGEST`] bytes.
pub(crate) fn digest(message: &[u8]) -> Option<[u8; 16]> {
    if message.len() > LONGEST {
        return None;
    }
    let mut block = [0u8; 64];
    block.get_mut(..message.len())?.copy_from_slice(message);
    *block.get_mut(message.len())? = 0x80;
    let bits = u64::try_from(message.len()).ok()?.checked_mul(8)?;
    block.get_mut(56..)?.copy_from_slice(&bits.to_le_bytes());
    let mut words = [0u32; 16];
    for (word, four) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*four);
    }
    let start = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let [mut a, mut b, mut c, mut d] = start;
    for (step, sine) in SINES.iter().enumerate() {
        let (round, within) = (step >> 4, step & 15);
        let (mixed, word) = match round {
            0 => ((b & c) | (!b & d), within),
            1 => ((d & b) | (!d & c), within.wrapping_mul(5).wrapping_add(1)),
            2 => (b ^ c ^ d, within.wrapping_mul(3).wrapping_add(5)),
            _ => (c ^ (b | !d), within.wrapping_mul(7)),
        };
        let sum = a
            .wrapping_add(mixed)
            .wrapping_add(*sine)
            .wrapping_add(*words.get(word & 15)?);
        let turn = *TURNS.get(round)?.get(step & 3)?;
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(turn)));
    }
    let mut digest = [0u8; 16];
    for ((four, first), last) in digest
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(start)
        .zip([a, b, c, d])
    {
        *four = first.wrapping_add(last).to_le_bytes();
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    /// The test suite of RFC 1321, as far as it fits.
    #[test]
    fn digests_are_those_of_the_standard() {
        for (message, wanted) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("a", "0cc175b9c0f1b6a831c399e269772661"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
        ] {
            let digest = digest(message.as_bytes()).unwrap();
            let text: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text, wanted, "{message}");
        }
        assert_eq!(digest(&[0; 56]), None);
    }
}
