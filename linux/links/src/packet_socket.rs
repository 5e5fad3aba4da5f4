//! An interface of the machine's, by a packet socket: Linux's packets go out of it as if they were the machine's own, and what
//! comes in comes to Linux, too.

// UNSAFETY: socket options and addresses of packet sockets, for which there is no safe function.

#![allow(unsafe_code)]

use crate::descriptor::{Descriptor, Preamble};
use crate::error::{Kind, LinkError};
use crate::pump::Pump;
use lkl_netdev::{Backend, Offloads};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

const ALL: u16 = 0x0003u16.to_be();

/// The machine's interface `name`. With `offloads` Linux's packets leave it without checksums and up to 64 KiB at a time, and the
/// machine does the rest. Those that come may be of that kind in any case: another program of the same machine may have sent them, by
/// a virtual wire for which the machine has computed nothing.
///
/// What the machine itself sends by the interface does not come to Linux, and the other way round: they share a wire, and do not
/// see each other.
///
/// # Errors
/// That there is no such interface, or that the caller may not have packet sockets.
pub fn raw(name: &str, offloads: bool) -> Result<Arc<dyn Backend>, LinkError> {
    let what = format!("interface {name}");
    open(name)
        .and_then(|fd| {
            let comes = Offloads::GUEST_CSUM
                .with(Offloads::GUEST_TSO4)
                .with(Offloads::GUEST_TSO6)
                .with(Offloads::GUEST_ECN);
            let known = if offloads { Offloads::TCP } else { comes };
            Pump::new(Descriptor::new(fd, Preamble::Short, known)?)
        })
        .map(|pump| Arc::new(pump) as Arc<dyn Backend>)
        .map_err(|error| LinkError::new(Kind::Interface, &what, error))
}

fn open(name: &str) -> io::Result<OwnedFd> {
    let c_name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the name ends with a zero.
    let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no such interface",
        ));
    }
    // SAFETY: the arguments are numbers. No protocol yet: nothing comes before the socket is bound.
    let fd = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            0,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was just opened, and is this function's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set(&fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1i32)?;
    set(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32)?;
    // As many as a queue of Linux's takes at a time; the machine's limit may be lower.
    let _ = set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &(8i32 << 20));
    let _ = set(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &(8i32 << 20));
    // Frames for Linux's own Ethernet address are no one's on the machine.
    let promiscuous = libc::packet_mreq {
        mr_ifindex: i32::try_from(index).unwrap_or(0),
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set(&fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)?;
    // SAFETY: all zeros is a value of this plain structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = ALL;
    address.sll_ifindex = i32::try_from(index).unwrap_or(0);
    // SAFETY: the address lives through the call and is as long as is said.
    let bound = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

fn set<T>(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value lives through the call and is as long as is said.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const *value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
