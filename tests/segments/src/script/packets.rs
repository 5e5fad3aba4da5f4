//! Packets: `[ect0] 40000 > 8080 SEW 0:0(0) ack 1 win 100 urg 1 <mss 1460,nop>`, and ICMP errors.

use super::{Cursor, Fault};

/// A packet of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What is said of its IP header and of its defects.
    pub ip: IpMarks,
    /// The rest.
    pub body: Body,
}

/// A TCP segment or an ICMP error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A segment.
    Tcp(Tcp),
    /// `icmp unreachable frag_needed mtu 1200 [1:1001(1000)]`
    Icmp(Icmp),
}

/// The ECN field of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ecn {
    /// `noecn`
    None,
    /// `ect0`
    Ect0,
    /// `ect1`
    Ect1,
    /// `ect01`: either. Of outbound packets alone.
    Ect01,
    /// `ce`
    Ce,
}

/// What is in brackets before a packet. The last four are this runner's own, of inbound packets alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IpMarks {
    /// The ECN field.
    pub ecn: Option<Ecn>,
    /// `bad_checksum`: TCP's checksum is wrong.
    pub bad_checksum: bool,
    /// `data_offset N`: what TCP's header says of its length, in words of 4 bytes.
    pub data_offset: Option<u8>,
    /// `truncate N`: no more than so many bytes of the packet come.
    pub truncate: Option<usize>,
    /// `length N`: what IP's header says of its length.
    pub length: Option<u16>,
}

/// TCP's flags, as bits of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

impl Flags {
    /// FIN
    pub const FIN: u16 = 1;
    /// SYN
    pub const SYN: u16 = 2;
    /// RST
    pub const RST: u16 = 4;
    /// PSH
    pub const PSH: u16 = 8;
    /// ACK, a dot in scripts.
    pub const ACK: u16 = 16;
    /// URG
    pub const URG: u16 = 32;
    /// ECE
    pub const ECE: u16 = 64;
    /// CWR, a W in scripts.
    pub const CWR: u16 = 128;

    const LETTERS: [(char, u16); 8] = [
        ('F', Flags::FIN),
        ('S', Flags::SYN),
        ('R', Flags::RST),
        ('P', Flags::PSH),
        ('E', Flags::ECE),
        ('W', Flags::CWR),
        ('U', Flags::URG),
        ('.', Flags::ACK),
    ];

    /// Whether one of these bits is set.
    pub fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
}

impl std::fmt::Display for Flags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 {
            return f.write_str("-");
        }
        let set = Flags::LETTERS.iter().filter(|(_, bit)| self.has(*bit));
        set.map(|(letter, _)| *letter)
            .try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// `first:end(len)`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first byte's sequence number.
    pub first: u32,
    /// How many bytes.
    pub len: u16,
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.first.wrapping_add(self.len.into());
        write!(f, "{}:{end}({})", self.first, self.len)
    }
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// Source and destination, if the script names them.
    pub ports: Option<(u16, u16)>,
    /// Its flags.
    pub flags: Flags,
    /// Its sequence numbers, since the sender's first one but in a SYN.
    pub range: Range,
    /// What it acknowledges.
    pub ack: Option<u32>,
    /// The field, as it is on the wire.
    pub window: Option<u16>,
    /// The urgent pointer.
    pub urgent: Option<u16>,
    /// `None`: `<...>`, whatever there is.
    pub options: Option<Vec<TcpOption>>,
}

/// An option of TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpOption {
    /// `nop`
    Nop,
    /// `eol`
    Eol,
    /// `mss 1460`
    Mss(u16),
    /// `wscale 8`
    WindowScale(u8),
    /// `sackOK`
    SackPermitted,
    /// `sack 1:1001 2001:3001`
    Sack(Vec<(u32, u32)>),
    /// `TS val 100 ecr 0`
    Timestamp {
        /// The sender's clock.
        val: u32,
        /// The other one's, returned.
        ecr: u32,
    },
    /// `FO`, `FO abcd1234`
    FastOpen(Vec<u8>),
    /// `md5 00..0f`
    Md5(Vec<u8>),
    /// Another one, with its kind; only in what Linux sends.
    Other(u8, Vec<u8>),
}

