//! Values of a script as what Linux takes and gives: numbers, addresses, the values of options.

use crate::run::Settings;
use crate::script::Fault;
use crate::script::values::{Argument, Value};
use std::net::{IpAddr, SocketAddr};

use super::names;

/// The number that a value is.
pub fn number(argument: &Argument, settings: &Settings) -> Result<i64, Fault> {
    match &argument.value {
        Value::Number(number) => Ok(*number),
        Value::Word(name) => names::constant(name, &settings.defines)
            .ok_or_else(|| argument.fault(format!("the constant '{name}' is not known"))),
        Value::Or(all) => all
            .iter()
            .try_fold(0, |sum, one| Ok(sum | number(one, settings)?)),
        Value::Of(name, arguments) => match (name.as_str(), arguments.as_slice()) {
            ("htons" | "ntohs" | "htonl", [one]) => number(one, settings),
            _ => Err(argument.fault(format!("'{name}' is not known here"))),
        },
        _ => Err(argument.fault("this should be a number")),
    }
}

/// A number of 32 bits, of either sign.
pub fn word(argument: &Argument, settings: &Settings) -> Result<i32, Fault> {
    let number = number(argument, settings)?;
    i32::try_from(number)
        .or_else(|_| u32::try_from(number).map(u32::cast_signed))
        .map_err(|_| argument.fault(format!("{number} does not fit into 32 bits")))
}

/// A length: not negative, and not so long that it is a mistake.
pub fn length(argument: &Argument, settings: &Settings) -> Result<usize, Fault> {
    let number = number(argument, settings)?;
    match usize::try_from(number) {
        Ok(len) if len <= 64 << 20 => Ok(len),
        _ => Err(argument.fault(format!("{number} is no length"))),
    }
}

/// The address that a value is; `...` is the one that is usual.
pub fn address(argument: &Argument, usual: SocketAddr, settings: &Settings) -> Result<SocketAddr, Fault> {
    if argument.is_any() {
        return Ok(usual);
    }
    let either = |names: [&str; 2]| -> Result<Option<&Argument>, Fault> {
        Ok(argument.field(names[0])?.or(argument.field(names[1])?))
    };
    let port = match either(["sin_port", "sin6_port"])? {
        Some(port) => u16::try_from(number(port, settings)?).map_err(|_| port.fault("this is no port"))?,
        None => usual.port(),
    };
    let ip = match either(["sin_addr", "sin6_addr"])? {
        Some(ip) => match &ip.value {
            Value::Of(_, arguments) => match arguments.last().map(|last| &last.value) {
                Some(Value::Text(text)) => text
                    .parse::<IpAddr>()
                    .map_err(|_| ip.fault("this is no address"))?,
                _ => return Err(ip.fault("this should be an address, inet_addr(\"...\")")),
            },
            Value::Any => usual.ip(),
            _ => return Err(ip.fault("this should be an address, inet_addr(\"...\")")),
        },
        None => usual.ip(),
    };
    Ok(SocketAddr::new(ip, port))
}

/// `struct sockaddr_in` or `struct sockaddr_in6`.
pub fn sockaddr(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => {
            let family = (libc::AF_INET as u16).to_ne_bytes();
            [&family[..], &port, &ip.octets(), &[0; 8]].concat()
        }
        IpAddr::V6(ip) => {
            let family = (libc::AF_INET6 as u16).to_ne_bytes();
            [&family[..], &port, &[0; 4], &ip.octets(), &[0; 4]].concat()
        }
    }
}

/// The port in a `struct sockaddr_in` or `sockaddr_in6`.
pub fn port_of(sockaddr: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(sockaddr.get(2..4)?.try_into().ok()?))
}

/// The bytes of an option's value: `[1]`, `"reno"`, `{onoff=1, linger=0}`, `{tv_sec=1, tv_usec=0}`.
pub fn option(argument: &Argument, settings: &Settings) -> Result<Vec<u8>, Fault> {
    match &argument.value {
        Value::List(list) => {
            let words = list.iter().map(|one| word(one, settings));
            let words = words.collect::<Result<Vec<i32>, Fault>>()?;
            Ok(words.into_iter().flat_map(i32::to_ne_bytes).collect())
        }
        Value::Text(text) => Ok(text.as_bytes().to_vec()),
        Value::Struct(_) if argument.field("onoff")?.is_some() => {
            let [on, seconds] = ["onoff", "linger"].map(|name| word(argument.need(name)?, settings));
            Ok([on?.to_ne_bytes(), seconds?.to_ne_bytes()].concat())
        }
        Value::Struct(_) => {
            let [seconds, micros] = ["tv_sec", "tv_usec"].map(|name| number(argument.need(name)?, settings));
            Ok([seconds?.to_ne_bytes(), micros?.to_ne_bytes()].concat())
        }
        _ => Err(argument.fault("this should be an option's value: [1], \"reno\" or {...}")),
    }
}
