//! Bytes that are sent, and compared where they come.

use crate::Side;
use lkl_net::{TcpListener, TcpStream};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::thread;

/// Bytes that look random and are the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// `len` bytes that Linux sends to a server of the machine's come back.
pub fn echoes(side: &Side, listener: &std::net::TcpListener, address: Ipv4Addr, len: usize) {
    let port = listener.local_addr().expect("bound").port();
    let sent = noise(3, len);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("read");
            stream.write_all(&all).expect("written");
        });
        let mut stream = side.connects(address, port);
        stream.write_all(&sent).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        assert!(all == sent, "{} bytes came back", all.len());
    });
}

/// `len` bytes each way at the same time, over one connection, compared.
pub fn exchange(one: &Side, two: &Side, len: usize) {
    let listener = two.network.enter(|| TcpListener::bind((two.address, 7000)));
    let listener = listener.expect("a free port");
    let (there, back) = (noise(1, len), noise(2, len));
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (stream, _) = listener.accept().expect("a connection");
            both(&stream, &back)
        });
        let stream = one.connects(two.address, 7000);
        let came = both(&stream, &there);
        assert!(came == back, "what came back differs: {} bytes", came.len());
        let came = server.join().expect("no panic");
        assert!(came == there, "what came differs: {} bytes", came.len());
    });
}

/// Sends `bytes`, and takes what comes meanwhile.
fn both(stream: &TcpStream, bytes: &[u8]) -> Vec<u8> {
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut all = Vec::new();
            let mut stream = stream;
            stream.read_to_end(&mut all).expect("read");
            all
        });
        let mut writer = stream;
        writer.write_all(bytes).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        reader.join().expect("no panic")
    })
}
