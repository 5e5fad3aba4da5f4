//! A device of DPDK's, and its packets.

// UNSAFETY: calls of a C library, and packets that are its memory.

#![allow(unsafe_code)]

use super::sys::{self, Mbuf, RawPiece, RawPort};
use lkl_netdev::{Buffer, Header, MacAddress, Packet};
use std::ffi::{CString, c_int, c_uint, c_void};
use std::io;
use std::ptr::{null, null_mut};

/// The most packets of one burst.
pub(super) const BURST: usize = 32;

/// A device that runs. Each way is one thread's at a time: [`Port::receive`] and [`Outgoing`] take turns under a lock of their own.
pub(super) struct Port(RawPort);

// SAFETY: numbers, and a pool that only DPDK follows, which any thread may do.
unsafe impl Send for Port {}
// SAFETY: DPDK's devices are used by several threads, one for each way; the caller's locks see to that.
unsafe impl Sync for Port {}

impl Port {
    /// The device of that name, or the first one.
    pub(super) fn open(name: Option<&str>) -> io::Result<Port> {
        let name = name.map(CString::new).transpose()?;
        let pointer = name.as_ref().map_or(null(), |name| name.as_ptr());
        // SAFETY: all zeros is a value of this plain structure.
        let mut raw: RawPort = unsafe { std::mem::zeroed() };
        // SAFETY: a string or NULL, and a structure; both live through the call.
        match unsafe { sys::lkl_dpdk_open(pointer, &mut raw) } {
            0 => Ok(Port(raw)),
            error => Err(super::eal::said_or(error)),
        }
    }

    /// Whether it computes checksums.
    pub(super) fn checksums(&self) -> bool {
        self.0.checksums != 0
    }

    /// The address whose frames alone it passes.
    pub(super) fn hardware(&self) -> Option<MacAddress> {
        (self.0.address != [0; 6]).then_some(MacAddress(self.0.address))
    }

    /// Whether it has a link.
    pub(super) fn has_link(&self) -> bool {
        // SAFETY: the device runs until it is dropped.
        unsafe { sys::lkl_dpdk_link(&self.0) != 0 }
    }

    /// Takes what has come.
    pub(super) fn receive(&self) -> Burst {
        let mut burst = Burst::default();
        // SAFETY: the device runs; there is room for as many as is said.
        let count = unsafe { sys::lkl_dpdk_receive(&self.0, burst.packets.as_mut_ptr(), BURST as c_uint) };
        burst.end = count as usize;
        burst
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // SAFETY: it runs, and is not used any more.
        unsafe { sys::lkl_dpdk_close(&self.0) }
    }
}

/// Packets of DPDK's that are this program's.
pub(super) struct Burst {
    packets: [*mut Mbuf; BURST],
    start: usize,
    end: usize,
}

// SAFETY: packets belong to whoever has them; any thread may free them.
unsafe impl Send for Burst {}

impl Default for Burst {
    fn default() -> Burst {
        Burst {
            packets: [null_mut(); BURST],
            start: 0,
            end: 0,
        }
    }
}

