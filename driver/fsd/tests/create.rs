//! CREATE: which names open what, and with which status the rest is refused.

mod support;

use lklfs_fsd::{FcbKind, FileKey, create::Plan, memory::MemoryVolume};
use lklfs_nt::{
    AccessMask, CreateDisposition as Disposition, CreateOptions as Options, NtStatus, ReparseTag, reparse,
};
use support::{Session, open, utf16};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/dir")
        .directory("/dir/sub")
        .file("/dir/sub/file.txt", b"data")
        .file("/dir/Twin", b"upper")
        .file("/dir/twin", b"lower")
        .file("/dir/Größe", b"")
        .hard_link("/dir/sub/file.txt", "/linked")
        .symlink("/to-dir", "dir/sub")
        .symlink("/dangling", "nowhere")
        .file("/file", b"x");
    Session::new(volume)
}

fn path(session: &mut Session, open: &support::Open<'_>) -> String {
    String::from_utf16(&session.open(open).ccb.path).unwrap()
}

#[test]
fn names_open_what_they_name() {
    let mut session = session();
    for (name, kind) in [
        ("\\", FcbKind::Directory),
        ("\\\\", FcbKind::Directory),
        ("\\dir", FcbKind::Directory),
        ("\\dir\\", FcbKind::Directory),
        ("\\dir\\sub\\file.txt", FcbKind::File),
        ("\\file::$DATA", FcbKind::File),
        ("\\dir::$INDEX_ALLOCATION", FcbKind::Directory),
        ("", FcbKind::Volume),
    ] {
        let handle = session.open_name(name);
        assert_eq!(handle.fcb.kind(), kind, "{name}");
        assert_eq!(handle.opening.information, 1, "{name}");
    }
}

#[test]
fn the_path_of_a_handle_has_the_true_case() {
    let mut session = session();
    assert_eq!(
        path(&mut session, &open("\\DIR\\Sub\\FILE.TXT")),
        "\\dir\\sub\\file.txt"
    );
    assert_eq!(path(&mut session, &open("\\dir\\GRÖßE")), "\\dir\\Größe");
}

#[test]
fn case_twins_are_each_reachable_and_one_is_stable() {
    let mut session = session();
    assert_eq!(path(&mut session, &open("\\dir\\twin")), "\\dir\\twin");
    assert_eq!(path(&mut session, &open("\\dir\\Twin")), "\\dir\\Twin");
    assert_eq!(path(&mut session, &open("\\dir\\TWIN")), "\\dir\\Twin");
    assert_eq!(
        session.refused(&open("\\dir\\TWIN").case_sensitive()),
        NtStatus::OBJECT_NAME_NOT_FOUND
    );
    assert_eq!(
        session.refused(&open("\\DIR\\twin").case_sensitive()),
        NtStatus::OBJECT_PATH_NOT_FOUND
    );
}

