//! libslirp, as its header (libslirp.h, version 4.7) has it: the few functions that NAT takes, behind a type that calls back into
//! an [`Outlet`].

// UNSAFETY: functions and structures of a C library, and its calls back.

#![allow(unsafe_code)]

use crate::NAT;
use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{NonNull, null};
use std::time::Instant;

/// Takes the packets that libslirp sends, from the Ethernet header on.
pub(crate) trait Outlet {
    /// One packet.
    fn packet(&mut self, bytes: &[u8]);
}

/// The state of the library's. Not for other threads than the one that made it.
pub(crate) struct Slirp<O: Outlet> {
    raw: NonNull<c::Slirp>,
    /// What the library has a pointer to; reached by that pointer alone until the end.
    room: NonNull<Room<O>>,
    polled: Vec<libc::pollfd>,
}

struct Room<O> {
    outlet: O,
    start: Instant,
    callbacks: c::SlirpCb,
}

/// What every call back gets: the room of the library's state.
///
/// # Safety
/// `opaque` is the room that `slirp_new()` was given, with an outlet of this type, and nothing else refers into it.
unsafe fn room<'a, O>(opaque: *mut c_void) -> &'a mut Room<O> {
    // SAFETY: the caller's promise. The room is freed after the library's state.
    unsafe { &mut *opaque.cast::<Room<O>>() }
}

unsafe extern "C" fn send_packet<O: Outlet>(bytes: *const c_void, len: usize, opaque: *mut c_void) -> isize {
    // SAFETY: libslirp calls this from within the calls of `Slirp`'s methods, which hold no reference into the room.
    let room = unsafe { room::<O>(opaque) };
    // SAFETY: the bytes are a packet of the library's, which stays through this call.
    room.outlet
        .packet(unsafe { std::slice::from_raw_parts(bytes.cast(), len) });
    isize::try_from(len).unwrap_or(-1)
}

unsafe extern "C" fn clock<O: Outlet>(opaque: *mut c_void) -> i64 {
    // SAFETY: as in `send_packet`.
    let room = unsafe { room::<O>(opaque) };
    i64::try_from(room.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
}

unsafe extern "C" fn guest_error(_: *const c_char, _: *mut c_void) {}

// Timers are IPv6's alone, which is off.
unsafe extern "C" fn timer_new(_: Option<c::TimerCb>, _: *mut c_void, _: *mut c_void) -> *mut c_void {
    std::ptr::null_mut()
}

unsafe extern "C" fn timer_free(_: *mut c_void, _: *mut c_void) {}

unsafe extern "C" fn timer_mod(_: *mut c_void, _: i64, _: *mut c_void) {}

// Descriptors are asked for before each sleep.
unsafe extern "C" fn poll_fd(_: c_int, _: *mut c_void) {}

// What it wakes is the thread that calls it.
unsafe extern "C" fn notify(_: *mut c_void) {}

unsafe extern "C" fn add_poll(fd: c_int, events: c_int, opaque: *mut c_void) -> c_int {
    // SAFETY: the pointer that `Slirp::wait` gave; the list is borrowed for that call alone.
    let polled = unsafe { &mut *opaque.cast::<Vec<libc::pollfd>>() };
    polled.push(libc::pollfd {
        fd,
        events: translated(events, EVENTS),
        revents: 0,
    });
    c_int::try_from(polled.len().saturating_sub(1)).unwrap_or(-1)
}

unsafe extern "C" fn happened(index: c_int, opaque: *mut c_void) -> c_int {
    // SAFETY: as in `add_poll`.
    let polled = unsafe { &*opaque.cast::<Vec<libc::pollfd>>() };
    let entry = usize::try_from(index).ok().and_then(|index| polled.get(index));
    entry.map_or(0, |entry| {
        let known = EVENTS.iter().filter(|(_, host)| entry.revents & host != 0);
        known.fold(0, |all, (slirp, _)| all | slirp)
    })
}

/// The library's numbers, and poll()'s.
const EVENTS: &[(c_int, i16)] = &[
    (1, libc::POLLIN),
    (1 << 1, libc::POLLOUT),
    (1 << 2, libc::POLLPRI),
    (1 << 3, libc::POLLERR),
    (1 << 4, libc::POLLHUP),
];

fn translated(events: c_int, table: &[(c_int, i16)]) -> i16 {
    let wanted = table.iter().filter(|(slirp, _)| events & slirp != 0);
    wanted.fold(0, |all, (_, host)| all | host)
}

fn address(ip: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from_ne_bytes(ip.octets()),
    }
}

