//! Rules on instructions, by disassembling all of `.text`.
//!
//! Functions are decoded one by one, from symbol to symbol, so that data or padding between two of them cannot put the
//! decoder out of step.
//!
//! The red zone shows in two ways. A function without a frame pointer addresses it as `[rsp-N]`. One with a frame
//! pointer addresses it as `[rbp-N]` with N larger than all that it ever pushes and subtracts after `mov rbp,rsp`; one
//! that moves the stack pointer by a variable amount is left out of this second test.

use super::{Finding, Rule};
use crate::elf::{Object, Section};
use iced_x86::{
    Code, CpuidFeature, Decoder, DecoderOptions, Formatter, Instruction, InstructionInfoFactory,
    IntelFormatter, Mnemonic, OpAccess, OpKind, Register, UsedRegister,
};
use object::elf;

pub(super) fn check(object: &Object) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, section) in object.loaded().filter(|(_, section)| section.is_code()) {
        let mut starts: Vec<u64> = object
            .symbols
            .iter()
            .filter(|s| s.place == crate::elf::Place::Section(index) && s.kind == elf::STT_FUNC)
            .map(|s| s.value)
            .chain([0, section.size])
            .collect();
        starts.sort_unstable();
        starts.dedup();
        let mut places = Vec::new();
        for pair in starts.windows(2) {
            if let [start, end] = *pair {
                function(section, start, end, &mut places);
            }
        }
        if places.is_empty() {
            continue;
        }
        let names = object.names_in(index);
        for (rule, offset, detail) in places {
            let symbol = names.at(offset).unwrap_or_else(|| section.name.clone());
            findings.push(Finding {
                rule,
                symbol,
                place: format!("{}+{offset:#x}", section.name),
                detail,
            });
        }
    }
    findings
}

type Place = (Rule, u64, String);

fn function(section: &Section, start: u64, end: u64, places: &mut Vec<Place>) {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let Some(bytes) = range.and_then(|(start, end)| section.data.get(start..end)) else {
        places.push((
            Rule::Instruction,
            start,
            "a symbol lies outside of its section".into(),
        ));
        return;
    };
    let mut frame = Frame::default();
    let mut registers = InstructionInfoFactory::new();
    let mut instruction = Instruction::default();
    let mut decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if let Some((rule, why)) = judge(&instruction) {
            places.push((rule, instruction.ip(), format!("{}{why}", text(&instruction))));
        }
        frame.follow(&instruction, &mut registers);
    }
    if let Some((offset, depth)) = frame.red_zone() {
        let detail = format!(
            "it reaches {depth} bytes below the frame pointer, of which {} are its own",
            frame.depth
        );
        places.push((Rule::RedZone, offset, detail));
    }
}

/// What a single instruction breaks.
fn judge(instruction: &Instruction) -> Option<(Rule, &'static str)> {
    use Mnemonic as M;
    if instruction.is_invalid() {
        // The filling between functions is zero where it is no instruction.
        return Some((Rule::Instruction, ""));
    }
    if matches!(instruction.segment_prefix(), Register::FS | Register::GS) {
        return Some((Rule::Segment, ""));
    }
    if instruction.op_kinds().enumerate().any(|(op, kind)| {
        kind == OpKind::Register
            && instruction
                .op_register(u32::try_from(op).unwrap_or(0))
                .is_segment_register()
    }) {
        return Some((Rule::Segment, ""));
    }
    match instruction.mnemonic() {
        M::Rdfsbase
        | M::Rdgsbase
        | M::Wrfsbase
        | M::Wrgsbase
        | M::Lds
        | M::Les
        | M::Lfs
        | M::Lgs
        | M::Lss => {
            return Some((Rule::Segment, ""));
        }
        M::Iret
        | M::Iretd
        | M::Iretq
        | M::Retf
        | M::Syscall
        | M::Sysret
        | M::Sysenter
        | M::Sysexit
        | M::Int
        | M::Int1
        | M::Into
        | M::Vmcall
        | M::Vmmcall
        | M::Sgdt
        | M::Sidt
        | M::Sldt
        | M::Str
        | M::Smsw
        | M::Rdpmc => return Some((Rule::Privileged, "")),
        _ => {}
    }
    let far =
        instruction.is_call_far() || instruction.is_call_far_indirect() || instruction.is_jmp_far_indirect();
    if instruction.is_privileged() || instruction.is_jmp_far() || far {
        return Some((Rule::Privileged, ""));
    }
    let vector = |r: Register| r.is_vector_register() || r.is_mm() || r.is_st() || r.is_k() || r.is_tmm();
    let x87 = |feature: &CpuidFeature| {
        matches!(
            feature,
            CpuidFeature::FPU
                | CpuidFeature::FPU287
                | CpuidFeature::FPU287XL_ONLY
                | CpuidFeature::FPU387
                | CpuidFeature::FPU387SL_ONLY
                | CpuidFeature::FXSR
                | CpuidFeature::XSAVE
        )
    };
    let state = matches!(
        instruction.mnemonic(),
        M::Ldmxcsr | M::Stmxcsr | M::Vldmxcsr | M::Vstmxcsr | M::Emms | M::Vzeroupper | M::Vzeroall
    );
    let registers = (0..instruction.op_count()).any(|op| vector(instruction.op_register(op)));
    if state || registers || instruction.cpuid_features().iter().any(x87) {
        return Some((Rule::Vector, ""));
    }
    // With an index the sum may lie anywhere: the compiler addresses the end of a buffer in the frame so.
    let below_rsp = instruction.memory_base() == Register::RSP
        && instruction.memory_index() == Register::None
        && i64::from_ne_bytes(instruction.memory_displacement64().to_ne_bytes()) < 0
        && has_memory(instruction)
        && !addresses_only(instruction);
    below_rsp.then_some((Rule::RedZone, ""))
}

