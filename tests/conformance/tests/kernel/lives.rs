//! A volume outlives the Linux that it was mounted in: what is open goes on in the next one.

use crate::disks::{Handle, Manner, Moody};
use crate::image::{self, FILES, Image, boot, content, len_of};
use lkl::{BlockDevice, Disk, DiskOptions, Errno as LinuxErrno, FsKind, Kernel, Mount, MountOptions};
use lkl_vfs::{LklVolume, Node, Origin};
use lklfs_fsd::{Errno, Metadata, Volume as _};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Instant;

// LKL_SELFTEST_PANIC of host_ops.h.
const PANIC: u64 = 5;

/// The Linux of this process, and the next.
struct Linux {
    now: Mutex<Option<Kernel>>,
    boots: AtomicU32,
    /// The accounts of whose work one died.
    condemned: Mutex<Vec<Option<NonZeroU64>>>,
}

impl Linux {
    fn new() -> Arc<Linux> {
        Arc::new(Linux {
            now: Mutex::new(None),
            boots: AtomicU32::new(0),
            condemned: Mutex::default(),
        })
    }

    /// The one that lives; booted if need be.
    fn get(&self) -> Kernel {
        let mut now = self.now.lock().unwrap();
        match &*now {
            Some(kernel) if !kernel.is_dead() => kernel.clone(),
            before => {
                if let Some(dead) = before {
                    self.condemned.lock().unwrap().push(dead.death_account());
                    dead.clone().abandon().unwrap().wait();
                }
                self.boots.fetch_add(1, SeqCst);
                now.insert(boot()).clone()
            }
        }
    }

    fn kill(&self, account: Option<NonZeroU64>) {
        let kernel = self.now.lock().unwrap().clone().unwrap();
        let kernel = account.map_or(kernel.clone(), |account| kernel.on_account(account));
        assert_eq!(kernel.self_test_of(PANIC), Err(LinuxErrno::ENODEV));
        assert!(kernel.is_dead());
    }

    fn end(&self) {
        if let Some(kernel) = self.now.lock().unwrap().take() {
            kernel.halt();
        }
    }
}

/// How a volume is mounted, each time.
struct Again {
    linux: Arc<Linux>,
    disk: Arc<dyn Disk>,
    account: NonZeroU64,
    options: &'static str,
    alone: Mutex<()>,
}

impl Origin for Again {
    fn alone(&self, act: &mut dyn FnMut()) {
        let _alone = self.alone.lock().unwrap();
        act();
    }

    fn mount_again(&self, dead: &Kernel) -> Result<(Mount, BlockDevice), LinuxErrno> {
        assert!(dead.is_dead());
        let kernel = self.linux.get().on_account(self.account);
        if self.linux.condemned.lock().unwrap().contains(&Some(self.account)) {
            return Err(LinuxErrno::ENODEV);
        }
        let device = kernel.add_disk(self.disk.clone(), DiskOptions::default())?;
        let options = MountOptions {
            extra: self.options,
            recovery: true,
        };
        let mount = kernel.mount(&device, FsKind::Probe, &options);
        Ok((mount.map_err(|error| error.errno)?, device))
    }
}

fn account(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).unwrap()
}

fn volume(linux: &Arc<Linux>, disk: Arc<dyn Disk>, number: u64, options: &'static str) -> LklVolume {
    let kernel = linux.get().on_account(account(number));
    let device = kernel.add_disk(disk.clone(), DiskOptions::default()).unwrap();
    let how = MountOptions {
        extra: options,
        recovery: true,
    };
    let mut volume = LklVolume::mount(&kernel, device, FsKind::Probe, &how).unwrap();
    volume.lives_on(Box::new(Again {
        linux: linux.clone(),
        disk,
        account: account(number),
        options,
        alone: Mutex::default(),
    }));
    volume
}

fn open(volume: &LklVolume, path: &str) -> Node {
    let mut node = volume.root().unwrap();
    for name in path.split('/') {
        node = volume.lookup(&node, name.as_bytes()).unwrap();
    }
    node
}

