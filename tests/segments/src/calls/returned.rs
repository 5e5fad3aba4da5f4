//! What calls have returned.

use super::raw::Memory;
use super::values::{number, option, port_of};
use super::{Effect, File, Files, Prepared, messages, names, polls};
use crate::run::{Connections, Settings};
use crate::script::Fault;
use crate::script::values::{Argument, Call, Expected, Value};
use crate::segment::byte_at;
use lkl::Errno;

/// Compares what a call has returned, and takes over what it has done. What Linux has opened and no number stands for any more is
/// returned, to be closed.
pub fn verify(
    call: &Call,
    prepared: &Prepared,
    result: Result<u64, Errno>,
    files: &mut Files,
    connections: &Connections,
    settings: &Settings,
) -> Result<Option<i32>, Fault> {
    // First: a descriptor that was opened must not be lost if it was not expected.
    let mut replaced = None;
    if let Ok(value) = result {
        let live = i32::try_from(value).unwrap_or(-1);
        match prepared.effect {
            Effect::Socket | Effect::Opens | Effect::Accepts => {
                let fd = match call.result {
                    Expected::Value(fd) if fd >= 0 => fd,
                    _ => i64::MIN + i64::from(live),
                };
                let mut file = File {
                    live,
                    ..File::default()
                };
                if prepared.effect == Effect::Accepts
                    && let Some(Memory::Bytes(name)) = prepared.memory.get(1)
                {
                    file.connection = port_of(name).and_then(|port| connections.of_remote_port(port));
                }
                replaced = files.put(fd, file);
            }
            Effect::Closes(fd) => files.remove(fd),
            _ => {}
        }
    }
    compare(call, prepared.effect, result, settings)?;
    let Ok(value) = result else { return Ok(replaced) };
    let count = usize::try_from(value).unwrap_or(usize::MAX);
    match prepared.effect {
        Effect::Sends(fd, _) => {
            if let Some(file) = files.get_mut(fd) {
                file.sent = file.sent.wrapping_add(count as u32);
            }
        }
        Effect::Receives(fd, flags) => received(call, prepared, fd, flags, count, files, connections)?,
        Effect::Inlines(fd) => {
            if let Some(file) = files.get_mut(fd) {
                file.inline = true;
            }
        }
        _ => {}
    }
    filled_in(call, prepared, count, settings)?;
    Ok(replaced)
}

/// As strace prints it.
fn shown(result: Result<u64, Errno>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(errno) => format!("-1 {errno:?}"),
    }
}

fn compare(
    call: &Call,
    effect: Effect,
    result: Result<u64, Errno>,
    settings: &Settings,
) -> Result<(), Fault> {
    let fault = |expected: &str| Fault {
        place: call.place,
        what: format!("{} returned {}, not {expected}", call.name, shown(result)),
    };
    match (&call.result, result) {
        (Expected::Any, _) => Ok(()),
        (Expected::Error(name), result) => {
            let wanted = names::constant(name, &settings.defines).ok_or_else(|| Fault {
                place: call.place,
                what: format!("the error '{name}' is not known"),
            })?;
            match result {
                Err(errno) if i64::from(errno.number()) == wanted => Ok(()),
                _ => Err(fault(&format!("-1 {name}"))),
            }
        }
        (Expected::Value(value), Ok(seen)) => {
            let opens = matches!(effect, Effect::Socket | Effect::Opens | Effect::Accepts);
            // The script's own number stands for it.
            let same = i64::try_from(seen).is_ok_and(|seen| seen == *value);
            if (opens && *value >= 0) || same {
                Ok(())
            } else {
                Err(fault(&value.to_string()))
            }
        }
        (Expected::Value(value), Err(_)) => Err(fault(&value.to_string())),
    }
}

/// Compares the bytes that came with those that the other end's stream has in their places.
fn received(
    call: &Call,
    prepared: &Prepared,
    fd: i64,
    flags: i32,
    count: usize,
    files: &mut Files,
    connections: &Connections,
) -> Result<(), Fault> {
    if flags & (libc::MSG_ERRQUEUE | libc::MSG_TRUNC) != 0 {
        return Ok(());
    }
    let Some(file) = files.get_mut(fd) else {
        return Ok(());
    };
    let urgent = file
        .connection
        .map(|connection| connections.urgent(connection))
        .unwrap_or_default();
    let bytes: Vec<u8> = match prepared.memory.get(1) {
        Some(Memory::Bytes(bytes)) => bytes.clone(),
        Some(Memory::Pieces(pieces)) => pieces.concat(),
        Some(Memory::Message(message)) => message.pieces.concat(),
        _ => return Ok(()),
    };
    let seen = &bytes[..count.min(bytes.len())];
    let mut place = file.received;
    let outside = |place: u32| !file.inline && urgent.contains(&place);
    if flags & libc::MSG_OOB != 0 {
        let known = urgent.iter().any(|place| seen.first() == Some(&byte_at(*place)));
        return if known || urgent.is_empty() {
            Ok(())
        } else {
            Err(Fault {
                place: call.place,
                what: "the urgent byte is another one than was sent".into(),
            })
        };
    }
    for byte in seen {
        while outside(place) {
            place = place.wrapping_add(1);
        }
        if *byte != byte_at(place) {
            return Err(Fault {
                place: call.place,
                what: format!(
                    "byte {place} of the stream is {byte:#x}, not {:#x}",
                    byte_at(place)
                ),
            });
        }
        place = place.wrapping_add(1);
    }
    if flags & libc::MSG_PEEK == 0 {
        file.received = place;
    }
    Ok(())
}

/// Compares what calls fill in besides.
fn filled_in(call: &Call, prepared: &Prepared, count: usize, settings: &Settings) -> Result<(), Fault> {
    let memory = |place: usize| match prepared.memory.get(place) {
        Some(Memory::Bytes(bytes)) => bytes.as_slice(),
        _ => &[],
    };
    let argument = |place: usize| call.arguments.get(place);
    match (
        call.name.as_str(),
        argument(0),
        argument(1),
        argument(2),
        argument(3),
    ) {
        ("poll", Some(entries), ..) => polls::verify_poll(entries, memory(0), settings),
        ("epoll_wait", _, Some(events), ..) => polls::verify_epoll(events, memory(1), count, settings),
        ("ioctl", _, _, Some(value), _) => same(value, memory(2), settings),
        ("getsockopt", _, _, _, Some(value)) => same(value, memory(3), settings),
        ("recvmsg", _, Some(expected), ..) => match prepared.memory.get(1) {
            Some(Memory::Message(message)) => messages::verify(expected, message, settings),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Compares an option's value with the bytes that came.
fn same(expected: &Argument, bytes: &[u8], settings: &Settings) -> Result<(), Fault> {
    match &expected.value {
        Value::Any => Ok(()),
        Value::List(list) if list.len() == 1 && !list[0].is_any() => {
            let seen = bytes.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
            let wanted = number(&list[0], settings)?;
            if i64::from(seen) == wanted {
                Ok(())
            } else {
                Err(expected.fault(format!("the value is {seen}, not {wanted}")))
            }
        }
        Value::List(_) => Ok(()),
        _ => {
            let wanted = option(expected, settings)?;
            if bytes.starts_with(&wanted) {
                Ok(())
            } else {
                let seen = bytes.get(..wanted.len()).unwrap_or(bytes);
                Err(expected.fault(format!("the value is {seen:02x?}, not {wanted:02x?}")))
            }
        }
    }
}
