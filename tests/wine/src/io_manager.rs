//! The test driver's device: files of mounted volumes, opened by path, and requests on them. `../../iomgr/control.c` has the
//! other side.
//
// UNSAFETY: one call of DeviceIoControl.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::io::AsRawHandle;
use std::ptr::null_mut;
use std::rc::Rc;

use lklfs_client::files::{FileTransport, OpenAs};
use lklfs_nt::{AccessMask, CreateDisposition, CreateOptions, FileInformationClass, NtStatus};
use windows_sys::Win32::System::IO::DeviceIoControl;

/// FILE_SHARE_READ, FILE_SHARE_WRITE and FILE_SHARE_DELETE.
const SHARE_ALL: u32 = 7;
/// Bytes of `struct answer`.
const ANSWER: usize = 16;

/// A control code: FILE_DEVICE_UNKNOWN, METHOD_BUFFERED, FILE_ANY_ACCESS.
const fn code(number: u32) -> u32 {
    (0x22 << 16) | ((0x900 + number) << 2)
}

/// `struct call` without what comes behind it.
#[derive(Default)]
struct Call {
    handle: u64,
    offset: u64,
    number: u32,
    flags: u32,
    share: u32,
    disposition: u32,
    options: u32,
    opener: u32,
}

/// Who opens: `enum opener`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The kernel, which is not checked.
    Kernel = 0,
    /// A user who is an administrator.
    Administrator = 1,
    /// The same user without that group.
    StandardUser = 2,
}

/// The device.
pub struct IoManager(File);

