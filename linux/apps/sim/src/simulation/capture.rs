//! A capture a link: packets at its first end, with the times of the simulation's clock, in pcapng.
//!
//! A packet socket sees what comes in, and what goes out as it leaves the queue at the end of its delay. So each packet has the
//! time at which it has come through the link, in both directions. One thread writes for all links, what has come within a millisecond at once:
//! Linux has noted when each packet came. Where the other end is in another process a packet that leaves is on its way still ([`way`]).

mod way;

use super::clock::Clock;
use super::network::Network;
use super::world::{Task, World};
use crate::plan::Plan;
use crate::quantity::Time;
use lkl_net::{Address, Epoll, EpollWaker, Family, PacketAddress, Protocol, Socket, Type};
use lkl_net::{Event, Events};
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::PcapNgBlock;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, Endianness};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use way::{Packet, Way};

/// All protocols.
const ALL: u16 = 3;
/// The packet is longer than the buffer: its length is told in full.
const MSG_TRUNC: i32 = 0x20;
/// What the sockets may hold until the thread has its turn, in bytes.
const ROOM: i32 = 8 << 20;

/// Packets of so long are written at once.
const TOGETHER: Time = Time(1_000_000);

const SOL_SOCKET: i32 = 1;
const SO_RCVBUFFORCE: i32 = 33;
const SOL_PACKET: i32 = 263;
const PACKET_STATISTICS: i32 = 6;
/// The packet socket has seen a packet that leaves.
const OUTGOING: u8 = 4;

type Writer = PcapNgWriter<BufWriter<File>>;

/// What was captured.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Captured {
    /// Packets in files.
    pub packets: u64,
    /// Packets that Linux had no room to keep.
    pub missed: u64,
}

/// The thread that writes.
pub struct Capture {
    task: Task<io::Result<Captured>>,
    stop: Arc<AtomicBool>,
    waker: EpollWaker,
}

fn broken(error: pcap_file::PcapError) -> io::Error {
    match error {
        pcap_file::PcapError::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

impl Capture {
    /// Begins: a file in `folder` for each link whose first end is in this Linux. `None`, if there is no such link.
    pub fn start(
        world: &World,
        clock: &Clock,
        network: &Network,
        plan: &Plan,
        snaplen: u16,
        folder: &Path,
    ) -> io::Result<Option<Capture>> {
        more_descriptors();
        fs::create_dir_all(folder)?;
        let mut namespaces = (0..)
            .take(network.count())
            .filter_map(|node| network.namespace(node));
        let namespace = namespaces.next().ok_or(io::ErrorKind::NotFound)?;
        let epoll = Epoll::new(namespace)?;
        let mut ends = Vec::new();
        for (link, name) in plan.links.iter().map(|link| &link.name).enumerate() {
            let Some((namespace, interface, end)) = network.first_end(link)? else {
                continue;
            };
            let socket = Socket::new_nonblocking(namespace, Family::PACKET, Type::RAW, Protocol(0))?;
            socket.set_number(SOL_SOCKET, SO_RCVBUFFORCE, ROOM)?;
            let address = PacketAddress {
                interface,
                protocol: ALL,
                packet_type: 0,
                hardware: [0; 6],
            };
            socket.set_stamps(true)?;
            socket.bind(&Address::Packet(address))?;
            epoll.add(&socket, u64::try_from(ends.len()).unwrap_or(0), Events::READ)?;
            ends.push(End {
                socket,
                writer: writer(&folder.join(format!("{name}.pcapng")), &end, snaplen)?,
                way: network.is_apart().then(|| Way::new(plan, link)),
                buffer: vec![0; snaplen.into()],
                count: 0,
            });
        }
        if ends.is_empty() {
            return Ok(None);
        }
        let (stop, waker) = (Arc::new(AtomicBool::new(false)), epoll.waker());
        let (clock, stopped) = (clock.clone(), Arc::clone(&stop));
        let task = world.spawn(move || {
            let mut found = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                epoll.wait(&mut found, None)?;
                if found.is_empty() {
                    continue;
                }
                clock.sleep_until(Time(clock.now().0.saturating_add(TOGETHER.0)));
                // There is something, so that this does not wait.
                epoll.wait(&mut found, None)?;
                for Event { token, .. } in &found {
                    let end = usize::try_from(*token).ok().and_then(|at| ends.get_mut(at));
                    if let Some(end) = end {
                        end.drain(&clock)?;
                    }
                }
            }
            let mut captured = Captured::default();
            for mut end in ends {
                end.drain(&clock)?;
                let mut statistics = [0; 8];
                end.socket
                    .option(SOL_PACKET, PACKET_STATISTICS, &mut statistics)?;
                let [_, _, _, _, a, b, c, d] = statistics;
                captured.packets += end.count;
                captured.missed += u64::from(u32::from_ne_bytes([a, b, c, d]));
                end.writer.into_inner().flush()?;
            }
            Ok(captured)
        })?;
        Ok(Some(Capture { task, stop, waker }))
    }

    /// Ends it.
    pub fn stop(self) -> io::Result<Captured> {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        let ended = self.task.join();
        ended.unwrap_or_else(|_| Err(io::Error::other("the capture's thread has panicked")))
    }
}

/// Asks the system for as many descriptors as it gives: each link's file is one.
pub fn more_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer, fewer files can be open, which is told when one cannot.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn writer(path: &Path, end: &str, snaplen: u16) -> io::Result<Writer> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = BufWriter::new(File::create(path).map_err(named)?);
    let mut writer = PcapNgWriter::with_endianness(file, Endianness::Little).map_err(broken)?;
    let interface = InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: snaplen.into(),
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed(end)),
            // Nanoseconds.
            InterfaceDescriptionOption::IfTsResol(9),
        ],
    };
    writer.write_block(&interface.into_block()).map_err(broken)?;
    Ok(writer)
}

