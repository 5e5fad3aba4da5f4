//! TCP over the carried Linux's loopback interface beside this machine's own: bytes a second, and round trips of one byte.
//!
//! `cargo run --release -p lkl-net --example loopback`

#[cfg(target_os = "linux")]
mod speed {
    use linux_full as _;
    use lkl::BootConfig;
    use lkl_net::Namespace;
    use std::io::{Read, Write};
    use std::thread;
    use std::time::Instant;

    const BYTES: usize = 1 << 30;
    const PIECE: usize = 128 << 10;
    const TRIPS: u32 = 20_000;
    const RUNS: usize = 5;

    /// A connection of either kind.
    trait Stream: Read + Write + Send + 'static {}
    impl<T: Read + Write + Send + 'static> Stream for T {}

    /// Seconds for all bytes to arrive.
    fn bulk(mut from: impl Stream, mut to: impl Stream) -> f64 {
        let start = Instant::now();
        let sender = thread::spawn(move || {
            let piece = vec![7; PIECE];
            for _ in 0..BYTES / PIECE {
                from.write_all(&piece).expect("written");
            }
            from
        });
        let (mut left, mut room) = (BYTES, vec![0; PIECE]);
        while left != 0 {
            left -= to.read(&mut room).expect("read");
        }
        let time = start.elapsed().as_secs_f64();
        sender.join().expect("no panic");
        time
    }

    /// Seconds of one round trip.
    fn trips(mut from: impl Stream, mut to: impl Stream) -> f64 {
        let echo = thread::spawn(move || {
            let mut byte = [0];
            while to.read(&mut byte).expect("read") == 1 {
                to.write_all(&byte).expect("written");
            }
        });
        let start = Instant::now();
        for _ in 0..TRIPS {
            from.write_all(&[1]).expect("written");
            from.read_exact(&mut [0]).expect("read");
        }
        let time = start.elapsed().as_secs_f64() / f64::from(TRIPS);
        drop(from);
        echo.join().expect("no panic");
        time
    }

    fn ours() -> (lkl_net::TcpStream, lkl_net::TcpStream) {
        let listener = lkl_net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let client = lkl_net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        client.set_nodelay(true).expect("set");
        (client, listener.accept().expect("accepted").0)
    }

    fn machines() -> (std::net::TcpStream, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let client = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        client.set_nodelay(true).expect("set");
        (client, listener.accept().expect("accepted").0)
    }

    fn median(mut all: Vec<f64>) -> f64 {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }

    pub fn main() {
        let kernel = lkl_host_posix::boot(&BootConfig {
            pool_size: 256 << 20,
            command_line: "loglevel=4",
        })
        .expect("Linux boots");
        let network = Namespace::initial(&kernel);
        network.start_loopback().expect("lo goes up");
        network.make_default();
        let mut results = [const { Vec::new() }; 4];
        for _ in 0..RUNS {
            let [a, b, c, d] = &mut results;
            let (from, to) = ours();
            a.push(bulk(from, to));
            let (from, to) = machines();
            b.push(bulk(from, to));
            let (from, to) = ours();
            c.push(trips(from, to));
            let (from, to) = machines();
            d.push(trips(from, to));
        }
        let [ours_bulk, bulk, ours_trip, trip] = results.map(median);
        let rate = |time: f64| BYTES as f64 / time / f64::from(1 << 30);
        println!(
            "bulk: {:.2} GiB/s, the machine's own {:.2} GiB/s: {:.2} of it",
            rate(ours_bulk),
            rate(bulk),
            bulk / ours_bulk
        );
        println!(
            "round trip: {:.1} us, the machine's own {:.1} us: {:.2} times as long",
            ours_trip * 1e6,
            trip * 1e6,
            ours_trip / trip
        );
        Namespace::clear_default();
        drop(network);
        kernel.halt();
    }
}

fn main() {
    #[cfg(target_os = "linux")]
    speed::main();
}
