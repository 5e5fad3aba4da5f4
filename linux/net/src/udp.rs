//! [`UdpSocket`], as `std::net` has it.

use crate::address::{Address, ToSocketAddrs, each, no_address};
use crate::call::{MSG_PEEK, MSG_TRUNC};
use crate::namespace::Namespace;
use crate::options::{SOL_IP, SOL_IPV6};
use crate::socket::{Family, Protocol, Socket, Type};
use crate::tcp::{of_any_socket, of_socket_with_peer};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

const IP_MULTICAST_TTL: i32 = 33;
const IP_MULTICAST_LOOP: i32 = 34;
const IP_ADD_MEMBERSHIP: i32 = 35;
const IP_DROP_MEMBERSHIP: i32 = 36;
const IPV6_ADD_MEMBERSHIP: i32 = 20;
const IPV6_DROP_MEMBERSHIP: i32 = 21;

/// A socket of UDP.
#[derive(Debug)]
pub struct UdpSocket(pub(crate) Socket);

of_any_socket!(UdpSocket);
of_socket_with_peer!(UdpSocket);

impl UdpSocket {
    /// At the first of the addresses that is free.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        UdpSocket::bind_in(&Namespace::current()?, addr)
    }

    /// In that name space.
    pub fn bind_in<A: ToSocketAddrs>(by: &Namespace, addr: A) -> io::Result<UdpSocket> {
        each(by, addr, |address| {
            let socket = Socket::new_in(by, Family::of(&address), Type::DATAGRAM, Protocol::UDP)?;
            socket.bind(&address.into())?;
            Ok(UdpSocket(socket))
        })
    }

    /// One that was made as a [`Socket`].
    pub fn from_socket(socket: Socket) -> UdpSocket {
        UdpSocket(socket)
    }

    /// The one address that it sends to and receives from, from now on.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        let mut last = None;
        for address in addr.to_socket_addrs()? {
            match self.0.connect(&address.into()) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(no_address))
    }

    /// Sends a datagram.
    pub fn send_to<A: ToSocketAddrs>(&self, bytes: &[u8], addr: A) -> io::Result<usize> {
        match addr.to_socket_addrs()?.next() {
            Some(to) => self.0.send_to(bytes, &Address::from(to)),
            None => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            )),
        }
    }

    /// Receives a datagram; what the buffer has no room for is lost.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (len, from) = self.0.recv_from(buffer)?;
        Ok((len, from.inet()?))
    }

    /// Receives without taking it away.
    pub fn peek_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (len, from) = self.0.recv_from_with(buffer, MSG_PEEK)?;
        Ok((len, from.inet()?))
    }

    /// How long the next datagram is, of which nothing is taken away.
    pub fn peek_len(&self) -> io::Result<usize> {
        self.0.recv_with(&mut [], MSG_PEEK | MSG_TRUNC)
    }

    /// Sends to the address that it is connected to.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    /// Receives from the address that it is connected to.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }

    /// Receives without taking it away.
    pub fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buffer)
    }

    /// `SO_BROADCAST`
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.0.set_broadcast(on)
    }

    /// `SO_BROADCAST`
    pub fn broadcast(&self) -> io::Result<bool> {
        self.0.broadcast()
    }

    /// `IP_MULTICAST_LOOP`
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.0.set_number(SOL_IP, IP_MULTICAST_LOOP, on.into())
    }

    /// `IP_MULTICAST_TTL`
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        let ttl = i32::try_from(ttl).unwrap_or(i32::MAX);
        self.0.set_number(SOL_IP, IP_MULTICAST_TTL, ttl)
    }

    /// Joins a group, over the interface that has that address.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.member_v4(IP_ADD_MEMBERSHIP, group, interface)
    }

    /// Leaves it.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.member_v4(IP_DROP_MEMBERSHIP, group, interface)
    }

    fn member_v4(&self, option: i32, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        let value = [group.octets(), interface.octets()].concat();
        self.0.set_option(SOL_IP, option, &value)
    }

    /// Joins a group, over the interface of that number.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.member_v6(IPV6_ADD_MEMBERSHIP, group, interface)
    }

    /// Leaves it.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.member_v6(IPV6_DROP_MEMBERSHIP, group, interface)
    }

    fn member_v6(&self, option: i32, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        let value = [&group.octets()[..], &interface.to_ne_bytes()].concat();
        self.0.set_option(SOL_IPV6, option, &value)
    }
}