impl std::fmt::Display for TcpOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        match self {
            TcpOption::Nop => f.write_str("nop"),
            TcpOption::Eol => f.write_str("eol"),
            TcpOption::Mss(mss) => write!(f, "mss {mss}"),
            TcpOption::WindowScale(shift) => write!(f, "wscale {shift}"),
            TcpOption::SackPermitted => f.write_str("sackOK"),
            TcpOption::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(from, to)| write!(f, " {from}:{to}"))
            }
            TcpOption::Timestamp { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            TcpOption::FastOpen(cookie) if cookie.is_empty() => f.write_str("FO"),
            TcpOption::FastOpen(cookie) => write!(f, "FO {}", hex(cookie)),
            TcpOption::Md5(digest) => write!(f, "md5 {}", hex(digest)),
            TcpOption::Other(kind, bytes) => write!(f, "option {kind} {}", hex(bytes)),
        }
    }
}

/// An ICMP error, inbound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Icmp {
    /// Its type.
    pub kind: IcmpKind,
    /// The next hop's MTU.
    pub mtu: Option<u32>,
    /// The part of the connection that it complains about.
    pub about: Range,
}

/// The errors that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpKind {
    /// `unreachable frag_needed` of IPv4, `packet_too_big` of IPv6; each name means the version's own.
    TooBig,
    /// `unreachable host_unreachable`
    HostUnreachable,
    /// `unreachable port_unreachable`
    PortUnreachable,
    /// `unreachable admin_prohibited`
    Prohibited,
}

/// Parses what stands behind `<` or `>`.
pub fn packet(cursor: &mut Cursor<'_>) -> Result<Packet, Fault> {
    let ip = marks(cursor)?;
    let body = if cursor.eat_word("icmp")? {
        Body::Icmp(icmp(cursor)?)
    } else {
        Body::Tcp(tcp(cursor)?)
    };
    Ok(Packet { ip, body })
}

fn marks(cursor: &mut Cursor<'_>) -> Result<IpMarks, Fault> {
    let mut marks = IpMarks::default();
    if !cursor.eat("[")? {
        return Ok(marks);
    }
    loop {
        cursor.skip_space()?;
        let here = cursor.clone();
        match cursor.word().unwrap_or("") {
            "noecn" => marks.ecn = Some(Ecn::None),
            "ect0" => marks.ecn = Some(Ecn::Ect0),
            "ect1" => marks.ecn = Some(Ecn::Ect1),
            "ect01" => marks.ecn = Some(Ecn::Ect01),
            "ce" => marks.ecn = Some(Ecn::Ce),
            "bad_checksum" => marks.bad_checksum = true,
            "data_offset" => marks.data_offset = Some(cursor.number_of()?),
            "truncate" => marks.truncate = Some(cursor.number_of()?),
            "length" => marks.length = Some(cursor.number_of()?),
            _ => return Err(here.expected("ECN's name or a defect")),
        }
        if cursor.eat("]")? {
            return Ok(marks);
        }
        cursor.need(",")?;
    }
}

fn range(cursor: &mut Cursor<'_>) -> Result<Range, Fault> {
    cursor.skip_space()?;
    let here = cursor.clone();
    let first: u32 = cursor.number_of()?;
    cursor.need(":")?;
    let end: u32 = cursor.number_of()?;
    cursor.need("(")?;
    let len: u16 = cursor.number_of()?;
    cursor.need(")")?;
    let distance = end.wrapping_sub(first);
    if distance != len.into() {
        return Err(here.fault(format!("from {first} to {end} are {distance} bytes, not {len}")));
    }
    Ok(Range { first, len })
}

fn tcp(cursor: &mut Cursor<'_>) -> Result<Tcp, Fault> {
    let ports = ports(cursor)?;
    let flags = flags(cursor)?;
    let range = range(cursor)?;
    let mut tcp = Tcp {
        ports,
        flags,
        range,
        ack: None,
        window: None,
        urgent: None,
        options: Some(Vec::new()),
    };
    if cursor.eat_word("ack")? {
        tcp.ack = Some(cursor.number_of()?);
    }
    if cursor.eat_word("win")? {
        tcp.window = Some(cursor.number_of()?);
    }
    if cursor.eat_word("urg")? {
        tcp.urgent = Some(cursor.number_of()?);
    }
    if cursor.eat("<")? {
        tcp.options = options(cursor)?;
    }
    if tcp.ack.is_some() != flags.has(Flags::ACK) {
        return Err(cursor.fault("'ack' and the flag '.' go together"));
    }
    Ok(tcp)
}

