//! CREATE in a thread that may not wait: what is in memory is answered as to any other, the rest is CANT_WAIT. That
//! whatever is answered is the same, and that nothing has waited, `Session::plan` checks for each open of every test.

mod support;

use lklfs_fsd::{Errno, FileKind, memory::MemoryVolume};
use lklfs_nt::NtStatus;
use support::{Open, Session, open, status_of, told};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/dir")
        .directory("/dir/sub")
        .file("/dir/sub/file.txt", b"data")
        .file("/dir/Twin", b"upper")
        .file("/dir/twin", b"lower")
        .file("/dir/123", b"")
        .directory("/dir/nul")
        .symlink("/to-dir", "dir/sub")
        .special("/fifo", FileKind::Fifo, (0, 0));
    Session::new(volume)
}

fn at_once(session: &Session, open: &Open<'_>) -> NtStatus {
    status_of(&session.plan_at_once(open))
}

/// A name that Linux has not looked up yet cannot be told at once, and asking for it so changes nothing.
#[test]
fn a_name_is_told_at_once_when_one_that_waited_has_asked_for_it() {
    for name in [
        "\\dir",
        "\\dir\\",
        "\\dir\\sub\\file.txt",
        "\\dir\\sub\\file.txt::$DATA",
        "\\dir\\Twin",
        "\\dir\\twin",
        "\\dir\\nu\u{F06C}",
        "\\fifo",
    ] {
        let cold = session();
        for _ in 0..2 {
            assert_eq!(at_once(&cold, &open(name)), NtStatus::CANT_WAIT, "{name}");
        }
        let waits = cold.vcb.volume().waits();
        let waited = told(&cold.plan(&open(name)));
        assert!(cold.vcb.volume().waits() > waits, "{name}");
        assert_eq!(told(&cold.plan_at_once(&open(name))), waited, "{name}");
    }
}

#[test]
fn a_path_is_told_at_once_when_all_of_it_is_in_memory() {
    let mut session = session();
    session.open_name("\\dir");
    assert_eq!(
        at_once(&session, &open("\\dir\\sub\\file.txt")),
        NtStatus::CANT_WAIT
    );
    session.open_name("\\dir\\sub\\file.txt");
    for (name, status) in [
        ("\\dir\\sub", NtStatus::SUCCESS),
        ("\\dir\\sub\\file.txt\\x", NtStatus::OBJECT_PATH_NOT_FOUND),
        ("\\dir\\sub\\file.txt\\", NtStatus::OBJECT_NAME_INVALID),
        ("\\dir\\123", NtStatus::CANT_WAIT),
        ("\\dir\\123\\x", NtStatus::CANT_WAIT),
    ] {
        assert_eq!(at_once(&session, &open(name)), status, "{name}");
    }
    let sub = session.open_name("\\dir\\sub");
    assert_eq!(
        at_once(&session, &open("file.txt").relative_to(&sub)),
        NtStatus::SUCCESS
    );
    assert_eq!(
        at_once(&session, &open("other").relative_to(&sub)),
        NtStatus::CANT_WAIT
    );
    assert_eq!(at_once(&session, &open("").relative_to(&sub)), NtStatus::SUCCESS);
}

#[test]
fn the_volume_the_root_and_what_no_name_can_be_need_no_memory() {
    let session = session();
    for (name, status) in [
        ("", NtStatus::SUCCESS),
        ("\\", NtStatus::SUCCESS),
        ("\\a?b", NtStatus::OBJECT_NAME_INVALID),
        // The forms of no name, without case and with: another case of them might be one's.
        ("\\1.", NtStatus::OBJECT_NAME_NOT_FOUND),
        ("\\1.\\x", NtStatus::OBJECT_PATH_NOT_FOUND),
        ("\\NUL", NtStatus::CANT_WAIT),
    ] {
        assert_eq!(at_once(&session, &open(name)), status, "{name}");
    }
    for (name, status) in [
        ("\\NUL", NtStatus::OBJECT_NAME_NOT_FOUND),
        (&format!("\\{}", "x".repeat(300)), NtStatus::OBJECT_NAME_NOT_FOUND),
    ] {
        let request = open(name).case_sensitive();
        assert_eq!(at_once(&session, &request), status, "{name}");
    }
}

#[test]
fn a_name_in_another_case_cannot_be_told_at_once() {
    let mut session = session();
    let other = "\\DIR\\sub";
    session.open_name(other);
    assert_eq!(at_once(&session, &open(other)), NtStatus::CANT_WAIT);
    assert_eq!(at_once(&session, &open("\\dir\\sub")), NtStatus::SUCCESS);
    // That it is not there exactly is in memory, and with case that is all that is asked.
    let exact = open(other).case_sensitive();
    assert_eq!(at_once(&session, &exact), NtStatus::OBJECT_PATH_NOT_FOUND);
}

#[test]
fn a_missing_name_is_told_at_once_if_no_other_case_of_it_could_be_there() {
    let session = session();
    let (none, number) = (open("\\none"), open("\\456"));
    for request in [&none.clone().case_sensitive(), &none, &number] {
        assert_eq!(at_once(&session, request), NtStatus::CANT_WAIT);
    }
    for request in [&none, &number] {
        assert_eq!(session.refused(request), NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    assert_eq!(at_once(&session, &none), NtStatus::CANT_WAIT);
    for request in [none.case_sensitive(), number] {
        assert_eq!(at_once(&session, &request), NtStatus::OBJECT_NAME_NOT_FOUND);
    }
    assert_eq!(
        at_once(&session, &open("\\456\\x")),
        NtStatus::OBJECT_PATH_NOT_FOUND
    );
}

/// A link's target may have to be read; a FIFO has nothing to read.
#[test]
fn links_cannot_be_told_at_once_and_special_files_can() {
    let mut session = session();
    for request in [
        open("\\to-dir"),
        open("\\to-dir").link(),
        open("\\to-dir\\file.txt"),
    ] {
        assert!(session.plan(&request).is_ok());
        assert_eq!(at_once(&session, &request), NtStatus::CANT_WAIT);
    }
    let link = session.open(&open("\\to-dir").link());
    assert_eq!(
        at_once(&session, &open("").link().relative_to(&link)),
        NtStatus::CANT_WAIT
    );
    for (request, status) in [
        (open("\\fifo"), NtStatus::REPARSE),
        (open("\\fifo").link(), NtStatus::SUCCESS),
        (open("\\fifo\\x"), NtStatus::REPARSE),
    ] {
        assert!(session.plan(&request).is_ok());
        assert_eq!(at_once(&session, &request), status);
    }
}

#[test]
fn errors_in_memory_are_told_at_once() {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/bad")
        .file("/bad/file", b"")
        .fail("/bad", Errno::EUCLEAN);
    let session = Session::new(volume);
    assert_eq!(at_once(&session, &open("\\bad")), NtStatus::CANT_WAIT);
    assert_eq!(session.refused(&open("\\bad")), NtStatus::FILE_CORRUPT_ERROR);
    assert_eq!(at_once(&session, &open("\\bad")), NtStatus::FILE_CORRUPT_ERROR);
}
