//! One end of a connection that is measured: over this machine's own stack, or over that of the Linux in this process.
//!
//! `peer serve ADDRESS` serves whoever comes, HTTP included, from memory. `peer measure WHAT ADDRESS COUNT` is a client of it: seconds, and
//! seconds of this process's CPU time. `cargo xtask bench net` runs both.

#[cfg(target_os = "linux")]
mod peer {
    use clap::{Parser, Subcommand, ValueEnum};
    use lkl_net_setup::{Network, NetworkArgs};
    use lkl_netdev::Offloads;
    use lkl_session::program::Program;
    use std::io::{self, BufRead, BufReader, Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::process::ExitCode;
    use std::time::{Duration, Instant};

    const PIECE: usize = 256 << 10;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Subcommand)]
    enum Command {
        /// Serve, over the machine's own stack
        Serve { address: SocketAddr },
        /// Measure
        Measure {
            what: What,
            address: SocketAddr,
            /// MiB, or round trips
            count: u64,
            /// Over the machine's own stack
            #[arg(long)]
            native: bool,
            /// Each packet is complete: no checksums and no segments are left to the other end
            #[arg(long)]
            plain: bool,
            #[command(flatten)]
            network: NetworkArgs,
        },
    }

    /// What a client has the server do, and says by its first byte.
    #[derive(Clone, Copy, ValueEnum)]
    enum What {
        /// The client sends; a byte comes back at the end
        Send = 1,
        /// The server sends
        Receive = 2,
        /// One byte there and back, again and again
        Trip = 3,
    }

    trait Stream: Read + Write {}
    impl<T: Read + Write> Stream for T {}

    pub fn main() -> ExitCode {
        let done = match Cli::parse().command {
            Command::Serve { address } => serve(address).map_err(|error| error.to_string()),
            Command::Measure {
                what,
                address,
                count,
                native: true,
                ..
            } => std::net::TcpStream::connect(address)
                .and_then(|stream| {
                    stream.set_nodelay(true)?;
                    measure(what, stream, count)
                })
                .map_err(|error| error.to_string()),
            Command::Measure {
                what,
                address,
                count,
                plain,
                network,
                ..
            } => {
                let mut settings = network.settings(Program::new("peer"), Duration::from_secs(10));
                if plain {
                    settings
                        .interfaces
                        .iter_mut()
                        .for_each(|interface| interface.offloads = Offloads::NONE);
                }
                Network::open(&settings)
                    .map_err(|failure| failure.to_string())
                    .and_then(|network| {
                        let done = network
                            .namespace
                            .enter(|| lkl_net::TcpStream::connect(address))
                            .and_then(|stream| {
                                stream.set_nodelay(true)?;
                                measure(what, stream, count)
                            });
                        done.map_err(|error| error.to_string())?;
                        network.close().map_err(|failure| failure.to_string())
                    })
            }
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("peer: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(what: What, mut stream: impl Stream, count: u64) -> io::Result<()> {
        stream.write_all(&[what as u8])?;
        let (start, cpu) = (Instant::now(), cpu_seconds());
        match what {
            What::Send => {
                let bytes = vec![7; PIECE];
                stream.write_all(&(count << 20).to_le_bytes())?;
                for _ in 0..(count << 20) / PIECE as u64 {
                    stream.write_all(&bytes)?;
                }
                stream.read_exact(&mut [0])?;
            }
            What::Receive => {
                stream.write_all(&(count << 20).to_le_bytes())?;
                take(&mut stream, count << 20)?;
            }
            What::Trip => {
                for _ in 0..count {
                    stream.write_all(&[1])?;
                    stream.read_exact(&mut [0])?;
                }
            }
        }
        let (time, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        println!("{time:.6} {cpu:.3}");
        Ok(())
    }

    fn take(stream: &mut impl Read, mut left: u64) -> io::Result<()> {
        let mut room = vec![0; PIECE];
        while left != 0 {
            match stream.read(&mut room)? as u64 {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => left = left.saturating_sub(len),
            }
        }
        Ok(())
    }

    /// Of this process, all of its threads.
    fn cpu_seconds() -> f64 {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = rest.split_ascii_whitespace().skip(11).take(2);
        ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }

    fn serve(address: SocketAddr) -> io::Result<()> {
        let listener = TcpListener::bind(address)?;
        println!("listening {}", listener.local_addr()?);
        for stream in listener.incoming() {
            let stream = stream?;
            stream.set_nodelay(true)?;
            // A client that goes is none that is missed.
            std::thread::spawn(move || drop(answer(stream)));
        }
        Ok(())
    }

    fn answer(mut stream: std::net::TcpStream) -> io::Result<()> {
        let mut first = [0];
        stream.read_exact(&mut first)?;
        let mut count = || {
            let mut count = [0; 8];
            stream.read_exact(&mut count)?;
            Ok::<u64, io::Error>(u64::from_le_bytes(count))
        };
        match first[0] {
            1 => {
                let count = count()?;
                take(&mut stream, count)?;
                stream.write_all(&[1])
            }
            2 => {
                let count = count()?;
                give(&mut stream, count)
            }
            3 => loop {
                stream.read_exact(&mut first)?;
                stream.write_all(&first)?;
            },
            _ => http(stream),
        }
    }

    fn give(stream: &mut impl Write, count: u64) -> io::Result<()> {
        let bytes = vec![7; PIECE];
        for _ in 0..count / PIECE as u64 {
            stream.write_all(&bytes)?;
        }
        Ok(())
    }

    /// `GET /N/...`: N MiB. The request's first letter was read.
    fn http(stream: std::net::TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream);
        loop {
            let (mut request, mut line) = (String::new(), String::new());
            while line != "\r\n" {
                line.clear();
                if lines.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                if request.is_empty() {
                    request.clone_from(&line);
                }
            }
            let mebibytes = request
                .split('/')
                .nth(1)
                .and_then(|number| number.parse::<u64>().ok());
            let count = mebibytes.unwrap_or(0) << 20;
            let stream = lines.get_mut();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n")?;
            give(stream, count)?;
        }
    }
}

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    peer::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}
