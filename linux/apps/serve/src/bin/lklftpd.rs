//! `lklftpd`: shows disk images by FTP.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use lkl_server::ftp;
use lkl_server::program::{self, Shared, Start, Users};
use lkl_server::volumes::{self, Purpose};
use lkl_session::exit::{Exit, Failure, HELP};
use lkl_session::program::Program;

const ABOUT: &str = "\
Shows disk images and their partitions by FTP: one folder an image, one a partition.

Linux itself reads the images, inside of this program: nothing is mounted on this machine, and no rights are needed but those \
to read the image. Images are written to with --write only; else a journal is replayed in memory.";

const EXAMPLES: &str = "\
Examples:
  lklftpd disk.img server.qcow2
      then: lftp -e 'mirror /disk.img/part1 copy; exit' ftp://127.0.0.1:2121
  lklftpd --listen 0.0.0.0:2121 --user joe:password.txt \\
          --tls-cert cert.pem --tls-key key.pem --tls-only disk.img
      then: curl --ssl-reqd -u joe ftp://server:2121/disk.img/
  lklftpd --write --user joe:password.txt disk.img
      then: lftp -u joe -e 'mirror -R tree /disk.img/tree; exit' ftp://127.0.0.1:2121

With --write, what a client was told is done (226, 250, 257, 213) is on the image's disk. Users write as root does, whatever the \
modes in the image say.";

/// Shows disk images by FTP
#[derive(Parser, Debug)]
#[command(name = "lklftpd", version, long_about = ABOUT, after_long_help = format!("{EXAMPLES}\n\n{HELP}"))]
struct Cli {
    /// Listen at this address; port 0 takes any that is free, and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:2121")]
    listen: SocketAddr,

    /// Use these ports for passive data connections, for a firewall to let through
    #[arg(long, value_name = "LOW-HIGH", value_parser = ports, help_heading = "Network")]
    passive_ports: Option<RangeInclusive<u16>>,

    /// Tell clients this address for passive data connections, where they know this machine by it
    #[arg(long, value_name = "IPV4", help_heading = "Network")]
    passive_address: Option<Ipv4Addr>,

    /// Offer TLS with this certificate (PEM, with those that signed it)
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    tls_key: Option<PathBuf>,

    /// Refuse passwords and files without TLS
    #[arg(long, requires = "tls_cert", help_heading = "TLS")]
    tls_only: bool,

    /// Let users change files; the images are this program's alone then
    #[arg(long, conflicts_with_all = ["native", "no_recovery"], help_heading = "Writing")]
    write: bool,

    /// With --write: let everybody change files, without a password
    #[arg(long, requires = "write", help_heading = "Writing")]
    anonymous_write: bool,

    #[command(flatten)]
    users: Users,

    #[command(flatten)]
    shared: Shared,
}

/// Clients may be in the middle of a sync when the server ends.
const LAST_WAIT: Duration = Duration::from_secs(120);

/// The program, for messages.
const PROGRAM: Program = Program {
    reading: "leave --write out",
    ..Program::new("lklftpd")
};

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let parsed = text
        .split_once('-')
        .and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
    match parsed {
        Some((low, high)) if 0 < low && low <= high => Ok(low..=high),
        _ => Err("write LOW-HIGH, as in 50000-50100".into()),
    }
}

fn main() -> ExitCode {
    PROGRAM.main(run)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let accounts = cli.users.accounts(cli.anonymous_write)?;
    if cli.write && !accounts.has_users() && !cli.anonymous_write {
        return Err(Failure::new(
            Exit::Usage,
            "--write: name who may write, with --user NAME:PASSWORDFILE, or everybody, with --anonymous-write",
        ));
    }
    let (report, idle) = (cli.shared.report(), cli.shared.idle());
    let tls = match (&cli.tls_cert, &cli.tls_key) {
        (Some(certificate), Some(key)) => {
            let acceptor = ftp::tls::acceptor(certificate, key);
            Some(acceptor.map_err(|why| Failure::new(Exit::Usage, why))?)
        }
        _ => None,
    };
    let start = Start {
        name: "lklftpd",
        scheme: "ftp",
        hint: |_| String::new(),
        address: cli.listen,
        refusal: ftp::REFUSAL,
        most: cli.shared.max_clients as usize,
        last_wait: if cli.write { LAST_WAIT } else { program::LAST_WAIT },
        report,
    };
    let purpose = if cli.write {
        Purpose::Writing
    } else {
        Purpose::Lasting
    };
    start.run(
        || volumes::open(PROGRAM, &cli.shared, purpose),
        |top| {
            let server = Arc::new(ftp::Server {
                top,
                accounts,
                writing: cli.write.then(|| ftp::Writing::new(cli.anonymous_write)),
                tls,
                tls_only: cli.tls_only,
                idle,
                ports: cli.passive_ports,
                public: cli.passive_address,
                report,
            });
            move |stream, address| ftp::serve(Arc::clone(&server), stream, address)
        },
    )
}
