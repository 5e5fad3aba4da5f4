//! The ioctls of sockets: those of interfaces, routes and neighbours.

use super::{Answer, Result, number};
use crate::linux;
use crate::notify::Call;
use crate::supervisor::Supervisor;

const SIOCADDRT: u32 = 0x890b;
const SIOCDELRT: u32 = 0x890c;
const SIOCGIFCONF: u32 = 0x8912;
const SIOCETHTOOL: u32 = 0x8946;
/// `struct ifreq`
const IFREQ: usize = 40;
/// `struct rtentry`, and where in it a name is pointed to.
const RTENTRY: (usize, usize) = (120, 96);
/// No interface list is longer.
const MOST_LIST: usize = 1 << 20;

/// What an argument is.
enum Argument {
    /// So many bytes without pointers.
    Plain(usize),
    /// `struct ifconf`
    List,
    /// `struct rtentry`
    Route,
    /// `struct ifreq` with a pointer to one of ethtool's requests.
    Ethtool,
    /// Not known here.
    Other,
}

fn argument(request: u32) -> Argument {
    match request {
        SIOCGIFCONF => Argument::List,
        SIOCADDRT | SIOCDELRT => Argument::Route,
        SIOCETHTOOL => Argument::Ethtool,
        // SIOCATMARK, SIOCOUTQNSD
        0x8905 | 0x894b => Argument::Plain(4),
        // SIOCGSTAMP, SIOCGSTAMPNS
        0x8906 | 0x8907 => Argument::Plain(16),
        // The bridge's old requests, whose values have pointers in them.
        0x8940 | 0x8941 => Argument::Other,
        // Of interfaces.
        0x8910..=0x894a | 0x8970 | 0x8971 => Argument::Plain(IFREQ),
        // Of neighbours.
        0x8953..=0x8955 => Argument::Plain(68),
        _ => Argument::Other,
    }
}

/// Whether the request is of the network, whatever socket it is asked of: the C library asks a UNIX socket for an interface's number.
fn is_of_network(request: u32) -> bool {
    matches!(request, 0x8910..=0x894a | 0x8953..=0x8955 | 0x8970 | 0x8971 | SIOCADDRT | SIOCDELRT)
}

impl Supervisor {
    /// Asked of a socket that is not Linux's.
    pub(super) fn ioctl_of_any(&self, call: &Call) -> Result {
        if is_of_network(call.int(1).cast_unsigned()) {
            return self.ioctl(call, &self.control);
        }
        Ok(Answer::Pass)
    }

    pub(super) fn ioctl(&self, call: &Call, socket: &lkl::OwnedFd) -> Result {
        let (request, at) = (call.int(1).cast_unsigned(), call.word(2));
        match argument(request) {
            Argument::Plain(len) => {
                let mut bytes = vec![0; len];
                let there = call.read_some(at, &mut bytes)?;
                let value = linux::control(socket, request, &mut bytes).map_err(number)?;
                call.write(at, bytes.get(..there).unwrap_or(&bytes))?;
                Ok(Answer::Value(value.cast_signed()))
            }
            Argument::List => list(call, socket, at),
            Argument::Route => {
                let (len, pointer) = RTENTRY;
                let mut bytes = call.bytes(at, len)?;
                let name_at = word(&bytes, pointer).ok_or(libc::EINVAL)?;
                let done = if name_at == 0 {
                    linux::control(socket, request, &mut bytes)
                } else {
                    let mut name = [0; 16];
                    call.read_some(name_at, &mut name)?;
                    linux::control_with(socket, request, &mut bytes, pointer, &mut name)
                };
                done.map_err(number)?;
                Ok(Answer::Value(0))
            }
            Argument::Ethtool => ethtool(call, socket, at),
            Argument::Other => Err(libc::EOPNOTSUPP),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The addresses of interfaces; or how long the list is, if there is no room for it.
fn list(call: &Call, socket: &lkl::OwnedFd, at: u64) -> Result {
    let mut head = call.bytes(at, 16)?;
    let to = word(&head, 8).ok_or(libc::EINVAL)?;
    let room = head.first_chunk().map_or(0, |len| i32::from_ne_bytes(*len));
    if to == 0 {
        linux::control(socket, SIOCGIFCONF, &mut head).map_err(number)?;
    } else {
        let room = usize::try_from(room).map_err(|_| libc::EINVAL)?;
        let mut list = vec![0; room.min(MOST_LIST)];
        linux::control_with(socket, SIOCGIFCONF, &mut head, 8, &mut list).map_err(number)?;
        let len = head.first_chunk().map_or(0, |len| i32::from_ne_bytes(*len));
        let len = usize::try_from(len).unwrap_or(0).min(list.len());
        call.write(to, list.get(..len).unwrap_or(&list))?;
    }
    call.write(at, head.get(..4).unwrap_or(&[]))?;
    Ok(Answer::Value(0))
}

/// Requests that are a number and a value, and what the driver is.
fn ethtool(call: &Call, socket: &lkl::OwnedFd, at: u64) -> Result {
    const POINTER: usize = 16;
    let mut bytes = call.bytes(at, IFREQ)?;
    let further_at = word(&bytes, POINTER).ok_or(libc::EINVAL)?;
    let command = call.bytes(further_at, 4)?;
    let command = command.first_chunk().map_or(0, |word| u32::from_ne_bytes(*word));
    let len = match command {
        // GDRVINFO
        0x3 => 196,
        // GSET, SSET
        0x1 | 0x2 => 44,
        // GLINK and the flags that are on or off
        0xa | 0x14..=0x19 | 0x1e | 0x1f | 0x21..=0x26 | 0x2b | 0x2c => 8,
        _ => return Err(libc::EOPNOTSUPP),
    };
    let mut further = call.bytes(further_at, len)?;
    linux::control_with(socket, SIOCETHTOOL, &mut bytes, POINTER, &mut further).map_err(number)?;
    call.write(further_at, &further)?;
    Ok(Answer::Value(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_pointers_is_known_or_refused() {
        assert!(matches!(argument(0x8912), Argument::List));
        assert!(matches!(argument(0x8933), Argument::Plain(IFREQ)));
        for request in [0x8940, 0x8941, 0x89a2, 0x89f0, 0x894c] {
            assert!(matches!(argument(request), Argument::Other), "{request:#x}");
        }
        assert!(is_of_network(0x8933) && !is_of_network(0x8905));
    }
}