/// What is left over of what the test driver counts.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOver {
    /// Each with its number.
    pub counts: [(&'static str, u32); 6],
}

impl IoManager {
    /// Opens it.
    pub fn open() -> io::Result<Rc<IoManager>> {
        let device = OpenOptions::new().read(true).write(true).open(r"\\.\IoManager")?;
        Ok(Rc::new(IoManager(device)))
    }

    /// One call; the request's information, and what it answered in `room` bytes.
    fn call(&self, code: u32, call: &Call, more: &[u8], room: usize) -> Result<(u64, Vec<u8>), NtStatus> {
        let mut input = Vec::new();
        input.extend(call.handle.to_le_bytes());
        input.extend(call.offset.to_le_bytes());
        let more_bytes = u32::try_from(more.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        for number in [
            call.number,
            call.flags,
            call.share,
            call.disposition,
            call.options,
            call.opener,
            more_bytes,
            0,
        ] {
            input.extend(number.to_le_bytes());
        }
        input.extend(more);
        let mut output = vec![0; ANSWER + room];
        let length = |bytes: usize| u32::try_from(bytes).map_err(|_| NtStatus::INVALID_PARAMETER);
        let (input_length, output_length) = (length(input.len())?, length(output.len())?);
        let mut bytes = 0;
        // SAFETY: both buffers are as long as is said and outlive the call, which is synchronous.
        let done = unsafe {
            DeviceIoControl(
                self.0.as_raw_handle(),
                code,
                input.as_ptr().cast(),
                input_length,
                output.as_mut_ptr().cast(),
                output_length,
                &raw mut bytes,
                null_mut(),
            )
        };
        if done == 0 || (bytes as usize) < ANSWER {
            return Err(NtStatus::UNSUCCESSFUL);
        }
        let answered = output.split_off(ANSWER);
        let number = |at: usize| output.get(at..).and_then(|rest| rest.first_chunk::<4>());
        let status = number(0).map_or(NtStatus::UNSUCCESSFUL, |bytes| {
            NtStatus(u32::from_le_bytes(*bytes))
        });
        let information = output.get(8..).and_then(|rest| rest.first_chunk::<8>());
        if status.0 >> 30 > 1 {
            return Err(status);
        }
        Ok((
            information.map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            answered,
        ))
    }

    /// A request that answers with bytes.
    fn ask(&self, code: u32, call: &Call, more: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        let (information, mut answered) = self.call(code, call, more, room)?;
        let bytes = usize::try_from(information).map_err(|_| NtStatus::UNSUCCESSFUL)?;
        if bytes > answered.len() {
            // More than there was room for.
            return Err(NtStatus::INTERNAL_ERROR);
        }
        answered.truncate(bytes);
        Ok(answered)
    }

    /// What the driver that is tested has not given back.
    pub fn left_over(&self) -> Result<LeftOver, NtStatus> {
        let bytes = self.ask(code(7), &Call::default(), &[], 24)?;
        let mut numbers = bytes.chunks_exact(4).filter_map(|chunk| chunk.first_chunk::<4>());
        let names = [
            "devices",
            "registered file systems",
            "file objects",
            "mappings and page allocations",
            "armed timers",
            "cache maps",
        ];
        Ok(LeftOver {
            counts: names.map(|name| {
                (
                    name,
                    numbers
                        .next()
                        .map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes)),
                )
            }),
        })
    }

    /// What the test driver has seen that must not be, a line each; told once.
    pub fn report(&self) -> Result<String, NtStatus> {
        let bytes = self.ask(code(8), &Call::default(), &[], 4096)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// An open file.
pub struct Opened {
    manager: Rc<IoManager>,
    handle: u64,
}

impl Opened {
    /// Opens a path of NT's, its case counting.
    pub fn open(
        manager: &Rc<IoManager>,
        opener: Opener,
        path: &[u16],
        access: AccessMask,
        options: CreateOptions,
    ) -> Result<Opened, NtStatus> {
        Opened::below(manager, 0, opener, path, access, options)
    }

    /// Opens by a name that begins at this directory; an empty one opens the same file again.
    pub fn child(
        &self,
        opener: Opener,
        name: &[u16],
        access: AccessMask,
        options: CreateOptions,
    ) -> Result<Opened, NtStatus> {
        Opened::below(&self.manager, self.handle, opener, name, access, options)
    }

    fn below(
        manager: &Rc<IoManager>,
        directory: u64,
        opener: Opener,
        path: &[u16],
        access: AccessMask,
        options: CreateOptions,
    ) -> Result<Opened, NtStatus> {
        let call = Call {
            handle: directory,
            number: (access | AccessMask::SYNCHRONIZE).0,
            share: SHARE_ALL,
            disposition: CreateDisposition::FILE_OPEN.0,
            options: (options | CreateOptions::FILE_SYNCHRONOUS_IO_NONALERT).0,
            opener: opener as u32,
            ..Call::default()
        };
        let text: Vec<u8> = path.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let (handle, _) = manager.call(code(0), &call, &text, 0)?;
        Ok(Opened {
            manager: Rc::clone(manager),
            handle,
        })
    }

    fn on_this(&self) -> Call {
        Call {
            handle: self.handle,
            ..Call::default()
        }
    }

    /// Reads at an offset; fewer bytes than `room` at the file's end, END_OF_FILE behind it.
    pub fn read(&self, offset: u64, room: usize) -> Result<Vec<u8>, NtStatus> {
        let call = Call {
            offset,
            ..self.on_this()
        };
        self.manager.ask(code(2), &call, &[], room)
    }

    /// QUERY_INFORMATION.
    pub fn query(&self, class: u32, room: usize) -> Result<Vec<u8>, NtStatus> {
        let call = Call {
            number: class,
            ..self.on_this()
        };
        self.manager.ask(code(3), &call, &[], room)
    }

    /// QUERY_VOLUME_INFORMATION.
    pub fn query_volume(&self, class: u32, room: usize) -> Result<Vec<u8>, NtStatus> {
        let call = Call {
            number: class,
            ..self.on_this()
        };
        self.manager.ask(code(4), &call, &[], room)
    }

    /// QUERY_DIRECTORY: the next entries, or the first with `restart`; NO_MORE_FILES behind the last.
    pub fn list(&self, class: u32, restart: bool, room: usize) -> Result<Vec<u8>, NtStatus> {
        let call = Call {
            number: class,
            flags: u32::from(restart),
            ..self.on_this()
        };
        self.manager.ask(code(5), &call, &[], room)
    }

    /// A control of the file system.
    pub fn control(&self, control: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        let call = Call {
            number: control,
            ..self.on_this()
        };
        self.manager.ask(code(6), &call, input, room)
    }
}

/// As `userctl` reads a mounted volume.
impl FileTransport for Opened {
    fn open(&self, name: &[u16], how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
        let opened = self.child(Opener::Kernel, name, how.access, how.options)?;
        Ok(Box::new(opened))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NtStatus> {
        let bytes = Opened::read(self, offset, buffer.len())?;
        buffer
            .get_mut(..bytes.len())
            .ok_or(NtStatus::INTERNAL_ERROR)?
            .copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn directory(
        &self,
        class: FileInformationClass,
        restart: bool,
        room: usize,
    ) -> Result<Vec<u8>, NtStatus> {
        self.list(class.0, restart, room)
    }

    fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        Opened::control(self, code, input, room)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // A handle that is not ours would be the test driver's mistake, which it reports.
        let _ = self.manager.call(code(1), &self.on_this(), &[], 0);
    }
}
