//! Data connections: how the client wants the next one, and opening it.
//!
//! Only the client's own address is accepted from, and connected to (RFC 2577): the server cannot be made to send bytes to
//! another machine's mail server, and what a client asked for is not given to whichever program connects first.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long the client may take for its part.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the next data connection is made.
#[derive(Default)]
pub enum Channel {
    /// The client has not said.
    #[default]
    None,
    /// The client connects here.
    Passive(TcpListener),
    /// The client waits there.
    Active(SocketAddr),
}

/// Whether an address may be connected to for a client at `client`.
pub fn is_fair(address: SocketAddr, client: IpAddr) -> bool {
    // Ports below 1024 are those of services that may trust this machine.
    address.ip().to_canonical() == client.to_canonical() && address.port() >= 1024
}

/// Waits for the client at the address that it has reached this server by; the port is one of `ports`, or any.
pub fn passive(local: IpAddr, ports: Option<&RangeInclusive<u16>>) -> io::Result<Channel> {
    let bind = |port| {
        let socket = match local {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Of a range, a port that was used a minute ago is wanted again.
        #[cfg(unix)]
        socket.set_reuseaddr(ports.is_some())?;
        socket.bind(SocketAddr::new(local, port))?;
        socket.listen(4)
    };
    let listener = match ports {
        None => bind(0)?,
        Some(ports) => {
            let mut last = io::ErrorKind::AddrInUse.into();
            let found = ports.clone().find_map(|port| match bind(port) {
                Ok(listener) => Some(listener),
                Err(error) => {
                    last = error;
                    None
                }
            });
            found.ok_or(last)?
        }
    };
    Ok(Channel::Passive(listener))
}

impl Channel {
    /// Makes the connection.
    pub async fn open(self, local: IpAddr, client: IpAddr) -> io::Result<TcpStream> {
        let opened = async {
            match self {
                Channel::None => Err(io::ErrorKind::NotConnected.into()),
                Channel::Passive(listener) => loop {
                    let (stream, address) = listener.accept().await?;
                    if address.ip().to_canonical() == client {
                        return Ok(stream);
                    }
                },
                Channel::Active(address) => {
                    let socket = match address {
                        SocketAddr::V4(_) => TcpSocket::new_v4()?,
                        SocketAddr::V6(_) => TcpSocket::new_v6()?,
                    };
                    let local = local.to_canonical();
                    if local.is_ipv4() == address.is_ipv4() {
                        socket.bind(SocketAddr::new(local, 0))?;
                    }
                    socket.connect(address).await
                }
            }
        };
        match timeout(PATIENCE, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clients_own_address_is_fair() {
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        for (address, expected) in [
            ("192.0.2.1:1024", true),
            ("[::ffff:192.0.2.1]:2000", true),
            ("192.0.2.1:1023", false),
            ("192.0.2.1:25", false),
            ("192.0.2.2:2000", false),
            ("127.0.0.1:2000", false),
            ("[2001:db8::1]:2000", false),
        ] {
            assert_eq!(is_fair(address.parse().unwrap(), client), expected, "{address}");
        }
    }
}
