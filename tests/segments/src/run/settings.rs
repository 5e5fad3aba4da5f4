//! What a run is told besides its script, and what a script's options change.

use crate::script::{Fault, Script};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The port of the script's own sockets, and of the servers that it connects to.
pub const PORT: u16 = 8080;

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Version::V4 => "ipv4",
            Version::V6 => "ipv6",
        })
    }
}

/// How a script is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Over which IP.
    pub version: Version,
    /// By how much what happens may differ from the script's times, nanoseconds.
    pub tolerance: u64,
    /// The interface's MTU.
    pub mtu: u32,
    /// The address of Linux, and its prefix.
    pub local_ip: (IpAddr, u8),
    /// The address of the other end.
    pub remote_ip: IpAddr,
    /// Names besides Linux's constants.
    pub defines: BTreeMap<String, i64>,
    /// Whether each segment that Linux sends must be in the script as it is. If not, as in packetdrill, segments that follow one
    /// another may stand for a longer one of the script's, and what comes after the script's last one is of no account.
    pub whole: bool,
    /// Whether the interface takes segments of up to 64 KiB, to be cut, and computes checksums.
    pub offload: bool,
    /// How long a tick of TCP's time stamps is, microseconds: if it is told, they are compared.
    pub tick: Option<u64>,
}

impl Settings {
    /// As Linux's own tests of this kind are run, but for the times, which are exact here.
    pub fn new(version: Version) -> Settings {
        let (local_ip, remote_ip, mtu): ((IpAddr, u8), IpAddr, u32) = match version {
            Version::V4 => (
                (Ipv4Addr::new(192, 168, 0, 1).into(), 16),
                Ipv4Addr::new(192, 0, 2, 1).into(),
                1500,
            ),
            Version::V6 => (
                (Ipv6Addr::new(0xfd3d, 0xa0b, 0x17d6, 0, 0, 0, 0, 1).into(), 64),
                Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1).into(),
                // TCP's MSS is the same as over IPv4.
                1520,
            ),
        };
        let by_version = |v4: i32, v6: i32| match version {
            Version::V4 => i64::from(v4),
            Version::V6 => i64::from(v6),
        };
        let defines = [
            ("CMSG_LEVEL_IP", by_version(libc::SOL_IP, libc::SOL_IPV6)),
            (
                "CMSG_TYPE_RECVERR",
                by_version(libc::IP_RECVERR, libc::IPV6_RECVERR),
            ),
        ];
        Settings {
            version,
            tolerance: 0,
            mtu,
            local_ip,
            remote_ip,
            defines: defines
                .map(|(name, value)| (name.to_owned(), value))
                .into_iter()
                .collect(),
            whole: true,
            offload: true,
            tick: None,
        }
    }

    /// `AF_INET` or `AF_INET6`.
    pub fn family(&self) -> i32 {
        match self.version {
            Version::V4 => libc::AF_INET,
            Version::V6 => libc::AF_INET6,
        }
    }

    /// The address of the script's sockets.
    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local_ip.0, PORT)
    }

    /// The address of the server that it connects to.
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote_ip, PORT)
    }

    /// Whether a script is one for this version of IP: `--ip_version=ipv6` says that it is for that one alone.
    pub fn fits(&self, script: &Script) -> bool {
        let mut versions = script.options.iter().filter(|(_, name, _)| name == "ip_version");
        versions.all(|(_, _, version)| *version == self.version.to_string())
    }

    /// Takes over a script's options.
    pub fn take(&mut self, script: &Script) -> Result<(), Fault> {
        for (place, name, value) in &script.options {
            let fault = |what: String| Fault { place: *place, what };
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| fault(format!("--{name}: '{value}' is no number")))
            };
            match name.as_str() {
                "ip_version" => {}
                "tolerance_usecs" => self.tolerance = number()?.saturating_mul(1000),
                "mtu" => {
                    self.mtu = u32::try_from(number()?).map_err(|_| fault("--mtu: too large".into()))?;
                }
                "tcp_ts_tick_usecs" => self.tick = Some(number()?).filter(|tick| *tick > 0),
                "offload" => self.offload = number()? != 0,
                _ => return Err(fault(format!("there is no option --{name}"))),
            }
        }
        Ok(())
    }
}
