//! What an answer may be.
//!
//! Bytes of files, names in directories, sizes and targets of links are compared with what was put on the volume. All else that a
//! volume says cannot change, since nothing writes to it: the first answer of a healthy volume to a question is kept, and each later one
//! has to be the same, whatever happened to the volume in between: another mount, another Linux, another boot.

use super::weather::Troubles;
use ntos::nt::*;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// What was asked, of which item of which volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub volume: usize,
    pub item: usize,
    /// How the handle was opened, as far as the answer depends on it.
    pub how: u32,
    pub what: &'static str,
    /// Classes, lengths, codes.
    pub numbers: [u32; 3],
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: NTSTATUS,
    pub information: usize,
    /// Of the bytes that came, where they say the same each time.
    pub digest: u64,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Answer {
            status,
            information,
            digest,
        } = self;
        write!(f, "{}, {information}, digest {digest:#018x}", name(*status))
    }
}

/// A digest of bytes, the same in each process.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The answers that are known, of all lives of the machine.
#[derive(Default)]
pub struct Known(Mutex<HashMap<Question, Answer>>);

impl Known {
    /// Judges an answer that came in spite of `troubles`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(
        &self,
        question: Question,
        answer: Answer,
        troubles: Troubles,
        opening: bool,
    ) -> Result<(), String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&question) {
            Some(right) if *right == answer => Ok(()),
            _ if troubles.excuse(answer.status, opening) => Ok(()),
            Some(right) => Err(format!("{answer}, instead of {right}, with {troubles}")),
            // What it would say without them is not known.
            None if !troubles.is_empty() => Ok(()),
            None => {
                known.insert(question, answer);
                Ok(())
            }
        }
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Judges a read of `len` bytes, of which the file has `right` there.
///
/// # Errors
/// What is wrong with it.
pub fn judge_read(
    (status, information): (NTSTATUS, usize),
    bytes: &[u8],
    right: &[u8],
    len: usize,
    troubles: Troubles,
) -> Result<(), String> {
    if status == STATUS_SUCCESS {
        if information != right.len() {
            return Err(format!(
                "{information} bytes were read instead of {}",
                right.len()
            ));
        }
        if right.is_empty() && len != 0 {
            return Err("a read behind the end succeeded".to_owned());
        }
        return match bytes.iter().zip(right).position(|(one, other)| one != other) {
            Some(at) => Err(format!("wrong bytes from {at} on, with {troubles}")),
            None if bytes.len() != right.len() => Err(format!("{} bytes came", bytes.len())),
            None => Ok(()),
        };
    }
    let ends = status == STATUS_END_OF_FILE && right.is_empty() && len != 0 && information == 0;
    match ends || troubles.excuse(status, false) {
        true => Ok(()),
        false => Err(format!("{}, {information}, with {troubles}", name(status))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::weather::Trouble;
    use super::*;

    fn question() -> Question {
        Question {
            volume: 1,
            item: 2,
            how: 0,
            what: "information",
            numbers: [4, 40, 0],
        }
    }

    fn answer(status: NTSTATUS) -> Answer {
        Answer {
            status,
            information: 40,
            digest: 7,
        }
    }

    #[test]
    fn an_answer_that_changes_is_refused() {
        let known = Known::default();
        let judge = |answer, troubles| known.judge(question(), answer, troubles, false);
        assert_eq!(judge(answer(STATUS_SUCCESS), Troubles::default()), Ok(()));
        assert_eq!(judge(answer(STATUS_SUCCESS), Troubles::default()), Ok(()));
        let other = [
            answer(STATUS_INVALID_PARAMETER),
            Answer {
                information: 39,
                ..answer(STATUS_SUCCESS)
            },
            Answer {
                digest: 8,
                ..answer(STATUS_SUCCESS)
            },
        ];
        let gone = Troubles::of(&[Trouble::Gone, Trouble::Short]);
        for other in other {
            assert!(judge(other, Troubles::default()).is_err(), "{other}");
            assert!(judge(other, gone).is_err(), "{other}");
        }
        assert_eq!(judge(answer(STATUS_NO_SUCH_DEVICE), gone), Ok(()));
        let dead = judge(
            answer(STATUS_NO_SUCH_DEVICE),
            Troubles::of(&[Trouble::Unreadable]),
        );
        assert!(dead.is_err());
    }

    #[test]
    fn what_a_volume_in_trouble_says_is_not_taken_for_the_truth() {
        let known = Known::default();
        let judge = |answer, troubles| known.judge(question(), answer, troubles, false);
        let short = Troubles::of(&[Trouble::Short]);
        assert_eq!(judge(answer(STATUS_INSUFFICIENT_RESOURCES), short), Ok(()));
        assert_eq!(judge(answer(STATUS_SUCCESS), Troubles::default()), Ok(()));
        assert!(judge(answer(STATUS_INSUFFICIENT_RESOURCES), Troubles::default()).is_err());
    }

    #[test]
    fn a_read_is_right_or_excused() {
        let none = Troubles::default();
        let gone = Troubles::of(&[Trouble::Gone]);
        let right = b"right";
        let read = |status, information, bytes: &[u8], troubles| {
            judge_read((status, information), bytes, right, 5, troubles)
        };
        assert_eq!(read(STATUS_SUCCESS, 5, b"right", none), Ok(()));
        for troubles in [none, gone] {
            assert!(
                read(STATUS_SUCCESS, 5, b"wrong", troubles).is_err(),
                "wrong bytes"
            );
            assert!(read(STATUS_SUCCESS, 4, b"righ", troubles).is_err(), "short");
            assert!(
                read(STATUS_SUCCESS, 5, b"righ", troubles).is_err(),
                "bytes are missing"
            );
            assert!(
                read(STATUS_END_OF_FILE, 0, b"", troubles).is_err(),
                "not at the end"
            );
        }
        assert!(read(STATUS_NO_SUCH_DEVICE, 0, b"", none).is_err());
        assert_eq!(read(STATUS_NO_SUCH_DEVICE, 0, b"", gone), Ok(()));
        assert_eq!(judge_read((STATUS_END_OF_FILE, 0), b"", b"", 5, none), Ok(()));
        assert!(judge_read((STATUS_SUCCESS, 0), b"", b"", 5, none).is_err());
    }
}
