//! Names of hosts: a stub resolver, which asks name servers over the sockets of a network.
//!
//! A question goes to the first server by UDP, to the next one when it does not answer or cannot, and by TCP when the answer was too
//! long. Addresses of both versions of IP are asked for; those that there is a route to come first, and of these the ones of
//! IPv6. The servers are a [`Namespace`]'s own ([`Namespace::set_name_servers`]); the host's are never asked.

use crate::namespace::Namespace;
use crate::tcp::TcpStream;
use crate::udp::UdpSocket;
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Whom a network asks for names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServers {
    /// The servers, the first one first.
    pub servers: Vec<SocketAddr>,
    /// Domains that a name without a dot is looked for in.
    pub search: Vec<String>,
    /// How long one server is waited for.
    pub timeout: Duration,
    /// How often each is asked.
    pub attempts: u32,
}

impl Default for NameServers {
    fn default() -> Self {
        NameServers {
            servers: Vec::new(),
            search: Vec::new(),
            timeout: Duration::from_secs(3),
            attempts: 2,
        }
    }
}

impl NameServers {
    /// Servers at the usual port, 53.
    pub fn at(servers: impl IntoIterator<Item = IpAddr>) -> Self {
        NameServers {
            servers: servers.into_iter().map(|ip| (ip, 53).into()).collect(),
            ..NameServers::default()
        }
    }
}

/// The addresses of a name, asked by the current [`Namespace`].
///
/// # Errors
/// `NotFound` when there is no such host or no server to ask; `TimedOut` when no server answers.
pub fn host(name: &str) -> io::Result<Vec<IpAddr>> {
    host_in(&Namespace::current()?, name)
}

/// The same, asked by that one.
pub fn host_in(by: &Namespace, name: &str) -> io::Result<Vec<IpAddr>> {
    let plain = name.trim_end_matches('.');
    if plain.eq_ignore_ascii_case("localhost") || plain.to_ascii_lowercase().ends_with(".localhost") {
        return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
    }
    let servers = by.name_servers();
    if servers.servers.is_empty() {
        let text = format!("{name}: no name server is set; Namespace::set_name_servers() sets some");
        return Err(io::Error::new(ErrorKind::NotFound, text));
    }
    for candidate in candidates(name, &servers.search) {
        let question = Name::from_utf8(&candidate)
            .map_err(|error| io::Error::new(ErrorKind::InvalidInput, format!("{name}: {error}")))?;
        let answers = ask(by, &servers, &question, [RecordType::AAAA, RecordType::A])
            .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        let records = answers.iter().flat_map(|answer| &answer.answers);
        let mut found: Vec<IpAddr> = records
            .filter_map(|record| match &record.data {
                RData::A(ip) => Some(IpAddr::V4(ip.0)),
                RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
                _ => None,
            })
            .collect();
        if !found.is_empty() {
            // Stable: those of IPv6 stay in front.
            found.sort_by_cached_key(|ip| !has_route(by, *ip));
            return Ok(found);
        }
    }
    let text = format!("{name}: no such host");
    Err(io::Error::new(ErrorKind::NotFound, text))
}

/// The whole names that a name may stand for.
fn candidates(name: &str, search: &[String]) -> Vec<String> {
    let whole = format!("{}.", name.trim_end_matches('.'));
    if name.ends_with('.') {
        return vec![whole];
    }
    let searched = search
        .iter()
        .map(|domain| format!("{name}.{}.", domain.trim_matches('.')));
    if name.contains('.') {
        std::iter::once(whole.clone()).chain(searched).collect()
    } else {
        searched.chain(std::iter::once(whole.clone())).collect()
    }
}

