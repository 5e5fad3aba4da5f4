//! Runs an input of the target *netlink*, in a network of its own.

use crate::door::{Argument, At, Door, Number, ROOM};
use crate::packets::NEW_NETWORK;
use lkl::{Errno, Kernel};
use lkl_fuzz::netlink::{FILTER, Message, PROTOCOLS, batch};
use lkl_fuzz::records::Records;

const SOCKET: i64 = 41;
const SENDTO: i64 = 44;
const RECVFROM: i64 = 45;
const UNSHARE: i64 = 272;
const NETLINK: i64 = 16;
/// `SOCK_RAW`, which does not wait.
const RAW: i64 = 3 | 0o4000;
const DONT_WAIT: i64 = 0x40;
/// Pieces of an answer that are read.
const ANSWERS: usize = 6;

/// A task in a network of its own, and its sockets.
struct Sockets {
    door: Door,
    sockets: [i64; PROTOCOLS.len()],
    number: u32,
}

/// Sends the messages of an input.
pub fn run(kernel: &Kernel, input: &[u8]) {
    let Ok(mut sockets) = Sockets::new(kernel) else {
        return;
    };
    let messages: Vec<Message> = Records::parse(input)
        .0
        .iter()
        .map(|record| Message::parse(record))
        .collect();
    for together in messages.chunk_by(|one, other| one.in_batch() && other.in_batch()) {
        sockets.send(together);
    }
    sockets.door.close_all();
}

impl Sockets {
    fn new(kernel: &Kernel) -> Result<Sockets, Errno> {
        let mut door = Door::new(kernel)?;
        door.call(UNSHARE, &[Number(NEW_NETWORK)])?;
        let mut sockets = [-1; PROTOCOLS.len()];
        for (socket, protocol) in sockets.iter_mut().zip(PROTOCOLS) {
            *socket = door.open(SOCKET, &[Number(NETLINK), Number(RAW), Number(protocol)])?;
        }
        Ok(Sockets {
            door,
            sockets,
            number: 1,
        })
    }

    fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// Sends one message, or several that nf_tables takes together.
    fn send(&mut self, messages: &[Message]) {
        let Some(first) = messages.first() else { return };
        let mut bytes = Vec::new();
        let whole = first.in_batch();
        if whole {
            bytes.extend(batch(true, self.number()));
        }
        for message in messages {
            bytes.extend(message.bytes(self.number()));
        }
        if whole {
            bytes.extend(batch(false, self.number()));
        }
        bytes.truncate(ROOM - 1);
        let protocol = if whole { FILTER } else { first.protocol };
        let socket = Number(self.sockets[usize::from(protocol)]);
        let place = self.door.put(0, &bytes);
        let length = Number(bytes.len() as i64);
        let call: [Argument; 6] = [socket, place, length, Number(DONT_WAIT), Number(0), Number(0)];
        let _ = self.door.call(SENDTO, &call);
        for _ in 0..ANSWERS {
            let length = Number(ROOM as i64 / 2);
            let call = [socket, At(1), length, Number(DONT_WAIT), Number(0), Number(0)];
            if self.door.call(RECVFROM, &call).is_err() {
                break;
            }
        }
    }
}