/// The first end of a link, and its file.
struct End {
    socket: Socket,
    writer: Writer,
    /// The link behind it, if packets are on their way there.
    way: Option<Way>,
    buffer: Vec<u8>,
    count: u64,
}

impl End {
    /// Writes what is there.
    fn drain(&mut self, clock: &Clock) -> io::Result<()> {
        while let Some(packet) = self.next(clock)? {
            match &mut self.way {
                Some(way) => way.add(packet),
                None => self.write(&packet, clock)?,
            }
        }
        let now = clock.now();
        while let Some(packet) = self.way.as_mut().and_then(|way| way.come_by(now)) {
            self.write(&packet, clock)?;
        }
        Ok(())
    }

    fn next(&mut self, clock: &Clock) -> io::Result<Option<Packet>> {
        loop {
            let (len, from, when) = match self.socket.recv_stamped(&mut self.buffer, MSG_TRUNC) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // The interface went down; what comes when it is up again is seen.
                Err(error) if error.kind() == io::ErrorKind::NetworkDown => continue,
                Err(error) => return Err(error),
            };
            return Ok(Some(Packet {
                time: when.map_or_else(|| clock.now(), |when| clock.at(when)),
                len,
                leaves: matches!(from, Address::Packet(from) if from.packet_type == OUTGOING),
                data: self.buffer.get(..len).unwrap_or(&self.buffer).to_vec(),
            }));
        }
    }

    fn write(&mut self, packet: &Packet, clock: &Clock) -> io::Result<()> {
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: clock.day() + packet.time.duration(),
            original_len: u32::try_from(packet.len).unwrap_or(u32::MAX),
            data: Cow::Borrowed(&packet.data),
            options: vec![EnhancedPacketOption::Flags(if packet.leaves { 2 } else { 1 })],
        };
        self.writer.write_block(&block.into_block()).map_err(broken)?;
        self.count += 1;
        Ok(())
    }
}
