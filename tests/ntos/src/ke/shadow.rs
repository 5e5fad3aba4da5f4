//! The shadow stack that Windows 11 can give kernel threads, in which the processor keeps each return address once more:
//! a return that goes elsewhere than its call is bug check 0x139. So a jump over frames has to take theirs off it.
//!
//! With `NTOS_SHADOW` in the environment the driver is told that there is one, and is checked against it. This processor
//! need not have the feature: when an image is loaded, its `rdsspq` and `incsspq` become instructions that trap, and are
//! carried out here. In a *window* the driver goes a single step at a time (the trap flag); each call is noted, each return
//! compared with the note, `incsspq` takes notes off. A window opens
//!
//! * at each `rdsspq`: what asks for the pointer is about to jump, or to be jumped to;
//! * after an import that wakes, waits or leaves a lock, since most jumps come right after one (`NTOS_SHADOW=all`: after every
//!   import): so one that does not ask is found as well.
//!
//! It closes after some thousand instructions. The notes begin as what `.pdata` says is on the stack; those of a window in
//! which an import is called are compared with that when the import returns. Each call into the driver has a shadow stack of its own, be it a thread, an expanded stack or a callback; so a
//! jump out of one would not be told apart from one inside.

use super::{fault::ORDER, gate, unwind, unwind::Context};
use crate::{loader, ps};
use std::{cell::RefCell, ops::Range, sync::LazyLock};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    Chosen,
    All,
}

static MODE: LazyLock<Mode> = LazyLock::new(|| match std::env::var("NTOS_SHADOW") {
    Err(_) => Mode::Off,
    Ok(text) if text == "all" => Mode::All,
    Ok(_) => Mode::Chosen,
});

/// Imports after which a window opens.
const CHOSEN: [&str; 4] = [
    "KeReleaseSemaphore",
    "KeWaitForSingleObject",
    "KeSetEvent",
    "KeReleaseSpinLock",
];
/// Instructions of a window after an import, and of one at a read of the pointer.
const AFTER_IMPORT: u32 = 1_500;
const AFTER_READ: u32 = 20_000;
/// Frames that a walk may find.
const DEEPEST: usize = 4096;
/// Where shadow stacks pretend to end: an address that is used for nothing.
const END: u64 = 0x5a00_0000_0000;
/// The trap flag.
pub(super) const TRAP: i64 = 0x100;

/// `ud2`, and what it stands for in the next byte, then the register's number.
const STANDS: [u8; 2] = [0x0f, 0x0b];
const READ: u8 = 0x5d;
const POP: u8 = 0x5e;
const LENGTH: usize = 5;

/// A window of one thread.
pub(crate) struct Window {
    left: u32,
    image: Range<usize>,
    /// Return addresses, the outermost first.
    notes: Vec<u64>,
}

