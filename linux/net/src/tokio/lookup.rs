//! Names, for tasks: a thread asks, as tokio's own `lookup_host` has it.

use crate::address::{Target, ToSocketAddrs};
use crate::namespace::Namespace;
use crate::resolve;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

#[derive(Default)]
struct Answer {
    found: Option<io::Result<Vec<IpAddr>>>,
    waker: Option<Waker>,
}

/// The addresses that something stands for.
pub(super) async fn addresses<A: ToSocketAddrs>(by: &Namespace, addr: A) -> io::Result<Vec<SocketAddr>> {
    match addr.target()? {
        Target::Addresses(addresses) => Ok(addresses),
        Target::Host(name, port) => {
            let found = ask(by.clone(), name).await?;
            Ok(found.into_iter().map(|ip| (ip, port).into()).collect())
        }
    }
}

async fn ask(by: Namespace, name: String) -> io::Result<Vec<IpAddr>> {
    let answer = Arc::new(Mutex::new(Answer::default()));
    let theirs = Arc::clone(&answer);
    thread::Builder::new()
        .name("lkl-resolve".to_owned())
        .spawn(move || {
            let found = resolve::host_in(&by, &name);
            let waker = {
                let mut answer = theirs.lock().unwrap_or_else(PoisonError::into_inner);
                answer.found = Some(found);
                answer.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        })?;
    poll_fn(|context| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.found.take() {
            Some(found) => Poll::Ready(found),
            None => {
                answer.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}