impl Burst {
    fn pending(&mut self) -> &mut [*mut Mbuf] {
        self.packets.get_mut(self.start..self.end).unwrap_or(&mut [])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Copies the first packet into a buffer of Linux's, and frees it. `None`: it is longer than the buffer has room for.
    pub(super) fn copy_next(&mut self, buffer: &mut Buffer) -> Option<(usize, Header)> {
        let packet = self.pending().first_mut()?;
        // SAFETY: the packet is this program's.
        let good = unsafe { sys::lkl_dpdk_good(*packet) } != 0;
        let whole = gather(*packet, buffer);
        // SAFETY: the packet is this program's, and is not used any more.
        unsafe { sys::lkl_dpdk_free(packet, 1) };
        self.start = self.start.saturating_add(1);
        const DATA_VALID: u8 = 2;
        let header = [if good { DATA_VALID } else { 0 }, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        whole.map(|len| (len, Header::from_bytes(&header).unwrap_or_default()))
    }
}

/// Copies a packet, which may have several pieces.
fn gather(packet: *const Mbuf, buffer: &mut Buffer) -> Option<usize> {
    let mut pieces = buffer.segments_mut();
    let mut place: &mut [u8] = &mut [];
    let (mut len, mut next) = (0usize, packet);
    while !next.is_null() {
        let mut piece = RawPiece {
            data: null(),
            len: 0,
            next: null(),
        };
        // SAFETY: the packet, and each of its pieces, is this program's.
        unsafe { sys::lkl_dpdk_piece(next, &mut piece) };
        // SAFETY: as many bytes are there, until the packet is freed.
        let mut bytes = unsafe { std::slice::from_raw_parts(piece.data.cast::<u8>(), piece.len) };
        len = len.saturating_add(piece.len);
        while !bytes.is_empty() {
            if place.is_empty() {
                place = pieces.next()?;
            }
            let now = bytes.len().min(place.len());
            let (here, rest) = std::mem::take(&mut place).split_at_mut(now);
            let (copied, left) = bytes.split_at(now);
            here.copy_from_slice(copied);
            (place, bytes) = (rest, left);
        }
        next = piece.next;
    }
    Some(len)
}

impl Drop for Burst {
    fn drop(&mut self) {
        let pending = self.pending();
        let count = pending.len() as c_uint;
        // SAFETY: they are this program's, and not used any more.
        unsafe { sys::lkl_dpdk_free(pending.as_mut_ptr(), count) }
    }
}

/// Packets that the device has not taken yet, in their order.
#[derive(Default)]
pub(super) struct Outgoing(Burst);

/// What became of a packet of Linux's.
pub(super) enum Taken {
    Yes,
    /// There is no room now.
    Later,
    /// It is longer than the device's packets are.
    Never,
}

impl Outgoing {
    /// Copies a packet of Linux's into one of the device's, which is sent by [`Outgoing::flush`].
    pub(super) fn push(&mut self, port: &Port, packet: &Packet) -> Taken {
        if self.0.end == BURST && !self.flush(port) {
            return Taken::Later;
        }
        let len = packet.len();
        if len > port.0.room as usize {
            return Taken::Never;
        }
        let mut data: *mut c_void = null_mut();
        // SAFETY: the device runs; the pointer lives through the call.
        let mbuf = unsafe { sys::lkl_dpdk_new(&port.0, len, &mut data) };
        if mbuf.is_null() {
            return Taken::Later;
        }
        // SAFETY: as many bytes are the packet's, which is this program's until it is sent.
        let bytes = unsafe { std::slice::from_raw_parts_mut(data.cast::<u8>(), len) };
        let mut rest = &mut *bytes;
        for piece in packet.segments() {
            let (now, later) = rest.split_at_mut(piece.len().min(rest.len()));
            now.copy_from_slice(piece.get(..now.len()).unwrap_or(&[]));
            rest = later;
        }
        if let Some((start, offset)) = packet.header().checksum() {
            match Transport::of(bytes, start, offset).filter(|_| port.checksums()) {
                // SAFETY: the packet is this program's.
                Some(transport) => unsafe {
                    sys::lkl_dpdk_checksum(
                        mbuf,
                        c_int::from(transport.ipv6),
                        transport.header,
                        c_int::from(transport.tcp),
                    );
                },
                None => complete(bytes, start, offset),
            }
        }
        if let Some(place) = self.0.packets.get_mut(self.0.end) {
            *place = mbuf;
            self.0.end = self.0.end.saturating_add(1);
        }
        Taken::Yes
    }

    /// Gives the device what it takes. Whether that was all.
    pub(super) fn flush(&mut self, port: &Port) -> bool {
        while !self.0.is_empty() {
            let pending = self.0.pending();
            let count = pending.len() as c_uint;
            // SAFETY: the device runs; as many packets are this program's, and those that it takes are not any more.
            let taken = unsafe { sys::lkl_dpdk_send(&port.0, pending.as_mut_ptr(), count) };
            self.0.start = self.0.start.saturating_add(taken as usize);
            if taken == 0 {
                return false;
            }
        }
        (self.0.start, self.0.end) = (0, 0);
        true
    }
}

/// A checksum that devices know: TCP's or UDP's, right behind a header of IP.
struct Transport {
    ipv6: bool,
    header: u32,
    tcp: bool,
}

impl Transport {
    fn of(bytes: &[u8], start: usize, offset: usize) -> Option<Transport> {
        const ETHERNET: usize = 14;
        let header = start.checked_sub(ETHERNET)?;
        let (ipv6, protocol) = match bytes.get(12..14)? {
            [8, 0] => (false, *bytes.get(23)?),
            [0x86, 0xdd] if header == 40 => (true, *bytes.get(20)?),
            _ => return None,
        };
        let tcp = match (protocol, offset) {
            (6, 16) => true,
            (17, 6) => false,
            _ => return None,
        };
        Some(Transport {
            ipv6,
            header: u32::try_from(header).ok()?,
            tcp,
        })
    }
}

/// Computes a checksum that Linux has begun.
fn complete(bytes: &mut [u8], start: usize, offset: usize) {
    let Some(covered) = bytes.get_mut(start..) else {
        return;
    };
    let word = |pair: &[u8]| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    };
    let mut sum: u64 = covered.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    let sum = !u16::try_from(sum).unwrap_or(0);
    // Of UDP, none at all is written as zero.
    let sum = if sum == 0 { 0xffff } else { sum };
    if let Some(place) = covered.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        *place = sum.to_be_bytes();
    }
}
