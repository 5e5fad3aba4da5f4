//! Windows' unwind tables from `.eh_frame`.
//!
//! DWARF says for each range of code where the caller's frame is and where the saved registers are. Windows wants for
//! each function a list of what its prologue did, and undoes that. The two meet as follows.
//!
//! A row of DWARF's table is expressible ([`Row`]) when the frame is found from rsp, or from rbp after the usual
//! `push rbp; mov rbp,rsp`, and every saved register lies in the frame. Consecutive rows of a growing prologue become
//! one entry whose codes carry the offset at which each step is done. A row that does not continue the ones before it
//! (a part of a function split off as cold, code after an early return) starts an entry of its own with all codes at
//! offset 0, which is exact at each of its instructions. The last instructions of an epilogue need no entry: Windows'
//! unwinder recognises pops and a return by itself, and so does a function without a frame.
//!
//! With a frame pointer the saved registers lie below it, and Windows can only say "at or above the frame base". So the
//! frame base is put below them: the codes pretend that the saved area was allocated at once when rbp was set, and
//! that rbp points that far above the base. rsp is not used then, whatever the body does to it.

use crate::Error;
use crate::elf::{Object, Place, Relocation};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, LittleEndian, RegisterRule, UnwindContext, UnwindSection, X86_64,
};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};
use object::elf::{R_X86_64_64, R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PC64};
use std::collections::BTreeMap;
use std::ops::Range;

/// The tables of one object.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// One for each range of code, ascending.
    pub entries: Vec<Entry>,
    /// The bytes of `.xdata`: unwind information, each distinct one once.
    pub xdata: Vec<u8>,
    /// What was counted.
    pub counts: Counts,
    /// For each function whose frame is found from rsp: its section, its start, and the most that its frame takes of
    /// the stack, the return address included.
    pub frames: Vec<(usize, u64, u32)>,
}

/// A range of code with its unwind information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The index of the code's section.
    pub section: usize,
    /// The first byte, from the start of the section.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
    /// Where in `.xdata`.
    pub info: u32,
}

/// How far the conversion went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Functions, or parts of functions, that `.eh_frame` describes.
    pub functions: usize,
    /// Those of which at least one instruction has no expressible row.
    pub incomplete: usize,
    /// Bytes of code that `.eh_frame` describes.
    pub bytes: u64,
    /// Bytes of code whose row is not expressible.
    pub bytes_left_out: u64,
}

/// The state of the frame at some instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    frame: FrameFrom,
    /// Windows' register number to the distance below the caller's frame address (a return address is at 8).
    saved: BTreeMap<u8, u32>,
}

/// A range of code and the row for it, if it is expressible.
type MaybeRow = (u64, u64, Option<Row>);

/// How the caller's frame address (the value of rsp before the call) is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameFrom {
    /// rsp plus this.
    Stack(u32),
    /// rbp plus 16, rbp having been pushed first.
    Pointer,
}

const RBP: u8 = 5;
const RSP_DWARF: u16 = 7;
const RBP_DWARF: u16 = 6;

/// DWARF's register numbers that both conventions preserve, with Windows' numbers.
const PRESERVED: [(u16, u8); 6] = [(3, 3), (6, RBP), (12, 12), (13, 13), (14, 14), (15, 15)];

