//! What the edge would do, for tests: opens with share of Fcbs, and calls with buffers that show what was not written.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::sync::Arc;

use lklfs_fsd::{
    Ccb, Fcb, FcbTable, Geometry, IrpContext, Outcome, Requestor, Vcb, VolumeOptions, create, dirctrl,
    fileinfo, memory::MemoryVolume, volinfo,
};
use lklfs_nt::{
    AccessMask, CreateDisposition, CreateOptions, FileInformationClass, FsInformationClass, NtStatus,
};

pub const FILE_READ: AccessMask = AccessMask::FILE_GENERIC_READ;
/// What fills buffers before a call.
pub const UNTOUCHED: u8 = 0xA5;

pub const GEOMETRY: Geometry = Geometry {
    sector_size: 512,
    physical_sector_size: 4096,
    size: 1 << 30,
    characteristics: 1,
    device_type: 7,
    alignment_requirement: 1,
};

pub const CONTEXT: IrpContext = IrpContext {
    requestor: Requestor::User,
    may_wait: true,
};

/// [`CONTEXT`] of a thread that may not block.
pub const AT_ONCE: IrpContext = IrpContext {
    may_wait: false,
    ..CONTEXT
};

pub fn utf16(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// A mounted volume with its table.
pub struct Session {
    pub vcb: Vcb<MemoryVolume>,
    pub table: FcbTable<Fcb<MemoryVolume>>,
}

/// One open file object.
pub struct Handle {
    pub fcb: Arc<Fcb<MemoryVolume>>,
    pub ccb: Ccb,
    pub opening: Opened,
    pub cursor: dirctrl::DirCursor,
}

/// The rest of what CREATE said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    pub information: u32,
    pub new: bool,
    pub attributes_only: bool,
    pub maximum_allowed: bool,
    pub no_buffering: bool,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "handle of {}", String::from_utf16_lossy(&self.ccb.path))
    }
}

/// A CREATE with everything that a test may change.
#[derive(Clone)]
pub struct Open<'a> {
    pub related: Option<&'a Handle>,
    pub name: Vec<u16>,
    pub case_sensitive: bool,
    pub access: AccessMask,
    pub options: CreateOptions,
    pub disposition: CreateDisposition,
    pub target_directory: bool,
}

/// An open for reading of `name`.
pub fn open(name: &str) -> Open<'static> {
    Open {
        related: None,
        name: utf16(name),
        case_sensitive: false,
        access: FILE_READ,
        options: CreateOptions::empty(),
        disposition: CreateDisposition::FILE_OPEN,
        target_directory: false,
    }
}

impl<'a> Open<'a> {
    pub fn relative_to(self, handle: &'a Handle) -> Open<'a> {
        Open {
            related: Some(handle),
            ..self
        }
    }
    pub fn case_sensitive(self) -> Self {
        Self {
            case_sensitive: true,
            ..self
        }
    }
    pub fn access(self, access: AccessMask) -> Self {
        Self { access, ..self }
    }
    pub fn options(self, options: CreateOptions) -> Self {
        Self { options, ..self }
    }
    pub fn disposition(self, disposition: CreateDisposition) -> Self {
        Self { disposition, ..self }
    }
    /// Opens a link itself.
    pub fn link(self) -> Self {
        self.options(CreateOptions::FILE_OPEN_REPARSE_POINT)
    }
}

impl Session {
    pub fn new(volume: MemoryVolume) -> Self {
        Self::with_options(volume, VolumeOptions::default())
    }

    pub fn with_options(volume: MemoryVolume, options: VolumeOptions) -> Self {
        Self::on(volume, GEOMETRY, options)
    }

    /// On a disk with sectors of so many bytes.
    pub fn with_sectors(volume: MemoryVolume, sector_size: u32) -> Self {
        let geometry = Geometry {
            sector_size,
            physical_sector_size: sector_size,
            ..GEOMETRY
        };
        Self::on(volume, geometry, VolumeOptions::default())
    }

    fn on(volume: MemoryVolume, geometry: Geometry, options: VolumeOptions) -> Self {
        let Ok(vcb) = Vcb::new(volume, geometry, options) else {
            panic!("the volume mounts")
        };
        Self {
            vcb,
            table: FcbTable::new(),
        }
    }

    /// What CREATE says to a thread that may wait. Before and after it one that may not wait asks the same: it is told
    /// the same or that it cannot wait.
    pub fn plan(&self, open: &Open<'_>) -> Result<create::Plan<MemoryVolume>, NtStatus> {
        let before = self.plan_at_once(open);
        let plan = self.plan_in(CONTEXT, open);
        for at_once in [before, self.plan_at_once(open)] {
            if !matches!(at_once, Err(NtStatus::CANT_WAIT)) {
                assert_eq!(told(&at_once), told(&plan));
            }
        }
        plan
    }

