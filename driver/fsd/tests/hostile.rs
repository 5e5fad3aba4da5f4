//! Requests that no honest program sends: whatever comes, there is an answer, within its buffer, and no panic.

mod support;

use lklfs_fsd::{
    FileKind, VolumeState, dirctrl,
    ea::{self, EaCursor},
    fsctrl,
    memory::MemoryVolume,
    read,
};
use lklfs_nt::{
    AccessMask, ControlCode, CreateDisposition, CreateOptions, FileInformationClass, FsInformationClass,
    NtStatus,
};
use proptest::prelude::*;
use support::{Handle, Session, open, written};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/d")
        .file("/d/file", vec![7; 10_000])
        .file("/d/\\x:y", b"odd")
        .symlink("/link", "d/file")
        .symlink("/self", "self")
        .symlink("/up", "../../..")
        .special("/fifo", FileKind::Fifo, (0, 0))
        .set_xattr("/d/file", "user.x", &[1; 300]);
    Session::new(volume)
}

fn handles(session: &mut Session) -> Vec<Handle> {
    let names = ["", "\\", "\\d", "\\d\\file", "\\link", "\\self", "\\up", "\\fifo"];
    names
        .iter()
        .map(|name| session.open(&open(name).link()))
        .collect()
}

/// Names made of what is there and what is special.
fn name() -> impl Strategy<Value = Vec<u16>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\\", "d", "file", "link", "self", "up", "fifo", ":", "::$DATA", ".", "..", "*", "NUL", "/"
        ])
        .prop_map(|text| text.encode_utf16().collect::<Vec<u16>>()),
        prop::collection::vec(any::<u16>(), 0..3),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_open_ends_with_a_status(
        name in name(), related in prop::option::of(0usize..8), access in any::<u32>(), options in 0u32..0x100_0000,
        disposition in 0u32..9, case_sensitive in any::<bool>(), target_directory in prop::bool::weighted(0.1)
    ) {
        let mut session = session();
        let handles = handles(&mut session);
        let related = related.map(|at| &handles[at]);
        let request = support::Open {
            related, name, case_sensitive, target_directory,
            access: AccessMask(access),
            options: CreateOptions(options),
            disposition: CreateDisposition(disposition),
        };
        let status = session.refused(&request);
        prop_assert!(status.is_error() || status == NtStatus::SUCCESS || status == NtStatus::REPARSE);
        if status == NtStatus::SUCCESS {
            let handle = session.open(&request);
            let volume = handle.fcb.kind() == lklfs_fsd::FcbKind::Volume;
            prop_assert!(volume || !handle.ccb.granted.intersects(AccessMask::CHANGING));
            prop_assert!(volume || handle.ccb.path.first() == Some(&0x5C));
        }
    }

    #[test]
    fn any_query_stays_in_its_buffer(at in 0usize..8, class in 0u32..90, length in 0usize..300) {
        let mut session = session();
        let handle = handles(&mut session).swap_remove(at);
        session.query(&handle, FileInformationClass(class), length);
        session.query_volume(FsInformationClass(class), length);
    }

    #[test]
    fn any_listing_stays_in_its_buffer(
        at in 0usize..8, class in 0u32..90, lengths in prop::collection::vec(0usize..400, 1..8),
        pattern in prop::option::of(name()), restart in any::<bool>(), single in any::<bool>(), index in prop::option::of(0u32..9)
    ) {
        let mut session = session();
        let mut handle = handles(&mut session).swap_remove(at);
        let class = FileInformationClass(class);
        let query = dirctrl::Query { class, pattern: pattern.as_deref(), restart, single, index };
        for length in lengths {
            session.list(&mut handle, &query, length);
        }
    }

    #[test]
    fn any_attribute_list_is_parsed(
        at in 1usize..8, list in prop::collection::vec(any::<u8>(), 0..60), length in 0usize..400, index in prop::option::of(any::<u32>())
    ) {
        let mut session = session();
        let handle = handles(&mut session).swap_remove(at);
        let mut cursor = EaCursor::default();
        let mut out = vec![0; length];
        for list in [None, Some(&list[..])] {
            let query = ea::Query { list, restart: false, single: false, index };
            let outcome = ea::query(&session.vcb, &handle.fcb, &handle.ccb, &mut cursor, &query, &mut out);
            // For an inconsistent list Information is the place of the mistake in it.
            let limit = if outcome.status == NtStatus::EA_LIST_INCONSISTENT { 60 } else { length };
            prop_assert!(outcome.information <= limit);
        }
    }

    #[test]
    fn any_control_stays_in_its_buffer(
        at in 0usize..8, known in 0usize..60, code in any::<u32>(), input in prop::collection::vec(any::<u8>(), 0..40), length in 0usize..64
    ) {
        let mut session = session();
        let handle = handles(&mut session).swap_remove(at);
        let code = ControlCode::NAMED.get(known).map_or(ControlCode(code), |(code, _)| *code);
        let mut state = VolumeState { handles: 1, references: 1, ..VolumeState::default() };
        written(length, |output| {
            let mut request = fsctrl::Request { code, input: &input, output, handle: 1 };
            match fsctrl::user_request(&handle.fcb, &handle.ccb, &mut state, &mut request) {
                fsctrl::Plan::Done(outcome) => outcome,
                _ => lklfs_fsd::Outcome::success(0),
            }
        });
    }

    #[test]
    fn any_read_is_planned_inside_the_file(
        at in 0usize..8, offset in prop_oneof![any::<i64>(), 0i64..20_000, (0i64..40).prop_map(|sector| sector * 512)],
        length in prop_oneof![any::<u32>(), 0u32..20_000, (0u32..40).prop_map(|sector| sector * 512)],
        non_cached in any::<bool>(), paging in any::<bool>()
    ) {
        let mut session = session();
        let handle = handles(&mut session).swap_remove(at);
        let size = handle.fcb.file_size();
        let request = read::Request { offset, length, non_cached, paging };
        match read::plan(&session.vcb, &handle.fcb, &handle.ccb, request) {
            read::Plan::Done(outcome) => prop_assert!(outcome.status.is_error() || length == 0),
            read::Plan::Cached { offset, length: count } | read::Plan::Device { offset, length: count } => {
                prop_assert!(count > 0 && count <= length && offset + u64::from(count) <= size);
            }
            read::Plan::Direct { offset, length: count, information } => {
                prop_assert!(count == length && information <= count && offset + u64::from(information) <= size);
                if count < 1 << 20 {
                    let mut out = vec![1; count as usize];
                    let outcome = read::direct(&session.vcb, &handle.fcb, offset, &mut out);
                    prop_assert_eq!(outcome, lklfs_fsd::Outcome::success(information as usize));
                }
            }
        }
    }
}
