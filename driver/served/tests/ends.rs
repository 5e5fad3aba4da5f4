//! Both ends of the protocol over a volume in memory, and what a process may answer that means harm.

use lklfs_fsd::memory::MemoryVolume;
use lklfs_fsd::{Errno, FileKind, Volume};
use lklfs_served::wire::{Asked, MOST_DATA, Op};
use lklfs_served::{ServedVolume, Server, Transport};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A server in the same process, and what is done to each answer on its way.
struct Direct<F> {
    server: Server<MemoryVolume>,
    tickets: AtomicU64,
    forgotten: Mutex<Vec<u64>>,
    change: F,
}

impl<F: Fn(Op, &mut Vec<u8>) + Send + Sync> Transport for Direct<F> {
    fn ask(&self, asked: &Asked<'_>) -> Result<Vec<u8>, Errno> {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed) + 1;
        let gone = std::mem::take(&mut *self.forgotten.lock().expect("sound"));
        let call = asked.encode(ticket, &gone)?;
        let mut answer = Vec::new();
        self.server.answer(&call, &mut answer).expect("a call");
        (self.change)(asked.op, &mut answer);
        Ok(answer)
    }

    fn forget(&self, node: u64) {
        self.forgotten.lock().expect("sound").push(node);
    }
}

/// What most questions need.
fn small() -> MemoryVolume {
    let mut volume = MemoryVolume::new();
    volume.directory("/folder");
    volume.file("/data", [7; 5000]);
    let mut sparse = vec![0; 65_536];
    sparse[20_000] = 1;
    volume.file("/sparse", &sparse);
    volume.symlink("/link", "folder/target");
    volume.special("/null", FileKind::CharacterDevice, (1, 3));
    volume.set_xattr("/data", "user.colour", b"blue\0green");
    volume.set_xattr("/data", "user.empty", b"");
    volume
}

/// With a folder of several answers, and a file of several, which is read in small pieces.
fn tree() -> MemoryVolume {
    let mut volume = small();
    for number in 0..2000 {
        volume.file(format!("/folder/a file with a long name, number {number}"), b"x");
    }
    let data: Vec<u8> = (0..MOST_DATA * 2 + 777).map(|at| (at / 3) as u8 | 1).collect();
    volume.file("/long", &data);
    volume.short_reads(10_000);
    volume
}

fn served<F: Fn(Op, &mut Vec<u8>) + Send + Sync>(change: F) -> Arc<Direct<F>> {
    serving(small(), change)
}

fn serving<F: Fn(Op, &mut Vec<u8>) + Send + Sync>(tree: MemoryVolume, change: F) -> Arc<Direct<F>> {
    Arc::new(Direct {
        server: Server::new(tree),
        tickets: AtomicU64::new(0),
        forgotten: Mutex::default(),
        change,
    })
}

/// All that a volume says, in words; an error ends it.
fn manifest<V: Volume>(volume: &V) -> Result<Vec<String>, Errno> {
    let mut told = vec![format!("{:?}", volume.info()?)];
    describe(volume, &volume.root()?, "", &mut told)?;
    Ok(told)
}

