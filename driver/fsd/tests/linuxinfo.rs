//! Linux's own answers: exact where NT's classes are not, under the rights of `stat`.

mod support;

use lklfs_fsd::{
    Errno, FileKind, UnixTime, VolumeState,
    fsctrl::{self, Plan},
    linuxinfo,
    memory::MemoryVolume,
};
use lklfs_nt::{
    AccessMask, ControlCode, NtStatus,
    linux::{
        FSCTL_LKLFS_QUERY_FILE, FSCTL_LKLFS_QUERY_VOLUME, HAS_BIRTH, LinuxFile, LinuxVolume, ROOM, STALE,
    },
};
use support::{Handle, Session, open, written};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/d")
        .file("/d/CON", b"data")
        .symlink("/d/link", b"./CON")
        .special("/d/disk", FileKind::BlockDevice, (8, 17))
        .edit("/d/CON", |metadata| {
            metadata.permissions = 0o4_750;
            metadata.mtime = UnixTime {
                seconds: -20_000_000_000,
                nanoseconds: 123_456_789,
            };
            metadata.btime = None;
            (metadata.uid, metadata.gid) = (7, 4_000_000_000);
        });
    Session::new(volume)
}

fn ask(session: &Session, handle: &Handle) -> Result<(LinuxFile, Vec<u8>, Vec<u8>), NtStatus> {
    let (status, bytes) = written(ROOM, |out| {
        linuxinfo::file(&session.vcb, &handle.fcb, &handle.ccb, out)
    });
    if status != NtStatus::SUCCESS {
        return Err(status);
    }
    let (record, name, target) = LinuxFile::read(&bytes).expect("a whole answer");
    Ok((record, name.to_vec(), target.to_vec()))
}

#[test]
fn a_file_is_told_as_linux_has_it() {
    let mut session = session();
    let handle = session.open_name("\\D\\CO\u{f04e}");
    let (record, name, target) = ask(&session, &handle).unwrap();
    assert_eq!((name.as_slice(), target.as_slice()), (&b"CON"[..], &b""[..]));
    assert_eq!(record.mode, 0o104_750);
    assert_eq!((record.uid, record.gid), (7, 4_000_000_000));
    // Neither the nanoseconds nor the year 1336 fit NT's time.
    assert_eq!(
        (record.modified, record.modified_ns),
        (-20_000_000_000, 123_456_789)
    );
    assert_eq!((record.size, record.flags & HAS_BIRTH), (4, 0));
}

#[test]
fn directories_links_and_devices_have_their_sizes_targets_and_numbers() {
    let mut session = session();
    let root = session.open_name("\\");
    let (record, name, _) = ask(&session, &root).unwrap();
    assert_eq!(
        (record.mode & 0o170_000, record.size, name.len()),
        (0o040_000, 4096, 0)
    );
    let link = session.open(&open("\\d\\link").link());
    let (record, _, target) = ask(&session, &link).unwrap();
    assert_eq!((record.mode & 0o170_000, record.size), (0o120_000, 5));
    assert_eq!(target, b"./CON", "a translated target");
    let disk = session.open(&open("\\d\\disk").link());
    let (record, _, _) = ask(&session, &disk).unwrap();
    assert_eq!((record.device_major, record.device_minor), (8, 17));
}

#[test]
fn it_takes_the_right_to_read_attributes_and_a_file() {
    let mut session = session();
    let handle = session.open(&open("\\d").access(AccessMask::SYNCHRONIZE));
    assert_eq!(ask(&session, &handle).unwrap_err(), NtStatus::ACCESS_DENIED);
    let volume = session.open_name("");
    assert_eq!(ask(&session, &volume).unwrap_err(), NtStatus::INVALID_PARAMETER);
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut session = session();
    let link = session.open(&open("\\d\\link").link());
    let whole = ask(&session, &link).unwrap().0.size_of_all as usize;
    for room in [0, 10, whole - 1] {
        let (status, bytes) = written(room, |out| {
            linuxinfo::file(&session.vcb, &link.fcb, &link.ccb, out)
        });
        assert_eq!((status, bytes.len()), (NtStatus::BUFFER_TOO_SMALL, 0));
    }
}

#[test]
fn the_volume_is_told_with_its_whole_label() {
    let label = "a label that no NT class has room for";
    let mut volume = MemoryVolume::new();
    volume.edit_info(|info| {
        info.label = label.into();
        info.stale = true;
    });
    let session = Session::new(volume);
    let (status, bytes) = written(ROOM, |out| linuxinfo::volume(&session.vcb, out));
    assert_eq!(status, NtStatus::SUCCESS);
    let (record, texts) = LinuxVolume::read(&bytes).unwrap();
    assert_eq!(
        (texts.fs_name, texts.label, texts.uuid),
        (
            &b"memory"[..],
            label.as_bytes(),
            &b"01234567-89ab-cdef-1032-547698badcfe"[..]
        )
    );
    assert_eq!(
        (record.unit, record.blocks, record.blocks_free),
        (4096, 1000, 600)
    );
    assert_eq!(
        (record.inodes, record.inodes_free, record.flags),
        (128, 100, STALE)
    );
}

#[test]
fn a_link_that_cannot_be_read_any_more_says_so() {
    let mut session = session();
    let link = session.open(&open("\\d\\link").link());
    let mut broken = MemoryVolume::new();
    // The same tree, so that the nodes are the same.
    broken
        .directory("/d")
        .file("/d/CON", b"data")
        .symlink("/d/link", b"./CON")
        .fail("/d/link", Errno::EIO);
    let broken = Session::new(broken);
    let (status, _) = written(ROOM, |out| {
        linuxinfo::file(&broken.vcb, &link.fcb, &link.ccb, out)
    });
    assert_eq!(status, NtStatus::IO_DEVICE_ERROR);
}

#[test]
fn a_volume_that_is_gone_is_not_asked() {
    let mut session = session();
    let handle = session.open_name("\\d");
    for (state, plans) in [
        (VolumeState::default(), [Plan::LinuxFile, Plan::LinuxVolume]),
        (
            VolumeState {
                dismounted: true,
                ..VolumeState::default()
            },
            [Plan::Done(NtStatus::VOLUME_DISMOUNTED.into()); 2],
        ),
        (
            VolumeState {
                removed: true,
                ..VolumeState::default()
            },
            [Plan::Done(NtStatus::NO_SUCH_DEVICE.into()); 2],
        ),
    ] {
        let plan = |code: ControlCode| {
            let mut request = fsctrl::Request {
                code,
                input: &[],
                output: &mut [],
                handle: 1,
            };
            fsctrl::user_request(&handle.fcb, &handle.ccb, &mut state.clone(), &mut request)
        };
        assert_eq!(
            [FSCTL_LKLFS_QUERY_FILE, FSCTL_LKLFS_QUERY_VOLUME].map(plan),
            plans
        );
    }
}