thread_local! {
    static WINDOW: RefCell<Option<Window>> = const { RefCell::new(None) };
    static FOUND: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Replaces the instructions of shadow stacks in code that is about to be loaded.
pub(crate) fn patch(code: &mut [u8]) {
    if *MODE == Mode::Off {
        return;
    }
    for at in 0..code.len().saturating_sub(LENGTH - 1) {
        let Some([0xf3, rex @ (0x48 | 0x49), 0x0f, third, modrm]) = code.get(at..at + LENGTH) else {
            continue;
        };
        let what = match (third, modrm & 0xf8) {
            (0x1e, 0xc8) => READ,
            (0xae, 0xe8) => POP,
            _ => continue,
        };
        let register = (modrm & 7) | (rex & 1) << 3;
        code[at..at + LENGTH].copy_from_slice(&[STANDS[0], STANDS[1], what, register, 0x90]);
    }
}

/// The return addresses on the driver's stack from `context` to the border, the outermost first. `None` when the unwind
/// data do not lead there.
fn notes(mut context: Context) -> Option<Vec<u64>> {
    let mut found = Vec::new();
    while found.last() != Some(&gate::boundary()) {
        let image = loader::image_of(context.rip as usize)?;
        context = unwind::unwind(&image, &context)?.caller;
        found.push(context.rip);
        // A call that does not return may be the last that its function has: the place behind it is another's.
        context.rip -= 1;
        if found.len() > DEEPEST {
            return None;
        }
    }
    found.reverse();
    Some(found)
}

fn open(context: Context, left: u32) -> bool {
    let Some(image) = loader::image_of(context.rip as usize) else {
        return false;
    };
    let Some(notes) = notes(context) else {
        return false;
    };
    let image = image.base()..image.base() + image.size();
    WINDOW.set(Some(Window { left, image, notes }));
    true
}

/// An import returns to the driver; whether that is to go on a step at a time.
pub(crate) fn resume(frame: &gate::Frame, import: &str) -> bool {
    let wanted = match *MODE {
        Mode::Off => return false,
        Mode::Chosen => CHOSEN.contains(&import),
        Mode::All => true,
    };
    let context = Context::of_frame(frame);
    // The import's own call is noted, and its return done by the gate.
    let kept = WINDOW.take().map(|mut window| {
        window.notes.pop();
        window.notes
    });
    if let Some(kept) = kept
        && let Some(true) = notes(context).map(|there| there != kept)
    {
        FOUND.set(format!(
            "{} was called with return addresses on the shadow stack that a jump has left there",
            import
        ));
        return open(context, AFTER_IMPORT);
    }
    wanted && open(context, AFTER_IMPORT)
}

/// The window of the driver's code that is in an import, kept while that calls the driver.
pub(crate) struct Kept(Option<Window>);

/// A call into the driver begins.
pub(crate) fn suspend() -> Kept {
    Kept(is_on().then(|| WINDOW.take()).flatten())
}

/// It has ended.
pub(crate) fn restore(kept: Kept) {
    if is_on() {
        WINDOW.set(kept.0);
    }
}

/// Whether anything is to be done at the returns of imports.
pub(crate) fn is_on() -> bool {
    *MODE != Mode::Off
}

/// Ends the window of this thread, which goes elsewhere than on in the driver.
pub(super) fn close() {
    if is_on() {
        WINDOW.set(None);
    }
}

fn read<const N: usize>(address: u64) -> [u8; N] {
    // SAFETY: the processor is about to execute there, or has its stack there; sections end with padding.
    std::array::from_fn(|at| unsafe { ((address as usize + at) as *const u8).read() })
}

/// An illegal instruction in the driver: carries it out if it stands for one of the two.
pub(super) fn illegal(machine: &mut libc::ucontext_t, context: impl FnOnce() -> Context) -> Verdict {
    let rip = machine.uc_mcontext.gregs[libc::REG_RIP as usize].cast_unsigned();
    if !is_on() || loader::image_of(rip as usize).is_none() {
        return Verdict::NotMine;
    }
    let [first, second, what, register, _] = read::<LENGTH>(rip);
    if [first, second] != STANDS || register > 15 {
        return Verdict::NotMine;
    }
    let place = &mut machine.uc_mcontext.gregs[ORDER[usize::from(register)] as usize];
    match what {
        READ => {
            let known = WINDOW.with_borrow_mut(|window| {
                window.as_mut().is_some_and(|window| {
                    window.left = AFTER_READ;
                    true
                })
            });
            if !known && !open(context(), AFTER_READ) {
                return wrong(format!(
                    "{}: the stack cannot be walked where the shadow stack's pointer is read",
                    loader::describe(rip as usize)
                ));
            }
            let depth = WINDOW.with_borrow(|window| window.as_ref().map_or(0, |window| window.notes.len()));
            *place = (END - 8 * depth as u64).cast_signed();
        }
        POP => {
            let count = (*place & 0xff) as usize;
            let enough = WINDOW.with_borrow_mut(|window| {
                let Some(window) = window else { return true };
                match window.notes.len().checked_sub(count) {
                    Some(left) => {
                        window.notes.truncate(left);
                        true
                    }
                    None => false,
                }
            });
            if !enough {
                return wrong(format!(
                    "{}: {count} return addresses are taken off the shadow stack, which has fewer",
                    loader::describe(rip as usize)
                ));
            }
        }
        _ => return Verdict::NotMine,
    }
    machine.uc_mcontext.gregs[libc::REG_RIP as usize] += LENGTH as i64;
    machine.uc_mcontext.gregs[libc::REG_EFL as usize] |= TRAP;
    // The next instruction is executed before the trap comes.
    ahead(machine)
}

/// What became of a signal.
pub(super) enum Verdict {
    NotMine,
    GoOn,
    /// The rule is broken: [`landing`] says how.
    Broken,
}

fn wrong(words: String) -> Verdict {
    WINDOW.set(None);
    FOUND.set(words);
    Verdict::Broken
}

/// A step of the driver's has been done.
pub(super) fn step(machine: &mut libc::ucontext_t) -> Verdict {
    if !is_on() {
        return Verdict::NotMine;
    }
    let found = FOUND.take();
    if !found.is_empty() {
        return wrong(found);
    }
    ahead(machine)
}

/// Looks at the instruction that comes next. Ends the window when it is not the driver's.
pub(super) fn ahead(machine: &mut libc::ucontext_t) -> Verdict {
    let registers = &mut machine.uc_mcontext.gregs;
    let rip = registers[libc::REG_RIP as usize].cast_unsigned();
    let rsp = registers[libc::REG_RSP as usize].cast_unsigned();
    let mut broken = None;
    let goes_on = WINDOW.with_borrow_mut(|slot| {
        let Some(window) = slot else { return false };
        window.left = window.left.saturating_sub(1);
        if window.left == 0 || rip == gate::boundary() {
            *slot = None;
            return false;
        }
        // In an import: the notes stay.
        if !window.image.contains(&(rip as usize)) {
            return false;
        }
        match decode(&read(rip)) {
            Kind::Call(length) => window.notes.push(rip + length),
            Kind::Return => {
                let to = u64::from_le_bytes(read(rsp));
                let noted = window.notes.pop();
                if noted != Some(to) {
                    broken = Some((to, noted));
                }
            }
            Kind::Other => {}
        }
        true
    });
    if let Some((to, noted)) = broken {
        let noted = noted.map_or("nothing".to_owned(), |noted| loader::describe(noted as usize));
        return wrong(format!(
            "the return at {} goes to {}, and the shadow stack has {noted}",
            loader::describe(rip as usize),
            loader::describe(to as usize),
        ));
    }
    if !goes_on {
        registers[libc::REG_EFL as usize] &= !TRAP;
    }
    Verdict::GoOn
}

/// What an instruction does to the shadow stack.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// A call of so many bytes.
    Call(u64),
    Return,
    Other,
}

