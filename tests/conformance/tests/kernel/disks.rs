//! Disks that are slow, broken, forgetful or gone.

use crate::image::{self, boot};
use lkl::{Disk, Errno, FsKind, OpenMode, ReadRequest};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What a disk does with a request.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Good,
    /// Answers after so long, from another thread.
    Slow(Duration),
    Broken,
    Forgetful,
    /// Keeps requests until released.
    Hanging,
}

pub struct Moody {
    file: File,
    manner: Mutex<Manner>,
    in_flight: AtomicUsize,
    most: AtomicUsize,
    kept: Mutex<Vec<ReadRequest>>,
    came: Condvar,
}

impl Moody {
    pub fn new(image: &image::Image) -> Arc<Moody> {
        Arc::new(Moody {
            file: File::open(image.path()).unwrap(),
            manner: Mutex::new(Manner::Good),
            in_flight: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            kept: Mutex::new(Vec::new()),
            came: Condvar::new(),
        })
    }

    pub fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Waits until a request is kept.
    pub fn wait_for_request(&self) {
        drop(
            self.came
                .wait_while(self.kept.lock().unwrap(), |kept| kept.is_empty())
                .unwrap(),
        );
    }

    /// Answers what was kept, and is good from now on.
    pub fn release(&self) {
        self.be(Manner::Good);
        // Whoever saw it hang has kept its request by now, or sees that it does not hang any more.
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        for request in kept {
            self.answer(request);
        }
    }

    fn answer(&self, mut request: ReadRequest) {
        let mut offset = request.offset();
        for segment in request.segments() {
            self.file.read_exact_at(segment, offset).unwrap();
            offset += segment.len() as u64;
        }
        request.complete(Ok(()));
    }
}

/// The disk that Linux gets: a request may outlive its call, so it needs a count of its own.
pub struct Handle(pub Arc<Moody>);

impl Disk for Handle {
    fn size_bytes(&self) -> u64 {
        self.0.file.metadata().unwrap().len()
    }
    fn block_size(&self) -> u32 {
        512
    }
    fn read(&self, request: ReadRequest) {
        let moody = Arc::clone(&self.0);
        let manner = *moody.manner.lock().unwrap();
        match manner {
            Manner::Good => moody.answer(request),
            Manner::Slow(time) => {
                let now = moody.in_flight.fetch_add(1, SeqCst) + 1;
                moody.most.fetch_max(now, SeqCst);
                std::thread::spawn(move || {
                    std::thread::sleep(time);
                    moody.in_flight.fetch_sub(1, SeqCst);
                    moody.answer(request);
                });
            }
            Manner::Broken => request.complete(Err(Errno::EIO)),
            Manner::Forgetful => drop(request),
            Manner::Hanging => {
                let mut kept = moody.kept.lock().unwrap();
                // It may have been released meanwhile.
                if *moody.manner.lock().unwrap() == Manner::Hanging {
                    kept.push(request);
                    moody.came.notify_all();
                } else {
                    drop(kept);
                    moody.answer(request);
                }
            }
        }
    }
}

/// Reads by several threads are at the disk at the same time, though Linux has one CPU.
pub fn overlap() {
    let kernel = boot();
    let image = image::ext4();
    let moody = Moody::new(&image);
    let device = kernel
        .add_disk(Arc::new(Handle(moody.clone())), Default::default())
        .unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let root = mount.root().unwrap();
    let files: Vec<_> = (30..38)
        .map(|n| root.open_at(format!("f{n}").as_bytes(), OpenMode::Read).unwrap())
        .collect();
    moody.be(Manner::Slow(Duration::from_millis(50)));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for file in &files {
            scope.spawn(|| assert_eq!(file.pread(&mut [0; 4096], 0), Ok(4096)));
        }
    });
    let most = moody.most.load(SeqCst);
    assert!(most >= 4, "at most {most} of 8 reads were at the disk at once");
    assert!(
        start.elapsed() < Duration::from_millis(1000),
        "8 reads of 50 ms took {:?}",
        start.elapsed()
    );
    kernel.halt();
}

