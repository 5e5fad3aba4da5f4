//! Disks that a program gives to Linux, and mounting what is on them.
//!
//! A disk is a file or device of the host's that the program has opened, or a pair of functions of the program's own. Those may
//! wait, which Linux's only CPU must not, so a thread for each such disk calls them. A disk that is added before Linux is
//! booted waits for the boot.
//!
//! Linux may write to a file that the program has opened for writing, and to functions. A file that is open for reading only stays as it
//! is, even when Linux replays a journal on it: what it writes goes into memory.

use crate::files::{self, ProgramFile};
use crate::{Long, calls, int, life, mounts, result};
use linux_full::WritableDisks;
use lkl::{BlockDevice, DevPath, Disk, DiskOptions, Errno, Kernel, ReadRequest};
use lkl_write::{Abilities, Operation, WritableDevice, WritableDisk, WriteRequest};
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// `struct lkl_disk`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CDisk {
    dev: *mut c_void,
    file: ProgramFile,
    ops: *const BlockOperations,
}

/// `struct lkl_dev_blk_ops`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BlockOperations {
    get_capacity: Option<unsafe extern "C" fn(CDisk, *mut u64) -> i32>,
    request: Option<unsafe extern "C" fn(CDisk, *mut BlockRequest) -> i32>,
}

/// `struct lkl_blk_req`
#[repr(C)]
pub struct BlockRequest {
    kind: u32,
    priority: u32,
    sector: u64,
    pieces: *mut Piece,
    count: i32,
}

/// The host's `struct iovec`.
#[repr(C)]
struct Piece {
    base: *mut u8,
    len: usize,
}

const SECTOR: u64 = 512;
const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const STATUS_OK: i32 = 0;

/// A disk of the program's.
#[derive(Clone)]
pub(crate) enum Given {
    Readable(Arc<dyn Disk>),
    Writable(Arc<dyn WritableDisk>),
}

/// A disk of Linux's.
enum Device {
    Readable(BlockDevice),
    Writable(WritableDevice),
}

impl Given {
    fn add_to(self, kernel: &Kernel) -> Result<Device, Errno> {
        match self {
            Given::Readable(disk) => kernel
                .add_disk(disk, DiskOptions::default())
                .map(Device::Readable),
            Given::Writable(disk) => kernel.add_writable_disk(disk, 0).map(Device::Writable),
        }
    }
}

impl Device {
    fn path(&self) -> Result<DevPath, Errno> {
        match self {
            Device::Readable(device) => device.dev_path(),
            Device::Writable(device) => device.dev_path(),
        }
    }

    fn remove(self) -> Result<(), Errno> {
        match self {
            Device::Readable(device) => device.remove(),
            Device::Writable(device) => device.remove(),
        }
    }
}

/// A disk on its way: the program's, then Linux's, then none.
enum Entry {
    Waiting(Given),
    Added(Device),
    Removed,
}

/// By their numbers.
static DISKS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

fn disks() -> MutexGuard<'static, Vec<Entry>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Linux runs now: the disks that wait for it are added.
pub(crate) fn add_waiting(kernel: &Kernel) -> Result<(), Errno> {
    for entry in disks().iter_mut() {
        if let Entry::Waiting(disk) = entry {
            *entry = Entry::Added(disk.clone().add_to(kernel)?);
        }
    }
    Ok(())
}

/// Linux has gone: the disks that it had are no disks of the next.
pub(crate) fn forget_added() {
    for entry in disks().iter_mut() {
        if let Entry::Added(_) = entry {
            *entry = Entry::Removed;
        }
    }
}

/// The program has done with Linux, and with its disks.
pub(crate) fn forget_all() {
    disks().clear();
}

/// Functions of the program's, and the thread that calls them. The thread ends when the disk is dropped.
struct Served {
    size: u64,
    requests: Mutex<mpsc::Sender<Request>>,
}

/// A request of either kind.
enum Request {
    Read(ReadRequest),
    Change(WriteRequest),
}

impl Request {
    fn complete(self, outcome: Result<(), Errno>) {
        match self {
            Request::Read(request) => request.complete(outcome),
            Request::Change(request) => request.complete(outcome),
        }
    }
}

/// What the thread has of the disk.
struct Server {
    disk: CDisk,
    request: unsafe extern "C" fn(CDisk, *mut BlockRequest) -> i32,
}

// SAFETY: the program gave the disk to be called from whatever thread reads it.
unsafe impl Send for Server {}

