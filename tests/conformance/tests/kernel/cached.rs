//! What can be told of a volume while its disk hangs: the names that Linux has in memory.

use crate::disks::{Handle, Manner, Moody};
use crate::image::{self, Image, boot};
use lkl::FsKind;
use lkl_vfs::{LklVolume, Node};
use lklfs_fsd::{Errno, FileKind, Metadata, Volume};
use std::sync::Arc;

fn at_once(volume: &LklVolume, directory: &Node, name: &str) -> Result<Metadata, Errno> {
    volume.metadata(&volume.lookup_cached(directory, name.as_bytes())?)
}

fn waiting(volume: &LklVolume, directory: &Node, name: &str) -> Result<Metadata, Errno> {
    volume.metadata(&volume.lookup(directory, name.as_bytes())?)
}

fn hanging(image: &Image) {
    let kernel = boot();
    let moody = Moody::new(image);
    let device = kernel
        .add_disk(Arc::new(Handle(moody.clone())), Default::default())
        .unwrap();
    let volume = LklVolume::mount(&kernel, device, FsKind::Probe, &Default::default())
        .unwrap_or_else(|error| panic!("{error}"));
    let root = volume.root().unwrap();
    let names = ["f1", "fifo", "many", "none"];

    // The first to ask must wait; a listing that knows the name makes no difference.
    let mut entries = 0;
    let listed = volume.read_dir(&root, 0, &mut |_| {
        entries += 1;
        std::ops::ControlFlow::Continue(())
    });
    assert!(listed.is_ok() && entries > 3);
    for name in names {
        assert_eq!(at_once(&volume, &root, name), Err(Errno::EAGAIN), "{name}");
    }
    let told = names.map(|name| waiting(&volume, &root, name));
    let kinds = told.map(|told| told.map(|metadata| metadata.kind));
    assert_eq!(
        kinds,
        [
            Ok(FileKind::File),
            Ok(FileKind::Fifo),
            Ok(FileKind::Directory),
            Err(Errno::ENOENT)
        ]
    );
    // A link never is told at once.
    assert_eq!(
        waiting(&volume, &root, "link").map(|metadata| metadata.kind),
        Ok(FileKind::Symlink)
    );
    let many = volume.lookup(&root, b"many").unwrap();
    let cold = "entry-0250";

    moody.be(Manner::Hanging);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| waiting(&volume, &many, cold));
        moody.wait_for_request();
        let root = volume.root().unwrap();
        for (name, told) in names.iter().zip(told) {
            assert_eq!(at_once(&volume, &root, name), told, "{name}");
        }
        for (directory, name) in [
            (&root, "link"),
            (&root, "f2"),
            (&many, "entry-0001"),
            (&many, cold),
        ] {
            assert_eq!(at_once(&volume, directory, name), Err(Errno::EAGAIN), "{name}");
        }
        assert_eq!(
            at_once(&volume, &root, &"x".repeat(256)),
            Err(Errno::ENAMETOOLONG)
        );
        assert!(!reader.is_finished(), "nothing hung");
        moody.release();
        let told = reader.join().unwrap();
        assert!(told.is_ok());
        assert_eq!(at_once(&volume, &many, cold), told);
    });
    drop((root, many, volume));
    kernel.halt();
}

pub fn ext4() {
    hanging(&image::ext4());
}

pub fn btrfs() {
    hanging(&image::btrfs());
}

pub fn xfs() {
    hanging(&image::xfs());
}
