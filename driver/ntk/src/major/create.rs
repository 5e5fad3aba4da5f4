//! `IRP_MJ_CREATE`: the core decides what is opened; here the inode gets its FCB, sharing is settled, and the file
//! object its two context words.
//!
//! The first part ([`Asked::decide`]) may block and does without the IRP, so that this can be cancelled; the second
//! ([`Asked::settle`]) needs the IRP and waits for nothing.
//
// UNSAFETY: reads and fills the file object; share access.

use crate::irp::Irp;
use crate::major::secur::{self, Subject};
use crate::object::extension::volume_of;
use crate::object::open::{CacheUsers, Cursors, FcbHandle, Open, OpenRef};
use crate::object::pending;
use crate::object::verify;
use crate::object::volume::MountedVolume;
use crate::workque::deferred::Room;
use crate::workque::request::{self, Blocking, Kept};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ptr::null_mut;
use core::sync::atomic::AtomicU8;
use lkl_vfs::LklVolume;
use lklfs_fsd::create::{self, Opening, Plan, Reparse};
use lklfs_fsd::{Ccb, FcbKind, IrpContext, Metadata, Outcome};
use lklfs_kernel::nt::{
    self, FO_CACHE_SUPPORTED, FO_NO_INTERMEDIATE_BUFFERING, IRP_MJ_CREATE, IoCheckShareAccess,
    IoRemoveShareAccess, NTSTATUS, PFILE_OBJECT, SL_CASE_SENSITIVE, SL_OPEN_PAGING_FILE,
    SL_OPEN_TARGET_DIRECTORY, YES,
};
use lklfs_kernel::resource::Guarded;
use lklfs_kernel::sync::SpinLock;
use lklfs_kernel::{pool, stack};
use lklfs_nt::{AccessMask, CreateDisposition, CreateInformation, CreateOptions, NtStatus};

/// How often a CREATE looks whether its device has another VPB, with 10 ms in between: the I/O manager parses a name 32 times, and
/// no more.
const SUCCESSOR_ATTEMPTS: u32 = 100;
/// `IO_REMOUNT`: with STATUS_REPARSE, the I/O manager looks at the device's VPB once more.
const IO_REMOUNT: usize = 1;

/// Answers CREATE on a volume: at once if Linux has every name on the way at hand, else where it may block.
///
/// IRQL: PASSIVE_LEVEL.
pub fn create(mut irp: Irp, blocking: Blocking) -> NTSTATUS {
    // SAFETY: the IRP was sent to this volume device and keeps it alive.
    let Some(volume) = (unsafe { volume_of(irp.device()) }) else {
        // It was torn down since the I/O manager looked at the VPB.
        let outcome = refused(&irp, NtStatus::VOLUME_DISMOUNTED);
        return irp.complete(outcome);
    };
    let asked = match Asked::of(&irp) {
        Ok(asked) => asked,
        Err(status) => return irp.fail(status),
    };
    let admission = match Admission::new(Arc::clone(&volume)) {
        Ok(admission) => admission,
        Err(status) => {
            let outcome = refused(&irp, status);
            if outcome.status == NtStatus::REPARSE {
                volume.wait_for_successor(SUCCESSOR_ATTEMPTS);
            }
            return irp.complete(outcome);
        }
    };
    let related = irp.file().map_or(null_mut(), |object| object.RelatedFileObject);
    // SAFETY: the I/O manager holds the related file object while this one is being opened, and it is on the same device or
    // is refused below.
    let related = unsafe { OpenRef::of(related) };
    if blocking == Blocking::Posted && !volume.is_doubtful() {
        let decided = asked.decide(&volume, related.as_ref().and_then(OpenRef::get), false);
        if !matches!(decided, Err(NtStatus::CANT_WAIT)) {
            let outcome = asked.settle(&mut irp, admission, decided);
            // Its own file object is held still.
            drop(related);
            return irp.complete(outcome);
        }
    }
    let kept = Kept {
        open: related,
        file: None,
    };
    request::run(irp, volume, kept, blocking, move |request, _| {
        asked.open(request, admission)
    })
}

/// A CREATE under way, counted so that the volume stays; it may be given up meanwhile.
struct Admission {
    volume: Arc<MountedVolume>,
    opened: bool,
}

