//! QUERY_EA and QUERY_SECURITY: extended attributes and descriptors, byte by byte.

mod support;

use lklfs_fsd::{
    FileKind, Outcome, VolumeOptions,
    ea::{self, EaCursor},
    memory::MemoryVolume,
    secur,
};
use lklfs_nt::NtStatus;
use support::{Handle, Session, open, u16_at, u32_at, written};

fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .file("/file", vec![0; 5000])
        .special("/dev", FileKind::BlockDevice, (8, 1))
        .set_xattr("/file", "user.one", b"first")
        .set_xattr("/file", "trusted.x", b"no")
        .set_xattr("/file", "user.two", b"");
    Session::new(volume)
}

/// The entries of a list: (name, value).
fn attributes(mut list: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let (name, value) = (usize::from(list[5]), usize::from(u16_at(list, 6)));
        assert_eq!(list[8 + name], 0);
        all.push((
            String::from_utf8(list[8..8 + name].to_vec()).unwrap(),
            list[9 + name..][..value].to_vec(),
        ));
        match u32_at(list, 0) as usize {
            0 => return all,
            next => list = &list[next..],
        }
    }
}

const ALL_EAS: ea::Query<'static> = ea::Query {
    list: None,
    restart: false,
    single: false,
    index: None,
};

#[test]
fn extended_attributes_are_listed() {
    let mut session = session();
    let file = session.open_name("\\file");
    let mut cursor = EaCursor::default();
    let mut run = |query: ea::Query<'_>, length| {
        written(length, |out| {
            ea::query(&session.vcb, &file.fcb, &file.ccb, &mut cursor, &query, out)
        })
    };
    let one = ("user.one".to_owned(), b"first".to_vec());
    let two = ("user.two".to_owned(), vec![]);
    let (status, list) = run(ALL_EAS, 200);
    assert_eq!(
        (status, attributes(&list)),
        (NtStatus::SUCCESS, vec![one.clone(), two.clone()])
    );
    assert_eq!(run(ALL_EAS, 200).0, NtStatus::NO_MORE_EAS);
    assert_eq!(
        run(
            ea::Query {
                restart: true,
                ..ALL_EAS
            },
            10
        )
        .0,
        NtStatus::BUFFER_TOO_SMALL
    );
    let (status, list) = run(
        ea::Query {
            restart: true,
            ..ALL_EAS
        },
        30,
    );
    assert_eq!(
        (status, attributes(&list)),
        (NtStatus::BUFFER_OVERFLOW, vec![one.clone()])
    );
    let (status, list) = run(ALL_EAS, 30);
    assert_eq!(
        (status, attributes(&list)),
        (NtStatus::SUCCESS, vec![two.clone()])
    );
    let (_, list) = run(
        ea::Query {
            restart: true,
            single: true,
            ..ALL_EAS
        },
        200,
    );
    assert_eq!(attributes(&list), std::slice::from_ref(&one));
    let (_, list) = run(
        ea::Query {
            index: Some(2),
            ..ALL_EAS
        },
        200,
    );
    assert_eq!(attributes(&list), [two]);
    assert_eq!(
        run(
            ea::Query {
                index: Some(3),
                ..ALL_EAS
            },
            200
        )
        .0,
        NtStatus::NONEXISTENT_EA_ENTRY
    );
}

