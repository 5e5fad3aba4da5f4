//! Clients: a thread for each, up to a limit, and their end.
//!
//! A client's thread has an executor of its own, which waits for this client's sockets and for nothing else. So the code of a
//! protocol calls Linux where it stands: what such a call waits for keeps only its own client waiting. When the server stops,
//! each client's work is dropped where it waits, which closes its sockets.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::report::{Detail, Report};

/// Bytes of a client's stack. Code that was not optimised needs more than half of it at most.
const STACK: usize = 1 << 20;

/// The server's end: told once, heard by everything.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

/// Tells the server to stop.
pub struct Stopper(watch::Sender<bool>);

/// A pair of both.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Tells everything that listens.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Waits until the server is told to stop.
    pub async fn told(&mut self) {
        // A stopper that is gone stops, too.
        let _ = self.0.wait_for(|told| *told).await;
    }
}

/// What is the same for all clients of a server.
#[derive(Clone)]
pub struct Limits {
    /// Clients at once.
    pub most: usize,
    /// How long the server waits for its clients' threads when it stops.
    pub last_wait: Duration,
    /// What one more is told.
    pub refusal: &'static [u8],
    /// Where lines go.
    pub report: Report,
}

struct Count(Arc<AtomicUsize>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Opens a socket that clients connect to.
///
/// # Errors
/// As the system says: the address is another program's, or not this machine's.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    // On Windows this would let another program take the address away.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Serves clients until the server is told to stop, and waits for their threads. Returns how many are left then: one hangs in a
/// call into Linux that does not return.
pub async fn serve<Serve, Work>(listener: TcpListener, limits: Limits, mut stop: Stop, serve: Serve) -> usize
where
    Serve: Fn(TcpStream, SocketAddr) -> Work + Send + Sync + 'static,
    Work: Future<Output = ()>,
{
    let (serve, count) = (Arc::new(serve), Arc::new(AtomicUsize::new(0)));
    let (report, last_wait) = (limits.report, limits.last_wait);
    loop {
        let accepted = tokio::select! {
            () = stop.told() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok((stream, address)) => (stream, plain(address)),
            Err(error) => {
                report.say(
                    Detail::Usual,
                    None,
                    format_args!("a client was not accepted: {error}"),
                );
                // No descriptors, most often. There are some when a client leaves.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let before = count.fetch_add(1, Ordering::AcqRel);
        let one = Count(Arc::clone(&count));
        if before >= limits.most {
            // What fits into an empty socket's buffer goes at once or not at all.
            let _ = stream.try_write(limits.refusal);
            report.say(
                Detail::Usual,
                Some(address),
                format_args!("refused: {before} clients are here"),
            );
            continue;
        }
        let started = stream
            .into_std()
            .and_then(|stream| thread(stream, address, one, stop.clone(), Arc::clone(&serve)));
        if let Err(error) = started {
            report.say(Detail::Usual, Some(address), format_args!("refused: {error}"));
        }
    }
    drop(listener);
    let begun = Instant::now();
    while count.load(Ordering::Acquire) > 0 && begun.elapsed() < last_wait {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    count.load(Ordering::Acquire)
}

/// An address of IPv4 that came by a socket of IPv6, as what it is.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn thread<Serve, Work>(
    stream: StdStream,
    address: SocketAddr,
    one: Count,
    mut stop: Stop,
    serve: Arc<Serve>,
) -> io::Result<()>
where
    Serve: Fn(TcpStream, SocketAddr) -> Work + Send + Sync + 'static,
    Work: Future<Output = ()>,
{
    let executor = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    std::thread::Builder::new()
        .name("client".into())
        .stack_size(STACK)
        .spawn(move || {
            let one = one;
            executor.block_on(async move {
                let Ok(stream) = TcpStream::from_std(stream) else {
                    return;
                };
                let _ = stream.set_nodelay(true);
                tokio::select! {
                    biased;
                    () = stop.told() => {}
                    () = serve(stream, address) => {}
                }
            });
            // A client that is not counted any more has no descriptors either.
            drop(executor);
            drop(one);
        })?;
    Ok(())
}
