//! WebDAV class 1 (RFC 4918), read-only, over HTTP/1.1 (RFC 9110, 9112).
//!
//! - [`answer`] takes a request apart and answers it; [`file`] answers GET for files, with [`range`] and [`condition`].
//! - [`propfind`] reads what a client asks of properties, [`property`] writes them; [`page`] is a folder for browsers.
//! - [`reply`] is a body: bytes, parts of a file, or what is written while it is sent. [`patient`] ends connections that stand still.
//!
//! Symbolic links are shown as what they lead to, since WebDAV has none. A link that leads nowhere, or to a folder that it is in,
//! is not shown.

pub mod answer;
pub mod condition;
mod file;
mod page;
mod path;
mod patient;
mod property;
pub mod propfind;
pub mod range;
mod reply;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::account::Accounts;
use crate::place::Walker;
use crate::report::{Detail, Report};
use crate::tree::Node;

/// What all clients of a server share.
pub struct Server {
    /// What is shown.
    pub top: Arc<dyn Node>,
    /// Who may read.
    pub accounts: Accounts,
    /// How long a connection may be left unused.
    pub idle: Duration,
    /// Whether only programs on this machine can connect.
    pub loopback: bool,
    /// Where lines go.
    pub report: Report,
}

/// What a client is told that comes when there are too many.
pub const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Serves a connection until it is closed.
pub async fn serve(server: Arc<Server>, stream: TcpStream, address: SocketAddr) {
    let walker = RefCell::new(Walker::new(Arc::clone(&server.top)));
    let (shared, walker) = (&server, &walker);
    let service = service_fn(move |request| async move {
        Ok::<_, Infallible>(answer::answer(shared, walker, address, request).await)
    });
    let io = TokioIo::new(patient::Patient::new(stream));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.idle)
        .max_headers(100)
        .serve_connection(io, service)
        .await;
    if let Err(error) = served {
        server
            .report
            .say(Detail::Everything, Some(address), format_args!("lost: {error}"));
    }
}
