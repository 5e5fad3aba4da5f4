//! A TAP device of the machine's, or a macvtap: the machine's own network stack, or its wire, is at the other end.
//!
//! Packets cross as Linux has them: without checksums, and up to 64 KiB at a time.

// UNSAFETY: ioctls of the TUN driver's, for which there is no safe function.

#![allow(unsafe_code)]

use crate::LinkError;
use crate::descriptor::{Descriptor, Preamble};
use crate::pump::Pump;
use lkl_netdev::{Backend, Offloads};
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

const IFF_TAP: i16 = 0x2;
const IFF_NO_PI: i16 = 0x1000;
const IFF_VNET_HDR: i16 = 0x4000;
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0;
const TUNSETVNETHDRSZ: libc::Ioctl = 0x4004_54d8;
const TUN_F_CSUM: libc::c_ulong = 1;
const TUN_F_TSO4: libc::c_ulong = 2;
const TUN_F_TSO6: libc::c_ulong = 4;
const TUN_F_TSO_ECN: libc::c_ulong = 8;
const TUN_F_USO4: libc::c_ulong = 0x20;
const TUN_F_USO6: libc::c_ulong = 0x40;

/// Opens the TAP device `name`. Without `offloads` packets are plain.
///
/// # Errors
/// That the name is too long, that there is no such device (the driver would make one, at the other end of which is nothing), or
/// that it may not be opened.
pub fn tap(name: &str, offloads: bool) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("TAP device {name}");
    let error = |error| LinkError::new(&what, error);
    exists(name).map_err(error)?;
    let device = open(Path::new("/dev/net/tun")).map_err(error)?;
    attach(&device, name, offloads).map_err(error)?;
    connected(device, &what, offloads)
}

/// Opens a macvtap, by the path of its device: `/dev/tapN`, where N is the interface's number.
///
/// # Errors
/// That it may not be opened, or is no macvtap.
pub fn macvtap(path: &Path, offloads: bool) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("macvtap {}", path.display());
    let device = open(path).map_err(|error| LinkError::new(&what, error))?;
    attach(&device, "", offloads).map_err(|error| LinkError::new(&what, error))?;
    connected(device, &what, offloads)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Whether there is an interface of that name.
fn exists(name: &str) -> io::Result<()> {
    if name.len() >= libc::IFNAMSIZ {
        return Err(too_long());
    }
    let c_name = CString::new(name)?;
    // SAFETY: the name ends with a zero.
    if unsafe { libc::if_nametoindex(c_name.as_ptr()) } == 0 {
        let text = format!("there is no such interface; `ip tuntap add {name} mode tap vnet_hdr` makes it");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(())
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "its name is longer than 15 bytes")
}

fn attach(device: &File, name: &str, offloads: bool) -> io::Result<()> {
    // SAFETY: all zeros is a value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(too_long());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    let header = if offloads { IFF_VNET_HDR } else { 0 };
    request.ifr_ifru.ifru_flags = IFF_TAP | IFF_NO_PI | header;
    // SAFETY: the driver reads and writes the structure, which lives through the call.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, &mut request) })?;
    if offloads {
        let size: libc::c_int = 12;
        // SAFETY: the driver reads the number.
        checked(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETVNETHDRSZ, &size) })?;
    }
    Ok(())
}

/// Has the device give packets that are not complete: as many kinds of them as it knows.
fn connected(device: File, what: &str, offloads: bool) -> Result<Arc<dyn Backend>, LinkError> {
    let tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    let udp = TUN_F_USO4 | TUN_F_USO6;
    let set = |bits: libc::c_ulong| {
        // SAFETY: the argument is a number.
        checked(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETOFFLOAD, bits) }).is_ok()
    };
    let known = if !offloads {
        Offloads::NONE
    } else if set(tcp | udp) {
        Offloads::TCP
            .with(Offloads::GUEST_USO4)
            .with(Offloads::GUEST_USO6)
            .with(Offloads::HOST_USO)
    } else if set(tcp) {
        Offloads::TCP
    } else {
        Offloads::NONE
    };
    let preamble = if offloads { Preamble::Long } else { Preamble::None };
    let pump = Descriptor::new(OwnedFd::from(device), preamble, known).and_then(Pump::new);
    Ok(Arc::new(pump.map_err(|error| LinkError::new(what, error))?))
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