fn has_memory(instruction: &Instruction) -> bool {
    instruction.op_kinds().any(|kind| kind == OpKind::Memory)
}

/// Computes an address and accesses nothing.
fn addresses_only(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Lea | Mnemonic::Nop)
}

fn text(instruction: &Instruction) -> String {
    if instruction.code() == Code::INVALID {
        return "no instruction decodes here".into();
    }
    let mut text = String::new();
    IntelFormatter::new().format(instruction, &mut text);
    text
}

/// What a function does with its frame.
#[derive(Default)]
struct Frame {
    /// `mov rbp,rsp` was seen.
    set: bool,
    /// Bytes pushed and subtracted after that, at most.
    depth: u64,
    /// The stack pointer moves by an amount that is not in the code.
    variable: bool,
    /// The farthest access below the frame pointer: where, and how far.
    farthest: Option<(u64, u64)>,
    /// `rbp` gets other values, too: it is a register like any other here.
    general: bool,
}

impl Frame {
    fn follow(&mut self, instruction: &Instruction, registers: &mut InstructionInfoFactory) {
        use Mnemonic as M;
        let as_frame = matches!(instruction.mnemonic(), M::Pop | M::Leave)
            || instruction.mnemonic() == M::Mov && instruction.op1_register() == Register::RSP;
        let written = |used: &UsedRegister| {
            used.register().full_register() == Register::RBP
                && !matches!(
                    used.access(),
                    OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
                )
        };
        self.general |= !as_frame && registers.info(instruction).used_registers().iter().any(written);
        let first_is =
            |r: Register| instruction.op0_kind() == OpKind::Register && instruction.op0_register() == r;
        match instruction.mnemonic() {
            M::Mov if first_is(Register::RBP) && instruction.op1_register() == Register::RSP => {
                self.set = true
            }
            M::Push if self.set => self.depth = self.depth.saturating_add(8),
            M::Sub if self.set && first_is(Register::RSP) => match instruction.try_immediate(1) {
                Ok(size) if instruction.op1_kind() != OpKind::Register => {
                    self.depth = self.depth.saturating_add(size)
                }
                _ => self.variable = true,
            },
            M::And if first_is(Register::RSP) => self.variable = true,
            M::Mov if first_is(Register::RSP) => self.variable = true,
            M::Lea if first_is(Register::RSP) && instruction.memory_base() != Register::RBP => {
                let displacement = i64::from_ne_bytes(instruction.memory_displacement64().to_ne_bytes());
                let fixed = instruction.memory_base() == Register::RSP
                    && instruction.memory_index() == Register::None;
                match fixed {
                    true if displacement < 0 => {
                        self.depth = self.depth.saturating_add(displacement.unsigned_abs())
                    }
                    true => {}
                    false => self.variable = true,
                }
            }
            _ => {}
        }
        if instruction.memory_base() == Register::RBP
            && has_memory(instruction)
            && !addresses_only(instruction)
        {
            let displacement = i64::from_ne_bytes(instruction.memory_displacement64().to_ne_bytes());
            let below = displacement.min(0).unsigned_abs();
            let plain = instruction.memory_index() == Register::None;
            if plain && self.set && below > self.farthest.map_or(0, |(_, below)| below) {
                self.farthest = Some((instruction.ip(), below));
            }
        }
    }

    fn red_zone(&self) -> Option<(u64, u64)> {
        self.farthest
            .filter(|(_, below)| !self.variable && !self.general && *below > self.depth)
    }
}
