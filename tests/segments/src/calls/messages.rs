//! Calls with more than one piece, and with ancillary data.

use super::raw::{Memory, Message};
use super::values::{length, number, word};
use super::{Arguments, Effect, Prepared, numbers};
use crate::run::Settings;
use crate::script::Fault;
use crate::script::values::{Argument, Value};

/// The lengths of `[{..., 1000}, {..., 5}]`.
fn lengths(pieces: &Argument, settings: &Settings) -> Result<Vec<usize>, Fault> {
    let lengths = pieces
        .list()?
        .iter()
        .map(|piece| length(piece.need("1")?, settings));
    lengths.collect()
}

/// Pieces of what is sent next.
fn outgoing(a: &Arguments<'_>, fd: i64, lengths: &[usize]) -> Vec<Vec<u8>> {
    let all = a.outgoing(fd, lengths.iter().sum());
    let mut rest = all.as_slice();
    let mut pieces = Vec::new();
    for len in lengths {
        let (piece, after) = rest.split_at(*len);
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

pub(super) fn prepare(a: &Arguments<'_>) -> Result<Prepared, Fault> {
    let fd = a.number(0)?;
    let sends = matches!(a.call.name.as_str(), "writev" | "sendmsg");
    let effect = |flags| {
        if sends {
            Effect::Sends(fd, flags & libc::MSG_FASTOPEN != 0)
        } else {
            Effect::Receives(fd, flags)
        }
    };
    let make = |lengths: &[usize]| {
        if sends {
            outgoing(a, fd, lengths)
        } else {
            lengths.iter().map(|len| vec![0; *len]).collect()
        }
    };
    if matches!(a.call.name.as_str(), "readv" | "writev") {
        let lengths = lengths(a.at(1)?, a.settings)?;
        return Ok(Prepared {
            number: if sends { numbers::WRITEV } else { numbers::READV },
            memory: vec![
                a.fd(0)?,
                Memory::Pieces(make(&lengths)),
                Memory::Number(lengths.len() as i64),
            ],
            effect: effect(0),
        });
    }
    let flags = a.word(2)?;
    let message = Message {
        pieces: make(&lengths(a.at(1)?.need("msg_iov")?, a.settings)?),
        control: if sends { Vec::new() } else { vec![0; 512] },
        ..Message::default()
    };
    let besides = if sends { libc::MSG_NOSIGNAL } else { 0 };
    Ok(Prepared {
        number: if sends { numbers::SENDMSG } else { numbers::RECVMSG },
        memory: vec![
            a.fd(0)?,
            Memory::Message(message),
            Memory::Number((flags | besides).into()),
        ],
        effect: effect(flags),
    })
}

/// A piece of ancillary data.
#[derive(Debug, PartialEq, Eq)]
struct Ancillary<'a> {
    level: i32,
    kind: i32,
    data: &'a [u8],
}

/// What is in a message's control: each has its length, its level, its type and its data, at a multiple of eight.
fn ancillaries(mut control: &[u8]) -> Vec<Ancillary<'_>> {
    const HEAD: usize = 16;
    let mut all = Vec::new();
    while control.len() >= HEAD {
        let (head, _) = control.split_at(HEAD);
        let len = usize::from_ne_bytes(head[..8].try_into().unwrap_or_default());
        let word = |place: usize| i32::from_ne_bytes(head[place..place + 4].try_into().unwrap_or_default());
        let Some(data) = control.get(HEAD..len) else { break };
        all.push(Ancillary {
            level: word(8),
            kind: word(12),
            data,
        });
        control = control.get(len.next_multiple_of(8)..).unwrap_or(&[]);
    }
    all
}

/// `struct sock_extended_err`, by its members.
const EXTENDED: [(&str, usize, usize); 6] = [
    ("ee_errno", 0, 4),
    ("ee_origin", 4, 1),
    ("ee_type", 5, 1),
    ("ee_code", 6, 1),
    ("ee_info", 8, 4),
    ("ee_data", 12, 4),
];

fn data_is(expected: &Argument, data: &[u8], settings: &Settings) -> Result<(), Fault> {
    if !matches!(expected.value, Value::Struct(_)) {
        let value = word(expected, settings)?;
        return match data.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)) {
            Some(seen) if seen == value => Ok(()),
            Some(seen) => Err(expected.fault(format!("the ancillary data are {seen}, not {value}"))),
            None => Err(expected.fault("the ancillary data are shorter than a number")),
        };
    }
    for (name, place, len) in EXTENDED {
        let Some(field) = expected.field(name)? else {
            continue;
        };
        let mut bytes = [0; 8];
        let there = data
            .get(place..place + len)
            .ok_or_else(|| field.fault("the ancillary data are too short"))?;
        bytes[..len].copy_from_slice(there);
        let (seen, value) = (i64::from_le_bytes(bytes), number(field, settings)?);
        if seen != value {
            return Err(field.fault(format!("{name} is {seen}, not {value}")));
        }
    }
    Ok(())
}

/// Compares what `recvmsg` has filled in.
pub(super) fn verify(expected: &Argument, message: &Message, settings: &Settings) -> Result<(), Fault> {
    if let Some(flags) = expected.field("msg_flags")? {
        let value = word(flags, settings)?;
        if message.flags != value {
            return Err(flags.fault(format!("msg_flags is {:#x}, not {value:#x}", message.flags)));
        }
    }
    let Some(control) = expected.field("msg_control")? else {
        return Ok(());
    };
    let seen = ancillaries(&message.control);
    let wanted = control.list()?;
    if seen.len() != wanted.len() {
        return Err(control.fault(format!(
            "{} pieces of ancillary data came, not {}: {seen:?}",
            seen.len(),
            wanted.len()
        )));
    }
    for (wanted, seen) in wanted.iter().zip(&seen) {
        let level = word(wanted.need("cmsg_level")?, settings)?;
        let kind = word(wanted.need("cmsg_type")?, settings)?;
        if (seen.level, seen.kind) != (level, kind) {
            return Err(wanted.fault(format!(
                "ancillary data of level {} and type {} came, not of {level} and {kind}",
                seen.level, seen.kind
            )));
        }
        data_is(wanted.need("cmsg_data")?, seen.data, settings)?;
    }
    Ok(())
}
