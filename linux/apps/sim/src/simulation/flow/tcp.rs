//! As many bytes as TCP brings over: a number of them, or until a time.

use super::{LOOK, Told, Traffic, is_timeout};
use crate::simulation::world::{Task, World};
use lkl_net::{Address, Namespace, Protocol, Socket, TcpListener, TcpStream, Type};
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

/// Bytes of one call.
const PIECE: usize = 64 << 10;

/// Connects to a flow's other end, before the flow's end.
pub(super) fn connect(traffic: &Traffic, by: &Namespace) -> io::Result<Socket> {
    let socket = Socket::new_in(by, traffic.family(), Type::STREAM, Protocol::DEFAULT)?;
    socket.set_congestion(&traffic.flow.congestion)?;
    let address = Address::from(traffic.address);
    match socket.connect_timeout(&address, traffic.left()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let text = format!("no connection to {} before the flow's end", traffic.address);
            return Err(io::Error::new(error.kind(), text));
        }
        Err(error) => return Err(error),
    }
    socket.set_read_timeout(Some(LOOK))?;
    socket.set_write_timeout(Some(LOOK))?;
    Ok(socket)
}

/// The end that takes connections.
pub(super) fn listener(traffic: &Traffic) -> io::Result<TcpListener> {
    let listener = TcpListener::bind_in(traffic.to()?, traffic.address)?;
    listener.socket().set_congestion(&traffic.flow.congestion)?;
    listener.socket().set_read_timeout(Some(LOOK))?;
    Ok(listener)
}

/// Waits for a connection until the flow is over.
pub(super) fn accept(traffic: &Traffic, listener: &TcpListener) -> Option<TcpStream> {
    while !traffic.is_over() && !traffic.is_done() {
        match listener.accept() {
            Ok((stream, _)) => {
                let socket = stream.socket();
                let patient = socket
                    .set_read_timeout(Some(LOOK))
                    .and_then(|()| socket.set_write_timeout(Some(LOOK)));
                return patient.is_ok().then_some(stream);
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Sends.
pub(super) fn send(traffic: &Traffic) -> io::Result<Told> {
    let socket = connect(traffic, traffic.from()?)?;
    traffic.show(&socket);
    let mut told = Told::default();
    let piece = vec![0; PIECE];
    let mut left = traffic.flow.bytes.unwrap_or(u64::MAX);
    while left > 0 && !traffic.is_over() {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        match socket.send(&piece[..most]) {
            Ok(count) => left = left.saturating_sub(u64::try_from(count).unwrap_or(0)),
            Err(error) if is_timeout(&error) => {}
            // The other end has gone since the flow is over.
            Err(_) if traffic.is_over() => break,
            Err(error) => {
                told.error = Some(lkl_session::exit::reason(&error));
                break;
            }
        }
    }
    if traffic.flow.bytes.is_some() && told.error.is_none() {
        socket.shutdown(Shutdown::Write)?;
        // The other end shuts its direction down when it has everything.
        while !traffic.is_over() && told.end.is_none() {
            match socket.recv(&mut [0]) {
                Err(error) if is_timeout(&error) => {}
                _ => told.end = Some(traffic.clock.now()),
            }
        }
        if told.end.is_none() {
            told.error = Some("it was not all there at the flow's end".to_owned());
        }
    }
    told.connection = socket.tcp_info().ok().map(Into::into);
    Ok(told)
}

/// Receives.
pub(super) fn receive(world: &World, traffic: &Arc<Traffic>) -> io::Result<Task<u64>> {
    let listener = listener(traffic)?;
    let traffic = Arc::clone(traffic);
    world.spawn(move || {
        let Some(stream) = accept(&traffic, &listener) else {
            return 0;
        };
        let mut piece = vec![0; PIECE];
        while !traffic.is_over() {
            match stream.socket().recv(&mut piece) {
                Ok(0) => break,
                Ok(count) => traffic.count(count),
                Err(error) if is_timeout(&error) => {}
                Err(_) => break,
            }
        }
        0
    })
}
