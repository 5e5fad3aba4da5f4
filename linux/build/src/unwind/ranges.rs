//! Divides a function into ranges that each have one UNWIND_INFO.

use super::encode::encode;
use super::{FrameFrom, MaybeRow, Row, is_leaf};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};
use std::ops::Range;

/// Turns the rows of one function into ranges with unwind information.
pub(super) fn entries(rows: &[MaybeRow], code: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
    let whole = rows.first().map_or(0, |(from, ..)| *from)..rows.last().map_or(0, |(_, to, _)| *to);
    let mut out = Vec::new();
    let mut rest = rows;
    while let Some(((start, end, first), mut tail)) = rest.split_first() {
        rest = tail;
        let Some(first) = first else { continue };
        // The steps of the prologue: the rows that each add to the one before.
        let mut steps = vec![(0u8, first)];
        let mut last_end = *end;
        while let [(from, to, Some(row)), more @ ..] = tail {
            let Ok(offset) = u8::try_from(from - start) else {
                break;
            };
            let grown = steps.last().is_some_and(|(_, before)| grows(before, row));
            if *from != last_end || !grown {
                break;
            }
            steps.push((offset, row));
            (last_end, tail) = (*to, more);
        }
        // Then the rows that repeat the last one, and the ends of epilogues between them.
        let body = steps.last().map_or(first, |(_, row)| row);
        while let [(from, to, Some(row)), more @ ..] = tail {
            if *from != last_end {
                break;
            }
            if row == body {
                (last_end, tail) = (*to, more);
            } else {
                let length = epilogue(tail, body, code, &whole);
                let Some((_, end, _)) = length.checked_sub(1).and_then(|last| tail.get(last)) else {
                    break;
                };
                (last_end, tail) = (*end, tail.get(length..).unwrap_or_default());
            }
        }
        if let Some(info) = encode(&steps)
            && !(is_leaf(body) && steps.len() == 1)
        {
            out.push((*start, last_end, info));
            rest = tail;
        } else if !is_leaf(first)
            && let Some(info) = encode(steps.get(..1).unwrap_or_default())
        {
            out.push((*start, *end, info));
        }
    }
    out
}

/// Whether `row` is what `before` becomes by a further step of a prologue.
fn grows(before: &Row, row: &Row) -> bool {
    let keeps = before
        .saved
        .iter()
        .all(|(register, distance)| row.saved.get(register) == Some(distance));
    let added = row.saved.len().saturating_sub(before.saved.len());
    keeps
        && match (before.frame, row.frame) {
            (FrameFrom::Stack(a), FrameFrom::Stack(b)) => {
                let pushed = row
                    .saved
                    .iter()
                    .any(|(r, d)| !before.saved.contains_key(r) && *d == b);
                (added == 1 && b == a + 8 && pushed) || (added == 0 && b > a)
            }
            // `mov rbp,rsp` right after `push rbp`.
            (FrameFrom::Stack(16), FrameFrom::Pointer) => added == 0 && before.saved.len() == 1,
            (FrameFrom::Pointer, FrameFrom::Pointer) => added > 0,
            _ => false,
        }
}

/// How many rows at the start of `rows` are the end of an epilogue that Windows' unwinder recognises by itself: nothing
/// but pops, each in a row of its own as the frame shrinks, and then a return or a jump out of the function `whole`.
/// 0 if they are something else.
pub(super) fn epilogue(rows: &[MaybeRow], body: &Row, code: &[u8], whole: &Range<u64>) -> usize {
    let mut before = body;
    let mut expected = None;
    for (index, (from, to, row)) in rows.iter().enumerate() {
        let Some(row) = row else { return 0 };
        let shrinks = match (before.frame, row.frame) {
            (FrameFrom::Stack(a), FrameFrom::Stack(b)) => b < a,
            (FrameFrom::Pointer, FrameFrom::Stack(_)) => true,
            _ => false,
        };
        let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
        let bytes = range
            .and_then(|(from, to)| code.get(from..to))
            .unwrap_or_default();
        if !shrinks || bytes.is_empty() || expected.is_some_and(|at| at != *from) {
            return 0;
        }
        for instruction in Decoder::with_ip(64, bytes, *from, DecoderOptions::NONE).iter() {
            let leaves = match instruction.mnemonic() {
                Mnemonic::Ret => instruction.op_count() == 0,
                // Before the linker has seen a jump to another function, its distance is 0 and has a relocation;
                // none of the jumps within a function has.
                Mnemonic::Jmp if instruction.op0_kind() == OpKind::NearBranch64 => {
                    let target = instruction.near_branch_target();
                    target == instruction.next_ip() || !whole.contains(&target)
                }
                _ => false,
            };
            if leaves {
                return if instruction.next_ip() == *to && is_leaf(row) {
                    index + 1
                } else {
                    0
                };
            }
            let pops = instruction.mnemonic() == Mnemonic::Pop && instruction.op0_kind() == OpKind::Register;
            if !pops {
                return 0;
            }
        }
        (before, expected) = (row, Some(*to));
    }
    0
}