    /// What CREATE says to a thread that may not wait, which must not have waited.
    pub fn plan_at_once(&self, open: &Open<'_>) -> Result<create::Plan<MemoryVolume>, NtStatus> {
        let waits = self.vcb.volume().waits();
        let plan = self.plan_in(AT_ONCE, open);
        assert_eq!(self.vcb.volume().waits(), waits);
        plan
    }

    fn plan_in(&self, context: IrpContext, open: &Open<'_>) -> Result<create::Plan<MemoryVolume>, NtStatus> {
        let request = create::Request {
            related: open.related.map(|handle| (&*handle.fcb, &handle.ccb)),
            name: &open.name,
            case_sensitive: open.case_sensitive,
            open_target_directory: open.target_directory,
            desired_access: open.access,
            options: open.options,
            disposition: open.disposition,
            ea_length: 0,
            may_pass: None,
        };
        create::open(&self.vcb, context, &request)
    }

    /// The status of an open that must fail.
    pub fn refused(&self, open: &Open<'_>) -> NtStatus {
        status_of(&self.plan(open))
    }

    pub fn open(&mut self, open: &Open<'_>) -> Handle {
        let plan = self.plan(open);
        let opening = match plan {
            Ok(create::Plan::Open(opening)) => opening,
            Ok(create::Plan::Reparse(reparse)) => panic!("unexpected reparse {:?}", reparse.tag),
            Err(status) => panic!("{} is refused: {status}", String::from_utf16_lossy(&open.name)),
        };
        let opened = |new| Opened {
            information: opening.information.0,
            new,
            attributes_only: opening.attributes_only,
            maximum_allowed: opening.maximum_allowed,
            no_buffering: opening.no_buffering,
        };
        let key = opening.fcb.key();
        let (fcb, new) = self
            .table
            .try_enter(key, || Arc::new(opening.fcb))
            .expect("memory");
        Handle {
            fcb,
            ccb: opening.ccb,
            opening: opened(new),
            cursor: dirctrl::DirCursor::new(),
        }
    }

    pub fn open_name(&mut self, name: &str) -> Handle {
        self.open(&open(name))
    }

    pub fn close(&mut self, handle: Handle) {
        let Handle { fcb, .. } = handle;
        let _ = self.table.leave(fcb.key(), fcb);
    }

    /// Queries into a buffer of `length` bytes; what is beyond Information must be untouched.
    pub fn query(&self, handle: &Handle, class: FileInformationClass, length: usize) -> (NtStatus, Vec<u8>) {
        let state = fileinfo::FileObjectState {
            position: 77,
            mode: 0x20,
        };
        written(length, |out| {
            fileinfo::query(&self.vcb, &handle.fcb, &handle.ccb, state, class, out)
        })
    }

    pub fn query_volume(&self, class: FsInformationClass, length: usize) -> (NtStatus, Vec<u8>) {
        written(length, |out| volinfo::query(&self.vcb, class, out))
    }

    pub fn list(
        &self,
        handle: &mut Handle,
        query: &dirctrl::Query<'_>,
        length: usize,
    ) -> (NtStatus, Vec<u8>) {
        let Handle { fcb, ccb, cursor, .. } = handle;
        written(length, |out| {
            dirctrl::query(&self.vcb, fcb, ccb, cursor, query, out)
        })
    }
}

/// What the IRP ends with, if NT has nothing against it.
pub fn status_of(plan: &Result<create::Plan<MemoryVolume>, NtStatus>) -> NtStatus {
    match plan {
        Err(status) => *status,
        Ok(create::Plan::Reparse(_)) => NtStatus::REPARSE,
        Ok(create::Plan::Open(_)) => NtStatus::SUCCESS,
    }
}

/// Everything that a CREATE said, to be compared and shown.
pub fn told(plan: &Result<create::Plan<MemoryVolume>, NtStatus>) -> String {
    match plan {
        Err(status) => status.to_string(),
        Ok(create::Plan::Reparse(reparse)) => format!("{reparse:?}"),
        Ok(create::Plan::Open(opening)) => format!(
            "{:?} {:?} {:?} {:?} {:?} {} {} {}",
            opening.fcb.kind(),
            opening.fcb.node(),
            opening.fcb.metadata(),
            opening.ccb,
            opening.information,
            opening.maximum_allowed,
            opening.attributes_only,
            opening.no_buffering,
        ),
    }
}

/// Runs a call on a marked buffer; returns what it wrote.
pub fn written(length: usize, call: impl FnOnce(&mut [u8]) -> Outcome) -> (NtStatus, Vec<u8>) {
    let mut out = vec![UNTOUCHED; length];
    let outcome = call(&mut out);
    assert!(outcome.information <= length, "{outcome:?} exceeds {length}");
    assert!(
        out[outcome.information..].iter().all(|byte| *byte == UNTOUCHED),
        "{outcome:?} wrote beyond"
    );
    if outcome.status.is_error() {
        assert_eq!(outcome.information, 0, "{outcome:?}");
    }
    out.truncate(outcome.information);
    (outcome.status, out)
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
pub fn text(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16_at(pair, 0)).collect();
    String::from_utf16(&units).unwrap()
}