impl<O: Outlet> Slirp<O> {
    /// A network with the addresses of [`NAT`]. `None`: the library refuses.
    pub(crate) fn new(outlet: O) -> Option<Slirp<O>> {
        let room = Box::new(Room {
            outlet,
            start: Instant::now(),
            callbacks: c::SlirpCb {
                send_packet: send_packet::<O>,
                guest_error,
                clock_get_ns: clock::<O>,
                timer_new,
                timer_free,
                timer_mod,
                register_poll_fd: poll_fd,
                unregister_poll_fd: poll_fd,
                notify,
            },
        });
        let mask = u32::MAX << 32u32.saturating_sub(NAT.prefix.into());
        let network = Ipv4Addr::from(u32::from(NAT.address) & mask);
        let none = libc::in6_addr { s6_addr: [0; 16] };
        let mtu = usize::try_from(NAT.mtu).unwrap_or(0);
        let config = c::SlirpConfig {
            version: 1,
            restricted: 0,
            in_enabled: true,
            vnetwork: address(network),
            vnetmask: address(Ipv4Addr::from(mask)),
            vhost: address(NAT.gateway),
            in6_enabled: false,
            vprefix_addr6: none,
            vprefix_len: 0,
            vhost6: none,
            vhostname: null(),
            tftp_server_name: null(),
            tftp_path: null(),
            bootfile: null(),
            vdhcp_start: address(NAT.address),
            vnameserver: address(NAT.name_server),
            vnameserver6: none,
            vdnssearch: null(),
            vdomainname: null(),
            if_mtu: mtu,
            if_mru: mtu,
            disable_host_loopback: false,
            enable_emu: false,
        };
        let room = NonNull::from(Box::leak(room));
        // SAFETY: the room was just made, and stays until `drop`.
        let callbacks = unsafe { &raw const (*room.as_ptr()).callbacks };
        // SAFETY: the configuration is of the version that it says; the callbacks stay until `drop`.
        let raw = unsafe { c::slirp_new(&raw const config, callbacks, room.as_ptr().cast()) };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: it was leaked here, and the library has not kept it.
            drop(unsafe { Box::from_raw(room.as_ptr()) });
            return None;
        };
        Some(Slirp {
            raw,
            room,
            polled: Vec::new(),
        })
    }

    /// Where its packets go.
    pub(crate) fn outlet(&mut self) -> &mut O {
        // SAFETY: the room stays until `drop`; the library is not in a call, since those take `&mut self`, too.
        unsafe { &mut (*self.room.as_ptr()).outlet }
    }

    /// A packet for it, from the Ethernet header on.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        let len = c_int::try_from(bytes.len()).unwrap_or(0);
        // SAFETY: so many bytes are there; the library copies them.
        unsafe { c::slirp_input(self.raw.as_ptr(), bytes.as_ptr(), len) };
    }

    /// Sleeps until `bell` can be read, something has come for the library, or a time of its own is over, and has it work then.
    /// Whether it was the bell.
    pub(crate) fn wait(&mut self, bell: BorrowedFd<'_>) -> io::Result<bool> {
        self.polled.clear();
        self.polled.push(libc::pollfd {
            fd: bell.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        });
        let mut timeout = u32::MAX;
        let polled: *mut Vec<libc::pollfd> = &raw mut self.polled;
        // SAFETY: `add_poll` borrows the list during this call alone.
        unsafe { c::slirp_pollfds_fill(self.raw.as_ptr(), &raw mut timeout, add_poll, polled.cast()) };
        let count = libc::nfds_t::try_from(self.polled.len()).unwrap_or(0);
        let timeout = c_int::try_from(timeout).unwrap_or(-1);
        // SAFETY: so many entries are there.
        let ready = unsafe { libc::poll(self.polled.as_mut_ptr(), count, timeout) };
        let failed = (ready < 0).then(io::Error::last_os_error);
        let polled: *mut Vec<libc::pollfd> = &raw mut self.polled;
        let failure = c_int::from(failed.is_some());
        // SAFETY: `happened` borrows the list during this call alone.
        unsafe { c::slirp_pollfds_poll(self.raw.as_ptr(), failure, happened, polled.cast()) };
        match failed {
            Some(error) => Err(error),
            None => Ok(self.polled.first().is_some_and(|entry| entry.revents != 0)),
        }
    }
}

