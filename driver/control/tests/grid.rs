//! Every code, from every interface, with every length and every kind of content; and there and back again.

use lklfs_control::reply::{self, ListWriter, PolicyEntry, VolumeRecord};
use lklfs_control::{
    Code, Format, Interface, LetterRule, LogSource, Mount, Policy, Refusal, Request, Settings, Source, Text,
    parse, utf16,
};
use proptest::prelude::*;

const BIG: usize = 1 << 16;

fn text(bytes: &[u8]) -> Text<'_> {
    Text::new(bytes).unwrap()
}

/// A good request of each code.
fn with_each(mut run: impl FnMut(Request<'_>)) {
    let (device, image) = (
        utf16("\\Device\\Harddisk1\\Partition2").unwrap(),
        utf16("\\??\\C:\\a.vhdx").unwrap(),
    );
    let (fs_name, options) = (utf16("ext4").unwrap(), utf16("noload,ro").unwrap());
    let (key, owners) = (utf16("1234-ABCD").unwrap(), utf16("uid:0=S-1-5-18").unwrap());
    run(Request::Version);
    run(Request::Status);
    run(Request::Places { after: 5 });
    run(Request::Policies { after: 0 });
    run(Request::Superblock {
        device: text(&device),
    });
    run(Request::SetPolicy {
        key: text(&key),
        policy: None,
    });
    run(Request::SetPolicy {
        key: text(&key),
        policy: Some(Policy {
            never: true,
            letter: LetterRule::This(b'Q'),
            settings: Settings {
                hide_dot_files: Some(false),
                everyone: Some(true),
                owners: text(&owners),
                ..Settings::default()
            },
        }),
    });
    run(Request::List { after: 0 });
    run(Request::List { after: u64::MAX });
    run(Request::Unmount {
        volume: None,
        force: true,
    });
    run(Request::Unmount {
        volume: Some(3),
        force: false,
    });
    run(Request::Stop { force: true });
    run(Request::Stop { force: false });
    run(Request::Resume);
    run(Request::Log {
        source: LogSource::Linux,
        position: 77,
    });
    run(Request::Log {
        source: LogSource::Driver,
        position: 0,
    });
    run(Request::Mount(Mount {
        source: Source::Device(text(&device)),
        partition: None,
        format: None,
        letter: Some(b'X'),
        no_letter: false,
        settings: Settings {
            no_recovery: true,
            everyone: Some(false),
            fs_name: Some(text(&fs_name)),
            options: text(&options),
            ..Settings::default()
        },
    }));
    run(Request::Mount(Mount {
        source: Source::Image(text(&image)),
        partition: Some(2),
        format: Some(Format::Qcow2),
        letter: None,
        no_letter: true,
        settings: Settings::default(),
    }));
}

/// Bytes of a request's fixed part.
fn fixed(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize
}

#[test]
fn statuses_are_nts() {
    let statuses = [
        (Refusal::UnknownCode, 0xc000_0010),
        (Refusal::Denied, 0xc000_0022),
        (Refusal::TooSmall, 0xc000_0023),
        (Refusal::Revision, 0xc000_0059),
        (Refusal::Invalid(""), 0xc000_000d),
    ];
    for (refusal, status) in statuses {
        assert_eq!(refusal.status(), status);
    }
}

#[test]
fn codes_are_buffered_ours_and_ask_for_the_right_access() {
    for code in Code::ALL {
        let number = code.number();
        assert_eq!(number & 3, 0, "METHOD_BUFFERED");
        assert_eq!(number >> 16, 0x9c4b);
        assert!((number >> 2) & 0xfff >= 0x800, "a vendor's function");
        let changes = matches!(
            code,
            Code::Mount | Code::Unmount | Code::SetPolicy | Code::Stop | Code::Resume
        );
        assert_eq!(number >> 14 & 3, if changes { 3 } else { 1 }, "{code:?}");
        // FILE_ANY_ACCESS would let a handle with no right at all ask.
        assert_eq!(Code::from_number(number), Some(code));
        assert!(!changes || !code.allowed(Interface::Status));
    }
    for interface in Interface::ALL {
        assert!(interface.sddl().starts_with("D:P(A;;GA;;;SY)(A;;GA;;;BA)"));
    }
}

#[test]
fn every_code_on_every_interface_with_every_length() {
    with_each(|request| {
        let code = request.code();
        let bytes = request.encode().unwrap();
        for interface in Interface::ALL {
            for length in 0..=bytes.len() + 9 {
                let mut input = bytes.clone();
                input.resize(length, 0);
                for output in [0, reply::shortest(code) - 1, reply::shortest(code), BIG] {
                    let expected = if !code.allowed(interface) {
                        Err(Refusal::Denied)
                    } else if output < reply::shortest(code) || length < bytes.len() {
                        Err(Refusal::TooSmall)
                    } else if length > bytes.len() {
                        Err(Refusal::Invalid("a length is not that of the request"))
                    } else {
                        Ok(request)
                    };
                    let found = parse(interface, code.number(), &input, output);
                    assert_eq!(
                        found, expected,
                        "{code:?}, {length} bytes, {output} for the reply"
                    );
                }
            }
        }
    });
}

#[test]
fn every_code_with_the_content_of_every_other() {
    with_each(|request| {
        let bytes = request.encode().unwrap();
        for code in Code::ALL {
            let found = parse(Interface::Control, code.number(), &bytes, BIG);
            let plain = [Code::Version, Code::Status, Code::Resume];
            let pages = [Code::List, Code::Places, Code::Policies];
            if code == request.code() {
                assert_eq!(found, Ok(request));
            } else if [&plain[..], &pages]
                .iter()
                .any(|same| same.contains(&code) && same.contains(&request.code()))
            {
                assert_eq!(found.map(|found| found.code()), Ok(code));
            } else if let Ok(found) = found {
                // A fixed part that is longer counts when the rest is zeros, and then it says just that.
                // These have fields of the same lengths, and only the code tells them apart.
                let alike = [
                    &[Code::Unmount, Code::Log][..],
                    &[Code::Stop, Code::List, Code::Places, Code::Policies],
                ];
                assert!(
                    fixed(&bytes) > fixed(&found.encode().unwrap())
                        || alike
                            .iter()
                            .any(|alike| alike.contains(&code) && alike.contains(&request.code())),
                    "{code:?} took {request:?} for {found:?}"
                );
            }
        }
        for number in [
            0,
            1,
            u32::MAX,
            Code::Mount.number() | 1,
            Code::Mount.number() + 0x1000,
        ] {
            let found = parse(Interface::Control, number, &bytes, BIG);
            assert_eq!(found, Err(Refusal::UnknownCode));
        }
    });
}

#[test]
fn versions_and_longer_requests() {
    with_each(|request| {
        let code = request.code().number();
        let bytes = request.encode().unwrap();
        let ask =
            |bytes: &[u8]| parse(Interface::Control, code, bytes, BIG).map(|found| format!("{found:?}"));
        let mut other = bytes.clone();
        other[10] = 1;
        assert_eq!(ask(&other), Err(Refusal::Revision));
        let mut minor = bytes.clone();
        minor[8] = 9;
        assert_eq!(ask(&minor), Ok(format!("{request:?}")));
        // A later minor version's longer fixed part, which asks for nothing new or for something.
        let at = fixed(&bytes);
        let mut longer = minor.clone();
        longer.splice(at..at, [0; 8]);
        let lengths = [(longer.len() as u32).to_le_bytes(), (at as u32 + 8).to_le_bytes()].concat();
        longer[..8].copy_from_slice(&lengths);
        assert_eq!(ask(&longer), Ok(format!("{request:?}")));
        longer[at + 3] = 1;
        assert!(matches!(ask(&longer), Err(Refusal::Invalid(_))));
        let mut reserved = bytes.clone();
        reserved[12] = 1;
        assert!(matches!(ask(&reserved), Err(Refusal::Invalid(_))));
    });
}

#[test]
fn what_a_mount_may_not_say() {
    let name = utf16("\\a").unwrap();
    let good = Mount {
        source: Source::Device(text(&name)),
        partition: None,
        format: None,
        letter: None,
        no_letter: false,
        settings: Settings::default(),
    };
    let refused = |mount: Mount<'_>| {
        let bytes = Request::Mount(mount).encode().unwrap();
        let found = parse(Interface::Control, Code::Mount.number(), &bytes, BIG);
        assert!(matches!(found, Err(Refusal::Invalid(_))), "{found:?}");
    };
    for letter in [b'a', b'@', b'[', 1] {
        refused(Mount {
            letter: Some(letter),
            ..good
        });
    }
    refused(Mount {
        partition: Some(1),
        ..good
    });
    for bad in ["", "a", "C:\\a"] {
        let bad = utf16(bad).unwrap();
        refused(Mount {
            source: Source::Image(text(&bad)),
            ..good
        });
    }
    let with = |settings: Settings<'_>| refused(Mount { settings, ..good });
    for bad in ["ext4\n", "../x", "é", "a b", &"x".repeat(32)] {
        let bad = utf16(bad).unwrap();
        with(Settings {
            fs_name: Some(text(&bad)),
            ..Settings::default()
        });
    }
    for bad in ["ro\tx", "\u{7f}", &"x".repeat(4096)] {
        let bad = utf16(bad).unwrap();
        with(Settings {
            options: text(&bad),
            ..Settings::default()
        });
    }
    for bad in ["uid:0=S-1 ", "é", "uid:0=\\", &"x".repeat(8192)] {
        let bad = utf16(bad).unwrap();
        with(Settings {
            owners: text(&bad),
            ..Settings::default()
        });
    }
    refused(Mount {
        letter: Some(b'X'),
        no_letter: true,
        ..good
    });
    refused(Mount {
        format: Some(Format::Raw),
        ..good
    });
    // Lengths of texts that do not add up, flags and kinds that are not known.
    let bytes = Request::Mount(good).encode().unwrap();
    for (at, value) in [
        (16, 2u8),
        (20, 3),
        (20, 0),
        (26, 1),
        (32, 1),
        (36, 3),
        (36, 2),
        (36, 6),
        (40, 32),
        (40, 6),
        (40, 24),
        (44, 2),
        (48, 255),
        (55, 255),
    ] {
        let mut bad = bytes.clone();
        bad[at] = value;
        let found = parse(Interface::Control, Code::Mount.number(), &bad, BIG);
        assert!(
            matches!(found, Err(Refusal::Invalid(_))),
            "{value} at {at}: {found:?}"
        );
    }
    assert_eq!(Text::new(&[1]), None);
    assert_eq!(Text::new(&[1, 0, 0, 0]), None);
}

