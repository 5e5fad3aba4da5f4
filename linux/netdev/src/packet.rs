//! Packets that Linux sends, and buffers for those that it is to receive, as the host's end of the interface sees them.
//!
//! [`Packet`] and [`Buffer`] are linear: whoever holds one owes it to Linux, and dropping it gives it back.

#![allow(unsafe_code)]

use crate::door::Door;
use crate::header::Header;
use crate::sys::{lkl_net_receive, lkl_net_transmit};
use lkl::Errno;
use lkl::extend::RequestTicket;
use lkl::sys::lkl_segment;
use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

/// What all things of one call have in common: for as long as there is one, Linux cannot be halted, and its memory stays.
pub(crate) struct Loan {
    pub(crate) door: Arc<Door>,
    /// Dropped last: after all were given back.
    pub(crate) ticket: RequestTicket,
}

impl Loan {
    /// Gives a packet back, which is no other's in the list.
    fn transmitted(&self, packet: NonNull<lkl_net_transmit>) {
        self.ticket.answer(|| self.door.transmitted(packet));
    }

    /// Gives a list of buffers back.
    fn received(&self, first: NonNull<lkl_net_receive>) {
        self.ticket.answer(|| self.door.received(first));
    }
}

/// A packet that Linux sends. Dropping it says that it could not be sent.
pub struct Packet {
    raw: NonNull<lkl_net_transmit>,
    error: i32,
    loan: Arc<Loan>,
}

// SAFETY: the contract of host_net.h: the packet belongs to the host until linux_net_transmitted(), which any thread or context may
// call. All memory behind it is Linux's pool, which no thread owns.
unsafe impl Send for Packet {}
// SAFETY: by shared reference only plain numbers and bytes are read.
unsafe impl Sync for Packet {}

impl Packet {
    fn raw(&self) -> &lkl_net_transmit {
        // SAFETY: it is ours until linux_net_transmitted(), and that is only called by drop.
        unsafe { self.raw.as_ref() }
    }

    /// What is left to do with it: only what the backend's [`crate::Offloads`] say.
    pub fn header(&self) -> Header {
        Header(self.raw().header)
    }

    /// Bytes, from the Ethernet header on.
    pub fn len(&self) -> usize {
        self.raw().len as usize
    }

    /// Whether it has none; Linux sends no such packet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its pieces, in order.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        pieces(self.raw().segments, self.raw().segment_count)
            .iter()
            .map(|piece| {
                // SAFETY: the segments of a packet are readable memory that stays until it is given back.
                unsafe { std::slice::from_raw_parts(piece.addr.cast::<u8>().cast_const(), piece.len) }
            })
    }

    /// Its pieces, behind `head`, for a gathering write.
    pub fn slices<'a>(&'a self, head: &'a [u8], out: &mut Vec<IoSlice<'a>>) {
        out.clear();
        if !head.is_empty() {
            out.push(IoSlice::new(head));
        }
        out.extend(self.segments().map(IoSlice::new));
    }

    /// A copy of its bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        self.segments().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// It was sent.
    pub fn sent(mut self) {
        self.error = 0;
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        // SAFETY: it is ours, and given back here, once.
        let raw = unsafe { self.raw.as_mut() };
        raw.error = self.error;
        raw.next = null_mut();
        self.loan.transmitted(self.raw);
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("len", &self.len())
            .field("header", &self.header())
            .finish_non_exhaustive()
    }
}

fn pieces<'a>(segments: *const lkl_segment, count: u32) -> &'a [lkl_segment] {
    if segments.is_null() {
        return &[];
    }
    // SAFETY: Linux keeps the array of segments with the packet or buffer.
    unsafe { std::slice::from_raw_parts(segments, count as usize) }
}

/// The packets of one call, in their order.
pub struct Packets {
    next: Option<NonNull<lkl_net_transmit>>,
    loan: Arc<Loan>,
}

// SAFETY: as Packet.
unsafe impl Send for Packets {}

impl Packets {
    /// # Safety
    /// `first` is a list that Linux gave to transmit(), and that is the host's now.
    pub(crate) unsafe fn adopt(first: *mut lkl_net_transmit, loan: Loan) -> Packets {
        Packets {
            next: NonNull::new(first),
            loan: Arc::new(loan),
        }
    }
}

impl Iterator for Packets {
    type Item = Packet;

