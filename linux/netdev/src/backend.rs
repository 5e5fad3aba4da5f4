//! What a host gives for a network interface.

use crate::device::{Cable, MacAddress};
use crate::header::Offloads;
use crate::packet::{Buffers, Packets};

/// The other end of an interface: an Ethernet.
///
/// No method waits, because the caller is on Linux's only CPU. Packets and buffers may be kept, moved to other threads, and given
/// back at any time from any context. Linux cannot be halted while one is kept.
pub trait Backend: Send + Sync + 'static {
    /// What it does for Linux. Asked once.
    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }

    /// The hardware address of an interface that nobody has given one, where the other end passes frames for that address alone.
    fn hardware(&self) -> Option<MacAddress> {
        None
    }

    /// Linux has the interface: `cable` is for a backend that learns whether there is another end. Called once, maybe after the first
    /// packets.
    fn attached(&self, cable: Cable) {
        drop(cable);
    }

    /// Sends packets, in their order.
    fn transmit(&self, packets: Packets);

    /// Takes empty buffers for packets to come.
    fn receive(&self, buffers: Buffers);

    /// The interface goes down, or Linux is being halted: what the backend has of Linux's it gives back soon, and takes no new
    /// packets from outside. [`Backend::receive`] is called again when the interface goes up.
    fn stop(&self);
}
