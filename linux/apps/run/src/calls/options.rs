//! Options of sockets: Linux's own, but for a few that are of the program's end and a few that cannot be here.

use super::{Answer, Result, number};
use crate::linux;
use crate::message::choose_width;
use crate::notify::Call;
use crate::proxy::{Carries, Proxy};
use crate::supervisor::Supervisor;
use std::time::Duration;

/// No option is longer, but for those of netfilter's old interface, which are refused.
const LONGEST: usize = 4096;

const IPPROTO_ARP_TABLES: i32 = 96;
const TCP_ZEROCOPY_RECEIVE: i32 = 35;
const TCP_ULP: i32 = 31;
const SOL_PACKET: i32 = 263;
const PACKET_RX_RING: i32 = 5;
const PACKET_TX_RING: i32 = 13;

/// What happens to an option that is set.
enum Treatment {
    /// Linux has it.
    Linux,
    /// `SO_RCVTIMEO`, `SO_SNDTIMEO`: reads and writes wait at the program's end.
    Timeout {
        read: bool,
    },
    /// The value points to a filter.
    Filter,
    /// Linux has it; it asks for control messages.
    Controls,
    /// `SO_LINGER`
    Linger,
    Refuse(i32),
}

fn treatment(level: i32, option: i32) -> Treatment {
    match (level, option) {
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO | 66) => Treatment::Timeout { read: true },
        (libc::SOL_SOCKET, libc::SO_SNDTIMEO | 67) => Treatment::Timeout { read: false },
        (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER | libc::SO_ATTACH_REUSEPORT_CBPF) => Treatment::Filter,
        (libc::SOL_SOCKET, libc::SO_LINGER) => Treatment::Linger,
        // Programs of the machine's BPF.
        (libc::SOL_SOCKET, libc::SO_ATTACH_BPF | libc::SO_ATTACH_REUSEPORT_EBPF) => {
            Treatment::Refuse(libc::EPERM)
        }
        // Pages that are lent: bytes are copied here.
        (libc::SOL_SOCKET, libc::SO_ZEROCOPY) => Treatment::Refuse(libc::EOPNOTSUPP),
        (libc::IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE | TCP_ULP) => Treatment::Refuse(libc::ENOPROTOOPT),
        (SOL_PACKET, PACKET_RX_RING | PACKET_TX_RING) => Treatment::Refuse(libc::ENOPROTOOPT),
        // netfilter's old interface, whose values have pointers in them.
        (libc::IPPROTO_IP | libc::IPPROTO_IPV6, 64 | 65) => Treatment::Refuse(libc::ENOPROTOOPT),
        (libc::IPPROTO_IP, IPPROTO_ARP_TABLES | 97 | 128 | 129) => Treatment::Refuse(libc::ENOPROTOOPT),
        (
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMP | libc::SO_TIMESTAMPNS | libc::SO_TIMESTAMPING | libc::SO_RXQ_OVFL,
        ) => Treatment::Controls,
        (libc::IPPROTO_IP | libc::IPPROTO_IPV6 | libc::IPPROTO_UDP, _) => Treatment::Controls,
        _ => Treatment::Linux,
    }
}

