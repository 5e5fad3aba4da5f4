//! The web server: hyper, over sockets of the machine's own.
//!
//! `/n/I` is a megabyte of its own, `/big` 64 of them; both have parts. `/redirect/K` leads by K steps to `/n/0`, `/to?URL` to
//! any URL, `/loop` to itself. `/slow` never comes to its end. A server of [`Server::cut`] ends each answer in its midst.

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use networks::noise;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

pub struct Server {
    runtime: Runtime,
    shared: Arc<Shared>,
}

struct Shared {
    big: Bytes,
    /// The state that things are in: the ETag, and a part of what `/n/I` has.
    state: AtomicU32,
    /// Connections that have not ended.
    open: AtomicU32,
}

impl Server {
    pub fn new() -> Server {
        Server {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime"),
            shared: Arc::new(Shared {
                big: noise(1000, 64 << 20).into(),
                state: AtomicU32::new(0),
                open: AtomicU32::new(0),
            }),
        }
    }

    /// What `/big` is.
    pub fn big(&self) -> &[u8] {
        &self.shared.big
    }

    /// What `/n/I` is.
    pub fn small(&self, number: u64) -> Vec<u8> {
        self.shared.small(number)
    }

    /// Has everything become something else.
    pub fn change(&self) {
        self.shared.state.fetch_add(1, Ordering::SeqCst);
    }

    /// Answers whatever is asked for with the first 600,000 bytes of `/n/7`, and ends the connection.
    pub fn cut(&self, listener: std::net::TcpListener) -> SocketAddr {
        let address = listener.local_addr().expect("bound");
        let begin = self.small(7);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("accepted");
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("a request");
                    request.extend_from_slice(&byte);
                }
                let len = begin.len();
                let head = format!("HTTP/1.1 200 OK\r\netag: \"state-0\"\r\ncontent-length: {len}\r\n\r\n");
                stream.write_all(head.as_bytes()).expect("written");
                stream.write_all(&begin[..600_000]).expect("written");
            }
        });
        address
    }

    /// Waits until each client has said that it has ended.
    pub fn wait_for_ends(&self) {
        for _ in 0..6000 {
            if self.shared.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("a client has gone without a word");
    }

    /// Serves at that socket until the end.
    pub fn start(&self, listener: std::net::TcpListener, tls: Option<(&Path, &Path)>) -> SocketAddr {
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket");
        let acceptor = tls.map(|(certificate, key)| acceptor(certificate, key));
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            loop {
                let (stream, _) = listener.accept().await.expect("accepted");
                let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, shared, false).await,
                        Some(acceptor) => {
                            // A client that does not trust this ends it here.
                            let Ok(stream) = acceptor.accept(stream).await else {
                                return;
                            };
                            let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            serve(stream, shared, two).await;
                        }
                    }
                });
            }
        });
        address
    }
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls_graviola::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

async fn serve<T>(stream: T, shared: Arc<Shared>, two: bool)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    shared.open.fetch_add(1, Ordering::SeqCst);
    let theirs = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let answer = theirs.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let io = TokioIo::new(stream);
    // It ends with an error when `/cut` is asked for, and when a client goes away.
    if two {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(io, service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(io, service)
            .await;
    }
    shared.open.fetch_sub(1, Ordering::SeqCst);
}

type Answer = Response<BoxBody<Bytes, io::Error>>;

impl Shared {
    fn small(&self, number: u64) -> Vec<u8> {
        noise(
            number + 10_000 * u64::from(self.state.load(Ordering::SeqCst)),
            1 << 20,
        )
    }

    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let go = |to: String| plain(302, Bytes::new(), &[("location", &to)]);
        if let Some(number) = path.strip_prefix("/n/") {
            return self.part(request, self.small(number.parse().expect("a number")).into());
        }
        if let Some(steps) = path.strip_prefix("/redirect/") {
            return match steps.parse().expect("a number") {
                0u32 => go("../n/0".to_owned()),
                steps => go(format!("{}", steps - 1)),
            };
        }
        match path.as_str() {
            "/big" => self.part(request, self.big.clone()),
            "/slow" => {
                let mut answer = self.part(request, self.small(8).into());
                *answer.body_mut() = Unending::of(self.small(8), 300_000).boxed();
                answer
            }
            "/loop" => go("/loop".to_owned()),
            "/to" => go(request.uri().query().expect("a URL").to_owned()),
            "/who" => {
                let who = header("authorization").unwrap_or("no one").to_owned();
                let other = header("x-other").unwrap_or("nothing");
                plain(200, format!("{who}, {other}").into(), &[])
            }
            "/broken" => plain(503, Bytes::from_static(b"later"), &[]),
            "/forbidden" => plain(403, Bytes::new(), &[]),
            _ => plain(404, Bytes::from_static(b"nothing here"), &[]),
        }
    }

    /// All of it, or the part that is asked for, if it is of the state that things are in.
    fn part(&self, request: &Request<Incoming>, all: Bytes) -> Answer {
        let tag = format!("\"state-{}\"", self.state.load(Ordering::SeqCst));
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let start = header("range")
            .and_then(|range| {
                range
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse::<usize>()
                    .ok()
            })
            .filter(|_| header("if-range").is_none_or(|of| of == tag));
        match start {
            None => plain(200, all, &[("etag", &tag)]),
            Some(start) if start >= all.len() => plain(
                416,
                Bytes::new(),
                &[("content-range", &format!("bytes */{}", all.len()))],
            ),
            Some(start) => {
                let range = format!("bytes {start}-{}/{}", all.len() - 1, all.len());
                plain(
                    206,
                    all.slice(start..),
                    &[("etag", &tag), ("content-range", &range)],
                )
            }
        }
    }
}

fn plain(status: u16, body: Bytes, headers: &[(&str, &str)]) -> Answer {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    let body = http_body_util::Full::new(body).map_err(|never| match never {});
    answer.body(body.boxed()).expect("a response")
}

/// The beginning of a body; nothing more comes.
struct Unending {
    whole: u64,
    begin: Option<Bytes>,
}

impl Unending {
    fn of(all: Vec<u8>, len: usize) -> Unending {
        Unending {
            whole: all.len() as u64,
            begin: Some(Bytes::from(all).slice(..len)),
        }
    }
}

impl Body for Unending {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut().begin.take() {
            Some(begin) => Poll::Ready(Some(Ok(Frame::data(begin)))),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.whole)
    }
}
