//! Disks that fail, are slow, hang or vanish while they are written.

use crate::kind::{self, boot, unmount};
use conformance::content::content;
use linux_full::WritableDisks;
use lkl::{Disk, Errno, Kernel, ReadRequest};
use lkl_host_posix::WritableFile;
use lkl_write::{Abilities, OpenOptions, Operation, Volume, WritableDevice, WritableDisk, WriteRequest};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What a disk does with requests of one kind.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Good,
    /// Does writes after so long, from another thread.
    Slow(Duration),
    /// Writes end with this error.
    FailWrites(Errno),
    /// Flushes, and writes that are to be durable, do.
    FailFlushes(Errno),
    /// Keeps writes until released.
    Hanging,
}

/// A disk in a file with such manners, which also counts.
pub struct Moody {
    file: WritableFile,
    fua: bool,
    manner: Mutex<Manner>,
    in_flight: AtomicUsize,
    pub most: AtomicUsize,
    pub most_pieces: AtomicUsize,
    pub seen: Mutex<Vec<(Operation, u64, usize)>>,
    kept: Mutex<Vec<WriteRequest>>,
    came: Condvar,
}

impl Moody {
    pub fn new(file: WritableFile, fua: bool) -> Arc<Moody> {
        Arc::new(Moody {
            file,
            fua,
            manner: Mutex::new(Manner::Good),
            in_flight: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            most_pieces: AtomicUsize::new(0),
            seen: Mutex::new(Vec::new()),
            kept: Mutex::new(Vec::new()),
            came: Condvar::new(),
        })
    }

    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn wait_for_request(&self) {
        let kept = self.kept.lock().unwrap();
        drop(self.came.wait_while(kept, |kept| kept.is_empty()).unwrap());
    }

    pub fn count(&self, wanted: impl Fn(Operation) -> bool) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(operation, ..)| wanted(*operation)).count()
    }
}

/// The disk that Linux gets: a request may outlive its call, so it needs a count of its own.
pub struct Handle(pub Arc<Moody>);

impl Disk for Handle {
    fn size_bytes(&self) -> u64 {
        self.0.file.size_bytes()
    }
    fn block_size(&self) -> u32 {
        self.0.file.block_size()
    }
    fn read(&self, request: ReadRequest) {
        self.0.file.read(request);
    }
}

impl WritableDisk for Handle {
    fn abilities(&self) -> Abilities {
        Abilities {
            fua: self.0.fua,
            ..self.0.file.abilities()
        }
    }

    fn change(&self, request: WriteRequest) {
        let moody = Arc::clone(&self.0);
        let operation = request.operation();
        moody
            .seen
            .lock()
            .unwrap()
            .push((operation, request.offset(), request.len()));
        moody.most_pieces.fetch_max(request.segments().len(), SeqCst);
        let is_write = matches!(operation, Operation::Write { .. });
        let is_promise = matches!(operation, Operation::Write { durable: true } | Operation::Flush);
        let manner = *moody.manner.lock().unwrap();
        match manner {
            Manner::FailWrites(errno) if is_write => request.complete(Err(errno)),
            Manner::FailFlushes(errno) if is_promise => request.complete(Err(errno)),
            Manner::Slow(time) if is_write => {
                let now = moody.in_flight.fetch_add(1, SeqCst) + 1;
                moody.most.fetch_max(now, SeqCst);
                std::thread::spawn(move || {
                    std::thread::sleep(time);
                    moody.in_flight.fetch_sub(1, SeqCst);
                    moody.file.change(request);
                });
            }
            Manner::Hanging if is_write => {
                moody.kept.lock().unwrap().push(request);
                moody.came.notify_all();
            }
            _ => moody.file.change(request),
        }
    }
}

/// A mounted ext4 volume on a disk with manners. The folder has the image.
struct Scene {
    kernel: Kernel,
    folder: tempfile::TempDir,
    moody: Arc<Moody>,
    device: WritableDevice,
    volume: Volume,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    kind::named("ext4").make(&image, 0, 0);
    let kernel = boot();
    let moody = Moody::new(WritableFile::open(&image, false).unwrap(), true);
    let device = kernel
        .add_writable_disk(Arc::new(Handle(moody.clone())), 0)
        .unwrap();
    let volume = Volume::mount(&kernel, &device, "ext4", "").unwrap();
    Scene {
        kernel,
        folder,
        moody,
        device,
        volume,
    }
}

const NEW: OpenOptions = OpenOptions {
    write: true,
    create: true,
    new: true,
    truncate: false,
    durable: false,
};
const DURABLE: OpenOptions = OpenOptions { durable: true, ..NEW };

const LEN: usize = 65536;

