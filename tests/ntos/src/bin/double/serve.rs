//! `double serve`: the driver, loaded, for other programs to ask.
//!
//! A socket of this machine stands for the system calls: each connection opens one thing by its NT name and then sends
//! requests on that handle, from user mode ([`lklfs_client::wire`]). Each connection has a thread, which is the program's
//! thread as far as the driver can see, and has the token of an administrator or, with `--standard-user` or on the socket
//! `--user-socket`, of a user.
//!
//! Checks that the I/O manager makes are made here, since the double's own opens are trusted: the descriptor of a device
//! that has one is checked against the token, and a control code or a listing against the access of the handle.
//
// UNSAFETY: a descriptor that the driver has set is taken apart.

use crate::ending::Ending;
use crate::failure::{Exit, Failure};
use clap::Args;
use lklfs_client::NtStatus;
use lklfs_client::wire::{Frame, Reply};
use ntos::disk::DiskConfig;
use ntos::nt::*;
use ntos::se::token::{self, Token};
use ntos::user::{Handle, Machine, OpenAs, Outcome};
use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// How to serve.
#[derive(Args)]
pub struct Serve {
    /// The socket, which is made
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// A second socket, whose programs are a standard user's
    #[arg(long, value_name = "PATH")]
    user_socket: Option<PathBuf>,
    /// A disk, by its image; may be given again
    #[arg(long, value_name = "IMAGE")]
    pub disk: Vec<PathBuf>,
    /// Show this folder as drive C:, read-only
    #[arg(long, value_name = "FOLDER")]
    drive_c: Option<PathBuf>,
    /// Without a mount manager
    #[arg(long)]
    no_mount_manager: bool,
    /// Programs are a standard user's, not an administrator's
    #[arg(long)]
    standard_user: bool,
    /// The memory that the machine says it has
    #[arg(long, value_name = "MIB")]
    memory: Option<usize>,
}

/// Loads the driver, serves until the end, unloads it.
pub fn run(how: &Serve, disks: Vec<DiskConfig>, seed: u64, driver: &Path) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(Exit::Other, format_args!("cannot wait for the end: {error}"));
    let ending = Ending::new().map_err(failed)?;
    let sockets: Vec<(&Path, bool)> = [(how.socket.as_path(), how.standard_user)]
        .into_iter()
        .chain(how.user_socket.as_deref().map(|path| (path, true)))
        .collect();
    let mut builder = Machine::builder().seed(seed);
    if let Some(root) = &how.drive_c {
        let root = root
            .canonicalize()
            .ok()
            .filter(|root| root.is_dir())
            .ok_or_else(|| {
                Failure::new(
                    Exit::Usage,
                    format_args!("{}: no such folder; --drive-c wants one", root.display()),
                )
            })?;
        builder = builder.drive_c(root);
    }
    if !how.no_mount_manager {
        builder = builder.mount_manager(true);
    }
    if let Some(mib) = how.memory {
        builder = builder.memory(mib << 20);
    }
    let mut machine = disks
        .into_iter()
        .fold(builder, |builder, disk| builder.disk(disk))
        .start()
        .map_err(crate::machine_failure)?;
    machine.load_driver(driver).map_err(crate::machine_failure)?;
    // The driver has looked at the disks that are there before anybody can ask.
    machine.settle();
    let listeners: Result<Vec<_>, Failure> = sockets
        .iter()
        .map(|(path, standard)| Ok((listen(path)?, *standard)))
        .collect();
    let result = listeners.and_then(|listeners| {
        let server = Server::start(listeners);
        println!("double: ready at {}", how.socket.display());
        let ended = ending.wait().map_err(failed);
        server.end(&sockets);
        for (path, _) in &sockets {
            let _ = std::fs::remove_file(path);
        }
        ended
    });
    machine.settle();
    crate::unload(machine, result)
}

/// Makes a socket; one that nobody listens to any more is replaced.
fn listen(path: &Path) -> Result<UnixListener, Failure> {
    let bound = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(path) {
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            _ => Err(error),
        },
        other => other,
    };
    bound.map_err(|error| {
        let path = path.display();
        Failure::new(
            Exit::Other,
            format_args!("{path}: {error}; name a new file for the socket"),
        )
    })
}

/// The connections, each with its thread, and their handles by number.
#[derive(Default)]
struct Connections {
    ending: AtomicBool,
    list: Mutex<Vec<(UnixStream, JoinHandle<()>)>>,
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    numbers: AtomicU64,
}

impl Connections {
    fn handles(&self) -> MutexGuard<'_, HashMap<u64, Arc<Handle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a handle a number, from 1 on.
    fn enter(self: &Arc<Self>, handle: Handle) -> Numbered {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let handle = Arc::new(handle);
        self.handles().insert(number, Arc::clone(&handle));
        Numbered {
            number,
            handle,
            connections: Arc::clone(self),
        }
    }