/// All names from a cookie on, at most so many, and the cookie of the last one.
fn list(volume: &LklVolume, folder: &Node, from: u64, most: usize) -> (Vec<String>, u64) {
    let (mut names, mut at) = (Vec::new(), from);
    let mut sink = |entry: lklfs_fsd::DirEntry<'_>| {
        at = entry.cookie;
        names.push(String::from_utf8_lossy(entry.name).into_owned());
        match names.len() < most {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    volume.read_dir(folder, from, &mut sink).unwrap();
    (names, at)
}

fn whole(volume: &LklVolume, node: &Node, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len + 1];
    assert_eq!(volume.read(node, 0, &mut bytes), Ok(len));
    bytes.truncate(len);
    bytes
}

/// What is open on a volume, and what was seen of it.
struct Opened {
    files: Vec<(Node, Metadata)>,
    many: Node,
    some: (Vec<String>, u64),
    all: Vec<String>,
}

fn opened(volume: &LklVolume, files: &[usize]) -> Opened {
    let files = files.iter().map(|number| {
        let node = open(volume, &format!("f{number}"));
        let metadata = volume.metadata(&node).unwrap();
        (node, metadata)
    });
    let files = files.collect();
    let many = open(volume, "many");
    Opened {
        files,
        some: list(volume, &many, 0, 50),
        all: list(volume, &many, 0, usize::MAX).0,
        many,
    }
}

/// All that was open is what it was, and listings go on where they were.
fn goes_on(volume: &LklVolume, opened: &Opened, files: &[usize]) {
    for ((node, metadata), number) in opened.files.iter().zip(files) {
        assert_eq!(volume.metadata(node).unwrap(), *metadata);
        assert!(
            whole(volume, node, len_of(*number)) == content(*number, len_of(*number)),
            "f{number}"
        );
    }
    let (rest, _) = list(volume, &opened.many, opened.some.1, usize::MAX);
    let both: Vec<_> = opened.some.0.iter().chain(&rest).cloned().collect();
    assert_eq!(both, opened.all);
    let root = volume.root().unwrap();
    assert_eq!(
        volume.lookup(&root, b"nothing").map(drop),
        Err(Errno::ENOENT),
        "an error that is none of Linux's death"
    );
}

fn on(image: &Image, files: &[usize]) {
    let linux = Linux::new();
    let volume = volume(&linux, image.disk(), 1, "");
    let before = opened(&volume, files);
    let mut deaths = 0;
    for _ in 0..3 {
        linux.kill(None);
        deaths += 1;
        let start = Instant::now();
        goes_on(&volume, &before, files);
        println!(
            "it goes on {} ms after death {deaths}",
            start.elapsed().as_millis()
        );
        assert_eq!((volume.deaths(), linux.boots.load(SeqCst)), (deaths, deaths + 1));
        // What is opened in this life goes on in the next, too.
        let late = open(&volume, "f1");
        let seen = volume.metadata(&late).unwrap();
        assert!(before.files.iter().any(|(_, metadata)| *metadata == seen));
        linux.kill(None);
        deaths += 1;
        assert!(whole(&volume, &late, len_of(1)) == content(1, len_of(1)));
        assert_eq!(volume.metadata(&late).unwrap(), seen);
    }
    drop((before, volume));
    linux.end();
}

pub fn ext4() {
    let files: Vec<usize> = (0..FILES).collect();
    on(&image::ext4(), &files);
}

pub fn btrfs() {
    let files: Vec<usize> = (0..FILES).collect();
    on(&image::btrfs(), &files);
}

pub fn xfs() {
    on(&image::xfs(), &[1]);
}

