//! Requests as HTTP/1.1 has them, one after the other over one connection, and answers of a size.

use super::{Told, Traffic, is_timeout, tcp};
use crate::quantity::Time;
use crate::simulation::world::{Task, World};
use lkl_net::Socket;
use std::io;
use std::sync::Arc;

const END: &[u8] = b"\r\n\r\n";

/// Receives, and waits until the flow's end at most: `None` then, or when there is no more.
fn receive(traffic: &Traffic, socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    while !traffic.is_over() {
        match socket.recv(buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => return Ok(Some(count)),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Sends all of it, or until the flow's end.
fn send(traffic: &Traffic, socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() && !traffic.is_over() {
        match socket.send(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or(&[]),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Receives one head; what is behind it stays in `pending`.
fn head(traffic: &Traffic, socket: &Socket, pending: &mut Vec<u8>) -> io::Result<Option<String>> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = pending.windows(END.len()).position(|window| window == END) {
            let rest = pending.split_off(at + END.len());
            let head = std::mem::replace(pending, rest);
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        match receive(traffic, socket, &mut buffer)? {
            Some(count) => pending.extend_from_slice(buffer.get(..count).unwrap_or(&[])),
            None => return Ok(None),
        }
    }
}

/// What the head of an answer says of the length of the rest.
fn content_length(head: &str) -> io::Result<usize> {
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    line.and_then(|length| length.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Asks, and waits for each answer.
pub(super) fn ask(traffic: &Traffic) -> io::Result<Told> {
    let flow = &traffic.flow;
    let socket = tcp::connect(traffic, traffic.from()?)?;
    socket.set_nodelay(true)?;
    let mut told = Told::default();
    let mut pending = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let question = format!("GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n", flow.size, traffic.address);
    while !traffic.is_over() && flow.count.is_none_or(|count| told.sent < count.into()) {
        let before = traffic.clock.now();
        send(traffic, &socket, question.as_bytes())?;
        told.sent += 1;
        let Some(head) = head(traffic, &socket, &mut pending)? else {
            break;
        };
        let mut left = content_length(&head)?;
        let there = pending.len().min(left);
        pending.drain(..there);
        traffic.count(there);
        left -= there;
        while left > 0 {
            let most = left.min(buffer.len());
            let Some(count) = receive(traffic, &socket, &mut buffer[..most])? else {
                break;
            };
            traffic.count(count);
            left -= count;
        }
        if left > 0 {
            break;
        }
        let now = traffic.clock.now();
        traffic.measured(now.0.saturating_sub(before.0));
        told.end = Some(now);
        let next = Time(now.0.saturating_add(flow.interval.0));
        if flow.interval.0 > 0 && next < flow.end {
            traffic.clock.sleep_until(next);
        } else if flow.interval.0 > 0 {
            break;
        }
    }
    if flow.count.is_none_or(|count| told.sent < count.into()) {
        told.end = None;
    }
    told.connection = traffic.connection();
    Ok(told)
}

/// Answers. What it returns is how many answers it has begun.
pub(super) fn serve(world: &World, traffic: &Arc<Traffic>) -> io::Result<Task<u64>> {
    let listener = tcp::listener(traffic)?;
    let traffic = Arc::clone(traffic);
    let size = traffic.flow.size;
    world.spawn(move || {
        let Some(stream) = tcp::accept(&traffic, &listener) else {
            return 0;
        };
        traffic.show(stream.socket());
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + size, b'x');
        let mut pending = Vec::new();
        let mut count = 0;
        while let Ok(Some(_)) = head(&traffic, stream.socket(), &mut pending) {
            count += 1;
            if send(&traffic, stream.socket(), &answer).is_err() {
                break;
            }
        }
        count
    })
}
