//! Captures are what Wireshark's readers expect: packets as they were on the wire, with times of the virtual clock.

mod program;

use pcap_file::pcapng::{Block, PcapNgReader};
use program::{Run, flow, link, nodes, run, seconds};
use std::fs::File;
use std::time::Duration;

struct Packet {
    time: Duration,
    len: u32,
    data: Vec<u8>,
}

fn packets(run: &Run, name: &str) -> Vec<Packet> {
    let file = File::open(run.path(&format!("links/{name}.pcapng"))).unwrap();
    let mut reader = PcapNgReader::new(file).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            packets.push(Packet {
                time: packet.timestamp,
                len: packet.original_len,
                data: packet.data.into_owned(),
            });
        }
    }
    packets
}

fn sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    words.sum()
}

fn folded(mut sum: u32) -> u32 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// The day on which simulations begin: the first of January, 2000.
const DAY: Duration = Duration::from_secs(946_684_800);

#[test]
fn packets_are_whole_with_right_checksums_and_in_order_of_time() {
    let text = seconds(2).replace("[simulation]\n", "[simulation]\nsnaplen = 65535\n")
        + &nodes("host", &["a", "b"])
        + &link("a", "b", "rate = \"10mbit\"\ndelay = \"20ms\"")
        + &flow("tcp", "start = \"1s\"");
    // In one Linux, and in one for each node.
    for arguments in [&[][..], &["--isolate"]] {
        check(&run(&text, arguments));
    }
}

fn check(run: &Run) {
    let packets = packets(run, "a-b");
    let mut segments = 0;
    for packet in &packets {
        assert_eq!(packet.len as usize, packet.data.len());
        assert!(packet.len <= 1514, "{} bytes", packet.len);
        let Some(ip) = packet.data.get(14..).filter(|ip| ip[0] == 0x45 && ip[9] == 6) else {
            continue;
        };
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        assert_eq!(folded(sum(&ip[..20])), 0xffff, "of IP");
        let tcp = &ip[20..total];
        let pseudo = sum(&ip[12..20]) + 6 + u32::try_from(tcp.len()).unwrap();
        assert_eq!(folded(pseudo + sum(tcp)), 0xffff, "of TCP");
        segments += 1;
    }
    assert!(segments > 500, "{segments}");
    assert!(packets.is_sorted_by_key(|packet| packet.time));
    // ARP's request comes through at 1.02 s and its answer at 1.04 s; then the handshake does.
    let first: Vec<f64> = packets
        .iter()
        .take(5)
        .map(|packet| (packet.time - DAY).as_secs_f64())
        .collect();
    for (time, ideal) in first.iter().zip([1.02, 1.04, 1.06, 1.08, 1.1]) {
        assert!((time - ideal).abs() < 0.0003, "{first:?}");
    }
    assert!(!run.stdout.contains("missing"), "{}", run.stdout);
}

#[test]
fn only_the_beginning_of_packets_is_kept_unless_more_is_asked_for() {
    let text = seconds(2)
        + &nodes("host", &["a", "b"])
        + &link("a", "b", "delay = \"1ms\"")
        + &flow("ping", "size = \"1000B\"\ncount = 1");
    for arguments in [&[][..], &["--isolate"]] {
        let packets = packets(&run(&text, arguments), "a-b");
        let long: Vec<_> = packets.iter().filter(|packet| packet.len == 1042).collect();
        assert_eq!(long.len(), 2, "a request and an answer");
        assert!(long.iter().all(|packet| packet.data.len() == 128));
    }
}

#[test]
fn packets_that_come_in_together_are_not_merged() {
    // The end that receives is the first one, and sees packets as they come in.
    let text = seconds(2)
        + &nodes("host", &["a", "b"])
        + &link("b", "a", "delay = \"1ms\"")
        + &flow("tcp", "bytes = \"1MB\"");
    for arguments in [&[][..], &["--isolate"]] {
        let run = run(&text, arguments);
        assert_eq!(run.flow("tcp")["bytes"], 1_000_000);
        let lens: Vec<u32> = packets(&run, "b-a").iter().map(|packet| packet.len).collect();
        assert!(lens.len() > 690, "{}", lens.len());
        assert!(lens.iter().all(|len| *len <= 1514), "{:?}", lens.iter().max());
    }
}