    fn next(&mut self) -> Option<Packet> {
        let raw = self.next?;
        // SAFETY: the list is the host's; this one has not been handed on.
        self.next = NonNull::new(unsafe { raw.as_ref() }.next);
        Some(Packet {
            raw,
            error: -5,
            loan: Arc::clone(&self.loan),
        })
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// Room for one packet. Dropping it gives it back with nothing in it.
pub struct Buffer {
    raw: NonNull<lkl_net_receive>,
    /// `None` only while it is handed on.
    loan: Option<Arc<Loan>>,
}

// SAFETY: as Packet.
unsafe impl Send for Buffer {}

impl Buffer {
    fn raw(&self) -> &lkl_net_receive {
        // SAFETY: it is ours until linux_net_received().
        unsafe { self.raw.as_ref() }
    }

    /// Bytes of the longest packet that fits.
    pub fn room(&self) -> usize {
        self.raw().room as usize
    }

    /// Its pieces, to be filled from the first on.
    pub fn segments_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        pieces(self.raw().segments, self.raw().segment_count)
            .iter()
            .map(|piece| {
                // SAFETY: the segments of a buffer are memory of the host's until it is given back; they do not overlap, and `&mut self`
                // is the only way to them.
                unsafe { std::slice::from_raw_parts_mut(piece.addr.cast::<u8>(), piece.len) }
            })
    }

    /// Its pieces, behind `head`, for a scattering read.
    pub fn slices<'a>(&'a mut self, head: &'a mut [u8], out: &mut Vec<IoSliceMut<'a>>) {
        out.clear();
        if !head.is_empty() {
            out.push(IoSliceMut::new(head));
        }
        out.extend(self.segments_mut().map(IoSliceMut::new));
    }

    /// Copies a packet into it: how many bytes fitted.
    pub fn copy_from(&mut self, mut bytes: &[u8]) -> usize {
        let whole = bytes.len();
        for piece in self.segments_mut() {
            let (now, later) = bytes.split_at(bytes.len().min(piece.len()));
            piece.iter_mut().zip(now).for_each(|(place, byte)| *place = *byte);
            bytes = later;
        }
        whole.saturating_sub(bytes.len())
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            let mut received = Received::default();
            received.give(self.raw, 0, Header::default());
            received.send(&loan);
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("room", &self.room())
            .finish_non_exhaustive()
    }
}

/// The empty buffers of one call.
pub struct Buffers {
    next: Option<NonNull<lkl_net_receive>>,
    loan: Arc<Loan>,
}

// SAFETY: as Packet.
unsafe impl Send for Buffers {}

impl Buffers {
    /// # Safety
    /// `first` is a list that Linux gave to receive(), and that is the host's now.
    pub(crate) unsafe fn adopt(first: *mut lkl_net_receive, loan: Loan) -> Buffers {
        Buffers {
            next: NonNull::new(first),
            loan: Arc::new(loan),
        }
    }
}

impl Iterator for Buffers {
    type Item = Buffer;

    fn next(&mut self) -> Option<Buffer> {
        let raw = self.next?;
        // SAFETY: the list is the host's; this one has not been handed on.
        self.next = NonNull::new(unsafe { raw.as_ref() }.next);
        Some(Buffer {
            raw,
            loan: Some(Arc::clone(&self.loan)),
        })
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// Packets that came, to be given to Linux at once and in their order. Dropping it gives them.
#[derive(Default)]
pub struct Received {
    first: Option<NonNull<lkl_net_receive>>,
    last: Option<NonNull<lkl_net_receive>>,
    loans: Vec<Arc<Loan>>,
    count: usize,
}

// SAFETY: as Packet.
unsafe impl Send for Received {}

impl Received {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a packet: the first `len` bytes of `buffer`. EMSGSIZE when it has no room for as many; nothing is received then. All
    /// buffers of one list are of one interface: those of another are delivered first.
    pub fn push(&mut self, mut buffer: Buffer, len: usize, header: Header) -> Result<(), Errno> {
        let room = buffer.room();
        let len = u32::try_from(len)
            .ok()
            .filter(|_| len <= room)
            .ok_or(Errno::EMSGSIZE)?;
        let raw = buffer.raw;
        let Some(loan) = buffer.loan.take() else {
            return Ok(());
        };
        if self
            .loans
            .last()
            .is_some_and(|last| !Arc::ptr_eq(&last.door, &loan.door))
        {
            std::mem::take(self).deliver();
        }
        if !self.loans.last().is_some_and(|last| Arc::ptr_eq(last, &loan)) {
            self.loans.push(loan);
        }
        self.give(raw, len, header);
        Ok(())
    }

    fn give(&mut self, mut raw: NonNull<lkl_net_receive>, len: u32, header: Header) {
        // SAFETY: the buffer is the host's, and this list has it now.
        let buffer = unsafe { raw.as_mut() };
        buffer.len = len;
        buffer.header = header.0;
        buffer.next = null_mut();
        match self.last {
            // SAFETY: it is in this list, and not given back yet.
            Some(mut last) => unsafe { last.as_mut() }.next = raw.as_ptr(),
            None => self.first = Some(raw),
        }
        self.last = Some(raw);
        self.count = self.count.saturating_add(1);
    }

    fn send(&mut self, loan: &Loan) {
        self.last = None;
        self.count = 0;
        if let Some(first) = self.first.take() {
            loan.received(first);
        }
    }

    /// Gives them to Linux.
    pub fn deliver(self) {
        drop(self);
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(loan) = self.loans.last().map(Arc::clone) {
            self.send(&loan);
        }
        // The loans end after that.
    }
}

impl fmt::Debug for Packets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packets").finish_non_exhaustive()
    }
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").finish_non_exhaustive()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