#[test]
fn what_a_policy_may_not_say() {
    let key = utf16("1234-ABCD").unwrap();
    let good = Request::SetPolicy {
        key: text(&key),
        policy: Some(Policy::default()),
    };
    let ask = |bytes: &[u8]| parse(Interface::Control, Code::SetPolicy.number(), bytes, BIG).map(|_| ());
    assert_eq!(ask(&good.encode().unwrap()), Ok(()));
    for bad in ["", "..", "1234\\x", "x", "é", &"1".repeat(41)] {
        let key = utf16(bad).unwrap();
        let request = Request::SetPolicy {
            key: text(&key),
            policy: None,
        };
        assert!(
            matches!(ask(&request.encode().unwrap()), Err(Refusal::Invalid(_))),
            "{bad}"
        );
    }
    for letter in [b'a', b'@', b'['] {
        let request = Request::SetPolicy {
            key: text(&key),
            policy: Some(Policy {
                letter: LetterRule::This(letter),
                ..Policy::default()
            }),
        };
        assert!(matches!(
            ask(&request.encode().unwrap()),
            Err(Refusal::Invalid(_))
        ));
    }
    // What is to be done, what is not known, and a policy that is to be forgotten.
    for (at, value) in [(16, 0), (16, 3), (24, 2), (28, 1), (30, 1), (32, 32)] {
        let mut bytes = good.encode().unwrap();
        bytes[at] = value;
        assert!(matches!(ask(&bytes), Err(Refusal::Invalid(_))), "{value} at {at}");
    }
    let mut forgotten = good.encode().unwrap();
    forgotten[16] = 2;
    assert_eq!(ask(&forgotten), Ok(()));
    forgotten[24] = 1;
    assert!(matches!(ask(&forgotten), Err(Refusal::Invalid(_))));
}