impl Supervisor {
    pub(super) fn set_option(&self, call: &Call, proxy: &Proxy) -> Result {
        let (level, option) = (call.int(1), call.int(2));
        let len = usize::try_from(call.int(4)).map_err(|_| libc::EINVAL)?;
        if len > LONGEST {
            return Err(libc::EINVAL);
        }
        let value = || call.bytes(call.word(3), len);
        match treatment(level, option) {
            Treatment::Refuse(errno) => return Err(errno),
            Treatment::Timeout { read } => {
                let patience = duration(&value()?).ok_or(libc::EDOM)?;
                let patience = (!patience.is_zero()).then_some(patience);
                let mut state = proxy.state();
                if read {
                    state.read_timeout = patience;
                } else {
                    state.write_timeout = patience;
                }
                return Ok(Answer::Pass);
            }
            Treatment::Filter => {
                let program = value()?;
                let (len, at) = program_of(&program).ok_or(libc::EINVAL)?;
                let instructions = call.bytes(at, len * 8)?;
                linux::set_filter(&proxy.socket, option, &instructions).map_err(number)?;
            }
            Treatment::Linger => {
                let value = value()?;
                // The supervisor closes Linux's socket, and does not wait for it; a reset at once is Linux's.
                let waits = value.get(4..8).is_some_and(|seconds| seconds != [0; 4]);
                let value = if waits { vec![0; 8] } else { value };
                linux::set_option(&proxy.socket, level, option, &value).map_err(number)?;
            }
            Treatment::Linux => {
                linux::set_option(&proxy.socket, level, option, &value()?).map_err(number)?;
            }
            Treatment::Controls => {
                linux::set_option(&proxy.socket, level, option, &value()?).map_err(number)?;
                if proxy.carries == Carries::Messages {
                    proxy.state().controls = true;
                    choose_width(proxy);
                }
            }
        }
        Ok(Answer::Value(0))
    }

    pub(super) fn option(&self, call: &Call, proxy: &Proxy) -> Result {
        let (level, option) = (call.int(1), call.int(2));
        if let Treatment::Timeout { .. } = treatment(level, option) {
            return Ok(Answer::Pass);
        }
        if (level, option) == (libc::IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE) {
            return Err(libc::ENOPROTOOPT);
        }
        let mut len = [0; 4];
        call.read(call.word(4), &mut len)?;
        let room = usize::try_from(i32::from_ne_bytes(len)).map_err(|_| libc::EINVAL)?;
        // What Linux reads of the value before it writes to it is there, too.
        let mut value = vec![0; room.min(LONGEST)];
        call.read_some(call.word(3), &mut value)?;
        let told = (level, option) == (libc::SOL_SOCKET, libc::SO_ERROR);
        let untold = if told { proxy.state().error.take() } else { None };
        let len = match untold {
            Some(errno) => {
                let bytes = errno.to_ne_bytes();
                let len = bytes.len().min(value.len());
                value
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(place, byte)| *place = byte);
                len
            }
            None => linux::option(&proxy.socket, level, option, &mut value).map_err(number)?,
        };
        call.write(call.word(3), value.get(..len).unwrap_or(&value))?;
        let len = u32::try_from(len).unwrap_or(0);
        call.write(call.word(4), &len.to_ne_bytes())?;
        Ok(Answer::Value(0))
    }
}

/// A `struct timeval`.
fn duration(value: &[u8]) -> Option<Duration> {
    let word = |at: usize| Some(i64::from_ne_bytes(value.get(at..at + 8)?.try_into().ok()?));
    let (seconds, micros) = (word(0)?, word(8)?);
    let micros = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000)?;
    Some(Duration::new(u64::try_from(seconds).unwrap_or(0), micros * 1000))
}

/// A `struct sock_fprog`: how many instructions, and where.
fn program_of(value: &[u8]) -> Option<(usize, u64)> {
    let len = u16::from_ne_bytes(value.get(..2)?.try_into().ok()?);
    let at = u64::from_ne_bytes(value.get(8..16)?.try_into().ok()?);
    Some((len.into(), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_seconds_and_microseconds() {
        let value = |seconds: i64, micros: i64| [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat();
        assert_eq!(duration(&value(2, 500_000)), Some(Duration::from_millis(2500)));
        assert_eq!(duration(&value(0, 0)), Some(Duration::ZERO));
        assert_eq!(duration(&value(1, 1_000_000)), None);
        assert_eq!(duration(&[0; 8]), None);
    }

    #[test]
    fn options_with_pointers_or_pages_do_not_reach_linux() {
        for (level, option) in [(0, 64), (41, 65), (6, 31), (263, 5), (1, 50), (1, 60)] {
            assert!(
                matches!(treatment(level, option), Treatment::Refuse(_)),
                "{level} {option}"
            );
        }
        assert!(matches!(treatment(1, 26), Treatment::Filter));
        assert!(matches!(treatment(6, 1), Treatment::Linux));
        assert!(matches!(treatment(0, 8), Treatment::Controls));
    }
}
