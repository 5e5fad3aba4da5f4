//! The calls over a driver made of the same crate that the real one speaks: what comes in is parsed, and answered with
//! its writers.

use std::cell::RefCell;
use std::rc::Rc;

use lklfs_control::reply::{
    self, ListWriter, PlaceRecord, PolicyEntry, VolumeRecord, place_flags, volume_flags,
};
use lklfs_control::{Code, LetterRule, Request, Source as Asked, VERSION, parse};

use super::*;

/// What a driver was asked, in words.
type Asks = Rc<RefCell<Vec<String>>>;

/// A driver with `volumes` volumes, of which at most `most` go into one reply.
struct Fake {
    interface: Interface,
    version: u32,
    volumes: u64,
    most: u64,
    asks: Asks,
}

impl Fake {
    fn driver(self) -> Result<Driver, OpenError> {
        let interface = self.interface;
        Driver::over(Box::new(self), interface)
    }
}

fn fake(asks: &Asks) -> Fake {
    Fake {
        interface: Interface::Control,
        version: VERSION,
        volumes: 0,
        most: 3,
        asks: Rc::clone(asks),
    }
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

impl Transport for Fake {
    fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        let request =
            parse(self.interface, code, input, room).map_err(|refusal| NtStatus(refusal.status()))?;
        let mut out = vec![0; room];
        let written = match request {
            Request::Version => {
                let mut linux_release = [0; 64];
                linux_release[..6].copy_from_slice(b"6.12.1");
                let version = reply::Version {
                    header: Default::default(),
                    interface: self.version.into(),
                    reserved: 0.into(),
                    driver: (1 << 32 | 2 << 16 | 3).into(),
                    linux_release,
                };
                reply::write(&mut out, version, &[])
            }
            Request::List { after } => {
                let mut list = ListWriter::new(&mut out).unwrap();
                for number in after + 1..=self.volumes {
                    let record = VolumeRecord {
                        volume: number.into(),
                        letter: u16::from(b'D').into(),
                        flags: volume_flags::IMAGE.into(),
                        ..VolumeRecord::default()
                    };
                    // The writer has room for more; the driver may stop earlier by a text that does not fit.
                    let source = if number > after + self.most {
                        vec![0x61; 40_000]
                    } else {
                        units("\\x")
                    };
                    if !list.push(
                        &record,
                        [&units("label"), &units("ext4"), &source, &units("1234-ABCD")],
                    ) {
                        break;
                    }
                }
                list.finish()
            }
            Request::Mount(mount) => {
                let (kind, name) = match mount.source {
                    Asked::Device(name) => ("device", name),
                    Asked::Image(name) => ("image", name),
                };
                self.asks.borrow_mut().push(format!(
                    "{kind} {} {:?} {:?} {:?} {:?} {} {}",
                    name.to_string_lossy().unwrap(),
                    mount.partition,
                    mount.format,
                    mount.letter.map(char::from),
                    mount.settings.fs_name.map(|name| name.to_string_lossy().unwrap()),
                    mount.settings.options.to_string_lossy().unwrap(),
                    mount.settings.no_recovery,
                ));
                let mounted = reply::Mounted {
                    header: Default::default(),
                    volume: 7.into(),
                    letter: u16::from(b'E').into(),
                    reserved: 0.into(),
                    flags: volume_flags::STALE.into(),
                };
                reply::write(&mut out, mounted, &[])
            }
            Request::Stop { .. } | Request::Resume => {
                self.asks.borrow_mut().push(format!("{:?}", request.code()));
                reply::write(
                    &mut out,
                    reply::Done {
                        header: Default::default(),
                    },
                    &[],
                )
            }
            Request::Unmount { volume, force } => {
                self.asks.borrow_mut().push(format!("{volume:?} {force}"));
                reply::write(
                    &mut out,
                    reply::Done {
                        header: Default::default(),
                    },
                    &[],
                )
            }
            Request::Log { position, .. } => {
                let log = reply::Log {
                    header: Default::default(),
                    next: (position + 4).into(),
                    lost: 1.into(),
                };
                reply::write(&mut out, log, b"text")
            }
            Request::Places { after } => {
                let mut list = ListWriter::new(&mut out).unwrap();
                for number in after + 1..=self.volumes {
                    let record = PlaceRecord {
                        place: number.into(),
                        partition: reply::UNKNOWN.into(),
                        disk: 1.into(),
                        flags: place_flags::LINUX.into(),
                        ..PlaceRecord::default()
                    };
                    let texts = [
                        &units("ext4")[..],
                        &[],
                        &units("1234-ABCD"),
                        &units("\\Device\\X"),
                    ];
                    if number > after + self.most || !list.push(&record, texts) {
                        let _ = list.push(&record, [&[0x61; 40_000][..], &[], &[], &[]]);
                        break;
                    }
                }
                list.finish()
            }
            Request::SetPolicy { key, policy } => {
                let policy = policy.map(|policy| (policy.never, policy.letter, policy.settings.everyone));
                let key = key.to_string_lossy().unwrap();
                self.asks.borrow_mut().push(format!("{key} {policy:?}"));
                reply::write(&mut out, reply::Done::default(), &[])
            }
            Request::Policies { after } => {
                let mut list = ListWriter::new(&mut out).unwrap();
                for index in after..self.volumes {
                    let policy = lklfs_control::Policy {
                        letter: LetterRule::This(b'Q'),
                        ..Default::default()
                    };
                    let entry = PolicyEntry::new(&policy, Some(b'R')).unwrap();
                    let key = units(&format!("{index:04X}-0000"));
                    if index >= after + self.most || !list.push(&entry, [&key, &[], &units("ro"), &[]]) {
                        let _ = list.push(&entry, [&[0x61; 40_000][..], &[], &[], &[]]);
                        break;
                    }
                }
                list.finish()
            }
            _ => return Err(NtStatus::NOT_SUPPORTED),
        };
        out.truncate(written.map_err(|refusal| NtStatus(refusal.status()))?);
        Ok(out)
    }
}

