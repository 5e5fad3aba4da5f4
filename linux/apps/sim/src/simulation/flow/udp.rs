//! Datagrams of one size at a constant rate, and how long each was on its way.

use super::{GRACE, LOOK, Told, Traffic, is_timeout};
use crate::quantity::Time;
use crate::simulation::world::{Task, World};
use lkl_net::UdpSocket;
use std::io;
use std::sync::Arc;

/// Sends them.
pub(super) fn send(traffic: &Traffic) -> io::Result<Told> {
    let flow = &traffic.flow;
    let socket = UdpSocket::bind_in(traffic.from()?, (flow.version.unspecified(), 0))?;
    let mut told = Told::default();
    let mut bytes = vec![0; flow.size];
    loop {
        let bits = u128::from(told.sent) * 8 * bytes.len() as u128;
        let passed = bits * 1_000_000_000 / u128::from(flow.rate.max(1));
        let at = u64::try_from(passed)
            .unwrap_or(u64::MAX)
            .saturating_add(flow.start.0);
        if at >= flow.end.0 {
            return Ok(told);
        }
        traffic.clock.sleep_until(Time(at));
        let now = traffic.clock.now().0.to_be_bytes();
        if let Some(place) = bytes.first_chunk_mut() {
            *place = now;
        }
        // One that cannot be sent, for want of a route or of a link, is lost.
        let _ = socket.send_to(&bytes, traffic.address);
        told.sent += 1;
    }
}

/// Receives them.
pub(super) fn receive(world: &World, traffic: &Arc<Traffic>) -> io::Result<Task<u64>> {
    let socket = UdpSocket::bind_in(traffic.to()?, traffic.address)?;
    socket.socket().set_read_timeout(Some(LOOK))?;
    let traffic = Arc::clone(traffic);
    world.spawn(move || {
        let mut buffer = vec![0; 65_536];
        let (mut count, mut last) = (0, None);
        loop {
            match socket.recv(&mut buffer) {
                Ok(len) => {
                    if let Some(sent) = buffer.first_chunk() {
                        let sent = u64::from_be_bytes(*sent);
                        traffic.measured(traffic.clock.now().0.saturating_sub(sent));
                    }
                    traffic.count(len);
                    count += 1;
                }
                Err(error) if is_timeout(&error) => {}
                Err(_) => return count,
            }
            if traffic.is_done() {
                let now = traffic.clock.now();
                let since = *last.get_or_insert(now);
                if now.0.saturating_sub(since.0) > GRACE.0 {
                    return count;
                }
            }
        }
    })
}
