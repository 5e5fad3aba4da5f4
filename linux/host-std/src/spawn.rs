//! How a host starts the threads that work for it: by the standard library, unless it has its own way.

use std::fmt::Debug;

/// What a new thread does.
pub type Work = Box<dyn FnOnce() + Send>;

/// Starts a thread of that name. `None` when there is none to be had.
pub type Start = fn(&'static str, Work) -> Option<Box<dyn Running>>;

/// A thread that was started.
pub trait Running: Send + Debug {
    /// Whether it is the calling thread.
    fn is_current(&self) -> bool;
    /// Waits for its end.
    fn join(self: Box<Self>);
}

/// The standard library's threads.
pub fn start(name: &'static str, work: Work) -> Option<Box<dyn Running>> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(work).ok()?;
    Some(Box::new(thread))
}

impl Running for std::thread::JoinHandle<()> {
    fn is_current(&self) -> bool {
        self.thread().id() == std::thread::current().id()
    }

    fn join(self: Box<Self>) {
        // An error would be a panic in this workspace's own code, which its thread has told.
        let _ = std::thread::JoinHandle::join(*self);
    }
}
