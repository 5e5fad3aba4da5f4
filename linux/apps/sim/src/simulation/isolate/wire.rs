//! What the coordinator and a node's process say to each other: messages in JSON, with a kind and a length, over a UNIX socket.
//!
//! The node's process is told its plan ([`Kind::Plan`]) and says when its network is there ([`Kind::Built`]). The coordinator says when time
//! begins for all ([`Kind::Begin`]). From then on the nodes go on by themselves ([`super::rounds`]). The last that each says is its report.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// The longest message: far more than what can be in a moment's frames, or in a report.
const LONGEST: usize = 1 << 30;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the node: which one it is.
    Plan = 1,
    /// From the node: its network is there.
    Built = 2,
    /// To the node: when the simulation begins.
    Begin = 3,
    /// From the node: what came of it.
    Report = 4,
    /// From the node: it could not do it.
    Failure = 5,
}

const KINDS: [Kind; 5] = [Kind::Plan, Kind::Built, Kind::Begin, Kind::Report, Kind::Failure];

/// One end of the socket.
#[derive(Debug)]
pub(super) struct Wire {
    reader: BufReader<UnixStream>,
    /// A message that is being made.
    buffer: Vec<u8>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message that {what}"))
}

impl Wire {
    pub(super) fn new(socket: UnixStream) -> Wire {
        Wire {
            reader: BufReader::with_capacity(64 << 10, socket),
            buffer: Vec::new(),
        }
    }

    /// The socket itself, to shut it down.
    pub(super) fn socket(&self) -> &UnixStream {
        self.reader.get_ref()
    }

    fn begin(&mut self, kind: Kind) {
        self.buffer.clear();
        self.buffer.extend([kind as u8, 0, 0, 0, 0]);
    }

    fn end(&mut self) -> io::Result<()> {
        let len = u32::try_from(self.buffer.len() - 5).map_err(|_| broken("is too long"))?;
        self.buffer[1..5].copy_from_slice(&len.to_le_bytes());
        self.reader.get_ref().write_all(&self.buffer)
    }

    /// Says something in JSON.
    pub(super) fn say(&mut self, kind: Kind, what: &impl Serialize) -> io::Result<()> {
        self.begin(kind);
        serde_json::to_writer(&mut self.buffer, what)?;
        self.end()
    }

    /// Waits for a message.
    pub(super) fn hear(&mut self) -> io::Result<(Kind, Vec<u8>)> {
        let mut head = [0; 5];
        self.reader.read_exact(&mut head)?;
        let [kind, len @ ..] = head;
        let kind = KINDS.into_iter().find(|known| *known as u8 == kind);
        let kind = kind.ok_or_else(|| broken("is of no kind"))?;
        let len = u32::from_le_bytes(len) as usize;
        if len > LONGEST {
            return Err(broken("is too long"));
        }
        let mut message = vec![0; len];
        self.reader.read_exact(&mut message)?;
        Ok((kind, message))
    }

    /// Waits for a message of one kind, in JSON.
    pub(super) fn hear_of<T: DeserializeOwned>(&mut self, kind: Kind) -> io::Result<T> {
        match self.hear()? {
            (heard, message) if heard == kind => Ok(serde_json::from_slice(&message)?),
            _ => Err(broken("is of another kind")),
        }
    }

    /// Waits until the other end is gone.
    pub(super) fn wait_for_end(&mut self) {
        // Whatever it says besides, and however it ends, is no matter any more.
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_says_the_other_hears_and_half_a_message_is_an_error() {
        let (one, two) = UnixStream::pair().unwrap();
        let (mut one, mut two) = (Wire::new(one), Wire::new(two));
        one.say(Kind::Begin, &17u64).unwrap();
        one.say(Kind::Begin, &18u64).unwrap();
        assert_eq!(two.hear_of::<u64>(Kind::Begin).unwrap(), 17);
        assert!(two.hear_of::<u64>(Kind::Built).is_err());
        one.begin(Kind::Report);
        one.buffer.extend([0; 3]);
        one.buffer[1..5].copy_from_slice(&4u32.to_le_bytes());
        one.reader.get_ref().write_all(&one.buffer).unwrap();
        drop(one);
        assert!(two.hear().is_err());
    }
}
