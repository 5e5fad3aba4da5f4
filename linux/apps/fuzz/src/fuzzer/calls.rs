//! Runs an input of the target *calls*: mounts the volume for writing, makes the calls, and unmounts it; of each fourth input what has
//! become of the volume is then looked at. A program may have strands of calls, which are made side by side.
//
// UNSAFETY: system calls.

use crate::arguments::{Arguments, Slots};
use crate::death;
use crate::door::{Door, Earlier, Memory, Number};
use linux_fuzz::schedule::{self, Schedule, Trace};
use lkl::Kernel;
use lkl_fuzz::calls::{Call, Kind, SLOTS};
use lkl_fuzz::strands::Program;
use lkl_fuzz::walk::{self, Device, options_of};
use lkl_write::Volume;

const CHDIR: i64 = 80;
const UNSHARE: i64 = 272;
const CLONE_FS: i64 = 0x200;
/// Interruptions of a schedule that are kept.
const SWITCHES: usize = 64;
/// No file.
const NONE: Slots = [Number(-1); SLOTS as usize];

/// The task that makes the calls, with a current folder of its own.
pub struct Caller(Door);

impl Caller {
    /// A new one.
    pub fn new(kernel: &Kernel) -> Caller {
        let mut door = Door::new(kernel).expect("a task");
        door.call(UNSHARE, &[Number(CLONE_FS)])
            .expect("a folder of its own");
        Caller(door)
    }

    /// Does with a device, which shows the volume, what a program says. How its strands met, if it has some.
    pub fn run(&mut self, kernel: &Kernel, device: &Device, fs: &str, program: &Program) -> Option<Trace> {
        let Ok(volume) = Volume::mount(kernel, &device.linux, fs, &options_of(fs, true)) else {
            return None;
        };
        let node = device.linux.dev_path().expect("it has a path");
        let root = [b"/mnt", &node.as_bytes()[4..]].concat();
        let door = &mut self.0;
        let at = door.put(0, &root);
        let mut trace = None;
        if door.call(CHDIR, &[at]).is_ok() {
            let mut slots = NONE;
            for call in &program.before {
                one(door, &mut slots, call, &root);
            }
            if !program.strands.is_empty() {
                trace = Some(together(door, &slots, program, &root));
            }
        }
        door.close_all();
        let slash = door.put(0, b"/");
        let _ = door.call(CHDIR, &[slash]);
        if let Err(error) = volume.unmount()
            && error.volume.is_some()
        {
            // Another input would find this one's volume.
            death::leave("a volume is not unmounted");
        }
        if program.is_looked_at() {
            walk::visit(kernel, device, fs, true, &walk::WHOLE);
        }
        trace
    }
}

/// Makes a call.
fn one(door: &mut Door, slots: &mut Slots, call: &Call, root: &[u8]) {
    let index = usize::from(call.a % SLOTS);
    if let (Kind::Open | Kind::Close, Number(before)) = (call.kind, slots[index]) {
        door.close(before);
        slots[index] = Number(-1);
    }
    let mut arguments = Arguments {
        memory: door.memory(),
        slots,
        root,
    };
    let (number, list) = arguments.of(call);
    match call.kind {
        Kind::Open => slots[index] = Number(door.open(number, &list).unwrap_or(-1)),
        Kind::Close => {}
        _ => drop(door.call(number, &list)),
    }
}

/// A strand, ready to be run: each call has memory of its own, since all are made ready before the first one is made.
fn strand(before: &Slots, calls: &[Call], root: &[u8], memories: &mut Vec<Memory>) -> Vec<schedule::Call> {
    let mut slots = *before;
    let mut list = Vec::new();
    for call in calls {
        let mut memory = Memory::new();
        let mut arguments = Arguments {
            memory: &mut memory,
            slots: &slots,
            root,
        };
        let (number, found) = arguments.of(call);
        let mut made = schedule::Call {
            number,
            ..schedule::Call::default()
        };
        for (at, argument) in found.into_iter().enumerate() {
            made.args[at] = memory.word(argument);
            if let Earlier(index) = argument {
                made.from[at] = u8::try_from(index + 1).unwrap_or(0);
            }
        }
        let index = usize::from(call.a % SLOTS);
        match call.kind {
            Kind::Open => slots[index] = Earlier(list.len()),
            Kind::Close => slots[index] = Number(-1),
            _ => {}
        }
        memories.push(memory);
        list.push(made);
    }
    list
}

/// Makes the calls of a program's strands side by side.
fn together(door: &mut Door, slots: &Slots, program: &Program, root: &[u8]) -> Trace {
    let mut memories = Vec::new();
    let mut strands: Vec<Vec<schedule::Call>> = program
        .strands
        .iter()
        .map(|calls| strand(slots, calls, root, &mut memories))
        .collect();
    let plan = Schedule {
        seed: program.seed,
        one_in: program.one_in,
        room: SWITCHES,
    };
    // SAFETY: the pointers are into memory that is one call's alone and lives longer, with as much room behind each as a
    // door's calls need.
    let (_, trace) = unsafe { schedule::run_by(door.task(), plan, &mut strands) };
    for (made, said) in strands.iter().flatten().zip(program.strands.iter().flatten()) {
        if said.kind == Kind::Open && made.result >= 0 {
            door.adopt(made.result);
        }
    }
    trace
}
