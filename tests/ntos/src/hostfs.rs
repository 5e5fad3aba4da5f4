//! Drive `C:` of the double: a folder of this machine, read-only, as a modelled file system.
//!
//! It is there for drivers that read files by path, such as disk images. `\??\C:\a\b` is `a/b` in the folder; names are
//! compared exactly. Only what such a driver needs is answered: CREATE of existing files, READ, the standard
//! information. Beside that it does what other programs and networks do to files: [`lock`] is a program that shares
//! nothing, [`vanish`] a share whose server is gone, [`lose`] one file of it, [`hang`] a server that answers no more until
//! [`answer`].

use crate::io::{complete, device, irp, names, native};
use crate::nt::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

const DEVICE: &str = "\\Device\\HostFiles";
const LETTER: &str = "\\??\\C:";

/// What the drive shows.
struct Drive {
    root: PathBuf,
    device: usize,
    /// Files that another program has open and shares with nobody.
    locked: Vec<PathBuf>,
    /// Files that fail every read.
    lost: Vec<PathBuf>,
    /// Files whose reads do not end.
    hanging: Vec<PathBuf>,
    /// Files whose reads will not end after so many more.
    patient: Vec<(PathBuf, u32)>,
    /// Those reads.
    held: Vec<usize>,
    /// Opens under way, by file: how many.
    open: BTreeMap<PathBuf, usize>,
}

static DRIVE: Mutex<Option<Drive>> = Mutex::new(None);
static GONE: AtomicBool = AtomicBool::new(false);
static READS: AtomicU64 = AtomicU64::new(0);

