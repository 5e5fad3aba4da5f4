//! DHCP for IPv4: an address, a router and name servers from the network that an interface is on.
//!
//! [`Client::obtain`] finds a server and takes what it offers; [`Client::apply`] gives that to the interface and to the
//! network's resolver. The caller renews the [`Lease`] when its time comes ([`Lease::renew_after`]), or gives it back.
//!
//! A client that has no address yet sends to all, over its interface alone, and asks for an answer to all.

use crate::config::{Configuration, InterfaceAddress, Route};
use crate::error::about;
use crate::namespace::Namespace;
use crate::resolve::NameServers;
use crate::socket::{Family, Protocol, Socket, Type};
use crate::udp::UdpSocket;
use dhcproto::v4::{CLIENT_PORT, DhcpOption, Flags, Message, MessageType, Opcode, OptionCode, SERVER_PORT};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use lkl::Errno;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// What a server has lent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// The bits that it has in common with its neighbours.
    pub prefix: u8,
    /// Routers, the first one first.
    pub routers: Vec<Ipv4Addr>,
    /// Name servers, the first one first.
    pub name_servers: Vec<Ipv4Addr>,
    /// The domain that short names are in.
    pub domain: Option<String>,
    /// The longest packet of the link.
    pub mtu: Option<u16>,
    /// The server.
    pub server: Ipv4Addr,
    /// For how long it is lent.
    pub duration: Duration,
    /// After which time it is to be renewed.
    pub renew_after: Duration,
}

/// A client for one interface.
#[derive(Debug)]
pub struct Client {
    namespace: Namespace,
    config: Configuration,
    interface: String,
    hardware: Vec<u8>,
    socket: UdpSocket,
    /// The name that servers are told.
    host_name: Option<String>,
    /// How long the first question is waited for; each further one twice as long.
    timeout: Duration,
    /// How many questions there are.
    attempts: u32,
}

