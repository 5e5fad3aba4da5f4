//! Images that Linux's own file servers show: what `lklserve nfs` and `lklserve smb` have alike.
//!
//! The images are mounted as for every server ([`crate::volumes`]), get places in a tree of Linux's, and a server of the kernel's
//! shows that tree on the carried Linux's loopback interface. A client's connection is joined with one to that server
//! ([`serve`]). The programs are in between by nothing else: what clients send is the kernel's to understand.

use std::net::SocketAddr;
use std::time::Duration;

use lkl::Kernel;
use lkl_exports::{Path, Tree};
use lkl_net::Namespace;
use lkl_net::tokio::TcpStream as LinuxStream;
use lkl_net::tokio::forward::{Counts, Ended, forward};
use lkl_session::exit::{Exit, Failure};
use lkl_session::program::Program;
use tokio::net::TcpStream;

use crate::program::{Holding, Shared};
use crate::report::{Detail, Report};
use crate::volumes::{self, Held, Placed, Purpose};

/// What is mounted, its tree, and the kernel's server for it.
pub struct Exported<Server> {
    // In the order in which they must go.
    server: Server,
    tree: Tree,
    held: Held,
    kernel: Kernel,
}

/// Mounts what the command line names, and makes a tree of it in which each volume is at `path`; it is given how many there were
/// before.
pub fn open(
    program: Program,
    shared: &Shared,
    path: fn(usize, &Placed) -> Path,
) -> Result<(Tree, Held), Failure> {
    if shared.native {
        let words = "--native: Linux's own servers show images only";
        return Err(Failure::new(Exit::Usage, words));
    }
    let (top, held) = volumes::open(program, shared, Purpose::Exporting)?;
    drop(top);
    match tree(&held, path) {
        Ok(tree) => Ok((tree, held)),
        Err(failure) => {
            // The first failure is the reason.
            let _ = held.close();
            Err(failure)
        }
    }
}

fn tree(held: &Held, path: fn(usize, &Placed) -> Path) -> Result<Tree, Failure> {
    let kernel = held.kernel();
    let kernel = kernel.ok_or_else(|| Failure::new(Exit::Usage, "no image is named; name one"))?;
    let paths = held.volumes().iter().enumerate();
    let paths: Vec<Path> = paths.map(|(number, placed)| path(number, placed)).collect();
    let mut tree = Tree::new(kernel, &paths).map_err(refused)?;
    for (placed, path) in held.volumes().iter().zip(&paths) {
        let root = placed.volume.root().map_err(|errno| {
            let name = shown(&placed.path);
            Failure::new(
                Exit::FileSystem,
                format_args!("{name}: {errno}; repair a copy of it"),
            )
        })?;
        tree.attach(path, &root).map_err(refused)?;
    }
    Ok(tree)
}

/// A server of the kernel's that could not be set up.
pub fn refused(error: lkl_exports::Error) -> Failure {
    Failure::new(
        Exit::Other,
        format_args!("Linux's server does not start: {error}; try another --memory"),
    )
}

/// A volume's place, for a message.
pub fn shown(path: &[Vec<u8>]) -> String {
    crate::report::shown(&path.join(&b'/'))
}

impl<Server> Exported<Server> {
    /// Starts a server for a tree.
    pub fn start(
        (tree, held): (Tree, Held),
        start: impl FnOnce(&Tree, &Held) -> Result<Server, Failure>,
    ) -> Result<Exported<Server>, Failure> {
        let kernel = tree.kernel().clone();
        match start(&tree, &held) {
            Ok(server) => Ok(Exported {
                server,
                tree,
                held,
                kernel,
            }),
            Err(failure) => {
                drop(tree);
                // The first failure is the reason.
                let _ = held.close();
                Err(failure)
            }
        }
    }
}

impl<Server> Holding for Exported<Server> {
    fn kernel(&self) -> Option<&Kernel> {
        Some(&self.kernel)
    }

    fn close(self) -> Result<(), Failure> {
        let Exported {
            server,
            tree,
            held,
            kernel,
        } = self;
        drop(server);
        drop(tree);
        drop(kernel);
        held.close()
    }
}

/// Where clients' connections go, and for how long.
#[derive(Clone)]
pub struct Forwarder {
    /// The carried Linux's first network.
    pub network: Namespace,
    /// Where the kernel's server listens there.
    pub server: SocketAddr,
    /// How long a connection may be left unused.
    pub idle: Duration,
    /// Where lines go.
    pub report: Report,
}

/// Serves a connection until either side closes it.
pub async fn serve(to: Forwarder, client: TcpStream, address: SocketAddr) {
    let say = |detail, what: std::fmt::Arguments<'_>| to.report.say(detail, Some(address), what);
    let server = match LinuxStream::connect_in(&to.network, to.server).await {
        Ok(server) => server,
        Err(error) => return say(Detail::Usual, format_args!("refused: {error}")),
    };
    // Requests and answers are whole when they are written; waiting for more to fill a packet would delay them.
    let _ = server.socket().set_nodelay(true);
    say(Detail::Usual, format_args!("connected"));
    let counts = Counts::default();
    let ended = forward(client, server, to.idle, &counts).await;
    let how = match ended {
        Ok(Ended::Well) => "closed".to_owned(),
        Ok(Ended::Idle) => "closed, it was left unused".to_owned(),
        Err(error) => format!("lost: {error}"),
    };
    let (there, back) = (counts.there(), counts.back());
    say(
        Detail::Usual,
        format_args!("{how}, {there} bytes received, {back} sent"),
    );
}
