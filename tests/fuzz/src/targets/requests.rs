//! Requests of programs on a mounted volume: names, queries, listings, controls, reads: `lklfs_fsd`.
//!
//! The bytes are a script: what to open first, then what to do with it. What must hold: each request ends with a status; no
//! answer leaves its buffer, and an error has none; what is opened is at the path that its open says; a listing has only names
//! that its pattern matches, each once; reads are planned inside of the file.

use crate::allocated::within;
use crate::input::{Input, units};
use lklfs_fsd::memory::MemoryVolume;
use lklfs_fsd::{
    Ccb, Fcb, FcbKind, FileKind, Geometry, IrpContext, Outcome, Requestor, Vcb, VolumeOptions, VolumeState,
    create, dirctrl, fileinfo, fsctrl, linuxinfo, read, secur, volinfo,
};
use lklfs_nt::wildcard::matches;
use lklfs_nt::{
    AccessMask, ControlCode, CreateDisposition, CreateOptions, FileInformationClass, FsInformationClass, NtStatus,
    dirinfo,
};

pub(super) type Session = Vcb<MemoryVolume>;
pub(super) type Handle = (Fcb<MemoryVolume>, Ccb);

const GEOMETRY: Geometry = Geometry {
    sector_size: 512,
    physical_sector_size: 4096,
    size: 1 << 30,
    characteristics: 1,
    device_type: 7,
    alignment_requirement: 1,
};
const CONTEXT: IrpContext = IrpContext {
    requestor: Requestor::User,
    may_wait: true,
};
const MEMORY: usize = 1 << 20;

/// A small volume with everything that names and links can do.
pub(super) fn session() -> Session {
    let mut volume = MemoryVolume::new();
    volume
        .directory("/d")
        .file("/d/file", vec![7; 10_000])
        .file("/d/\\x:y", b"odd")
        .file("/d/FILE", b"the other case")
        .file("/d/\u{e9}t\u{e9}.txt", b"")
        .symlink("/link", "d/file")
        .symlink("/self", "self")
        .symlink("/up", "../../..")
        .special("/fifo", FileKind::Fifo, (0, 0))
        .set_xattr("/d/file", "user.x", &[1; 300])
        .set_xattr("/d/file", "user.empty", b"");
    match Vcb::new(volume, GEOMETRY, VolumeOptions::default()) {
        Ok(vcb) => vcb,
        Err(_) => panic!("the volume mounts"),
    }
}

/// Opens what there is, a link as itself.
pub(super) fn open(session: &Session, name: &str) -> Handle {
    let name: Vec<u16> = name.encode_utf16().collect();
    let options = CreateOptions::FILE_OPEN_REPARSE_POINT;
    match plan(session, &name, AccessMask::FILE_GENERIC_READ, options, CreateDisposition::FILE_OPEN, true) {
        Ok(create::Plan::Open(opening)) => (opening.fcb, opening.ccb),
        _ => panic!("it is there"),
    }
}

fn plan(
    session: &Session,
    name: &[u16],
    access: AccessMask,
    options: CreateOptions,
    disposition: CreateDisposition,
    case_sensitive: bool,
) -> Result<create::Plan<MemoryVolume>, NtStatus> {
    let request = create::Request {
        related: None,
        name,
        case_sensitive,
        open_target_directory: false,
        desired_access: access,
        options,
        disposition,
        ea_length: 0,
        may_pass: None,
    };
    create::open(session, CONTEXT, &request)
}

/// A name of a script: pieces of what is there, and units of its own.
fn name(input: &mut Input<'_>) -> Vec<u16> {
    const PIECES: [&str; 24] = [
        "\\", "d", "file", "link", "self", "up", "fifo", ":", "::$DATA", ".", "..", "*", "NUL", "/", "FILE", "File",
        "?", "<", ">", "\"", ".txt", "\u{c9}t\u{e9}", "$INDEX_ALLOCATION", ":$I30",
    ];
    let mut name = Vec::new();
    for byte in input.piece() {
        match PIECES.get(usize::from(*byte)) {
            Some(piece) => name.extend(piece.encode_utf16()),
            None => name.push(u16::from(*byte)),
        }
    }
    name.extend(units(input.piece()));
    name
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let session = session();
    let (name, access) = (name(&mut input), AccessMask(input.u32()));
    let (options, how) = (CreateOptions(input.u32() & 0xff_ffff), input.u8());
    let disposition = CreateDisposition(u32::from(how >> 1 & 7));
    let case_sensitive = how & 1 != 0;
    let opened = within(MEMORY, || plan(&session, &name, access, options, disposition, case_sensitive));
    let handle = match opened {
        Ok(create::Plan::Open(opening)) => {
            let volume = opening.fcb.kind() == FcbKind::Volume;
            let ccb = &opening.ccb;
            assert!(volume || !ccb.granted.intersects(AccessMask::CHANGING));
            assert!(volume || ccb.path.first() == Some(&0x5c));
            if !volume {
                same_by_its_path(&session, &opening.fcb, ccb);
            }
            (opening.fcb, opening.ccb)
        }
        Ok(create::Plan::Reparse(_)) => self::open(&session, "\\link"),
        Err(status) => {
            assert!(status.is_error(), "{status:?}");
            self::open(&session, ["\\d", "\\d\\file", "\\", "\\self"][usize::from(how >> 4 & 3)])
        }
    };
    let mut cursor = dirctrl::DirCursor::new();
    for _ in 0..32 {
        if input.is_empty() {
            break;
        }
        act(&session, &handle, &mut cursor, &mut input);
    }
}

