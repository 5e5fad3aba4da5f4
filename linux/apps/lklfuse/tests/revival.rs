//! Linux dies of an image that is only read: the mount is offline, then there again, and offline for good after the second time. It
//! can be unmounted whenever one likes.

mod judge;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const EIO: i32 = 5;

fn mounted(image: &Path, place: &Path) -> Child {
    let mut lklfuse = Command::new(judge::LKLFUSE);
    lklfuse.arg("-f").arg(image).arg(place).stdin(Stdio::null());
    let child = lklfuse.stderr(Stdio::piped()).spawn().unwrap();
    let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
    while !mounts().contains(place.to_str().unwrap()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Unmounts. The exit code, and the lines that were said.
fn unmounted(mut child: Child, place: &Path) -> (Option<i32>, Vec<String>) {
    judge::run("umount", &[place.to_str().unwrap()]);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let lines = said.lines().map(str::to_owned).collect();
    (child.wait().unwrap().code(), lines)
}

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Longer than an image is offline after it has killed Linux for the first time.
fn until_it_comes_back() {
    std::thread::sleep(Duration::from_millis(1100));
}

#[test]
fn a_mount_that_linux_died_of_comes_back_once_with_what_was_open() {
    let (image, place) = (
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(image.path(), volumes::makers::fatal::volume()).unwrap();
    let child = mounted(image.path(), place.path());
    let (file, folder) = (place.path().join("file"), File::open(place.path()).unwrap());
    let open = File::open(&file).unwrap();
    assert_eq!(open.metadata().unwrap().len(), 5000);
    assert_eq!(errno(fs::read(&file)), Some(EIO));
    // For a moment, whatever Linux has to be asked for.
    assert_eq!(errno(fs::metadata(place.path().join("other"))), Some(EIO));
    until_it_comes_back();
    assert_eq!(errno(fs::metadata(place.path().join("other"))), Some(2));
    // What was open before is so again, and a folder can be listed.
    assert_eq!(open.metadata().unwrap().len(), 5000);
    let mut listing = rustix::fs::Dir::read_from(folder.as_fd()).unwrap();
    let names: Vec<_> = listing
        .by_ref()
        .map(|entry| entry.unwrap().file_name().to_owned())
        .collect();
    assert!(names.iter().any(|name| name.to_bytes() == b"file"), "{names:?}");
    // By what was open in the life before.
    let mut bytes = [0; 10];
    assert_eq!(
        errno(rustix::io::pread(&open, &mut bytes, 0).map_err(Into::into)),
        Some(EIO)
    );
    until_it_comes_back();
    for name in ["other", "another", "file"] {
        let mut found = errno(fs::read(place.path().join(name)));
        // What the kernel remembers takes it a moment to forget.
        for _ in 0..500 {
            if found == Some(EIO) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            found = errno(fs::read(place.path().join(name)));
        }
        // A name that is known to be missing in the root stays so: crate fuser cannot have it forgotten.
        assert!(
            found == Some(EIO) || (name == "other" && found == Some(2)),
            "{name}: {found:?}"
        );
    }
    assert_eq!(
        errno(rustix::io::pread(&open, &mut bytes, 0).map_err(Into::into)),
        Some(EIO)
    );
    drop((open, folder, listing));
    let (code, said) = unmounted(child, place.path());
    assert_eq!(code, Some(7), "{said:?}");
    assert_eq!(said.len(), 3, "{said:?}");
    let name = image.path().to_str().unwrap();
    for (line, words) in said.iter().zip(["until it is asked for again", "stays offline"]) {
        assert!(
            line.contains(name) && line.contains("fault in Linux") && line.contains(words),
            "{line}"
        );
    }
    assert!(said[2].contains("2 times"), "{said:?}");
}

/// The kernel would take a short answer for the end of the file.
#[test]
fn a_file_that_cannot_be_read_to_its_end_is_no_shorter() {
    const LEN: usize = 8 << 20;
    let (place, stage) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, image) = (stage.path().join("source"), stage.path().join("image"));
    fs::write(&source, vec![0x5a; LEN]).unwrap();
    File::create(&image).unwrap().set_len(32 << 20).unwrap();
    let paths = [&source, &image].map(|path| path.to_str().unwrap());
    // All that it needs besides is in front.
    judge::run("mkfs.vfat", &[paths[1]]);
    judge::run("mcopy", &["-i", paths[1], paths[0], "::/file"]);
    let bytes = fs::read(&image).unwrap();
    let full = |at: &usize| bytes[*at..*at + 512].iter().all(|byte| *byte == 0x5a);
    let sectors: Vec<usize> = (0..bytes.len()).step_by(512).filter(full).collect();
    // Cut off where no request ends.
    let cut = sectors[sectors.len() / 2 + 3];
    File::options()
        .write(true)
        .open(&image)
        .unwrap()
        .set_len(cut as u64)
        .unwrap();
    let child = mounted(&image, place.path());
    let file = File::open(place.path().join("file")).unwrap();
    let mut read = vec![0; LEN];
    let mut done = 0;
    let failed = loop {
        match rustix::io::pread(&file, &mut read[done..], done as u64) {
            Ok(0) => break None,
            Ok(more) => done += more,
            Err(errno) => break Some(errno.raw_os_error()),
        }
    };
    assert_eq!(failed, Some(EIO), "after {done} bytes");
    assert!(read[..done].iter().all(|byte| *byte == 0x5a), "{done}");
    assert_eq!(file.metadata().unwrap().len(), LEN as u64);
    drop(file);
    let (code, _) = unmounted(child, place.path());
    assert_eq!(code, Some(0));
}

#[test]
fn a_mount_is_unmounted_while_it_is_offline() {
    let (image, place) = (
        tempfile::NamedTempFile::new().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(image.path(), volumes::makers::fatal::volume()).unwrap();
    let child = mounted(image.path(), place.path());
    assert_eq!(errno(fs::read(place.path().join("file"))), Some(EIO));
    let (code, said) = unmounted(child, place.path());
    assert_eq!((code, said.len()), (Some(7), 2), "{said:?}");
}
