//! `struct tcp_info`: what Linux knows of a connection of TCP's.

use std::time::Duration;

/// The fields of Linux's `struct tcp_info` that Linux 6.12 has, in Rust's types. What an older one has not is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are Linux's: linux/tcp.h says what each is
pub struct TcpInfo {
    pub state: u8,
    pub ca_state: u8,
    pub retransmits: u8,
    pub probes: u8,
    pub backoff: u8,
    pub options: u8,
    pub send_window_scale: u8,
    pub receive_window_scale: u8,
    pub app_limited: bool,
    pub rto: Duration,
    pub ato: Duration,
    pub send_mss: u32,
    pub receive_mss: u32,
    pub unacked: u32,
    pub sacked: u32,
    pub lost: u32,
    pub retransmitted: u32,
    pub last_data_sent: Duration,
    pub last_data_received: Duration,
    pub last_ack_received: Duration,
    pub path_mtu: u32,
    pub receive_ssthresh: u32,
    pub rtt: Duration,
    pub rtt_variation: Duration,
    pub send_ssthresh: u32,
    pub send_cwnd: u32,
    pub advertised_mss: u32,
    pub reordering: u32,
    pub receive_rtt: Duration,
    pub receive_space: u32,
    pub total_retransmits: u32,
    /// Bytes a second.
    pub pacing_rate: u64,
    pub max_pacing_rate: u64,
    pub bytes_acked: u64,
    pub bytes_received: u64,
    pub segments_out: u32,
    pub segments_in: u32,
    pub not_sent_bytes: u32,
    pub min_rtt: Duration,
    pub data_segments_in: u32,
    pub data_segments_out: u32,
    /// Bytes a second.
    pub delivery_rate: u64,
    pub busy_time: Duration,
    pub receive_window_limited: Duration,
    pub send_buffer_limited: Duration,
    pub delivered: u32,
    /// Of those, marked by ECN.
    pub delivered_ce: u32,
    pub bytes_sent: u64,
    pub bytes_retransmitted: u64,
    pub dsack_duplicates: u32,
    pub reorderings_seen: u32,
    pub receive_out_of_order: u32,
    pub send_window: u32,
    pub receive_window: u32,
}

/// Reads one field after the other; zeros behind the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => {
                self.0 = &[];
                [0; N]
            }
        }
    }

    fn byte(&mut self) -> u8 {
        u8::from_ne_bytes(self.take())
    }

    fn word(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn long(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }

    fn micros(&mut self) -> Duration {
        Duration::from_micros(self.word().into())
    }

    fn millis(&mut self) -> Duration {
        Duration::from_millis(self.word().into())
    }

    fn long_micros(&mut self) -> Duration {
        Duration::from_micros(self.long())
    }
}

impl TcpInfo {
    /// Bytes of Linux 6.12's.
    pub(crate) const LEN: usize = 248;

    /// `TCP_ESTABLISHED`
    pub const ESTABLISHED: u8 = 1;

    /// From Linux's bytes, in their order.
    pub(crate) fn parse(bytes: &[u8]) -> TcpInfo {
        let mut fields = Fields(bytes);
        let f = &mut fields;
        let mut info = TcpInfo {
            state: f.byte(),
            ca_state: f.byte(),
            retransmits: f.byte(),
            probes: f.byte(),
            backoff: f.byte(),
            options: f.byte(),
            ..TcpInfo::default()
        };
        let scales = f.byte();
        info.send_window_scale = scales & 15;
        info.receive_window_scale = scales >> 4;
        info.app_limited = f.byte() & 1 != 0;
        info.rto = f.micros();
        info.ato = f.micros();
        info.send_mss = f.word();
        info.receive_mss = f.word();
        info.unacked = f.word();
        info.sacked = f.word();
        info.lost = f.word();
        info.retransmitted = f.word();
        let _fackets = f.word();
        info.last_data_sent = f.millis();
        let _last_ack_sent = f.word();
        info.last_data_received = f.millis();
        info.last_ack_received = f.millis();
        info.path_mtu = f.word();
        info.receive_ssthresh = f.word();
        info.rtt = f.micros();
        info.rtt_variation = f.micros();
        info.send_ssthresh = f.word();
        info.send_cwnd = f.word();
        info.advertised_mss = f.word();
        info.reordering = f.word();
        info.receive_rtt = f.micros();
        info.receive_space = f.word();
        info.total_retransmits = f.word();
        info.pacing_rate = f.long();
        info.max_pacing_rate = f.long();
        info.bytes_acked = f.long();
        info.bytes_received = f.long();
        info.segments_out = f.word();
        info.segments_in = f.word();
        info.not_sent_bytes = f.word();
        info.min_rtt = f.micros();
        info.data_segments_in = f.word();
        info.data_segments_out = f.word();
        info.delivery_rate = f.long();
        info.busy_time = f.long_micros();
        info.receive_window_limited = f.long_micros();
        info.send_buffer_limited = f.long_micros();
        info.delivered = f.word();
        info.delivered_ce = f.word();
        info.bytes_sent = f.long();
        info.bytes_retransmitted = f.long();
        info.dsack_duplicates = f.word();
        info.reorderings_seen = f.word();
        info.receive_out_of_order = f.word();
        info.send_window = f.word();
        info.receive_window = f.word();
        info
    }
}
