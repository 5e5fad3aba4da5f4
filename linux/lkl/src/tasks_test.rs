//! The pool under many threads.

use super::*;
use fallible::try_box;
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

fn task(number: usize) -> NonNull<lkl_task> {
    NonNull::new(core::ptr::without_provenance_mut(number)).unwrap()
}

fn pool() -> TaskPool {
    let growing = Plain(Mutex::new(1), Condvar::new());
    let waits = Waits::new(try_box(growing).unwrap(), try_box(Plain::default()).unwrap());
    TaskPool::new(task(usize::MAX), Arc::new(waits))
}

#[test]
fn lends_each_task_once() {
    let pool = Arc::new(pool());
    let next = Arc::new(AtomicUsize::new(1));
    let in_use: Arc<Vec<AtomicUsize>> = Arc::new((0..64).map(|_| AtomicUsize::new(0)).collect());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (pool, next, in_use) = (pool.clone(), next.clone(), in_use.clone());
            thread::spawn(move || {
                for _ in 0..5000 {
                    let lent = pool
                        .take(|_| Ok(task(next.fetch_add(1, Ordering::SeqCst))))
                        .unwrap();
                    let user = &in_use[lent.task.as_ptr().addr()];
                    assert_eq!(user.fetch_add(1, Ordering::SeqCst), 0, "lent twice");
                    assert_eq!(user.fetch_sub(1, Ordering::SeqCst), 1);
                    pool.give_back(lent);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(
        (1..=16).contains(&pool.made()),
        "{} tasks for 16 threads",
        pool.made()
    );
}

#[test]
fn a_full_pool_makes_callers_wait() {
    let pool = Arc::new(pool());
    let next = AtomicUsize::new(1);
    let mut all: Vec<_> = (0..CAPACITY)
        .map(|_| {
            pool.take(|_| Ok(task(next.fetch_add(1, Ordering::SeqCst))))
                .unwrap()
        })
        .collect();
    assert_eq!(pool.made(), CAPACITY);
    let waiters: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || {
                let lent = pool.take(|_| panic!("more than the capacity")).unwrap();
                pool.give_back(lent);
            })
        })
        .collect();
    thread::sleep(std::time::Duration::from_millis(20));
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    pool.give_back(all.pop().unwrap());
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn a_failure_to_grow_is_the_callers() {
    let pool = pool();
    assert_eq!(pool.take(|_| Err(Errno::ENOMEM)).map(|_| ()), Err(Errno::ENOMEM));
    let lent = pool.take(|parent| Ok(task(parent.as_ptr().addr() - 1))).unwrap();
    pool.give_back(lent);
    let again = pool.take(|_| Err(Errno::ENOMEM)).unwrap();
    assert_eq!(again.task, task(usize::MAX - 1));
}

/// One thread makes a task and never comes back; the others wait for their turn to make one.
#[test]
fn waiters_are_sent_away_when_the_wait_is_called_off() {
    let pool = Arc::new(pool());
    let maker = pool.clone();
    let (begun, has_begun) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let never = maker.take(|_| {
            begun.send(()).unwrap();
            loop {
                thread::park();
            }
        });
        never.map(drop)
    });
    has_begun.recv().unwrap();
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            // One that got so far would have another error.
            thread::spawn(move || pool.take(|_| Err(Errno::EBUSY)).map(drop))
        })
        .collect();
    thread::sleep(std::time::Duration::from_millis(20));
    pool.waits.call_off();
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap(), Err(Errno::ENODEV));
    }
}
