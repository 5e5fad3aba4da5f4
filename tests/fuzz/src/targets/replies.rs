//! What `userctl` is told by a driver that may lie: `lklfs_client`'s calls and files, over a transport whose answers are the
//! fuzzer's; with it the lists of `lklfs_control::reply`, listings of directories and Linux's own answers.
//!
//! The bytes: which call, then as many answers as there are, each behind its status and length; the last one is given again and
//! again. What must hold: each call ends, after no more answers than the call can use; a list is in order; what is read of a
//! record, written again, is that record.

use crate::allocated::within;
use crate::input::{Input, units};
use lklfs_client::files::{File, FileTransport, OpenAs};
use lklfs_client::{Driver, Interface, LogSource, NtStatus, Transport, VERSION};
use lklfs_control::reply::{self, ListWriter};
use lklfs_nt::linux::{LinuxFile, LinuxVolume, ROOM};
use lklfs_nt::record::Field as _;
use lklfs_nt::writer::{EntryList, Pushed};
use lklfs_nt::{FileInformationClass, dirinfo};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

/// Answers that a call may ask for: a list of as many pages as there are bytes in it, each larger than one.
const MOST_ANSWERS: usize = 4096;

#[derive(Clone)]
struct Told {
    answers: Rc<Vec<(u32, Vec<u8>)>>,
    asked: Rc<Cell<usize>>,
}

impl Told {
    fn new(mut input: Input<'_>) -> Told {
        let mut answers = Vec::new();
        while !input.is_empty() {
            let status = match input.u8() {
                0..0x80 => 0,
                0x80..0xa0 => NtStatus::BUFFER_TOO_SMALL.0,
                0xa0..0xc0 => NtStatus::NO_MORE_FILES.0,
                0xc0..0xe0 => NtStatus::END_OF_FILE.0,
                _ => input.u32() | 0xc000_0000,
            };
            let length = input.u16();
            answers.push((status, input.take(length.into()).to_vec()));
        }
        Told {
            answers: Rc::new(answers),
            asked: Rc::default(),
        }
    }

    /// The next answer, of at most `room` bytes.
    fn next(&self, room: usize) -> Result<Vec<u8>, NtStatus> {
        let number = self.asked.replace(self.asked.get() + 1);
        assert!(number < MOST_ANSWERS, "a call that does not end");
        let answer = self.answers.get(number).or(self.answers.last());
        match answer {
            None => Err(NtStatus::NO_MORE_FILES),
            Some((0, bytes)) => Ok(bytes[..bytes.len().min(room)].to_vec()),
            Some((status, _)) => Err(NtStatus(*status)),
        }
    }
}

impl Transport for Told {
    fn control(&self, code: u32, _input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        if code == lklfs_control::Code::Version.number() {
            let mut out = vec![0; 96];
            let version = reply::Version {
                interface: VERSION.into(),
                ..reply::Version::default()
            };
            reply::write(&mut out, version, &[]).expect("room");
            return Ok(out);
        }
        self.next(room)
    }
}

impl FileTransport for Told {
    fn open(&self, _name: &[u16], _how: OpenAs) -> Result<Box<dyn FileTransport>, NtStatus> {
        Ok(Box::new(self.clone()))
    }

    fn read(&self, _offset: u64, buffer: &mut [u8]) -> Result<usize, NtStatus> {
        let answer = self.next(usize::MAX)?;
        let count = answer.len().min(buffer.len());
        buffer[..count].copy_from_slice(&answer[..count]);
        Ok(answer.len())
    }

    fn directory(&self, _class: FileInformationClass, _restart: bool, room: usize) -> Result<Vec<u8>, NtStatus> {
        // A driver that lists for ever is the caller's to find (`lklfs_nt::repeats`).
        match self.asked.get() > self.answers.len() {
            true => Err(NtStatus::NO_MORE_FILES),
            false => self.next(room),
        }
    }

    fn control(&self, _code: u32, _input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        self.next(room)
    }
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let call = input.u8() % 9;
    let told = Told::new(input);
    let most = 64 * bytes.len() + (64 << 10);
    within(most, || asked(call, &told));
    if let Some((0, answer)) = told.answers.first() {
        written_again(answer);
    }
}

