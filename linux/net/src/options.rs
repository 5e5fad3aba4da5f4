//! Options of sockets: `setsockopt()` and `getsockopt()`, typed for what programs ask for, and as bytes for the rest.

use crate::call;
use crate::error::{about, io_error};
use crate::socket::Socket;
use crate::tcp_info::TcpInfo;
use lkl::Errno;
use std::io;
use std::time::Duration;

/// `SOL_SOCKET`
pub const SOL_SOCKET: i32 = 1;
/// `IPPROTO_IP`
pub const SOL_IP: i32 = 0;
/// `IPPROTO_TCP`
pub const SOL_TCP: i32 = 6;
/// `IPPROTO_IPV6`
pub const SOL_IPV6: i32 = 41;
/// `SOL_MPTCP`
pub const SOL_MPTCP: i32 = 284;

const SO_REUSEADDR: i32 = 2;
const SO_TYPE: i32 = 3;
const SO_ERROR: i32 = 4;
const SO_BROADCAST: i32 = 6;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;
const SO_KEEPALIVE: i32 = 9;
const SO_PRIORITY: i32 = 12;
const SO_LINGER: i32 = 13;
const SO_REUSEPORT: i32 = 15;
const SO_BINDTODEVICE: i32 = 25;
const SO_MARK: i32 = 36;
const SO_PROTOCOL: i32 = 38;

const IP_TTL: i32 = 2;
const IPV6_V6ONLY: i32 = 26;

const TCP_NODELAY: i32 = 1;
const TCP_MAXSEG: i32 = 2;
const TCP_KEEPIDLE: i32 = 4;
const TCP_INFO: i32 = 11;
const TCP_CONGESTION: i32 = 13;

const MPTCP_INFO: i32 = 1;

impl Socket {
    /// Sets an option that is any bytes.
    pub fn set_option(&self, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
        call::set_option(self.descriptor(), level, option, value).map_err(io_error)
    }

    /// Reads an option that is any bytes: how many there were.
    pub fn option(&self, level: i32, option: i32, value: &mut [u8]) -> io::Result<usize> {
        call::option(self.descriptor(), level, option, value).map_err(io_error)
    }

    /// Sets an option that is a number.
    pub fn set_number(&self, level: i32, option: i32, value: i32) -> io::Result<()> {
        self.set_option(level, option, &value.to_ne_bytes())
    }

    /// Reads an option that is a number.
    pub fn number(&self, level: i32, option: i32) -> io::Result<i32> {
        let mut value = [0; 4];
        self.option(level, option, &mut value)?;
        Ok(i32::from_ne_bytes(value))
    }

    /// A text of at most 15 bytes, as interfaces and algorithms have.
    fn text(&self, level: i32, option: i32) -> io::Result<String> {
        let mut value = [0; 16];
        let len = self.option(level, option, &mut value)?;
        let text = value.get(..len).unwrap_or(&value);
        let text = text.split(|byte| *byte == 0).next().unwrap_or(text);
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// `SO_ERROR`: what has gone wrong since it was last asked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let number = self.number(SOL_SOCKET, SO_ERROR)?;
        Ok(u16::try_from(number)
            .ok()
            .and_then(Errno::from_number)
            .map(io_error))
    }

    /// `SO_REUSEADDR`
    pub fn set_reuse_address(&self, on: bool) -> io::Result<()> {
        self.set_number(SOL_SOCKET, SO_REUSEADDR, on.into())
    }

    /// `SO_REUSEPORT`: several sockets share an address, and Linux spreads what comes over them.
    pub fn set_reuse_port(&self, on: bool) -> io::Result<()> {
        self.set_number(SOL_SOCKET, SO_REUSEPORT, on.into())
    }

