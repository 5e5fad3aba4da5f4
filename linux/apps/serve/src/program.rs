//! What the programs do alike: options, start, signals, end.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lkl::Kernel;
use lkl_session::exit::{Exit, Failure, reason};
use lkl_session::signals::Signals;
use tokio::net::{TcpListener, TcpStream};

use crate::account::Accounts;
use crate::clients::{self, Limits, stop};
use crate::report::{Detail, Report};

/// How long a server that reads waits for its clients' threads when it ends.
pub const LAST_WAIT: Duration = Duration::from_secs(10);

/// Options of servers that know users.
#[derive(Args, Debug)]
pub struct Users {
    /// Let this user log in; the password is the first line of the file. May be given again
    #[arg(long = "user", value_name = "NAME:PASSWORDFILE", help_heading = "Clients")]
    pub users: Vec<String>,

    /// Let this user log in; the password is in that environment variable. May be given again
    #[arg(long = "user-env", value_name = "NAME:VARIABLE", help_heading = "Clients")]
    pub users_of_environment: Vec<String>,

    /// Let everybody in besides the users that --user and --user-env name
    #[arg(long, help_heading = "Clients")]
    pub anonymous: bool,
}

impl Users {
    /// Who may log in: everybody besides users, if `anonymous` says so or the command line does.
    pub fn accounts(&self, anonymous: bool) -> Result<Accounts, Failure> {
        Accounts::read(
            &self.users,
            &self.users_of_environment,
            self.anonymous || anonymous,
        )
        .map_err(|why| Failure::new(Exit::Usage, why))
    }
}

/// Options of all servers.
#[derive(Args, Debug)]
pub struct Shared {
    /// Images to show: files (raw, VHD, VHDX, qcow2) or disks
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,

    /// Serve at most so many connections at once
    #[arg(long, value_name = "NUMBER", default_value_t = 256, help_heading = "Clients",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_clients: u32,

    /// Send a client away that has said nothing for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 300, help_heading = "Clients",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub idle: u32,

    /// Give Linux so many MiB of memory, most of which is its cache [default: a quarter of what is free, from 256 to 1024, and what journals need]
    #[arg(long, value_name = "MIB", help_heading = "Images",
          value_parser = clap::value_parser!(u32).range(32..=65_536))]
    pub memory: Option<u32>,

    /// Leave journals alone: show what is on the disks themselves, which may be older
    #[arg(long, help_heading = "Images")]
    pub no_recovery: bool,

    /// Say nothing on standard error but what goes wrong here
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Log")]
    pub quiet: bool,

    /// Log every command or request
    #[arg(short, long, help_heading = "Log")]
    pub verbose: bool,

    /// Take IMAGE for a folder of this machine: for comparisons
    #[arg(long, hide = true)]
    pub native: bool,
}

impl Shared {
    /// Where lines go.
    pub fn report(&self) -> Report {
        Report::new(match (self.quiet, self.verbose) {
            (true, _) => Detail::Quiet,
            (_, true) => Detail::Everything,
            _ => Detail::Usual,
        })
    }

    /// How long a client may say nothing.
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.idle.into())
    }
}

/// What a server holds while it runs: what is mounted, and what serves it.
pub trait Holding {
    /// The Linux that it ends with; `None` where there is none, or another comes after it.
    fn kernel(&self) -> Option<&Kernel>;

    /// Lets go of everything, when the last client has gone.
    ///
    /// # Errors
    /// What could not be ended as it should.
    fn close(self) -> Result<(), Failure>;
}

/// How often it is looked whether Linux still runs.
const LOOK: Duration = Duration::from_millis(100);

/// Returns when Linux has stopped.
async fn death(kernel: Option<Kernel>) {
    let Some(kernel) = kernel else {
        return std::future::pending().await;
    };
    while !kernel.is_dead() {
        tokio::time::sleep(LOOK).await;
    }
}

/// A server that is ready to be started.
pub struct Start {
    /// The program's name.
    pub name: &'static str,
    /// `ftp`, `http`, `nfs` or `smb`.
    pub scheme: &'static str,
    /// What a user of this address may type; printed behind the line with the address.
    pub hint: fn(SocketAddr) -> String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What a client too many is told.
    pub refusal: &'static [u8],
    /// Clients at once.
    pub most: usize,
    /// How long clients may take to end when the server does.
    pub last_wait: Duration,
    /// Where lines go.
    pub report: Report,
}

impl Start {
    /// Takes the address, opens what is to be shown, serves it until a signal comes, and lets go of it in the reverse order.
    ///
    /// `open` mounts; what it returns besides what is shown is held until the last client is gone. A Linux that stops ends the
    /// server, unless another comes after it.
    pub fn run<Top, Held, Serve, Work>(
        &self,
        open: impl FnOnce() -> Result<(Top, Held), Failure>,
        serve: impl FnOnce(Top) -> Serve,
    ) -> Result<(), Failure>
    where
        Held: Holding,
        Serve: Fn(TcpStream, SocketAddr) -> Work + Send + Sync + 'static,
        Work: Future<Output = ()>,
    {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let executor = executor.map_err(|error| self.failure(&error, "close other programs"))?;
        more_descriptors();
        let listener = executor.block_on(async { clients::listen(self.address).await });
        let listener = listener.map_err(|error| self.failure(&error, "choose another --listen"))?;
        // Signals from here on are answered, also while images are mounted.
        let mut signals = executor
            .block_on(async { Signals::new() })
            .map_err(|error| self.failure(&error, "close other programs"))?;
        let (top, held) = open()?;
        let ended = async {
            tokio::select! {
                () = signals.next() => "told to end",
                () = death(held.kernel().cloned()) => "Linux has stopped",
            }
        };
        let left = executor.block_on(self.serve(listener, serve(top), ended))?;
        if left > 0 {
            let clients = format!("{left} clients are stuck in Linux; what they read may be damaged");
            // They hold what is mounted, and cannot be ended.
            let _ = writeln!(std::io::stderr(), "{}: {clients}", self.name);
            std::process::exit(Exit::Kernel as i32);
        }
        held.close()
    }

    async fn serve<Serve, Work>(
        &self,
        listener: TcpListener,
        serve: Serve,
        ended: impl Future<Output = &'static str>,
    ) -> Result<usize, Failure>
    where
        Serve: Fn(TcpStream, SocketAddr) -> Work + Send + Sync + 'static,
        Work: Future<Output = ()>,
    {
        let address = listener
            .local_addr()
            .map_err(|error| self.failure(&error, "choose another --listen"))?;
        let (name, scheme, hint) = (self.name, self.scheme, (self.hint)(address));
        let lines = format!("{name}: serving at {scheme}://{address}/\n{hint}");
        // A closed pipe keeps no client from being served.
        let mut out = std::io::stdout();
        let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        let limits = Limits {
            most: self.most,
            last_wait: self.last_wait,
            refusal: self.refusal,
            report: self.report,
        };
        let (stopper, stop) = stop();
        let served = clients::serve(listener, limits, stop, serve);
        tokio::pin!(served);
        let why = tokio::select! {
            left = &mut served => return Ok(left),
            why = ended => why,
        };
        self.report.say(Detail::Usual, None, format_args!("{why}"));
        stopper.stop();
        Ok(served.await)
    }

    fn failure(&self, error: &std::io::Error, advice: &str) -> Failure {
        let (address, why) = (self.address, reason(error));
        Failure::new(Exit::Other, format_args!("{address}: {why}; {advice}"))
    }
}

/// Asks the system for as many descriptors as it gives: a client needs seven.
fn more_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // With fewer, fewer clients are served.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Whether an address is this machine's alone.
pub fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
