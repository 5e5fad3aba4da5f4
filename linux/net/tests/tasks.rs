//! Tasks of tokio's over the carried Linux: hyper and h2, unchanged, with many connections at once and bodies whose
//! checksums are compared.

#![cfg(target_os = "linux")]

mod world;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lkl_net::tokio::{TcpListener, TcpStream, UdpSocket, UnixStream};
use lkl_net::{Errno, Namespace, errno};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use world::{network, noise};

/// Connections at once, and bytes of each body: 64 MiB in each direction.
const CONNECTIONS: u64 = 100;
const BODY: usize = (64 << 20) / 100;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime")
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Sends back what came, and says the checksum of it.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => panic!("the request's body: {error}"),
    };
    let answer = Response::builder()
        .header("sum", sum(&body))
        .body(Full::new(body));
    Ok(answer.expect("a response"))
}

async fn serve(listener: TcpListener, http2: bool) {
    loop {
        let (stream, _) = listener.accept().await.expect("accepted");
        let io = TokioIo::new(stream);
        tokio::spawn(async move {
            let served = if http2 {
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(io, service_fn(echo))
                    .await
            } else {
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service_fn(echo))
                    .await
            };
            served.expect("served");
        });
    }
}

fn request(body: Bytes) -> Request<Full<Bytes>> {
    let request = Request::post("http://server/echo").header("host", "server");
    request.body(Full::new(body)).expect("a request")
}

/// One connection with one exchange.
async fn exchange(network: Namespace, server: SocketAddr, http2: bool, seed: u64) {
    let stream = TcpStream::connect_in(&network, server).await.expect("connected");
    let io = TokioIo::new(stream);
    let body = Bytes::from(noise(seed, BODY));
    let response = if http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        sender.send_request(request(body.clone())).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        sender.send_request(request(body.clone())).await
    };
    let response = response.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let said = response.headers()["sum"].to_str().expect("text").to_owned();
    let back = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!((back.len(), sum(&back)), (body.len(), sum(&body)));
    assert_eq!(said, sum(&body));
}

fn a_hundred_connections(http2: bool) {
    let network = network();
    runtime().block_on(async {
        let listener = TcpListener::bind_in(&network, "127.0.0.1:0")
            .await
            .expect("bound");
        let server = listener.local_addr().expect("bound");
        let serving = tokio::spawn(serve(listener, http2));
        let mut clients = JoinSet::new();
        for seed in 0..CONNECTIONS {
            clients.spawn(exchange(network.clone(), server, http2, seed));
        }
        while let Some(done) = clients.join_next().await {
            done.expect("no panic");
        }
        assert!(!serving.is_finished());
        serving.abort();
    });
}

#[test]
fn hyper_serves_http_1_over_a_hundred_connections_at_once() {
    a_hundred_connections(false);
}

#[test]
fn hyper_serves_http_2_over_a_hundred_connections_at_once() {
    a_hundred_connections(true);
}

#[test]
fn h2_has_many_streams_on_one_connection() {
    let network = network();
    runtime().block_on(async {
        let listener = TcpListener::bind_in(&network, "[::1]:0").await.expect("bound");
        let server = listener.local_addr().expect("bound");
        let serving = tokio::spawn(serve(listener, true));
        let stream = TcpStream::connect_in(&network, server).await.expect("connected");
        let (client, connection) = h2::client::handshake(stream).await.expect("a handshake");
        tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for seed in 0..20 {
            let client = client.clone();
            streams.spawn(async move {
                let head = Request::post("http://server/").body(()).expect("a request");
                let mut client = client.ready().await.expect("ready");
                let (response, mut send) = client.send_request(head, false).expect("sent");
                let body = Bytes::from(noise(seed, 300_000));
                let sending = body.clone();
                let sent = async move { send.send_data(sending, true).expect("sent") };
                let received = async move {
                    let mut body = response.await.expect("a response").into_body();
                    let mut all = BytesMut::new();
                    while let Some(piece) = body.data().await {
                        let piece = piece.expect("data");
                        body.flow_control()
                            .release_capacity(piece.len())
                            .expect("released");
                        all.extend_from_slice(&piece);
                    }
                    all
                };
                let ((), received) = tokio::join!(sent, received);
                assert!(received == body, "{} bytes came", received.len());
            });
        }
        while let Some(done) = streams.join_next().await {
            done.expect("no panic");
        }
        serving.abort();
    });
}

