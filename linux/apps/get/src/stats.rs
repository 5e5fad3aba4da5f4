//! What Linux knows of each connection: `TCP_INFO`, and what was fetched over it.

use lkl_net::tokio::TcpStream;
use lkl_net::{Socket, TcpInfo};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// Of one connection.
pub struct Meter {
    /// Keeps the socket, so that it can be asked at the end.
    socket: Socket,
    server: String,
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
    mptcp: bool,
    state: Mutex<State>,
}

#[derive(Clone, Default)]
struct State {
    tls: Option<String>,
    http2: bool,
    answers: u64,
    bytes: u64,
    /// Times in which an answer came; of HTTP/2 they overlap.
    began: Option<Instant>,
    ended: Option<Instant>,
    info: TcpInfo,
}

impl Meter {
    /// Of a connection that was just made.
    pub fn new(url: &Url, stream: &TcpStream, mptcp: bool) -> Meter {
        Meter {
            socket: stream.socket().clone(),
            server: url.origin().ascii_serialization(),
            local: stream.local_addr().ok(),
            peer: stream.peer_addr().ok(),
            mptcp,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has TLS, and with it one of the HTTPs.
    pub fn secured(&self, version: &str, http2: bool) {
        let mut state = self.state();
        state.tls = Some(version.to_owned());
        state.http2 = http2;
    }

    /// A request is sent.
    pub fn begin(&self) {
        self.state().began.get_or_insert_with(Instant::now);
    }

    /// So many bytes of an answer's body came.
    pub fn add(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_add(bytes);
        state.ended = Some(Instant::now());
    }

    /// An answer came to its end, or was cut.
    pub fn end(&self) {
        let info = self.socket.tcp_info();
        let mut state = self.state();
        state.answers = state.answers.saturating_add(1);
        state.ended = Some(Instant::now());
        if let Ok(info) = info {
            state.info = info;
        }
    }

    fn algorithm(&self) -> String {
        self.socket.congestion().unwrap_or_else(|_| "?".to_owned())
    }

    /// `None`: it is TCP. Otherwise whether the server has MPTCP too, and how many paths there are.
    fn paths(&self) -> Option<Option<u8>> {
        let subflows = || self.socket.mptcp_subflows().ok().flatten();
        self.mptcp
            .then(|| subflows().map(|further| further.saturating_add(1)))
    }

    fn http(state: &State) -> &'static str {
        if state.http2 { "HTTP/2" } else { "HTTP/1.1" }
    }

    /// For people: two lines.
    pub fn text(&self) -> String {
        let state = self.state().clone();
        let info = &state.info;
        let [local, peer] = [self.local, self.peer].map(address);
        let tls = state
            .tls
            .as_deref()
            .map_or(String::new(), |tls| format!(", {tls}"));
        let mptcp = match self.paths() {
            None => String::new(),
            Some(None) => ", MPTCP refused by the server".to_owned(),
            Some(Some(paths)) => format!(", MPTCP with {paths} path{}", if paths == 1 { "" } else { "s" }),
        };
        format!(
            "{server} {local} -> {peer}: {http}{tls}{mptcp}, {answers} answer{s}, {bytes} bytes in {seconds:.3} s, \
             goodput {goodput:.1} Mbit/s\n  {cc}: rtt {rtt:.3} ms (least {least:.3}, variation {variation:.3}), cwnd {cwnd} x {mss} bytes, \
             retransmitted {retransmitted}, out of order {disorder}, window {window}",
            server = self.server,
            http = Meter::http(&state),
            answers = state.answers,
            s = if state.answers == 1 { "" } else { "s" },
            bytes = state.bytes,
            seconds = seconds(&state),
            goodput = goodput(&state) * 8.0 / 1e6,
            cc = self.algorithm(),
            rtt = millis(info.rtt),
            least = millis(info.min_rtt),
            variation = millis(info.rtt_variation),
            cwnd = info.send_cwnd,
            mss = info.send_mss,
            retransmitted = info.total_retransmits,
            disorder = info.receive_out_of_order,
            window = info.receive_window,
        )
    }

    /// For programs: an object.
    pub fn json(&self) -> String {
        let state = self.state().clone();
        let info = &state.info;
        json!({
            "server": self.server,
            "local": self.local.map(|address| address.to_string()),
            "peer": self.peer.map(|address| address.to_string()),
            "http": Meter::http(&state),
            "tls": state.tls,
            "mptcp": self.mptcp,
            "mptcp_paths": self.paths().flatten(),
            "congestion_control": self.algorithm(),
            "answers": state.answers,
            "bytes": state.bytes,
            "seconds": seconds(&state),
            "goodput_bytes_per_second": goodput(&state),
            "rtt_us": micros(info.rtt),
            "rtt_variation_us": micros(info.rtt_variation),
            "min_rtt_us": micros(info.min_rtt),
            "receive_rtt_us": micros(info.receive_rtt),
            "cwnd": info.send_cwnd,
            "send_mss": info.send_mss,
            "receive_mss": info.receive_mss,
            "path_mtu": info.path_mtu,
            "retransmits": info.total_retransmits,
            "lost": info.lost,
            "reordering": info.reordering,
            "out_of_order_received": info.receive_out_of_order,
            "bytes_received": info.bytes_received,
            "bytes_sent": info.bytes_sent,
            "segments_in": info.segments_in,
            "segments_out": info.segments_out,
            "receive_window": info.receive_window,
            "delivery_rate_bytes_per_second": info.delivery_rate,
            "pacing_rate_bytes_per_second": info.pacing_rate,
        })
        .to_string()
    }
}

fn address(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "?".to_owned(), |address| address.to_string())
}

fn seconds(state: &State) -> f64 {
    match (state.began, state.ended) {
        (Some(began), Some(ended)) => ended.saturating_duration_since(began).as_secs_f64(),
        _ => 0.0,
    }
}

/// Bytes of bodies a second.
fn goodput(state: &State) -> f64 {
    let seconds = seconds(state);
    // As exact as is ever wanted.
    #[allow(clippy::cast_precision_loss)]
    let bytes = state.bytes as f64;
    if seconds > 0.0 { bytes / seconds } else { 0.0 }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
