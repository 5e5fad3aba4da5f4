//! Calls that wait: each is kept with its proxy, tried again when something happens there, and forgotten when its thread waits no more.

use super::Supervisor;
use crate::calls::Answer;
use crate::notify::Call;
use crate::proxy::{Proxy, Waiting};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How often waiting calls are looked after.
const SWEEP: Duration = Duration::from_millis(100);

impl Supervisor {
    /// Gives an answer, or keeps the call.
    pub(super) fn finish(&self, call: &Call, answer: Answer) {
        match answer {
            Answer::Value(value) => self.notifier.succeed(call, value),
            Answer::Fail(errno) => self.notifier.fail(call, errno),
            Answer::Pass => self.notifier.pass(call),
            Answer::Done => {}
            Answer::Wait(proxy, patience) => {
                let until = patience.map(|patience| Instant::now() + patience);
                self.keep(&proxy, Waiting { call: *call, until });
                // It may have happened meanwhile.
                self.retry(&proxy);
            }
        }
    }

    fn keep(&self, proxy: &Proxy, waiting: Waiting) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        proxy.state().waiting.push(waiting);
    }

    /// Tries the calls that wait for a proxy once more. They stay counted meanwhile: whoever has news of the proxy and sees that no call
    /// waits would not come here.
    pub fn retry(&self, proxy: &Proxy) {
        // One thread does it at a time, once more for each that came meanwhile.
        if proxy.attempts.fetch_add(1, Ordering::AcqRel) != 0 {
            return;
        }
        loop {
            let seen = proxy.attempts.load(Ordering::Acquire);
            let waiting = std::mem::take(&mut proxy.state().waiting);
            for mut waiting in waiting {
                if !self.notifier.is_waiting(&waiting.call) {
                    self.waiting.fetch_sub(1, Ordering::AcqRel);
                    continue;
                }
                waiting.call.again = true;
                match self.answer(&waiting.call) {
                    Answer::Wait(..) if waiting.until.is_some_and(|until| until <= Instant::now()) => {
                        let errno = match waiting.call.number {
                            libc::SYS_connect => libc::EINPROGRESS,
                            _ => libc::EAGAIN,
                        };
                        self.waiting.fetch_sub(1, Ordering::AcqRel);
                        self.notifier.fail(&waiting.call, errno);
                    }
                    Answer::Wait(..) => proxy.state().waiting.push(waiting),
                    answer => {
                        self.waiting.fetch_sub(1, Ordering::AcqRel);
                        self.finish(&waiting.call, answer);
                    }
                }
            }
            if proxy.attempts.fetch_sub(seen, Ordering::AcqRel) == seen {
                return;
            }
        }
    }

    /// Forgets calls of threads that do not wait any more, and ends those whose time is over.
    pub(super) fn sweep(&self) {
        while !self.stopped.load(Ordering::Acquire) {
            thread::park_timeout(SWEEP);
            if self.waiting.load(Ordering::Acquire) == 0 {
                continue;
            }
            let all: Vec<Arc<Proxy>> = self.proxies().values().cloned().collect();
            for proxy in all {
                let now = Instant::now();
                let mut over = false;
                let mut gone = 0;
                proxy.state().waiting.retain(|waiting| {
                    over |= waiting.until.is_some_and(|until| until <= now);
                    let waits = self.notifier.is_waiting(&waiting.call);
                    gone += usize::from(!waits);
                    waits
                });
                self.waiting.fetch_sub(gone, Ordering::AcqRel);
                if over {
                    self.retry(&proxy);
                }
            }
        }
    }
}