/// A certificate for `server` that vouches for itself, and its key.
fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let place = tempfile::tempdir().expect("a folder");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| place.path().join(name));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=server"])
        .args(["-addext", "subjectAltName=DNS:server"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-out")
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("openssl starts");
    assert!(made.status.success(), "{made:?}");
    let cert = CertificateDer::from_pem_file(&cert).expect("a certificate");
    (cert, PrivateKeyDer::from_pem_file(&key).expect("a key"))
}

#[test]
fn tls_goes_over_a_stream_and_hyper_over_tls() {
    let (cert, key) = certificate();
    let provider = Arc::new(rustls_graviola::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key)
        .expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let network = network();
    runtime().block_on(network.scope(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let to = listener.local_addr().expect("bound");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("accepted");
            let stream = acceptor.accept(stream).await.expect("a handshake");
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(echo))
                .await
                .expect("served");
        });
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let stream = TcpStream::connect(to).await.expect("connected");
        let name = ServerName::try_from("server").expect("a name");
        let stream = connector.connect(name, stream).await.expect("a handshake");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("a handshake");
        tokio::spawn(connection);
        let body = Bytes::from(noise(8, 1 << 20));
        let response = sender
            .send_request(request(body.clone()))
            .await
            .expect("a response");
        let back = response.into_body().collect().await.expect("a body").to_bytes();
        assert!(back == body, "{} bytes came", back.len());
        drop(sender);
        serving.await.expect("no panic");
    }));
}

#[test]
fn the_halves_of_a_stream_are_for_two_tasks() {
    let network = network();
    runtime().block_on(network.scope(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound"))
            .await
            .expect("connected");
        let (mut server, _) = listener.accept().await.expect("accepted");
        let (mut read, mut write) = client.into_split();
        let sent = noise(3, 4 << 20);
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            write.write_all(&sent).await.expect("written");
        });
        let echoing = tokio::spawn(async move {
            let mut all = Vec::new();
            // The end comes when the writing half is dropped.
            server.read_to_end(&mut all).await.expect("read");
            server.write_all(&all).await.expect("written");
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.expect("read");
        assert!(received == expected);
        writing.await.expect("no panic");
        echoing.await.expect("no panic");
    }));
}

#[test]
fn a_task_that_waits_can_be_given_up_and_the_socket_still_works() {
    let network = network();
    runtime().block_on(network.scope(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let other = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let mut room = [0; 8];
        let nothing = tokio::time::timeout(Duration::from_millis(50), socket.recv_from(&mut room)).await;
        nothing.expect_err("nothing comes");
        other
            .send_to(b"late", socket.local_addr().expect("bound"))
            .await
            .expect("sent");
        let (len, from) = socket.recv_from(&mut room).await.expect("received");
        assert_eq!(
            (&room[..len], from),
            (&b"late"[..], other.local_addr().expect("bound"))
        );
        let (mut one, mut two) = UnixStream::pair().expect("a pair");
        one.write_all(b"pair").await.expect("written");
        two.read_exact(&mut room[..4]).await.expect("read");
    }));
}

#[test]
fn a_refused_connection_and_an_unknown_network_are_errors_of_the_task() {
    let network = network();
    runtime().block_on(async {
        let refused = TcpStream::connect_in(&network, "127.0.0.1:1").await;
        let refused = refused.expect_err("nothing there");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(errno(&refused).map(Errno::number), Some(111));
        let nowhere = TcpStream::connect("127.0.0.1:1").await.expect_err("no network");
        assert_eq!(nowhere.kind(), ErrorKind::NotConnected);
    });
}
