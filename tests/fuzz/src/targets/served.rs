//! What a process that serves a volume answers, and may lie: `lklfs_served`, from the bytes of the answers to the values that the
//! core is given; and what the process is asked by calls that are none.
//!
//! The bytes: which question, then how each answer is made: the true one, the true one with bytes changed or with another length, or
//! bytes of the fuzzer's own; the last way is taken again and again. A bit says that what is left is a call. What must hold: each
//! question ends; what it brings is what a volume may say (names, times, sizes, ranges); a call is refused or answered by an answer to it.

use crate::allocated::within;
use crate::input::Input;
use lklfs_fsd::memory::MemoryVolume;
use lklfs_fsd::{Errno, FileKind, Metadata, Volume};
use lklfs_served::wire::{Answer, Asked, Call, MOST_ANSWER, MOST_DATA, Op, ticket};
use lklfs_served::{ServedVolume, Server, Transport};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// Entries of the listing that is asked for: as many as fit in one answer end it.
const MOST_ENTRIES: usize = 100_000;

static TREE: LazyLock<MemoryVolume> = LazyLock::new(|| {
    let mut tree = MemoryVolume::new();
    tree.directory("/folder");
    tree.file("/folder/entry", b"x");
    tree.file("/data", [vec![7; 5000], vec![0; 10_000], vec![9; 300]].concat());
    tree.symlink("/link", "folder/entry");
    tree.set_xattr("/data", "user.colour", b"blue");
    tree
});

/// How an answer is made.
enum Way {
    True,
    Changed(Vec<(u16, u8)>),
    Resized(u32),
    Own(Vec<u8>),
}

struct Told {
    server: Server<MemoryVolume>,
    ways: Vec<Way>,
    asked: AtomicUsize,
}

impl Told {
    fn new(mut input: Input<'_>) -> Told {
        let mut ways = Vec::new();
        while !input.is_empty() {
            let way = input.u8();
            let count = way >> 2;
            ways.push(match way & 3 {
                0 => Way::True,
                1 => Way::Changed((0..count).map(|_| (input.u16(), input.u8())).collect()),
                2 => Way::Resized(input.u32()),
                _ => {
                    let length = input.u16();
                    Way::Own(input.take(length.into()).to_vec())
                }
            });
        }
        Told {
            server: Server::new(TREE.clone()),
            ways,
            asked: AtomicUsize::new(0),
        }
    }
}

impl Transport for Told {
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<u8>, Errno> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        // A listing whose every answer has one entry more may go on for long; it is stopped as a process that goes is.
        if number > 1000 {
            return Err(Errno::ENODEV);
        }
        let call = asked.encode(7, &[])?;
        let mut answer = Vec::new();
        self.server.answer(&call, &mut answer).expect("a call");
        match self.ways.get(number).or(self.ways.last()) {
            None | Some(Way::True) => {}
            Some(Way::Changed(changes)) => {
                for (at, mask) in changes {
                    if let Some(byte) = answer.get_mut(usize::from(*at)) {
                        *byte ^= mask;
                    }
                }
            }
            Some(Way::Resized(length)) => {
                let length = *length as usize % (MOST_ANSWER + 2);
                answer.resize(length, 1);
                if let Some(size) = answer.get_mut(..4) {
                    size.copy_from_slice(&(length as u32).to_le_bytes());
                }
            }
            Some(Way::Own(bytes)) => answer = bytes.clone(),
        }
        Ok(answer)
    }

    fn forget(&self, _node: u64) {}
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let question = input.u8();
    if question & 0x80 != 0 {
        return call(input.0);
    }
    let told = Arc::new(Told::new(input));
    let _ = within(8 * MOST_ANSWER + 64 * bytes.len(), || asked(question % 9, told));
}

fn asked(question: u8, told: Arc<Told>) -> Result<(), Errno> {
    let volume = ServedVolume::new(told)?;
    let root = volume.root()?;
    let metadata = volume.metadata(&root)?;
    sound(&metadata);
    assert_eq!(metadata.kind, FileKind::Directory);
    match question {
        0 => {
            let info = volume.info()?;
            assert!(info.block_size.is_power_of_two() && info.blocks_free <= info.blocks);
            assert!(info.blocks.checked_mul(info.block_size.into()).is_some());
        }
        1 => sound(&volume.entry_metadata(&root, b"data")?),
        2 => {
            let file = volume.lookup(&root, b"data")?;
            let size = volume.metadata(&file)?.size;
            let mut out = [0; 2000];
            let length = volume.read(&file, 4000, &mut out)?;
            assert_eq!(length as u64, size.saturating_sub(4000).min(2000));
        }
        3 => {
            let file = volume.lookup(&root, b"data")?;
            let size = volume.metadata(&file)?.size;
            if let Some(data) = volume.next_data(&file, 9000)? {
                assert!(9000 <= data.start && data.start < data.end && data.end <= size);
            }
        }
        4 => {
            let target = volume.read_link(&volume.lookup(&root, b"link")?)?;
            assert!(!target.is_empty() && target.len() <= 4096 && !target.contains(&0));
        }
        5 => {
            let mut count = 0;
            volume.read_dir(&root, 0, &mut |entry| {
                assert!(!entry.name.is_empty() && !entry.name.iter().any(|byte| matches!(byte, 0 | b'/')));
                assert_ne!(entry.cookie, 0);
                count += 1;
                match count < MOST_ENTRIES {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
        }
        6 => {
            let names = volume.list_xattrs(&volume.lookup(&root, b"data")?)?;
            assert!(names.last().is_none_or(|byte| *byte == 0) && names.len() <= 65_536);
        }
        7 => {
            let value = volume.xattr(&volume.lookup(&root, b"data")?, b"user.colour")?;
            assert!(value.len() <= 65_536);
        }
        _ => {
            let folder = volume.lookup(&root, b"folder")?;
            sound(&volume.metadata(&volume.lookup(&folder, b"entry")?)?);
        }
    }
    Ok(())
}

/// NT can tell it.
fn sound(metadata: &Metadata) {
    let most = i64::MAX as u64;
    assert!(metadata.size <= most && metadata.allocated <= most && metadata.permissions <= 0o7777);
    let times = [Some(metadata.atime), Some(metadata.mtime), Some(metadata.ctime), metadata.btime];
    assert!(times.iter().flatten().all(|time| time.nanoseconds < 1_000_000_000));
}

fn call(bytes: &[u8]) {
    let parsed = within(0, || Call::parse(bytes));
    let server = Server::new(TREE.clone());
    let mut out = Vec::new();
    let answered = within(4 * MOST_DATA, || server.answer(bytes, &mut out));
    assert_eq!(answered.is_ok(), parsed.is_some());
    let Some(call) = parsed else { return };
    assert_eq!(ticket(&out), Some(call.ticket));
    match Answer::parse(&out, call.op, call.room) {
        Ok(answer) => assert!(answer.data.len() <= call.room),
        Err(error) => assert_ne!(error, Errno::EUCLEAN, "{call:?}"),
    }
    // Nothing was given before but what this call has asked for.
    assert!(server.held() <= usize::from(call.op == Op::Root));
}
