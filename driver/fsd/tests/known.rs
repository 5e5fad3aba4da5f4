//! FILE_OPEN_BY_FILE_ID: what was told is found again, and nothing else.

mod support;

use lklfs_fsd::known::{KnownIds, MOST_BYTES, tells_id};
use lklfs_fsd::memory::MemoryVolume;
use lklfs_nt::{CreateDisposition, CreateOptions, FileInformationClass as Class, NtStatus};
use support::{Handle, Session, open, u64_at, utf16};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/folder")
        .file("/folder/Name", "data")
        .hard_link("/folder/Name", "/folder/other")
        .symlink("/link", "folder")
        .directory("/subvolume")
        .edit("/subvolume", |metadata| metadata.dev = 77);
    Session::new(volume)
}

fn units(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// The identity as the query tells it.
fn id_of(session: &Session, handle: &Handle) -> Vec<u16> {
    let (status, bytes) = session.query(handle, Class::FileInternalInformation, 8);
    assert_eq!(status, NtStatus::SUCCESS);
    units(&bytes)
}

#[test]
fn what_was_told_is_found_again() {
    let mut session = session();
    let mut known = KnownIds::new();
    for name in ["\\", "\\folder", "\\FOLDER\\name", "\\subvolume"] {
        let handle = session.open_name(name);
        let id = id_of(&session, &handle);
        assert_eq!(
            known.path(&id),
            Err(NtStatus::INVALID_PARAMETER),
            "{name} was not told"
        );
        known.remember(&session.vcb, &handle.fcb, &handle.ccb);
        known.remember(&session.vcb, &handle.fcb, &handle.ccb);
        assert_eq!(known.path(&id).unwrap(), handle.ccb.path, "{name}");
        let (_, wide) = session.query(&handle, Class::FileIdInformation, 24);
        assert_eq!(known.path(&units(&wide[8..])).unwrap(), handle.ccb.path);
        // A separator before it, as some callers write.
        let after: Vec<u16> = utf16("\\").into_iter().chain(id).collect();
        assert_eq!(known.path(&after).unwrap(), handle.ccb.path);
    }
    assert_eq!(known.len(), 4);
    // The volume itself has no identity; another name of the same file is the same file.
    let volume = session.open_name("");
    known.remember(&session.vcb, &volume.fcb, &volume.ccb);
    let other = session.open_name("\\folder\\other");
    known.remember(&session.vcb, &other.fcb, &other.ccb);
    assert_eq!(known.len(), 4);
    assert_eq!(
        known.path(&id_of(&session, &other)).unwrap(),
        utf16("\\folder\\Name")
    );
    for bad in [&[][..], &[0; 3], &[0; 5], &[0; 4], &[0xffff; 8], &[0; 20]] {
        assert_eq!(known.path(bad), Err(NtStatus::INVALID_PARAMETER), "{bad:?}");
    }
}

#[test]
fn a_file_opens_by_its_identity() {
    let mut session = session();
    let mut known = KnownIds::new();
    let first = session.open_name("\\folder\\name");
    known.remember(&session.vcb, &first.fcb, &first.ccb);
    let path = known.path(&id_of(&session, &first)).unwrap();
    let mut by_id = open("").options(CreateOptions::FILE_OPEN_BY_FILE_ID);
    by_id.name = path;
    let again = session.open(&by_id);
    assert!(std::sync::Arc::ptr_eq(&first.fcb, &again.fcb));
    let (_, name) = session.query(&again, Class::FileNameInformation, 100);
    assert_eq!(units(&name[4..]), utf16("\\folder\\Name"));
    let create = by_id.clone().disposition(CreateDisposition::FILE_CREATE);
    assert_eq!(session.refused(&create), NtStatus::INVALID_PARAMETER);
    // A link has to be asked for as such: there is no name to parse again.
    let link = session.open(&open("\\link").link());
    known.remember(&session.vcb, &link.fcb, &link.ccb);
    let mut by_id = open("").options(CreateOptions::FILE_OPEN_BY_FILE_ID);
    by_id.name = known.path(&id_of(&session, &link)).unwrap();
    assert_eq!(session.refused(&by_id), NtStatus::IO_REPARSE_TAG_NOT_HANDLED);
    let options = CreateOptions::FILE_OPEN_BY_FILE_ID | CreateOptions::FILE_OPEN_REPARSE_POINT;
    let again = session.open(&by_id.options(options));
    assert_eq!(id_of(&session, &again), id_of(&session, &link));
}

#[test]
fn memory_is_bounded_and_the_younger_stay() {
    let mut volume = MemoryVolume::new();
    let name = |number: usize| format!("{number:05}{}", "x".repeat(240));
    let count = MOST_BYTES / 400;
    for number in 0..count {
        volume.file(format!("/{}", name(number)), "");
    }
    let mut session = Session::new(volume);
    let mut known = KnownIds::new();
    let mut ids = Vec::new();
    for number in 0..count {
        let handle = session.open_name(&format!("\\{}", name(number)));
        known.remember(&session.vcb, &handle.fcb, &handle.ccb);
        ids.push(id_of(&session, &handle));
        assert_eq!(known.path(&ids[number]).unwrap(), handle.ccb.path);
        session.close(handle);
    }
    assert!(
        (count / 4..count * 9 / 10).contains(&known.len()),
        "{} of {count}",
        known.len()
    );
    assert!(known.path(&ids[0]).is_err());
    assert!(known.path(&ids[count * 3 / 4]).is_ok());
}

#[test]
fn the_classes_that_tell_it() {
    let mut session = session();
    let handle = session.open_name("\\folder\\name");
    let id = u64_at(&session.query(&handle, Class::FileInternalInformation, 8).1, 0).to_le_bytes();
    for number in 0..100 {
        let class = Class(number);
        let (_, bytes) = session.query(&handle, class, 1000);
        let tells = bytes.windows(8).any(|window| window == id);
        assert_eq!(tells, tells_id(class), "{class}");
    }
}
