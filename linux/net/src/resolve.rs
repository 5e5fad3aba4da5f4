//! Names of hosts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of a name.
///
/// # Errors
/// NotFound when there is none.
pub fn host(name: &str) -> io::Result<Vec<IpAddr>> {
    if name == "localhost" {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("{name}: no name server is known"),
    ))
}
