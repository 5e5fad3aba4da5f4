//! Where there is no Windows: a socket, behind which the NT double opens the device and passes requests on.

use std::cell::RefCell;
use std::io;
use std::os::unix::net::UnixStream;

use lklfs_control::Interface;
use lklfs_nt::NtStatus;

use crate::error::OpenError;
use crate::wire::{Frame, Reply};
use crate::{SOCKET_VARIABLE, Transport, access};

/// STATUS_CONNECTION_DISCONNECTED: the double has gone.
const DISCONNECTED: NtStatus = NtStatus(0xc000_020c);

/// A handle on a device in the double.
pub struct Device(RefCell<UnixStream>);

impl Device {
    pub fn open(interface: Interface) -> Result<Device, OpenError> {
        let Some(path) = std::env::var_os(SOCKET_VARIABLE) else {
            return Err(OpenError::NotHere);
        };
        let failed = |error: io::Error| OpenError::NoDouble(error.to_string());
        let device = Device(RefCell::new(UnixStream::connect(path).map_err(failed)?));
        let open = Frame::Open {
            access: access(interface),
            name: interface.device_name().encode_utf16().collect(),
        };
        match device.ask(&open).map_err(failed)?.status {
            NtStatus::SUCCESS => Ok(device),
            NtStatus::ACCESS_DENIED => Err(OpenError::Denied),
            NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND => Err(OpenError::NotRunning),
            status => Err(OpenError::Other(status)),
        }
    }

    fn ask(&self, frame: &Frame) -> io::Result<Reply> {
        let mut stream = self.0.borrow_mut();
        frame.write(&mut *stream)?;
        Reply::read(&mut *stream)
    }
}

impl Transport for Device {
    fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        let frame = Frame::Control {
            code,
            room: u32::try_from(room).map_err(|_| NtStatus::INVALID_PARAMETER)?,
            input: input.to_vec(),
        };
        let reply = self.ask(&frame).map_err(|_| DISCONNECTED)?;
        match reply.status {
            // The two upper bits are the severity: 0 success, 1 informational.
            status if status.0 >> 30 < 2 => Ok(reply.bytes),
            status => Err(status),
        }
    }
}