impl Served {
    /// # Safety
    /// The disk's operations stay until it is removed.
    unsafe fn new(disk: CDisk) -> Result<Served, Errno> {
        // SAFETY: the caller's promise.
        let ops = unsafe { *disk.ops };
        let (Some(capacity), Some(request)) = (ops.get_capacity, ops.request) else {
            return Err(Errno::EINVAL);
        };
        let mut size = 0;
        // SAFETY: the program's function, with its disk.
        if unsafe { capacity(disk, &mut size) } < 0 {
            return Err(Errno::EIO);
        }
        let (requests, received) = mpsc::channel();
        let server = Server { disk, request };
        std::thread::Builder::new()
            .name("lkl-disk".into())
            .spawn(move || server.serve(&received))
            .map_err(|_| Errno::ENOMEM)?;
        Ok(Served {
            size,
            requests: Mutex::new(requests),
        })
    }
}

impl Server {
    fn serve(self, requests: &mpsc::Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            let outcome = match &request {
                Request::Read(request) => self.read(request),
                Request::Change(request) => self.change(request),
            };
            request.complete(outcome);
        }
    }

    fn read(&self, request: &ReadRequest) -> Result<(), Errno> {
        let pieces = request
            .raw_segments()
            .map(|(base, len): (NonNull<u8>, usize)| Piece {
                base: base.as_ptr(),
                len,
            })
            .collect();
        self.ask(READ, request.offset(), pieces)
    }

    fn change(&self, request: &WriteRequest) -> Result<(), Errno> {
        let pieces = request
            .segments()
            .map(|segment| Piece {
                base: segment.as_ptr().cast_mut(),
                len: segment.len(),
            })
            .collect();
        match request.operation() {
            Operation::Write { .. } => self.ask(WRITE, request.offset(), pieces),
            Operation::Flush => self.ask(FLUSH, 0, pieces),
            // Not among the abilities.
            Operation::Discard | Operation::WriteZeroes { .. } => Err(Errno::EOPNOTSUPP),
        }
    }

    /// The pieces are memory of a request's, which is answered after this.
    fn ask(&self, kind: u32, offset: u64, mut pieces: Vec<Piece>) -> Result<(), Errno> {
        let mut asked = BlockRequest {
            kind,
            priority: 0,
            sector: offset / SECTOR,
            count: i32::try_from(pieces.len()).map_err(|_| Errno::EIO)?,
            pieces: pieces.as_mut_ptr(),
        };
        // SAFETY: the program's function, which fills the pieces of a read and leaves those of a write as they are.
        match unsafe { (self.request)(self.disk, &mut asked) } {
            STATUS_OK => Ok(()),
            _ => Err(Errno::EIO),
        }
    }
}

impl Served {
    fn send(&self, request: Request) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(unsent) = requests.send(request) {
            unsent.0.complete(Err(Errno::EIO));
        }
    }
}

impl Disk for Served {
    fn size_bytes(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u32 {
        512
    }

    fn read(&self, request: ReadRequest) {
        self.send(Request::Read(request));
    }
}

impl WritableDisk for Served {
    fn abilities(&self) -> Abilities {
        Abilities {
            flush: true,
            fua: false,
            discard: false,
            discard_granularity: 0,
            write_zeroes: false,
        }
    }

    fn change(&self, request: WriteRequest) {
        self.send(Request::Change(request));
    }
}

unsafe fn add(disk: *const CDisk) -> Result<u64, Errno> {
    if disk.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the caller's promise.
    let given = unsafe { *disk };
    let disk = if given.ops.is_null() {
        // SAFETY: as above: the program set the member for its host, and has the file open during this call.
        unsafe { files::open_disk(given.file) }?
    } else {
        // SAFETY: as above.
        Given::Writable(Arc::new(unsafe { Served::new(given) }?))
    };
    let mut disks = disks();
    let entry = match life::kernel() {
        Ok(kernel) => Entry::Added(disk.add_to(&kernel)?),
        Err(_) => Entry::Waiting(disk),
    };
    disks.push(entry);
    u64::try_from(disks.len() - 1).map_err(|_| Errno::EOVERFLOW)
}

/// # Safety
/// A disk, whose operations stay until it is removed.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_disk_add(disk: *mut CDisk) -> i32 {
    // SAFETY: the caller's promise.
    let number = unsafe { add(disk) };
    if let Ok(number) = number {
        // SAFETY: as above; the number tells lkl_disk_remove() which disk is meant.
        unsafe { (*disk).dev = std::ptr::without_provenance_mut(number as usize + 1) };
    }
    int(number)
}

