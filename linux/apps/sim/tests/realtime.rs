//! In the machine's own time a run takes as long as it says, and its flows do what they do in virtual time.

mod program;

use pcap_file::pcapng::{Block, PcapNgReader};
use program::{flow, link, nodes, run, seconds};
use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

#[test]
fn a_run_in_real_time_takes_its_time_and_moves_the_same_data() {
    let text = seconds(4)
        + "ipv6 = true\n"
        + &nodes("host", &["a", "b"])
        + &nodes("router", &["r"])
        + &link("a", "r", "delay = \"10ms\"")
        + &link("r", "b", "rate = \"10mbit\"\nqueue = 100")
        + &flow("tcp", "bytes = \"1MB\"")
        + &flow("ping", "interval = \"100ms\"\nip = 6")
        + &flow("http", "start = \"2s\"\ncount = 3")
        + "[[event]]\nat = \"3s\"\ndown = \"a-r\"\n";
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let began = Instant::now();
    let run = run(&text, &["--realtime"]);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(4), "{took:?}");
    assert_eq!(run.flow("tcp")["bytes"], 1_000_000);
    assert_eq!(run.flow("http")["arrived"], 3);
    let echo = run.flow("ping");
    let (least, lost) = (&echo["rtt"]["min_ms"], &echo["loss"]);
    // A busy machine makes it longer, but never shorter.
    assert!(least.as_f64().unwrap() >= 20.0, "{echo}");
    assert!((0.2..0.5).contains(&lost.as_f64().unwrap()), "{echo}");
    assert!(run.stdout.contains("of the machine's own time"), "{}", run.stdout);

    let file = File::open(run.path("links/r-b.pcapng")).unwrap();
    let mut reader = PcapNgReader::new(file).unwrap();
    let mut count = 0;
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            count += 1;
            let since = packet.timestamp.checked_sub(before).expect("not before the run");
            assert!(since <= took, "{since:?}");
        }
    }
    assert!(count > 700, "{count} packets");
}
