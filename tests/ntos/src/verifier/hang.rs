//! A limit on how long something may take, with a report of what every thread was doing.

use crate::ps::Thread;
use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::Duration,
};

/// Stops the process unless it is dropped in time.
pub struct Watch(#[allow(dead_code, reason = "dropping it ends the watch")] Sender<()>);

/// From now on, `what` may take `limit`; then it is a hang, unless the watch is dropped before.
pub fn watch(what: &str, limit: Duration) -> Watch {
    let (sender, receiver) = channel::<()>();
    let what = what.to_owned();
    let wait = move || {
        if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            if crate::ps::suspend::any() {
                crate::fail!(
                    SuspendedHolder,
                    "{what} takes more than {limit:?}, while a thread is suspended{}",
                    threads()
                );
            }
            crate::fail!(Hang, "{what} takes more than {limit:?}{}", threads());
        }
    };
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(wait)
        .expect("the host has threads");
    Watch(sender)
}

/// What each thread does, one line for each.
pub fn threads() -> String {
    let mut text = String::new();
    crate::ps::for_each_thread(|thread| text += &format!("\n      {}", describe(thread)));
    text
}

/// What another thread does. It may go on meanwhile, so this is for a thread that hangs.
fn describe(thread: &Thread) -> String {
    let doing = match crate::ke::gate::outer_view(thread) {
        None if thread.in_driver.get() => "runs in the driver".to_owned(),
        None => "is outside of the driver".to_owned(),
        Some((import, caller)) => format!("is in {import}, called at {}", crate::loader::describe(caller)),
    };
    let held: Vec<String> = thread
        .held()
        .iter()
        .map(|lock| format!("{:?} {:#x}", lock.kind, lock.address))
        .collect();
    let held = if held.is_empty() {
        String::new()
    } else {
        format!(", holds {}", held.join(", "))
    };
    format!("{} (IRQL {}) {doing}{held}", thread.name, thread.irql.get())
}