#[unsafe(no_mangle)]
extern "C" fn lkl_disk_remove(disk: CDisk) -> i32 {
    let entry = {
        let mut disks = disks();
        let entry = disk.dev.addr().checked_sub(1).and_then(|at| disks.get_mut(at));
        match entry {
            Some(entry) => std::mem::replace(entry, Entry::Removed),
            None => return int(Err(Errno::EINVAL)),
        }
    };
    match entry {
        Entry::Added(device) => int(device.remove().map(|()| 0)),
        Entry::Waiting(_) => 0,
        Entry::Removed => int(Err(Errno::ENODEV)),
    }
}

/// What Linux calls a disk, as in `/sys/block`.
fn name(id: u32) -> Result<String, Errno> {
    let disks = disks();
    match usize::try_from(id).ok().and_then(|id| disks.get(id)) {
        Some(Entry::Added(device)) => {
            let path = device.path()?;
            let name = path.as_bytes().strip_prefix(b"/dev/").ok_or(Errno::ENODEV)?;
            Ok(String::from_utf8_lossy(name).into_owned())
        }
        _ => Err(Errno::ENODEV),
    }
}

/// The device number of a disk, or of a partition of it.
fn device(id: u32, part: u32) -> Result<u32, Errno> {
    mounts::mount_by_name(c"sysfs")?;
    let name = name(id)?;
    let whole = format!("/sysfs/block/{name}");
    if part == 0 {
        return mounts::device_in_sysfs(&calls::path(&format!("{whole}/dev"))?);
    }
    // A name that ends with a digit has a p before the partition's number.
    let between = if name.ends_with(|c: char| c.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    mounts::device_in_sysfs(&calls::path(&format!("{whole}/{name}{between}{part}/dev"))?)
}

/// # Safety
/// Where the number goes.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_get_virtio_blkdev(disk_id: i32, part: u32, dev: *mut u32) -> i32 {
    let number = u32::try_from(disk_id)
        .map_err(|_| Errno::ENODEV)
        .and_then(|id| device(id, part));
    match number {
        Ok(number) => {
            // SAFETY: the caller's promise.
            unsafe { dev.write(number) };
            0
        }
        Err(errno) => int(Err(errno)),
    }
}

/// The node and the folder of a device.
fn places(number: u32) -> Result<(CString, CString), Errno> {
    Ok((
        calls::path(&format!("/dev/{number:08x}"))?,
        calls::path(&format!("/mnt/{number:08x}"))?,
    ))
}

fn mount(id: u32, part: u32, kind: &CStr, flags: Long, options: Option<&CStr>) -> Result<CString, Errno> {
    let number = device(id, part)?;
    let (node, folder) = places(number)?;
    calls::make_folder(c"/dev")?;
    calls::make_folder(c"/mnt")?;
    calls::make_block_node(&node, number)?;
    calls::make_folder(&folder)?;
    if let Err(errno) = calls::mount(&node, &folder, kind, flags, options) {
        // What was made for it goes; the mount's error is what counts.
        let _ = calls::remove_folder(&folder);
        return Err(errno);
    }
    Ok(folder)
}

/// # Safety
/// Strings, `opts` possibly NULL; `mnt_str_len` bytes for the path.
#[unsafe(no_mangle)]
unsafe extern "C" fn lkl_mount_dev(
    disk_id: u32,
    part: u32,
    fs_type: *const c_char,
    flags: i32,
    opts: *const c_char,
    mnt_str: *mut c_char,
    mnt_str_len: u32,
) -> Long {
    // SAFETY: the caller's promise.
    let kind = unsafe { CStr::from_ptr(fs_type) };
    // SAFETY: as above.
    let options = (!opts.is_null()).then(|| unsafe { CStr::from_ptr(opts) });
    let room = usize::try_from(mnt_str_len).unwrap_or(0);
    // As many as every path takes.
    if room < "/mnt/00000000".len() + 1 {
        return result(Err(Errno::EINVAL));
    }
    match mount(disk_id, part, kind, flags.into(), options) {
        Ok(folder) => {
            let path = folder.as_bytes_with_nul();
            // SAFETY: there is room, as was looked above.
            unsafe {
                path.as_ptr()
                    .copy_to_nonoverlapping(mnt_str.cast(), path.len().min(room))
            };
            0
        }
        Err(errno) => errno.negated(),
    }
}

#[unsafe(no_mangle)]
extern "C" fn lkl_umount_dev(disk_id: u32, part: u32, flags: i32, timeout_ms: Long) -> Long {
    let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0));
    result(device(disk_id, part).and_then(places).and_then(|(_, folder)| {
        mounts::unmount(&folder, flags, patience)?;
        calls::remove_folder(&folder)
    }))
}
