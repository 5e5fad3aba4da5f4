//! Where there is no Windows: a socket, behind which the NT double opens devices and files and passes requests on.

use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream;

use lklfs_control::Interface;
use lklfs_nt::{AccessMask, FileInformationClass, NtStatus};

use crate::error::OpenError;
use crate::files::{FileTransport, OpenAs};
use crate::wire::{Frame, MOST, Reply};
use crate::{SOCKET_VARIABLE, Transport, access};

/// STATUS_CONNECTION_DISCONNECTED: the double has gone.
const DISCONNECTED: NtStatus = NtStatus(0xc000_020c);

/// Whether tests have named a double. Without that nothing of it is ever seen.
pub fn is_named() -> bool {
    std::env::var_os(SOCKET_VARIABLE).is_some()
}

/// A connection: one handle in the double.
struct Connection(RefCell<UnixStream>);

impl Connection {
    /// `None`: no double is named.
    fn open() -> Option<io::Result<Connection>> {
        let path = std::env::var_os(SOCKET_VARIABLE)?;
        Some(UnixStream::connect(path).map(|stream| Connection(RefCell::new(stream))))
    }

    fn send(&self, frame: &Frame) -> io::Result<Reply> {
        let mut stream = self.0.borrow_mut();
        frame.write(&mut *stream)?;
        Reply::read(&mut *stream)
    }

    /// The bytes of a success.
    fn ask(&self, frame: &Frame) -> Result<Vec<u8>, NtStatus> {
        let reply = self.send(frame).map_err(|_| DISCONNECTED)?;
        match reply.status {
            status if status.is_success() => Ok(reply.bytes),
            status => Err(status),
        }
    }
}

/// A length as frames have it.
fn room(bytes: usize) -> Result<u32, NtStatus> {
    u32::try_from(bytes).map_err(|_| NtStatus::INVALID_PARAMETER)
}

/// A handle on a device in the double.
pub struct Device(Connection);

impl Device {
    pub fn open(interface: Interface) -> Result<Device, OpenError> {
        let failed = |error: io::Error| OpenError::NoDouble(error.to_string());
        let connection = Connection::open().ok_or(OpenError::NotHere)?.map_err(failed)?;
        let open = Frame::Open {
            access: access(interface),
            name: interface.device_name().encode_utf16().collect(),
        };
        match connection.send(&open).map_err(failed)?.status {
            NtStatus::SUCCESS => Ok(Device(connection)),
            NtStatus::ACCESS_DENIED => Err(OpenError::Denied),
            NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND => Err(OpenError::NotRunning),
            status => Err(OpenError::Other(status)),
        }
    }
}

impl Transport for Device {
    fn control(&self, code: u32, input: &[u8], length: usize) -> Result<Vec<u8>, NtStatus> {
        self.0.ask(&Frame::Control {
            code,
            room: room(length)?,
            input: input.to_vec(),
        })
    }
}

/// A handle on a file in the double.
pub struct Handle {
    connection: Connection,
    /// By which others are opened relative to it.
    number: u64,
}

impl Handle {
    /// Opens `name`, relative to the handle with the number `root` unless that is 0.
    pub fn open(name: &[u16], root: u64, how: OpenAs) -> Result<Handle, NtStatus> {
        let connection = Connection::open().and_then(Result::ok).ok_or(DISCONNECTED)?;
        let number = connection.ask(&Frame::Create {
            access: (how.access | AccessMask::SYNCHRONIZE).0,
            options: how.options.0,
            exact: how.exact,
            root,
            name: name.to_vec(),
        })?;
        let number = number.try_into().map_err(|_| DISCONNECTED)?;
        Ok(Handle {
            connection,
            number: u64::from_le_bytes(number),
        })
    }
}

impl FileTransport for Handle {
    fn open(&self, name: &[u16], how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
        Ok(Box::new(Handle::open(name, self.number, how)?))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, NtStatus> {
        let length = room(buffer.len().min(MOST))?;
        let bytes = self.connection.ask(&Frame::Read { offset, length })?;
        let place = buffer.get_mut(..bytes.len()).ok_or(DISCONNECTED)?;
        place.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn directory(
        &self,
        class: FileInformationClass,
        restart: bool,
        length: usize,
    ) -> Result<Vec<u8>, NtStatus> {
        self.connection.ask(&Frame::Directory {
            class: class.0,
            restart,
            room: room(length)?,
        })
    }

    fn control(&self, code: u32, input: &[u8], length: usize) -> Result<Vec<u8>, NtStatus> {
        self.connection.ask(&Frame::FsControl {
            code,
            room: room(length)?,
            input: input.to_vec(),
        })
    }
}
