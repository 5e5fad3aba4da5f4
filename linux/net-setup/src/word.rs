//! Values of LKL's configuration, each written as text, in JSON also as a number or a truth value.

use lkl_netdev::MacAddress;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

/// What a text can be taken for.
pub(crate) trait FromWord: Sized {
    /// The value, or what is to be written.
    fn from_word(text: &str) -> Result<Self, String>;
}

/// A value in JSON that is a text, or that is written without quotes.
#[derive(Debug, Clone)]
pub(crate) struct Word<T>(pub T);

impl<'de, T: FromWord> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Taker<T>(PhantomData<T>);
        impl<T: FromWord> Visitor<'_> for Taker<T> {
            type Value = Word<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Word<T>, E> {
                T::from_word(text.trim()).map(Word).map_err(E::custom)
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Word<T>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Word<T>, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_bool<E: Error>(self, yes: bool) -> Result<Word<T>, E> {
                self.visit_str(if yes { "1" } else { "0" })
            }
        }
        deserializer.deserialize_any(Taker(PhantomData))
    }
}

impl FromWord for String {
    fn from_word(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl FromWord for IpAddr {
    fn from_word(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{text:?} is no address; one is written as 192.0.2.7 or 2001:db8::7"))
    }
}

impl FromWord for MacAddress {
    fn from_word(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error| format!("{text:?}: {error}"))
    }
}

/// A number, also as `0x10`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Any number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(pub u64);

impl FromWord for Number {
    fn from_word(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no number; write 7 or 0x7");
        number(text).map(Number).ok_or_else(wrong)
    }
}

/// Whether something is on: any number but 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switch(pub bool);

impl FromWord for Switch {
    fn from_word(text: &str) -> Result<Self, String> {
        Ok(Switch(Number::from_word(text)?.0 != 0))
    }
}

/// Bits of an address that are the network's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefix(pub u8);

impl FromWord for Prefix {
    fn from_word(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no length of a prefix; write 1 to 32, or to 128 for IPv6");
        let prefix = text.parse().map_err(|_| wrong())?;
        match prefix {
            1..=128 => Ok(Prefix(prefix)),
            _ => Err(wrong()),
        }
    }
}

/// Bytes of the longest packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mtu(pub u32);

impl FromWord for Mtu {
    fn from_word(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(mtu @ 68..=65_535) => Ok(Mtu(mtu)),
            _ => Err(format!("{text:?} is no length of a packet; write 68 to 65535")),
        }
    }
}

/// Parts of a text that has separators.
fn parts<'a>(text: &'a str, separator: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(separator)
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// `a,b,c`
#[derive(Debug, Clone, Default)]
pub(crate) struct List<T>(pub Vec<T>);

impl<T: FromWord> FromWord for List<T> {
    fn from_word(text: &str) -> Result<Self, String> {
        parts(text, &[',', ' '])
            .map(T::from_word)
            .collect::<Result<_, _>>()
            .map(List)
    }
}

/// `key=value;key=value`
#[derive(Debug, Clone, Default)]
pub(crate) struct Sysctls(pub Vec<(String, String)>);

impl FromWord for Sysctls {
    fn from_word(text: &str) -> Result<Self, String> {
        let pair = |part: &str| {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?}: write KEY=VALUE, with ; between them"))?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        };
        parts(text, &[';'])
            .map(pair)
            .collect::<Result<_, _>>()
            .map(Sysctls)
    }
}

/// `ip|mac;ip|mac`
#[derive(Debug, Clone, Default)]
pub(crate) struct Neighbours(pub Vec<(IpAddr, MacAddress)>);

impl FromWord for Neighbours {
    fn from_word(text: &str) -> Result<Self, String> {
        let pair = |part: &str| {
            let (ip, mac) = part
                .split_once('|')
                .ok_or_else(|| format!("{part:?}: write ADDRESS|HARDWARE ADDRESS, with ; between them"))?;
            Ok((IpAddr::from_word(ip.trim())?, MacAddress::from_word(mac.trim())?))
        };
        parts(text, &[';'])
            .map(pair)
            .collect::<Result<_, _>>()
            .map(Neighbours)
    }
}

/// `root|fq`
#[derive(Debug, Clone)]
pub(crate) struct RootQueue(pub String);

impl FromWord for RootQueue {
    fn from_word(text: &str) -> Result<Self, String> {
        match text.trim_end_matches(';').split_once('|') {
            Some(("root", kind)) if !kind.is_empty() && !kind.contains(['|', ';']) => {
                Ok(RootQueue(kind.to_owned()))
            }
            _ => Err(format!("{text:?}: write root|KIND, as root|fq")),
        }
    }
}
