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

mod encode;
mod ranges;
#[cfg(test)]
mod tests;

use crate::Error;
use crate::elf::{Object, Place, Relocation};
use gimli::{
    BaseAddresses, CfaRule, EhFrame, LittleEndian, RegisterRule, UnwindContext, UnwindSection, X86_64,
};
use object::elf::{R_X86_64_64, R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PC64};
use std::collections::BTreeMap;

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
        for (from, to, info) in ranges::entries(&rows, &code.data) {
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