impl Client {
    /// A client; the interface is set up.
    ///
    /// # Errors
    /// ENODEV when there is no such interface; EADDRINUSE when there is a client in this network already.
    pub fn new(namespace: &Namespace, interface: &str) -> io::Result<Client> {
        let config = namespace.configuration()?;
        config.set_up(interface)?;
        let hardware = config.interface(interface)?.hardware;
        if hardware.len() != 6 {
            let text = format!("{interface}: DHCP is for interfaces with an Ethernet address");
            return Err(io::Error::new(ErrorKind::Unsupported, text));
        }
        let socket = Socket::new_in(namespace, Family::IPV4, Type::DATAGRAM, Protocol::UDP)?;
        socket.bind_device(Some(interface))?;
        socket.set_broadcast(true)?;
        let here = SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT));
        socket
            .bind(&here.into())
            .map_err(|error| io::Error::new(error.kind(), format!("{interface}: DHCP's port: {error}")))?;
        Ok(Client {
            namespace: namespace.clone(),
            config,
            interface: interface.to_owned(),
            hardware,
            socket: UdpSocket::from_socket(socket),
            host_name: None,
            timeout: Duration::from_secs(2),
            attempts: 4,
        })
    }

    /// Tells servers a name.
    #[must_use]
    pub fn with_host_name(self, name: &str) -> Client {
        let host_name = Some(name.to_owned());
        Client { host_name, ..self }
    }

    /// Waits that long for an answer to the first question, twice as long for the next, and asks so often.
    #[must_use]
    pub fn with_patience(self, timeout: Duration, attempts: u32) -> Client {
        Client {
            timeout,
            attempts: attempts.max(1),
            ..self
        }
    }

    /// Finds a server, and takes what it offers.
    ///
    /// # Errors
    /// `TimedOut` when none answers; `ConnectionRefused` when the one that offered takes it back.
    pub fn obtain(&self) -> io::Result<Lease> {
        let discover = self.message(MessageType::Discover);
        let (offer, _) = self.ask(&discover, Ipv4Addr::BROADCAST)?;
        let offered = self.lease(&offer)?;
        let mut request = self.message(MessageType::Request);
        request.set_xid(discover.xid());
        let options = request.opts_mut();
        options.insert(DhcpOption::RequestedIpAddress(offered.address));
        options.insert(DhcpOption::ServerIdentifier(offered.server));
        let (answer, kind) = self.ask(&request, Ipv4Addr::BROADCAST)?;
        self.accepted(&answer, kind)
    }

    /// Asks the server of a lease, which is applied, for more time.
    ///
    /// # Errors
    /// `ConnectionRefused` when it has no more: the address must not be used any longer.
    pub fn renew(&self, lease: &Lease) -> io::Result<Lease> {
        let mut request = self.message(MessageType::Request);
        request.set_ciaddr(lease.address).set_flags(Flags::default());
        let (answer, kind) = self.ask(&request, lease.server)?;
        self.accepted(&answer, kind)
    }

    /// Gives a lease back that is applied, and takes it off the interface.
    pub fn release(&self, lease: &Lease) -> io::Result<()> {
        let mut release = self.message(MessageType::Release);
        release.set_ciaddr(lease.address).set_flags(Flags::default());
        release
            .opts_mut()
            .insert(DhcpOption::ServerIdentifier(lease.server));
        self.send(&release, lease.server)?;
        self.config.delete_address(
            &self.interface,
            InterfaceAddress::new(lease.address, lease.prefix),
        )
    }

    /// Gives the interface its address, and the network its default route and name servers.
    pub fn apply(&self, lease: &Lease) -> io::Result<()> {
        if let Some(mtu) = lease.mtu {
            self.config.set_mtu(&self.interface, mtu.into())?;
        }
        let address = InterfaceAddress::new(lease.address, lease.prefix);
        match self.config.add_address(&self.interface, address) {
            // It is a renewed one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            done => done?,
        }
        if let Some(router) = lease.routers.first() {
            let route = Route::default_via(*router).over(&self.interface);
            self.config.replace_route(&route)?;
        }
        if !lease.name_servers.is_empty() {
            let servers = lease.name_servers.iter().map(|ip| IpAddr::V4(*ip));
            self.namespace.set_name_servers(NameServers {
                search: lease.domain.iter().cloned().collect(),
                ..NameServers::at(servers)
            });
        }
        Ok(())
    }

    fn message(&self, kind: MessageType) -> Message {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new(none, none, none, none, &self.hardware);
        message.set_flags(Flags::default().set_broadcast());
        let client = [&[1], &*self.hardware].concat();
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ClientIdentifier(client));
        if !matches!(kind, MessageType::Release) {
            options.insert(DhcpOption::ParameterRequestList(vec![
                OptionCode::SubnetMask,
                OptionCode::Router,
                OptionCode::DomainNameServer,
                OptionCode::DomainName,
                OptionCode::InterfaceMtu,
                OptionCode::AddressLeaseTime,
                OptionCode::Renewal,
            ]));
            if let Some(name) = &self.host_name {
                options.insert(DhcpOption::Hostname(name.clone()));
            }
        }
        message
    }

    fn send(&self, message: &Message, to: Ipv4Addr) -> io::Result<()> {
        let mut bytes = Vec::new();
        message
            .encode(&mut Encoder::new(&mut bytes))
            .map_err(io::Error::other)?;
        self.socket
            .send_to(&bytes, (to, SERVER_PORT))
            .map(drop)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: DHCP: {error}", self.interface)))
    }

    /// Sends until an answer comes. The answer, and what kind it is of.
    fn ask(&self, question: &Message, to: Ipv4Addr) -> io::Result<(Message, MessageType)> {
        let mut patience = self.timeout;
        for _ in 0..self.attempts {
            self.send(question, to)?;
            if let Some(answer) = self.answer(question, patience)? {
                return Ok(answer);
            }
            patience = patience.saturating_mul(2);
        }
        let text = format!("{}: no DHCP server answers", self.interface);
        Err(io::Error::new(ErrorKind::TimedOut, text))
    }

    /// What comes within so long and answers the question. What does not is passed over.
    fn answer(&self, question: &Message, patience: Duration) -> io::Result<Option<(Message, MessageType)>> {
        let end = Instant::now() + patience;
        let mut room = [0; 2048];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let len = match self.socket.recv(&mut room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                len => len?,
            };
            let bytes = room.get(..len).unwrap_or(&room);
            let Ok(answer) = Message::decode(&mut Decoder::new(bytes)) else {
                continue;
            };
            let ours = answer.opcode() == Opcode::BootReply
                && answer.xid() == question.xid()
                && answer.chaddr() == self.hardware;
            let kind = answer.opts().msg_type();
            let wanted = match question.opts().msg_type() {
                Some(MessageType::Discover) => matches!(kind, Some(MessageType::Offer)),
                _ => matches!(kind, Some(MessageType::Ack | MessageType::Nak)),
            };
            if let (true, true, Some(kind)) = (ours, wanted, kind) {
                return Ok(Some((answer, kind)));
            }
        }
    }

    fn accepted(&self, answer: &Message, kind: MessageType) -> io::Result<Lease> {
        if matches!(kind, MessageType::Nak) {
            let text = format!("{}: the DHCP server refuses", self.interface);
            return Err(io::Error::new(ErrorKind::ConnectionRefused, text));
        }
        self.lease(answer)
    }

    fn lease(&self, answer: &Message) -> io::Result<Lease> {
        let options = answer.opts();
        let seconds = |code| match options.get(code) {
            Some(DhcpOption::AddressLeaseTime(time) | DhcpOption::Renewal(time)) => {
                Some(Duration::from_secs((*time).into()))
            }
            _ => None,
        };
        let prefix = match options.get(OptionCode::SubnetMask) {
            Some(DhcpOption::SubnetMask(mask)) => self.prefix(*mask)?,
            _ => 32,
        };
        let server = match options.get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(server)) => *server,
            _ => answer.siaddr(),
        };
        let address = answer.yiaddr();
        if address.is_unspecified() || address.is_broadcast() || address.is_multicast() {
            return Err(about(
                format_args!("{}: the DHCP server offers {address}", self.interface),
                Errno::EINVAL,
            ));
        }
        let duration = seconds(OptionCode::AddressLeaseTime).unwrap_or(Duration::from_secs(3600));
        Ok(Lease {
            address,
            prefix,
            routers: match options.get(OptionCode::Router) {
                Some(DhcpOption::Router(routers)) => routers.clone(),
                _ => Vec::new(),
            },
            name_servers: match options.get(OptionCode::DomainNameServer) {
                Some(DhcpOption::DomainNameServer(servers)) => servers.clone(),
                _ => Vec::new(),
            },
            domain: match options.get(OptionCode::DomainName) {
                Some(DhcpOption::DomainName(domain)) => Some(domain.clone()),
                _ => None,
            },
            mtu: match options.get(OptionCode::InterfaceMtu) {
                // What is shorter than IPv4 allows is a mistake.
                Some(DhcpOption::InterfaceMtu(mtu)) if *mtu >= 68 => Some(*mtu),
                _ => None,
            },
            server,
            duration,
            renew_after: seconds(OptionCode::Renewal).unwrap_or(duration / 2),
        })
    }

    fn prefix(&self, mask: Ipv4Addr) -> io::Result<u8> {
        let bits = u32::from(mask);
        if bits.leading_ones() + bits.trailing_zeros() != 32 {
            return Err(about(
                format_args!("{}: the DHCP server's mask {mask}", self.interface),
                Errno::EINVAL,
            ));
        }
        Ok(u8::try_from(bits.leading_ones()).unwrap_or(32))
    }
}
