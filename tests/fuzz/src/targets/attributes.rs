//! Extended attributes: the list of names that a QUERY_EA brings, and the list that answers it: `lklfs_nt::ea`, `lklfs_fsd::ea`.
//!
//! The bytes: how, the length of the output, then a `FILE_GET_EA_INFORMATION` list. What must hold: names are those of a plain
//! walk; the answer stays in its buffer, is a well-formed list, and has as many attributes as were asked for.

use super::requests::{open, session};
use crate::allocated::within;
use crate::input::Input;
use lklfs_fsd::ea::{EaCursor, Query, query};
use lklfs_nt::NtStatus;
use lklfs_nt::ea::requested_names;

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (how, length) = (input.u8(), usize::from(input.u16()));
    let list = input.0;
    let names: Vec<Result<&[u8], usize>> = requested_names(list).collect();
    assert_eq!(names, plain(list));
    assert!(names.len() <= list.len() / 5 + 1);

    let session = session();
    let name = match how >> 4 & 1 {
        0 => "\\d\\file",
        _ => "\\link",
    };
    let handle = open(&session, name);
    let mut cursor = EaCursor::default();
    let asked = Query {
        list: (how & 1 != 0).then_some(list),
        restart: how & 2 != 0,
        single: how & 4 != 0,
        index: (how & 8 != 0).then_some(u32::from(how >> 5)),
    };
    let mut out = vec![0xa5; length];
    let memory = 4096 + 4 * list.len();
    let outcome = within(memory, || query(&session, &handle.0, &handle.1, &mut cursor, &asked, &mut out));
    if outcome.status == NtStatus::EA_LIST_INCONSISTENT {
        assert_eq!(Err(outcome.information), *names.last().expect("an entry that is bad"));
        return;
    }
    assert!(outcome.information <= length);
    if outcome.status.is_error() {
        assert_eq!(outcome.information, 0);
        return;
    }
    let entries = full_list(&out[..outcome.information]);
    if outcome.status == NtStatus::SUCCESS && asked.list.is_some_and(|list| !list.is_empty()) {
        assert_eq!(entries, if asked.single { 1 } else { names.len() });
    }
}

/// The names, by a walk with an offset.
fn plain(list: &[u8]) -> Vec<Result<&[u8], usize>> {
    let mut names = Vec::new();
    let mut at = 0;
    loop {
        let entry = &list[at..];
        let next = entry.first_chunk().map(|next| u32::from_le_bytes(*next) as usize);
        let name = entry.get(4).and_then(|length| entry.get(5..5 + usize::from(*length)));
        match (next, name) {
            (Some(0), Some(name)) => {
                names.push(Ok(name));
                return names;
            }
            (Some(next), Some(name)) if next.is_multiple_of(4) && next > 5 + name.len() && next < entry.len() => {
                names.push(Ok(name));
                at += next;
            }
            _ => {
                names.push(Err(at));
                return names;
            }
        }
    }
}

/// Walks a `FILE_FULL_EA_INFORMATION` list that fills its bytes; how many entries it has.
fn full_list(list: &[u8]) -> usize {
    let mut at = 0;
    let mut count = 0;
    while !list.is_empty() {
        let head = &list[at..at + 8];
        let next = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (name, value) = (usize::from(head[5]), usize::from(u16::from_le_bytes([head[6], head[7]])));
        let end = 8 + name + 1 + value;
        assert_eq!(list[at + 8 + name], 0, "the end of a name");
        count += 1;
        if next == 0 {
            assert_eq!(at + end, list.len());
            break;
        }
        assert!(next >= end && next < end + 4 && next.is_multiple_of(4));
        at += next;
    }
    count
}
