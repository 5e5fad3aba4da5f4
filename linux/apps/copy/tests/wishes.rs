//! What the options do, and what becomes of what is there already.

#![cfg(target_os = "linux")]

#[path = "machine/mod.rs"]
mod machine;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use machine::Kind;
use machine::Native;
use machine::images::ext4;
use machine::images::names;
use machine::images::out;
use machine::is_root;
use machine::join;
use machine::machine as run_on_machine;
use machine::place;
use machine::run;
use machine::shown::tree;
use machine::tree::ACL;
use machine::well;
use rustix::fs::XattrFlags;

#[test]
fn what_is_there_is_replaced_and_folders_are_merged() {
    let place = place();
    let (image, top) = (ext4(&place, 64), join(&place, "tree"));
    fs::create_dir_all(top.join("folder")).unwrap();
    fs::write(top.join("folder/one"), b"first").unwrap();
    fs::hard_link(top.join("folder/one"), top.join("folder/same")).unwrap();
    std::os::unix::fs::symlink("x", top.join("folder/link")).unwrap();
    let copy = || well("cptofs", arguments!["-i", &image, &top, "/"]);
    copy();
    // Again, over all of it; a link in the place of a file, and a file in that of a link.
    copy();
    fs::write(top.join("folder/one"), b"second").unwrap();
    fs::remove_file(top.join("folder/link")).unwrap();
    fs::write(top.join("folder/link"), b"a file now").unwrap();
    fs::remove_file(top.join("folder/same")).unwrap();
    std::os::unix::fs::symlink("y", top.join("folder/same")).unwrap();
    fs::write(top.join("more"), b"more").unwrap();
    copy();
    let back = out(&place, &image, "back");
    assert_eq!(names(&back.join("tree/folder")), ["link", "one", "same"]);
    assert_eq!(fs::read(back.join("tree/folder/one")).unwrap(), b"second");
    assert_eq!(fs::read(back.join("tree/folder/link")).unwrap(), b"a file now");
    assert_eq!(
        fs::read_link(back.join("tree/folder/same")).unwrap(),
        Path::new("y")
    );
    // The other way round over what is there, too.
    well(
        "cpfromfs",
        arguments!["-i", &image, "/tree/.", &back.join("tree")],
    );
    assert_eq!(names(&back.join("tree/folder")), ["link", "one", "same"]);

    // A folder is not replaced by a file, nor a file by a folder, and the rest is copied.
    fs::remove_dir_all(top.join("folder")).unwrap();
    fs::write(top.join("folder"), b"a file").unwrap();
    fs::remove_file(top.join("more")).unwrap();
    fs::create_dir(top.join("more")).unwrap();
    fs::write(top.join("more/below"), b"x").unwrap();
    fs::write(top.join("new"), b"new").unwrap();
    let (said, code) = run("cptofs", arguments!["-i", &image, &top, "/"]);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("2 entries were not copied"), "{said}");
    let back = out(&place, &image, "again");
    assert_eq!(names(&back.join("tree")), ["folder", "more", "new"]);
    assert!(back.join("tree/folder").is_dir() && back.join("tree/more").is_file());
    Kind::named("ext4").check(&image);
}

#[test]
fn lists_that_a_folder_gives_are_not_those_of_the_copy() {
    let place = place();
    let (image, top, other) = (ext4(&place, 64), join(&place, "tree"), join(&place, "other"));
    fs::create_dir(&top).unwrap();
    rustix::fs::setxattr(&top, "system.posix_acl_default", ACL, XattrFlags::empty()).unwrap();
    well("cptofs", arguments!["-i", &image, &top, "/"]);
    fs::create_dir_all(other.join("folder")).unwrap();
    fs::write(other.join("folder/file"), b"x").unwrap();
    fs::set_permissions(other.join("folder/file"), fs::Permissions::from_mode(0o604)).unwrap();
    well("cptofs", arguments!["-i", &image, &other, "/tree"]);
    let back = out(&place, &image, "back");
    for path in ["tree/other", "tree/other/folder", "tree/other/folder/file"] {
        let mut list = [0u8; 1000];
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            let found = rustix::fs::getxattr(back.join(path), name, &mut list);
            assert_eq!(found, Err(rustix::io::Errno::NODATA), "{path} has {name}");
        }
    }
    let mode = fs::metadata(back.join("tree/other/folder/file")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o604);
}

