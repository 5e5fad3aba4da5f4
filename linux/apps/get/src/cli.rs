//! The command line. `--help` and the man page come from this definition.

use clap::{Parser, ValueHint};
use hyper::header::{HeaderName, HeaderValue};
use lkl_net_setup::{NetworkArgs, net_help};
use std::path::PathBuf;

/// Fetch URLs over the network stack of Linux as a library
///
/// The Linux that this program carries makes the connections, not the machine's own: with BBR, MPTCP or DCTCP where the machine has none,
/// with an address of its own, and without root. An interface of that Linux is connected to what --net names; by default that
/// is user-mode NAT, which needs nothing.
#[derive(Clone, Debug, Parser)]
#[command(name = "lklget", version, after_help = MORE, max_term_width = 100)]
pub struct Cli {
    /// What to fetch: http:// or https://
    #[arg(value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub urls: Vec<String>,

    /// Write to this file, or into this folder; - is standard output [default: the URL's last name]
    #[arg(short, long, value_name = "FILE", help_heading = "Files", value_hint = ValueHint::AnyPath)]
    pub output: Option<PathBuf>,
    /// Go on with what an earlier run left
    #[arg(short = 'C', long = "continue", help_heading = "Files")]
    pub resume: bool,
    /// Replace files that are there already
    #[arg(short, long, help_heading = "Files")]
    pub force: bool,
    /// Fetch so many URLs at once
    #[arg(short, long, value_name = "N", default_value_t = 4, help_heading = "Files",
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub jobs: u32,

    #[command(flatten)]
    pub network: NetworkArgs,

    /// Congestion control of what is sent [default: Linux's, cubic]
    #[arg(long, value_name = "NAME", value_parser = ["bbr", "cubic", "reno", "dctcp"], help_heading = "Connections")]
    pub cc: Option<String>,
    /// Offer MPTCP; a server without it gets TCP
    #[arg(long, help_heading = "Connections")]
    pub mptcp: bool,
    /// Do not offer HTTP/2
    #[arg(long, help_heading = "Connections")]
    pub http1: bool,
    /// Wait so long for a server to answer, and for anything more of what it sends
    #[arg(long, value_name = "SECONDS", default_value_t = 60, help_heading = "Connections",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub timeout: u32,
    /// Trust the certificates in this file (PEM) and no others
    #[arg(long, value_name = "FILE", help_heading = "Connections", value_hint = ValueHint::FilePath)]
    pub cacert: Option<PathBuf>,
    /// Take any certificate: a host in the way can read and change everything
    #[arg(short = 'k', long, conflicts_with = "cacert", help_heading = "Connections")]
    pub insecure: bool,

    /// Send this, too, as "Name: value"; may be given again
    #[arg(short = 'H', long, value_name = "LINE", value_parser = header, help_heading = "Requests")]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// Ask for the answer's head alone, and print it
    #[arg(short = 'I', long, conflicts_with_all = ["output", "resume"], help_heading = "Requests")]
    pub head: bool,
    /// Follow so many redirections of one URL
    #[arg(long, value_name = "N", default_value_t = 10, help_heading = "Requests",
          value_parser = clap::value_parser!(u32).range(0..=100))]
    pub max_redirects: u32,

    /// Say on standard error what Linux knows of each connection: round trips, window, retransmissions, goodput
    #[arg(long, help_heading = "Messages")]
    pub stats: bool,
    /// The same as JSON, an object a line
    #[arg(long, help_heading = "Messages")]
    pub json: bool,
    /// No progress bars and no notes
    #[arg(short, long, help_heading = "Messages")]
    pub quiet: bool,
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || "write a name, a colon and a value, as \"Accept: text/html\"".to_owned();
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

const MORE: &str = concat!(
    net_help!(),
    "
A file gets its name when it is complete. Until then it is FILE.part, which stays when a run is cut off or interrupted; -C goes on
with it, if the server still has the same.

Examples:
  lklget https://www.debian.org/                             over user-mode NAT
  lklget -C -o disk.iso http://mirror/disk.iso               the rest of it
  lklget --cc bbr --stats -o - http://10.0.2.2:8000/x | sha256sum
  lklget --net tap:tap0 --ip 10.9.0.2/24 --gateway 10.9.0.1 --dns 10.9.0.1 -j 8 http://server/{1..20}
  lklget --net udp:127.0.0.1:5000,127.0.0.1:5001 http://server/    beside QEMU, or on Windows

Exit codes:
  0    everything was fetched
  1    a server or the network is not as it should be: the message says how
  2    the command line is wrong
  5    the server has no such thing, or does not give it (404 and its like)
  7    Linux stopped (a kernel panic, contained in this process)
  8    a file exists already or cannot be written
  9    the time limit passed
  11   the interface may not be opened by this user
  13   the interface is in use
  130  interrupted; what came is kept for -C
With several URLs it is that of the first that failed."
);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let (name, value) = header("X-Test:  a: b ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-test", "a: b"));
        for bad in ["no colon", ": value", "a b: c", "a: b\nc: d"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }
}
