//! [`UdpSocket`] for tasks.

use super::lookup;
use super::readiness::{Direction, Readiness};
use crate::address::{Address, ToSocketAddrs};
use crate::namespace::Namespace;
use crate::socket::Socket;
use std::io;
use std::net::SocketAddr;

/// A socket of UDP.
#[derive(Debug)]
pub struct UdpSocket(Readiness);

impl UdpSocket {
    /// At the first of the addresses that is free.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        UdpSocket::bind_in(&Namespace::current()?, addr).await
    }

    /// In that name space.
    pub async fn bind_in<A: ToSocketAddrs>(by: &Namespace, addr: A) -> io::Result<UdpSocket> {
        let addresses = lookup::addresses(by, addr).await?;
        UdpSocket::from_std(crate::UdpSocket::bind_in(by, &*addresses)?)
    }

    /// One that was made elsewhere.
    pub fn from_std(socket: crate::UdpSocket) -> io::Result<UdpSocket> {
        Ok(UdpSocket(Readiness::new(socket.0)?))
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        self.0.socket()
    }

    /// Its readiness, for what this type has no word for.
    pub fn readiness(&self) -> &Readiness {
        &self.0
    }

    /// Its own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()?.inet()
    }

    /// The one address that it sends to and receives from, from now on.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<()> {
        self.socket().connect(&to.into())
    }

    /// Sends to the address that it is connected to.
    pub async fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.io(Direction::Write, |socket| socket.send(bytes)).await
    }

    /// Receives from the address that it is connected to.
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.io(Direction::Read, |socket| socket.recv(buffer)).await
    }

    /// Sends a datagram.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        let to = Address::from(to);
        self.0
            .io(Direction::Write, |socket| socket.send_to(bytes, &to))
            .await
    }

    /// Receives a datagram; what the buffer has no room for is lost.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let receive = |socket: &Socket| socket.recv_from(buffer);
        let (len, from) = self.0.io(Direction::Read, receive).await?;
        Ok((len, from.inet()?))
    }
}