#[test]
fn options_choose_what_is_copied_and_whose_it_is() {
    let place = place();
    let (image, top) = (ext4(&place, 64), join(&place, "tree"));
    for folder in ["a/target", "b"] {
        fs::create_dir_all(top.join(folder)).unwrap();
    }
    for file in ["a/main.c", "a/main.o", "a/target/x", "b/keep", "b/target"] {
        fs::write(top.join(file), file).unwrap();
    }
    let arguments = arguments![
        "-i",
        &image,
        "--exclude",
        "*.o",
        "--exclude",
        "target",
        "-o",
        "12",
        "-g",
        "34",
        "-s",
        "system_u:object_r:etc_t:s0",
        "-v",
        &top,
        "/new"
    ];
    let said = well("cptofs", arguments);
    assert!(said.contains("b/keep") && !said.contains("main.o"), "{said}");
    let archive = join(&place, "archive.tar");
    let contexts = join(&place, "contexts");
    well(
        "fs2tar",
        arguments!["-s", &contexts, "--exclude", "/lost+found", &image, &archive],
    );
    let listed = run_on_machine("tar", arguments!["--numeric-owner", "-tvf", &archive]);
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(" ./").nth(1))
        .collect();
    assert_eq!(
        names,
        ["", "new/", "new/a/", "new/a/main.c", "new/b/", "new/b/keep"]
    );
    assert_eq!(listed.lines().filter(|line| line.contains(" 12/34 ")).count(), 5);
    let contexts = fs::read_to_string(contexts).unwrap();
    assert!(
        contexts.contains("/new/b/keep system_u:object_r:etc_t:s0\n"),
        "{contexts}"
    );
    assert_eq!(contexts.lines().count(), 5);

    let back = join(&place, "back");
    let said = well(
        "cpfromfs",
        arguments!["-i", &image, "--exclude", "/a", "-v", "/new", &back],
    );
    assert!(said.contains("/new/b/keep"), "{said}");
    assert_eq!(names_below(&back), ["b", "b/keep"]);
}

fn names_below(folder: &Path) -> Vec<String> {
    let found = tree(folder);
    found
        .keys()
        .map(|path| String::from_utf8_lossy(path).into_owned())
        .collect()
}

#[test]
fn one_file_system_ends_at_a_subvolume() {
    if !is_root() {
        return;
    }
    let place = place();
    let image = join(&place, "image");
    Kind::named("btrfs").make(&image, 200);
    {
        let native = Native::mount(&image, "rw");
        run_on_machine(
            "btrfs",
            arguments!["subvolume", "create", &native.path().join("sub")],
        );
        fs::write(native.path().join("sub/inside"), b"x").unwrap();
        fs::write(native.path().join("outside"), b"x").unwrap();
    }
    let (all, one) = (join(&place, "all"), join(&place, "one"));
    well("cpfromfs", arguments!["-i", &image, "/", &all]);
    well(
        "cpfromfs",
        arguments!["-i", &image, "--one-file-system", "/", &one],
    );
    assert_eq!(names_below(&all), ["outside", "sub", "sub/inside"]);
    assert_eq!(names_below(&one), ["outside", "sub"]);
}

#[test]
fn man_pages_come_from_the_command_lines() {
    let place = place();
    for name in ["fs2tar", "cptofs", "cpfromfs"] {
        well(name, arguments!["--man", place.path()]);
        let page = fs::read_to_string(join(&place, &format!("{name}.1"))).unwrap();
        assert!(page.contains("Examples") && page.contains("partition"), "{page}");
    }
}
