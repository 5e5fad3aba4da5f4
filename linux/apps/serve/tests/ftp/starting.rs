//! `lklftpd --write` where it cannot start: wrong options, images that cannot be written, images in use.

use std::fs;
use std::os::unix::fs::symlink;

use crate::stage::{Stage, lossy, run, same, tree};
use crate::writing;

#[test]
fn what_cannot_be_written_is_one_line_and_an_exit_code() {
    let stage = Stage::new();
    run(
        "qemu-img",
        &[
            "convert",
            "-O",
            "qcow2",
            &stage.name("disk.img"),
            &stage.name("disk.qcow2"),
        ],
    );
    run(
        "qemu-img",
        &[
            "convert",
            "-O",
            "vhdx",
            &stage.name("disk.img"),
            &stage.name("disk.vhdx"),
        ],
    );
    run(
        "mksquashfs",
        &[
            &stage.name("tree/deep"),
            &stage.name("squash.img"),
            "-quiet",
            "-no-progress",
        ],
    );
    fs::copy(stage.path("disk.img"), stage.path("used.img")).unwrap();
    symlink("disk.img", stage.path("again.img")).unwrap();
    fs::write(stage.path("word"), "secret\n").unwrap();
    let user = format!("joe:{}", stage.name("word"));
    let server = writing::serve(&stage, "used.img");
    let before = tree(&stage.native("disk.img").0, false);
    let anonymous = ["--write", "--anonymous-write"];
    for (arguments, code) in [
        (&["--write", "disk.img"][..], 2),
        (&["--write", "--anonymous", "disk.img"], 2),
        (&["--anonymous-write", "disk.img"], 2),
        (&["--write", "--user-env", "joe:LKL_NOT_SET", "disk.img"], 2),
        (&["--write", "--no-recovery", "--user", &user, "disk.img"], 2),
        (&[&anonymous[..], &["disk.qcow2"]].concat(), 3),
        (&[&anonymous[..], &["disk.vhdx"]].concat(), 3),
        (&[&anonymous[..], &["squash.img"]].concat(), 4),
        (&[&anonymous[..], &["used.img"]].concat(), 13),
        (&["used.img"], 13),
        (&[&anonymous[..], &["disk.img", "disk.img"]].concat(), 13),
        (&[&anonymous[..], &["disk.img", "again.img"]].concat(), 13),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_lklftpd"))
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(stage.place.path())
            .output()
            .unwrap();
        let said = lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            said.starts_with("lklftpd: ") && said.trim_end().lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
    server.end();
    // It was mounted, for the first of the two, and nothing that is in it has changed.
    stage.check("ext4", "disk.img");
    same(&before, &tree(&stage.native("disk.img").0, false));
}
