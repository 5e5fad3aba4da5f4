//! Connections that the program makes.

use super::{Answer, Result, is_nonblocking, number};
use crate::linux::{self, Address};
use crate::message::choose_width;
use crate::notify::Call;
use crate::proxy::{Carries, Phase, Proxy};
use crate::supervisor::Supervisor;
use lkl::Errno;
use std::sync::Arc;

impl Supervisor {
    /// Linux is asked each time: it knows what a second call for the same connection is to be told.
    pub(super) fn connect(&self, call: &Call, proxy: &Arc<Proxy>) -> Result {
        let to = call.address(1)?;
        if proxy.carries == Carries::Messages {
            return connect_messages(proxy, &to);
        }
        match linux::connect(&proxy.socket, &to) {
            Ok(()) if is_none(&to) => {
                self.unconnected(proxy);
                Ok(Answer::Value(0))
            }
            Ok(()) => {
                self.connected(proxy);
                Ok(Answer::Value(0))
            }
            Err(Errno::EINPROGRESS) => {
                let near = call.copy_of(call.int(0))?;
                let nonblocking = is_nonblocking(&near);
                self.begin_connection(proxy, near);
                if nonblocking {
                    return Err(libc::EINPROGRESS);
                }
                Ok(self.wait_for_connection(proxy))
            }
            Err(Errno::EALREADY) => {
                let near = call.copy_of(call.int(0))?;
                if is_nonblocking(&near) {
                    return Err(libc::EALREADY);
                }
                Ok(self.wait_for_connection(proxy))
            }
            Err(errno) => {
                self.unconnected(proxy);
                Err(number(errno))
            }
        }
    }

    fn wait_for_connection(&self, proxy: &Arc<Proxy>) -> Answer {
        let patience = proxy.state().write_timeout;
        Answer::Wait(Arc::clone(proxy), patience)
    }
}

/// `AF_UNSPEC`: no peer any more.
fn is_none(to: &Address) -> bool {
    to.as_bytes().starts_with(&[0, 0])
}

fn connect_messages(proxy: &Proxy, to: &Address) -> Result {
    linux::connect(&proxy.socket, to).map_err(number)?;
    proxy.state().phase = if is_none(to) {
        Phase::Fresh
    } else {
        Phase::Connected
    };
    choose_width(proxy);
    Ok(Answer::Value(0))
}
