//! What code in kernel mode may read and a Linux process cannot: the IRQL in CR8, and the times in KUSER_SHARED_DATA,
//! which the kernel maps at a fixed address in the upper half.
//!
//! Both fault, and the signal handler asks here first: a plain `mov` into a general register, and a `cmp` of one with the
//! memory, are carried out in its stead. Anything else at these places stays a fault.

use super::{fault::ORDER, time};

/// Where the kernel maps KUSER_SHARED_DATA.
const SHARED: usize = 0xffff_f780_0000_0000;
/// `InterruptTime`, `SystemTime`: each low, high, and high again.
const INTERRUPT_TIME: usize = 0x008;
const SYSTEM_TIME: usize = 0x014;

/// The 32-bit word at `offset` of KUSER_SHARED_DATA, of those that are modelled.
fn shared_word(offset: usize) -> Option<u32> {
    let half = |time: u64, at: usize| if at == 0 { time as u32 } else { (time >> 32) as u32 };
    match offset {
        INTERRUPT_TIME | 0x00c | 0x010 => Some(half(time::interrupt_time(), offset - INTERRUPT_TIME)),
        SYSTEM_TIME | 0x018 | 0x01c => Some(half(time::system_time().cast_unsigned(), offset - SYSTEM_TIME)),
        _ => None,
    }
}

/// A load that faulted: which register it fills (in hardware order) and how many bytes of code it is.
#[derive(Debug, PartialEq, Eq)]
enum Load {
    /// `mov r64, cr8`.
    Cr8 { register: usize, length: usize },
    /// `mov r32, [memory]`.
    Word { register: usize, length: usize },
    /// `cmp r32, [memory]`.
    Compare { register: usize, length: usize },
}

/// Reads the instruction at the start of `code`.
fn decode(code: &[u8]) -> Option<Load> {
    let (rex, prefix) = match *code.first()? {
        byte @ 0x40..=0x4f => (byte, 1),
        _ => (0, 0),
    };
    let extended = |bit: u8| usize::from(rex & bit != 0) * 8;
    let code = &code[prefix..];
    match *code {
        // 0F 20 /r with REX.R: control register 8 into the register of ModRM.rm.
        [0x0f, 0x20, modrm @ 0xc0..=0xff, ..] if rex & 4 != 0 && modrm >> 3 & 7 == 0 => Some(Load::Cr8 {
            register: usize::from(modrm & 7) + extended(1),
            length: prefix + 3,
        }),
        // 8B /r and 3B /r without REX.W.
        [opcode @ (0x8b | 0x3b), modrm, ..] if rex & 8 == 0 => {
            let (mode, base) = (modrm >> 6, modrm & 7);
            let sib = usize::from(mode != 3 && base == 4);
            let no_base = base == 5 || sib == 1 && code.get(2)? & 7 == 5;
            let displacement = match mode {
                0 if no_base => 4,
                0 => 0,
                1 => 1,
                2 => 4,
                _ => return None,
            };
            let register = usize::from(modrm >> 3 & 7) + extended(4);
            let length = prefix + 2 + sib + displacement;
            Some(match opcode {
                0x8b => Load::Word { register, length },
                _ => Load::Compare { register, length },
            })
        }
        _ => None,
    }
}

/// `flags` after `cmp left, right`: CF, PF, AF, ZF, SF and OF are set anew.
fn compare(flags: u64, left: u32, right: u32) -> u64 {
    let (difference, carry) = left.overflowing_sub(right);
    let overflow = (left ^ right) & (left ^ difference) & 1 << 31;
    let changed = [
        (0, carry),
        (2, (difference as u8).count_ones().is_multiple_of(2)),
        (4, (left ^ right ^ difference) & 0x10 != 0),
        (6, difference == 0),
        (7, difference >> 31 != 0),
        (11, overflow != 0),
    ];
    changed.iter().fold(flags, |flags, (bit, set)| {
        flags & !(1 << bit) | u64::from(*set) << bit
    })
}

