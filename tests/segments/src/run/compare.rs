//! A segment that Linux has sent, beside the one that the script has.

use crate::script::packets::{Body, Ecn, Flags, IpMarks, Packet, Tcp, TcpOption};
use crate::segment::{Segment, byte_at};

/// A segment as scripts write it. `like` says which of what a script may leave out is shown.
pub fn shown(ip: &IpMarks, tcp: &Tcp, like: Option<&Tcp>) -> String {
    let mut text = String::new();
    if let Some(ecn) = ip.ecn.filter(|ecn| *ecn != Ecn::None) {
        let name = match ecn {
            Ecn::None => "noecn",
            Ecn::Ect0 => "ect0",
            Ecn::Ect1 => "ect1",
            Ecn::Ect01 => "ect01",
            Ecn::Ce => "ce",
        };
        text.push_str(&format!("[{name}] "));
    }
    if let Some((source, destination)) = tcp.ports.filter(|_| like.is_none_or(|like| like.ports.is_some())) {
        text.push_str(&format!("{source} > {destination} "));
    }
    text.push_str(&format!("{} {}", tcp.flags, tcp.range));
    if let Some(ack) = tcp.ack {
        text.push_str(&format!(" ack {ack}"));
    }
    if let Some(window) = tcp
        .window
        .filter(|_| like.is_none_or(|like| like.window.is_some()))
    {
        text.push_str(&format!(" win {window}"));
    }
    if let Some(urgent) = tcp.urgent {
        text.push_str(&format!(" urg {urgent}"));
    }
    match &tcp.options {
        None => text.push_str(" <...>"),
        Some(options) if options.is_empty() => {}
        Some(options) => {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            text.push_str(&format!(" <{}>", options.join(",")));
        }
    }
    text
}

/// What Linux has sent, in a script's numbers.
pub fn shown_packet(packet: &Packet) -> String {
    match &packet.body {
        Body::Tcp(tcp) => shown(&packet.ip, tcp, None),
        Body::Icmp(_) => "an ICMP error".into(),
    }
}

/// Whether time stamps are to be compared too.
fn same_option(wanted: &TcpOption, seen: &TcpOption, stamps: bool) -> bool {
    match (wanted, seen) {
        (TcpOption::Timestamp { ecr: one, val }, TcpOption::Timestamp { ecr: two, val: its }) => {
            one == two && (!stamps || val == its)
        }
        (one, two) => one == two,
    }
}

/// What differs: nothing, or its names.
pub fn differences(wanted: &Packet, seen: &Packet, stamps: bool) -> Vec<&'static str> {
    let (Body::Tcp(want), Body::Tcp(see)) = (&wanted.body, &seen.body) else {
        return vec!["the protocol"];
    };
    let mut differ = Vec::new();
    let mut look = |same: bool, name| {
        if !same {
            differ.push(name);
        }
    };
    look(want.ports.is_none() || want.ports == see.ports, "the ports");
    look(want.flags == see.flags, "the flags");
    look(want.range.first == see.range.first, "the sequence number");
    look(want.range.len == see.range.len, "the length");
    look(want.ack == see.ack, "the acknowledgement");
    look(want.window.is_none() || want.window == see.window, "the window");
    look(want.urgent == see.urgent, "the urgent pointer");
    let same_options = match (&want.options, &see.options) {
        (Some(want), Some(see)) => {
            want.len() == see.len()
                && want
                    .iter()
                    .zip(see)
                    .all(|(want, see)| same_option(want, see, stamps))
        }
        _ => true,
    };
    look(same_options, "the options");
    let same_ecn = match (wanted.ip.ecn, seen.ip.ecn) {
        (None, _) => true,
        (Some(Ecn::Ect01), seen) => matches!(seen, Some(Ecn::Ect0 | Ecn::Ect1)),
        (want, see) => want == see,
    };
    look(same_ecn, "the ECN field");
    differ
}

/// Where the data of a segment differ from the stream's; `first` is its sequence number in the script's numbers.
pub fn wrong_byte(segment: &Segment, first: u32) -> Option<u32> {
    let syn = u32::from(segment.flags.has(Flags::SYN));
    let place = first.wrapping_add(syn).wrapping_sub(1);
    let places = (0..segment.payload.len() as u32).map(|offset| place.wrapping_add(offset));
    places
        .zip(&segment.payload)
        .find(|(place, byte)| byte_at(*place) != **byte)
        .map(|(place, _)| place)
}