/// The path that an open says leads to the same file, with its case.
fn same_by_its_path(session: &Session, fcb: &Fcb<MemoryVolume>, ccb: &Ccb) {
    let options = CreateOptions::FILE_OPEN_REPARSE_POINT;
    let read = AccessMask::FILE_READ_ATTRIBUTES;
    match plan(session, &ccb.path, read, options, CreateDisposition::FILE_OPEN, true) {
        Ok(create::Plan::Open(again)) => assert_eq!(again.fcb.key(), fcb.key()),
        _ => panic!("{:?} is not there", String::from_utf16_lossy(&ccb.path)),
    }
}

/// Makes a call on a marked buffer; what it wrote.
fn written(length: usize, call: impl FnOnce(&mut [u8]) -> Outcome) -> (NtStatus, Vec<u8>) {
    let mut out = vec![0xa5; length];
    let outcome = within(MEMORY, || call(&mut out));
    assert!(outcome.information <= length, "{outcome:?} of {length}");
    assert!(out[outcome.information..].iter().all(|byte| *byte == 0xa5), "{outcome:?} wrote beyond");
    assert!(!outcome.status.is_error() || outcome.information == 0, "{outcome:?}");
    out.truncate(outcome.information);
    (outcome.status, out)
}

fn act(session: &Session, (fcb, ccb): &Handle, cursor: &mut dirctrl::DirCursor, input: &mut Input<'_>) {
    let verb = input.u8();
    let length = usize::from(input.u16() & 0x7ff);
    let class = FileInformationClass(u32::from(input.u8()));
    match verb % 7 {
        0 => {
            let state = fileinfo::FileObjectState { position: 77, mode: 0x20 };
            written(length, |out| fileinfo::query(session, fcb, ccb, state, class, out));
        }
        1 => {
            written(length, |out| volinfo::query(session, FsInformationClass(class.0), out));
        }
        2 => listing(session, (fcb, ccb), cursor, verb, length, class, &name(input)),
        3 => {
            let known = ControlCode::NAMED.get(usize::from(input.u8())).map(|(code, _)| *code);
            let code = known.unwrap_or_else(|| ControlCode(input.u32()));
            let bytes = input.piece();
            let mut state = VolumeState {
                handles: 1,
                references: 1,
                ..VolumeState::default()
            };
            written(length, |output| {
                let mut request = fsctrl::Request {
                    code,
                    input: bytes,
                    output,
                    handle: 1,
                };
                match fsctrl::user_request(fcb, ccb, &mut state, &mut request) {
                    fsctrl::Plan::Done(outcome) => outcome,
                    _ => Outcome::success(0),
                }
            });
        }
        4 => planned(session, (fcb, ccb), verb, input),
        5 => {
            // A descriptor that does not fit tells how long it is.
            let mut out = vec![0xa5; length];
            let outcome = within(MEMORY, || secur::query(session, fcb, class.0, &mut out));
            assert!(outcome.information <= length || outcome.status.is_error() || outcome.status == NtStatus::BUFFER_OVERFLOW);
        }
        _ => {
            written(length, |out| match verb & 0x80 {
                0 => linuxinfo::file(session, fcb, ccb, out),
                _ => linuxinfo::volume(session, out),
            });
        }
    }
}

fn listing(
    session: &Session,
    (fcb, ccb): (&Fcb<MemoryVolume>, &Ccb),
    cursor: &mut dirctrl::DirCursor,
    how: u8,
    length: usize,
    class: FileInformationClass,
    pattern: &[u16],
) {
    let query = dirctrl::Query {
        class,
        pattern: (how & 0x10 != 0).then_some(pattern),
        restart: how & 0x20 != 0,
        single: how & 0x40 != 0,
        index: None,
    };
    written(length, |out| dirctrl::query(session, fcb, ccb, cursor, &query, out));

    // A listing of its own, from its start to its end.
    let mut cursor = dirctrl::DirCursor::new();
    let query = dirctrl::Query {
        class: FileInformationClass::FileNamesInformation,
        pattern: Some(pattern),
        restart: false,
        single: false,
        index: None,
    };
    let mut names = Vec::new();
    for _ in 0..16 {
        let (status, out) = written(600, |out| dirctrl::query(session, fcb, ccb, &mut cursor, &query, out));
        if status != NtStatus::SUCCESS {
            break;
        }
        dirinfo::names(&out, &mut names).expect("a listing that is well-formed");
    }
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{name:x?} twice");
        assert!(pattern.is_empty() || matches(pattern, name, false), "{name:x?} for {pattern:x?}");
    }
}

fn planned(session: &Session, (fcb, ccb): (&Fcb<MemoryVolume>, &Ccb), how: u8, input: &mut Input<'_>) {
    let size = fcb.file_size();
    let request = read::Request {
        offset: input.u64().cast_signed() >> (8 * (how >> 4 & 7)),
        length: input.u32() >> (input.u8() & 31),
        non_cached: how & 1 != 0,
        paging: how & 2 != 0,
    };
    match read::plan(session, fcb, ccb, request) {
        read::Plan::Done(outcome) => assert!(outcome.status.is_error() || request.length == 0),
        read::Plan::Cached { offset, length } | read::Plan::Device { offset, length } => {
            assert!(length > 0 && length <= request.length && offset + u64::from(length) <= size);
        }
        read::Plan::Direct {
            offset,
            length,
            information,
        } => {
            assert!(length == request.length && information <= length);
            assert!(offset + u64::from(information) <= size);
            if length < 1 << 20 {
                let mut out = vec![1; length as usize];
                let outcome = read::direct(session, fcb, offset, &mut out);
                assert_eq!(outcome, Outcome::success(information as usize));
            }
        }
    }
}
