//! Bytes on their way to a client, a file's or a listing's, or from one.

use std::io;
use std::time::Duration;

use lkl::Errno;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::command::Representation;
use super::listing::Listing;
use super::upload::Upload;
use crate::report::Progress;
use crate::tree::Content;

/// Bytes that are read at once. They fit into a processor's second cache beside what Linux reads them from.
const CHUNK: usize = 256 << 10;
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long what is not wanted is taken.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

/// Why a transfer has ended early.
#[derive(Debug)]
pub enum Trouble {
    /// The client does not take it, or send it.
    Client(io::Error),
    /// The image does not give it, or take it.
    Volume(Errno),
}

/// Sends a file from `offset` on, which is `left` bytes as far as is known.
pub async fn file(
    to: &mut (impl AsyncWrite + Unpin),
    content: &dyn Content,
    mut offset: u64,
    left: u64,
    representation: Representation,
    progress: &mut Progress,
) -> Result<(), Trouble> {
    // One byte more than a small file has: a read that is short and has all of it was the last. One that is short before may have
    // met damage, which the next says.
    let end = offset.saturating_add(left);
    let want = usize::try_from(left).unwrap_or(CHUNK).saturating_add(1);
    let mut buffer = vec![0; want.clamp(4096, CHUNK)];
    let mut lines = Vec::new();
    loop {
        let len = content.read_at(&mut buffer, offset).map_err(Trouble::Volume)?;
        let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        match representation {
            Representation::Image => send(to, bytes, progress).await?,
            Representation::Text => {
                lines.clear();
                with_crlf(bytes, &mut lines);
                send(to, &lines, progress).await?;
            }
        }
        offset = offset.saturating_add(len as u64);
        if len < buffer.len() && offset >= end {
            return Ok(());
        }
    }
}

/// Sends a listing.
pub async fn list(
    to: &mut (impl AsyncWrite + Unpin),
    listing: &mut Listing,
    progress: &mut Progress,
) -> Result<(), Trouble> {
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let more = listing.fill(&mut buffer, CHUNK / 4);
        send(to, &buffer, progress).await?;
        if !more {
            return Ok(());
        }
    }
}

/// Takes a file, until the client closes the connection.
pub async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    upload: &mut Upload,
    representation: Representation,
    progress: &mut Progress,
) -> Result<(), Trouble> {
    let mut buffer = vec![0; CHUNK];
    let mut lines = Vec::new();
    let mut held = false;
    loop {
        let mut len = 0;
        while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match patient(from.read(rest)).await? {
                0 => break,
                read => len += read,
            }
            progress.add(0);
        }
        let bytes = buffer.get(..len).unwrap_or_default();
        match representation {
            Representation::Image => upload.write(bytes).map_err(Trouble::Volume)?,
            Representation::Text => {
                lines.clear();
                held = without_cr(bytes, held, &mut lines);
                // A CR that was the last byte.
                if held && len < buffer.len() {
                    lines.push(b'\r');
                }
                upload.write(&lines).map_err(Trouble::Volume)?;
            }
        }
        progress.add(len as u64);
        if len < buffer.len() {
            return Ok(());
        }
    }
}

/// Takes what a client still sends, for a while.
pub async fn discard(from: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let mut buffer = vec![0; CHUNK];
    let all = async {
        while from.read(&mut buffer).await.is_ok_and(|len| len > 0) {}
        from.shutdown().await
    };
    // One that sends more than that finds the connection closed.
    let _ = timeout(LAST_PATIENCE, all).await;
}

/// Tells the client that this was all.
pub async fn finish(to: &mut (impl AsyncWrite + Unpin)) -> Result<(), Trouble> {
    patient(to.shutdown()).await
}

async fn send(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    progress: &mut Progress,
) -> Result<(), Trouble> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match patient(to.write(rest)).await? {
            0 => return Err(Trouble::Client(io::ErrorKind::WriteZero.into())),
            len => {
                done += len;
                progress.add(len as u64);
            }
        }
    }
    Ok(())
}

async fn patient<T>(work: impl Future<Output = io::Result<T>>) -> Result<T, Trouble> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(Trouble::Client),
        Err(_) => Err(Trouble::Client(io::ErrorKind::TimedOut.into())),
    }
}

/// Lines as TYPE A wants them.
fn with_crlf(bytes: &[u8], out: &mut Vec<u8>) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
}

/// Lines as files have them. `held`: the bytes before ended with a CR that was held back; returned is whether these do.
fn without_cr(bytes: &[u8], mut held: bool, out: &mut Vec<u8>) -> bool {
    for byte in bytes {
        if held && *byte != b'\n' {
            out.push(b'\r');
        }
        held = *byte == b'\r';
        if !held {
            out.push(*byte);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_text_end_with_lf_in_files_however_they_are_cut() {
        let text = b"a\r\n\r\r\nb\rc\n\r";
        for cut in 0..text.len() {
            let (mut out, (first, second)) = (Vec::new(), text.split_at(cut));
            let held = without_cr(first, false, &mut out);
            assert!(without_cr(second, held, &mut out));
            assert_eq!(out, b"a\n\r\nb\rc\n", "{cut}");
        }
    }

    #[test]
    fn lines_end_with_crlf_in_text() {
        let mut out = Vec::new();
        with_crlf(b"a\n\nb\rc", &mut out);
        assert_eq!(out, b"a\r\n\r\nb\rc");
    }
}