#[test]
fn what_is_missing_is_told_from_the_way_to_it() {
    let session = session();
    for (name, status) in [
        ("\\none", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("\\none\\file", NtStatus::OBJECT_PATH_NOT_FOUND),
        ("\\file\\below", NtStatus::OBJECT_PATH_NOT_FOUND),
        ("\\file\\", NtStatus::OBJECT_NAME_INVALID),
        ("\\dir\\\\sub", NtStatus::OBJECT_NAME_INVALID),
        ("\\dir\\a?b", NtStatus::OBJECT_NAME_INVALID),
        ("\\a|b\\file", NtStatus::OBJECT_NAME_INVALID),
        ("\\dir\\.", NtStatus::OBJECT_NAME_INVALID),
        ("\\dir\\..\\file", NtStatus::OBJECT_NAME_INVALID),
        ("\\file:stream", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("\\dir::$DATA", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("\\file::$INDEX_ALLOCATION", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("file", NtStatus::INVALID_PARAMETER),
    ] {
        assert_eq!(session.refused(&open(name)), status, "{name}");
    }
}

#[test]
fn a_component_longer_than_linux_allows_does_not_exist() {
    let session = session();
    let long = format!("\\{}", "x".repeat(300));
    assert_eq!(session.refused(&open(&long)), NtStatus::OBJECT_NAME_NOT_FOUND);
    let deep = "\\x".repeat(16_000);
    assert_eq!(session.refused(&open(&deep)), NtStatus::OBJECT_PATH_NOT_FOUND);
}

#[test]
fn relative_names_begin_at_the_open_directory() {
    let mut session = session();
    let directory = session.open_name("\\dir");
    assert_eq!(
        path(&mut session, &open("sub\\FILE.txt").relative_to(&directory)),
        "\\dir\\sub\\file.txt"
    );
    assert_eq!(path(&mut session, &open("").relative_to(&directory)), "\\dir");
    let root = session.open_name("\\");
    assert_eq!(path(&mut session, &open("file").relative_to(&root)), "\\file");
    assert_eq!(path(&mut session, &open("").relative_to(&root)), "\\");
    let file = session.open_name("\\dir\\twin");
    assert_eq!(path(&mut session, &open("").relative_to(&file)), "\\dir\\twin");
    assert_eq!(
        path(&mut session, &open("::$DATA").relative_to(&file)),
        "\\dir\\twin"
    );
    assert_eq!(
        session.refused(&open("x").relative_to(&file)),
        NtStatus::INVALID_PARAMETER
    );
    assert_eq!(
        session.refused(&open("\\x").relative_to(&directory)),
        NtStatus::INVALID_PARAMETER
    );
    let volume = session.open_name("");
    assert_eq!(
        session.refused(&open("x").relative_to(&volume)),
        NtStatus::INVALID_PARAMETER
    );
    assert_eq!(
        session.open(&open("").relative_to(&volume)).fcb.kind(),
        FcbKind::Volume
    );
}

#[test]
fn the_kind_that_is_asked_for_is_checked() {
    let session = session();
    for (name, options, status) in [
        ("\\dir", Options::FILE_DIRECTORY_FILE, NtStatus::SUCCESS),
        (
            "\\dir",
            Options::FILE_NON_DIRECTORY_FILE,
            NtStatus::FILE_IS_A_DIRECTORY,
        ),
        ("\\file", Options::FILE_DIRECTORY_FILE, NtStatus::NOT_A_DIRECTORY),
        ("\\file", Options::FILE_NON_DIRECTORY_FILE, NtStatus::SUCCESS),
        (
            "\\file",
            Options(Options::FILE_DIRECTORY_FILE.0 | Options::FILE_NON_DIRECTORY_FILE.0),
            NtStatus::INVALID_PARAMETER,
        ),
        ("", Options::FILE_DIRECTORY_FILE, NtStatus::NOT_A_DIRECTORY),
        (
            "\\file",
            Options::FILE_DELETE_ON_CLOSE,
            NtStatus::MEDIA_WRITE_PROTECTED,
        ),
    ] {
        assert_eq!(
            session.refused(&open(name).options(options)),
            status,
            "{name} {options:?}"
        );
    }
}

#[test]
fn dispositions_on_a_volume_that_cannot_be_written() {
    let session = session();
    let (found, missing) = ("\\file", "\\none");
    for (name, disposition, status) in [
        (found, Disposition::FILE_OPEN, NtStatus::SUCCESS),
        (found, Disposition::FILE_OPEN_IF, NtStatus::SUCCESS),
        (found, Disposition::FILE_CREATE, NtStatus::OBJECT_NAME_COLLISION),
        (
            found,
            Disposition::FILE_OVERWRITE,
            NtStatus::MEDIA_WRITE_PROTECTED,
        ),
        (
            found,
            Disposition::FILE_OVERWRITE_IF,
            NtStatus::MEDIA_WRITE_PROTECTED,
        ),
        (
            found,
            Disposition::FILE_SUPERSEDE,
            NtStatus::MEDIA_WRITE_PROTECTED,
        ),
        (
            "\\dir",
            Disposition::FILE_OVERWRITE,
            NtStatus::OBJECT_NAME_COLLISION,
        ),
        (missing, Disposition::FILE_OPEN, NtStatus::OBJECT_NAME_NOT_FOUND),
        (
            missing,
            Disposition::FILE_OVERWRITE,
            NtStatus::OBJECT_NAME_NOT_FOUND,
        ),
        (
            missing,
            Disposition::FILE_OPEN_IF,
            NtStatus::MEDIA_WRITE_PROTECTED,
        ),
        (missing, Disposition::FILE_CREATE, NtStatus::MEDIA_WRITE_PROTECTED),
        (
            missing,
            Disposition::FILE_OVERWRITE_IF,
            NtStatus::MEDIA_WRITE_PROTECTED,
        ),
        (
            missing,
            Disposition::FILE_SUPERSEDE,
            NtStatus::MEDIA_WRITE_PROTECTED,
        ),
        (
            "\\none\\file",
            Disposition::FILE_CREATE,
            NtStatus::OBJECT_PATH_NOT_FOUND,
        ),
        (found, Disposition(6), NtStatus::INVALID_PARAMETER),
    ] {
        assert_eq!(
            session.refused(&open(name).disposition(disposition)),
            status,
            "{name} {disposition}"
        );
    }
    let target = support::Open {
        target_directory: true,
        ..open("\\dir\\new")
    };
    assert_eq!(session.refused(&target), NtStatus::MEDIA_WRITE_PROTECTED);
}

#[test]
fn rights_that_change_something_are_refused() {
    let mut session = session();
    for access in [
        AccessMask::GENERIC_WRITE,
        AccessMask::GENERIC_ALL,
        AccessMask::FILE_WRITE_DATA,
        AccessMask::FILE_APPEND_DATA,
        AccessMask::FILE_WRITE_ATTRIBUTES,
        AccessMask::FILE_WRITE_EA,
        AccessMask::DELETE,
        AccessMask::WRITE_DAC,
        AccessMask::WRITE_OWNER,
        AccessMask(AccessMask::MAXIMUM_ALLOWED.0 | AccessMask::DELETE.0),
    ] {
        let request = open("\\file").access(access);
        assert_eq!(
            session.refused(&request),
            NtStatus::MEDIA_WRITE_PROTECTED,
            "{access:?}"
        );
    }
    let all = session.open(&open("\\file").access(AccessMask::MAXIMUM_ALLOWED));
    assert_eq!(
        all.ccb.granted,
        AccessMask::FILE_GENERIC_READ | AccessMask::FILE_GENERIC_EXECUTE
    );
    assert!(all.opening.maximum_allowed && !all.opening.attributes_only);
    let generic = session.open(&open("\\file").access(AccessMask::GENERIC_READ));
    assert_eq!(generic.ccb.granted, AccessMask::FILE_GENERIC_READ);
    assert!(!generic.opening.attributes_only);
    let stat =
        session.open(&open("\\file").access(AccessMask::FILE_READ_ATTRIBUTES | AccessMask::SYNCHRONIZE));
    assert!(stat.opening.attributes_only);
}

#[test]
fn the_volume_itself_opens_even_for_writers() {
    let mut session = session();
    let volume = session.open(&open("").access(AccessMask::GENERIC_READ | AccessMask::GENERIC_WRITE));
    assert_eq!(volume.fcb.key(), FileKey::VOLUME);
    assert_eq!(volume.fcb.file_size(), support::GEOMETRY.size);
    let create = open("").disposition(Disposition::FILE_CREATE);
    assert_eq!(session.refused(&create), NtStatus::MEDIA_WRITE_PROTECTED);
}

#[test]
fn the_same_inode_is_the_same_fcb() {
    let mut session = session();
    let first = session.open_name("\\dir\\sub\\file.txt");
    let second = session.open_name("\\LINKED");
    assert!(first.opening.new && !second.opening.new);
    assert!(std::sync::Arc::ptr_eq(&first.fcb, &second.fcb));
    assert_eq!(session.table.len(), 1);
    session.close(first);
    assert_eq!(session.table.len(), 1);
    session.close(second);
    assert!(session.table.is_empty());
    assert!(session.open_name("\\linked").opening.new);
}

#[test]
fn a_link_is_opened_itself_or_reparsed() {
    let mut session = session();
    let link = session.open(&open("\\to-dir").link());
    assert_eq!(link.fcb.kind(), FcbKind::Reparse);
    assert!(link.ccb.link.as_ref().is_some_and(|link| link.directory));
    let as_file =
        open("\\to-dir").options(Options::FILE_OPEN_REPARSE_POINT | Options::FILE_NON_DIRECTORY_FILE);
    assert_eq!(session.refused(&as_file), NtStatus::FILE_IS_A_DIRECTORY);

    for (name, unparsed) in [
        ("\\to-dir", ""),
        ("\\to-dir\\", "\\"),
        ("\\to-dir\\file.txt", "\\file.txt"),
        ("\\TO-DIR\\a\\b::$DATA", "\\a\\b::$DATA"),
        ("\\to-dir\\a\\", "\\a\\"),
    ] {
        let Ok(Plan::Reparse(plan)) = session.plan(&open(name)) else {
            panic!("{name} is no reparse")
        };
        let parsed = reparse::parse(&plan.data).unwrap();
        assert_eq!(plan.tag, ReparseTag::IO_REPARSE_TAG_SYMLINK);
        assert_eq!(parsed.tag, plan.tag);
        assert_eq!(usize::from(parsed.reserved), unparsed.len() * 2, "{name}");
        assert_eq!(
            reparse::parse_symlink(parsed.data),
            Some((utf16("dir\\sub"), reparse::SYMLINK_FLAG_RELATIVE))
        );
    }
    let Ok(Plan::Reparse(plan)) = session.plan(&open("\\dangling")) else {
        panic!("no reparse")
    };
    assert_eq!(plan.tag, ReparseTag::IO_REPARSE_TAG_LX_SYMLINK);
    assert_eq!(reparse::parse(&plan.data).unwrap().data, b"\x02\0\0\0nowhere");
}

#[test]
fn errors_of_linux_come_out_by_context() {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/bad")
        .file("/bad/file", b"")
        .fail("/bad", lklfs_fsd::Errno::EUCLEAN);
    let session = Session::new(volume);
    assert_eq!(session.refused(&open("\\bad")), NtStatus::FILE_CORRUPT_ERROR);
    assert_eq!(
        session.refused(&open("\\bad\\file")),
        NtStatus::FILE_CORRUPT_ERROR
    );
}

#[test]
fn the_table_lets_go_of_what_nobody_holds() {
    use lklfs_fsd::FcbTable;
    use std::sync::Arc;
    let key = |ino| FileKey { dev: 1, ino };
    let mut table: FcbTable<u64> = FcbTable::new();
    let members: Vec<_> = [5, 1, 9, 3]
        .map(|ino| table.try_enter(key(ino), || Arc::new(ino)).unwrap().0)
        .into();
    for (member, ino) in members.iter().zip([5, 1, 9, 3]) {
        let (again, new) = table.try_enter(key(ino), || Arc::new(0)).unwrap();
        assert!(!new && Arc::ptr_eq(&again, member));
        assert_eq!(table.leave(key(ino), again), None);
    }
    // One that was dropped without leaving makes place for its successor, which keeps its own.
    drop(members);
    assert!(table.is_empty());
    let (successor, new) = table.try_enter(key(9), || Arc::new(90)).unwrap();
    assert!(new && table.get(key(9)).is_some_and(|found| *found == 90));
    let stranger = Arc::new(91);
    assert_eq!(table.leave(key(9), stranger), Some(91));
    assert_eq!(table.len(), 1);
    assert_eq!(table.leave(key(9), successor), Some(90));
    assert!(table.get(key(9)).is_none());
}

#[test]
fn the_descriptor_is_asked_for_what_is_not_granted_yet() {
    use lklfs_fsd::secur::{Asked, Decision, READING, decide};
    type A = AccessMask;
    let mut session = session();
    let file = session.open_name("\\file");
    let volume = session.open(&open("").access(A::FILE_READ_ATTRIBUTES));
    let asked = |desired: A, granted_before: A, maximum: bool| Asked {
        desired: match maximum {
            true => desired | A::MAXIMUM_ALLOWED,
            false => desired,
        },
        granted_before,
        maximum,
    };
    let most = READING | A::ACCESS_SYSTEM_SECURITY;
    let none = A::empty();
    // What everyone may read needs no descriptor; what only a privilege grants does.
    let strict = |asked| decide(&file.fcb, false, asked);
    let open_to_all = |asked| decide(&file.fcb, true, asked);
    assert_eq!(
        open_to_all(asked(A::GENERIC_READ, none, false)),
        Decision::Granted(A::FILE_GENERIC_READ)
    );
    assert_eq!(open_to_all(asked(none, none, true)), Decision::Granted(READING));
    assert_eq!(
        open_to_all(asked(A::ACCESS_SYSTEM_SECURITY, none, false)),
        Decision::Check {
            before: none,
            desired: A::ACCESS_SYSTEM_SECURITY,
            most
        }
    );
    assert_eq!(
        strict(asked(A::FILE_READ_DATA, none, true)),
        Decision::Check {
            before: none,
            desired: A::FILE_READ_DATA | A::MAXIMUM_ALLOWED,
            most
        }
    );
    // A backup privilege has granted it all; what a restore privilege has granted is not this volume's.
    assert_eq!(
        strict(asked(
            A::FILE_READ_DATA,
            A::FILE_GENERIC_READ | A::FILE_GENERIC_WRITE,
            false
        )),
        Decision::Granted(A::FILE_READ_DATA)
    );
    assert_eq!(
        strict(asked(none, A::FILE_GENERIC_READ | A::FILE_GENERIC_WRITE, true)),
        Decision::Check {
            before: A::FILE_GENERIC_READ,
            desired: A::MAXIMUM_ALLOWED,
            most
        }
    );
    // The volume: what the device's descriptor has granted, writing included; never by "everyone reads".
    let of_volume = |asked| decide(&volume.fcb, true, asked);
    let both = A::FILE_READ_DATA | A::FILE_WRITE_DATA;
    assert_eq!(of_volume(asked(both, both, false)), Decision::Granted(both));
    let answered = Asked {
        maximum: false,
        ..asked(none, both, true)
    };
    assert_eq!(of_volume(answered), Decision::Granted(both));
    assert!(matches!(
        of_volume(asked(A::FILE_READ_DATA, none, false)),
        Decision::Check {
            desired: A::FILE_READ_DATA,
            ..
        }
    ));
    session.close(file);
    session.close(volume);
}