#[test]
fn extended_attributes_are_found_by_name_and_wsls_own_too() {
    let mut session = session();
    let file = session.open_name("\\file");
    let device = session.open(&open("\\dev").link());
    let run = |handle: &Handle, list: &[u8]| {
        let mut cursor = EaCursor::default();
        let query = ea::Query {
            list: Some(list),
            ..ALL_EAS
        };
        written(200, |out| {
            ea::query(&session.vcb, &handle.fcb, &handle.ccb, &mut cursor, &query, out)
        })
    };
    let (status, list) = run(&file, b"\x10\0\0\0\x08USER.ONE\0\0\0\0\0\0\0\x06$LXUID\0");
    let expected = [
        ("user.one".to_owned(), b"first".to_vec()),
        ("$LXUID".to_owned(), 1000u32.to_le_bytes().to_vec()),
    ];
    assert_eq!(
        (status, &attributes(&list)[..]),
        (NtStatus::SUCCESS, &expected[..])
    );
    let (_, list) = run(&file, b"\0\0\0\0\x06absent\0");
    assert_eq!(attributes(&list), [("absent".to_owned(), vec![])]);
    let (_, list) = run(&file, b"\0\0\0\0\x06$LXMOD\0");
    assert_eq!(attributes(&list)[0].1, 0o100_644u32.to_le_bytes());
    let (_, list) = run(&device, b"\0\0\0\0\x06$LXDEV\0");
    assert_eq!(attributes(&list)[0].1, [8, 0, 0, 0, 1, 0, 0, 0]);
    let mut cursor = EaCursor::default();
    let mut out = [0; 100];
    let bad = ea::Query {
        list: Some(b"\x05\0\0\0\x01a\0"),
        ..ALL_EAS
    };
    let outcome = ea::query(&session.vcb, &file.fcb, &file.ccb, &mut cursor, &bad, &mut out);
    assert_eq!(outcome, Outcome::new(NtStatus::EA_LIST_INCONSISTENT, 0));
    let none = written(100, |out| {
        ea::query(&session.vcb, &device.fcb, &device.ccb, &mut cursor, &ALL_EAS, out)
    });
    assert_eq!(none.0, NtStatus::NO_EAS_ON_FILE);
}

/// The entries of a descriptor's list: (deny, mask, sub-authorities).
fn aces(descriptor: &[u8]) -> Vec<(bool, u32, Vec<u32>)> {
    let acl = &descriptor[u32_at(descriptor, 16) as usize..];
    let mut at = 8;
    let aces = (0..u16_at(acl, 4)).map(|_| {
        let ace = &acl[at..at + usize::from(u16_at(acl, at + 2))];
        at += ace.len();
        let subs = (0..usize::from(ace[9]))
            .map(|sub| u32_at(ace, 16 + sub * 4))
            .collect();
        (ace[0] == 1, u32_at(ace, 4), subs)
    });
    let aces = aces.collect();
    assert_eq!(at, usize::from(u16_at(acl, 2)));
    aces
}

#[test]
fn the_descriptor_says_what_the_mode_says() {
    let mut volume = MemoryVolume::new();
    volume
        .file("/odd", b"")
        .edit("/odd", |metadata| metadata.permissions = 0o4607);
    let mut session = Session::with_options(
        volume,
        VolumeOptions {
            everyone_reads: false,
            ..Default::default()
        },
    );
    let file = session.open_name("\\odd");
    let descriptor = secur::descriptor(&session.vcb, &file.fcb).unwrap();
    let stat = 0x12_0088;
    assert_eq!(
        aces(&descriptor),
        [
            (false, 0x12_00A9, vec![18]),
            (false, 0x12_00A9, vec![32, 544]),
            (true, 0x20, vec![1, 1000]),
            (false, stat | 1, vec![1, 1000]),
            (true, 0x21, vec![2, 100]),
            (false, stat, vec![2, 100]),
            (false, stat | 0x21, vec![0]),
        ]
    );
    let (status, bytes) = written(500, |out| secur::query(&session.vcb, &file.fcb, 7, out));
    assert_eq!((status, &bytes), (NtStatus::SUCCESS, &descriptor));
    let short = secur::query(&session.vcb, &file.fcb, 7, &mut [0; 20]);
    assert_eq!(short, Outcome::new(NtStatus::BUFFER_OVERFLOW, descriptor.len()));
    let mut open_to_all = self::session();
    let file = open_to_all.open_name("\\file");
    let descriptor = secur::descriptor(&open_to_all.vcb, &file.fcb).unwrap();
    assert_eq!(aces(&descriptor).last(), Some(&(false, 0x12_00A9, vec![0])));
}
