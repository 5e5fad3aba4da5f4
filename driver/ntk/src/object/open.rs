//! What stands behind a file object: [`FcbBlock`] behind `FsContext` (one for each inode in use), [`Open`] behind
//! `FsContext2` (one for each file object). This file alone encodes and decodes both pointers.
//!
//! The kernel looks into the FCB block: it begins with the FCB header, whose resources the cache manager takes, and
//! the section object pointers in it are the memory manager's. So a block never moves: it lives in a box, and what
//! the [`FcbTable`](lklfs_fsd::FcbTable) counts is the box.
//
// UNSAFETY: fills structures that the kernel reads and writes, and turns file objects' context words into references.

use crate::major::close;
use crate::object::pending;
use crate::object::volume::MountedVolume;
use crate::workque::deferred::{self, Act, Room};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicU8};
use lkl_vfs::LklVolume;
use lklfs_fsd::dirctrl::DirCursor;
use lklfs_fsd::ea::EaCursor;
use lklfs_fsd::{Ccb, Fcb, FcbKind};
use lklfs_kernel::nt::{
    self, AdvancedFcbHeader, FAST_MUTEX, FILE_LOCK, FILE_OBJECT, FsRtlInitializeFileLock,
    FsRtlTeardownPerStreamContexts, FsRtlUninitializeFileLock, KeInitializeEvent, LIST_ENTRY,
    ObfDereferenceObject, ObfReferenceObject, PFILE_OBJECT, PVOID, SECTION_OBJECT_POINTERS, SHARE_ACCESS,
};
use lklfs_kernel::pool;
use lklfs_kernel::resource::{Guarded, Resource};
use lklfs_kernel::sync::SpinLock;
use lklfs_nt::NtStatus;

/// `FSRTL_FLAG_ADVANCED_HEADER`: the fields from `fast_mutex` on are there.
const FLAG_ADVANCED_HEADER: u8 = 0x40;
/// `FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS`.
const FLAG2_SUPPORTS_FILTER_CONTEXTS: u8 = 0x02;
/// `FSRTL_FCB_HEADER_V1` in the high half of its byte.
const HEADER_VERSION_1: u8 = 0x10;
/// `FastIoIsNotPossible`, `FastIoIsPossible`, `FastIoIsQuestionable`.
const FAST_IO_NOT_POSSIBLE: u8 = 0;
const FAST_IO_QUESTIONABLE: u8 = 2;
/// Marks our FCB headers; any number that no other file system's tools mistake.
const NODE_TYPE_FCB: i16 = 0x4c4b;

/// One inode in use, as NT sees it.
#[repr(C)]
pub struct FcbBlock {
    /// First, because `FsContext` points here.
    header: UnsafeCell<AdvancedFcbHeader>,
    sections: UnsafeCell<SECTION_OBJECT_POINTERS>,
    fast_mutex: UnsafeCell<FAST_MUTEX>,
    /// Changed under the main resource, exclusive.
    share: UnsafeCell<SHARE_ACCESS>,
    locks: UnsafeCell<FILE_LOCK>,
    /// Whether the volume knows that it has or had a cache map.
    pub cached: AtomicBool,
    main: Box<Resource>,
    _paging: Box<Resource>,
    /// The inode as the core sees it.
    pub fcb: Fcb<LklVolume>,
    _pinned: PhantomPinned,
}

// SAFETY: the kernel guards its parts with the resources and mutexes in here; `share` is guarded by the main resource;
// the rest does not change.
unsafe impl Send for FcbBlock {}
// SAFETY: as above.
unsafe impl Sync for FcbBlock {}

/// What the table of FCBs holds: the box may move, the block in it does not.
pub struct FcbHandle(Box<FcbBlock>);

impl core::ops::Deref for FcbHandle {
    type Target = FcbBlock;
    fn deref(&self) -> &FcbBlock {
        &self.0
    }
}

