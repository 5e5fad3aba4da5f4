//! Links and special files: which reparse point they are, and where Windows gets by it.

mod support;

use lklfs_fsd::{FileKind, memory::MemoryVolume};
use lklfs_nt::{FileAttributes, FileInformationClass as Class, ReparseTag, reparse};
use support::{Session, open, u32_at};

/// A tree with a link `/d/l` to `target`.
fn tree(target: &[u8]) -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/d")
        .directory("/d/sub")
        .directory("/d/sub/deep")
        .file("/d/file", b"x")
        .directory("/top")
        .file("/top/a:b", b"x")
        .symlink("/top/jump", "/d/sub/deep")
        .symlink("/loop", "loop")
        .symlink("/d/l", target);
    Session::new(volume)
}

/// The link's Windows target and whether it is a directory; `None` for a link of WSL's kind.
fn view(target: impl AsRef<[u8]>) -> Option<(String, bool)> {
    let target = target.as_ref();
    let mut session = tree(target);
    let link = session.open(&open("\\d\\l").link()).ccb.link.expect("a link");
    if link.tag == ReparseTag::IO_REPARSE_TAG_LX_SYMLINK {
        assert_eq!(link.data, [b"\x02\0\0\0", target].concat());
        return None;
    }
    assert_eq!(link.tag, ReparseTag::IO_REPARSE_TAG_SYMLINK);
    let (text, flags) = reparse::parse_symlink(&link.data).unwrap();
    assert_eq!(flags, reparse::SYMLINK_FLAG_RELATIVE);
    Some((String::from_utf16(&text).unwrap(), link.directory))
}

#[test]
fn targets_on_the_volume_are_windows_links() {
    for (target, windows, directory) in [
        ("file", "file", false),
        ("sub", "sub", true),
        ("sub/deep", "sub\\deep", true),
        ("./sub//deep/", "sub\\deep", true),
        ("../d/file", "..\\d\\file", false),
        ("..", "..", true),
        (".", ".", true),
        ("/d/sub", "\\d\\sub", true),
        ("/", "\\", true),
        ("/top/a:b", "\\top\\a\u{F03A}b", false),
        ("../top/jump", "..\\top\\jump", true),
        // Above the root, an absolute target stays there; Windows would not.
        ("/../d/file", "\\d\\file", false),
        // After a link, `..` is the parent of where the link leads.
        ("../top/jump/..", "\\d\\sub", true),
        ("../top/jump/../../file", "\\d\\file", false),
    ] {
        assert_eq!(view(target), Some((windows.into(), directory)), "{target}");
    }
}

#[test]
fn targets_that_leave_the_volume_or_lead_nowhere_are_wsl_links() {
    for target in [
        &b"nowhere"[..],
        b"../../outside",
        b"../..",
        b"/missing/x",
        b"file/below",
        b"/loop",
        b"\xff\xfe",
        b"/d/l",
    ] {
        assert_eq!(view(target), None, "{}", target.escape_ascii());
    }
}

#[test]
fn a_target_too_long_for_windows_keeps_its_text() {
    let long = format!("{}file", "./".repeat(1000));
    assert_eq!(view(&long), Some(("file".into(), false)));
    // Dangling, and longer than a Windows link can say.
    assert_eq!(view("x/".repeat(2000)), None);
}

#[test]
fn special_files_have_the_tags_of_wsl() {
    let mut volume = MemoryVolume::new();
    volume
        .special("/fifo", FileKind::Fifo, (0, 0))
        .special("/socket", FileKind::Socket, (0, 0))
        .special("/chr", FileKind::CharacterDevice, (1, 3))
        .special("/blk", FileKind::BlockDevice, (8, 1));
    let mut session = Session::new(volume);
    for (name, tag) in [
        ("\\fifo", ReparseTag::IO_REPARSE_TAG_LX_FIFO),
        ("\\socket", ReparseTag::IO_REPARSE_TAG_AF_UNIX),
        ("\\chr", ReparseTag::IO_REPARSE_TAG_LX_CHR),
        ("\\blk", ReparseTag::IO_REPARSE_TAG_LX_BLK),
    ] {
        assert_eq!(session.refused(&open(name)), lklfs_nt::NtStatus::REPARSE);
        let handle = session.open(&open(name).link());
        let (_, bytes) = session.query(&handle, Class::FileAttributeTagInformation, 8);
        assert_eq!(u32_at(&bytes, 0), FileAttributes::REPARSE_POINT.0);
        assert_eq!(u32_at(&bytes, 4), tag.0);
    }
    let chr = session.open(&open("\\chr").link());
    let (_, bytes) = session.query(&chr, Class::FileStatLxInformation, 96);
    assert_eq!((u32_at(&bytes, 72), u32_at(&bytes, 84)), (0xF, 0o020_644));
    assert_eq!((u32_at(&bytes, 88), u32_at(&bytes, 92)), (1, 3));
}

#[test]
fn as_many_links_are_followed_as_linux_follows() {
    let mut volume = MemoryVolume::new();
    volume.file("/end", b"x").symlink("/l0", "end");
    for at in 1..=41 {
        volume.symlink(format!("/l{at}"), format!("l{}", at - 1));
    }
    let mut session = Session::new(volume);
    // The target of the link `n` is reached through the n links below it.
    for (link, tag) in [
        ("\\l40", ReparseTag::IO_REPARSE_TAG_SYMLINK),
        ("\\l41", ReparseTag::IO_REPARSE_TAG_LX_SYMLINK),
    ] {
        let handle = session.open(&open(link).link());
        assert_eq!(handle.ccb.link.map(|link| link.tag), Some(tag), "{link}");
    }
}
