//! Quantities as a topology writes them: `"10ms"`, `"1.5mbit"`, `"1%"`, `"64KiB"`, `"10.0.0.0/8"`.

use serde::de::{Deserializer, Error, Visitor};
use std::fmt;
use std::net::Ipv4Addr;
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

/// An address and its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address, with all its bits.
    pub ip: Ipv4Addr,
    /// How many of them are the network's.
    pub prefix: u8,
}

impl Network {
    /// The bits that are the network's.
    pub fn mask(prefix: u8) -> u32 {
        u32::MAX
            .checked_shl(32u32.saturating_sub(prefix.into()))
            .unwrap_or(0)
    }

    /// Its first address, which is the network's own.
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.ip) & Network::mask(self.prefix))
    }

    /// Its last address, for broadcasts.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.ip) | !Network::mask(self.prefix))
    }

    /// Whether the address is in it.
    pub fn has(self, ip: Ipv4Addr) -> bool {
        (self.first()..=self.last()).contains(&ip)
    }

    /// The network, without the bits that are a host's.
    #[must_use]
    pub fn whole(self) -> Network {
        Network {
            ip: self.first(),
            prefix: self.prefix,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let parts = text.split_once('/').and_then(|(ip, prefix)| {
            let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
            Some(Network {
                ip: ip.parse().ok()?,
                prefix,
            })
        });
        parts.ok_or_else(|| format!("{text:?} is not an address with a prefix, like \"10.0.0.1/24\""))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
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
        assert_eq!(network.last(), Ipv4Addr::new(10, 1, 3, 255));
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
    }
}