impl FcbHandle {
    /// The block of an inode, for a volume with `sector_size` bytes in a sector. `None` for lack of memory.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn new(fcb: Fcb<LklVolume>, sector_size: u32) -> Option<Arc<FcbHandle>> {
        let main = Resource::new()?;
        let paging = Resource::new()?;
        let size = i64::try_from(fcb.file_size()).unwrap_or(i64::MAX);
        let allocation = i64::try_from(fcb.allocation_size(sector_size)).unwrap_or(i64::MAX);
        let cacheable = fcb.kind() == FcbKind::File;
        // The place first: a block that was not initialised must not be dropped.
        let place = fallible::try_box(MaybeUninit::<FcbBlock>::uninit())?;
        let block = FcbBlock {
            header: UnsafeCell::new(AdvancedFcbHeader {
                node_type_code: NODE_TYPE_FCB,
                node_byte_size: size_of::<AdvancedFcbHeader>() as i16,
                flags: FLAG_ADVANCED_HEADER,
                is_fast_io_possible: if cacheable {
                    FAST_IO_QUESTIONABLE
                } else {
                    FAST_IO_NOT_POSSIBLE
                },
                flags2: FLAG2_SUPPORTS_FILTER_CONTEXTS,
                version: HEADER_VERSION_1,
                resource: main.as_ptr(),
                paging_io_resource: paging.as_ptr(),
                allocation_size: allocation,
                file_size: size,
                valid_data_length: size,
                fast_mutex: null_mut(),
                filter_contexts: LIST_ENTRY::default(),
                push_lock: 0,
                file_context_support: null_mut(),
                newer: [0; 3],
            }),
            sections: UnsafeCell::new(SECTION_OBJECT_POINTERS::default()),
            fast_mutex: UnsafeCell::new(FAST_MUTEX::default()),
            share: UnsafeCell::new(SHARE_ACCESS::default()),
            locks: UnsafeCell::new(FILE_LOCK::default()),
            cached: AtomicBool::new(false),
            main,
            _paging: paging,
            fcb,
            _pinned: PhantomPinned,
        };
        let block = Box::write(place, block);
        let mutex = block.fast_mutex.get();
        // SAFETY: the block is ours and is where it will stay. This is ExInitializeFastMutex, an inline of NT's.
        unsafe { (*mutex).Count = 1 };
        // SAFETY: as above.
        let event = unsafe { &raw mut (*mutex).Event };
        // SAFETY: as above.
        unsafe { KeInitializeEvent(event, nt::_EVENT_TYPE::SynchronizationEvent, nt::NO) };
        let header = block.header.get();
        // SAFETY: as above. This is FsRtlSetupAdvancedHeader, an inline of NT's.
        unsafe { (*header).fast_mutex = mutex };
        // SAFETY: as above.
        let list = unsafe { &raw mut (*header).filter_contexts };
        // SAFETY: as above; an empty list leads to itself.
        unsafe {
            *list = nt::LIST_ENTRY {
                Flink: list,
                Blink: list,
            }
        };
        // SAFETY: as above; the routine completes lock IRPs, whose context is their open.
        unsafe { FsRtlInitializeFileLock(block.locks.get(), Some(pending::complete_lock), None) };
        pool::try_arc(FcbHandle(block))
    }
}

impl FcbBlock {
    /// What `FileObject->SectionObjectPointer` is set to.
    pub fn sections(&self) -> *mut SECTION_OBJECT_POINTERS {
        self.sections.get()
    }

    /// The share access record, for IoCheckShareAccess and its like under [`FcbBlock::main`], exclusive.
    pub fn share(&self) -> *mut SHARE_ACCESS {
        self.share.get()
    }

    /// The byte-range locks.
    pub fn locks(&self) -> *mut FILE_LOCK {
        self.locks.get()
    }

    /// The main resource.
    pub fn main(&self) -> &Resource {
        &self.main
    }

