//! `double serve`: the driver, loaded, for other programs to ask.
//!
//! A socket of this machine stands for the system calls: each connection opens one thing by its NT name and then sends
//! requests on that handle, from user mode ([`lklfs_client::wire`]). Each connection has a thread, which is the program's
//! thread as far as the driver can see, and has the token of an administrator or, with `--standard-user`, of a user.
//!
//! Two checks that the I/O manager makes are made here, since the double's own opens are trusted: the descriptor of a
//! device that has one is checked against the token, and a control code against the access of the handle.
//
// UNSAFETY: a descriptor that the driver has set is taken apart.

use crate::ending::Ending;
use crate::failure::{Exit, Failure};
use clap::Args;
use lklfs_client::NtStatus;
use lklfs_client::wire::{Frame, Reply};
use ntos::disk::DiskConfig;
use ntos::io::{misc, names};
use ntos::nt::*;
use ntos::se::token::{self, Token};
use ntos::se::{FILE_MAPPING, check, descriptor};
use ntos::user::{Handle, Machine, OpenAs, Outcome};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// How to serve.
#[derive(Args)]
pub struct Serve {
    /// The socket, which is made
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
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
}

/// Loads the driver, serves until the end, unloads it.
pub fn run(how: &Serve, disks: Vec<DiskConfig>, seed: u64, driver: &Path) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(Exit::Other, format_args!("cannot wait for the end: {error}"));
    let ending = Ending::new().map_err(failed)?;
    let socket = |error: io::Error| {
        let path = how.socket.display();
        Failure::new(
            Exit::Other,
            format_args!("{path}: {error}; name a new file for the socket"),
        )
    };
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
    let mut machine = disks
        .into_iter()
        .fold(builder, |builder, disk| builder.disk(disk))
        .start()
        .map_err(crate::machine_failure)?;
    machine.load_driver(driver).map_err(crate::machine_failure)?;
    let result = listen(&how.socket).map_err(socket).and_then(|listener| {
        let server = Server::start(listener, how.standard_user);
        println!("double: ready at {}", how.socket.display());
        let ended = ending.wait().map_err(failed);
        server.end(&how.socket);
        let _ = std::fs::remove_file(&how.socket);
        ended
    });
    machine.settle();
    crate::unload(machine, result)
}

/// Makes the socket; one that nobody listens to any more is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(path) {
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            _ => Err(error),
        },
        other => other,
    }
}

/// The connections, each with its thread.
#[derive(Default)]
struct Connections {
    ending: AtomicBool,
    list: Mutex<Vec<(UnixStream, JoinHandle<()>)>>,
}

struct Server {
    connections: Arc<Connections>,
    thread: JoinHandle<()>,
}

impl Server {
    fn start(listener: UnixListener, standard_user: bool) -> Server {
        let connections = Arc::new(Connections::default());
        let shared = Arc::clone(&connections);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ending.load(Ordering::SeqCst) {
                    return;
                }
                let Some((stream, other)) = stream.ok().and_then(|one| Some((one.try_clone().ok()?, one)))
                else {
                    continue;
                };
                let program = thread::spawn(move || {
                    token::set_user(standard_user.then(Token::user));
                    if let Err(error) = serve(stream) {
                        eprintln!("double: a connection ended: {error}");
                    }
                });
                let mut list = shared.list.lock().unwrap_or_else(PoisonError::into_inner);
                list.retain(|(_, program)| !program.is_finished());
                list.push((other, program));
            }
        });
        Server { connections, thread }
    }

    /// Closes every handle: no program goes on.
    fn end(self, socket: &Path) {
        self.connections.ending.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = UnixStream::connect(socket);
        // A thread that has panicked has said so; its handle is closed nevertheless.
        let _ = self.thread.join();
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

/// One connection, until the program goes.
fn serve(mut stream: UnixStream) -> io::Result<()> {
    let mut handle: Option<Handle> = None;
    while let Some(frame) = Frame::read(&mut stream)? {
        let outcome = match (&handle, frame) {
            (None, Frame::Open { access, name }) => match open(&name, access) {
                Ok(opened) => {
                    handle = Some(opened);
                    Outcome::failed(STATUS_SUCCESS)
                }
                Err(status) => Outcome::failed(status),
            },
            (Some(handle), Frame::Control { code, room, input }) if permits(handle, code) => {
                handle.ioctl(code, &input, room as usize)
            }
            (Some(_), Frame::Control { .. }) => Outcome::failed(STATUS_ACCESS_DENIED),
            (Some(handle), Frame::Read { offset, length }) => handle.read(Some(offset), length as usize),
            (None, _) => Outcome::failed(STATUS_INVALID_HANDLE),
            (Some(_), Frame::Open { .. }) => Outcome::failed(STATUS_INVALID_PARAMETER),
        };
        let reply = Reply {
            status: NtStatus(outcome.status.cast_unsigned()),
            bytes: outcome.bytes,
        };
        reply.write(&mut stream)?;
    }
    Ok(())
}

/// Opens `name` as a program does that wants `access` and reads synchronously.
fn open(name: &[u16], access: u32) -> Result<Handle, NTSTATUS> {
    let access = misc::map_generic(access);
    if let Ok((names::Node::Device(device), _)) = names::resolve(name)
        && let Some(mut security) = ntos::ob::security_of(device as PVOID)
    {
        // SAFETY: the descriptor was checked when it was set, and lives until the end of this block.
        let parts = unsafe { descriptor::parts(security.as_mut_ptr().cast()) };
        // SAFETY: as above.
        if !unsafe { check::granted(&parts, &token::current(), access, &FILE_MAPPING) }.1 {
            return Err(STATUS_ACCESS_DENIED);
        }
    }
    Handle::open(name.to_vec(), None, OpenAs::read().access(access))
}

/// Whether a control code may be sent on a handle: it says what access it needs.
fn permits(handle: &Handle, code: u32) -> bool {
    let wanted = code >> 14 & (FILE_READ_DATA | FILE_WRITE_DATA);
    handle.granted() & wanted == wanted
}