fn decode(code: &[u8; 15]) -> Kind {
    let is_prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf2 | 0xf3);
    let mut at = code.iter().take_while(|byte| is_prefix(byte)).count();
    if code.get(at).is_some_and(|byte| byte & 0xf0 == 0x40) {
        at += 1;
    }
    match code[at.min(12)..] {
        [0xe8, ..] => Kind::Call(at as u64 + 5),
        [0xc3 | 0xc2, ..] => Kind::Return,
        [0xff, modrm, sib, ..] if modrm >> 3 & 7 == 2 => {
            let (mode, base) = (modrm >> 6, modrm & 7);
            let has_sib = mode != 3 && base == 4;
            let displacement = match mode {
                0 if base == 5 || has_sib && sib & 7 == 5 => 4,
                1 => 1,
                2 => 4,
                _ => 0,
            };
            Kind::Call(at as u64 + 2 + u64::from(has_sib) + displacement)
        }
        _ => Kind::Other,
    }
}

/// Where a thread goes on that has broken the rule: on its host stack, outside of the signal.
pub(super) extern "C" fn landing() -> ! {
    ps::current().in_driver.set(false);
    let words = FOUND.take();
    crate::fail!(ShadowStack, "{words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Kind {
        let mut code = [0x90; 15];
        code[..bytes.len()].copy_from_slice(bytes);
        decode(&code)
    }

    #[test]
    fn calls_and_returns_are_told_from_the_rest() {
        assert_eq!(decoded(&[0xe8, 1, 2, 3, 4]), Kind::Call(5));
        // call rax; call r11; call [rip + ...]; call [rbx + 0x18]; call [r12]; call [rsp + rax * 8 + 0x100]
        assert_eq!(decoded(&[0xff, 0xd0]), Kind::Call(2));
        assert_eq!(decoded(&[0x41, 0xff, 0xd3]), Kind::Call(3));
        assert_eq!(decoded(&[0xff, 0x15, 1, 2, 3, 4]), Kind::Call(6));
        assert_eq!(decoded(&[0xff, 0x53, 0x18]), Kind::Call(3));
        assert_eq!(decoded(&[0x41, 0xff, 0x14, 0x24]), Kind::Call(4));
        assert_eq!(decoded(&[0xff, 0x94, 0xc4, 0, 1, 0, 0]), Kind::Call(7));
        assert_eq!(decoded(&[0xc3]), Kind::Return);
        assert_eq!(decoded(&[0xf3, 0xc3]), Kind::Return);
        assert_eq!(decoded(&[0xc2, 8, 0]), Kind::Return);
        // jmp rax; push [rax]; nop
        assert_eq!(decoded(&[0xff, 0xe0]), Kind::Other);
        assert_eq!(decoded(&[0xff, 0x30]), Kind::Other);
        assert_eq!(decoded(&[0x0f, 0x1f, 0xc3]), Kind::Other);
    }
}
