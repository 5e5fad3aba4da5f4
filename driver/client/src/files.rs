//! Files of a mounted volume, by NT's own calls: opened relative to a directory and with their case, listed, read.
//!
//! [`File`] is an open handle, over a [`FileTransport`]: ntdll on Windows, the socket of the NT double elsewhere. What it
//! answers is checked before it is believed: lengths in listings and records, counts of reads.
//!
//! NT's classes do not say all that Linux knows of a file, so [`File::linux`] and [`File::linux_volume`] ask the driver by
//! controls of its own ([`lklfs_nt::linux`]). Other file systems do not know them.

use std::fmt;
use std::ops::ControlFlow;

use lklfs_control::Refusal;
use lklfs_nt::linux::{self, LinuxFile, LinuxVolume};
use lklfs_nt::{AccessMask, CreateOptions, FileInformationClass, NtStatus, dirinfo};

use crate::CallError;

/// Bytes of a listing that are asked for at a time.
const LIST_ROOM: usize = 64 << 10;

/// How something is opened. It is shared with everybody, must exist, and requests on it are synchronous.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenAs {
    /// Desired access; the right to wait is added.
    pub access: AccessMask,
    /// Options.
    pub options: CreateOptions,
    /// Names are compared with case, where the system allows to ask for it.
    pub exact: bool,
}

impl OpenAs {
    /// To look at it: attributes, of a link itself, by its exact name.
    pub const LOOK: OpenAs = OpenAs {
        access: AccessMask::FILE_READ_ATTRIBUTES,
        options: CreateOptions::FILE_OPEN_REPARSE_POINT,
        exact: true,
    };
    /// To read a file, as it is found.
    pub const READ: OpenAs = OpenAs {
        access: AccessMask::FILE_READ_DATA,
        options: CreateOptions(
            CreateOptions::FILE_OPEN_REPARSE_POINT.0
                | CreateOptions::FILE_NON_DIRECTORY_FILE.0
                | CreateOptions::FILE_SEQUENTIAL_ONLY.0,
        ),
        exact: true,
    };
    /// To list a directory, as it is found.
    pub const LIST: OpenAs = OpenAs {
        access: AccessMask::FILE_LIST_DIRECTORY,
        options: CreateOptions(
            CreateOptions::FILE_OPEN_REPARSE_POINT.0 | CreateOptions::FILE_DIRECTORY_FILE.0,
        ),
        exact: true,
    };
}

/// An open handle, as the system has it.
pub trait FileTransport {
    /// `NtCreateFile` relative to this handle; an empty name opens the same file again.
    ///
    /// # Errors
    /// The status.
    fn open(&self, name: &[u16], how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus>;

    /// `NtReadFile`: how many bytes there were.
    ///
    /// # Errors
    /// The status; END_OF_FILE at and behind the end.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NtStatus>;

    /// `NtQueryDirectoryFile`: the next entries, in at most `room` bytes.
    ///
    /// # Errors
    /// The status; NO_MORE_FILES at the end.
    fn directory(&self, class: FileInformationClass, restart: bool, room: usize)
    -> Result<Vec<u8>, NtStatus>;

    /// `NtFsControlFile`, with an answer of at most `room` bytes.
    ///
    /// # Errors
    /// The status.
    fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus>;
}

/// Opens by an NT path.
#[cfg(windows)]
fn connect(path: &[u16], how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
    Ok(Box::new(crate::ntfile::Handle::open(path, None, how)?))
}

/// Opens by an NT path, in the double.
#[cfg(unix)]
fn connect(path: &[u16], how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
    Ok(Box::new(crate::socket::Handle::open(path, 0, how)?))
}

/// An answer that makes no sense.
const MALFORMED: CallError = CallError::Malformed(Refusal::Invalid("the driver's answer makes no sense"));

/// An open file, directory or link.
pub struct File {
    handle: Box<dyn FileTransport>,
}

impl File {
    /// Opens by an NT path, which begins with a backslash.
    ///
    /// # Errors
    /// [`CallError::Refused`].
    pub fn open(path: &[u16], how: OpenAs) -> Result<File, CallError> {
        Ok(File::over(connect(path, how)?))
    }

    /// The same over a handle that is open already.
    pub fn over(handle: Box<dyn FileTransport>) -> File {
        File { handle }
    }

    /// Opens the entry `name` of this directory.
    ///
    /// # Errors
    /// [`CallError::Refused`].
    pub fn child(&self, name: &[u16], how: OpenAs) -> Result<File, CallError> {
        Ok(File::over(self.handle.open(name, how)?))
    }

    /// Opens this very file again, with other access.
    ///
    /// # Errors
    /// [`CallError::Refused`].
    pub fn again(&self, how: OpenAs) -> Result<File, CallError> {
        self.child(&[], how)
    }