fn asked(call: u8, told: &Told) {
    let driver = || Driver::over(Box::new(told.clone()), Interface::Control).expect("the same version");
    let file = || File::over(Box::new(told.clone()));
    match call {
        0 => {
            if let Ok(volumes) = driver().list() {
                assert!(volumes.is_sorted_by(|one, other| one.number < other.number));
            }
        }
        1 => {
            if let Ok(places) = driver().places() {
                assert!(places.is_sorted_by(|one, other| one.number < other.number));
                assert!(places.iter().all(|place| place.volume != Some(0)));
            }
        }
        2 => drop(driver().policies()),
        3 => drop((driver().status(), driver().version())),
        4 => drop((driver().log(LogSource::Driver, 0), driver().unmount(None, false))),
        5 => drop(driver().superblock(&[0x5c])),
        6 => {
            let mut count = 0;
            let _ = file().names(&mut |_| {
                count += 1;
                ControlFlow::Continue(())
            });
        }
        7 => {
            let mut buffer = [0; 300];
            if let Ok(count) = file().read(u64::MAX - 5, &mut buffer) {
                assert!(count <= 300);
            }
        }
        _ => drop((file().linux(), file().linux_volume())),
    }
}

/// What is read of an answer says the same when it is written.
fn written_again(answer: &[u8]) {
    let mut out = vec![0; answer.len() + ROOM];
    if let Some((record, name, target)) = LinuxFile::read(answer) {
        let length = record.write(name, target, &mut out).expect("room");
        let (again, same_name, same_target) = LinuxFile::read(&out[..length]).expect("what was written");
        assert_eq!((same_name, same_target), (name, target));
        let lengths = (LinuxFile::SIZE as u32, length as u32);
        assert_eq!((again.fixed, again.size_of_all), lengths);
    }
    if let Some((record, texts)) = LinuxVolume::read(answer) {
        let length = record.write(texts, &mut out).expect("room");
        assert_eq!(LinuxVolume::read(&out[..length]).map(|(_, texts)| texts), Some(texts));
    }
    let mut names = Vec::new();
    if dirinfo::names(answer, &mut names).is_ok() {
        let bytes: usize = names.iter().map(|name| 2 * name.len()).sum();
        assert!(bytes + 12 * names.len() <= answer.len(), "more than there is");
        let mut list = EntryList::new(&mut out, 8);
        for name in &names {
            let entry = dirinfo::Entry::default();
            let pushed = dirinfo::push(&mut list, FileInformationClass::FileNamesInformation, &entry, name);
            assert_eq!(pushed, Some(Pushed::Whole));
        }
        let length = list.written();
        let mut again = Vec::new();
        assert_eq!(dirinfo::names(&out[..length], &mut again), Ok(()));
        assert_eq!(again, names);
    }
    volumes_again(answer);
}

fn volumes_again(answer: &[u8]) {
    let Ok((head, volumes)) = reply::volumes(answer) else { return };
    let Ok(volumes) = volumes.collect::<Result<Vec<_>, _>>() else { return };
    assert_eq!(volumes.len(), head.count.get() as usize);
    let mut out = vec![0; answer.len() + 1024];
    let mut list = ListWriter::new(&mut out).expect("room");
    for volume in &volumes {
        let texts = [volume.label, volume.fs_name, volume.source, volume.uuid];
        let texts = texts.map(|text| text.units().collect::<Vec<_>>());
        assert!(list.push(&volume.record, texts.each_ref().map(Vec::as_slice)));
    }
    let length = list.finish().expect("all fit");
    let (_, again) = reply::volumes(&out[..length]).expect("what was written");
    for (one, other) in volumes.iter().zip(again) {
        let mut other = other.expect("what was written");
        // A newer driver's entry may be longer.
        (other.record.size, other.record.fixed) = (one.record.size, one.record.fixed);
        assert_eq!(*one, other);
    }
    assert!(units(answer).len() <= answer.len());
}