fn failing(manner: Manner) {
    let kernel = boot();
    let image = image::ext4();
    let moody = Moody::new(&image);
    let device = kernel
        .add_disk(Arc::new(Handle(moody.clone())), Default::default())
        .unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let file = mount.root().unwrap().open_at(b"f35", OpenMode::Read).unwrap();
    moody.be(manner);
    assert_eq!(file.pread(&mut [0; 4096], 0), Err(Errno::EIO));
    // It recovers, and so does Linux.
    moody.be(Manner::Good);
    let mut bytes = vec![0; 4096];
    assert_eq!(file.pread(&mut bytes, 0), Ok(4096));
    assert_eq!(bytes, image::content(35, 4096));
    // A disk that cannot be read from the start is told from one without a file system.
    moody.be(manner);
    let other = kernel
        .add_disk(Arc::new(Handle(moody.clone())), Default::default())
        .unwrap();
    let error = kernel
        .mount(&other, FsKind::Probe, &Default::default())
        .unwrap_err();
    assert_eq!(error.errno, Errno::EIO);
    kernel.halt();
}

pub fn errors() {
    failing(Manner::Broken);
}

pub fn forgotten() {
    failing(Manner::Forgetful);
}

pub fn vanishes() {
    let kernel = boot();
    let image = image::ext4();
    let moody = Moody::new(&image);
    let device = kernel
        .add_disk(Arc::new(Handle(moody.clone())), Default::default())
        .unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let file = mount.root().unwrap().open_at(b"f35", OpenMode::Read).unwrap();
    let other = mount.root().unwrap().open_at(b"f36", OpenMode::Read).unwrap();
    moody.be(Manner::Hanging);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| file.pread(&mut [0; 4096], 0));
        moody.wait_for_request();
        device.gone();
        // New reads fail at once; the one at the disk ends when the disk lets go of it.
        assert_eq!(other.pread(&mut [0; 4096], 0), Err(Errno::EIO));
        assert!(!reader.is_finished());
        moody.kept.lock().unwrap().clear();
        assert_eq!(reader.join().unwrap(), Err(Errno::EIO));
    });
    mount.unmount();
    drop((file, other));
    device.remove().unwrap();
    kernel.halt();
}

pub fn halt_waits() {
    let kernel = boot();
    let image = image::ext4();
    let moody = Moody::new(&image);
    let device = kernel
        .add_disk(Arc::new(Handle(moody.clone())), Default::default())
        .unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let file = mount.root().unwrap().open_at(b"f35", OpenMode::Read).unwrap();
    moody.be(Manner::Hanging);
    let halted = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| file.pread(&mut [0; 4096], 0));
        moody.wait_for_request();
        let halter = scope.spawn(|| {
            kernel.clone().halt();
            halted.store(true, SeqCst);
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!halted.load(SeqCst), "halted with a read at the disk");
        moody.kept.lock().unwrap().clear();
        assert!(reader.join().unwrap().is_err());
        halter.join().unwrap();
    });
}

/// Holds a thread that answers requests up for a while after each answer, before it has dropped the request.
#[cfg(not(feature = "apr"))]
struct LateDrop;

#[cfg(not(feature = "apr"))]
impl crate::unruly::Hook for LateDrop {
    fn at(&self, moment: crate::unruly::Moment) {
        let answers = std::thread::current().name() == Some("answers");
        if answers && moment == crate::unruly::Moment::Upped {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Answers each read on a thread of its own.
#[cfg(not(feature = "apr"))]
struct Threaded(Arc<dyn Disk>);

#[cfg(not(feature = "apr"))]
impl Disk for Threaded {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn block_size(&self) -> u32 {
        self.0.block_size()
    }

    fn read(&self, request: ReadRequest) {
        let disk = Arc::clone(&self.0);
        let answer = move || disk.read(request);
        std::thread::Builder::new()
            .name("answers".into())
            .spawn(answer)
            .unwrap();
    }
}

/// What a program gets back of a disk that it takes away is the whole disk: no thread that has answered a request has it still.
#[cfg(not(feature = "apr"))]
pub fn let_go() {
    let image = image::ext4();
    let host = crate::unruly::Unruly::new(Arc::new(LateDrop));
    let kernel = lkl::Kernel::boot(host, &lkl::BootConfig::default()).unwrap();
    for round in 0..20 {
        let disk = Arc::new(Threaded(image.disk()));
        let kept = Arc::downgrade(&disk);
        let device = kernel.add_disk(disk, Default::default()).unwrap();
        let mount = kernel.mount(&device, FsKind::Probe, &Default::default());
        drop(mount.unwrap());
        device.remove().unwrap();
        assert!(kept.upgrade().is_none(), "round {round}: the disk is held");
    }
    kernel.halt();
}