pub fn overlap() {
    let scene = scene();
    let files: Vec<_> = (0..8)
        .map(|number| {
            scene
                .volume
                .open(format!("f{number}").as_bytes(), DURABLE)
                .unwrap()
        })
        .collect();
    for file in &files {
        // Room first, so that what is measured is the writing.
        file.write_all_at(&[1; LEN], 0).unwrap();
    }
    scene.moody.be(Manner::Slow(Duration::from_millis(50)));
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| file.write_all_at(&[2; LEN], 0).unwrap());
        }
    });
    let most = scene.moody.most.load(SeqCst);
    assert!(most >= 4, "at most {most} of 8 writes were at the disk at once");
    scene.moody.be(Manner::Good);
    // From the page cache, whose pages lie here and there.
    scene.volume.write(b"large", &content(1, 8 << 20)).unwrap();
    scene.volume.sync().unwrap();
    let pieces = scene.moody.most_pieces.load(SeqCst);
    assert!(pieces >= 2, "no request had more than {pieces} piece");
    let largest = scene
        .moody
        .seen
        .lock()
        .unwrap()
        .iter()
        .map(|(.., len)| *len)
        .max()
        .unwrap();
    assert!(largest >= 256 << 10, "the largest request had {largest} bytes");
    drop(files);
    unmount(scene.volume);
    scene.device.remove().unwrap();
    scene.kernel.halt();
    assert_eq!(
        kind::named("ext4").damage(&scene.folder.path().join("image")),
        None
    );
}

pub fn writes() {
    let scene = scene();
    let durable = scene.volume.open(b"durable", DURABLE).unwrap();
    let bytes = [7; LEN];
    durable.write_all_at(&bytes, 0).unwrap();
    durable.sync().unwrap();
    let cached = scene.volume.open(b"cached", NEW).unwrap();
    cached.write_all_at(&content(1, 100_000), 0).unwrap();
    cached.sync().unwrap();
    // What a program sees of what the host says. Linux has no word for a read-only medium below a file system.
    for (said, seen) in [
        (Errno::EIO, Errno::EIO),
        (Errno::ENOSPC, Errno::ENOSPC),
        (Errno::EROFS, Errno::EIO),
    ] {
        scene.moody.be(Manner::FailWrites(said));
        assert_eq!(
            durable.write_at(&bytes, 0),
            Err(seen),
            "{said} of a durable write"
        );
        cached.write_all_at(&content(2, 4096), 0).unwrap();
        assert_eq!(cached.sync_data(), Err(seen), "{said} after a write to the cache");
        scene.moody.be(Manner::Good);
    }
    // The disk is well again, and the volume was not given up: no metadata was refused.
    durable.write_all_at(&bytes, 0).unwrap();
    cached.write_all_at(&content(3, 4096), 0).unwrap();
    cached.sync().unwrap();
    drop((durable, cached));
    // The volume says once that something that was written is lost.
    assert_eq!(scene.volume.sync(), Err(Errno::EIO));
    assert_eq!(scene.volume.read(b"cached").unwrap()[..4096], content(3, 4096));
    unmount(scene.volume);
    scene.kernel.halt();
}

pub fn flushes() {
    let scene = scene();
    scene.volume.write(b"before", &content(1, 5000)).unwrap();
    scene.volume.sync().unwrap();
    let file = scene.volume.open(b"after", NEW).unwrap();
    file.write_all_at(&content(2, 5000), 0).unwrap();
    scene.moody.be(Manner::FailFlushes(Errno::EIO));
    assert_eq!(file.sync(), Err(Errno::EIO));
    drop(file);
    // The journal cannot be relied on any more: ext4 writes nothing else, and says so.
    assert_eq!(scene.volume.write(b"more", b"x"), Err(Errno::EROFS));
    let error = scene.volume.unmount().unwrap_err();
    assert!(error.volume.is_none(), "{error}");
    scene.device.remove().unwrap();
    scene.kernel.halt();
}

pub fn vanishes() {
    let scene = scene();
    let file = scene.volume.open(b"f", DURABLE).unwrap();
    let bytes = [7; LEN];
    file.write_all_at(&bytes, 0).unwrap();
    scene.moody.be(Manner::Hanging);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| file.write_at(&bytes, 0));
        scene.moody.wait_for_request();
        scene.device.gone();
        assert!(!writer.is_finished());
        scene.moody.kept.lock().unwrap().clear();
        assert_eq!(writer.join().unwrap(), Err(Errno::EIO));
    });
    scene.moody.be(Manner::Good);
    let before = scene.moody.seen.lock().unwrap().len();
    assert!(file.write_at(&bytes, 0).is_err());
    assert!(scene.volume.sync().is_err());
    let after = scene.moody.seen.lock().unwrap().len();
    assert_eq!(after, before, "a disk that is gone was asked for something");
    drop(file);
    assert!(scene.volume.unmount().is_err_and(|error| error.volume.is_none()));
    scene.device.remove().unwrap();
    scene.kernel.halt();
}

pub fn halt_waits() {
    let scene = scene();
    let file = scene.volume.open(b"f", DURABLE).unwrap();
    let bytes = [7; LEN];
    file.write_all_at(&bytes, 0).unwrap();
    scene.moody.be(Manner::Hanging);
    let halted = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| file.write_at(&bytes, 0));
        scene.moody.wait_for_request();
        let halter = scope.spawn(|| {
            scene.kernel.clone().halt();
            halted.store(true, SeqCst);
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!halted.load(SeqCst), "halted with a write at the disk");
        scene.moody.kept.lock().unwrap().clear();
        assert!(writer.join().unwrap().is_err());
        halter.join().unwrap();
    });
}
