//! What the coordinator and a node's process say to each other: messages with a kind and a length, over a UNIX socket.
//!
//! The node's process is told its plan ([`Kind::Plan`]) and says when its network is there ([`Kind::Built`]). The coordinator says when time
//! begins for all ([`Kind::Begin`]). Then they take turns: [`Kind::Idle`] has what the node has sent and when it has something to do next, and
//! [`Kind::Go`] has what it receives and until when its time passes, or that all is over. The last that the node says is its report.
//! Messages that go to and fro all the time are numbers and frames as they are; the others are JSON.

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
    /// From the node: nothing goes on there.
    Idle = 4,
    /// To the node: how time passes.
    Go = 5,
    /// From the node: what came of it.
    Report = 6,
    /// From the node: it could not do it.
    Failure = 7,
}

const KINDS: [Kind; 7] = [
    Kind::Plan,
    Kind::Built,
    Kind::Begin,
    Kind::Idle,
    Kind::Go,
    Kind::Report,
    Kind::Failure,
];

/// A frame of Ethernet, the interface of a node that it leaves by or comes to, and when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) interface: u16,
    pub(super) time: u64,
    pub(super) bytes: Vec<u8>,
}

/// A node has come as far as it could.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Idle {
    /// When it has something to do; `u64::MAX` for never.
    pub(super) next: u64,
    /// Its flows have come to their ends.
    pub(super) done: bool,
    /// What it has sent.
    pub(super) frames: Vec<Frame>,
}

/// A node goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Go {
    /// Until when, this time included.
    pub(super) limit: u64,
    /// It goes no further when it has sent something.
    pub(super) stop: bool,
    /// Everything is over.
    pub(super) over: bool,
    /// What it receives until then, in order.
    pub(super) frames: Vec<Frame>,
}

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

/// Takes numbers and bytes from the front of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| broken("is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> io::Result<u64> {
        let mut whole = [0; 8];
        whole[..bytes].copy_from_slice(self.bytes(bytes)?);
        Ok(u64::from_le_bytes(whole))
    }

    /// A time, two flags and frames: what both messages of each turn have.
    fn turn(mut self) -> io::Result<(u64, [bool; 2], Vec<Frame>)> {
        let time = self.number(8)?;
        let flags = [self.number(1)? != 0, self.number(1)? != 0];
        let mut frames = Vec::new();
        while !self.0.is_empty() {
            let interface = u16::try_from(self.number(2)?).unwrap_or(u16::MAX);
            let time = self.number(8)?;
            let len = usize::try_from(self.number(4)?).unwrap_or(usize::MAX);
            let bytes = self.bytes(len)?.to_vec();
            frames.push(Frame {
                interface,
                time,
                bytes,
            });
        }
        Ok((time, flags, frames))
    }
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

    fn turn(&mut self, kind: Kind, time: u64, flags: [bool; 2], frames: &[Frame]) -> io::Result<()> {
        self.begin(kind);
        self.buffer.extend(time.to_le_bytes());
        self.buffer.extend(flags.map(u8::from));
        for frame in frames {
            let len = u32::try_from(frame.bytes.len()).map_err(|_| broken("is too long"))?;
            self.buffer.extend(frame.interface.to_le_bytes());
            self.buffer.extend(frame.time.to_le_bytes());
            self.buffer.extend(len.to_le_bytes());
            self.buffer.extend(&frame.bytes);
        }
        self.end()
    }

    pub(super) fn say_idle(&mut self, idle: &Idle) -> io::Result<()> {
        self.turn(Kind::Idle, idle.next, [idle.done, false], &idle.frames)
    }

    pub(super) fn say_go(&mut self, go: &Go) -> io::Result<()> {
        self.turn(Kind::Go, go.limit, [go.stop, go.over], &go.frames)
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

impl Idle {
    pub(super) fn parse(message: &[u8]) -> io::Result<Idle> {
        let (next, [done, _], frames) = Fields(message).turn()?;
        Ok(Idle { next, done, frames })
    }
}

impl Go {
    pub(super) fn parse(message: &[u8]) -> io::Result<Go> {
        let (limit, [stop, over], frames) = Fields(message).turn()?;
        Ok(Go {
            limit,
            stop,
            over,
            frames,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_says_the_other_hears_and_half_a_message_is_an_error() {
        let (one, two) = UnixStream::pair().unwrap();
        let (mut one, mut two) = (Wire::new(one), Wire::new(two));
        let frame = |interface, len| Frame {
            interface,
            time: 1 << 50,
            bytes: vec![7; len],
        };
        let idle = Idle {
            next: u64::MAX,
            done: true,
            frames: vec![frame(0, 60), frame(513, 1514)],
        };
        let go = Go {
            limit: 4,
            stop: true,
            ..Go::default()
        };
        one.say_idle(&idle).unwrap();
        one.say_go(&go).unwrap();
        one.say(Kind::Begin, &17u64).unwrap();
        one.say(Kind::Begin, &18u64).unwrap();
        let (kind, message) = two.hear().unwrap();
        assert_eq!((kind, Idle::parse(&message).unwrap()), (Kind::Idle, idle));
        for cut in 11..message.len() {
            // Between the frames there is an end.
            assert_eq!(Idle::parse(&message[..cut]).is_ok(), cut == 10 + 74, "{cut}");
        }
        let (kind, message) = two.hear().unwrap();
        assert_eq!((kind, Go::parse(&message).unwrap()), (Kind::Go, go));
        assert_eq!(two.hear_of::<u64>(Kind::Begin).unwrap(), 17);
        assert!(two.hear_of::<u64>(Kind::Built).is_err());
        drop(one);
        assert!(two.hear().is_err());
    }
}