#[test]
fn versions_are_asked_for_first() {
    let asks = Asks::default();
    let version = fake(&asks).driver().unwrap().version().unwrap();
    assert_eq!(version.driver, (1, 2, 3));
    assert_eq!(version.linux_release, "6.12.1");
    let newer = Fake {
        version: VERSION + (1 << 16),
        ..fake(&asks)
    };
    let error = newer.driver().unwrap_err();
    assert_eq!(error, OpenError::Versions(Some(VERSION + (1 << 16))));
    let (major, minor) = ((VERSION >> 16) + 1, VERSION & 0xffff);
    assert!(
        error.to_string().contains(&format!("version {major}.{minor}")),
        "{error}"
    );
    let minor = Fake {
        version: VERSION + 1,
        ..fake(&asks)
    };
    assert!(minor.driver().is_ok());
}

/// A driver that ends every request with one status.
struct Refusing(NtStatus);

impl Transport for Refusing {
    fn control(&self, _: u32, _: &[u8], _: usize) -> Result<Vec<u8>, NtStatus> {
        Err(self.0)
    }
}

#[test]
fn a_driver_of_before_or_after_is_told_from_one_that_fails() {
    for (status, error) in [
        (NtStatus::INVALID_DEVICE_REQUEST, OpenError::Versions(None)),
        (NtStatus(0xc000_0059), OpenError::Versions(None)),
        (NtStatus::ACCESS_DENIED, OpenError::Denied),
        (
            NtStatus::INSUFFICIENT_RESOURCES,
            OpenError::Other(NtStatus::INSUFFICIENT_RESOURCES),
        ),
    ] {
        assert_eq!(
            Driver::over(Box::new(Refusing(status)), Interface::Status).unwrap_err(),
            error
        );
    }
}

/// A driver that answers with these bytes.
struct Saying(Vec<u8>);

