//! The thread that makes a call: its memory and its descriptors, as the supervisor reaches them.
//!
//! What is read may be changed by the program's other threads at any time. That is no matter of safety here: a program only deceives itself.

use crate::linux::Address;
use crate::notify::Call;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid as NixPid;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, stat};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::io::{IoSlice, IoSliceMut};

/// An errno of the machine's.
pub type Number = i32;

/// What a descriptor is.
pub enum Descriptor {
    /// A socket, by the number of its inode.
    Socket(u64),
    Other,
}

impl Call {
    fn nix_pid(&self) -> NixPid {
        NixPid::from_raw(self.thread.cast_signed())
    }

    /// What the thread's descriptor `fd` is. `None`: it has no such.
    pub fn descriptor(&self, fd: i32) -> Option<Descriptor> {
        descriptor(self.thread, fd)
    }

    /// A copy of the thread's descriptor: the same open file.
    pub fn copy_of(&self, fd: i32) -> Result<OwnedFd, Number> {
        copy_of(self.thread, fd)
    }

    /// Fills `buffer` from the program's memory at `from`.
    pub fn read(&self, from: u64, buffer: &mut [u8]) -> Result<(), Number> {
        if buffer.is_empty() {
            return Ok(());
        }
        match self.read_some(from, buffer)? {
            len if len == buffer.len() => Ok(()),
            _ => Err(libc::EFAULT),
        }
    }

    /// The same, as far as there is memory.
    pub fn read_some(&self, from: u64, buffer: &mut [u8]) -> Result<usize, Number> {
        let remote = RemoteIoVec {
            base: usize::try_from(from).map_err(|_| libc::EFAULT)?,
            len: buffer.len(),
        };
        process_vm_readv(self.nix_pid(), &mut [IoSliceMut::new(buffer)], &[remote])
            .map_err(|errno| errno as i32)
    }

    /// So many bytes from there.
    pub fn bytes(&self, from: u64, len: usize) -> Result<Vec<u8>, Number> {
        let mut bytes = vec![0; len];
        self.read(from, &mut bytes)?;
        Ok(bytes)
    }

    /// Writes into the program's memory.
    pub fn write(&self, to: u64, bytes: &[u8]) -> Result<(), Number> {
        if bytes.is_empty() {
            return Ok(());
        }
        let remote = RemoteIoVec {
            base: usize::try_from(to).map_err(|_| libc::EFAULT)?,
            len: bytes.len(),
        };
        match process_vm_writev(self.nix_pid(), &[IoSlice::new(bytes)], &[remote]) {
            Ok(len) if len == bytes.len() => Ok(()),
            Ok(_) => Err(libc::EFAULT),
            Err(errno) => Err(errno as i32),
        }
    }

    /// An address, which argument `at` points to and the next one tells the length of.
    pub fn address(&self, at: usize) -> Result<Address, Number> {
        match usize::try_from(self.int(at + 1)) {
            Ok(len) if len <= 128 => {
                let bytes = self.bytes(self.word(at), len)?;
                Address::new(&bytes).ok_or(libc::EINVAL)
            }
            _ => Err(libc::EINVAL),
        }
    }

    /// Writes an address where argument `at` points to, as far as the length behind it has room, and its length.
    pub fn write_address(&self, at: usize, address: &[u8]) -> Result<(), Number> {
        let (to, len_at) = (self.word(at), self.word(at + 1));
        if to == 0 {
            return Ok(());
        }
        let mut len = [0; 4];
        self.read(len_at, &mut len)?;
        let room = usize::try_from(i32::from_ne_bytes(len)).map_err(|_| libc::EINVAL)?;
        let short = address.get(..room.min(address.len())).unwrap_or(address);
        self.write(to, short)?;
        let len = u32::try_from(address.len()).unwrap_or(0);
        self.write(len_at, &len.to_ne_bytes())
    }
}

/// What a thread's descriptor is.
pub fn descriptor(thread: u32, fd: i32) -> Option<Descriptor> {
    let stat = stat(format!("/proc/{thread}/fd/{fd}")).ok()?;
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => Descriptor::Socket(stat.st_ino),
        _ => Descriptor::Other,
    })
}

/// A copy of a thread's descriptor.
pub fn copy_of(thread: u32, fd: i32) -> Result<OwnedFd, Number> {
    let process = process(thread)?;
    pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).map_err(|errno| errno.raw_os_error())
}

/// The process, or the thread, that descriptors are taken from.
fn process(thread: u32) -> Result<OwnedFd, Number> {
    /// `PIDFD_THREAD`, of Linux 6.9 and later.
    const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(0o200);
    let pid = |number: u32| Pid::from_raw(number.cast_signed()).ok_or(libc::ESRCH);
    if let Ok(fd) = pidfd_open(pid(thread)?, THREAD) {
        return Ok(fd);
    }
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).map_err(|_| libc::ESRCH)?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let leader = line
        .and_then(|text| text.trim().parse().ok())
        .ok_or(libc::ESRCH)?;
    pidfd_open(pid(leader)?, PidfdFlags::empty()).map_err(|errno| errno.raw_os_error())
}
