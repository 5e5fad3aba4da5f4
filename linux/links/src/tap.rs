//! A TAP device of the machine's, or a macvtap: the machine's own network stack, or its wire, is at the other end.
//!
//! Packets cross as Linux has them: without checksums, and up to 64 KiB at a time.

// UNSAFETY: ioctls of the TUN driver's, for which there is no safe function.

#![allow(unsafe_code)]

use crate::descriptor::{Descriptor, Preamble};
use crate::error::{Kind, LinkError};
use crate::pump::Pump;
use lkl_netdev::{Backend, MacAddress, Offloads};
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

/// What an interface is that cannot be opened as a TAP device.
const NO_TAP: &str =
    "it is no TAP device, or one of several queues; `ip tuntap add NAME mode tap vnet_hdr` makes one";

/// Opens the TAP device `name`. Without `offloads` packets are plain.
///
/// # Errors
/// That the name is too long, that there is no such device (the driver would make one, at the other end of which is nothing), or
/// that it may not be opened.
pub fn tap(name: &str, offloads: bool) -> Result<Arc<dyn Backend>, LinkError> {
    tap_with(name, wanted(offloads))
}

/// The same with those of the offloads that are wanted, and that it has.
///
/// # Errors
/// Those of [`tap`].
pub fn tap_with(name: &str, offloads: Offloads) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("TAP device {name}");
    let error = |error| LinkError::new(Kind::Interface, &what, error);
    let offloads = possible(offloads);
    exists(name).map_err(error)?;
    let device = open(Path::new("/dev/net/tun")).map_err(error)?;
    attach(&device, name, offloads).map_err(|failed| match failed.raw_os_error() {
        Some(libc::EINVAL) => error(io::Error::other(NO_TAP)),
        _ => error(failed),
    })?;
    connected(device, &what, offloads, None)
}

/// Opens a macvtap, by the path of its device: `/dev/tapN`, where N is the interface's number. Frames for its own hardware address
/// come, and for no other one: an interface of Linux's that is given none has that.
///
/// # Errors
/// That it may not be opened, or is no macvtap.
pub fn macvtap(path: &Path, offloads: bool) -> Result<Arc<dyn Backend>, LinkError> {
    macvtap_with(path, wanted(offloads))
}

/// The same with those of the offloads that are wanted, and that it has.
///
/// # Errors
/// Those of [`macvtap`].
pub fn macvtap_with(path: &Path, offloads: Offloads) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("macvtap {}", path.display());
    let error = |error| LinkError::new(Kind::Device, &what, error);
    let offloads = possible(offloads);
    let device = open(path).map_err(error)?;
    let attached = attach(&device, "", offloads).and_then(|()| hardware(&device));
    let hardware = attached.map_err(|failed| match failed.raw_os_error() {
        Some(libc::ENOTTY | libc::EINVAL) => error(io::Error::other("it is no macvtap's device")),
        _ => error(failed),
    })?;
    connected(device, &what, offloads, Some(hardware))
}

fn wanted(offloads: bool) -> Offloads {
    if offloads { Offloads::ALL } else { Offloads::NONE }
}

/// Those that the driver has words for.
fn possible(wanted: Offloads) -> Offloads {
    let udp = Offloads::GUEST_USO4
        .with(Offloads::GUEST_USO6)
        .with(Offloads::HOST_USO);
    // A device says only for all of these whether it has them.
    let known = if wanted.has(udp) {
        Offloads::ALL
    } else {
        Offloads::TCP
    };
    wanted.and(known).sound()
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

fn attach(device: &File, name: &str, offloads: Offloads) -> io::Result<()> {
    // SAFETY: all zeros is a value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(too_long());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = libc::c_char::from_ne_bytes([byte]);
    }
    let header = if offloads == Offloads::NONE {
        0
    } else {
        IFF_VNET_HDR
    };
    request.ifr_ifru.ifru_flags = IFF_TAP | IFF_NO_PI | header;
    // SAFETY: the driver reads and writes the structure, which lives through the call.
    checked(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, &mut request) })?;
    if offloads != Offloads::NONE {
        let size: libc::c_int = 12;
        // SAFETY: the driver reads the number.
        checked(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETVNETHDRSZ, &size) })?;
    }
    Ok(())
}

/// The address of the device's interface.
fn hardware(device: &File) -> io::Result<MacAddress> {
    // SAFETY: all zeros is a value of this plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the driver writes the structure, which lives through the call.
    checked(unsafe {
        libc::ioctl(
            device.as_raw_fd(),
            libc::SIOCGIFHWADDR as libc::Ioctl,
            &mut request,
        )
    })?;
    // SAFETY: it is this member that the driver has written.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    let mut bytes = [0; 6];
    for (place, byte) in bytes.iter_mut().zip(address.sa_data) {
        *place = u8::from_ne_bytes(byte.to_ne_bytes());
    }
    Ok(MacAddress(bytes))
}

/// Has the device give packets that are not complete: as many of the wanted kinds as it knows.
fn connected(
    device: File,
    what: &str,
    wanted: Offloads,
    hardware: Option<MacAddress>,
) -> Result<Arc<dyn Backend>, LinkError> {
    let set = |known: Offloads| {
        // SAFETY: the argument is a number.
        checked(unsafe { libc::ioctl(device.as_raw_fd(), TUNSETOFFLOAD, given(known)) }).is_ok()
    };
    let candidates = [wanted, wanted.and(Offloads::TCP), Offloads::NONE];
    let known = candidates.into_iter().find(|known| set(*known));
    let known = known.unwrap_or(Offloads::NONE);
    let preamble = if wanted == Offloads::NONE {
        Preamble::None
    } else {
        Preamble::Long
    };
    let descriptor = Descriptor::new(OwnedFd::from(device), preamble, known);
    let pump = descriptor.and_then(|descriptor| Pump::new(descriptor.for_hardware(hardware)));
    Ok(Arc::new(
        pump.map_err(|error| LinkError::new(Kind::Interface, what, error))?,
    ))
}

/// The TUN driver's word for what it is to give.
fn given(offloads: Offloads) -> libc::c_ulong {
    let pairs = [
        (Offloads::GUEST_CSUM, TUN_F_CSUM),
        (Offloads::GUEST_TSO4, TUN_F_TSO4),
        (Offloads::GUEST_TSO6, TUN_F_TSO6),
        (Offloads::GUEST_ECN, TUN_F_TSO_ECN),
    ];
    let tcp = pairs.into_iter().filter(|(offload, _)| offloads.has(*offload));
    // Of these it has both or none.
    let udp = offloads.has(Offloads::GUEST_USO4.with(Offloads::GUEST_USO6));
    let udp = if udp { TUN_F_USO4 | TUN_F_USO6 } else { 0 };
    tcp.fold(udp, |all, (_, bit)| all | bit)
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