    /// `SO_BROADCAST`
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.set_number(SOL_SOCKET, SO_BROADCAST, on.into())
    }

    /// `SO_BROADCAST`
    pub fn broadcast(&self) -> io::Result<bool> {
        Ok(self.number(SOL_SOCKET, SO_BROADCAST)? != 0)
    }

    /// `SO_KEEPALIVE`, and after how long a quiet connection is asked whether it lives.
    pub fn set_keepalive(&self, after: Option<Duration>) -> io::Result<()> {
        self.set_number(SOL_SOCKET, SO_KEEPALIVE, after.is_some().into())?;
        match after {
            Some(after) => {
                let seconds = i32::try_from(after.as_secs().max(1)).unwrap_or(i32::MAX);
                self.set_number(SOL_TCP, TCP_KEEPIDLE, seconds)
            }
            None => Ok(()),
        }
    }

    /// `SO_LINGER`: whether and how long a close waits for what was not sent yet. Zero resets the connection.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        let mut value = [0; 8];
        let (on, seconds) = value.split_at_mut(4);
        on.copy_from_slice(&i32::from(linger.is_some()).to_ne_bytes());
        let wanted = linger.map_or(0, |linger| i32::try_from(linger.as_secs()).unwrap_or(i32::MAX));
        seconds.copy_from_slice(&wanted.to_ne_bytes());
        self.set_option(SOL_SOCKET, SO_LINGER, &value)
    }

    /// `SO_SNDBUF`: bytes, of which Linux keeps the double for itself.
    pub fn set_send_buffer(&self, bytes: i32) -> io::Result<()> {
        self.set_number(SOL_SOCKET, SO_SNDBUF, bytes)
    }

    /// `SO_SNDBUF`
    pub fn send_buffer(&self) -> io::Result<i32> {
        self.number(SOL_SOCKET, SO_SNDBUF)
    }

    /// `SO_RCVBUF`
    pub fn set_receive_buffer(&self, bytes: i32) -> io::Result<()> {
        self.set_number(SOL_SOCKET, SO_RCVBUF, bytes)
    }

    /// `SO_RCVBUF`
    pub fn receive_buffer(&self) -> io::Result<i32> {
        self.number(SOL_SOCKET, SO_RCVBUF)
    }

    /// `SO_PRIORITY`: the class of the queue that it sends into.
    pub fn set_priority(&self, priority: i32) -> io::Result<()> {
        self.set_number(SOL_SOCKET, SO_PRIORITY, priority)
    }

    /// `SO_MARK`: what rules of routing and filters see of it.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        self.set_option(SOL_SOCKET, SO_MARK, &mark.to_ne_bytes())
    }

    /// `SO_BINDTODEVICE`: the one interface that it sends and receives over; `None` for all.
    ///
    /// # Errors
    /// Named after the interface: ENODEV when there is none of that name.
    pub fn bind_device(&self, interface: Option<&str>) -> io::Result<()> {
        let name = interface.unwrap_or("");
        call::set_option(self.descriptor(), SOL_SOCKET, SO_BINDTODEVICE, name.as_bytes())
            .map_err(|errno| about(name, errno))
    }

    /// `SO_BINDTODEVICE`
    pub fn device(&self) -> io::Result<Option<String>> {
        let name = self.text(SOL_SOCKET, SO_BINDTODEVICE)?;
        Ok(Some(name).filter(|name| !name.is_empty()))
    }

    /// `SO_TYPE`
    pub fn kind(&self) -> io::Result<crate::Type> {
        self.number(SOL_SOCKET, SO_TYPE).map(crate::Type)
    }

    /// `SO_PROTOCOL`
    pub fn protocol(&self) -> io::Result<crate::Protocol> {
        self.number(SOL_SOCKET, SO_PROTOCOL).map(crate::Protocol)
    }

    /// `IPV6_V6ONLY`: whether a socket of IPv6 takes no IPv4.
    pub fn set_only_v6(&self, on: bool) -> io::Result<()> {
        self.set_number(SOL_IPV6, IPV6_V6ONLY, on.into())
    }

    /// `IPV6_V6ONLY`
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(self.number(SOL_IPV6, IPV6_V6ONLY)? != 0)
    }

    /// `IP_TTL`
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.set_number(SOL_IP, IP_TTL, i32::try_from(ttl).unwrap_or(i32::MAX))
    }

    /// `IP_TTL`
    pub fn ttl(&self) -> io::Result<u32> {
        self.number(SOL_IP, IP_TTL).map(i32::cast_unsigned)
    }

    /// `TCP_NODELAY`
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.set_number(SOL_TCP, TCP_NODELAY, on.into())
    }

    /// `TCP_NODELAY`
    pub fn nodelay(&self) -> io::Result<bool> {
        Ok(self.number(SOL_TCP, TCP_NODELAY)? != 0)
    }

    /// `TCP_MAXSEG`: the longest segment, bytes.
    pub fn max_segment(&self) -> io::Result<i32> {
        self.number(SOL_TCP, TCP_MAXSEG)
    }

    /// `TCP_CONGESTION`: `"cubic"`, `"reno"`, `"bbr"`, `"dctcp"`.
    ///
    /// # Errors
    /// Named after the algorithm: ENOENT when Linux has none of that name.
    pub fn set_congestion(&self, algorithm: &str) -> io::Result<()> {
        call::set_option(self.descriptor(), SOL_TCP, TCP_CONGESTION, algorithm.as_bytes())
            .map_err(|errno| about(format_args!("congestion control {algorithm}"), errno))
    }

    /// `TCP_CONGESTION`
    pub fn congestion(&self) -> io::Result<String> {
        self.text(SOL_TCP, TCP_CONGESTION)
    }

    /// `TCP_INFO`
    pub fn tcp_info(&self) -> io::Result<TcpInfo> {
        let mut bytes = [0; TcpInfo::LEN];
        let len = self.option(SOL_TCP, TCP_INFO, &mut bytes)?;
        Ok(TcpInfo::parse(bytes.get(..len).unwrap_or(&bytes)))
    }

    /// How many further paths a connection of MPTCP has besides its first; `None` when it has fallen back to TCP.
    pub fn mptcp_subflows(&self) -> io::Result<Option<u8>> {
        let mut bytes = [0; 96];
        match call::option(self.descriptor(), SOL_MPTCP, MPTCP_INFO, &mut bytes) {
            Ok(_) => Ok(bytes.first().copied()),
            Err(Errno::EOPNOTSUPP) => Ok(None),
            Err(errno) => Err(io_error(errno)),
        }
    }
}
