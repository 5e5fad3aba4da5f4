//! `lklserve`: shows disk images by WebDAV, NFS and SMB.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use lkl_net::Namespace;
use lkl_server::exported::{self, Forwarder};
use lkl_server::program::{self, Holding, Shared, Start, Users, is_loopback};
use lkl_server::volumes::{self, Purpose};
use lkl_server::{dav, nfs, smb};
use lkl_session::exit::{Exit, Failure, HELP};
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

/// What is said of NFS besides.
const ABOUT_NFS: &str = "\
Exports disk images and their partitions by NFS, versions 4.0 to 4.2: one folder an image, one a partition.

Linux itself reads the images and serves them, inside of this program: nothing is mounted or exported on this machine, no device \
of a network is needed, and no rights but those to read the image. Images are never written to; a journal is replayed in memory.

NFS has no passwords: who reaches the address reads everything, whatever the modes in the image say.";

const EXAMPLES_NFS: &str = "\
Examples:
  lklserve nfs disk.img server.qcow2
      then, as root:  mount -t nfs4 -o ro,port=2049 127.0.0.1:/ /mnt
      without root:   nfs-cp 'nfs://127.0.0.1/disk.img/part1/etc/fstab?version=4&nfsport=2049' fstab
  lklserve nfs --listen 0.0.0.0:2049 disk.img
      then, on another machine, as root:  mount -t nfs4 -o ro server:/disk.img /mnt";

/// What is said of SMB besides.
const ABOUT_SMB: &str = "\
Shows disk images and their partitions by SMB, dialects 2.1 to 3.1.1: one share an image or partition.

Linux itself reads the images and serves them, inside of this program: nothing is mounted or shared on this machine, no device \
of a network is needed, and no rights but those to read the image. Images are never written to; a journal is replayed in memory.

Everybody is let in as a guest unless users are named. Windows lets nobody be a guest unless it is told so; name a user for it. \
Windows asks for shares at port 445 only, which needs root to listen at on Linux.";

const EXAMPLES_SMB: &str = "\
Examples:
  lklserve smb disk.img server.qcow2
      then: smbclient -N -p 4450 -L //127.0.0.1/
            smbclient -N -p 4450 //127.0.0.1/disk.img -c 'recurse; prompt; mget *'
  lklserve smb --listen 0.0.0.0:445 --user joe:password.txt disk.img
      then, on Windows:  net use X: \\\\server\\disk.img /user:joe";

/// Shows disk images by WebDAV, NFS and SMB
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

    /// Export images by NFS, version 4
    #[command(long_about = ABOUT_NFS, after_long_help = format!("{EXAMPLES_NFS}\n\n{HELP}"))]
    Nfs(Nfs),

    /// Show images by SMB, as shares
    #[command(long_about = ABOUT_SMB, after_long_help = format!("{EXAMPLES_SMB}\n\n{HELP}"))]
    Smb(Smb),
}

#[derive(clap::Args, Debug)]
struct Webdav {
    /// Listen at this address; port 0 takes any that is free, and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    #[command(flatten)]
    users: Users,

    #[command(flatten)]
    shared: Shared,
}

#[derive(clap::Args, Debug)]
struct Nfs {
    /// Listen at this address; port 0 takes any that is free, and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:2049")]
    listen: SocketAddr,

    #[command(flatten)]
    shared: Shared,
}

#[derive(clap::Args, Debug)]
struct Smb {
    /// Listen at this address; port 0 takes any that is free, and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4450")]
    listen: SocketAddr,

    #[command(flatten)]
    users: Users,

    #[command(flatten)]
    shared: Shared,
}

fn main() -> ExitCode {
    PROGRAM.main(run)
}

const PROGRAM: Program = Program::new("lklserve");

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.protocol {
        Protocol::Webdav(webdav) => run_webdav(webdav),
        Protocol::Nfs(nfs) => run_nfs(&nfs),
        Protocol::Smb(smb) => run_smb(&smb),
    }
}

fn run_webdav(webdav: Webdav) -> Result<(), Failure> {
    let shared = webdav.shared;
    let (accounts, report, idle) = (webdav.users.accounts(false)?, shared.report(), shared.idle());
    let start = Start {
        name: "lklserve",
        scheme: "http",
        hint: |_| String::new(),
        address: webdav.listen,
        refusal: dav::REFUSAL,
        most: shared.max_clients as usize,
        last_wait: program::LAST_WAIT,
        report,
    };
    start.run(
        || volumes::open(PROGRAM, &shared, Purpose::Lasting),
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
    )
}

fn run_nfs(nfs: &Nfs) -> Result<(), Failure> {
    let start = exporting(&nfs.shared, "nfs", nfs.listen, nfs::hint);
    let server = lkl_exports::nfs::Server::address();
    run_exporting(&start, &nfs.shared, server, || nfs::open(PROGRAM, &nfs.shared))
}

fn run_smb(smb: &Smb) -> Result<(), Failure> {
    let accounts = smb.users.accounts(false)?;
    let start = exporting(&smb.shared, "smb", smb.listen, smb::hint);
    let server = lkl_exports::smb::Server::address();
    run_exporting(&start, &smb.shared, server, || {
        smb::open(PROGRAM, &smb.shared, &accounts)
    })
}

/// A server whose protocol is the kernel's.
fn exporting(
    shared: &Shared,
    scheme: &'static str,
    address: SocketAddr,
    hint: fn(SocketAddr) -> String,
) -> Start {
    Start {
        name: "lklserve",
        scheme,
        hint,
        address,
        // It is closed. Either protocol's clients try again.
        refusal: b"",
        most: shared.max_clients as usize,
        last_wait: program::LAST_WAIT,
        report: shared.report(),
    }
}

fn run_exporting<Held: Holding>(
    start: &Start,
    shared: &Shared,
    server: SocketAddr,
    open: impl FnOnce() -> Result<Held, Failure>,
) -> Result<(), Failure> {
    start.run(
        || {
            let held = open()?;
            let network = held.kernel().map(Namespace::initial);
            let network = network.ok_or_else(|| Failure::new(Exit::Kernel, "Linux does not run"))?;
            let forwarder = Forwarder {
                network,
                server,
                idle: shared.idle(),
                report: start.report,
            };
            Ok((forwarder, held))
        },
        |forwarder| move |stream, address| exported::serve(forwarder.clone(), stream, address),
    )
}
