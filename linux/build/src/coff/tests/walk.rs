//! Walks real stacks with the image's unwind tables, as Windows does it: from a function called deep inside the fixture
//! back to the one that called in, comparing what comes back in the preserved registers with what it had there.

// UNSAFETY: reads stacks by address, as an unwinder does.

use super::image::Image;
use super::{fixture, link_lld};
use std::arch::global_asm;
use std::sync::Mutex;

/// The registers of a frame, by Windows' numbers (4 is rsp), and the instruction.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
struct Context {
    registers: [u64; 16],
    rip: u64,
}

// lkl_test_enter(function, back, x): calls function(back, x) with a known value in each preserved register.
// lkl_test_back(x): what the fixture calls at the end of its chain; hands the registers that it got to `record`.
global_asm!(
    ".globl lkl_test_enter",
    "lkl_test_enter:",
    "push rbp; push rbx; push r12; push r13; push r14; push r15; sub rsp, 8",
    "mov rax, rdi; mov rdi, rsi; mov rsi, rdx",
    "mov rbx, 0x1111; mov rbp, 0x2222; mov r12, 0x3333; mov r13, 0x4444; mov r14, 0x5555; mov r15, 0x6666",
    "call rax",
    ".globl lkl_test_returned",
    "lkl_test_returned:",
    "add rsp, 8; pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
    "ret",
    ".globl lkl_test_back",
    "lkl_test_back:",
    // A Context on the stack, as it will be when this function has returned.
    "lea r11, [rsp + 8]",
    "mov r10, [rsp]",
    "sub rsp, 136",
    "mov [rsp + 3*8], rbx; mov [rsp + 4*8], r11; mov [rsp + 5*8], rbp",
    "mov [rsp + 12*8], r12; mov [rsp + 13*8], r13; mov [rsp + 14*8], r14; mov [rsp + 15*8], r15",
    "mov [rsp + 16*8], r10",
    "mov rsi, rdi; mov rdi, rsp",
    "call {record}",
    "add rsp, 136",
    "ret",
    record = sym record,
);

unsafe extern "sysv64" {
    fn lkl_test_enter(function: u64, back: u64, x: u64) -> u64;
    fn lkl_test_returned();
    fn lkl_test_back(x: u64) -> u64;
}

/// The image to walk in; for each call the number of frames walked; what went wrong.
type Walk = (Image, Vec<usize>, Vec<String>);

static WALK: Mutex<Option<Walk>> = Mutex::new(None);

extern "sysv64" fn record(context: &Context, x: u64) -> u64 {
    let mut guard = WALK.lock().unwrap();
    let (image, frames, problems) = guard.as_mut().unwrap();
    match walk(image, *context) {
        Ok(count) => frames.push(count),
        Err(problem) => problems.push(problem),
    }
    x + 1
}

/// Walks until the frame is outside of the image: that must be the caller, with its registers.
fn walk(image: &Image, mut context: Context) -> Result<usize, String> {
    let mut frames = 0;
    while image.contains(context.rip) {
        let before = context;
        let entry = lookup(image, context.rip - image.base());
        let (start, info) =
            entry.ok_or_else(|| format!("no entry covers {:#x}", before.rip - image.base()))?;
        undo(image, start, info, &mut context)?;
        frames += 1;
        if frames > 50 || context.registers[4] <= before.registers[4] {
            return Err(format!(
                "lost after {frames} frames at {:#x}: {context:x?}",
                before.rip - image.base()
            ));
        }
    }
    let expected = [
        (3, 0x1111),
        (5, 0x2222),
        (12, 0x3333),
        (13, 0x4444),
        (14, 0x5555),
        (15, 0x6666),
    ];
    if context.rip != lkl_test_returned as *const () as u64 {
        return Err(format!(
            "the walk ended at {:#x} after {frames} frames",
            context.rip
        ));
    }
    match expected
        .iter()
        .find(|(register, value)| context.registers[*register] != *value)
    {
        Some(bad) => Err(format!("register {bad:x?} came back wrong: {context:x?}")),
        None => Ok(frames),
    }
}

