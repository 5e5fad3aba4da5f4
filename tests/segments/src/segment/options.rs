//! TCP's options in bytes.

use crate::script::packets::TcpOption;

const EOL: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMP: u8 = 8;
const MD5: u8 = 19;
const FAST_OPEN: u8 = 34;

/// The bytes of options, filled up to a multiple of four.
pub fn encode(options: &[TcpOption]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for option in options {
        let (kind, value) = match option {
            TcpOption::Nop => {
                bytes.push(NOP);
                continue;
            }
            TcpOption::Eol => {
                bytes.push(EOL);
                continue;
            }
            TcpOption::Mss(mss) => (MSS, mss.to_be_bytes().to_vec()),
            TcpOption::WindowScale(shift) => (WINDOW_SCALE, vec![*shift]),
            TcpOption::SackPermitted => (SACK_PERMITTED, Vec::new()),
            TcpOption::Sack(blocks) => {
                let words = blocks.iter().flat_map(|(from, to)| [*from, *to]);
                (SACK, words.flat_map(u32::to_be_bytes).collect())
            }
            TcpOption::Timestamp { val, ecr } => (TIMESTAMP, [val.to_be_bytes(), ecr.to_be_bytes()].concat()),
            TcpOption::FastOpen(cookie) => (FAST_OPEN, cookie.clone()),
            TcpOption::Md5(digest) => (MD5, digest.clone()),
            TcpOption::Other(kind, value) => (*kind, value.clone()),
        };
        bytes.push(kind);
        bytes.push(u8::try_from(value.len() + 2).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&value);
    }
    bytes.resize(bytes.len().next_multiple_of(4), EOL);
    bytes
}

/// The options in bytes.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<TcpOption>, String> {
    let mut options = Vec::new();
    while let [kind, rest @ ..] = bytes {
        let simple = match *kind {
            EOL => Some(TcpOption::Eol),
            NOP => Some(TcpOption::Nop),
            _ => None,
        };
        if let Some(option) = simple {
            options.push(option);
            bytes = rest;
            continue;
        }
        let value = rest
            .first()
            .and_then(|len| bytes.get(2..usize::from(*len)))
            .ok_or_else(|| format!("its option {kind} is longer than its header"))?;
        options.push(known(*kind, value));
        bytes = bytes.get(value.len() + 2..).unwrap_or(&[]);
    }
    Ok(options)
}

fn known(kind: u8, value: &[u8]) -> TcpOption {
    let words: Vec<u32> = value
        .chunks_exact(4)
        .filter_map(|word| Some(u32::from_be_bytes(word.try_into().ok()?)))
        .collect();
    match (kind, value) {
        (MSS, [high, low]) => TcpOption::Mss(u16::from_be_bytes([*high, *low])),
        (WINDOW_SCALE, [shift]) => TcpOption::WindowScale(*shift),
        (SACK_PERMITTED, []) => TcpOption::SackPermitted,
        (SACK, _) if value.len().is_multiple_of(8) => {
            TcpOption::Sack(words.chunks_exact(2).map(|block| (block[0], block[1])).collect())
        }
        (TIMESTAMP, _) if value.len() == 8 => TcpOption::Timestamp {
            val: words[0],
            ecr: words[1],
        },
        (FAST_OPEN, cookie) => TcpOption::FastOpen(cookie.to_vec()),
        (MD5, digest) => TcpOption::Md5(digest.to_vec()),
        _ => TcpOption::Other(kind, value.to_vec()),
    }
}