/// Carries out the load at which `machine` stands, in the driver, and steps over it. False when it is none of these.
///
/// `touched` is the address that faulted. Called in a signal handler, at an instruction of the driver: no lock of the
/// double is held there.
pub fn load(machine: &mut libc::ucontext_t, touched: usize, irql: u8) -> bool {
    const GENERAL_PROTECTION: i64 = 13;
    let registers = &mut machine.uc_mcontext.gregs;
    let rip = registers[libc::REG_RIP as usize];
    let shared = touched.checked_sub(SHARED).filter(|offset| *offset < 0x1000);
    let protected = registers[libc::REG_TRAPNO as usize] == GENERAL_PROTECTION;
    // Otherwise it is no such load, and there may be no code here at all.
    if shared.is_none() && !(protected && (0..1 << 47).contains(&rip)) {
        return false;
    }
    let mut code = [0_u8; 12];
    for (at, byte) in code.iter_mut().enumerate() {
        // SAFETY: the processor has executed here as far as the fault, and sections end with more than an instruction of
        // padding.
        *byte = unsafe { ((rip as usize + at) as *const u8).read() };
    }
    let length = match (decode(&code), shared.and_then(shared_word)) {
        (Some(Load::Cr8 { register, length }), _) if protected => {
            registers[ORDER[register] as usize] = irql.into();
            length
        }
        (Some(Load::Word { register, length }), Some(word)) => {
            registers[ORDER[register] as usize] = word.into();
            length
        }
        (Some(Load::Compare { register, length }), Some(word)) => {
            let flags = registers[libc::REG_EFL as usize].cast_unsigned();
            let left = registers[ORDER[register] as usize] as u32;
            registers[libc::REG_EFL as usize] = compare(flags, left, word).cast_signed();
            length
        }
        _ => return false,
    };
    registers[libc::REG_RIP as usize] = rip + length as i64;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_told_from_the_rest() {
        let cr8 = |register, length| Some(Load::Cr8 { register, length });
        let word = |register, length| Some(Load::Word { register, length });
        // mov rax, cr8; mov r9, cr8; mov rax, cr0
        assert_eq!(decode(&[0x44, 0x0f, 0x20, 0xc0]), cr8(0, 4));
        assert_eq!(decode(&[0x45, 0x0f, 0x20, 0xc1]), cr8(9, 4));
        assert_eq!(decode(&[0x0f, 0x20, 0xc0]), None);
        // mov ecx, [rax]; mov r10d, [rcx + 4]; mov eax, [rdx + 0x12345]; mov edx, [rsp + rax]; mov eax, [rip + ...]
        assert_eq!(decode(&[0x8b, 0x08]), word(1, 2));
        assert_eq!(decode(&[0x44, 0x8b, 0x51, 0x04]), word(10, 4));
        assert_eq!(decode(&[0x8b, 0x82, 0x45, 0x23, 0x01, 0x00]), word(0, 6));
        assert_eq!(decode(&[0x8b, 0x14, 0x04]), word(2, 3));
        assert_eq!(decode(&[0x8b, 0x05, 0, 0, 0, 0]), word(0, 6));
        assert_eq!(decode(&[0x8b, 0x04, 0x25, 0x14, 0, 0x80, 0xf7]), word(0, 7));
        let compare = |register, length| Some(Load::Compare { register, length });
        assert_eq!(decode(&[0x3b, 0x41, 0x08]), compare(0, 3));
        assert_eq!(decode(&[0x44, 0x3b, 0x01]), compare(8, 3));
        // 64-bit loads, stores and moves between registers stay faults.
        assert_eq!(decode(&[0x48, 0x8b, 0x08]), None);
        assert_eq!(decode(&[0x89, 0x08]), None);
        assert_eq!(decode(&[0x8b, 0xc8]), None);
    }

    #[test]
    fn a_comparison_sets_the_flags_that_the_processor_sets() {
        const CHANGED: u64 = 0x8d5;
        for left in [
            0,
            1,
            2,
            0x7f,
            0x0fff_ffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff_u32,
        ] {
            for right in [
                0,
                1,
                0x10,
                0x80,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_fff0,
                0xffff_ffff_u32,
            ] {
                let flags: u64;
                // SAFETY: compares two registers and reads the flags, over the stack.
                unsafe {
                    std::arch::asm!(
                        "cmp {left:e}, {right:e}",
                        "pushfq",
                        "pop {flags}",
                        left = in(reg) left,
                        right = in(reg) right,
                        flags = lateout(reg) flags,
                    );
                }
                for before in [0, u64::MAX] {
                    let after = compare(before, left, right);
                    assert_eq!(after & CHANGED, flags & CHANGED, "cmp {left:#x}, {right:#x}");
                    assert_eq!(after & !CHANGED, before & !CHANGED);
                }
            }
        }
    }
}
