//! Linux's NFS server over a [`Tree`].
//!
//! - What `rpc.nfsd` writes on other machines is written to the files of the file system `nfsd` (`fs/nfsd/nfsctl.c`): which
//!   versions, how many threads, where to listen.
//! - What `rpc.mountd` answers there is answered by a thread of this module's ([`upcalls`], in lines of [`words`]).
//!
//! - What `nfsdcld` keeps there is not kept ([`tracking`]), by the same thread.

mod tracking;
mod upcalls;
mod words;

use std::ffi::CString;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lkl::{Errno, Kernel, OwnedFd};
use lkl_net::Namespace;

use crate::call::{self, Access};
use crate::error::Error;
use crate::tree::{Path, Tree, place};
use upcalls::{CACHES, Cache};

/// Where nfsd listens, on the carried Linux's loopback interface.
pub const PORT: u16 = 2049;

/// Requests that are served at a time.
const THREADS: u32 = 8;

/// A volume of a tree, to be exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Where it is in the tree.
    pub path: Path,
    /// What its file handles begin with: other than those of other volumes, and the same when it is served again.
    pub identity: [u8; 16],
}

/// A folder that nfsd knows: the top, or a volume.
#[derive(Clone, Debug)]
struct Export {
    /// From Linux's root on.
    place: Vec<u8>,
    /// `None` for the top.
    identity: Option<[u8; 16]>,
}

/// The running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    control: OwnedFd,
    answerer: Option<JoinHandle<()>>,
    /// Says to the answerer that it is over.
    over: Arc<OwnedFd>,
    refused: Vec<Path>,
}

impl Server {
    /// Starts it. All clients read everything that is in these volumes, whatever its mode, and write nothing.
    ///
    /// # Errors
    /// What could not be set up.
    pub fn start(tree: &Tree, volumes: &[Volume]) -> Result<Server, Error> {
        let kernel = tree.kernel();
        let network = Namespace::initial(kernel);
        network.start_loopback().map_err(|error| Error {
            what: "the loopback interface".to_owned(),
            errno: lkl_net::errno(&error).unwrap_or(Errno::EIO),
        })?;
        let control = call::file_system(kernel, c"nfsd").map_err(Error::about("nfsd"))?;
        let pipes = call::file_system(kernel, c"rpc_pipefs").map_err(Error::about("rpc_pipefs"))?;
        let channels = channels(kernel)?;
        let (exports, refused) = exports(&channels, volumes)?;
        let over = Arc::new(call::counter(kernel).map_err(Error::about("a counter"))?);
        let told = Arc::clone(&over);
        let answerer = std::thread::Builder::new()
            .name("nfs-exports".into())
            .spawn(move || answer_all(&exports, &channels, &pipes, &told))
            .map_err(|error| Error {
                what: format!("a thread: {error}"),
                errno: Errno::EAGAIN,
            })?;
        let server = Server {
            control,
            answerer: Some(answerer),
            over,
            refused,
        };
        // NFSv3 needs programs of its own for mounting and locking, at ports of their own.
        server.set("versions", "-2 -3 +4 +4.1 +4.2")?;
        server.set("max_block_size", "1048576")?;
        server.set("portlist", &format!("tcp {PORT}"))?;
        server.set("threads", &THREADS.to_string())?;
        Ok(server)
    }

