//! The same random system calls on a mount of lklfuse's and on this machine's own mount of an equal image: the same answers, the same
//! errors, and the same tree in the end. `LKLFUSE_CALLS` asks for more of them, `LKLFUSE_SEED` for others.

mod judge;

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use judge::calls::{Calls, freeze_times};
use judge::tree::{assert_equal, tree};
use judge::{BTRFS, EXT4, Image, Kind, Mount, Native, XFS};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Who makes the calls.
#[derive(Clone, Copy, Debug)]
enum Caller {
    Root,
    User,
}

/// Makes the calls of one thread, in a folder of its own that is the caller's.
fn make(root: &Path, thread: u64, caller: Caller) -> Vec<String> {
    let folder = root.join(format!("t{thread}"));
    fs::create_dir(&folder).unwrap();
    let (uid, gid) = (rustix::fs::Uid::from_raw(1000), rustix::fs::Gid::from_raw(1000));
    std::os::unix::fs::chown(&folder, Some(1000), Some(1000)).unwrap();
    let calls = Calls::new(number("LKLFUSE_SEED", 1) * 100 + thread, &folder);
    if matches!(caller, Caller::User) {
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(gid, gid, gid).unwrap();
        set_thread_res_uid(uid, uid, uid).unwrap();
    }
    let count = usize::try_from(number("LKLFUSE_CALLS", 3000)).unwrap();
    calls.make(count)
}

/// The answers of all threads: at once, or one thread after the other.
fn answers(root: &Path, threads: u64, at_once: bool) -> Vec<Vec<String>> {
    let turn = Mutex::new(());
    let root = &root;
    std::thread::scope(|scope| {
        let work: Vec<_> = (0..threads)
            .map(|thread| {
                let turn = &turn;
                scope.spawn(move || {
                    let _turn = (!at_once).then(|| turn.lock().unwrap());
                    let caller = if thread % 2 == 0 {
                        Caller::Root
                    } else {
                        Caller::User
                    };
                    make(root, thread, caller)
                })
            })
            .collect();
        work.into_iter().map(|work| work.join().unwrap()).collect()
    })
}

fn compare(kind: Kind, threads: u64) {
    let ours = Image::new(kind);
    let native = ours.copy();
    let mount = Mount::new(&ours.path(), "rw,allow_other,suid,dev");
    let found = answers(mount.path(), threads, true);
    let judge = Native::new(&native, "");
    let wanted = answers(judge.path(), threads, false);
    for (thread, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        let differs = found
            .iter()
            .zip(wanted)
            .position(|(found, wanted)| found != wanted);
        if let Some(at) = differs {
            let before = &found[at.saturating_sub(12)..at];
            panic!(
                "{} thread {thread}, call {at}:\n  lklfuse {}\n  native  {}\nbefore that:\n  {}",
                kind.name,
                found[at],
                wanted[at],
                before.join("\n  ")
            );
        }
        let done = found.iter().filter(|answer| !answer.ends_with(')')).count();
        assert!(done * 4 > found.len(), "most calls failed");
    }
    freeze_times(mount.path());
    freeze_times(judge.path());
    let seen = tree(mount.path());
    let wanted = tree(judge.path());
    assert_equal(&seen, &wanted, kind.name);
    mount.end();
    drop(judge);
    ours.check();
    let again = Native::new(&ours, "ro");
    assert_equal(&tree(again.path()), &wanted, kind.name);
}

#[test]
fn ext4_answers_as_natively() {
    compare(EXT4, 2);
}

#[test]
fn xfs_answers_as_natively() {
    compare(XFS, 2);
}

#[test]
fn btrfs_answers_as_natively() {
    compare(BTRFS, 2);
}

#[test]
fn eight_threads_at_once_get_the_answers_that_they_get_alone() {
    compare(EXT4, 8);
}

/// The stretches of a file that are data.
fn data(file: &fs::File) -> Vec<(u64, u64)> {
    let mut stretches = Vec::new();
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        at = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start)).unwrap();
        stretches.push((start, at));
    }
    stretches
}

#[test]
fn holes_are_where_they_are_natively() {
    for kind in [EXT4, XFS, BTRFS] {
        let ours = Image::new(kind);
        let native = ours.copy();
        let mount = Mount::new(&ours.path(), "rw");
        let judge = Native::new(&native, "");
        let [found, wanted] = [mount.path(), judge.path()].map(|root| {
            let mut options = fs::File::options();
            options.read(true).write(true).create_new(true);
            let file = options.open(root.join("file")).unwrap();
            file.set_len(40 << 20).unwrap();
            for (at, len) in [(1 << 20, 100_000), (5 << 20, 1 << 20), (30 << 20, 5)] {
                std::os::unix::fs::FileExt::write_all_at(&file, &vec![1; len], at).unwrap();
            }
            let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&file, hole, (5 << 20) + 65536, 65536).unwrap();
            file.sync_all().unwrap();
            data(&file)
        });
        assert_eq!(found, wanted, "{}", kind.name);
        assert_eq!(found.len(), 4, "{}", kind.name);
        mount.end();
    }
}

#[test]
fn access_lists_and_masks_do_as_natively() {
    const SCRIPT: &str = "
        umask 027
        mkdir plain lists; touch plain/file; mkdir plain/folder
        setfacl -d -m u:1000:rwx,g:1001:r-x,o::--- lists
        touch lists/file; mkdir lists/folder; touch lists/folder/deep
        setfacl -m u:1001:rw plain/file; chmod 640 plain/file
        chown 1001:1001 lists/file; chmod g+s lists/folder; touch lists/folder/group
        for who in 1000 1001 1002; do
            for name in plain/file lists/file lists/folder/deep; do
                setpriv --reuid $who --regid $who --clear-groups cat $name 2>&1
                setpriv --reuid $who --regid $who --clear-groups sh -c \"echo x >> $name\" 2>&1 | sed 's/.*: //'
            done
            setpriv --reuid $who --regid $who --clear-groups mkdir lists/by$who 2>&1
        done
        ls -lnR --time-style=+ . | grep -v total | awk '{ $5 = 0; print }'
        getfacl -nR . 2>&1";
    let ours = Image::new(EXT4);
    let native = ours.copy();
    let mount = Mount::new(&ours.path(), "rw,allow_other");
    let judge = Native::new(&native, "acl");
    let [found, wanted] = [mount.path(), judge.path()].map(|root| {
        let folder = root.join("all");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let output = std::process::Command::new("sh")
            .args(["-c", SCRIPT])
            .current_dir(&folder)
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    });
    assert!(
        wanted.contains("default:user:1000:rwx") && wanted.contains("denied"),
        "{wanted}"
    );
    assert_eq!(found, wanted);
    mount.end();
    ours.check();
}