impl Admission {
    fn new(volume: Arc<MountedVolume>) -> Result<Self, NtStatus> {
        let begun = volume.state.lock().begin_opening();
        begun.map(|()| Admission {
            volume,
            opened: false,
        })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let last = self.volume.state.lock().end_opening(self.opened);
        if last {
            stack::insist(|| self.volume.tear_down());
        }
    }
}

/// What is asked for: all of it, so that the IRP is not needed while it is worked on.
struct Asked {
    context: IrpContext,
    flags: u32,
    name: Vec<u16>,
    desired_access: AccessMask,
    options: CreateOptions,
    disposition: CreateDisposition,
    share: u32,
    ea_length: u32,
    traverser: Option<Subject>,
}

/// What a CREATE leads to, before NT has its say.
enum Decided {
    Reparse(Reparse),
    Open(Box<Entered>),
}

/// An inode that is entered among the volume's, and what its open will be.
struct Entered {
    inode: Inode,
    ccb: Ccb,
    cursors: Guarded<Cursors>,
    information: CreateInformation,
    shares: bool,
    no_buffering: bool,
}

/// A counted use of an inode, perhaps with its main resource. Dropped, it lets go of both.
struct Inode {
    volume: Arc<MountedVolume>,
    fcb: Option<Arc<FcbHandle>>,
    locked: bool,
}

impl Inode {
    /// Takes the main resource, if it is to be had or may be waited for.
    fn lock(&mut self, wait: bool) -> bool {
        self.locked = self
            .fcb
            .as_ref()
            .is_some_and(|fcb| fcb.main().acquire_exclusive(wait));
        self.locked
    }

    fn unlock(&mut self) {
        if core::mem::take(&mut self.locked)
            && let Some(fcb) = &self.fcb
        {
            fcb.main().release();
        }
    }

    /// The use goes on in an open, which has a count of its own.
    fn hand_over(mut self) {
        self.unlock();
        drop(self.fcb.take());
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.unlock();
        if let Some(fcb) = self.fcb.take() {
            stack::insist(|| self.volume.leave(fcb));
        }
    }
}

impl Asked {
    fn of(irp: &Irp) -> Result<Self, NtStatus> {
        let parameters = irp.create();
        let object = irp.file().ok_or(NtStatus::INVALID_PARAMETER)?;
        let units = name_of(object);
        let mut name = Vec::new();
        name.try_reserve_exact(units.len())
            .map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        name.extend_from_slice(units);
        Ok(Asked {
            context: irp.context(),
            flags: irp.stack_flags(),
            name,
            desired_access: AccessMask(parameters.desired_access),
            options: CreateOptions(parameters.options & 0x00ff_ffff),
            disposition: CreateDisposition(parameters.options >> 24),
            share: parameters.share_access.into(),
            ea_length: parameters.ea_length,
            traverser: Subject::to_traverse(irp),
        })
    }

    /// Opens, in a thread that may block.
    fn open(self, request: request::Request, admission: Admission) -> NTSTATUS {
        let volume = Arc::clone(&admission.volume);
        let decide = || self.decide(&volume, request.open(), true);
        let mut decided = verify::ensure(&volume).and_then(|()| decide());
        match verify::again(&volume, decided.is_err()) {
            Ok(true) => decided = decide(),
            Ok(false) => {}
            Err(status) => decided = Err(status),
        }
        request.end(|irp| self.settle(irp, admission, decided))
    }

    /// Finds what is to be opened, and enters it. CANT_WAIT if that may block and may not.
    fn decide(
        &self,
        volume: &Arc<MountedVolume>,
        related: Option<&Open>,
        may_wait: bool,
    ) -> Result<Decided, NtStatus> {
        if self.flags & SL_OPEN_PAGING_FILE != 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if related.is_some_and(|related| !Arc::ptr_eq(&related.volume, volume)) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let decided = stack::on_large_stack(|| {
            let plan = self.plan(volume, related, may_wait)?;
            match plan {
                Plan::Reparse(reparse) => Ok(Decided::Reparse(reparse)),
                Plan::Open(opening) => {
                    let entered = fallible::try_box(enter(volume, opening)?);
                    entered.map(Decided::Open).ok_or(NtStatus::INSUFFICIENT_RESOURCES)
                }
            }
        });
        let mut decided = decided.unwrap_or(Err(NtStatus::INSUFFICIENT_RESOURCES));
        // Who purges the file, or makes a section of it, may have the lock for as long as the disk does not answer.
        if let Ok(Decided::Open(entered)) = &mut decided
            && entered.shares
            && !entered.inode.lock(may_wait)
        {
            return Err(NtStatus::CANT_WAIT);
        }
        decided
    }

