//! A file at the other end: what Linux sends is recorded as Wireshark and tcpdump read it, and nothing ever answers.

use crate::error::{Kind, LinkError};
use lkl_netdev::{Backend, Buffer, Buffers, Packets};
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, TsResolution};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The file at `path`, which is made, or made anew. Times are to the nanosecond, of the host's clock.
///
/// # Errors
/// That it cannot be made.
pub fn pcap(path: &Path) -> Result<Arc<dyn Backend>, LinkError> {
    let create = || {
        let header = PcapHeader {
            datalink: DataLink::ETHERNET,
            ts_resolution: TsResolution::NanoSecond,
            ..PcapHeader::default()
        };
        PcapWriter::with_header(File::create(path)?, header).map_err(io::Error::other)
    };
    let writer =
        create().map_err(|error| LinkError::new(Kind::File, &format!("record {}", path.display()), error))?;
    Ok(Arc::new(Record {
        writer: Mutex::new(writer),
        buffers: Mutex::default(),
    }))
}

struct Record {
    writer: Mutex<PcapWriter<File>>,
    /// Linux's, which nothing fills.
    buffers: Mutex<Vec<Buffer>>,
}

impl Backend for Record {
    fn transmit(&self, packets: Packets) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for packet in packets {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let bytes = packet.to_vec();
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            // A packet that could not be recorded is lost, as on a wire; Linux counts it.
            if writer.write_packet(&PcapPacket::new(now, length, &bytes)).is_ok() {
                packet.sent();
            }
        }
    }

    fn receive(&self, buffers: Buffers) {
        let mut kept = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(buffers);
    }

    fn stop(&self) {
        let kept = std::mem::take(&mut *self.buffers.lock().unwrap_or_else(PoisonError::into_inner));
        drop(kept);
    }
}