/// Whether Linux would know where to send to. Nothing is sent.
fn has_route(by: &Namespace, ip: IpAddr) -> bool {
    let connected = UdpSocket::bind_in(by, (unspecified(ip), 0)).and_then(|socket| socket.connect((ip, 9)));
    connected.is_ok()
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Asks one server after the other, each for both kinds at once. An answer that the name is unknown is an answer.
fn ask(
    by: &Namespace,
    servers: &NameServers,
    name: &Name,
    kinds: [RecordType; 2],
) -> io::Result<[Message; 2]> {
    let mut last = None;
    let mut answers = [None, None];
    for _ in 0..servers.attempts.max(1) {
        for server in &servers.servers {
            let open = kinds
                .iter()
                .zip(&mut answers)
                .filter(|(_, answer)| answer.is_none());
            // All are sent before one is waited for.
            let sent: Vec<_> = open
                .map(|(kind, answer)| (Question::send(by, *server, servers.timeout, name, *kind), answer))
                .collect();
            for (question, answer) in sent {
                let refused = match question.and_then(|question| question.answer(by)) {
                    Ok(message) => match message.metadata.response_code {
                        ResponseCode::NoError | ResponseCode::NXDomain => {
                            *answer = Some(message);
                            continue;
                        }
                        code => io::Error::other(format!("the name server {server} says {code}")),
                    },
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let text = format!("no answer from the name server {server}");
                        io::Error::new(ErrorKind::TimedOut, text)
                    }
                    Err(error) => io::Error::new(error.kind(), format!("the name server {server}: {error}")),
                };
                last = Some(refused);
            }
            answers = match answers {
                [Some(first), Some(second)] => return Ok([first, second]),
                some => some,
            };
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::NotFound.into()))
}

/// A question that a server was asked.
struct Question {
    server: SocketAddr,
    timeout: Duration,
    asked: Message,
    bytes: Vec<u8>,
    /// Of its own: an answer has to meet its port as well as its number.
    socket: UdpSocket,
}

impl Question {
    fn send(
        by: &Namespace,
        server: SocketAddr,
        timeout: Duration,
        name: &Name,
        kind: RecordType,
    ) -> io::Result<Question> {
        /// What comes through every network whole.
        const PAYLOAD: u16 = 1232;
        let mut asked = Message::query();
        asked.metadata.recursion_desired = true;
        asked.add_query(Query::query(name.clone(), kind));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        asked.set_edns(edns);
        let bytes = asked.to_vec().map_err(io::Error::other)?;
        let socket = UdpSocket::bind_in(by, (unspecified(server.ip()), 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(timeout))?;
        socket.send(&bytes)?;
        Ok(Question {
            server,
            timeout,
            asked,
            bytes,
            socket,
        })
    }

    /// Waits for the answer.
    fn answer(&self, by: &Namespace) -> io::Result<Message> {
        let mut room = [0; 4096];
        loop {
            let len = self.socket.recv(&mut room)?;
            match belonging(room.get(..len).unwrap_or(&room), &self.asked) {
                Some(answer) if answer.metadata.truncation => break,
                Some(answer) => return Ok(answer),
                // Another one's, or garbage: the right one may still come.
                None => {}
            }
        }
        ask_by_tcp(by, self.server, self.timeout, &self.bytes, &self.asked)
    }
}

fn ask_by_tcp(
    by: &Namespace,
    server: SocketAddr,
    timeout: Duration,
    bytes: &[u8],
    question: &Message,
) -> io::Result<Message> {
    let mut stream = by.enter(|| TcpStream::connect_timeout(&server, timeout))?;
    stream.set_read_timeout(Some(timeout))?;
    let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat())?;
    let mut len = [0; 2];
    stream.read_exact(&mut len)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer)?;
    belonging(&answer, question)
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "the answer is to another question"))
}

/// The message, if it answers the question.
fn belonging(bytes: &[u8], question: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let right = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries == question.queries;
    right.then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_dot_is_looked_for_in_the_domains_first() {
        let search = ["a.test".to_owned(), "b.test.".to_owned()];
        let short = candidates("host", &search);
        assert_eq!(short, ["host.a.test.", "host.b.test.", "host."]);
        let long = candidates("host.c", &search);
        assert_eq!(long, ["host.c.", "host.c.a.test.", "host.c.b.test."]);
        assert_eq!(candidates("host.", &search), ["host."]);
    }
}
