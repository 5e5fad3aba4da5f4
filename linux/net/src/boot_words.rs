//! Words of a command line of Linux's that Linux itself does not take here: `mem=`, which is the size of the memory that the host
//! gives, and `ip=`, which a kernel with a client of its own would do before there are programs.

use std::net::{IpAddr, Ipv4Addr};

/// A command line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BootWords {
    /// Bytes of memory, from `mem=SIZE`, where k, M or G may be behind the number.
    pub memory: Option<usize>,
    /// The address of the first interface, from `ip=`.
    pub ip: Option<BootIp>,
    /// What is left for Linux.
    pub rest: String,
}

/// What `ip=` says. Its long form is `ip=ADDRESS:SERVER:GATEWAY:NETMASK:HOST:DEVICE:HOW:DNS:DNS`, of which any part may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootIp {
    /// Nothing is configured.
    Off,
    /// A DHCP server is asked.
    Dhcp {
        /// Over this interface; `None`: the first one.
        device: Option<String>,
    },
    /// This address.
    Fixed {
        /// The address.
        address: Ipv4Addr,
        /// Bits of it that are the network's.
        prefix: u8,
        /// The way out.
        gateway: Option<Ipv4Addr>,
        /// The interface's name; `None`: the first one.
        device: Option<String>,
        /// Name servers.
        name_servers: Vec<IpAddr>,
    },
}

impl BootWords {
    /// Takes `line` apart.
    ///
    /// # Errors
    /// The word that makes no sense, and why.
    pub fn parse(line: &str) -> Result<BootWords, String> {
        let mut words = BootWords::default();
        let mut rest = Vec::new();
        for word in line.split_ascii_whitespace() {
            if let Some(size) = word.strip_prefix("mem=") {
                let wrong = || format!("{word}: write a size, as mem=64M");
                words.memory = Some(bytes(size).ok_or_else(wrong)?);
            } else if let Some(ip) = word.strip_prefix("ip=") {
                words.ip = Some(boot_ip(ip).map_err(|why| format!("{word}: {why}"))?);
            } else {
                rest.push(word);
            }
        }
        words.rest = rest.join(" ");
        Ok(words)
    }
}

/// A number with k, M or G behind it.
fn bytes(size: &str) -> Option<usize> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match size.get(digits.len()..)? {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

/// How an address is found, if it is one of the words for that.
fn how(word: &str, device: Option<String>) -> Option<BootIp> {
    match word {
        "off" | "none" => Some(BootIp::Off),
        // Linux tries whatever it has, which is DHCP.
        "on" | "any" | "both" | "dhcp" => Some(BootIp::Dhcp { device }),
        _ => None,
    }
}

fn boot_ip(text: &str) -> Result<BootIp, String> {
    if let Some(short) = how(text, None) {
        return Ok(short);
    }
    if matches!(text, "bootp" | "rarp") {
        return Err("there is DHCP, or a fixed address; write ip=dhcp".to_owned());
    }
    let parts: Vec<&str> = text.split(':').collect();
    let part = |place: usize| parts.get(place).copied().filter(|part| !part.is_empty());
    let device = part(5).map(str::to_owned);
    let ip = |place: usize| -> Result<Option<Ipv4Addr>, String> {
        let Some(text) = part(place) else {
            return Ok(None);
        };
        let ip = text.parse();
        ip.map(Some).map_err(|_| format!("{text} is no address of IPv4"))
    };
    let Some(address) = ip(0)?.filter(|address| !address.is_unspecified()) else {
        let word = part(6).unwrap_or("any");
        return how(word, device).ok_or_else(|| format!("{word} is no way to an address; write dhcp"));
    };
    let prefix = match ip(3)? {
        Some(mask) => {
            let bits = mask.to_bits();
            if bits.leading_ones() + bits.trailing_zeros() < 32 {
                return Err(format!("{mask} is no netmask"));
            }
            bits.leading_ones() as u8
        }
        // As Linux guesses: by the class of the address.
        None => match address.octets()[0] {
            0..128 => 8,
            128..192 => 16,
            _ => 24,
        },
    };
    Ok(BootIp::Fixed {
        address,
        prefix,
        gateway: ip(2)?.filter(|gateway| !gateway.is_unspecified()),
        device,
        name_servers: [ip(7)?, ip(8)?].into_iter().flatten().map(IpAddr::V4).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_address_are_taken_out_and_the_rest_is_left() {
        let words = BootWords::parse("loglevel=4 mem=32M ip=dhcp quiet").unwrap();
        assert_eq!(words.memory, Some(32 << 20));
        assert_eq!(words.ip, Some(BootIp::Dhcp { device: None }));
        assert_eq!(words.rest, "loglevel=4 quiet");
        assert_eq!(BootWords::parse("").unwrap(), BootWords::default());
    }

    #[test]
    fn the_long_form_of_ip_has_all_that_it_says() {
        let ip = |text: &str| BootWords::parse(text).unwrap().ip.unwrap();
        assert_eq!(
            ip("ip=10.9.1.2::10.9.1.1:255.255.255.0::eth1:off:10.9.1.3"),
            BootIp::Fixed {
                address: [10, 9, 1, 2].into(),
                prefix: 24,
                gateway: Some([10, 9, 1, 1].into()),
                device: Some("eth1".to_owned()),
                name_servers: vec![[10, 9, 1, 3].into()],
            }
        );
        let guessed = ip("ip=172.16.0.2");
        assert!(matches!(
            guessed,
            BootIp::Fixed {
                prefix: 16,
                gateway: None,
                ..
            }
        ));
        let device = Some("eth1".to_owned());
        assert_eq!(ip("ip=:::::eth1:dhcp"), BootIp::Dhcp { device });
        assert_eq!(ip("ip=none"), BootIp::Off);
    }

    #[test]
    fn a_word_that_makes_no_sense_is_named() {
        for (line, word) in [
            ("mem=", "mem="),
            ("mem=12T", "mem=12T"),
            ("quiet mem=99999999999G", "mem=99999999999G"),
            ("ip=host", "ip=host"),
            ("ip=10.0.0.1:::255.0.255.0", "netmask"),
            ("ip=10.0.0.256", "10.0.0.256"),
            ("ip=:::::eth0:carrier-pigeon", "carrier-pigeon"),
            ("ip=rarp", "dhcp"),
        ] {
            let error = BootWords::parse(line).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        }
    }
}