    /// Fills `buffer` from a byte offset on; fewer bytes only at the end of the file.
    ///
    /// # Errors
    /// [`CallError::Refused`].
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, CallError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            match self.handle.read(offset.saturating_add(filled as u64), rest) {
                Ok(0) | Err(NtStatus::END_OF_FILE) => break,
                Ok(count) if count > rest.len() => return Err(MALFORMED),
                Ok(count) => filled += count,
                Err(status) => return Err(status.into()),
            }
        }
        Ok(filled)
    }

    /// Gives `sink` the names in this directory, `.` and `..` among them or not, until it breaks off. Each answer of the
    /// driver's is forgotten before the next: what is kept is the sink's to bound.
    ///
    /// # Errors
    /// [`CallError::Refused`], after the names that came before it.
    pub fn names(&self, sink: &mut dyn FnMut(&[u16]) -> ControlFlow<()>) -> Result<(), CallError> {
        let mut restart = true;
        loop {
            let mut names = Vec::new();
            let class = FileInformationClass::FileNamesInformation;
            match self.handle.directory(class, restart, LIST_ROOM) {
                Ok(answer) => {
                    dirinfo::names(&answer, &mut names).map_err(|_| MALFORMED)?;
                }
                Err(NtStatus::NO_MORE_FILES | NtStatus::NO_SUCH_FILE) => return Ok(()),
                Err(status) => return Err(status.into()),
            }
            if names.iter().try_for_each(|name| sink(name)).is_break() {
                return Ok(());
            }
            restart = false;
        }
    }

    /// What Linux says of it.
    ///
    /// # Errors
    /// See [`CallError`]; INVALID_DEVICE_REQUEST, or whatever else another file system answers.
    pub fn linux(&self) -> Result<Linux, CallError> {
        let code = linux::FSCTL_LKLFS_QUERY_FILE.0;
        let answer = self.handle.control(code, &[], linux::ROOM)?;
        let (record, name, target) = LinuxFile::read(&answer).ok_or(MALFORMED)?;
        Ok(Linux {
            record,
            name: name.to_vec(),
            target: target.to_vec(),
        })
    }

    /// What Linux says of the volume that it is on.
    ///
    /// # Errors
    /// As [`File::linux`].
    pub fn linux_volume(&self) -> Result<Volume, CallError> {
        let code = linux::FSCTL_LKLFS_QUERY_VOLUME.0;
        let answer = self.handle.control(code, &[], linux::ROOM)?;
        let (record, texts) = LinuxVolume::read(&answer).ok_or(MALFORMED)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Volume {
            record,
            fs_name: text(texts.fs_name),
            label: text(texts.label),
            uuid: text(texts.uuid),
        })
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("File")
    }
}

/// What Linux says of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linux {
    /// As `stat` has it.
    pub record: LinuxFile,
    /// The name by which it was opened; empty for the root.
    pub name: Vec<u8>,
    /// The target of a link.
    pub target: Vec<u8>,
}

/// What Linux says of a volume.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// As `statfs` has it.
    pub record: LinuxVolume,
    /// Linux's name of the file system.
    pub fs_name: String,
    /// The label; may be empty.
    pub label: String,
    /// The UUID or serial number as it is printed; empty for none.
    pub uuid: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handle that answers as it is told to.
    #[derive(Default)]
    struct Told {
        reads: std::cell::RefCell<Vec<Result<usize, NtStatus>>>,
        lists: std::cell::RefCell<Vec<Result<Vec<u8>, NtStatus>>>,
        control: Vec<u8>,
    }

    impl FileTransport for Told {
        fn open(&self, _name: &[u16], _how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
            Err(NtStatus::OBJECT_NAME_NOT_FOUND)
        }

        fn read(&self, _offset: u64, _buffer: &mut [u8]) -> Result<usize, NtStatus> {
            self.reads.borrow_mut().remove(0)
        }

        fn directory(
            &self,
            _class: FileInformationClass,
            _restart: bool,
            _room: usize,
        ) -> Result<Vec<u8>, NtStatus> {
            self.lists.borrow_mut().remove(0)
        }

        fn control(&self, _code: u32, _input: &[u8], _room: usize) -> Result<Vec<u8>, NtStatus> {
            Ok(self.control.clone())
        }
    }

    #[test]
    fn reads_go_on_to_the_end_and_no_further_than_the_buffer() {
        let read = |reads: &[Result<usize, NtStatus>]| {
            let told = Told {
                reads: reads.to_vec().into(),
                ..Told::default()
            };
            File::over(Box::new(told)).read(0, &mut [0; 10])
        };
        assert_eq!(read(&[Ok(4), Ok(6)]), Ok(10));
        assert_eq!(read(&[Ok(4), Err(NtStatus::END_OF_FILE)]), Ok(4));
        assert_eq!(read(&[Ok(0)]), Ok(0));
        assert_eq!(read(&[Ok(11)]), Err(MALFORMED));
        assert_eq!(read(&[Ok(4), Ok(7)]), Err(MALFORMED));
        let broken = NtStatus::IO_DEVICE_ERROR;
        assert_eq!(read(&[Ok(4), Err(broken)]), Err(CallError::Refused(broken)));
    }

    #[test]
    fn listings_end_where_the_driver_says() {
        let one = [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x61, 0].to_vec();
        let list = |lists: &[Result<Vec<u8>, NtStatus>]| {
            let told = Told {
                lists: lists.to_vec().into(),
                ..Told::default()
            };
            let mut names = Vec::new();
            File::over(Box::new(told))
                .names(&mut |name| {
                    names.push(name.to_vec());
                    ControlFlow::Continue(())
                })
                .map(|()| names)
        };
        let end = Err(NtStatus::NO_MORE_FILES);
        assert_eq!(
            list(&[Ok(one.clone()), Ok(one.clone()), end.clone()]),
            Ok(vec![vec![0x61]; 2])
        );
        assert_eq!(list(&[Err(NtStatus::NO_SUCH_FILE)]), Ok(Vec::new()));
        assert_eq!(list(&[Ok(one[..13].to_vec())]), Err(MALFORMED));
        assert_eq!(list(&[Ok(Vec::new())]), Err(MALFORMED));
    }

    #[test]
    fn answers_that_make_no_sense_are_not_believed() {
        for control in [Vec::new(), vec![0; 200], vec![0xff; 200]] {
            let told = Told {
                control,
                ..Told::default()
            };
            let file = File::over(Box::new(told));
            assert_eq!(file.linux(), Err(MALFORMED));
            assert_eq!(file.linux_volume(), Err(MALFORMED));
        }
    }
}
