//! The gates themselves: one for each imported name, and the few instructions that lead from it to the common part.

use crate::{
    imports::{Import, Target},
    nt::KIRQL,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex,
        atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    },
};

/// What a gate knows of its import.
pub(super) struct Gate {
    pub(super) name: String,
    pub(super) target: Option<*const ()>,
    pub(super) ceiling: KIRQL,
    pub(super) calls: AtomicU64,
}

/// Most imports that all images of a process have together.
const GATES: usize = 4096;
static TABLE: [AtomicPtr<Gate>; GATES] = [const { AtomicPtr::new(std::ptr::null_mut()) }; GATES];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static ENTRIES: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);
/// Bytes of one gate's instructions.
const ENTRY: usize = 32;

pub(super) fn gate_of(index: usize) -> Option<&'static Gate> {
    let pointer = TABLE.get(index)?.load(Ordering::Acquire);
    // SAFETY: entries of the table are leaked boxes or null.
    unsafe { pointer.as_ref() }
}

/// The address that an import table gets for a function. The same for the same name; a name that is not modelled gets a
/// gate that fails by name.
pub fn entry_of(name: &str, import: Option<&Import>) -> usize {
    let mut entries = ENTRIES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let entries = entries.get_or_insert_with(HashMap::new);
    // A name that was hidden from one image and is shown to another has two gates.
    let key = if import.is_some() {
        name.to_owned()
    } else {
        format!("{name} (not modelled)")
    };
    if let Some(entry) = entries.get(&key) {
        return *entry;
    }
    let index = COUNT.fetch_add(1, Ordering::Relaxed);
    assert!(index < GATES, "more than {GATES} imports");
    let target = import.and_then(|import| match import.target {
        Target::Function(function) => Some(function),
        Target::Data(_) => None,
    });
    let ceiling = import.map_or(crate::imports::level::HIGH, |import| import.ceiling);
    let gate = Box::new(Gate {
        name: name.to_owned(),
        target,
        ceiling,
        calls: AtomicU64::new(0),
    });
    if let Some(slot) = TABLE.get(index) {
        slot.store(Box::into_raw(gate), Ordering::Release);
    }
    let entry = make_entry(index);
    entries.insert(key, entry);
    entry
}

/// Writes `mov eax, index; jmp [rip]; address of gate` into executable memory.
fn make_entry(index: usize) -> usize {
    static PAGE: Mutex<(usize, usize)> = Mutex::new((0, 0));
    const LENGTH: usize = GATES * ENTRY;
    let mut page = PAGE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if page.0 == 0 {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping; the result is checked.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), LENGTH, libc::PROT_NONE, flags, -1, 0) };
        assert!(base != libc::MAP_FAILED, "no memory for gates");
        page.0 = base as usize;
    }
    let entry = page.0 + page.1;
    page.1 += ENTRY;
    let mut code = vec![0xB8];
    code.extend((index as u32).to_le_bytes());
    code.extend([0xFF, 0x25, 0, 0, 0, 0]);
    code.extend((super::gate as *const () as u64).to_le_bytes());
    let base = page.0 as *mut libc::c_void;
    // SAFETY: the mapping is ours; nobody runs gates while an image is being bound but gates already written stay as
    // they are, and another thread that runs one meanwhile keeps PROT_EXEC.
    unsafe {
        libc::mprotect(base, LENGTH, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
        std::ptr::copy_nonoverlapping(code.as_ptr(), entry as *mut u8, code.len());
        libc::mprotect(base, LENGTH, libc::PROT_READ | libc::PROT_EXEC);
    }
    entry
}

/// How often each import was called.
pub fn call_counts() -> BTreeMap<String, u64> {
    let gates = (0..COUNT.load(Ordering::Relaxed)).filter_map(gate_of);
    let counts = gates.map(|gate| (gate.name.clone(), gate.calls.load(Ordering::Relaxed)));
    counts.filter(|(_, count)| *count > 0).collect()
}