#[test]
fn a_list_that_does_not_fit_goes_on_later() {
    let volume = |number: u64| VolumeRecord {
        volume: number.into(),
        handles: 7.into(),
        ..VolumeRecord::default()
    };
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    let (label, fs_name) = (units("Daten é"), units("ext4"));
    for room in 0..2000 {
        let mut out = vec![0xee; room];
        let Ok(mut writer) = ListWriter::new(&mut out) else {
            assert!(room < reply::shortest(Code::List));
            continue;
        };
        let pushed = (1..=5)
            .take_while(|n| {
                let texts = [&label[..], &fs_name, &units("\\Device\\X"), &units("1234-ABCD")];
                writer.push(&volume(*n), texts)
            })
            .count();
        let Ok(size) = writer.finish() else {
            assert_eq!(pushed, 0);
            continue;
        };
        assert!(
            out[size..].iter().all(|byte| *byte == 0xee),
            "written behind the reply's end"
        );
        let (head, volumes) = reply::volumes(&out[..size]).unwrap();
        assert_eq!(
            (head.count.get() as usize, head.more.get()),
            (pushed, u32::from(pushed < 5))
        );
        for (place, volume) in volumes.enumerate() {
            let volume = volume.unwrap();
            assert_eq!(volume.record.volume.get(), place as u64 + 1);
            assert_eq!(volume.record.handles.get(), 7);
            assert_eq!(volume.label.to_string_lossy().unwrap(), "Daten é");
            assert_eq!(volume.fs_name.to_units().unwrap(), fs_name);
            assert_eq!(volume.source.to_string_lossy().unwrap(), "\\Device\\X");
            assert_eq!(volume.uuid.to_string_lossy().unwrap(), "1234-ABCD");
        }
        assert!(reply::volumes(&out[..size - 1]).is_err());
    }
}