    /// The handle with this number; none for 0.
    fn root(&self, number: u64) -> Result<Option<Arc<Handle>>, NTSTATUS> {
        match number {
            0 => Ok(None),
            _ => self
                .handles()
                .get(&number)
                .map(|handle| Some(Arc::clone(handle)))
                .ok_or(STATUS_INVALID_HANDLE),
        }
    }
}

/// A connection's handle; others open relative to it by its number.
struct Numbered {
    number: u64,
    handle: Arc<Handle>,
    connections: Arc<Connections>,
}

impl Drop for Numbered {
    fn drop(&mut self) {
        // Closed by whoever drops the last count, with no lock held: here, unless something is being opened by it.
        let entered = self.connections.handles().remove(&self.number);
        drop(entered);
    }
}

struct Server {
    connections: Arc<Connections>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Listens; whoever comes to a socket that says so is a standard user.
    fn start(listeners: Vec<(UnixListener, bool)>) -> Server {
        let connections = Arc::new(Connections::default());
        let threads = listeners.into_iter().map(|(listener, standard_user)| {
            let connections = Arc::clone(&connections);
            thread::spawn(move || accept(&listener, standard_user, &connections))
        });
        let threads = threads.collect();
        Server { connections, threads }
    }

    /// Closes every handle: no program goes on.
    fn end(self, sockets: &[(&Path, bool)]) {
        self.connections.ending.store(true, Ordering::SeqCst);
        for (path, _) in sockets {
            // Wakes the listener.
            let _ = UnixStream::connect(path);
        }
        for thread in self.threads {
            // A thread that has panicked has said so; its handles are closed nevertheless.
            let _ = thread.join();
        }
        let mut list = self
            .connections
            .list
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (stream, program) in list.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = program.join();
        }
    }
}

/// Gives each connection a thread, until the end.
fn accept(listener: &UnixListener, standard_user: bool, connections: &Arc<Connections>) {
    for stream in listener.incoming() {
        if connections.ending.load(Ordering::SeqCst) {
            return;
        }
        let Some((stream, other)) = stream.ok().and_then(|one| Some((one.try_clone().ok()?, one))) else {
            continue;
        };
        let shared = Arc::clone(connections);
        let program = thread::spawn(move || {
            token::set_user(standard_user.then(Token::user));
            if let Err(error) = serve(stream, &shared) {
                eprintln!("double: a connection ended: {error}");
            }
        });
        let mut list = connections.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(_, program)| !program.is_finished());
        list.push((other, program));
    }
}

/// One connection, until the program goes.
fn serve(mut stream: UnixStream, connections: &Arc<Connections>) -> io::Result<()> {
    let mut handle: Option<Numbered> = None;
    while let Some(frame) = Frame::read(&mut stream)? {
        let outcome = match &handle {
            Some(numbered) => ask(&numbered.handle, frame),
            None => match first(frame, connections) {
                Ok(opened) => {
                    let numbered = handle.insert(connections.enter(opened));
                    Outcome {
                        status: STATUS_SUCCESS,
                        information: 0,
                        bytes: numbered.number.to_le_bytes().to_vec(),
                    }
                }
                Err(status) => Outcome::failed(status),
            },
        };
        let reply = Reply {
            status: NtStatus(outcome.status.cast_unsigned()),
            bytes: outcome.bytes,
        };
        reply.write(&mut stream)?;
    }
    Ok(())
}

/// What a connection begins with.
fn first(frame: Frame, connections: &Connections) -> Result<Handle, NTSTATUS> {
    match frame {
        Frame::Open { access, name } => open(&name, None, OpenAs::read().access(access)),
        Frame::Create {
            access,
            options,
            exact,
            root,
            name,
        } => {
            let how = OpenAs::read().access(access).with(options);
            let how = if exact { how.exact_case() } else { how };
            open(&name, connections.root(root)?.as_deref(), how)
        }
        _ => Err(STATUS_INVALID_HANDLE),
    }
}

/// A request on a handle.
fn ask(handle: &Handle, frame: Frame) -> Outcome {
    match frame {
        Frame::Control { code, room, input } => handle.ioctl(code, &input, room as usize),
        Frame::FsControl { code, room, input } => handle.fsctl(code, &input, room as usize),
        Frame::Read { offset, length } => handle.read(Some(offset), length as usize),
        Frame::Directory { class, restart, room } => {
            let flags = if restart { SL_RESTART_SCAN } else { 0 };
            handle.query_directory(class, room as usize, None, flags)
        }
        Frame::Open { .. } | Frame::Create { .. } => Outcome::failed(STATUS_INVALID_PARAMETER),
    }
}

/// Opens `name`, relative to `root` if there is one, as a program does.
fn open(name: &[u16], root: Option<&Handle>, how: OpenAs) -> Result<Handle, NTSTATUS> {
    Handle::open(name.to_vec(), root, how)
}