fn drive<T>(act: impl FnOnce(&mut Option<Drive>) -> T) -> T {
    act(&mut DRIVE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An open file, behind `FsContext`.
struct Opened {
    file: File,
    path: PathBuf,
}

/// Shows `root` as drive `C:`, until [`unmount`].
pub fn mount(root: &Path) {
    GONE.store(false, Ordering::SeqCst);
    let driver = native::driver("\\FileSystem\\HostFiles", dispatch);
    // SAFETY: the driver lives for ever; the new device is ours.
    let made = unsafe {
        let made = device::create(
            driver,
            0,
            Some(&names::wide(DEVICE)),
            FILE_DEVICE_DISK_FILE_SYSTEM,
            0,
        );
        made.inspect(|device| {
            (**device).StackSize = 1;
            (**device).Flags &= !DO_DEVICE_INITIALIZING;
        })
    };
    let device = made.expect("the drive is mounted once");
    let linked = names::insert(&names::wide(LETTER), names::Node::Link(names::wide(DEVICE)));
    assert_eq!(linked, STATUS_SUCCESS, "C: is taken");
    drive(|drive| {
        *drive = Some(Drive {
            root: root.to_path_buf(),
            device: device as usize,
            locked: Vec::new(),
            lost: Vec::new(),
            hanging: Vec::new(),
            patient: Vec::new(),
            held: Vec::new(),
            open: BTreeMap::new(),
        });
    });
}

/// Takes the drive away, if there is one. Every file on it must be closed.
pub fn unmount() {
    let Some(gone) = drive(Option::take) else { return };
    assert!(gone.open.is_empty(), "files are open on C: {:?}", gone.open);
    names::remove_link(&names::wide(LETTER));
    // SAFETY: made by mount(); nothing is open on it.
    unsafe { device::delete(gone.device as PDEVICE_OBJECT) };
}

/// Another program has the file at `path` (below the folder) open and shares it with nobody.
pub fn lock(path: &str) {
    drive(|drive| {
        if let Some(drive) = drive {
            let path = drive.root.join(path);
            drive.locked.push(path);
        }
    });
}

/// Every read of the file at `path` (below the folder) fails from now on.
pub fn lose(path: &str) {
    drive(|drive| {
        if let Some(drive) = drive {
            drive.lost.push(drive.root.join(path));
        }
    });
}

/// Reads of the file at `path` (below the folder) that come from now on do not end, and cannot be cancelled.
pub fn hang(path: &str) {
    drive(|drive| {
        if let Some(drive) = drive {
            drive.hanging.push(drive.root.join(path));
        }
    });
}

/// As [`hang`], after so many more reads of the file.
pub fn hang_after(path: &str, reads: u32) {
    drive(|drive| {
        if let Some(drive) = drive {
            drive.patient.push((drive.root.join(path), reads));
        }
    });
}

/// Reads that do not end.
pub fn held() -> usize {
    drive(|drive| drive.as_ref().map_or(0, |drive| drive.held.len()))
}

/// The server answers again, with an error for what it was asked meanwhile.
pub fn answer() {
    answer_with(|_| (STATUS_IO_TIMEOUT, 0));
}

/// The server answers again, with what it was asked for meanwhile.
pub fn serve() {
    // SAFETY: a held IRP is the drive's until it is completed.
    answer_with(|packet| unsafe { read((*irp::current(packet)).FileObject, packet) });
}

fn answer_with(result: impl Fn(PIRP) -> (NTSTATUS, usize)) {
    let held = drive(|drive| {
        let drive = drive.as_mut()?;
        drive.hanging.clear();
        drive.patient.clear();
        Some(std::mem::take(&mut drive.held))
    });
    for packet in held.into_iter().flatten() {
        let packet = packet as PIRP;
        let (status, information) = result(packet);
        // SAFETY: a held IRP is the drive's until here.
        unsafe {
            irp::set_status(packet, status, information);
            complete::complete(packet);
        }
    }
}

/// Keeps a read of a file that hangs.
///
/// # Safety
/// `packet` is a READ of a file that `create` opened.
unsafe fn hold(file_object: PFILE_OBJECT, packet: PIRP) -> bool {
    // SAFETY: by contract.
    let opened = unsafe { &*(*file_object).FsContext.cast::<Opened>() };
    drive(|drive| {
        let Some(drive) = drive else { return false };
        if let Some(at) = drive.patient.iter().position(|(path, _)| *path == opened.path) {
            let left = &mut drive.patient[at].1;
            if *left == 0 {
                drive.patient.remove(at);
                drive.hanging.push(opened.path.clone());
            } else {
                *left -= 1;
            }
        }
        let hangs = drive.hanging.contains(&opened.path);
        if hangs {
            // SAFETY: the IRP is ours, and marked before anyone can complete it.
            unsafe { (*irp::current(packet)).Control |= SL_PENDING_RETURNED as u8 };
            drive.held.push(packet as usize);
        }
        hangs
    })
}

/// Files that are open on the drive.
pub fn open_files() -> usize {
    drive(|drive| drive.as_ref().map_or(0, |drive| drive.open.values().sum()))
}

/// How many reads came so far.
pub fn reads() -> u64 {
    READS.load(Ordering::SeqCst)
}

/// From now on every read and open fails as when a server is gone.
pub fn vanish() {
    GONE.store(true, Ordering::SeqCst);
}

/// Every request to the drive.
///
/// # Safety
/// The I/O manager calls it with our device and an IRP for it.
unsafe fn dispatch(_device: PDEVICE_OBJECT, packet: PIRP) -> NTSTATUS {
    // SAFETY: by contract.
    let (status, information) = unsafe {
        let location = irp::current(packet);
        let file_object = (*location).FileObject;
        match u32::from((*location).MajorFunction) {
            IRP_MJ_CREATE => match create(file_object, (*location).Parameters.Create.Options) {
                Ok(()) => (STATUS_SUCCESS, FILE_OPENED as usize),
                Err(status) => (status, 0),
            },
            IRP_MJ_CLEANUP => (STATUS_SUCCESS, 0),
            IRP_MJ_CLOSE => {
                close(file_object);
                (STATUS_SUCCESS, 0)
            }
            IRP_MJ_READ if hold(file_object, packet) => return STATUS_PENDING,
            IRP_MJ_READ => read(file_object, packet),
            IRP_MJ_QUERY_INFORMATION => query(file_object, packet),
            IRP_MJ_WRITE | IRP_MJ_SET_INFORMATION => (STATUS_MEDIA_WRITE_PROTECTED, 0),
            _ => (STATUS_INVALID_DEVICE_REQUEST, 0),
        }
    };
    // SAFETY: the IRP is ours until here.
    unsafe {
        irp::set_status(packet, status, information);
        complete::complete(packet);
    }
    status
}

/// The file of this machine that `name` stands for.
fn place(root: &Path, name: &[u16]) -> Result<PathBuf, NTSTATUS> {
    let name = String::from_utf16(name).map_err(|_| STATUS_OBJECT_NAME_INVALID)?;
    let mut path = root.to_path_buf();
    for part in name.split('\\').filter(|part| !part.is_empty()) {
        if part == ".." || part.contains('/') {
            return Err(STATUS_OBJECT_NAME_INVALID);
        }
        path.push(part);
    }
    Ok(path)
}

/// # Safety
/// `file_object` is being opened with these options.
unsafe fn create(file_object: PFILE_OBJECT, options: u32) -> Result<(), NTSTATUS> {
    if GONE.load(Ordering::SeqCst) {
        return Err(STATUS_BAD_NETWORK_PATH);
    }
    // SAFETY: by contract.
    let name = unsafe { names::characters(&raw const (*file_object).FileName) };
    let disposition = options >> 24;
    if !matches!(disposition, FILE_OPEN | FILE_OPEN_IF) {
        return Err(STATUS_MEDIA_WRITE_PROTECTED);
    }
    drive(|drive| {
        let drive = drive.as_mut().ok_or(STATUS_NO_SUCH_DEVICE)?;
        let path = place(&drive.root, &name)?;
        if drive.locked.contains(&path) {
            return Err(STATUS_SHARING_VIOLATION);
        }
        let file = File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound if path.parent().is_some_and(Path::is_dir) => {
                STATUS_OBJECT_NAME_NOT_FOUND
            }
            std::io::ErrorKind::NotFound => STATUS_OBJECT_PATH_NOT_FOUND,
            _ => STATUS_ACCESS_DENIED,
        })?;
        if file.metadata().is_ok_and(|facts| facts.is_dir()) && options & FILE_NON_DIRECTORY_FILE != 0 {
            return Err(STATUS_FILE_IS_A_DIRECTORY);
        }
        *drive.open.entry(path.clone()).or_default() += 1;
        // SAFETY: the context is ours until the close.
        unsafe { (*file_object).FsContext = Box::into_raw(Box::new(Opened { file, path })).cast() };
        Ok(())
    })
}

