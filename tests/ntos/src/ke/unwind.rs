//! Walking the driver's frames by its `.pdata`, as RtlVirtualUnwind does.
//!
//! A function without an entry is taken for a leaf, and so is an address in no image: its return address is on top of the
//! stack. Code without unwind data that has a frame can therefore not be walked through, in NT as here.
//! A fault in an epilogue is not told apart from one in the body; epilogues touch the stack only.

use crate::{
    ke::gate::Frame,
    loader::{self, Image},
};

/// A thread's registers at some place in the driver.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The general registers by their hardware numbers: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15.
    pub registers: [u64; 16],
    /// Where it is.
    pub rip: u64,
    /// xmm0 to xmm15.
    pub xmm: [[u64; 2]; 16],
}

/// rsp's number.
pub const RSP: usize = 4;

impl Context {
    /// The driver's registers as they are when the import of that frame returns.
    pub fn of_frame(frame: &Frame) -> Self {
        let mut context = Self::default();
        let [rbx, rsi, rdi, r12, r13, r14, r15, rbp] = frame.registers;
        let r = &mut context.registers;
        (r[3], r[5], r[6], r[7]) = (rbx, rbp, rsi, rdi);
        (r[12], r[13], r[14], r[15]) = (r12, r13, r14, r15);
        r[RSP] = frame.caller_rsp();
        context.rip = frame.return_address;
        context.xmm[6..].copy_from_slice(&frame.xmm);
        context
    }

    /// The stack pointer.
    pub fn rsp(&self) -> u64 {
        self.registers[RSP]
    }
}

/// The handler data of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    /// The language handler, as an RVA.
    pub handler: u32,
    /// The address of its data.
    pub data: usize,
    /// It wants to see exceptions.
    pub for_exceptions: bool,
    /// It wants to see unwinding.
    pub for_unwinding: bool,
}

/// One frame, taken apart.
pub struct Unwound {
    /// The caller's registers.
    pub caller: Context,
    /// The frame's own base, which its handlers get.
    pub establisher: u64,
    /// Its handler, when it has one and is past its prologue.
    pub handler: Option<Handler>,
}

const EHANDLER: u8 = 1;
const UHANDLER: u8 = 2;
const CHAINED: u8 = 4;

/// Reads stack memory; `None` outside of mapped kernel memory.
fn read_stack(address: u64) -> Option<u64> {
    crate::mm::space::kind_of(address as usize)?;
    // SAFETY: the address lies in a mapped region (stacks and images are never unreadable).
    Some(unsafe { (address as *const u64).read_unaligned() })
}

/// The caller of code that there are no tables for.
pub fn leaf(context: &Context) -> Option<Context> {
    let mut caller = *context;
    caller.rip = read_stack(caller.rsp())?;
    caller.registers[RSP] += 8;
    Some(caller)
}

/// Goes from a frame to its caller.
pub fn unwind(image: &Image, context: &Context) -> Option<Unwound> {
    let mut caller = *context;
    let rva = image.rva_of(context.rip as usize)?;
    let mut handler = None;
    let mut establisher = context.rsp();
    if let Some(function) = image.function_at(rva) {
        let mut entry = function;
        let mut in_prologue_of = Some(rva - function.begin);
        let mut first = true;
        loop {
            let info = image.bytes(entry.unwind, 4)?;
            let (flags, prologue, count) = (info[0] >> 3, info[1], usize::from(info[2]));
            let (fp_register, fp_offset) = (usize::from(info[3] & 15), u64::from(info[3] >> 4) * 16);
            let codes = image.bytes(entry.unwind + 4, count * 2)?;
            let offset = in_prologue_of.unwrap_or(u32::MAX);
            let past_prologue = offset >= u32::from(prologue);
            if first {
                let fp_is_set = fp_register != 0 && (past_prologue || fp_set_by(codes, offset));
                establisher = if fp_is_set {
                    context.registers[fp_register] - fp_offset
                } else {
                    context.rsp()
                };
            }
            apply(codes, offset, fp_register, fp_offset, &mut caller)?;
            let after = entry.unwind + 4 + (count.next_multiple_of(2) * 2) as u32;
            if flags & CHAINED != 0 {
                entry = loader::Function::read(image.bytes(after, 12)?);
                (in_prologue_of, first) = (None, false);
                continue;
            }
            if flags & (EHANDLER | UHANDLER) != 0 && past_prologue {
                let bytes = image.bytes(after, 4)?;
                handler = Some(Handler {
                    handler: u32::from_le_bytes(bytes.try_into().ok()?),
                    data: image.address_of(after + 4),
                    for_exceptions: flags & EHANDLER != 0,
                    for_unwinding: flags & UHANDLER != 0,
                });
            }
            break;
        }
    }
    caller.rip = read_stack(caller.rsp())?;
    caller.registers[RSP] += 8;
    Some(Unwound {
        caller,
        establisher,
        handler,
    })
}

/// The prologue's part before `offset` has set the frame pointer.
fn fp_set_by(codes: &[u8], offset: u32) -> bool {
    codes
        .chunks_exact(2)
        .any(|code| code[1] & 15 == 3 && u32::from(code[0]) <= offset)
}

/// Undoes the prologue's operations that were done before `offset`.
fn apply(codes: &[u8], offset: u32, fp_register: usize, fp_offset: u64, to: &mut Context) -> Option<()> {
    let slot = |at: usize| {
        Some(u64::from(u16::from_le_bytes([
            *codes.get(at * 2)?,
            *codes.get(at * 2 + 1)?,
        ])))
    };
    let far = |at: usize| Some(slot(at)? | slot(at + 1)? << 16);
    let mut at = 0;
    while at * 2 < codes.len() {
        let (when, what) = (codes[at * 2], codes[at * 2 + 1]);
        let (operation, info) = (what & 15, usize::from(what >> 4));
        let slots = match operation {
            0 | 2 | 3 | 10 => 1,
            1 => 2 + info.min(1),
            4 | 8 => 2,
            5 | 9 => 3,
            _ => return None,
        };
        if u32::from(when) <= offset {
            let rsp = to.rsp();
            match operation {
                0 => {
                    to.registers[info] = read_stack(rsp)?;
                    to.registers[RSP] += 8;
                }
                1 if info == 0 => to.registers[RSP] += slot(at + 1)? * 8,
                1 => to.registers[RSP] += far(at + 1)?,
                2 => to.registers[RSP] += info as u64 * 8 + 8,
                3 => to.registers[RSP] = to.registers[fp_register] - fp_offset,
                4 => to.registers[info] = read_stack(rsp + slot(at + 1)? * 8)?,
                5 => to.registers[info] = read_stack(rsp + far(at + 1)?)?,
                8 | 9 => {
                    let distance = if operation == 8 {
                        slot(at + 1)? * 16
                    } else {
                        far(at + 1)?
                    };
                    let from = rsp + distance;
                    to.xmm[info] = [read_stack(from)?, read_stack(from + 8)?];
                }
                _ => return None,
            }
        }
        at += slots;
    }
    Some(())
}

/// The addresses from a context outwards, to the boundary with the double.
pub fn walk(mut context: Context) -> Vec<usize> {
    let mut places = Vec::new();
    while context.rip != crate::ke::gate::boundary() && places.len() < 64 {
        places.push(context.rip as usize);
        let Some(image) = loader::image_of(context.rip as usize) else {
            break;
        };
        let Some(unwound) = unwind(&image, &context) else {
            break;
        };
        context = unwound.caller;
    }
    places
}
