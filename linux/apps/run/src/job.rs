//! A job: what is to be started, and what it finds.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A program with its arguments, and what it finds when it starts.
#[derive(Debug, Default)]
pub struct Job {
    /// The program, which is looked for in `PATH`, and its arguments.
    pub words: Vec<OsString>,
    /// Variables that it has beside this process', or in their place.
    pub environment: Vec<(OsString, OsString)>,
    /// Where its output and its errors go, with nothing for its input. All three are this process' if there is none here.
    pub output: Option<[File; 2]>,
    /// Files that it sees in place of the machine's, and what is in them: see [`crate::names`].
    pub files: Vec<(PathBuf, String)>,
}

impl Job {
    /// All but the output, in bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_list(&mut bytes, self.words.iter().map(|word| word.as_bytes()));
        let variables = self.environment.iter();
        put_list(
            &mut bytes,
            variables.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]),
        );
        let files = self.files.iter();
        put_list(
            &mut bytes,
            files.flat_map(|(path, text)| [path.as_os_str().as_bytes(), text.as_bytes()]),
        );
        bytes
    }

    /// What [`Job::encode`] has made of it.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Job> {
        let words = take_list(&mut bytes)?;
        let environment = pairs(take_list(&mut bytes)?);
        let files = pairs(take_list(&mut bytes)?);
        let text = |text: OsString| String::from_utf8_lossy(text.as_bytes()).into_owned();
        Some(Job {
            words,
            environment: environment.collect(),
            output: None,
            files: files.map(|(path, bytes)| (path.into(), text(bytes))).collect(),
        })
    }
}

/// How many, and each with its length before it.
fn put_list<'a>(bytes: &mut Vec<u8>, items: impl Iterator<Item = &'a [u8]>) {
    let items: Vec<&[u8]> = items.collect();
    bytes.extend(items.len().to_ne_bytes());
    for item in items {
        bytes.extend(item.len().to_ne_bytes());
        bytes.extend(item);
    }
}

fn take_list(bytes: &mut &[u8]) -> Option<Vec<OsString>> {
    let count = take_number(bytes)?;
    let mut items = Vec::new();
    for _ in 0..count {
        let len = take_number(bytes)?;
        let (item, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        items.push(OsString::from_vec(item.to_vec()));
    }
    Some(items)
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(usize::from_ne_bytes(*number))
}

fn pairs(items: Vec<OsString>) -> impl Iterator<Item = (OsString, OsString)> {
    let mut items = items.into_iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

impl<Word: AsRef<OsStr>> FromIterator<Word> for Job {
    /// One of these words, which has what this process has.
    fn from_iter<Words: IntoIterator<Item = Word>>(words: Words) -> Job {
        Job {
            words: words.into_iter().map(|word| word.as_ref().to_owned()).collect(),
            ..Job::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_the_same_on_the_other_side() {
        let odd = OsString::from_vec(vec![0xff, b'\n', 0x80]);
        let job = Job {
            words: vec!["sh".into(), "".into(), odd.clone()],
            environment: vec![("A".into(), odd), ("B".into(), "".into())],
            output: None,
            files: vec![("/etc/hosts".into(), "127.0.0.1 localhost\n".into())],
        };
        let bytes = job.encode();
        let same = Job::decode(&bytes).unwrap();
        assert_eq!(same.words, job.words);
        assert_eq!(same.environment, job.environment);
        assert_eq!(same.files, job.files);
        assert!(Job::decode(&bytes[..bytes.len() - 1]).is_none());
    }
}
