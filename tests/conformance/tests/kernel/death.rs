//! Linux dies, and the process does not.

use crate::calls::call;
use crate::image::{self, boot, content, host_threads, len_of};
use crate::tried::{BootConfig, Hooks};
use lkl::{Errno, FsKind, MountOptions, OpenMode};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Boots, mounts, lets `kill` do its worst while another thread is blocked inside, and looks at what is left.
fn dies_of(kill: impl FnOnce(&lkl::Kernel) -> Result<u64, Errno>, expected: &str) {
    let threads = host_threads();
    let reason = Arc::new(Mutex::new(String::new()));
    let deaths = Arc::new(AtomicU32::new(0));
    let mut hooks = Hooks::to_stderr();
    hooks.panicked = Some(Box::new({
        let (reason, deaths) = (reason.clone(), deaths.clone());
        move |why| {
            *reason.lock().unwrap() = String::from_utf8_lossy(why).into_owned();
            deaths.fetch_add(1, SeqCst);
        }
    }));
    let kernel = crate::tried::boot_with(hooks, &BootConfig::default()).unwrap();
    let image = image::ext4();
    let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
    let mount = kernel.mount(&device, FsKind::Probe, &Default::default()).unwrap();
    let root = mount.root().unwrap();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| {
            let mut time = [3600i64, 0];
            call(&kernel, 35, &[crate::calls::address(&mut time), 0])
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(kill(&kernel), Err(Errno::ENODEV));
        assert_eq!(blocked.join().unwrap(), Err(Errno::ENODEV), "the blocked call");
    });
    assert!(kernel.is_dead());
    assert_eq!(deaths.load(SeqCst), 1);
    let reason = reason.lock().unwrap().clone();
    assert!(reason.contains(expected), "died of {reason:?}");
    assert_eq!(root.open_at(b"f1", OpenMode::Path).map(drop), Err(Errno::ENODEV));
    assert!(kernel.mount(&device, FsKind::Probe, &Default::default()).is_err());
    assert!(kernel.add_disk(image.disk(), Default::default()).is_err());
    drop((root, mount, device));
    kernel.halt();
    assert_eq!(host_threads(), threads, "threads are left");
}

/// A system call is given an address where nothing is: without an MMU, Linux runs into it.
#[cfg(not(feature = "apr"))]
pub fn fault() {
    dies_of(|kernel| call(kernel, 35, &[0x8000, 0]), "fault");
}

/// A program mounts a damaged volume by Linux's own call, with the option that has Linux panic at damage, and comes upon it.
pub fn panic() {
    dies_of(
        |kernel| {
            let damaged = image::panicking_ext4();
            let device = kernel.add_disk(damaged.disk(), Default::default()).unwrap();
            let path = device.dev_path().unwrap();
            let node = std::ffi::CString::new(path.as_bytes()).unwrap();
            let text = |text: &core::ffi::CStr| text.as_ptr().expose_provenance() as i64;
            const AT_FDCWD: i64 = -100;
            const MS_RDONLY: i64 = 1;
            call(kernel, 258, &[AT_FDCWD, text(c"/damaged"), 0o755]).unwrap();
            let (at, fs, options) = (text(c"/damaged"), text(c"ext4"), text(c"errors=panic"));
            call(kernel, 165, &[text(&node), at, fs, MS_RDONLY, options]).unwrap();
            call(kernel, 257, &[AT_FDCWD, text(c"/damaged/a/b"), 0])
        },
        "panic",
    );
}

/// What a superblock says does not make Linux die: the damage is an error, and everything else is read on.
pub fn none() {
    let kernel = boot();
    let (damaged, sound) = (image::panicking_ext4(), image::ext4());
    for options in ["", "errors=remount-ro"] {
        let options = MountOptions {
            extra: options,
            ..Default::default()
        };
        let mounted = [&damaged, &sound].map(|image| {
            let device = kernel.add_disk(image.disk(), Default::default()).unwrap();
            let mount = kernel.mount(&device, FsKind::Probe, &options).unwrap();
            (mount.root().unwrap(), mount, device)
        });
        let folder = mounted[0].0.open_at(b"a", OpenMode::Path).unwrap();
        let lost = folder.open_at(b"b", OpenMode::Path).map(drop);
        assert_eq!(lost, Err(Errno::EBADMSG), "{options:?}");
        assert!(!kernel.is_dead());
        for (root, ..) in &mounted {
            let file = root.open_at(b"f5", OpenMode::Read).unwrap();
            let mut bytes = vec![0; len_of(5)];
            assert_eq!(file.pread(&mut bytes, 0), Ok(len_of(5)), "{options:?}");
            assert!(bytes == content(5, len_of(5)), "{options:?}");
        }
    }
    kernel.halt();
}