/// Makes the tables for all code that the object's `.eh_frame` describes. Without that section they are empty.
pub fn tables(object: &Object) -> Result<Tables, Error> {
    let mut tables = Tables::default();
    let Some((index, section)) = object.section(".eh_frame") else {
        return Ok(tables);
    };
    let failed = |why: String| Error::Format {
        what: ".eh_frame".into(),
        why,
    };
    let map = AddressMap::new(object);
    let base = map.base(index).ok_or_else(|| failed("it is not loaded".into()))?;
    let mut bytes = section.data.clone();
    for relocation in &section.relocations {
        map.apply(object, base, relocation, &mut bytes).map_err(failed)?;
    }

    let mut eh_frame = EhFrame::new(&bytes, LittleEndian);
    eh_frame.set_address_size(8);
    let bases = BaseAddresses::default().set_eh_frame(base);
    let mut context = UnwindContext::new();
    let mut cies = BTreeMap::new();
    let mut infos: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let gimli = |e: gimli::Error| failed(e.to_string());

    let mut walk = eh_frame.entries(&bases);
    while let Some(entry) = walk.next().map_err(gimli)? {
        let gimli::CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde = partial
            .parse(|section, bases, offset| {
                if let Some(cie) = cies.get(&offset.0) {
                    return Ok(Clone::clone(cie));
                }
                let cie = section.cie_from_offset(bases, offset)?;
                cies.insert(offset.0, cie.clone());
                Ok(cie)
            })
            .map_err(gimli)?;
        let Some((code_index, start)) = map.find(fde.initial_address()) else {
            return Err(failed(format!(
                "an entry for {:#x}, where no code is",
                fde.initial_address()
            )));
        };
        let Some(code) = object.sections.get(code_index) else {
            continue;
        };
        tables.counts.functions += 1;
        let mut rows = Vec::new();
        let mut table = fde.rows(&eh_frame, &bases, &mut context).map_err(gimli)?;
        while let Some(row) = table.next_row().map_err(gimli)? {
            let from = row
                .start_address()
                .wrapping_sub(fde.initial_address())
                .wrapping_add(start);
            let to = row
                .end_address()
                .min(fde.end_address())
                .wrapping_sub(fde.initial_address())
                .wrapping_add(start);
            if to > from {
                rows.push((from, to, express(row)));
            }
        }
        let sizes = rows.iter().filter_map(|(.., row)| match row.as_ref()?.frame {
            FrameFrom::Stack(size) => Some(size),
            FrameFrom::Pointer => None,
        });
        tables
            .frames
            .extend(sizes.max().map(|size| (code_index, start, size)));
        let left_out: u64 = rows
            .iter()
            .filter(|(.., row)| row.is_none())
            .map(|(from, to, _)| to - from)
            .sum();
        tables.counts.bytes += rows.iter().map(|(from, to, _)| to - from).sum::<u64>();
        tables.counts.bytes_left_out += left_out;
        tables.counts.incomplete += usize::from(left_out > 0);
        for (from, to, info) in entries(&rows, &code.data) {
            let next = u32::try_from(tables.xdata.len()).map_err(|e| failed(e.to_string()))?;
            let at = *infos.entry(info).or_insert_with_key(|info| {
                tables.xdata.extend_from_slice(info);
                next
            });
            let narrow = |n: u64| u32::try_from(n).map_err(|e| failed(e.to_string()));
            tables.entries.push(Entry {
                section: code_index,
                start: narrow(from)?,
                end: narrow(to)?,
                info: at,
            });
        }
    }
    tables.entries.sort_by_key(|e| (e.section, e.start));
    Ok(tables)
}

/// Pretended addresses for the sections of an object, so that gimli sees resolved addresses.
struct AddressMap(Vec<(u64, u64, usize)>);

impl AddressMap {
    fn new(object: &Object) -> AddressMap {
        let mut next = 0x1_0000;
        let mut map = Vec::new();
        for (index, section) in object.loaded() {
            map.push((next, next + section.size, index));
            next = (next + section.size + 0x1_0000) & !0xffff;
        }
        AddressMap(map)
    }

    fn base(&self, section: usize) -> Option<u64> {
        self.0
            .iter()
            .find(|(.., index)| *index == section)
            .map(|(base, ..)| *base)
    }

    /// The section at an address, and the offset in it.
    fn find(&self, address: u64) -> Option<(usize, u64)> {
        let (base, _, index) = self
            .0
            .iter()
            .find(|(base, end, _)| (*base..*end).contains(&address))?;
        Some((*index, address - base))
    }

