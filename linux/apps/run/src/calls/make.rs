//! Sockets that are made, and connections that are accepted.

use super::{Answer, Result, is_nonblocking, number};
use crate::linux;
use crate::notify::Call;
use crate::proxy::{Carries, Phase, Proxy};
use crate::stream::announce;
use crate::supervisor::Supervisor;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::net::{RecvFlags, recv};
use std::sync::Arc;

const IPPROTO_SCTP: i32 = 132;

/// Netlink's protocols that are of the network. The others (events of devices, the audit system) are the machine's.
const NETLINK: [i32; 6] = [
    libc::NETLINK_ROUTE,
    libc::NETLINK_SOCK_DIAG,
    libc::NETLINK_XFRM,
    libc::NETLINK_FIB_LOOKUP,
    libc::NETLINK_NETFILTER,
    libc::NETLINK_GENERIC,
];

impl Supervisor {
    pub(super) fn socket(&self, call: &Call) -> Result {
        const FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let (family, kind, protocol) = (call.int(0), call.int(1) & !FLAGS, call.int(2));
        let flags = call.int(1) & FLAGS;
        let internet = matches!(family, libc::AF_INET | libc::AF_INET6);
        if family == libc::AF_NETLINK && !NETLINK.contains(&protocol) {
            return Ok(Answer::Pass);
        }
        // Its messages would be bytes.
        if internet && (protocol == IPPROTO_SCTP || kind == libc::SOCK_SEQPACKET) {
            return Err(libc::EPROTONOSUPPORT);
        }
        let socket = linux::socket(&self.namespace, family, kind, protocol).map_err(number)?;
        let carries = match kind {
            libc::SOCK_STREAM => Carries::Stream,
            _ => Carries::Messages,
        };
        let made = Proxy::new(socket, family, carries, Phase::Fresh);
        let (proxy, near) = made.map_err(|errno| errno.raw_os_error())?;
        self.add(&proxy)?;
        if let Err(errno) = self.hand_over(call, &proxy, &near, flags) {
            self.remove(&proxy);
            return Err(errno);
        }
        Ok(Answer::Done)
    }

    /// Gives the program its end. ENOENT when the thread does not wait any more.
    fn hand_over(
        &self,
        call: &Call,
        proxy: &Proxy,
        near: &OwnedFd,
        flags: i32,
    ) -> std::result::Result<(), i32> {
        let nonblocking = flags & libc::SOCK_NONBLOCK != 0;
        let how = if nonblocking {
            OFlags::NONBLOCK
        } else {
            OFlags::empty()
        };
        fcntl_setfl(near, how).map_err(|errno| errno.raw_os_error())?;
        let cloexec = flags & libc::SOCK_CLOEXEC != 0;
        match self.notifier.give(call, near.as_fd(), cloexec) {
            Ok(fd) => {
                proxy.state().home = Some((call.thread, fd));
                Ok(())
            }
            Err(error) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    pub(super) fn accept(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        let flags = match call.number {
            libc::SYS_accept4 => call.int(3),
            _ => 0,
        };
        if flags & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) != 0 {
            return Err(libc::EINVAL);
        }
        if proxy.carries == Carries::Messages {
            return Err(libc::EOPNOTSUPP);
        }
        if !matches!(proxy.state().phase, Phase::Listening) {
            return Err(libc::EINVAL);
        }
        let near = call.copy_of(call.int(0))?;
        let mut byte = [0];
        // Its byte is a connection's: who has read it, has the connection.
        match recv(&near, &mut byte, RecvFlags::DONTWAIT) {
            Ok((1, _)) => {}
            Ok(_) => return Err(libc::EINVAL),
            Err(rustix::io::Errno::AGAIN) if is_nonblocking(&near) => return Err(libc::EAGAIN),
            Err(rustix::io::Errno::AGAIN) => {
                let patience = proxy.state().read_timeout;
                return Ok(Answer::Wait(Arc::clone(proxy), patience));
            }
            Err(errno) => return Err(errno.raw_os_error()),
        }
        let arrived = proxy.state().arrived.pop_front();
        let Some(arrived) = arrived else {
            return Err(libc::ECONNABORTED);
        };
        let written = call.write_address(1, arrived.from.as_bytes());
        let given = written.and_then(|()| self.hand_over(call, &arrived.proxy, &arrived.near, flags));
        if let Err(errno) = given {
            // It is the next caller's.
            proxy.state().arrived.push_front(arrived);
            announce(proxy);
            return Err(errno);
        }
        drop(arrived);
        self.take_connections(proxy);
        Ok(Answer::Done)
    }
}
