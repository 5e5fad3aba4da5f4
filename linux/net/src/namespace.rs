//! Network name spaces: each a whole network of its own, with its interfaces, addresses, routes and rules.
//!
//! A [`Namespace`] is what new sockets belong to. Linux decides that by the task that makes the socket, so each name space but the
//! first has a task of its own, which lives in it; the socket is then used by any thread. A thread enters one
//! ([`Namespace::enter`]), or the program names one for all threads ([`Namespace::make_default`]).

// UNSAFETY: passes on what callers say of the arguments of system calls.

use crate::call;
use crate::error::{about, io_error};
use crate::resolve::NameServers;
use lkl::{EntryTask, Errno, Kernel, OwnedFd};
use std::ffi::CString;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

/// A network of Linux's. Cheap to clone. It is gone when neither this nor a socket nor an interface's other end holds it.
#[derive(Clone)]
pub struct Namespace(Arc<Inner>);

struct Inner {
    kernel: Kernel,
    /// None for the first one, in which the kernel's own tasks are.
    task: Option<Mutex<EntryTask>>,
    /// The root of a procfs.
    proc: OnceLock<OwnedFd>,
    servers: Mutex<NameServers>,
}

// It is const; clippy does not see it where the system keeps the thread's own data.
#[allow(clippy::missing_const_for_thread_local)]
mod entered {
    use super::Namespace;
    use std::cell::RefCell;

    thread_local! {
        pub(super) static ENTERED: RefCell<Vec<Namespace>> = const { RefCell::new(Vec::new()) };
    }
}
use entered::ENTERED;

static DEFAULT: Mutex<Option<Namespace>> = Mutex::new(None);

impl Namespace {
    /// The one that Linux has when it has booted.
    pub fn initial(kernel: &Kernel) -> Namespace {
        Namespace::with(kernel, None)
    }

    /// A new one. It has a loopback interface, which is down, and nothing else.
    ///
    /// # Errors
    /// ENODEV when Linux is dead, ENOMEM when it has no room.
    pub fn new(kernel: &Kernel) -> io::Result<Namespace> {
        let task = kernel.entry_task().map_err(io_error)?;
        let namespace = Namespace::with(kernel, Some(Mutex::new(task)));
        call::unshare_network(&namespace).map_err(|errno| about("a new network name space", errno))?;
        Ok(namespace)
    }

    fn with(kernel: &Kernel, task: Option<Mutex<EntryTask>>) -> Namespace {
        Namespace(Arc::new(Inner {
            kernel: kernel.clone(),
            task,
            proc: OnceLock::new(),
            servers: Mutex::new(NameServers::default()),
        }))
    }