    fn apply(
        &self,
        object: &Object,
        base: u64,
        relocation: &Relocation,
        bytes: &mut [u8],
    ) -> Result<(), String> {
        let symbol = object
            .symbols
            .get(relocation.symbol)
            .ok_or("a relocation without a symbol")?;
        let Place::Section(section) = symbol.place else {
            return Err(format!("`{}` is in no section", symbol.name));
        };
        let target = self
            .base(section)
            .ok_or_else(|| format!("`{}` is in no loaded section", symbol.name))?;
        let target = target
            .wrapping_add(symbol.value)
            .wrapping_add_signed(relocation.addend);
        let distance = target.wrapping_sub(base.wrapping_add(relocation.offset));
        let (value, size) = match relocation.kind {
            R_X86_64_NONE => return Ok(()),
            R_X86_64_PC32 => (distance, 4),
            R_X86_64_PC64 => (distance, 8),
            R_X86_64_64 => (target, 8),
            kind => return Err(format!("relocation kind {kind} is not expected here")),
        };
        let at = usize::try_from(relocation.offset).map_err(|e| e.to_string())?;
        let field = bytes
            .get_mut(at..)
            .and_then(|rest| rest.get_mut(..size))
            .ok_or("a relocation beyond its end")?;
        let value = value.to_le_bytes();
        field.copy_from_slice(value.get(..size).unwrap_or_default());
        Ok(())
    }
}

/// A DWARF row as Windows can say it.
fn express(row: &gimli::UnwindTableRow<usize>) -> Option<Row> {
    let frame = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } if register.0 == RSP_DWARF => {
            FrameFrom::Stack(u32::try_from(*offset).ok().filter(|n| *n >= 8 && n % 8 == 0)?)
        }
        CfaRule::RegisterAndOffset { register, offset: 16 } if register.0 == RBP_DWARF => FrameFrom::Pointer,
        _ => return None,
    };
    let mut saved = BTreeMap::new();
    for (register, rule) in row.registers() {
        let distance = match rule {
            RegisterRule::Undefined | RegisterRule::SameValue => continue,
            RegisterRule::Offset(offset) => u32::try_from(offset.checked_neg()?).ok()?,
            _ => return None,
        };
        if *register == X86_64::RA {
            if distance != 8 {
                return None;
            }
            continue;
        }
        let (_, windows) = PRESERVED.iter().find(|(dwarf, _)| *dwarf == register.0)?;
        // What lies below the stack pointer was popped already: the register holds it again.
        let popped = matches!(frame, FrameFrom::Stack(size) if distance > size);
        if !popped {
            (distance >= 16 && distance % 8 == 0).then(|| saved.insert(*windows, distance))?;
        }
    }
    if frame == FrameFrom::Pointer && saved.get(&RBP) != Some(&16) {
        return None;
    }
    Some(Row { frame, saved })
}

/// No frame: the return address is at rsp. Windows takes code without an entry to be so.
fn is_leaf(row: &Row) -> bool {
    row.frame == FrameFrom::Stack(8) && row.saved.is_empty()
}

/// Turns the rows of one function into ranges with unwind information.
fn entries(rows: &[MaybeRow], code: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
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
fn epilogue(rows: &[MaybeRow], body: &Row, code: &[u8], whole: &Range<u64>) -> usize {
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

// The operations of UNWIND_CODE.
const PUSH_NONVOL: u8 = 0;
const ALLOC_LARGE: u8 = 1;
const ALLOC_SMALL: u8 = 2;
const SET_FPREG: u8 = 3;
const SAVE_NONVOL: u8 = 4;

/// An UNWIND_INFO whose prologue reaches the last of `steps`, each done at its offset. None when the fields of the
/// format are too small.
fn encode(steps: &[(u8, &Row)]) -> Option<Vec<u8>> {
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

#[cfg(test)]
mod tests;
