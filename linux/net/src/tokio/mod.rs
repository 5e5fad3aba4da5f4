//! Sockets for tasks of tokio's: the names and signatures of `tokio::net`.
//!
//! The story of one read: the task's `poll_read` calls `recv()`, which does not wait. When there is nothing, the task leaves
//! its waker with the socket's [`Readiness`] and sleeps. One thread, the reactor ([`reactor`]), waits for all sockets
//! in Linux's epoll; what comes marks the socket as ready and wakes the task. No runtime's own I/O driver is needed, and
//! a task may be on any runtime: the wakers are all that ties the two.
//!
//! hyper, h2 and TLS streams take [`TcpStream`] as they take tokio's own, since it has its `AsyncRead` and `AsyncWrite`.

pub mod forward;
mod lookup;
pub mod reactor;
mod readiness;
mod tcp;
mod udp;
mod unix;

pub use forward::forward;
pub use readiness::{Direction, Readiness};
pub use tcp::{OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream};
pub use udp::UdpSocket;
pub use unix::{UnixListener, UnixStream};
