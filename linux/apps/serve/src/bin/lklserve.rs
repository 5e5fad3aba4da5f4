//! `lklserve`: shows disk images by WebDAV.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use lkl_server::program::{self, Shared, Start, is_loopback};
use lkl_server::{dav, volumes};
use lkl_session::exit::{Failure, HELP};
use lkl_session::program::Program;

const ABOUT: &str = "\
Shows disk images and their partitions to programs that need no software of ours: one folder an image, one a partition.

Linux itself reads the images, inside of this program: nothing is mounted on this machine, and no rights are needed but those \
to read the image. Images are never written to; a journal is replayed in memory.";

const EXAMPLES: &str = "\
Examples:
  lklserve webdav disk.img server.qcow2
      then, on Windows:  net use X: http://127.0.0.1:8080/
      or in a browser:   http://127.0.0.1:8080/
  lklserve webdav --listen 0.0.0.0:8080 --user joe:password.txt disk.img
      then: rclone copy --webdav-url http://server:8080/ --webdav-user joe ... :webdav:disk.img copy

Windows reads no file above 50 MB by WebDAV unless this value (bytes, at most 4294967295) says more; restart its \
service WebClient afterwards:
  reg add HKLM\\SYSTEM\\CurrentControlSet\\Services\\WebClient\\Parameters /v FileSizeLimitInBytes /t REG_DWORD /d 0xffffffff /f";

/// Shows disk images by WebDAV
#[derive(Parser, Debug)]
#[command(name = "lklserve", version, long_about = ABOUT, after_long_help = HELP)]
struct Cli {
    #[command(subcommand)]
    protocol: Protocol,
}

#[derive(Subcommand, Debug)]
enum Protocol {
    /// Show images by WebDAV and to browsers
    #[command(long_about = ABOUT, after_long_help = format!("{EXAMPLES}\n\n{HELP}"))]
    Webdav(Webdav),
}

#[derive(clap::Args, Debug)]
struct Webdav {
    /// Listen at this address; port 0 takes any that is free, and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    #[command(flatten)]
    shared: Shared,
}

/// Shows disk images by WebDAV: how its man pages are written
#[derive(Parser, Debug)]
#[command(name = "lklserve")]
struct Man {
    /// Write the man pages into this folder
    #[arg(long = "man", value_name = "DIRECTORY")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    if let Ok(man) = Man::try_parse() {
        return program::man_page::<Cli>("lklserve", &man.folder);
    }
    program::main("lklserve", run)
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Protocol::Webdav(webdav) = cli.protocol;
    let shared = webdav.shared;
    let (accounts, report, idle) = (shared.accounts(false)?, shared.report(), shared.idle());
    let start = Start {
        name: "lklserve",
        scheme: "http",
        address: webdav.listen,
        refusal: dav::REFUSAL,
        most: shared.max_clients as usize,
        last_wait: program::LAST_WAIT,
        report,
    };
    start.run(
        || volumes::open(Program::new("lklserve"), &shared, false),
        |top| {
            let server = Arc::new(dav::Server {
                top,
                accounts,
                idle,
                loopback: is_loopback(webdav.listen),
                report,
            });
            move |stream, address| {
                let server = Arc::clone(&server);
                async move { dav::serve(server, stream, address).await }
            }
        },
        volumes::close,
    )
}