    fn plan(
        &self,
        volume: &MountedVolume,
        related: Option<&Open>,
        may_wait: bool,
    ) -> Result<Plan<LklVolume>, NtStatus> {
        let by_id = self.options.contains(CreateOptions::FILE_OPEN_BY_FILE_ID);
        let path;
        let (name, related) = if by_id {
            // The related file object only says on which volume.
            path = volume.known.lock().path(&self.name)?;
            (path.as_slice(), None)
        } else {
            (self.name.as_slice(), related)
        };
        let may_pass = |directory: &Metadata| match &self.traverser {
            Some(subject) => subject.may_pass(volume, directory),
            None => Ok(()),
        };
        let traversed = self.traverser.is_some() && !by_id;
        let request = create::Request {
            may_pass: traversed.then_some(&may_pass),
            related: related.map(|open| (&open.fcb.fcb, &open.ccb)),
            name,
            case_sensitive: by_id || self.flags & SL_CASE_SENSITIVE != 0,
            open_target_directory: self.flags & SL_OPEN_TARGET_DIRECTORY != 0,
            desired_access: self.desired_access,
            options: self.options,
            disposition: self.disposition,
            ea_length: self.ea_length,
        };
        let context = IrpContext {
            may_wait,
            ..self.context
        };
        create::open(&volume.vcb, context, &request)
    }

    /// What the IRP is completed with, once NT has had its say. Waits for nothing but the volume's own locks.
    fn settle(&self, irp: &mut Irp, mut admission: Admission, decided: Result<Decided, NtStatus>) -> Outcome {
        let result = match decided {
            Ok(Decided::Reparse(reparse)) => answer_reparse(irp, &reparse),
            Ok(Decided::Open(entered)) => {
                attach(irp, *entered, self.share).inspect(|_| admission.opened = true)
            }
            Err(status) => Err(status),
        };
        // Before the device may be gone.
        let result = result.map_err(|status| admission.volume.reason(status));
        drop(admission);
        result.unwrap_or_else(|status| refused(irp, status))
    }
}

/// What a request that its volume refuses ends with. When another volume is in the place of that one, or can be mounted there,
/// the name of a CREATE is parsed again and leads there, unless it begins at a file object of this one.
pub fn refused(irp: &Irp, status: NtStatus) -> Outcome {
    let absolute = irp
        .file()
        .is_some_and(|object| object.RelatedFileObject.is_null());
    let given_up = matches!(status, NtStatus::WRONG_VOLUME | NtStatus::VOLUME_DISMOUNTED);
    if u32::from(irp.major()) == IRP_MJ_CREATE && absolute && given_up {
        Outcome::new(NtStatus::REPARSE, IO_REMOUNT)
    } else {
        status.into()
    }
}

/// The name as UTF-16 units.
fn name_of(object: &nt::FILE_OBJECT) -> &[u16] {
    let name = &object.FileName;
    if name.Buffer.is_null() || name.Length == 0 {
        return &[];
    }
    // SAFETY: the I/O manager captured the name in pool, hence aligned; it belongs to the file object and does not change
    // during CREATE.
    unsafe { core::slice::from_raw_parts(name.Buffer, usize::from(name.Length) / 2) }
}

