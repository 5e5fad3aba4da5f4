//! What is known not to be there.

use std::sync::atomic::{AtomicU64, Ordering};

use lkl::Errno;

/// Something that a file has not got, as far as is known: asking Linux once is enough.
#[derive(Debug, Default)]
pub struct Absence(AtomicU64);

impl Absence {
    /// Asks, unless it is known to be absent. `act` says that it is absent by ENODATA.
    pub fn or_ask<T>(&self, act: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
        // Odd: known to be absent. Each change makes it another even number, which an answer of before does not replace.
        let known = self.0.load(Ordering::Acquire);
        if known % 2 == 1 {
            return Err(Errno::ENODATA);
        }
        let answer = act();
        if matches!(answer, Err(Errno::ENODATA)) {
            let _ = self
                .0
                .compare_exchange(known, known + 1, Ordering::AcqRel, Ordering::Relaxed);
        }
        answer
    }

    /// It is known to be absent, since the file is new.
    pub fn born(&self) {
        let _ = self.0.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// It may be there from now on.
    pub fn forget(&self) {
        let next = |known: u64| Some((known | 1) + 1);
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_asked_for_once_until_it_may_have_come() {
        let absence = Absence::default();
        let missing = || Err::<(), _>(Errno::ENODATA);
        let asked = || -> Result<(), Errno> { panic!("it was asked") };
        assert_eq!(absence.or_ask(missing), Err(Errno::ENODATA));
        assert_eq!(absence.or_ask(asked), Err(Errno::ENODATA));
        absence.forget();
        assert_eq!(absence.or_ask(|| Ok(1)), Ok(1));
        assert_eq!(absence.or_ask(|| Err::<(), _>(Errno::EIO)), Err(Errno::EIO));
        // It comes while an answer of before is on its way.
        let late = || {
            absence.forget();
            missing()
        };
        assert_eq!(absence.or_ask(late), Err(Errno::ENODATA));
        assert_eq!(absence.or_ask(|| Ok(2)), Ok(2));
        absence.born();
        assert_eq!(absence.or_ask(|| Ok(3)), Ok(3));
        let new = Absence::default();
        new.born();
        assert_eq!(new.or_ask(asked), Err(Errno::ENODATA));
    }
}