    /// Allocation size, file size and valid data length, as the cache manager takes them.
    pub fn sizes(&self) -> (i64, i64, i64) {
        let header = self.header.get();
        // SAFETY: the sizes do not change.
        let allocation = unsafe { (*header).allocation_size };
        // SAFETY: as above.
        let size = unsafe { (*header).file_size };
        // SAFETY: as above.
        let valid = unsafe { (*header).valid_data_length };
        (allocation, size, valid)
    }

    fn context(&self) -> PVOID {
        self.header.get().cast()
    }
}

impl Drop for FcbBlock {
    fn drop(&mut self) {
        // SAFETY: initialised by new(); no file object refers to the block any more.
        unsafe { FsRtlUninitializeFileLock(self.locks.get()) };
        let header = self.header.get();
        // SAFETY: as above.
        let list = unsafe { &raw mut (*header).filter_contexts };
        // SAFETY: as above.
        let first = unsafe { (*list).Flink };
        if first != list {
            // SAFETY: as above; filters' contexts go with the stream.
            unsafe { FsRtlTeardownPerStreamContexts(header.cast()) };
        }
    }
}

/// A file object of this driver's, referenced: its CLOSE comes later. Only for what needs the file object itself, as the cache
/// manager does: a query of attributes by name uses one that lies on the I/O manager's stack, which nobody can reference, and
/// everything else needs no more than [`OpenRef`].
pub struct FileRef(NonNull<FILE_OBJECT>);

// SAFETY: a reference to a file object may be used and given back by any thread.
unsafe impl Send for FileRef {}

impl FileRef {
    /// References a file object; `None` for none.
    ///
    /// # Safety
    /// `file` is null or a file object on a device of this driver, alive, and one of the object manager's: that of a READ or a
    /// DEVICE_CONTROL.
    pub unsafe fn new(file: PFILE_OBJECT) -> Option<Self> {
        let file = NonNull::new(file)?;
        // SAFETY: promised by the caller.
        unsafe { ObfReferenceObject(file.as_ptr().cast()) };
        Some(FileRef(file))
    }

    /// The file object.
    pub fn as_ptr(&self) -> PFILE_OBJECT {
        self.0.as_ptr()
    }

    /// The open behind it.
    pub fn open(&self) -> Option<&Open> {
        // SAFETY: referenced by this value.
        unsafe { Open::of(self.0.as_ptr()) }
    }

    /// Gives the reference back, while somebody else has one too: this does not close the file object.
    pub fn release(self) {
        let file = self.0;
        core::mem::forget(self);
        // SAFETY: referenced by new().
        unsafe { ObfDereferenceObject(file.as_ptr().cast()) };
    }
}

impl Drop for FileRef {
    /// This may be the last reference.
    fn drop(&mut self) {
        // SAFETY: referenced by new(), and given back once.
        unsafe { deferred::release(self.0.as_ptr()) };
    }
}

/// A counted use of an open. The file object has one until its CLOSE, and work that may outlive that another. With the last one
/// the inode is let go of and the volume's file objects are counted down ([`close::finish`]).
pub struct OpenRef(Option<Arc<Open>>);

impl OpenRef {
    /// The open behind a file object, counted; `None` for a file object that this driver did not open.
    ///
    /// # Safety
    /// As for [`Open::of`].
    pub unsafe fn of(file: PFILE_OBJECT) -> Option<Self> {
        // SAFETY: promised by the caller.
        let open: *const Open = unsafe { Open::of(file) }?;
        // SAFETY: attach() made it of a count, which is the file object's until its CLOSE.
        unsafe { Arc::increment_strong_count(open) };
        // SAFETY: the count was made just now.
        Some(OpenRef(Some(unsafe { Arc::from_raw(open) })))
    }

    /// The open.
    pub fn get(&self) -> Option<&Open> {
        self.0.as_deref()
    }

    /// Lets go of it elsewhere.
    ///
    /// IRQL: <= DISPATCH_LEVEL.
    pub fn let_go_later(self) {
        let room = self.get().and_then(|open| open.closing.lock().take());
        if let Some(room) = room {
            room.queue(Closing(Some(self)));
        }
    }
}

