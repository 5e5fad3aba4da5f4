//! What a user writes for the other end of an interface: `tap:NAME`, `unix:PATH` and so on.

use crate::LinkError;
use lkl_netdev::{Backend, Offloads};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// One of the kinds that there are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Spec {
    /// `slirp`: the machine's own network, by user-mode NAT.
    Slirp,
    /// `tap:NAME`: a TAP device.
    Tap(String),
    /// `raw:IF`: an interface of the machine's.
    Raw(String),
    /// `macvtap:PATH`: a macvtap, by its device.
    Macvtap(PathBuf),
    /// `unix:PATH`: a UNIX stream socket, as passt has one.
    Unix(PathBuf),
    /// `unixgram:LOCAL,REMOTE`: UNIX datagrams.
    UnixDatagram(PathBuf, PathBuf),
    /// `unixpacket:PATH`: a UNIX socket of sequenced packets, as slirp4netns has one.
    UnixPackets(PathBuf),
    /// `vde:PATH`: a switch of VDE's, by its folder.
    Vde(PathBuf),
    /// `dpdk:ARGUMENTS`: a device of DPDK's, by the arguments of its environment, or by its name.
    Dpdk(String),
    /// `tcp:ADDRESS:PORT`: the same stream by TCP.
    Tcp(String),
    /// `udp:LOCAL,REMOTE`: UDP datagrams.
    Udp(String, String),
    /// `pipe:READ,WRITE`: two FIFOs.
    Pipe(PathBuf, PathBuf),
    /// `pcap:FILE`: a record of what Linux sends.
    Pcap(PathBuf),
}

/// A text that is no [`Spec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSpec(String);

/// How each kind is written.
const WRITTEN: [&str; 13] = [
    "slirp",
    "tap:NAME",
    "raw:IF",
    "macvtap:PATH",
    "unix:PATH",
    "unixgram:LOCAL,REMOTE",
    "unixpacket:PATH",
    "vde:PATH",
    "tcp:ADDRESS:PORT",
    "udp:LOCAL,REMOTE",
    "pipe:READ,WRITE",
    "dpdk:ARGUMENTS",
    "pcap:FILE",
];

