//! [`forward`]: joins two connections, so that what one end says the other one hears.
//!
//! Either may be Linux's or the host's, or anything else that reads and writes: that is how a port of the host's leads to a server
//! in the carried Linux, and the other way round. A side that cannot take more is waited for, and meanwhile nothing is read from
//! the other one. When a side says no more, the other one is told so, and may go on talking.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::Instant;

/// Bytes that are on their way in one direction, at most, besides what the connections themselves hold.
const ROOM: usize = 64 << 10;

/// How a [`forward`] has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both sides have said all.
    Well,
    /// Neither has said anything for too long.
    Idle,
}

/// How many bytes have gone each way. It can be read while they go.
#[derive(Debug, Default)]
pub struct Counts {
    there: AtomicU64,
    back: AtomicU64,
}

impl Counts {
    /// From the near side to the far one.
    pub fn there(&self) -> u64 {
        self.there.load(Ordering::Relaxed)
    }

    /// From the far side to the near one.
    pub fn back(&self) -> u64 {
        self.back.load(Ordering::Relaxed)
    }

    fn sum(&self) -> u64 {
        self.there().wrapping_add(self.back())
    }
}

/// Joins them until both directions have ended, or nothing was said for `idle`. Both connections are closed when it returns, or is
/// dropped.
///
/// The task's runtime must have tokio's time.
///
/// # Errors
/// The first that either side has, which ends both directions.
pub async fn forward<Near, Far>(near: Near, far: Far, idle: Duration, counts: &Counts) -> io::Result<Ended>
where
    Near: AsyncRead + AsyncWrite,
    Far: AsyncRead + AsyncWrite,
{
    let ((from_near, to_near), (from_far, to_far)) = (split(near), split(far));
    let there = pin!(pump(from_near, to_far, &counts.there));
    let back = pin!(pump(from_far, to_near, &counts.back));
    tokio::select! {
        done = both(there, back) => done.map(|()| Ended::Well),
        () = silence(counts, idle) => Ok(Ended::Idle),
    }
}

/// Waits for both, or for the first that fails.
async fn both(
    one: impl Future<Output = io::Result<()>>,
    other: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    tokio::try_join!(one, other).map(|((), ())| ())
}

async fn pump<From, To>(mut from: From, mut to: To, count: &AtomicU64) -> io::Result<()>
where
    From: AsyncRead + Unpin,
    To: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; ROOM];
    loop {
        let len = from.read(&mut buffer).await?;
        let bytes = buffer.get(..len).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(bytes).await?;
        to.flush().await?;
        count.fetch_add(u64::try_from(len).unwrap_or(0), Ordering::Relaxed);
    }
}

/// Returns when nothing was counted for so long.
async fn silence(counts: &Counts, idle: Duration) {
    let (mut last, mut since) = (counts.sum(), Instant::now());
    while since.elapsed() < idle {
        // It is looked four times as often as it matters, so a quarter too late at most.
        tokio::time::sleep(idle / 4).await;
        let now = counts.sum();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    /// A forward between two ends that the test has.
    fn joined(
        idle: Duration,
    ) -> (
        DuplexStream,
        DuplexStream,
        tokio::task::JoinHandle<io::Result<Ended>>,
    ) {
        let ((near, here), (far, there)) = (duplex(1000), duplex(1000));
        let task = tokio::spawn(async move { forward(near, far, idle, &Counts::default()).await });
        (here, there, task)
    }

    #[tokio::test]
    async fn each_side_hears_the_other_after_it_has_said_all_itself() {
        let (mut here, mut there, task) = joined(Duration::from_secs(20));
        here.write_all(b"question").await.unwrap();
        here.shutdown().await.unwrap();
        let mut heard = Vec::new();
        there.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        let answer = vec![7; 300_000];
        let (said, mut back) = (answer.clone(), Vec::new());
        let say = async {
            there.write_all(&said).await.unwrap();
            there.shutdown().await.unwrap();
        };
        tokio::join!(say, async { here.read_to_end(&mut back).await.unwrap() });
        assert!(back == answer);
        assert_eq!(task.await.unwrap().unwrap(), Ended::Well);
    }

    #[tokio::test]
    async fn a_side_that_takes_nothing_keeps_the_other_from_sending() {
        let (mut here, there, task) = joined(Duration::from_millis(400));
        let sent = async {
            let mut sent = 0;
            while here.write_all(&[0; 1000]).await.is_ok() {
                sent += 1000;
            }
            sent
        };
        // It ends when the forward does: nothing is taken, so nothing is said.
        let (sent, ended) = tokio::join!(sent, task);
        assert_eq!(ended.unwrap().unwrap(), Ended::Idle);
        assert!(sent <= ROOM + 4000, "{sent}");
        drop(there);
    }

    #[tokio::test]
    async fn silence_ends_it_and_talk_does_not() {
        let begun = Instant::now();
        let (mut here, mut there, task) = joined(Duration::from_millis(400));
        for _ in 0..8 {
            here.write_all(b"x").await.unwrap();
            there.read_u8().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!task.is_finished());
        assert_eq!(task.await.unwrap().unwrap(), Ended::Idle);
        assert!(begun.elapsed() >= Duration::from_millis(1100));
    }
}
