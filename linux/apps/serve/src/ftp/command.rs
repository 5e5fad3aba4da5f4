//! Commands: a line of a client's as what it asks for.
//!
//! A line is a verb of letters, and behind one space an argument. Paths are bytes and taken as they are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::change::{self, Change};

/// What a client asks for. Paths are not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the protocol's verbs
pub enum Command {
    User(Vec<u8>),
    Pass(Vec<u8>),
    Cwd(Vec<u8>),
    Cdup,
    Pwd,
    Quit,
    Noop,
    Syst,
    Feat,
    Help(Option<Verb>),
    Opts(Vec<u8>),
    Type(Representation),
    Stru,
    Mode,
    Port(SocketAddr),
    Pasv,
    Epsv(Extended),
    Rest(u64),
    Retr(Vec<u8>),
    Size(Vec<u8>),
    Mdtm(Vec<u8>),
    List(Vec<u8>),
    Nlst(Vec<u8>),
    Mlsd(Vec<u8>),
    Mlst(Vec<u8>),
    Stat(Vec<u8>),
    Abor,
    /// Bytes that are to come.
    Allo(u64),
    Auth(Vec<u8>),
    Pbsz,
    Prot(Protection),
    /// One that changes something.
    Change(Change),
}

/// A verb: letters in upper case.
pub type Verb = String;

/// How bytes of a file are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Representation {
    /// Lines end with CR LF on the way.
    Text,
    /// As they are.
    Image,
}

/// What EPSV asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// A port.
    Any,
    /// A port of IPv4.
    Four,
    /// A port of IPv6.
    Six,
    /// A promise: the client uses no other command for it.
    All,
}

/// Whether data connections are TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// They are not.
    Clear,
    /// They are.
    Private,
}

/// Why a line is no command: the answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The reply's code.
    pub code: u16,
    /// Its text.
    pub text: String,
}

/// What HELP lists.
pub const VERBS: &[&str] = &[
    "ABOR", "ALLO", "APPE", "AUTH", "CDUP", "CWD", "DELE", "EPRT", "EPSV", "FEAT", "HELP", "LIST", "MDTM",
    "MFMT", "MKD", "MLSD", "MLST", "MODE", "NLST", "NOOP", "OPTS", "PASS", "PASV", "PBSZ", "PORT", "PROT",
    "PWD", "QUIT", "REST", "RETR", "RMD", "RNFR", "RNTO", "SITE", "SIZE", "STAT", "STOR", "STOU", "STRU",
    "SYST", "TYPE", "USER", "XCUP", "XCWD", "XMKD", "XPWD", "XRMD",
];

pub(super) fn wrong(code: u16, text: impl Into<String>) -> Wrong {
    let text = text.into();
    Wrong { code, text }
}

/// Reads a line, without its end.
pub fn parse(line: &[u8]) -> Result<Command, Wrong> {
    let (verb, argument) = match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, &line[line.len()..]),
    };
    if verb.is_empty() || verb.len() > 8 || !verb.iter().all(u8::is_ascii_alphabetic) {
        return Err(wrong(500, "That is no command; see HELP."));
    }
    let verb = String::from_utf8_lossy(verb).to_ascii_uppercase();
    let bytes = || argument.to_vec();
    let needed = || match argument {
        [] => Err(wrong(501, format!("{verb} needs an argument."))),
        argument => Ok(argument.to_vec()),
    };
    Ok(match &verb[..] {
        "USER" => Command::User(needed()?),
        "PASS" => Command::Pass(bytes()),
        "CWD" | "XCWD" => Command::Cwd(needed()?),
        "CDUP" | "XCUP" => Command::Cdup,
        "PWD" | "XPWD" => Command::Pwd,
        "QUIT" => Command::Quit,
        "NOOP" => Command::Noop,
        "SYST" => Command::Syst,
        "FEAT" => Command::Feat,
        "HELP" => Command::Help(word(argument).map(|word| word.to_ascii_uppercase())),
        "OPTS" => Command::Opts(needed()?),
        "TYPE" => Command::Type(representation(&needed()?)?),
        "STRU" => only(&needed()?, b"F", "files without records").map(|()| Command::Stru)?,
        "MODE" => only(&needed()?, b"S", "the stream mode").map(|()| Command::Mode)?,
        "PORT" => Command::Port(port(&needed()?).ok_or_else(|| wrong(501, "PORT h1,h2,h3,h4,p1,p2"))?),
        "EPRT" => Command::Port(extended_port(&needed()?)?),
        "PASV" => Command::Pasv,
        "EPSV" => Command::Epsv(extended(argument)?),
        "REST" => {
            Command::Rest(number(&needed()?).ok_or_else(|| wrong(501, "REST needs a number of bytes."))?)
        }
        "RETR" => Command::Retr(needed()?),
        "SIZE" => Command::Size(needed()?),
        "MDTM" => Command::Mdtm(needed()?),
        "LIST" => Command::List(without_options(argument)),
        "NLST" => Command::Nlst(without_options(argument)),
        "MLSD" => Command::Mlsd(bytes()),
        "MLST" => Command::Mlst(bytes()),
        "STAT" => Command::Stat(without_options(argument)),
        "ABOR" => Command::Abor,
        "ALLO" => Command::Allo(allocation(argument)?),
        "AUTH" => Command::Auth(needed()?.to_ascii_uppercase()),
        "PBSZ" => match number(&needed()?) {
            Some(_) => Command::Pbsz,
            None => return Err(wrong(501, "PBSZ needs a number.")),
        },
        "PROT" => match &needed()?.to_ascii_uppercase()[..] {
            b"C" => Command::Prot(Protection::Clear),
            b"P" => Command::Prot(Protection::Private),
            b"S" | b"E" => return Err(wrong(536, "TLS knows PROT C and PROT P only.")),
            _ => return Err(wrong(504, "PROT C or PROT P.")),
        },
        other if change::VERBS.contains(&other) => Command::Change(change::parse(other, argument)?),
        _ => return Err(wrong(502, format!("{verb} is not known here; see HELP."))),
    })
}