impl<O: Outlet> Drop for Slirp<O> {
    fn drop(&mut self) {
        // SAFETY: the state is the library's, and ends here.
        unsafe { c::slirp_cleanup(self.raw.as_ptr()) };
        // SAFETY: it was leaked by `new`, and the library has forgotten it.
        drop(unsafe { Box::from_raw(self.room.as_ptr()) });
    }
}

/// What is used of the header.
mod c {
    use super::{c_char, c_int, c_void};

    #[repr(C)]
    pub(super) struct Slirp {
        _opaque: [u8; 0],
    }

    pub(super) type TimerCb = unsafe extern "C" fn(*mut c_void);
    type Send = unsafe extern "C" fn(*const c_void, usize, *mut c_void) -> isize;
    type NewTimer = unsafe extern "C" fn(Option<TimerCb>, *mut c_void, *mut c_void) -> *mut c_void;
    type OfDescriptor = unsafe extern "C" fn(c_int, *mut c_void);

    /// Up to what version 3 has; the library reads the rest from version 4 on.
    #[repr(C)]
    pub(super) struct SlirpCb {
        pub(super) send_packet: Send,
        pub(super) guest_error: unsafe extern "C" fn(*const c_char, *mut c_void),
        pub(super) clock_get_ns: unsafe extern "C" fn(*mut c_void) -> i64,
        pub(super) timer_new: NewTimer,
        pub(super) timer_free: unsafe extern "C" fn(*mut c_void, *mut c_void),
        pub(super) timer_mod: unsafe extern "C" fn(*mut c_void, i64, *mut c_void),
        pub(super) register_poll_fd: OfDescriptor,
        pub(super) unregister_poll_fd: OfDescriptor,
        pub(super) notify: unsafe extern "C" fn(*mut c_void),
    }

    /// Version 1: the library reads no further.
    #[repr(C)]
    pub(super) struct SlirpConfig {
        pub(super) version: u32,
        pub(super) restricted: c_int,
        pub(super) in_enabled: bool,
        pub(super) vnetwork: libc::in_addr,
        pub(super) vnetmask: libc::in_addr,
        pub(super) vhost: libc::in_addr,
        pub(super) in6_enabled: bool,
        pub(super) vprefix_addr6: libc::in6_addr,
        pub(super) vprefix_len: u8,
        pub(super) vhost6: libc::in6_addr,
        pub(super) vhostname: *const c_char,
        pub(super) tftp_server_name: *const c_char,
        pub(super) tftp_path: *const c_char,
        pub(super) bootfile: *const c_char,
        pub(super) vdhcp_start: libc::in_addr,
        pub(super) vnameserver: libc::in_addr,
        pub(super) vnameserver6: libc::in6_addr,
        pub(super) vdnssearch: *const *const c_char,
        pub(super) vdomainname: *const c_char,
        pub(super) if_mtu: usize,
        pub(super) if_mru: usize,
        pub(super) disable_host_loopback: bool,
        pub(super) enable_emu: bool,
    }

    // libslirp-dev of Debian's (`cargo xtask setup`). pkg-config would want GLib's headers besides, which nothing here needs.
    #[link(name = "slirp")]
    unsafe extern "C" {
        pub(super) fn slirp_new(
            config: *const SlirpConfig,
            callbacks: *const SlirpCb,
            opaque: *mut c_void,
        ) -> *mut Slirp;
        pub(super) fn slirp_cleanup(slirp: *mut Slirp);
        pub(super) fn slirp_pollfds_fill(
            slirp: *mut Slirp,
            timeout: *mut u32,
            add_poll: unsafe extern "C" fn(c_int, c_int, *mut c_void) -> c_int,
            opaque: *mut c_void,
        );
        pub(super) fn slirp_pollfds_poll(
            slirp: *mut Slirp,
            select_error: c_int,
            get_revents: unsafe extern "C" fn(c_int, *mut c_void) -> c_int,
            opaque: *mut c_void,
        );
        pub(super) fn slirp_input(slirp: *mut Slirp, packet: *const u8, len: c_int);
    }
}
