//! FTP (RFC 959, 2228, 2389, 2428, 2577, 3659, 4217).
//!
//! - [`command`] reads a line of a client's; [`wire`] brings lines, by TCP or TLS.
//! - [`session`] is one client's: it answers each command in turn (`answers`, `paths`). What sends or lists is in `sending`, over
//!   a data connection that [`channel`] opens: [`transfer`] moves the bytes, [`listing`] writes entries as clients parse them.
//! - What changes files is read by [`change`], and answered in `changing` (names, times, modes) and `receiving` (what is in them, by
//!   way of an [`upload`]).
//! - [`control`] has an eye on the control connection meanwhile.
//!
//! A data connection is made with the client's own address alone, in either direction, so that the server cannot be sent to
//! connect elsewhere (RFC 2577), and another machine cannot fetch what a client asked for.

mod answers;
pub mod change;
mod changing;
pub mod channel;
pub mod command;
mod control;
pub mod listing;
mod paths;
mod receiving;
mod sending;
mod session;
pub mod tls;
mod transfer;
mod upload;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::account::Accounts;
use crate::report::Report;
use crate::tree::Node;

/// What all clients of a server share.
pub struct Server {
    /// What is shown.
    pub top: Arc<dyn Node>,
    /// Who may log in.
    pub accounts: Accounts,
    /// How files are changed; they are not, without.
    pub writing: Option<Writing>,
    /// TLS, if there is a certificate.
    pub tls: Option<TlsAcceptor>,
    /// Whether passwords and files go over TLS only.
    pub tls_only: bool,
    /// How long a client may say nothing.
    pub idle: Duration,
    /// Ports for passive data connections; any, without.
    pub ports: Option<RangeInclusive<u16>>,
    /// The address that PASV names, where clients know this machine by another than its own.
    pub public: Option<Ipv4Addr>,
    /// Where lines go.
    pub report: Report,
}

/// What clients that write share.
pub struct Writing {
    anonymous: bool,
    /// Counts what is renamed and removed: what a client remembers of paths may be wrong then.
    moves: AtomicU64,
    growing: Arc<upload::Growing>,
}

impl Writing {
    /// For users, and for everybody as well if that is said.
    pub fn new(anonymous: bool) -> Writing {
        Writing {
            anonymous,
            moves: AtomicU64::new(0),
            growing: Arc::default(),
        }
    }
}

/// What a client is told that comes when there are too many.
pub const REFUSAL: &[u8] = b"421 Too many clients are here; try again later.\r\n";

/// Serves a client until it leaves.
pub async fn serve(server: Arc<Server>, stream: TcpStream, address: SocketAddr) {
    session::run(server, stream, address).await;
}
