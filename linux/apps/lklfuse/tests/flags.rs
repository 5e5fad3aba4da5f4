//! Flags of files, by lsattr(1) and chattr(1): they say and do the same as on this machine's own mount of an equal image.

mod judge;

use std::path::Path;
use std::process::Command;

use judge::{BTRFS, EXT4, Image, Kind, Mount, Native, XFS};

/// What a script prints in a folder of a mount.
fn printed(root: &Path, script: &str) -> String {
    let folder = root.join("folder");
    std::fs::create_dir(&folder).unwrap();
    let mut shell = Command::new("bash");
    let output = shell.args(["-c", script]).current_dir(&folder).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// Runs a script on both mounts; what both have printed.
fn same(kind: Kind, options: &str, script: &str) -> String {
    let ours = Image::new(kind);
    let native = ours.copy();
    let mount = Mount::new(&ours.path(), options);
    let judge = Native::new(&native, "");
    let [found, wanted] = [mount.path(), judge.path()].map(|root| printed(root, script));
    assert_eq!(found, wanted, "{}", kind.name);
    mount.end();
    ours.check();
    // They are in the image.
    let list = ["-R", "-a"];
    let again = Native::new(&ours, "ro");
    let [found, wanted] = [again.path(), judge.path()].map(|root| {
        let mut lsattr = Command::new("lsattr");
        let output = lsattr
            .args(list)
            .arg(".")
            .current_dir(root.join("folder"))
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    });
    assert_eq!(found, wanted, "{}", kind.name);
    found
}

#[test]
fn each_flag_is_taken_or_refused_as_natively() {
    const SCRIPT: &str = "
        exec 2>&1
        touch file; mkdir inner; ln -s file link; mkfifo fifo
        for flag in a A c C d D e F i P s S t T u x m; do
            for name in file inner; do
                before=$(stat -c %Z.%z $name); sleep 0.01
                chattr +$flag $name; echo \"+$flag $name $?\"
                lsattr -d $name
                [ \"$before\" = \"$(stat -c %Z.%z $name)\" ] && echo same time || echo new time
                case $flag in e|F|x|m|c|C) ;; *) chattr -$flag $name; echo \"-$flag $?\"; lsattr -d $name;; esac
            done
        done
        chattr -p 42 file; echo $?; lsattr -p file
        lsattr link fifo; chattr +d link fifo; echo $?
        touch mine; chown 1000:1000 mine
        as='setpriv --reuid 1000 --regid 1000 --clear-groups'
        $as chattr +d mine; echo $?; $as chattr +i mine; echo $?; $as chattr +A file; echo $?
        lsattr mine file; chattr +d inner";
    for kind in [EXT4, XFS, BTRFS] {
        let listed = same(kind, "rw,allow_other", SCRIPT);
        assert!(listed.contains('d'), "{}: {listed}", kind.name);
    }
}

#[test]
fn what_may_only_grow_grows_and_does_nothing_else() {
    const SCRIPT: &str = "
        exec 2>&1
        echo one > file; chattr +a file
        echo two >> file; echo $?; echo three >> file; echo $?; cat file
        exec 3>>file; echo four >&3; head -c 300000 /dev/zero | tr '\\0' x >&3; echo five >> file; echo six >&3; exec 3>&-
        md5sum file; stat -c %s file
        (echo no > file); echo $?
        dd if=/dev/zero of=file conv=notrunc count=1 status=none; echo $?
        truncate -s 2 file; echo $?; rm -f file; echo $?; mv file other; echo $?; ln file other; echo $?; chmod 600 file; echo $?
        mkdir inner; touch inner/a; chattr +a inner; touch inner/b; echo $?; rm -f inner/a; echo $?; ls inner
        chattr -a file; (echo yes > file); cat file; rm -rf file; ls; lsattr -d inner";
    for kind in [EXT4, XFS, BTRFS] {
        for options in ["rw", "rw,writeback"] {
            let listed = same(kind, options, SCRIPT);
            assert!(listed.contains('a'), "{}: {listed}", kind.name);
        }
    }
}

#[test]
fn what_may_not_change_does_not() {
    const SCRIPT: &str = "
        exec 2>&1
        echo one > file; mkdir inner; touch inner/a; exec 3>>file
        chattr +i file inner
        (echo two >> file); echo $?; (echo two > file); echo $?; (echo three >&3); echo $?; exec 3>&-
        rm -f file; echo $?; mv file other; echo $?; ln file other; echo $?
        chmod 600 file; echo $?; chown 1:1 file; echo $?; touch -d 2001-01-01 file; echo $?; truncate -s 0 file; echo $?
        setfattr -n user.a -v b file; echo $?; touch inner/b; echo $?; rm -f inner/a; echo $?; touch inner/a; echo $?
        cat file; ls inner; lsattr -d file inner";
    for kind in [EXT4, XFS, BTRFS] {
        let listed = same(kind, "rw", SCRIPT);
        assert!(listed.contains('i'), "{}: {listed}", kind.name);
    }
}

#[test]
fn a_file_system_without_flags_says_so() {
    let place = tempfile::tempdir().unwrap();
    let image = place.path().join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    judge::run("mkfs.fat", &[image.to_str().unwrap()]);
    let mount = Mount::new(&image, "rw");
    let file = mount.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let output = Command::new("lsattr").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("Inappropriate ioctl") || said.contains("not supported"),
        "{said}"
    );
    mount.end();
}