/// Hangs the reparse data at the IRP, for the I/O manager to parse the name again.
fn answer_reparse(irp: &mut Irp, reparse: &Reparse) -> Result<Outcome, NtStatus> {
    let buffer: *mut u8 = pool::allocate(reparse.data.len()).cast();
    if buffer.is_null() {
        return Err(NtStatus::INSUFFICIENT_RESOURCES);
    }
    // SAFETY: the block is as long as the data, and new.
    unsafe { core::ptr::copy_nonoverlapping(reparse.data.as_ptr(), buffer, reparse.data.len()) };
    // SAFETY: the I/O manager frees it.
    unsafe { irp.set_auxiliary_buffer(buffer) };
    Ok(Outcome::new(NtStatus::REPARSE, reparse.tag.0 as usize))
}

/// Enters the inode among the volume's.
fn enter(volume: &Arc<MountedVolume>, opening: Opening<LklVolume>) -> Result<Entered, NtStatus> {
    let Opening {
        fcb,
        ccb,
        information,
        attributes_only,
        no_buffering,
        ..
    } = opening;
    let key = fcb.key();
    let sector = volume.vcb.geometry().sector_size;
    let candidate = FcbHandle::new(fcb, sector).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let cursors = Guarded::new(Cursors::default()).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    let entered = volume.table.lock().try_enter(key, || Arc::clone(&candidate));
    // If another open of the inode was first, or the table cannot grow, this closes what was opened in vain: after the
    // table's lock (lock rule 4).
    drop(candidate);
    let (fcb, _) = entered?;
    Ok(Entered {
        inode: Inode {
            volume: Arc::clone(volume),
            fcb: Some(fcb),
            locked: false,
        },
        ccb,
        cursors,
        information,
        shares: !attributes_only,
        no_buffering,
    })
}

/// Checks access and sharing, and fills the file object.
fn attach(irp: &mut Irp, entered: Entered, share: u32) -> Result<Outcome, NtStatus> {
    let Entered {
        inode,
        mut ccb,
        cursors,
        information,
        shares,
        no_buffering,
    } = entered;
    let file: PFILE_OBJECT = irp.file_object();
    let volume = Arc::clone(&inode.volume);
    let fcb = Arc::clone(inode.fcb.as_ref().ok_or(NtStatus::INTERNAL_ERROR)?);
    let closing = Room::reserve().ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
    ccb.granted = secur::check(&volume, irp, &fcb, ccb.granted)?;
    let granted = ccb.granted;
    ccb.manages_volumes = fcb.fcb.kind() == FcbKind::Volume && secur::manages_volumes(irp);
    if shares {
        // SAFETY: the main resource, which guards the record, is held; the file object is the one of the CREATE under way.
        let status = unsafe { IoCheckShareAccess(ccb.granted.0, share, file, fcb.share(), YES) };
        if status < 0 {
            return Err(nt::status(status));
        }
    }
    let cacheable = fcb.fcb.kind() == FcbKind::File;
    if cacheable {
        volume.note_cached(&fcb);
    }
    let record = fcb.share();
    let open = Open {
        fcb,
        ccb,
        cursors,
        volume: Arc::clone(&volume),
        shares,
        cache: SpinLock::new(CacheUsers::default()),
        pended: AtomicU8::new(pending::NOT_LISTED),
        closing: SpinLock::new(Some(closing)),
    };
    // SAFETY: the file object is the one of the CREATE under way.
    if let Err(status) = unsafe { open.attach(file, volume.vpb()) } {
        if shares {
            // SAFETY: counted above, under the same lock; the inode keeps the record.
            unsafe { IoRemoveShareAccess(file, record) };
        }
        return Err(status);
    }
    inode.hand_over();
    let flag = if no_buffering {
        FO_NO_INTERMEDIATE_BUFFERING
    } else if cacheable {
        FO_CACHE_SUPPORTED
    } else {
        0
    };
    // SAFETY: as above.
    unsafe { (*file).Flags |= flag };
    secur::tell(irp, granted);
    Ok(Outcome::success(information.0 as usize))
}

/// Undoes what CREATE did for sharing.
///
/// # Safety
/// `file` is the file object of an IRP that is ours, and the record of `fcb` counts it.
pub unsafe fn give_share_access_back(fcb: &FcbHandle, file: PFILE_OBJECT) {
    fcb.main().acquire_exclusive(true);
    // SAFETY: promised by the caller; the record is guarded by the main resource.
    unsafe { IoRemoveShareAccess(file, fcb.share()) };
    fcb.main().release();
}