/// A whole file: a volume may read less at once.
fn contents<V: Volume>(volume: &V, node: &V::Node, size: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; size + 10];
    let mut length = 0;
    loop {
        match volume.read(node, length as u64, &mut bytes[length..])? {
            0 => break,
            more => length += more,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn describe<V: Volume>(volume: &V, node: &V::Node, path: &str, told: &mut Vec<String>) -> Result<(), Errno> {
    let metadata = volume.metadata(node)?;
    told.push(format!("{path} {metadata:?}"));
    let names = volume.list_xattrs(node)?;
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        told.push(format!("{name:?} {:?}", volume.xattr(node, name)?));
    }
    match metadata.kind {
        FileKind::Symlink => told.push(format!("{:?}", volume.read_link(node)?)),
        FileKind::File => {
            let bytes = contents(volume, node, metadata.size as usize)?;
            told.push(format!("{bytes:?} {:?}", volume.next_data(node, 0)?));
        }
        FileKind::Directory => {
            let mut entries = Vec::new();
            volume.read_dir(node, 0, &mut |entry| {
                entries.push((entry.name.to_vec(), entry.ino, entry.cookie, entry.kind));
                ControlFlow::Continue(())
            })?;
            told.push(format!("{entries:?}"));
            for (name, ..) in entries.iter().filter(|(name, ..)| name != b"." && name != b"..") {
                told.push(format!("{:?}", volume.entry_metadata(node, name)?));
                let entry = volume.lookup(node, name)?;
                let path = format!("{path}/{}", String::from_utf8_lossy(name));
                describe(volume, &entry, &path, told)?;
            }
        }
        _ => {}
    }
    Ok(())
}

#[test]
fn a_served_tree_is_the_tree() {
    let volume = ServedVolume::new(serving(tree(), |_, _| {})).expect("a root");
    let told = manifest(&volume).expect("all of it");
    assert!(told.len() > 4000 && told.iter().any(|line| line.contains("[98, 108, 117, 101, 0")));
    assert_eq!(Ok(told), manifest(&tree()));
}

#[test]
fn nodes_that_are_let_go_of_are_not_kept() {
    let transport = served(|_, _| {});
    let volume = ServedVolume::new(Arc::clone(&transport)).expect("a root");
    let root = volume.root().expect("kept");
    for _ in 0..1000 {
        drop(volume.lookup(&root, b"data").expect("there"));
    }
    // The root, and the one whose end was not told yet.
    assert_eq!(transport.server.held(), 2);
    drop((root, volume));
    assert_eq!(transport.forgotten.lock().expect("sound").len(), 2);
}

#[test]
fn what_is_missing_or_no_folder_says_so() {
    let volume = ServedVolume::new(served(|_, _| {})).expect("a root");
    let root = volume.root().expect("kept");
    assert_eq!(volume.lookup(&root, b"nothing").map(drop), Err(Errno::ENOENT));
    let data = volume.lookup(&root, b"data").expect("there");
    assert_eq!(volume.lookup(&data, b"x").map(drop), Err(Errno::ENOTDIR));
    assert_eq!(volume.read_link(&data), Err(Errno::EINVAL));
    assert_eq!(volume.xattr(&data, b"user.none"), Err(Errno::ENODATA));
    assert_eq!(volume.lookup_cached(&root, b"data").map(drop), Err(Errno::EAGAIN));
    assert_eq!(volume.read(&data, u64::MAX, &mut [0; 4]), Ok(0));
    let long = volume.lookup(&root, &[b'n'; 2000]).map(drop);
    assert_eq!(long, Err(Errno::ENAMETOOLONG));
}

/// One question of each kind.
fn one_of_each<V: Volume>(volume: &V) -> Result<(), Errno> {
    let root = volume.root()?;
    volume.info()?;
    let data = volume.lookup(&root, b"data")?;
    volume.entry_metadata(&root, b"sparse")?;
    volume.read(&data, 5, &mut [0; 100])?;
    let sparse = volume.lookup(&root, b"sparse")?;
    if let Some(found) = volume.next_data(&sparse, 5)? {
        assert!(5 <= found.start && found.start < found.end);
    }
    volume.read_link(&volume.lookup(&root, b"link")?)?;
    volume.list_xattrs(&data)?;
    volume.xattr(&data, b"user.colour")?;
    let mut count = 0;
    volume.read_dir(&root, 0, &mut |entry| {
        assert!(!entry.name.is_empty() && entry.cookie != 0 && !entry.name.contains(&b'/'));
        count += 1;
        ControlFlow::Continue(())
    })?;
    assert!(count < 100);
    Ok(())
}

/// Each byte of an answer wrong in several ways, in each kind of answer: all that is asked comes to an end. Another size, version,
/// kind, or error is refused whatever it is.
#[test]
fn no_wrong_byte_harms() {
    for op in Op::ALL {
        for at in 0..180 {
            for mask in [1, 0x10, 0x80, 0xff] {
                let transport = served(move |of, answer| {
                    if of == op
                        && let Some(byte) = answer.get_mut(at)
                    {
                        *byte ^= mask;
                    }
                });
                let result = ServedVolume::new(transport).and_then(|volume| one_of_each(&volume));
                let is_refused = (0..8).contains(&at) || (16..24).contains(&at);
                assert!(!is_refused || result.is_err(), "{op:?}, byte {at}");
            }
        }
    }
}

/// What each field of each kind of answer must not be.
#[test]
fn wrong_fields_are_refused() {
    // Of metadata, behind the head of 40 bytes: size, allocated, mode, flags, nanoseconds of the four times.
    let of_metadata: &[(usize, u8)] = &[
        (63, 0x80),
        (71, 0x80),
        (74, 1),
        (73, 0x30),
        (97, 1),
        (111, 0x80),
        (123, 0x80),
        (135, 0x80),
        (147, 0x80),
    ];
    let fields = |op: Op| -> Vec<(usize, u8)> {
        match op {
            // A node 0, and a second number.
            Op::Root | Op::Lookup => [of_metadata, &[(32, 1)]].concat(),
            Op::EntryMetadata => [of_metadata, &[(24, 1), (32, 1)]].concat(),
            Op::ReadLink | Op::Read | Op::ListXattrs | Op::Xattr => vec![(24, 1), (32, 1)],
            // Begins before what was asked for; ends before it begins, and behind the end.
            Op::NextData => vec![(31, 0x80), (39, 0x80), (34, 1)],
            Op::ReadDir => vec![(24, 2), (32, 1), (62, 1), (57, 1)],
            // Blocks, free ones, a unit that is no power of two, the longest name, a flag, lengths of texts.
            Op::Info => vec![
                (63, 0x80),
                (71, 0x80),
                (79, 0x80),
                (116, 1),
                (123, 1),
                (124, 4),
                (128, 1),
                (131, 1),
            ],
        }
    };
    for op in Op::ALL {
        for (at, mask) in fields(op) {
            let transport = served(move |of, answer| {
                if of == op {
                    answer[at] ^= mask;
                }
            });
            let result = ServedVolume::new(transport).and_then(|volume| one_of_each(&volume));
            assert_eq!(result, Err(Errno::EUCLEAN), "{op:?}, byte {at}");
        }
    }
}

/// What is cut off, or longer than what was asked for.
#[test]
fn no_wrong_length_harms() {
    for op in Op::ALL {
        for cut in 1..40 {
            let short = served(move |of, answer| {
                if of == op {
                    answer.truncate(answer.len().saturating_sub(cut));
                }
            });
            let result = ServedVolume::new(short).and_then(|volume| one_of_each(&volume));
            assert_eq!(result, Err(Errno::EUCLEAN), "{op:?}");
        }
        // The head says so, too.
        let long = served(move |of, answer| {
            if of == op {
                answer.resize(answer.len() + MOST_DATA + 1, 7);
                let size = (answer.len() as u32).to_le_bytes();
                answer[..4].copy_from_slice(&size);
            }
        });
        let result = ServedVolume::new(long).and_then(|volume| one_of_each(&volume));
        assert_eq!(result, Err(Errno::EUCLEAN), "{op:?}");
    }
}

/// A read that brings less than the file has there, and says so correctly.
#[test]
fn a_file_that_ends_early_is_refused() {
    let transport = served(|op, answer| {
        if op == Op::Read {
            answer.truncate(answer.len() - 1);
            let size = (answer.len() as u32).to_le_bytes();
            answer[..4].copy_from_slice(&size);
        }
    });
    let result = ServedVolume::new(transport).and_then(|volume| one_of_each(&volume));
    assert_eq!(result, Err(Errno::EUCLEAN));
}

/// Errors that mean something else to the core, or are none.
#[test]
fn errors_are_those_of_a_volume() {
    for (said, told) in [
        (11u32, Errno::EIO),
        (4, Errno::EIO),
        (9999, Errno::EIO),
        (u32::MAX, Errno::EIO),
        (74, Errno::EBADMSG),
    ] {
        let transport = served(move |op, answer| {
            if op == Op::Lookup {
                answer.truncate(40);
                answer[..4].copy_from_slice(&40u32.to_le_bytes());
                answer[20..24].copy_from_slice(&said.to_le_bytes());
                answer[24..40].fill(0);
            }
        });
        let volume = ServedVolume::new(transport).expect("a root");
        let root = volume.root().expect("kept");
        assert_eq!(volume.lookup(&root, b"data").map(drop), Err(told));
    }
}

/// A listing that never comes to an end, or does not go on.
#[test]
fn a_listing_that_does_not_go_on_ends() {
    let transport = served(|op, answer| {
        if op == Op::ReadDir {
            // Not the end.
            answer[24] = 0;
        }
    });
    let volume = ServedVolume::new(transport).expect("a root");
    let root = volume.root().expect("kept");
    let mut count = 0;
    let listed = volume.read_dir(&root, 0, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((listed, count < 100), (Err(Errno::EUCLEAN), true));
}

/// What comes to the process and is no call, or names a node that it never gave.
#[test]
fn the_process_refuses_what_is_no_call() {
    let server = Server::new(small());
    let asked = Asked {
        op: Op::Lookup,
        room: 200,
        node: 1,
        offset: 0,
        name: b"data",
    };
    let call = asked.encode(7, &[1, 2, 3]).expect("a call");
    let mut out = Vec::new();
    assert_eq!(server.answer(&call, &mut out), Ok(()));
    assert_eq!(out[20..24], Errno::ESTALE.0.to_le_bytes());
    // A node whose answer does not fit is not kept.
    let root = Asked {
        op: Op::Root,
        room: 100,
        node: 0,
        name: b"",
        ..asked
    };
    assert_eq!(
        server.answer(&root.encode(8, &[]).expect("a call"), &mut out),
        Ok(())
    );
    assert_eq!((out.len(), server.held()), (40, 0));
    for length in 0..call.len() {
        assert!(
            server.answer(&call[..length], &mut out).is_err(),
            "{length} bytes"
        );
    }
    // Size, version, ticket, op, room, node, length of the name, nodes to forget, and a NUL in the name.
    for (at, wrong) in [
        (0, 1),
        (4, 3),
        (8, 7),
        (16, 0xff),
        (23, 1),
        (24, 1),
        (40, 1),
        (44, 1),
        (48, b'd'),
    ] {
        let mut call = call.clone();
        call[at] ^= wrong;
        assert!(server.answer(&call, &mut out).is_err(), "byte {at}");
    }
}
