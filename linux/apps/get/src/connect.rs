//! One connection: a name resolved, a socket of Linux's with its options, TLS, and HTTP/1.1 or HTTP/2 as the two agree.

use crate::attempts;
use crate::cli::Cli;
use crate::refusal;
use crate::stats::Meter;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lkl_net::tokio::TcpStream;
use lkl_net::{Family, Namespace, Protocol, Socket, Type, resolve};
use lkl_session::exit::{Exit, Failure};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// What connections are made with.
pub struct Dialer {
    pub cli: Arc<Cli>,
    pub namespace: Namespace,
    pub tls: Arc<ClientConfig>,
}

/// Sends requests.
pub enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// A connection that requests can be sent over.
pub struct Connection {
    pub sender: Sender,
    pub meter: Arc<Meter>,
}

impl Connection {
    /// Sends a request.
    pub async fn send(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }

    /// Whether another request may be sent over it, now or soon.
    pub async fn is_ready(&mut self) -> bool {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Another handle for a further request at the same time, which HTTP/2 has.
    pub fn share(&self) -> Option<Connection> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Connection {
                sender: Sender::Http2(sender.clone()),
                meter: Arc::clone(&self.meter),
            }),
        }
    }
}

/// How much HTTP/2 lets a server send before it hears that it was read.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

impl Dialer {
    /// Connects to the server of a URL.
    pub async fn connect(&self, url: &Url) -> Result<Connection, Failure> {
        let limit = Duration::from_secs(self.cli.timeout.into());
        let late = || refusal::late(url.as_str(), "the server has not answered", self.cli.timeout);
        let addresses = self.addresses(url).await?;
        let stream = timeout(limit, self.first(url, &addresses))
            .await
            .map_err(|_| late())??;
        let meter = Arc::new(Meter::new(url, &stream, self.cli.mptcp));
        if url.scheme() != "https" {
            let sender = plain(url, TokioIo::new(stream)).await?;
            return Ok(Connection { sender, meter });
        }
        let name = server_name(url)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = timeout(limit, connector.connect(name, stream))
            .await
            .map_err(|_| late())?
            .map_err(|error| refusal::untrusted(url.as_str(), &error))?;
        let session = stream.get_ref().1;
        let two = session.alpn_protocol() == Some(b"h2");
        let version = session.protocol_version();
        let version = version.and_then(|version| version.as_str()).unwrap_or("TLS");
        meter.secured(version, two);
        let io = TokioIo::new(stream);
        let sender = if two {
            newer(url, io).await?
        } else {
            plain(url, io).await?
        };
        Ok(Connection { sender, meter })
    }

    /// The addresses of the server, those first that are to be tried first.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, Failure> {
        let port = url.port_or_known_default().unwrap_or(80);
        let all: Vec<IpAddr> = match url.host() {
            Some(Host::Ipv4(ip)) => vec![ip.into()],
            Some(Host::Ipv6(ip)) => vec![ip.into()],
            Some(Host::Domain(name)) => {
                let (by, name) = (self.namespace.clone(), name.to_owned());
                // It waits for the servers on a thread of its own.
                let found = tokio::task::spawn_blocking(move || resolve::host_in(&by, &name)).await;
                found
                    .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                    .map_err(|error| refusal::unresolved(url.as_str(), &error))?
            }
            None => Vec::new(),
        };
        let wanted = |ip: &IpAddr| {
            (ip.is_ipv4() || !self.cli.network.ipv4) && (ip.is_ipv6() || !self.cli.network.ipv6)
        };
        let found: Vec<SocketAddr> = all
            .into_iter()
            .filter(wanted)
            .map(|ip| (ip, port).into())
            .collect();
        if found.is_empty() {
            let version = if self.cli.network.ipv6 {
                "IPv6 (-6)"
            } else {
                "IPv4 (-4)"
            };
            return Err(Failure::new(
                Exit::Other,
                format_args!("{url}: the server has no address of {version}; leave that out"),
            ));
        }
        Ok(found)
    }

    /// The first address that takes a connection.
    async fn first(&self, url: &Url, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let attempt = |address| one(Arc::clone(&self.cli), self.namespace.clone(), address);
        let connected = attempts::first(addresses, attempt).await;
        connected.map_err(|last| match last {
            Some((address, error)) => refusal::unconnected(url.as_str(), address, &error),
            None => Failure::new(Exit::Other, format_args!("{url}: no address")),
        })
    }
}

async fn one(cli: Arc<Cli>, namespace: Namespace, address: SocketAddr) -> std::io::Result<TcpStream> {
    let protocol = if cli.mptcp { Protocol::MPTCP } else { Protocol::TCP };
    let family = Family::of(&address);
    let socket = Socket::new_nonblocking(&namespace, family, Type::STREAM, protocol)?;
    if let Some(algorithm) = &cli.cc {
        socket.set_congestion(algorithm)?;
    }
    socket.set_nodelay(true)?;
    TcpStream::connect_socket(socket, address).await
}

fn server_name(url: &Url) -> Result<ServerName<'static>, Failure> {
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => Some(ServerName::from(IpAddr::from(ip))),
        Some(Host::Ipv6(ip)) => Some(ServerName::from(IpAddr::from(ip))),
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
        None => None,
    };
    name.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format_args!("{url}: that is no name of a server; look at the URL"),
        )
    })
}

fn unspoken(url: &Url, error: &hyper::Error) -> Failure {
    refusal::cut(url.as_str(), error, false)
}

async fn plain<T>(url: &Url, io: TokioIo<T>) -> Result<Sender, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io)
        .await
        .map_err(|error| unspoken(url, &error))?;
    // What ends it is told to those who wait for an answer.
    tokio::spawn(connection);
    Ok(Sender::Http1(sender))
}

async fn newer<T>(url: &Url, io: TokioIo<T>) -> Result<Sender, Failure>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(io)
        .await
        .map_err(|error| unspoken(url, &error))?;
    tokio::spawn(connection);
    Ok(Sender::Http2(sender))
}