#[test]
fn policies_are_listed_as_they_are_kept() {
    let (fs_name, options) = (utf16("btrfs").unwrap(), utf16("subvol=home").unwrap());
    let owners = utf16("gid:100=S-1-5-32-545").unwrap();
    let policy = Policy {
        never: true,
        letter: LetterRule::Hidden,
        settings: Settings {
            no_recovery: true,
            everyone: Some(false),
            hide_dot_files: Some(true),
            fs_name: Some(text(&fs_name)),
            options: text(&options),
            owners: text(&owners),
        },
    };
    let units = |text: Text<'_>| text.to_units().unwrap();
    let key: Vec<u16> = "1234-ABCD".encode_utf16().collect();
    let settings = policy.settings;
    let texts = [
        units(settings.fs_name.unwrap()),
        units(settings.options),
        units(settings.owners),
    ];
    let mut out = vec![0; BIG];
    let mut writer = ListWriter::new(&mut out).unwrap();
    let entry = PolicyEntry::new(&policy, Some(b'E')).unwrap();
    assert!(writer.push(&entry, [&key, &texts[0], &texts[1], &texts[2]]));
    let none = PolicyEntry::new(&Policy::default(), None).unwrap();
    assert!(writer.push(&none, [&key, &[], &[], &[]]));
    let size = writer.finish().unwrap();
    let (_, listed) = reply::policies(&out[..size]).unwrap();
    let listed: Vec<_> = listed.map(Result::unwrap).collect();
    assert_eq!((listed[0].policy, listed[0].last_letter), (policy, Some(b'E')));
    assert_eq!(
        (listed[1].policy, listed[1].last_letter),
        (Policy::default(), None)
    );
    assert_eq!(listed[1].key.to_units().unwrap(), key);
}