/// # Safety
/// The last reference to a file object that `create` opened goes.
unsafe fn close(file_object: PFILE_OBJECT) {
    // SAFETY: by contract.
    let opened = unsafe { Box::from_raw((*file_object).FsContext.cast::<Opened>()) };
    drive(|drive| {
        if let Some(drive) = drive
            && let Some(count) = drive.open.get_mut(&opened.path)
        {
            *count -= 1;
            if *count == 0 {
                drive.open.remove(&opened.path);
            }
        }
    });
}

/// # Safety
/// `packet` is a READ of a file that `create` opened, with a buffer of the kernel's.
unsafe fn read(file_object: PFILE_OBJECT, packet: PIRP) -> (NTSTATUS, usize) {
    READS.fetch_add(1, Ordering::SeqCst);
    if GONE.load(Ordering::SeqCst) {
        return (STATUS_UNEXPECTED_NETWORK_ERROR, 0);
    }
    // SAFETY: by contract.
    unsafe {
        let opened = &*(*file_object).FsContext.cast::<Opened>();
        let lost = drive(|drive| {
            drive
                .as_ref()
                .is_some_and(|drive| drive.lost.contains(&opened.path))
        });
        if lost {
            return (STATUS_UNEXPECTED_NETWORK_ERROR, 0);
        }
        let parameters = &(*irp::current(packet)).Parameters.Read;
        let Ok(offset) = u64::try_from(parameters.ByteOffset.QuadPart) else {
            return (STATUS_INVALID_PARAMETER, 0);
        };
        // In between, since the driver's buffer may be watched by the double's guards.
        let mut bytes = vec![0; parameters.Length as usize];
        let got = match opened.file.read_at(&mut bytes, offset) {
            Ok(0) if !bytes.is_empty() => return (STATUS_END_OF_FILE, 0),
            Ok(got) => got,
            Err(_) => return (STATUS_IO_DEVICE_ERROR, 0),
        };
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), (*packet).UserBuffer.cast(), got);
        (STATUS_SUCCESS, got)
    }
}

/// # Safety
/// `packet` is a QUERY_INFORMATION on a file that `create` opened.
unsafe fn query(file_object: PFILE_OBJECT, packet: PIRP) -> (NTSTATUS, usize) {
    // SAFETY: by contract; the system buffer has the length that was asked for.
    unsafe {
        let opened = &*(*file_object).FsContext.cast::<Opened>();
        let parameters = &(*irp::current(packet)).Parameters.QueryFile;
        if parameters.FileInformationClass != _FILE_INFORMATION_CLASS_FileStandardInformation {
            return (STATUS_INVALID_PARAMETER, 0);
        }
        let len = size_of::<FILE_STANDARD_INFORMATION>();
        if (parameters.Length as usize) < len {
            return (STATUS_INFO_LENGTH_MISMATCH, 0);
        }
        let Ok(facts) = opened.file.metadata() else {
            return (STATUS_IO_DEVICE_ERROR, 0);
        };
        let mut answer: FILE_STANDARD_INFORMATION = std::mem::zeroed();
        answer.EndOfFile.QuadPart = facts.len() as i64;
        answer.AllocationSize.QuadPart = facts.len().next_multiple_of(4096) as i64;
        answer.NumberOfLinks = 1;
        answer.Directory = u8::from(facts.is_dir());
        (*packet)
            .AssociatedIrp
            .SystemBuffer
            .cast::<FILE_STANDARD_INFORMATION>()
            .write(answer);
        (STATUS_SUCCESS, len)
    }
}
