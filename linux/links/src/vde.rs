//! A switch of Virtual Distributed Ethernet's, which QEMU, user-mode Linux and others join as well.
//!
//! One joins at the socket `ctl` in the switch's folder: a request says where the one who joins has a socket for datagrams, and the
//! answer says where the switch has one. A packet is a datagram, plain. The connection to `ctl` stays; its end is the end of the port.

use crate::descriptor::{Descriptor, Preamble};
use crate::error::{Kind, LinkError};
use crate::pump::{Medium, Pump};
use lkl_netdev::{Backend, Buffer, Header, Offloads, Packet};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const MAGIC: u32 = 0xfeed_face;
const VERSION: u32 = 3;
/// A port, whichever is free.
const NEW_PORT: u32 = 0;
/// What the switch's administrator sees of this port.
const DESCRIPTION: &[u8] = b"Linux as a library";
/// A `sockaddr_un`: two bytes of family before its path.
const ADDRESS: usize = 110;
/// How long a switch may think.
const PATIENCE: Duration = Duration::from_secs(5);

/// Joins the switch whose folder is `path`, as `vde_switch --sock` has it. The switch carries packets of an MTU of 1500 at most. When it
/// goes, Linux's carrier does.
///
/// # Errors
/// That there is no switch, that it may not be used, or that it has no port left.
pub fn vde(path: &Path) -> Result<Arc<dyn Backend>, LinkError> {
    let port = Port::joined(path).and_then(Pump::new);
    match port {
        Ok(pump) => Ok(Arc::new(pump)),
        Err(error) => Err(LinkError::new(
            Kind::Listener,
            &format!("VDE switch {}", path.display()),
            error,
        )),
    }
}

/// A name in the file system that is this program's, until it is dropped.
struct OwnName(PathBuf);

impl Drop for OwnName {
    fn drop(&mut self) {
        // A switch that ends takes its folder with it.
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Port {
    data: Descriptor,
    control: UnixStream,
    _name: OwnName,
}

impl Port {
    fn joined(switch: &Path) -> io::Result<Port> {
        let mut control = UnixStream::connect(switch.join("ctl"))?;
        let (socket, name) = own_socket(switch)?;
        control.set_read_timeout(Some(PATIENCE))?;
        control.set_write_timeout(Some(PATIENCE))?;
        control.write_all(&request(&name.0)?)?;
        let mut answer = [0; ADDRESS];
        control
            .read_exact(&mut answer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::other("the switch has no port for it"),
                _ => error,
            })?;
        let path = answer.get(2..).unwrap_or(&[]);
        let path = path.split(|byte| *byte == 0).next().unwrap_or(&[]);
        socket.connect(Path::new(OsStr::from_bytes(path)))?;
        control.set_nonblocking(true)?;
        Ok(Port {
            data: Descriptor::new(socket.into(), Preamble::None, Offloads::NONE)?,
            control,
            _name: name,
        })
    }
}

/// A socket that the switch can send to: in its folder, or where all have one.
fn own_socket(switch: &Path) -> io::Result<(UnixDatagram, OwnName)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("lkl.{}-{number}", std::process::id());
    let made = |folder: &Path| {
        let path = folder.join(&name);
        UnixDatagram::bind(&path).map(|socket| (socket, OwnName(path)))
    };
    let (socket, name) = made(switch).or_else(|_| made(&std::env::temp_dir()))?;
    // The switch may be another user's.
    std::fs::set_permissions(&name.0, std::fs::Permissions::from_mode(0o777))?;
    Ok((socket, name))
}

fn request(own: &Path) -> io::Result<Vec<u8>> {
    let own = std::path::absolute(own)?;
    let path = own.as_os_str().as_bytes();
    let room = ADDRESS.saturating_sub(2);
    if path.len() >= room {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "its path is too long for a socket",
        ));
    }
    // The protocol is of one machine: its numbers are as the machine has them.
    let mut bytes: Vec<u8> = [MAGIC, VERSION, NEW_PORT]
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let family = rustix::net::AddressFamily::UNIX.as_raw();
    bytes.extend(family.to_ne_bytes());
    bytes.extend(path);
    bytes.resize(bytes.len().saturating_add(room).saturating_sub(path.len()), 0);
    bytes.extend(DESCRIPTION);
    Ok(bytes)
}

impl Medium for Port {
    fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.data.register(registry, token, interest)?;
        registry.register(
            &mut SourceFd(&self.control.as_raw_fd()),
            token,
            Interest::READABLE,
        )
    }

    fn send(&self, packet: &Packet) -> io::Result<()> {
        self.data.send(packet)
    }

    fn receive(&self, buffer: &mut Buffer) -> io::Result<(usize, Header)> {
        let received = self.data.receive(buffer);
        if received
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            // The switch says nothing there, until it goes.
            && matches!((&self.control).read(&mut [0; 16]), Ok(0))
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        received
    }
}