impl fmt::Display for NotSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NotSpec(text) = self;
        let kind = |written: &str| written.split(':').next().map(str::to_owned);
        match WRITTEN.iter().find(|written| kind(written) == kind(text)) {
            Some(written) => write!(
                f,
                "{text}: a part is missing, or there is one too many; write {written}"
            ),
            None => {
                let [all @ .., last] = &WRITTEN;
                write!(
                    f,
                    "{text}: no network that is known; write {} or {last}",
                    all.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for NotSpec {}

impl FromStr for Spec {
    type Err = NotSpec;

    fn from_str(text: &str) -> Result<Self, NotSpec> {
        let no = || NotSpec(text.to_owned());
        if text == "slirp" {
            return Ok(Spec::Slirp);
        }
        let (kind, rest) = text.split_once(':').ok_or_else(no)?;
        if rest.is_empty() {
            return Err(no());
        }
        let two = || {
            let (one, other) = rest.split_once(',').ok_or_else(no)?;
            if one.is_empty() || other.is_empty() {
                return Err(no());
            }
            Ok((one, other))
        };
        Ok(match kind {
            "tap" => Spec::Tap(rest.to_owned()),
            "raw" => Spec::Raw(rest.to_owned()),
            "macvtap" => Spec::Macvtap(rest.into()),
            "unix" => Spec::Unix(rest.into()),
            "unixgram" => two().map(|(one, other)| Spec::UnixDatagram(one.into(), other.into()))?,
            "unixpacket" => Spec::UnixPackets(rest.into()),
            "vde" => Spec::Vde(rest.into()),
            "dpdk" => Spec::Dpdk(rest.to_owned()),
            "tcp" => Spec::Tcp(rest.to_owned()),
            "udp" => two().map(|(one, other)| Spec::Udp(one.to_owned(), other.to_owned()))?,
            "pipe" => two().map(|(one, other)| Spec::Pipe(one.into(), other.into()))?,
            "pcap" => Spec::Pcap(rest.into()),
            _ => return Err(no()),
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spec::Slirp => f.write_str("slirp"),
            Spec::Tap(name) => write!(f, "tap:{name}"),
            Spec::Raw(name) => write!(f, "raw:{name}"),
            Spec::Macvtap(path) => write!(f, "macvtap:{}", path.display()),
            Spec::Unix(path) => write!(f, "unix:{}", path.display()),
            Spec::UnixDatagram(one, other) => write!(f, "unixgram:{},{}", one.display(), other.display()),
            Spec::UnixPackets(path) => write!(f, "unixpacket:{}", path.display()),
            Spec::Vde(path) => write!(f, "vde:{}", path.display()),
            Spec::Dpdk(arguments) => write!(f, "dpdk:{arguments}"),
            Spec::Tcp(address) => write!(f, "tcp:{address}"),
            Spec::Udp(one, other) => write!(f, "udp:{one},{other}"),
            Spec::Pipe(one, other) => write!(f, "pipe:{},{}", one.display(), other.display()),
            Spec::Pcap(path) => write!(f, "pcap:{}", path.display()),
        }
    }
}

impl Spec {
    /// Opens it. Without `offloads` packets are plain, where there is a choice.
    ///
    /// # Errors
    /// What the function of its kind says; that this system has no such thing.
    pub fn open(&self, offloads: bool) -> Result<Arc<dyn Backend>, LinkError> {
        self.open_with(if offloads { Offloads::ALL } else { Offloads::NONE })
    }

    /// The same with those of the offloads that are wanted, and that it has, where there is a choice.
    ///
    /// # Errors
    /// Those of [`Spec::open`].
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    pub fn open_with(&self, offloads: Offloads) -> Result<Arc<dyn Backend>, LinkError> {
        match self {
            #[cfg(all(target_os = "linux", feature = "slirp"))]
            Spec::Slirp => crate::nat(),
            #[cfg(all(target_os = "linux", not(feature = "slirp")))]
            Spec::Slirp => Err(not_built_in("slirp")),
            #[cfg(all(target_os = "linux", feature = "dpdk"))]
            Spec::Dpdk(arguments) => crate::dpdk(arguments),
            #[cfg(all(target_os = "linux", not(feature = "dpdk")))]
            Spec::Dpdk(_) => Err(not_built_in("DPDK")),
            #[cfg(target_os = "linux")]
            Spec::Tap(name) => crate::tap_with(name, offloads),
            #[cfg(target_os = "linux")]
            Spec::Raw(name) => crate::raw(name, offloads.has(Offloads::HOST_CSUM)),
            #[cfg(target_os = "linux")]
            Spec::Macvtap(path) => crate::macvtap_with(path, offloads),
            #[cfg(unix)]
            Spec::Unix(path) => crate::unix_stream(path),
            #[cfg(unix)]
            Spec::UnixDatagram(local, remote) => crate::unix_datagram(local, remote),
            #[cfg(unix)]
            Spec::UnixPackets(path) => crate::unix_packets(path),
            #[cfg(unix)]
            Spec::Vde(path) => crate::vde(path),
            #[cfg(unix)]
            Spec::Tcp(address) => crate::tcp_stream(address),
            #[cfg(unix)]
            Spec::Pipe(read, write) => crate::pipe(read, write),
            Spec::Udp(local, remote) => crate::udp(local, remote),
            Spec::Pcap(path) => crate::pcap(path),
            #[cfg(not(target_os = "linux"))]
            other => Err(LinkError::new(
                crate::error::Kind::Interface,
                &other.to_string(),
                std::io::Error::new(
                    std::io::ErrorKind::Unsupported,
                    "this system has no such thing; udp:LOCAL,REMOTE works everywhere",
                ),
            )),
        }
    }
}

/// A kind that a feature of this crate has.
#[cfg(all(target_os = "linux", not(all(feature = "slirp", feature = "dpdk"))))]
fn not_built_in(what: &str) -> LinkError {
    let error = std::io::Error::new(std::io::ErrorKind::Unsupported, "it is not built in");
    LinkError::new(crate::error::Kind::File, what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_understood_and_written_the_same() {
        for text in [
            "slirp",
            "tap:tap0",
            "raw:eth0",
            "macvtap:/dev/tap7",
            "unix:/run/passt.sock",
            "unixgram:/tmp/a,/tmp/b",
            "unixpacket:/run/bess.sock",
            "vde:/run/vde.ctl",
            "dpdk:--no-huge --vdev=net_tap0",
            "tcp:[::1]:5000",
            "udp:127.0.0.1:5000,127.0.0.1:5001",
            "pipe:/tmp/in,/tmp/out",
            "pcap:C:\\packets.pcap",
        ] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_what_does() {
        for (text, ends) in [
            ("", "write slirp, tap:NAME,"),
            ("ethernet:eth0", "udp:LOCAL,REMOTE"),
            ("tap", "; write tap:NAME"),
            ("slirp:", "; write slirp"),
            ("tap:", "; write tap:NAME"),
            ("udp:127.0.0.1:1", "; write udp:LOCAL,REMOTE"),
            ("pipe:,/tmp/x", "; write pipe:READ,WRITE"),
        ] {
            let error = text.parse::<Spec>().unwrap_err().to_string();
            assert!(error.starts_with(text) && error.contains(ends), "{error}");
        }
    }
}
