//! The bytes of an UNWIND_INFO from the steps of a prologue.

use super::{FrameFrom, RBP, Row};
use std::collections::BTreeMap;

// The operations of UNWIND_CODE.
pub(super) const PUSH_NONVOL: u8 = 0;
pub(super) const ALLOC_LARGE: u8 = 1;
pub(super) const ALLOC_SMALL: u8 = 2;
pub(super) const SET_FPREG: u8 = 3;
pub(super) const SAVE_NONVOL: u8 = 4;

/// An UNWIND_INFO whose prologue reaches the last of `steps`, each done at its offset. None when the fields of the
/// format are too small.
pub(super) fn encode(steps: &[(u8, &Row)]) -> Option<Vec<u8>> {
    let (prologue, last) = steps.last()?;
    // In the order of the prologue: offset, operation, argument, further words.
    let mut codes: Vec<(u8, u8, u8, Vec<u16>)> = Vec::new();
    let mut frame_field = 0;
    match last.frame {
        FrameFrom::Pointer => {
            let first =
                |test: &dyn Fn(&Row) -> bool| steps.iter().find(|(_, row)| test(row)).map(|(at, _)| *at);
            let deepest = last.saved.values().max()?;
            let area = (deepest - 16).next_multiple_of(16);
            let scaled = u8::try_from(area / 16).ok().filter(|n| *n < 16)?;
            frame_field = RBP | scaled << 4;
            codes.push((
                first(&|row| row.saved.contains_key(&RBP))?,
                PUSH_NONVOL,
                RBP,
                vec![],
            ));
            let set = first(&|row| row.frame == FrameFrom::Pointer)?;
            if area > 0 {
                codes.push(allocation(set, area)?);
            }
            codes.push((set, SET_FPREG, 0, vec![]));
            for (register, distance) in last.saved.iter().filter(|(register, _)| **register != RBP) {
                let at = first(&|row| row.saved.contains_key(register))?;
                let above_base = area.checked_add(16)?.checked_sub(*distance)?;
                codes.push((
                    at,
                    SAVE_NONVOL,
                    *register,
                    vec![u16::try_from(above_base / 8).ok()?],
                ));
            }
        }
        FrameFrom::Stack(_) => {
            let nothing = Row {
                frame: FrameFrom::Stack(8),
                saved: BTreeMap::new(),
            };
            let mut before = &nothing;
            for (at, row) in steps {
                let (FrameFrom::Stack(a), FrameFrom::Stack(b)) = (before.frame, row.frame) else {
                    return None;
                };
                let mut new: Vec<_> = row
                    .saved
                    .iter()
                    .filter(|(r, _)| !before.saved.contains_key(r))
                    .collect();
                new.sort_by_key(|(_, distance)| **distance);
                // Pushes as long as they are side by side, then the rest of the frame, then saves into it.
                let mut top = a;
                let mut saves = Vec::new();
                for (register, distance) in new {
                    if *distance == top + 8 && saves.is_empty() {
                        codes.push((*at, PUSH_NONVOL, *register, vec![]));
                        top = *distance;
                    } else {
                        saves.push((
                            *at,
                            SAVE_NONVOL,
                            *register,
                            vec![u16::try_from((b - distance) / 8).ok()?],
                        ));
                    }
                }
                if b > top {
                    codes.push(allocation(*at, b - top)?);
                }
                // A save is undone with the stack pointer at the frame's bottom: only the last step's rows have it there.
                if !saves.is_empty() && row != last {
                    return None;
                }
                codes.extend(saves);
                before = row;
            }
        }
    }
    codes.sort_by_key(|(at, ..)| *at);
    let count: usize = codes.iter().map(|(.., words)| 1 + words.len()).sum();
    let mut info = vec![1, *prologue, u8::try_from(count).ok()?, frame_field];
    for (at, operation, argument, words) in codes.into_iter().rev() {
        info.extend([at, operation | argument << 4]);
        info.extend(words.into_iter().flat_map(u16::to_le_bytes));
    }
    info.resize(info.len().next_multiple_of(4), 0);
    Some(info)
}

fn allocation(at: u8, size: u32) -> Option<(u8, u8, u8, Vec<u16>)> {
    Some(match size {
        8..=128 => (at, ALLOC_SMALL, u8::try_from(size / 8 - 1).ok()?, vec![]),
        _ => match u16::try_from(size / 8) {
            Ok(scaled) => (at, ALLOC_LARGE, 0, vec![scaled]),
            Err(_) => {
                let bytes = size.to_le_bytes();
                let [a, b, c, d] = bytes;
                (
                    at,
                    ALLOC_LARGE,
                    1,
                    vec![u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])],
                )
            }
        },
    })
}