/// Four volumes are read by eight threads while Linux dies again and again at the work of none of them: no read fails, and each byte is
/// right.
pub fn under_load() {
    let linux = Linux::new();
    let images = [image::ext4(), image::ext4(), image::btrfs(), image::ext4()];
    let mut number = 0;
    let volumes = images.each_ref().map(|image| {
        number += 1;
        volume(&linux, image.disk(), number, "")
    });
    let reads = AtomicU32::new(0);
    const DEATHS: u32 = 12;
    let over = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let (volume, reads, over) = (&volumes[thread % 4], &reads, &over);
            scope.spawn(move || {
                let nodes: Vec<_> = (0..FILES)
                    .map(|number| open(volume, &format!("f{number}")))
                    .collect();
                let mut number = thread;
                while over.load(SeqCst) == 0 {
                    number = (number + 7) % FILES;
                    let bytes = whole(volume, &nodes[number], len_of(number));
                    assert!(bytes == content(number, len_of(number)));
                    let fresh = open(volume, &format!("f{number}"));
                    assert_eq!(volume.metadata(&fresh).unwrap().size, len_of(number) as u64);
                    reads.fetch_add(1, SeqCst);
                }
            });
        }
        for _ in 0..DEATHS {
            let before = reads.load(SeqCst);
            while reads.load(SeqCst) < before + 200 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            linux.kill(None);
            // The threads have it start again.
            let dead = linux.boots.load(SeqCst);
            while linux.boots.load(SeqCst) == dead {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        over.store(1, SeqCst);
    });
    println!("{} reads, {DEATHS} deaths, none lost", reads.load(SeqCst));
    drop(volumes);
    linux.end();
}

/// Linux dies in a call for one of two volumes: that one ends, the other lives on.
pub fn one_pays() {
    let linux = Linux::new();
    let (first, second) = (image::ext4(), image::ext4());
    let guilty = volume(&linux, first.disk(), 7, "");
    let other = volume(&linux, second.disk(), 8, "");
    let (a, b) = (open(&guilty, "f9"), open(&other, "f9"));
    linux.kill(Some(account(7)));
    assert!(whole(&other, &b, len_of(9)) == content(9, len_of(9)));
    assert_eq!(*linux.condemned.lock().unwrap(), [Some(account(7))]);
    assert_eq!(guilty.read(&a, 0, &mut [0; 9]), Err(Errno::ENODEV));
    assert_eq!(guilty.root().map(drop), Err(Errno::ENODEV));
    assert_eq!(guilty.metadata(&a).map(drop), Err(Errno::ENODEV));
    assert!(whole(&other, &b, len_of(9)) == content(9, len_of(9)));
    drop((a, b, guilty, other));
    linux.end();
}

/// A thread of Linux's own dies, of a fault, which not each host can catch: it is on the account of the disk that had an answer last.
#[cfg(not(feature = "apr"))]
pub fn a_thread_of_linuxs_pays() {
    let linux = Linux::new();
    let (first, second) = (image::ext4(), image::ext4());
    let idle = volume(&linux, first.disk(), 3, "");
    let busy = volume(&linux, second.disk(), 4, "");
    let node = open(&busy, "f30");
    whole(&busy, &node, len_of(30));
    let kernel = linux.get();
    // LKL_SELFTEST_FAULT: in a thread of Linux's.
    let _ = kernel.self_test_of(7);
    let start = Instant::now();
    while !kernel.is_dead() {
        assert!(start.elapsed().as_secs() < 20, "it lives");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(kernel.death_account(), Some(account(4)));
    drop((kernel, node, idle, busy));
    linux.end();
}

/// Linux dies while a request of a volume waits for its disk, which hangs: the request is done again in the next Linux, and the
/// other volume does not wait for that.
pub fn while_a_disk_hangs() {
    let linux = Linux::new();
    let (slow, sound) = (image::ext4(), image::ext4());
    let moody = Moody::new(&slow);
    let hangs = volume(&linux, Arc::new(Handle(Arc::clone(&moody))), 1, "");
    let other = volume(&linux, sound.disk(), 2, "");
    let (a, b) = (open(&hangs, "f39"), open(&other, "f9"));
    moody.be(Manner::Hanging);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| whole(&hangs, &a, len_of(39)));
        moody.wait_for_request();
        // Not by `get`, which waits for the disk.
        let mut now = linux.now.lock().unwrap();
        let dead = now.take().unwrap();
        assert_eq!(dead.self_test_of(PANIC), Err(LinuxErrno::ENODEV));
        let remains = dead.abandon().unwrap();
        drop(now);
        assert!(!remains.is_over());
        assert!(whole(&other, &b, len_of(9)) == content(9, len_of(9)));
        moody.release();
        assert!(reading.join().unwrap() == content(39, len_of(39)));
        remains.wait();
    });
    drop((a, b, hangs, other));
    linux.end();
}