    /// The one that this thread has entered last, or else the program's default.
    ///
    /// # Errors
    /// When there is neither.
    pub fn current() -> io::Result<Namespace> {
        if let Some(entered) = ENTERED.with_borrow(|entered| entered.last().cloned()) {
            return Ok(entered);
        }
        let default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
        default.clone().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "no network: Namespace::enter() or Namespace::make_default() says which one sockets belong to",
            )
        })
    }

    /// Runs `act`: what it makes on this thread belongs to this network.
    pub fn enter<T>(&self, act: impl FnOnce() -> T) -> T {
        /// Leaves it when `act` unwinds, too.
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                ENTERED.with_borrow_mut(|entered| drop(entered.pop()));
            }
        }
        ENTERED.with_borrow_mut(|entered| entered.push(self.clone()));
        let _leave = Leave;
        act()
    }

    /// A future that is always polled inside this network, on whichever thread.
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope {
            namespace: self.clone(),
            future: Box::pin(future),
        }
    }

    /// All threads that have not entered another one are in this one from now on. It holds the kernel until
    /// [`Kernel::halt`].
    pub fn make_default(&self) {
        *DEFAULT.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clone());
    }

    /// Takes back [`Namespace::make_default`].
    pub fn clear_default() {
        let default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(default);
    }

    /// The Linux that it is in.
    pub fn kernel(&self) -> &Kernel {
        &self.0.kernel
    }

    /// Lends the task in whose name things are made in this network: `None` for the first network, in which the kernel's own tasks
    /// are. What `act` does must leave the task in its network.
    pub fn with_task<T>(&self, act: impl FnOnce(Option<&mut EntryTask>) -> T) -> T {
        match &self.0.task {
            Some(task) => act(Some(&mut task.lock().unwrap_or_else(PoisonError::into_inner))),
            None => act(None),
        }
    }

    /// Whom this and its clones ask for names from now on.
    pub fn set_name_servers(&self, servers: NameServers) {
        *self.0.servers.lock().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// Whom they ask.
    pub fn name_servers(&self) -> NameServers {
        let servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.clone()
    }

    /// A descriptor of the name space itself, for netlink's requests that move an interface.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.open_proc("thread-self/ns/net", READ)
    }

    /// Reads a setting, as `"net.ipv4.ip_forward"` or with slashes, without its line end.
    ///
    /// # Errors
    /// Named after the setting: ENOENT when there is none of that name.
    pub fn sysctl(&self, name: &str) -> io::Result<String> {
        self.read_proc(&setting(name))
            .map(|text| text.trim_end().to_owned())
    }

    /// Writes one.
    pub fn set_sysctl(&self, name: &str, value: &str) -> io::Result<()> {
        let file = self.open_proc(&setting(name), WRITE)?;
        match call::write(&file, value.as_bytes()) {
            Ok(_) => Ok(()),
            Err(errno) => Err(about(format_args!("{name} = {value}"), errno)),
        }
    }

    /// What a file of procfs says: `"thread-self/net/dev"` is this network's `/proc/net/dev`.
    pub fn read_proc(&self, path: &str) -> io::Result<String> {
        let file = self.open_proc(path, READ)?;
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match call::read(&file, &mut piece).map_err(|errno| about(format_args!("/proc/{path}"), errno))? {
                0 => return Ok(String::from_utf8_lossy(&all).into_owned()),
                len => all.extend_from_slice(piece.get(..len).unwrap_or(&[])),
            }
        }
    }

    /// Mounts a file system of the kernel's own, `proc` or `sysfs` for instance, at `/KIND` in Linux's tree, where threads that make
    /// system calls by number see it. It may be there already.
    ///
    /// # Errors
    /// ENODEV when Linux has none of that kind; EINVAL for a name with a slash.
    pub fn mount(&self, kind: &str) -> io::Result<()> {
        let fail = |errno| about(format_args!("mount {kind}"), errno);
        if kind.is_empty() || kind.contains('/') {
            return Err(fail(Errno::EINVAL));
        }
        let kind_name = CString::new(kind).map_err(|_| fail(Errno::EINVAL))?;
        let folder = CString::new(format!("/{kind}")).map_err(|_| fail(Errno::EINVAL))?;
        call::mount(self, &kind_name, &folder).map_err(fail)
    }

    fn open_proc(&self, path: &str, flags: i32) -> io::Result<OwnedFd> {
        let fail = |errno| about(format_args!("/proc/{path}"), errno);
        let name = CString::new(path).map_err(|_| fail(Errno::EINVAL))?;
        let tree = match self.0.proc.get() {
            Some(tree) => tree,
            None => {
                let made = call::proc_tree(self).map_err(fail)?;
                self.0.proc.get_or_init(|| made)
            }
        };
        call::open(self, tree, &name, flags).map_err(fail)
    }

    /// Sets the loopback interface up, as `ip link set lo up` does. It has its addresses then.
    pub fn start_loopback(&self) -> io::Result<()> {
        self.configuration()?.set_up("lo")
    }

    /// A system call in the name of a task that is in this network.
    ///
    /// # Safety
    /// As [`Kernel::syscall`].
    #[allow(unsafe_code)]
    pub(crate) unsafe fn syscall(&self, number: i64, arguments: [i64; 6]) -> Result<u64, Errno> {
        match &self.0.task {
            Some(task) => {
                let mut task = task.lock().unwrap_or_else(PoisonError::into_inner);
                // SAFETY: the caller's promise.
                unsafe { task.syscall(number, &arguments) }
            }
            // SAFETY: the caller's promise.
            None => unsafe { self.0.kernel.syscall(number, arguments) },
        }
    }
}

const READ: i32 = 0;
const WRITE: i32 = 1;

/// The file of a setting. A name with slashes may have dots in it, as interfaces' names may.
fn setting(name: &str) -> String {
    if name.contains('/') {
        format!("sys/{name}")
    } else {
        format!("sys/{}", name.replace('.', "/"))
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("initial", &self.0.task.is_none())
            .finish_non_exhaustive()
    }
}

/// See [`Namespace::scope`].
pub struct Scope<F> {
    namespace: Namespace,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.get_mut();
        me.namespace.enter(|| me.future.as_mut().poll(context))
    }
}