#[test]
fn replies_come_back_as_they_were() {
    let log = reply::Log {
        header: lklfs_control::Header::default(),
        next: 9.into(),
        lost: 1.into(),
    };
    let mut out = [0xee; 40];
    assert_eq!(reply::write(&mut out[..35], log, b"text"), Err(Refusal::TooSmall));
    assert_eq!(out, [0xee; 40], "nothing is written of what does not fit");
    assert_eq!(reply::write(&mut out, log, b"text"), Ok(36));
    let (found, tail) = reply::read::<reply::Log>(&out).unwrap();
    assert_eq!((found.next.get(), found.lost.get(), tail), (9, 1, &b"text"[..]));
    assert!(matches!(
        reply::read::<reply::Version>(&out),
        Err(Refusal::Invalid(_))
    ));
    out[10] ^= 1;
    assert_eq!(reply::read::<reply::Log>(&out), Err(Refusal::Revision));
}

fn some_text(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let unit = prop_oneof![0x20u16..0x7f, 0x80u16..=0xffff];
    prop::collection::vec(unit, 0..most)
        .prop_map(|units| units.into_iter().flat_map(u16::to_le_bytes).collect())
}

proptest! {
    #[test]
    fn mounts_come_back_as_they_were(
        device in any::<bool>(),
        source in some_text(300),
        partition in prop::option::of(any::<u32>()),
        letter in prop::option::of(b'A'..=b'Z'),
        no_recovery in any::<bool>(),
        everyone in any::<Option<bool>>(),
        hide_dot_files in any::<Option<bool>>(),
        format in prop::option::of(prop::sample::select(Format::ALL.to_vec())),
        fs_name in prop::option::of("[a-z0-9_.-]{1,31}"),
        options in some_text(200),
    ) {
        let source = [vec![b'\\', 0], source].concat();
        let fs_name = fs_name.map(|name| utf16(&name).unwrap());
        let mount = Mount {
            source: if device { Source::Device(text(&source)) } else { Source::Image(text(&source)) },
            partition: partition.filter(|number| !device && *number != u32::MAX),
            format: format.filter(|_| !device),
            letter,
            no_letter: false,
            settings: Settings {
                no_recovery,
                everyone,
                hide_dot_files,
                fs_name: fs_name.as_deref().map(text),
                options: text(&options),
                owners: Text::default(),
            },
        };
        let bytes = Request::Mount(mount).encode().unwrap();
        // At an odd address, too.
        let moved = [vec![0], bytes.clone()].concat();
        prop_assert_eq!(parse(Interface::Control, Code::Mount.number(), &bytes, BIG), Ok(Request::Mount(mount)));
        prop_assert_eq!(parse(Interface::Control, Code::Mount.number(), &moved[1..], BIG), Ok(Request::Mount(mount)));
    }

    /// Whatever comes: a refusal, or a request that is written in just this way.
    #[test]
    fn changed_requests_are_refused_or_mean_what_they_say(
        which in 0usize..15,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        length in prop::option::weighted(0.2, 0usize..200),
        code in prop::sample::select(Code::ALL.to_vec()),
    ) {
        let mut all = Vec::new();
        with_each(|request| all.push(request.encode().unwrap()));
        let mut bytes = all.swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(length) = length {
            bytes.resize(length, 0);
        }
        if let Ok(request) = parse(Interface::Control, code.number(), &bytes, BIG) {
            let again = request.encode().unwrap();
            // But for the minor version and a longer fixed part of zeros.
            let (mine, its) = (fixed(&again), fixed(&bytes));
            prop_assert!(bytes[16..mine] == again[16..] [..mine - 16]);
            prop_assert!(bytes[mine..its].iter().all(|byte| *byte == 0));
            prop_assert!(bytes[its..] == again[mine..]);
        }
    }

    #[test]
    fn no_reply_harms_its_reader(bytes in prop::collection::vec(any::<u8>(), 0..300), good_head in any::<bool>()) {
        let mut bytes = bytes;
        if good_head && bytes.len() >= 24 {
            let length = bytes.len() as u32;
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            bytes[4..8].copy_from_slice(&24u32.to_le_bytes());
            bytes[8..12].copy_from_slice(&lklfs_control::VERSION.to_le_bytes());
        }
        let _ = reply::read::<reply::Status>(&bytes);
        if let Ok((_, volumes)) = reply::volumes(&bytes) {
            prop_assert!(volumes.count() <= bytes.len());
        }
    }
}