/// The first word of an argument, if it is one of letters.
fn word(argument: &[u8]) -> Option<&str> {
    let word = argument.trim_ascii().split(|byte| *byte == b' ').next()?;
    let word = str::from_utf8(word).ok()?;
    (!word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphabetic())).then_some(word)
}

fn representation(argument: &[u8]) -> Result<Representation, Wrong> {
    let argument = argument.trim_ascii().to_ascii_uppercase();
    match &argument[..] {
        b"A" | b"A N" => Ok(Representation::Text),
        b"I" | b"L 8" | b"L8" => Ok(Representation::Image),
        _ => Err(wrong(504, "TYPE A or TYPE I.")),
    }
}

fn only(argument: &[u8], expected: &[u8], what: &str) -> Result<(), Wrong> {
    if argument.trim_ascii().eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(wrong(504, format!("There is only {what}.")))
}

pub(super) fn number(argument: &[u8]) -> Option<u64> {
    let digits = argument.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// `1000`, and of RFC 959 also `1000 R 80`, where records count that there are none of here.
fn allocation(argument: &[u8]) -> Result<u64, Wrong> {
    let first = argument.trim_ascii().split(|byte| *byte == b' ').next();
    first
        .and_then(number)
        .ok_or_else(|| wrong(501, "ALLO needs a number of bytes."))
}

/// `h1,h2,h3,h4,p1,p2`.
fn port(argument: &[u8]) -> Option<SocketAddr> {
    let mut bytes = [0u8; 6];
    let mut parts = argument.trim_ascii().split(|byte| *byte == b',');
    for place in &mut bytes {
        *place = u8::try_from(number(parts.next()?)?).ok()?;
    }
    if parts.next().is_some() {
        return None;
    }
    let [a, b, c, d, high, low] = bytes;
    let address = Ipv4Addr::new(a, b, c, d);
    Some(SocketAddr::new(address.into(), u16::from_be_bytes([high, low])))
}

/// `|1|192.0.2.1|6275|` or `|2|2001:db8::1|6275|`, with any mark in place of the bars.
fn extended_port(argument: &[u8]) -> Result<SocketAddr, Wrong> {
    let bad = || wrong(501, "EPRT |1 or 2|address|port|");
    let mark = *argument
        .first()
        .filter(|byte| byte.is_ascii_graphic())
        .ok_or_else(bad)?;
    let parts: Vec<&[u8]> = argument.split(|byte| *byte == mark).collect();
    let [b"", kind, address, port, b""] = parts[..] else {
        return Err(bad());
    };
    let address: IpAddr = str::from_utf8(address)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(bad)?;
    let port = number(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(bad)?;
    match (kind, address) {
        (b"1", IpAddr::V4(_)) | (b"2", IpAddr::V6(_)) => Ok(SocketAddr::new(address.to_canonical(), port)),
        (b"1" | b"2", _) => Err(bad()),
        _ => Err(wrong(522, "That network is not known here; use (1,2).")),
    }
}

fn extended(argument: &[u8]) -> Result<Extended, Wrong> {
    match &argument.trim_ascii().to_ascii_uppercase()[..] {
        b"" => Ok(Extended::Any),
        b"1" => Ok(Extended::Four),
        b"2" => Ok(Extended::Six),
        b"ALL" => Ok(Extended::All),
        _ => Err(wrong(522, "That network is not known here; use (1,2).")),
    }
}

/// The path behind the options of `ls` that clients send with a listing (`LIST -al /path`).
fn without_options(argument: &[u8]) -> Vec<u8> {
    let mut rest = argument.trim_ascii_start();
    while let [b'-', letter, ..] = rest
        && letter.is_ascii_alphanumeric()
    {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        if !rest[1..end].iter().all(u8::is_ascii_alphanumeric) {
            break;
        }
        rest = rest[end..].trim_ascii_start();
    }
    rest.to_vec()
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