    /// Where it listens in the carried Linux.
    pub fn address() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))
    }

    /// Volumes whose file systems cannot be exported: Linux finds none of their files by a number. Clients see empty folders.
    pub fn refused(&self) -> &[Path] {
        &self.refused
    }

    /// Writes a line to one of nfsd's files.
    fn set(&self, file: &str, value: &str) -> Result<(), Error> {
        let path = CString::new(file).map_err(|_| Error::about(file)(Errno::EINVAL))?;
        call::open(&self.control, &path, Access::Write)
            .and_then(|file| call::write(&file, format!("{value}\n").as_bytes()))
            .map_err(Error::about(format_args!("nfsd: {file}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A Linux that is dead has no server either.
        let _ = self.set("threads", "0");
        let _ = call::write(&self.over, &1u64.to_ne_bytes());
        if let Some(answerer) = self.answerer.take() {
            let _ = answerer.join();
        }
    }
}

/// The files by which the caches ask, in the order of [`CACHES`].
type Channels = [OwnedFd; 3];

fn channels(kernel: &Kernel) -> Result<Channels, Error> {
    let proc = call::file_system(kernel, c"proc").map_err(Error::about("/proc"))?;
    let open = |(_, name)| {
        let path = CString::new(format!("thread-self/net/rpc/{name}/channel"));
        path.map_err(|_| Errno::EINVAL)
            .and_then(|path| call::open(&proc, &path, Access::ReadWrite))
            .map_err(Error::about(name))
    };
    let [clients, handles, paths] = CACHES;
    Ok([open(clients)?, open(handles)?, open(paths)?])
}

/// What is exported, and what Linux refuses to. It has the answers for the exports themselves then.
fn exports(channels: &Channels, volumes: &[Volume]) -> Result<(Vec<Export>, Vec<Path>), Error> {
    let tell = |export: &[Export], cache: Cache, question: &[u8]| {
        let channel = channels
            .iter()
            .zip(CACHES)
            .find(|(_, (other, _))| *other == cache);
        match (channel, upcalls::answer(export, cache, question)) {
            (Some((channel, _)), Some(answer)) => call::write(channel, &answer),
            _ => Err(Errno::EINVAL),
        }
    };
    // Clients come first: the domain is not known before.
    let client = format!("nfsd {}", Ipv4Addr::LOCALHOST);
    tell(&[], Cache::Clients, client.as_bytes()).map_err(Error::about("clients of nfsd's"))?;
    let top = Export {
        place: place(&[]),
        identity: None,
    };
    let mut exports = vec![top];
    tell(&exports, Cache::Exports, &upcalls::question(&place(&[])))
        .map_err(Error::about("the folders above the volumes"))?;
    let mut refused = Vec::new();
    for volume in volumes {
        let export = Export {
            place: place(&volume.path),
            identity: Some(volume.identity),
        };
        match tell(
            std::slice::from_ref(&export),
            Cache::Exports,
            &upcalls::question(&export.place),
        ) {
            Ok(()) => exports.push(export),
            Err(Errno::EINVAL) => refused.push(volume.path.clone()),
            Err(errno) => return Err(Error::about(String::from_utf8_lossy(&export.place))(errno)),
        }
    }
    Ok((exports, refused))
}

/// How often it is looked whether the pipe is there, and how long in all; it comes in milliseconds.
const LOOK: Duration = Duration::from_millis(2);
const LOOKS: u32 = 1000;

/// Answers what nfsd asks, until it is over or Linux is.
fn answer_all(exports: &[Export], channels: &Channels, pipes: &OwnedFd, over: &OwnedFd) {
    let pipe = (0..LOOKS).find_map(|_| {
        let opened = call::open(pipes, tracking::PIPE, Access::ReadWrite);
        if opened.is_err() {
            std::thread::sleep(LOOK);
        }
        opened.ok()
    });
    let Some(pipe) = pipe else {
        // nfsd did not start, and says so itself.
        return;
    };
    let [clients, handles, paths] = channels;
    loop {
        match call::wait_readable([clients, handles, paths, &pipe, over]) {
            Ok([.., false]) => {}
            Ok([.., true]) | Err(_) => return,
        }
        for (channel, (cache, _)) in channels.iter().zip(CACHES) {
            answer_some(channel, |question| upcalls::answer(exports, cache, question));
        }
        answer_some(&pipe, tracking::answer);
    }
}

/// Answers what there is to read.
fn answer_some(channel: &OwnedFd, answer: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    /// A question is at most a page.
    const PAGE: usize = 4096;
    let mut question = vec![0; PAGE];
    while let Ok(len @ 1..) = call::read(channel, &mut question) {
        if let Some(answer) = answer(question.get(..len).unwrap_or_default()) {
            // What Linux does not take is asked again, or the client is told that it must try later.
            let _ = call::write(channel, &answer);
        }
    }
}