impl Drop for OpenRef {
    /// IRQL: PASSIVE_LEVEL; the last one blocks.
    fn drop(&mut self) {
        if let Some(last) = self.0.take().and_then(Arc::into_inner) {
            close::finish(last);
        }
    }
}

/// The end of an open, in a thread that may wait.
pub struct Closing(Option<OpenRef>);

impl Act for Closing {
    fn act(&mut self) {
        drop(self.0.take());
    }
}

/// What changes about an open as it is used.
#[derive(Default)]
pub struct Cursors {
    /// Where a directory's listing stands.
    pub directory: DirCursor,
    /// Where the listing of extended attributes stands.
    pub ea: EaCursor,
}

/// The uses of a file object's cache map that are under way. A read that was cancelled may be in the cache manager still
/// when its handle is closed, and the map must not go before it.
#[derive(Default)]
pub struct CacheUsers {
    /// How many there are.
    pub count: u32,
    /// CLEANUP has come: there will be no more, and the last one gives the map back.
    pub closed: bool,
}

/// One open: what `FsContext2` points to.
pub struct Open {
    /// The inode.
    pub fcb: Arc<FcbHandle>,
    /// The open as the core sees it.
    pub ccb: Ccb,
    /// Positions, one user at a time.
    pub cursors: Guarded<Cursors>,
    /// The volume.
    pub volume: Arc<MountedVolume>,
    /// Whether it takes part in share access.
    pub shares: bool,
    /// Who uses the file object's cache map.
    pub cache: SpinLock<CacheUsers>,
    /// Whether it is listed in the volume's [`crate::object::pending::Pended`]: one of that file's values.
    pub pended: AtomicU8,
    /// Room for the end of a CLOSE that must not wait where it comes, once.
    pub closing: SpinLock<Option<Room<Closing>>>,
}

impl Open {
    /// Puts an open behind a file object that is being created.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// `file` is the file object of the CREATE that this driver is working on.
    pub unsafe fn attach(self, file: PFILE_OBJECT, vpb: nt::PVPB) -> Result<(), NtStatus> {
        let context = self.fcb.context();
        let sections = self.fcb.sections();
        let open = pool::try_arc(self).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        // SAFETY: until the CREATE is complete the file object is ours to fill.
        let file = unsafe { &mut *file };
        file.FsContext = context;
        file.FsContext2 = Arc::into_raw(open).cast_mut().cast();
        file.SectionObjectPointer = sections;
        file.PrivateCacheMap = null_mut();
        file.Vpb = vpb;
        Ok(())
    }

    /// The open behind a file object; `None` for a file object that this driver did not open.
    ///
    /// # Safety
    /// `file` is null or a file object on a device of this driver, referenced for `'a`, which ends before its CLOSE.
    pub unsafe fn of<'a>(file: PFILE_OBJECT) -> Option<&'a Open> {
        // SAFETY: promised by the caller.
        let open: *const Open = unsafe { file.as_ref() }?.FsContext2.cast();
        // SAFETY: attach() put the pointer there, and only detach() takes it away.
        unsafe { open.as_ref() }
    }

    /// Takes the open off its file object, for CLOSE.
    ///
    /// # Safety
    /// `file` is the file object of the CLOSE that this driver is working on.
    pub unsafe fn detach(file: PFILE_OBJECT) -> Option<OpenRef> {
        // SAFETY: promised by the caller.
        let pointer: *const Open = unsafe { file.as_ref() }?.FsContext2.cast();
        if pointer.is_null() {
            return None;
        }
        // SAFETY: as above; nobody else looks at a file object in CLOSE.
        let file = unsafe { &mut *file };
        file.FsContext = null_mut();
        file.FsContext2 = null_mut();
        file.SectionObjectPointer = null_mut();
        // SAFETY: attach() made it of a count, and it was taken off just now.
        Some(OpenRef(Some(unsafe { Arc::from_raw(pointer) })))
    }
}
