use super::*;
use crate::menu::Menu;
use crate::native::Folder;
use proptest::prelude::*;
use std::os::unix::fs::symlink;

fn names(path: &str) -> Names {
    parse(&[], path.as_bytes()).unwrap()
}

#[test]
fn paths_are_made_plain() {
    for (here, path, plain) in [
        ("/", "", "/"),
        ("/a/b", "", "/a/b"),
        ("/a/b", "..", "/a"),
        ("/a", "../../..", "/"),
        ("/a", "/x//y/./z/", "/x/y/z"),
        ("/a", "b/../../c", "/c"),
        ("/a", "...", "/a/..."),
    ] {
        let found = written(&parse(&names(here), path.as_bytes()).unwrap());
        assert_eq!(String::from_utf8(found).unwrap(), plain, "{path} in {here}");
    }
    assert_eq!(parse(&[], b"a\0b"), Err(Errno::EINVAL));
}

/// Two volumes, side by side, and a file of this machine's outside of both.
fn two_volumes() -> (tempfile::TempDir, Walker) {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    for folder in ["one/in", "two"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    std::fs::write(root.join("secret"), "outside").unwrap();
    std::fs::write(root.join("one/file"), "one").unwrap();
    std::fs::write(root.join("two/secret"), "two").unwrap();
    for (target, link) in [
        ("../file", "one/in/up"),
        ("/file", "one/in/absolute"),
        ("../../../../file", "one/in/far-up"),
        ("../../secret", "one/in/out"),
        ("/../secret", "one/in/out-absolute"),
        ("../two/secret", "one/neighbour"),
        ("in", "one/folder"),
        ("folder/up", "one/through"),
        ("loop", "one/loop"),
        ("..", "one/in/back"),
        ("nothing", "one/broken"),
    ] {
        symlink(target, root.join(link)).unwrap();
    }
    symlink(root.join("secret"), root.join("one/whole")).unwrap();
    let mut menu = Menu::new();
    for volume in ["one", "two"] {
        menu.add(volume.as_bytes(), Folder::volume(&root.join(volume)).unwrap());
    }
    (place, Walker::new(Arc::new(menu)))
}

fn text(walker: &mut Walker, path: &str) -> Result<String, Errno> {
    let place = walker.find(&names(path))?;
    let mut buffer = [0; 100];
    let len = place.node().open()?.read_at(&mut buffer, 0)?;
    Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
}

#[test]
fn links_lead_into_their_own_volume_only() {
    let (_place, mut walker) = two_volumes();
    for path in [
        "in/up",
        "in/absolute",
        "in/far-up",
        "folder/up",
        "through",
        "in/back/file",
    ] {
        assert_eq!(
            text(&mut walker, &format!("/one/{path}")).as_deref(),
            Ok("one"),
            "{path}"
        );
    }
    for path in ["in/out", "in/out-absolute", "neighbour", "whole", "broken"] {
        assert_eq!(
            text(&mut walker, &format!("/one/{path}")),
            Err(Errno::ENOENT),
            "{path}"
        );
    }
    assert_eq!(text(&mut walker, "/one/loop"), Err(Errno::ELOOP));
    assert_eq!(text(&mut walker, "/one/file/x"), Err(Errno::ENOTDIR));
    assert_eq!(text(&mut walker, "/two/secret").as_deref(), Ok("two"));
}

#[test]
fn trees_that_links_make_end() {
    let (_place, mut walker) = two_volumes();
    let mut path = "/one".to_string();
    let mut steps = 0;
    while walker.find(&names(&path)).is_ok() {
        path.push_str("/in/back");
        steps += 1;
        assert!(steps < 100);
    }
    assert_eq!(walker.find(&names(&path)).err(), Some(Errno::ELOOP));
}

proptest! {
    #[test]
    fn a_path_of_a_client_is_plain(path in proptest::collection::vec(
        prop_oneof![Just(b'/'), Just(b'.'), Just(b'a'), any::<u8>()], 0..60,
    )) {
        if let Ok(names) = parse(&[], &path) {
            for name in names {
                prop_assert!(!name.is_empty() && name != b"." && name != b"..");
                prop_assert!(!name.contains(&b'/') && !name.contains(&0));
            }
        }
    }

    #[test]
    fn a_walker_finds_what_a_new_one_finds(paths in proptest::collection::vec(
        prop_oneof![
            Just("/one/in/up"), Just("/one/in"), Just("/one/folder/up"), Just("/one/folder"), Just("/one"),
            Just("/two/secret"), Just("/"), Just("/one/in/back/in/up"), Just("/one/file"), Just("/three/x"),
        ], 1..12,
    )) {
        let (_place, mut walker) = two_volumes();
        let top = Arc::clone(&walker.top.0.node);
        for path in paths {
            let seen = |place: Result<Place, Errno>| place.and_then(|place| place.node().stat());
            let fresh = Walker::new(Arc::clone(&top)).find(&names(path));
            prop_assert_eq!(seen(walker.find(&names(path))), seen(fresh), "{}", path);
        }
    }
}