fn word(address: u64) -> u64 {
    // SAFETY: the caller computed the address of a slot in a live frame of this very thread.
    unsafe { (address as *const u64).read() }
}

/// The function and its unwind information, both as offsets in the image.
fn lookup(image: &Image, at: u64) -> Option<(u64, u64)> {
    let (address, size) = image.exceptions;
    let table = image.bytes(address, size);
    let field = |bytes: &[u8]| u64::from(u32::from_le_bytes(bytes.try_into().unwrap()));
    let entries: Vec<_> = table
        .chunks_exact(12)
        .map(|e| (field(&e[..4]), field(&e[4..8]), field(&e[8..])))
        .collect();
    assert!(entries.is_sorted(), "the linker must have sorted the table");
    entries
        .into_iter()
        .find(|(start, end, _)| (*start..*end).contains(&at))
        .map(|(start, _, info)| (start, info))
}

/// Undoes the prologue of a frame, as RtlVirtualUnwind is documented to do it for an instruction of the body.
fn undo(image: &Image, start: u64, info: u64, context: &mut Context) -> Result<(), String> {
    let header = image.bytes(image.base() + info, 4);
    let [version_flags, prologue, count, frame] = header.as_slice() else {
        unreachable!()
    };
    assert_eq!(*version_flags, 1);
    let offset = context.rip - image.base() - start;
    let codes = image.bytes(image.base() + info + 4, usize::from(*count).max(1) * 2);
    let code = |slot: usize| {
        (
            codes[2 * slot],
            codes[2 * slot + 1] & 15,
            codes[2 * slot + 1] >> 4,
        )
    };
    let argument = |slot: usize| u64::from(u16::from_le_bytes([codes[2 * slot], codes[2 * slot + 1]]));
    let done = |at: u8| offset >= u64::from(*prologue) || u64::from(at) <= offset;
    let registers = &mut context.registers;
    let base = match frame & 15 {
        0 => registers[4],
        register => registers[usize::from(register)] - u64::from(frame >> 4) * 16,
    };
    let mut slot = 0;
    while slot < usize::from(*count) {
        let (at, operation, info) = code(slot);
        let length = match (operation, info) {
            (1, 0) | (4, _) => 2,
            (1, _) => 3,
            _ => 1,
        };
        if done(at) {
            match operation {
                0 => {
                    registers[usize::from(info)] = word(registers[4]);
                    registers[4] += 8;
                }
                1 if info == 0 => registers[4] += argument(slot + 1) * 8,
                1 => registers[4] += argument(slot + 1) | argument(slot + 2) << 16,
                2 => registers[4] += u64::from(info) * 8 + 8,
                3 => registers[4] = base,
                4 => registers[usize::from(info)] = word(base + argument(slot + 1) * 8),
                other => return Err(format!("operation {other}")),
            }
        }
        slot += length;
    }
    context.rip = word(registers[4]);
    registers[4] += 8;
    Ok(())
}

#[test]
fn a_real_stack_can_be_walked_with_the_tables() {
    let fixture = fixture();
    assert_eq!(
        fixture.summary.unwind.incomplete, 0,
        "{:?}",
        fixture.summary.unwind
    );
    let image = Image::load(&link_lld(fixture.dir.path()), 0x4567_8000_0000);
    let (function, back) = (image.export("lkl_deep"), lkl_test_back as *const () as u64);
    *WALK.lock().unwrap() = Some((image, Vec::new(), Vec::new()));
    for x in [0, 3, 77, 1234, 0xffff_ffff_ffff] {
        // SAFETY: lkl_deep takes a function and a number; `lkl_test_enter` keeps the ABI's promises.
        unsafe { lkl_test_enter(function, back, x) };
    }
    let (_, frames, problems) = WALK.lock().unwrap().take().unwrap();
    assert_eq!(problems, Vec::<String>::new());
    assert!(
        frames.len() > 12 && frames.contains(&3) && frames.contains(&5),
        "{frames:?}"
    );
}
