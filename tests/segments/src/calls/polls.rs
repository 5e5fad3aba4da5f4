//! poll() and epoll.

use super::raw::Memory;
use super::values::{number, word};
use super::{Arguments, Effect, Prepared, numbers};
use crate::run::Settings;
use crate::script::Fault;
use crate::script::values::{Argument, Value};

/// `struct epoll_event`, which is packed on x86-64.
const EVENT: usize = 12;

fn event(argument: &Argument, settings: &Settings) -> Result<[u8; EVENT], Fault> {
    let events = word(argument.need("events")?, settings)?;
    let data = match argument.field("fd")? {
        Some(fd) => number(fd, settings)?,
        None => 0,
    };
    let mut bytes = [0; EVENT];
    bytes[..4].copy_from_slice(&events.to_ne_bytes());
    bytes[4..].copy_from_slice(&data.to_ne_bytes());
    Ok(bytes)
}

/// One structure, or a list of them.
fn several(argument: &Argument) -> &[Argument] {
    match &argument.value {
        Value::List(list) => list,
        _ => std::slice::from_ref(argument),
    }
}

pub(super) fn prepare(a: &Arguments<'_>) -> Result<Prepared, Fault> {
    let (number, memory, effect) = match a.call.name.as_str() {
        "poll" => {
            let mut bytes = Vec::new();
            for entry in a.at(0)?.list()? {
                let fd = a.files.live(number(entry.need("fd")?, a.settings)?);
                let events = word(entry.need("events")?, a.settings)?;
                bytes.extend_from_slice(&(fd as i32).to_ne_bytes());
                bytes.extend_from_slice(&(events as u16).to_ne_bytes());
                bytes.extend_from_slice(&[0; 2]);
            }
            let count = bytes.len() as i64 / 8;
            let memory = vec![Memory::Bytes(bytes), Memory::Number(count), a.plain(2)?];
            (numbers::POLL, memory, Effect::None)
        }
        "epoll_ctl" => {
            let event = match a.at(3)?.is_any() {
                true => [0; EVENT],
                false => event(a.at(3)?, a.settings)?,
            };
            let memory = vec![a.fd(0)?, a.plain(1)?, a.fd(2)?, Memory::Bytes(event.to_vec())];
            (numbers::EPOLL_CTL, memory, Effect::None)
        }
        "epoll_wait" => {
            let most = a.word(2)?.clamp(1, 64);
            let memory = vec![
                a.fd(0)?,
                Memory::Bytes(vec![0; EVENT * most as usize]),
                Memory::Number(most.into()),
                a.plain(3)?,
            ];
            (numbers::EPOLL_WAIT, memory, Effect::None)
        }
        name => {
            // epoll_create()'s number says nothing but that it is positive.
            let flags = if name == "epoll_create1" { a.number(0)? } else { 0 };
            let memory = vec![Memory::Number(flags)];
            (numbers::EPOLL_CREATE1, memory, Effect::Opens)
        }
    };
    Ok(Prepared {
        number,
        memory,
        effect,
    })
}

/// Compares what `poll` has filled in.
pub(super) fn verify_poll(expected: &Argument, bytes: &[u8], settings: &Settings) -> Result<(), Fault> {
    for (entry, seen) in expected.list()?.iter().zip(bytes.chunks_exact(8)) {
        let Some(wanted) = entry.field("revents")? else {
            continue;
        };
        let seen = u16::from_ne_bytes([seen[6], seen[7]]);
        let value = word(wanted, settings)? as u16;
        if seen != value {
            return Err(wanted.fault(format!("revents is {seen:#x}, not {value:#x}")));
        }
    }
    Ok(())
}

/// Compares the events that `epoll_wait` has returned.
pub(super) fn verify_epoll(
    expected: &Argument,
    bytes: &[u8],
    count: usize,
    settings: &Settings,
) -> Result<(), Fault> {
    if expected.is_any() {
        return Ok(());
    }
    for (entry, seen) in several(expected)
        .iter()
        .zip(bytes.chunks_exact(EVENT))
        .take(count)
    {
        let wanted = event(entry, settings)?;
        if seen != wanted {
            let events = |bytes: &[u8]| bytes.first_chunk::<4>().map_or(0, |b| u32::from_ne_bytes(*b));
            let data = |bytes: &[u8]| bytes.get(4).copied().unwrap_or(0);
            return Err(entry.fault(format!(
                "events {:#x} of descriptor {} came, not {:#x} of {}",
                events(seen),
                data(seen),
                events(&wanted),
                data(&wanted)
            )));
        }
    }
    Ok(())
}
