//! Quantities as a topology writes them: `"10ms"`, `"1.5mbit"`, `"1%"`, `"64KiB"`, `"10.0.0.0/8"`.

use ipnet::IpNet;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Units of a kind of quantity, and what each is in the smallest.
type Units = &'static [(&'static str, f64)];

/// Reads a number and its unit.
fn scaled(text: &str, units: Units, example: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a quantity like {example:?}");
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim();
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        return Err(match unit {
            "" => format!("{text:?} has no unit; units are {names}"),
            _ => format!("{unit:?} is no unit here; units are {names}"),
        });
    };
    let value = (number * scale).round();
    // As far as a floating-point number counts exactly.
    if !(0.0..=9_007_199_254_740_992.0).contains(&value) {
        return Err(format!("{text:?} is out of range"));
    }
    Ok(value as u64)
}

/// A length of time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        let units: Units = &[
            ("ns", 1.0),
            ("us", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ];
        scaled(text, units, "10ms").map(Time)
    }
}

impl Time {
    /// As a duration.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.seconds())
    }
}

/// Bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl Rate {
    /// The same in bytes a second, as queues have it.
    pub(crate) fn bytes_a_second(self) -> u64 {
        (self.0 / 8).max(1)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let units: Units = &[("bit", 1.0), ("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
        match scaled(text, units, "10mbit")? {
            0..8 => Err(format!("{text:?} is too slow; leave rate out for no limit")),
            bits => Ok(Rate(bits)),
        }
    }
}

/// A part of all packets, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part(pub f64);

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Part, String> {
        let number = text
            .strip_suffix('%')
            .and_then(|number| number.trim().parse().ok());
        match number {
            Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Part(percent / 100.0)),
            _ => Err(format!("{text:?} is not a part like \"1.5%\"")),
        }
    }
}

/// So many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let units: Units = &[
            ("B", 1.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
        ];
        scaled(text, units, "10MB").map(Bytes)
    }
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    /// Both, in order.
    pub const ALL: [Version; 2] = [Version::V4, Version::V6];

    /// The version of an address.
    pub fn of(ip: IpAddr) -> Version {
        match ip {
            IpAddr::V4(_) => Version::V4,
            IpAddr::V6(_) => Version::V6,
        }
    }

    /// Bits of an address.
    pub fn bits(self) -> u8 {
        match self {
            Version::V4 => 32,
            Version::V6 => 128,
        }
    }

    /// The address that stands for none, or for all.
    pub fn unspecified(self) -> IpAddr {
        match self {
            Version::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Version::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The address of that number; the last one, if there is none.
    pub fn address(self, number: u128) -> IpAddr {
        match self {
            Version::V4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            Version::V6 => Ipv6Addr::from(number).into(),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V4 => "IPv4",
            Version::V6 => "IPv6",
        })
    }
}

/// An address as a number.
pub fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// An address and its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// An address, and how many of its bits are the network's, which are at most all of them.
    pub fn new(ip: IpAddr, prefix: u8) -> Network {
        let most = Version::of(ip).bits();
        Network(IpNet::new_assert(ip, prefix.min(most)))
    }

    /// All addresses of a version.
    pub fn everything(version: Version) -> Network {
        Network::new(version.unspecified(), 0)
    }

    /// The address, with all its bits.
    pub fn ip(self) -> IpAddr {
        self.0.addr()
    }

    /// How many of them are the network's.
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// The version of its addresses.
    pub fn version(self) -> Version {
        Version::of(self.ip())
    }

    /// Its first address, which is the network's own.
    pub fn first(self) -> IpAddr {
        self.0.network()
    }

    /// Its last address, for broadcasts.
    pub fn last(self) -> IpAddr {
        self.0.broadcast()
    }

    /// Whether the address is in it.
    pub fn has(self, ip: IpAddr) -> bool {
        self.0.contains(&ip)
    }

    /// The network, without the bits that are a host's.
    #[must_use]
    pub fn whole(self) -> Network {
        Network(self.0.trunc())
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        text.parse()
            .map(Network)
            .map_err(|_| format!("{text:?} is not an address with a prefix, like \"10.0.0.1/24\""))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads what has a text.
struct Text<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Text(std::marker::PhantomData))
            }
        }
    )*};
}
as_text!(Time, Rate, Part, Bytes, Network);

/// A time as its number of nanoseconds, where it is not for people.
pub mod nanoseconds {
    use super::Time;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        time.0.serialize(to)
    }

    /// Reads it.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        u64::deserialize(from).map(Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_units() {
        assert_eq!("1.5ms".parse(), Ok(Time(1_500_000)));
        assert_eq!("2 m".parse(), Ok(Time(120_000_000_000)));
        assert_eq!("10mbit".parse(), Ok(Rate(10_000_000)));
        assert_eq!("0.5%".parse(), Ok(Part(0.005)));
        assert_eq!("64KiB".parse(), Ok(Bytes(65_536)));
        let network: Network = "10.1.2.3/22".parse().unwrap();
        assert_eq!(network.whole().to_string(), "10.1.0.0/22");
        assert_eq!(network.last(), IpAddr::from([10, 1, 3, 255]));
        let network: Network = "2001:db8::7/64".parse().unwrap();
        assert_eq!(network.whole().to_string(), "2001:db8::/64");
        assert!(network.has("2001:db8::ffff:0:0:1".parse().unwrap()));
        assert!(!network.has(IpAddr::from([10, 1, 3, 255])));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_what_is_one() {
        let time = |text: &str| text.parse::<Time>().unwrap_err();
        assert_eq!(time("10"), "\"10\" has no unit; units are ns, us, ms, s, m, h");
        assert_eq!(
            time("10 sec"),
            "\"sec\" is no unit here; units are ns, us, ms, s, m, h"
        );
        assert_eq!(time("ms"), "\"ms\" is not a quantity like \"10ms\"");
        assert_eq!(time("-1s"), "\"-1s\" is not a quantity like \"10ms\"");
        assert_eq!(time("1.2.3s"), "\"1.2.3s\" is not a quantity like \"10ms\"");
        assert_eq!(time("99999999999h"), "\"99999999999h\" is out of range");
        assert!("101%".parse::<Part>().is_err());
        assert!("NaN%".parse::<Part>().is_err());
        assert!("1bit".parse::<Rate>().is_err());
        assert!("10.0.0.1/33".parse::<Network>().is_err());
        assert!("::1/129".parse::<Network>().is_err());
    }
}
