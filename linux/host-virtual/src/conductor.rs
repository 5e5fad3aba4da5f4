//! Virtual time that several Linuxes share: a clock that passes only as something outside of this Linux says.

/// How the clock goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What the clock says now, in nanoseconds since the simulation began. It never goes back.
    pub now: u64,
    /// Until when timers fire, this one included, before the conductor is asked again.
    pub limit: u64,
}

/// Drives the clock of one Linux, in step with others: [`crate::World::conduct`].
///
/// Its methods are called by whichever thread waits last, while no thread of this Linux has the turn. They may give Linux packets and ring
/// bells; what becomes ready thereby goes on when the clock has been set. They must not read the clock, nor call into Linux.
pub trait Conductor: Send + Sync {
    /// Whether it must be asked before time passes, whatever the limit: something that was sent, for instance, is to arrive now.
    fn is_due(&self) -> bool;

    /// Nothing is ready. The clock says `now`, and the earliest timer fires at `next`, if there is one; both in nanoseconds since the
    /// simulation began. It waits for as long as it must. `None`: the clock is this Linux's own from now on.
    fn next(&self, now: u64, next: Option<u64>) -> Option<Step>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Bell, Schedule};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    /// Says prepared steps, and remembers what it was asked.
    struct Script {
        steps: Mutex<Vec<Option<Step>>>,
        asked: Mutex<Vec<(u64, Option<u64>)>>,
        due: AtomicBool,
        bell: Arc<Bell>,
    }

    impl Conductor for Script {
        fn is_due(&self) -> bool {
            self.due.load(Ordering::SeqCst)
        }

        fn next(&self, now: u64, next: Option<u64>) -> Option<Step> {
            self.due.store(false, Ordering::SeqCst);
            self.asked.lock().unwrap().push((now, next));
            let step = self.steps.lock().unwrap().pop().unwrap();
            if step.is_some_and(|step| step.now == 5) {
                self.bell.ring();
            }
            step
        }
    }

    #[test]
    fn the_clock_passes_as_the_conductor_says_and_timers_fire_up_to_its_limit() {
        const START: u64 = 1000;
        let schedule = Schedule::new(START);
        let bell = Arc::new(Bell::new(&schedule));
        let step = |now, limit| Some(Step { now, limit });
        let script = Arc::new(Script {
            // The last one first.
            steps: Mutex::new(vec![None, step(33, 33), step(20, 30), step(5, 25), step(2, 2)]),
            asked: Mutex::default(),
            due: AtomicBool::new(false),
            bell: Arc::clone(&bell),
        });
        let (seen, times) = mpsc::channel();
        let its_script = Arc::clone(&script);
        std::thread::spawn(move || {
            schedule.join_in();
            let conductor: Arc<dyn Conductor> = Arc::<Script>::clone(&its_script);
            schedule.conduct(conductor);
            let tell = |what: bool| seen.send((schedule.now() - START, what)).unwrap();
            // The bell rings at 5, before its time is over.
            tell(bell.wait_until(START + 10));
            for time in [10, 20] {
                schedule.sleep_until(START + time);
                tell(true);
            }
            // Something was sent: it is asked at 20, although 30 is within the limit, and 40 is not.
            its_script.due.store(true, Ordering::SeqCst);
            for time in [30, 40, 5000] {
                schedule.sleep_until(START + time);
                tell(true);
            }
            schedule.leave();
        });
        let next = || times.recv_timeout(Duration::from_secs(60)).unwrap();
        let seen: Vec<(u64, bool)> = (0..6).map(|_| next()).collect();
        assert_eq!(
            seen,
            [
                (5, true),
                (10, true),
                (20, true),
                (30, true),
                (40, true),
                (5000, true)
            ]
        );
        let asked = script.asked.lock().unwrap();
        let expected = [
            (0, Some(10)),
            (2, Some(10)),
            (20, Some(30)),
            (30, Some(40)),
            (33, Some(40)),
        ];
        assert_eq!(*asked, expected);
    }
}
