//! The gate under many threads.

use super::*;
use fallible::try_box;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::vec::Vec;

#[derive(Default)]
struct Plain(Mutex<u32>, Condvar);

impl Semaphore for Plain {
    fn up(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_one();
    }
    fn down(&self) {
        let mut count = self
            .1
            .wait_while(self.0.lock().unwrap(), |count| *count == 0)
            .unwrap();
        *count -= 1;
    }
}

#[test]
fn close_waits_for_all_who_are_inside() {
    for _ in 0..200 {
        let gate = Arc::new(Gate::new(try_box(Plain::default()).unwrap()));
        let closed = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (gate, closed) = (gate.clone(), closed.clone());
                thread::spawn(move || {
                    while gate.enter() {
                        assert!(!closed.load(Ordering::SeqCst), "inside a closed gate");
                        gate.leave();
                    }
                })
            })
            .collect();
        gate.close();
        closed.store(true, Ordering::SeqCst);
        assert!(gate.is_closed() && !gate.enter());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn closing_an_empty_gate_does_not_wait() {
    let gate = Gate::new(try_box(Plain::default()).unwrap());
    assert!(gate.enter());
    gate.leave();
    gate.close();
    assert!(!gate.enter());
}

#[test]
fn a_wait_that_is_called_off_says_whether_somebody_is_inside() {
    let gate = Arc::new(Gate::new(try_box(Plain::default()).unwrap()));
    assert!(gate.enter());
    let closing = gate.clone();
    let closer = thread::spawn(move || closing.close());
    while !gate.is_closed() {
        thread::yield_now();
    }
    gate.call_off();
    assert!(!closer.join().unwrap(), "a visitor is inside");
    assert!(!gate.is_empty());
    gate.leave();
    assert!(gate.is_empty());
}
