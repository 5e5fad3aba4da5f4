//! The body of a response, made while it is sent.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use lkl::Errno;

use crate::report::Progress;
use crate::tree::Content;

/// Bytes that are read or written at once.
const CHUNK: usize = 256 << 10;
/// Buffers that are kept for what is read next.
const SPARE: usize = 4;

/// Writes a piece of a body to the end of a buffer; false when that was the last.
pub type Writer = Box<dyn FnMut(&mut Vec<u8>) -> bool>;

/// A stretch of a body.
pub enum Stretch {
    /// These bytes.
    Bytes(Bytes),
    /// Bytes of the file: where, and how many.
    File(u64, u64),
    /// What is written piece by piece.
    Written(Writer),
}

/// A transfer that is told of at its end, however that comes.
struct Running {
    progress: Progress,
    /// Bytes of the file that are still to come.
    left: u64,
    failure: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        match (&self.failure, self.left) {
            (Some(failure), _) => self.progress.end(&format!("unreadable ({failure})")),
            (None, 0) => self.progress.end("sent"),
            (None, _) => self.progress.end("not taken"),
        }
    }
}

/// A body.
#[derive(Default)]
pub struct Reply {
    stretches: VecDeque<Stretch>,
    /// How many bytes are to come, if that is known.
    left: Option<u64>,
    content: Option<Box<dyn Content>>,
    running: Option<Running>,
    /// Buffers that the connection may have done with.
    spare: VecDeque<Bytes>,
}

impl Reply {
    /// Nothing.
    pub fn empty() -> Reply {
        Reply {
            left: Some(0),
            ..Reply::default()
        }
    }

    /// These bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Reply {
        let bytes = bytes.into();
        Reply {
            left: Some(bytes.len() as u64),
            stretches: [Stretch::Bytes(bytes)].into(),
            ..Reply::default()
        }
    }

    /// What a writer writes. Short texts get a length by that.
    pub fn written(mut writer: Writer) -> Reply {
        let mut first = Vec::new();
        if !writer(&mut first) {
            return Reply::bytes(first);
        }
        Reply {
            stretches: [Stretch::Bytes(first.into()), Stretch::Written(writer)].into(),
            ..Reply::default()
        }
    }

    /// Parts of a file, and what is between them.
    pub fn parts(stretches: VecDeque<Stretch>, content: Box<dyn Content>, progress: Progress) -> Reply {
        let of_file = stretches.iter().map(|stretch| match stretch {
            Stretch::File(_, len) => *len,
            _ => 0,
        });
        let running = Running {
            progress,
            left: of_file.sum(),
            failure: None,
        };
        let lengths = stretches.iter().map(|stretch| match stretch {
            Stretch::Bytes(bytes) => bytes.len() as u64,
            Stretch::File(_, len) => *len,
            Stretch::Written(_) => 0,
        });
        Reply {
            left: Some(lengths.sum()),
            stretches,
            content: Some(content),
            running: Some(running),
            spare: VecDeque::new(),
        }
    }

    /// Reads the first piece of a file now, so that one that cannot be read is refused, and not cut off.
    ///
    /// # Errors
    /// EIO, whatever the reason, which is in the log.
    pub fn begin(&mut self) -> Result<(), Errno> {
        let Some(Stretch::File(at, left)) = self.stretches.front() else {
            return Ok(());
        };
        let (at, left) = (*at, *left);
        let bytes = self.read_or_tell(at, left).map_err(|_| Errno::EIO)?;
        self.stretches.pop_front();
        let len = bytes.len() as u64;
        if len < left {
            let rest = Stretch::File(at.saturating_add(len), left.saturating_sub(len));
            self.stretches.push_front(rest);
        }
        self.stretches.push_front(Stretch::Bytes(bytes));
        Ok(())
    }

    /// How many bytes there are, if that is known.
    pub fn len(&self) -> Option<u64> {
        self.left
    }

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let (bytes, put_back) = match self.stretches.pop_front()? {
            Stretch::Bytes(bytes) => (bytes, None),
            Stretch::Written(mut writer) => {
                let mut bytes = Vec::new();
                let more = writer(&mut bytes);
                (bytes.into(), more.then_some(Stretch::Written(writer)))
            }
            Stretch::File(at, left) => match self.read_or_tell(at, left) {
                Ok(bytes) => {
                    let len = bytes.len() as u64;
                    let rest = Stretch::File(at.saturating_add(len), left.saturating_sub(len));
                    (bytes, (len < left).then_some(rest))
                }
                Err(error) => return Some(Err(error)),
            },
        };
        if let Some(stretch) = put_back {
            self.stretches.push_front(stretch);
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(bytes.len() as u64);
        }
        Some(Ok(bytes))
    }

    /// Reads a piece, or has the log say why the transfer ends.
    fn read_or_tell(&mut self, at: u64, left: u64) -> io::Result<Bytes> {
        self.read(at, left).inspect_err(|error| {
            if let Some(mut running) = self.running.take() {
                running.failure = Some(error.to_string());
            }
        })
    }

    /// Reads a piece into a buffer that was sent before, if there is one.
    fn read(&mut self, at: u64, left: u64) -> io::Result<Bytes> {
        let content = self.content.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = match self.spare.pop_front().map(Bytes::try_into_mut) {
            Some(Ok(buffer)) => buffer,
            Some(Err(in_use)) => {
                self.spare.push_front(in_use);
                BytesMut::new()
            }
            None => BytesMut::new(),
        };
        buffer.resize(wanted, 0);
        let len = content
            .read_at(&mut buffer, at)
            .map_err(|errno| io::Error::other(errno.text()))?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(len);
        let bytes = buffer.freeze();
        if wanted == CHUNK && self.spare.len() < SPARE {
            self.spare.push_back(bytes.clone());
        }
        if let Some(running) = &mut self.running {
            running.progress.add(len as u64);
            running.left = running.left.saturating_sub(len as u64);
        }
        Ok(bytes)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.get_mut().next().map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.stretches.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