/// `40000 > 8080`, before the flags.
fn ports(cursor: &mut Cursor<'_>) -> Result<Option<(u16, u16)>, Fault> {
    cursor.skip_space()?;
    if !cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        return Ok(None);
    }
    let source = cursor.number_of()?;
    cursor.need(">")?;
    Ok(Some((source, cursor.number_of()?)))
}

fn flags(cursor: &mut Cursor<'_>) -> Result<Flags, Fault> {
    cursor.skip_space()?;
    let here = cursor.clone();
    let text = cursor.take_while(|c| !c.is_whitespace());
    if text == "-" {
        return Ok(Flags(0));
    }
    let mut flags = Flags::default();
    for letter in text.chars() {
        let known = Flags::LETTERS.iter().find(|(known, _)| *known == letter);
        let (_, bit) = known.ok_or_else(|| here.expected("flags of TCP's (F S R P E W U . or -)"))?;
        flags.0 |= bit;
    }
    if text.is_empty() {
        return Err(here.expected("flags of TCP's"));
    }
    Ok(flags)
}

/// `None`: `<...>`.
fn options(cursor: &mut Cursor<'_>) -> Result<Option<Vec<TcpOption>>, Fault> {
    if cursor.eat("...")? {
        cursor.need(">")?;
        return Ok(None);
    }
    let mut options = Vec::new();
    loop {
        options.push(option(cursor)?);
        if cursor.eat(">")? {
            return Ok(Some(options));
        }
        cursor.need(",")?;
    }
}

fn option(cursor: &mut Cursor<'_>) -> Result<TcpOption, Fault> {
    cursor.skip_space()?;
    let here = cursor.clone();
    let name = cursor.word().ok_or_else(|| here.expected("a TCP option"))?;
    Ok(match name {
        "nop" => TcpOption::Nop,
        "eol" => TcpOption::Eol,
        "mss" => TcpOption::Mss(cursor.number_of()?),
        "wscale" => TcpOption::WindowScale(cursor.number_of()?),
        "sackOK" => TcpOption::SackPermitted,
        "sack" => {
            let mut blocks = Vec::new();
            while {
                cursor.skip_space()?;
                cursor.peek().is_some_and(|c| c.is_ascii_digit())
            } {
                let from = cursor.number_of()?;
                cursor.need(":")?;
                blocks.push((from, cursor.number_of()?));
            }
            TcpOption::Sack(blocks)
        }
        "TS" => {
            let part = |cursor: &mut Cursor<'_>, name| {
                if cursor.eat_word(name)? {
                    cursor.number_of()
                } else {
                    Err(cursor.expected(name))
                }
            };
            TcpOption::Timestamp {
                val: part(cursor, "val")?,
                ecr: part(cursor, "ecr")?,
            }
        }
        "FO" => TcpOption::FastOpen(hex(cursor)?),
        "md5" => TcpOption::Md5(hex(cursor)?),
        other => return Err(here.fault(format!("there is no TCP option '{other}'"))),
    })
}

fn hex(cursor: &mut Cursor<'_>) -> Result<Vec<u8>, Fault> {
    cursor.skip_space()?;
    let here = cursor.clone();
    let digits = cursor.take_while(|c| c.is_ascii_hexdigit());
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).unwrap_or("");
        (pair.len() == 2)
            .then(|| u8::from_str_radix(pair, 16).ok())
            .flatten()
    });
    pairs
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| here.fault("an odd number of hexadecimal digits"))
}

fn icmp(cursor: &mut Cursor<'_>) -> Result<Icmp, Fault> {
    cursor.skip_space()?;
    let here = cursor.clone();
    let kind = match cursor.word().unwrap_or("") {
        "packet_too_big" => IcmpKind::TooBig,
        "unreachable" => {
            cursor.skip_space()?;
            let here = cursor.clone();
            match cursor.word().unwrap_or("") {
                "frag_needed" => IcmpKind::TooBig,
                "host_unreachable" => IcmpKind::HostUnreachable,
                "port_unreachable" => IcmpKind::PortUnreachable,
                "admin_prohibited" => IcmpKind::Prohibited,
                _ => return Err(here.expected("a code of 'unreachable'")),
            }
        }
        _ => return Err(here.expected("'unreachable' or 'packet_too_big'")),
    };
    let mtu = if cursor.eat_word("mtu")? {
        Some(cursor.number_of()?)
    } else {
        None
    };
    cursor.need("[")?;
    let about = range(cursor)?;
    cursor.need("]")?;
    Ok(Icmp { kind, mtu, about })
}