impl Transport for Saying {
    fn control(&self, _: u32, _: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        Ok(self.0.iter().copied().take(room).collect())
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_no_answer() {
    for bytes in [vec![], vec![0; 16], vec![0xff; 200]] {
        let opened = Driver::over(Box::new(Saying(bytes)), Interface::Status);
        assert!(
            matches!(opened, Err(OpenError::Answer(_) | OpenError::Versions(_))),
            "{opened:?}"
        );
    }
}

/// A driver that gives the same page of policies for ever, and says that there are more.
struct Circle;

impl Transport for Circle {
    fn control(&self, code: u32, _: &[u8], room: usize) -> Result<Vec<u8>, NtStatus> {
        let mut out = vec![0; room.min(100)];
        let length = if code == Code::Version.number() {
            let version = reply::Version {
                interface: VERSION.into(),
                ..reply::Version::default()
            };
            reply::write(&mut out, version, &[]).unwrap()
        } else {
            let mut list = ListWriter::new(&mut out).unwrap();
            let entry = PolicyEntry::new(&lklfs_control::Policy::default(), None).unwrap();
            while list.push(&entry, [&units("1234-ABCD"), &[], &[], &[]]) {}
            list.finish().unwrap()
        };
        out.truncate(length);
        Ok(out)
    }
}

#[test]
fn policies_that_come_again_end_the_list() {
    let driver = Driver::over(Box::new(Circle), Interface::Control).unwrap();
    assert!(matches!(driver.policies(), Err(CallError::Malformed(_))));
}

#[test]
fn a_list_of_many_pages_is_one_list() {
    let asks = Asks::default();
    for (volumes, most) in [(0, 3), (1, 3), (3, 3), (10, 3), (100, 1), (2000, 900)] {
        let driver = Fake {
            volumes,
            most,
            ..fake(&asks)
        };
        let listed = driver.driver().unwrap().list().unwrap();
        let numbers: Vec<u64> = listed.iter().map(|volume| volume.number).collect();
        assert_eq!(numbers, (1..=volumes).collect::<Vec<_>>());
        assert!(
            listed
                .iter()
                .all(|volume| volume.letter == Some('D') && volume.state.image)
        );
        let places = Fake {
            volumes,
            most,
            ..fake(&asks)
        };
        let places = places.driver().unwrap().places().unwrap();
        assert_eq!(places.len() as u64, volumes);
        assert!(
            places
                .iter()
                .all(|place| place.uuid.as_deref() == Some("1234-ABCD")
                    && place.disk == Some(1)
                    && place.partition.is_none()
                    && place.label.is_none()
                    && place.linux)
        );
        let kept = Fake {
            volumes,
            most,
            ..fake(&asks)
        };
        let kept = kept.driver().unwrap().policies().unwrap();
        assert_eq!(kept.len() as u64, volumes);
        assert!(kept.iter().all(|kept| kept.policy.letter == Letter::This('Q')
            && kept.last_letter == Some('R')
            && kept.policy.settings.options == "ro"));
    }
}

#[test]
fn a_mount_says_what_was_asked() {
    let asks = Asks::default();
    let driver = fake(&asks).driver().unwrap();
    let mounted = driver
        .mount(&Mount {
            source: Source::Image(units("\\??\\C:\\a b.img")),
            partition: Some(2),
            format: Some(Format::Raw),
            letter: Some('Q'),
            no_letter: false,
            settings: Settings {
                no_recovery: true,
                fs_name: Some("btrfs".into()),
                options: "subvol=home".into(),
                ..Settings::default()
            },
        })
        .unwrap();
    assert_eq!(
        (mounted.volume, mounted.letter, mounted.state.stale),
        (7, Some('E'), true)
    );
    let said = r#"image \??\C:\a b.img Some(2) Some(Raw) Some('Q') Some("btrfs") subvol=home true"#;
    assert_eq!(*asks.borrow(), [said]);
    let bad = Mount {
        source: Source::Device(units("no backslash")),
        partition: None,
        format: None,
        letter: None,
        no_letter: false,
        settings: Settings::default(),
    };
    assert_eq!(
        driver.mount(&bad).unwrap_err(),
        CallError::Refused(NtStatus::INVALID_PARAMETER)
    );
    let letter = Mount {
        letter: Some('é'),
        ..bad
    };
    assert!(matches!(driver.mount(&letter), Err(CallError::Malformed(_))));
}

#[test]
fn the_rest_of_the_calls() {
    let asks = Asks::default();
    let driver = fake(&asks).driver().unwrap();
    driver.unmount(Some(3), true).unwrap();
    driver.unmount(None, false).unwrap();
    assert_eq!(*asks.borrow(), ["Some(3) true", "None false"]);
    asks.borrow_mut().clear();
    let policy = Policy {
        never: true,
        letter: Letter::Hidden,
        settings: Settings {
            everyone: Some(false),
            ..Settings::default()
        },
    };
    driver.set_policy("1234-ABCD", Some(&policy)).unwrap();
    driver.set_policy("1234-ABCD", None).unwrap();
    let said = ["1234-ABCD Some((true, Hidden, Some(false)))", "1234-ABCD None"];
    assert_eq!(*asks.borrow(), said);
    let bad = driver.set_policy("no UUID", None);
    assert_eq!(bad, Err(CallError::Refused(NtStatus::INVALID_PARAMETER)));
    let log = driver.log(LogSource::Linux, 10).unwrap();
    assert_eq!(
        (log.text.as_slice(), log.next, log.lost),
        (b"text".as_slice(), 14, 1)
    );
    assert_eq!(
        driver.status().unwrap_err(),
        CallError::Refused(NtStatus::NOT_SUPPORTED)
    );
}

#[test]
fn the_device_for_everyone_answers_what_looks() {
    let asks = Asks::default();
    let driver = Fake {
        interface: Interface::Status,
        ..fake(&asks)
    };
    let driver = driver.driver().unwrap();
    assert!(driver.list().is_ok());
    assert_eq!(
        driver.unmount(None, false).unwrap_err(),
        CallError::Refused(NtStatus::ACCESS_DENIED)
    );
    assert!(Code::ALL.iter().any(|code| !code.allowed(Interface::Status)));
}

#[cfg(unix)]
mod frames {
    use super::super::wire::{Frame, MOST, Reply};
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Frame> {
        prop_oneof![
            (any::<u32>(), proptest::collection::vec(any::<u16>(), 0..50))
                .prop_map(|(access, name)| Frame::Open { access, name }),
            (
                any::<u32>(),
                0..=MOST as u32,
                proptest::collection::vec(any::<u8>(), 0..50)
            )
                .prop_map(|(code, room, input)| Frame::Control { code, room, input }),
            (any::<u64>(), 0..=MOST as u32).prop_map(|(offset, length)| Frame::Read { offset, length }),
            (
                any::<u32>(),
                any::<u32>(),
                any::<bool>(),
                any::<u64>(),
                proptest::collection::vec(any::<u16>(), 0..50)
            )
                .prop_map(|(access, options, exact, root, name)| Frame::Create {
                    access,
                    options,
                    exact,
                    root,
                    name
                }),
            (0u32..100, any::<bool>(), 0..=MOST as u32).prop_map(|(class, restart, room)| Frame::Directory {
                class,
                restart,
                room
            }),
            (
                any::<u32>(),
                0..=MOST as u32,
                proptest::collection::vec(any::<u8>(), 0..50)
            )
                .prop_map(|(code, room, input)| Frame::FsControl { code, room, input }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(sent in proptest::collection::vec(frames(), 0..5)) {
            let mut bytes = Vec::new();
            sent.iter().for_each(|frame| frame.write(&mut bytes).unwrap());
            let mut from = bytes.as_slice();
            let mut read = Vec::new();
            while let Some(frame) = Frame::read(&mut from).unwrap() {
                read.push(frame);
            }
            prop_assert_eq!(read, sent);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut from = bytes.as_slice();
            while let Ok(Some(_)) = Frame::read(&mut from) {}
            let _ = Reply::read(&mut bytes.as_slice());
        }
    }

    #[test]
    fn what_is_too_long_is_neither_sent_nor_taken() {
        let reply = Reply {
            status: NtStatus::SUCCESS,
            bytes: vec![0; MOST + 1],
        };
        assert!(reply.write(&mut Vec::new()).is_err());
        let huge = [1u32, 0, 0, u32::MAX].map(u32::to_le_bytes).concat();
        assert!(Frame::read(&mut huge.as_slice()).is_err());
        assert!(Frame::read(&mut [1, 0].as_slice()).is_err());
    }
}
