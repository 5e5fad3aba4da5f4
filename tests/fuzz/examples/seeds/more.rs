//! Seeds of the targets whose bytes the crates themselves write, or a person.

use super::keep;
use lklfs_control::reply::{self, ListWriter};
use lklfs_control::{
    Code, Format, LetterRule, LogSource, Mount, Policy, Request, Settings, Source, Text, utf16,
};
use lklfs_nt::linux::{LinuxFile, LinuxVolume, VolumeTexts};
use lklfs_nt::names::to_windows;
use lklfs_nt::record::Field as _;
use lklfs_nt::reparse::{buffer, lx_symlink_data, symlink_data};
use lklfs_nt::writer::EntryList;
use lklfs_nt::{FileInformationClass, ReparseTag, dirinfo};
use lklfs_served::wire::{Asked, Op};

pub fn all() {
    control();
    replies();
    reparse();
    names();
    patterns();
    owners();
    attributes();
    requests();
    links();
    served();
    streams();
    unpack();
}

fn control() {
    let units = |text: &str| utf16(text).expect("memory");
    let (device, image) = (
        units("\\Device\\Harddisk1\\Partition2"),
        units("\\??\\C:\\x.qcow2"),
    );
    let (options, owners) = (units("subvol=home"), units("uid:1000=S-1-5-21-1-2-3-1001"));
    let (key, kind) = (units("6c6b6c66-7300-4d61"), units("btrfs"));
    let text = |bytes| Text::new(bytes).expect("a text");
    let settings = Settings {
        no_recovery: true,
        everyone: Some(false),
        hide_dot_files: Some(true),
        fs_name: Some(text(&kind)),
        options: text(&options),
        owners: text(&owners),
    };
    let mount = |source| Mount {
        source,
        partition: None,
        format: None,
        letter: Some(b'L'),
        no_letter: false,
        settings,
    };
    let image = Mount {
        partition: Some(2),
        format: Some(Format::Qcow2),
        letter: None,
        no_letter: true,
        settings: Settings::default(),
        ..mount(Source::Image(text(&image)))
    };
    let policy = Policy {
        never: true,
        letter: LetterRule::This(b'S'),
        settings,
    };
    let requests = [
        Request::Version,
        Request::Status,
        Request::Resume,
        Request::List { after: 3 },
        Request::Places { after: 0 },
        Request::Policies { after: 9 },
        Request::Mount(mount(Source::Device(text(&device)))),
        Request::Mount(image),
        Request::Unmount {
            volume: Some(4),
            force: true,
        },
        Request::Stop { force: false },
        Request::Log {
            source: LogSource::Driver,
            position: 77,
        },
        Request::SetPolicy {
            key: text(&key),
            policy: Some(policy),
        },
        Request::SetPolicy {
            key: text(&key),
            policy: None,
        },
        Request::Superblock {
            device: text(&device),
        },
    ];
    for (number, request) in requests.iter().enumerate() {
        let code = Code::ALL
            .iter()
            .position(|code| *code == request.code())
            .expect("a code");
        let mut seed = vec![(code as u8) << 2, 200];
        seed.extend(request.encode().expect("memory"));
        keep("control", &format!("{number:02}"), &seed);
    }
}

/// Each question answered truly, with a byte changed, with another length, and by a head alone; and calls.
fn served() {
    for question in 0..9u8 {
        keep("served", &format!("true-{question}"), &[question]);
        keep(
            "served",
            &format!("changed-{question}"),
            &[question, 0, 5, 60, 0, 1],
        );
        keep(
            "served",
            &format!("resized-{question}"),
            &[question, 0, 2, 80, 0, 0, 0],
        );
    }
    let mut own = vec![0, 3, 40, 0];
    for word in [40u32, 1, 7, 0, 1, 0, 1, 0, 0, 0] {
        own.extend(word.to_le_bytes());
    }
    keep("served", "own", &own);
    for op in Op::ALL {
        let has_name = matches!(op, Op::Lookup | Op::EntryMetadata | Op::Xattr);
        let asked = Asked {
            op,
            room: 4096,
            node: u64::from(!matches!(op, Op::Root | Op::Info)),
            offset: 0,
            name: if has_name { b"data" } else { b"" },
        };
        let call = asked.encode(7, &[3, 4]).expect("memory");
        keep(
            "served",
            &format!("call-{}", op.number()),
            &[&[0x80], &call[..]].concat(),
        );
    }
}

fn replies() {
    let answer = |call: u8, bytes: &[u8]| {
        let mut seed = vec![call, 0];
        seed.extend((bytes.len() as u16).to_le_bytes());
        seed.extend(bytes);
        seed
    };
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    let (a, b, c, d) = (units("label"), units("ext4"), units("\\Device\\X"), units("6c6b"));
    let texts = [&a[..], &b[..], &c[..], &d[..]];
    let mut out = [0; 600];
    let list = |out: &mut [u8], which: u8| {
        let mut list = ListWriter::new(out).expect("room");
        for number in 1..3u64 {
            match which {
                0 => list.push(
                    &reply::VolumeRecord {
                        volume: number.into(),
                        ..Default::default()
                    },
                    texts,
                ),
                1 => list.push(
                    &reply::PlaceRecord {
                        place: number.into(),
                        ..Default::default()
                    },
                    texts,
                ),
                _ => list.push(
                    &reply::PolicyEntry::new(&Policy::default(), Some(b'E')).expect("memory"),
                    texts,
                ),
            };
        }
        list.finish().expect("room")
    };
    for which in 0..3 {
        let length = list(&mut out, which);
        keep(
            "replies",
            &format!("list-{which}"),
            &answer(which, &out[..length]),
        );
    }
    let length = reply::write(&mut out, reply::Status::default(), &[]).expect("room");
    keep("replies", "status", &answer(3, &out[..length]));
    let length = reply::write(&mut out, reply::Log::default(), b"a line\n").expect("room");
    keep("replies", "log", &answer(4, &out[..length]));
    let length = reply::write(&mut out, reply::Superblock::default(), &[1; 64]).expect("room");
    keep("replies", "superblock", &answer(5, &out[..length]));

    let mut out = [0; 200];
    let mut list = EntryList::new(&mut out, 8);
    for name in ["a", "name.txt", "\u{e9}"] {
        let class = FileInformationClass::FileNamesInformation;
        let _ = dirinfo::push(&mut list, class, &dirinfo::Entry::default(), &units(name)).expect("a class");
    }
    let length = list.written();
    keep("replies", "names", &answer(6, &out[..length]));
    keep("replies", "read", &answer(7, b"some bytes"));
    let mut out = [0; 400];
    let zeros = [0; 200];
    let file = LinuxFile::get(&zeros).expect("a record");
    let length = file.write(b"name", b"../target", &mut out).expect("room");
    keep("replies", "file", &answer(8, &out[..length]));
    let volume = LinuxVolume::get(&zeros).expect("a record");
    let texts = VolumeTexts {
        fs_name: b"xfs",
        label: b"home",
        uuid: b"6c6b",
    };
    let length = volume.write(texts, &mut out).expect("room");
    keep("replies", "volume", &answer(8, &out[..length]));
}

fn reparse() {
    let target: Vec<u16> = "..\\a b\\\u{e9}".encode_utf16().collect();
    let data = symlink_data(&target, 1).expect("short");
    let tag = ReparseTag::IO_REPARSE_TAG_SYMLINK;
    keep("reparse", "symlink", &buffer(tag, 42, &data).expect("short"));
    keep("reparse", "data", &data);
    let data = lx_symlink_data(b"/etc/alternatives").expect("short");
    let tag = ReparseTag::IO_REPARSE_TAG_LX_SYMLINK;
    keep("reparse", "lx", &buffer(tag, 0, &data).expect("short"));
}

fn names() {
    let linux: [&[u8]; 8] = [
        b"plain.txt",
        b"a:b*?",
        b"NUL.txt",
        b"COM1",
        b"ends. ",
        b"caf\xc3\xa9 \xff\xfe",
        b"\xef\x80\xaa",
        b"CONIN$",
    ];
    for (number, name) in linux.iter().enumerate() {
        keep("names", &format!("linux-{number}"), name);
        let windows = to_windows(name).expect("memory");
        let bytes: Vec<u8> = windows.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        keep("names", &format!("windows-{number}"), &bytes);
    }
}

fn patterns() {
    // By the alphabet of the target: a b A . . * ? < > " ...
    keep("patterns", "star", &[0, 3, 5, 3, 0, 0, 3, 0]);
    keep("patterns", "dos", &[0, 4, 7, 9, 8, 8, 0, 3, 1, 1]);
    keep("patterns", "sensitive", &[2, 3, 0, 6, 2, 0, 1, 2]);
    let mut units = vec![1, 6];
    units.extend("a*\u{e9}A.\u{c9}".encode_utf16().flat_map(u16::to_le_bytes));
    keep("patterns", "units", &units);
    keep(
        "patterns",
        "long",
        &[&[0, 200][..], &[5, 0, 7, 1].repeat(50), &[0, 1, 3].repeat(80)].concat(),
    );
}

fn owners() {
    for (number, text) in [
        "uid:1000=S-1-5-21-1-2-3-1001,gid:100=S-1-5-32-545",
        "gid:4294967295=s-1-255-4294967295",
        "uid:1=S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15",
        "",
    ]
    .iter()
    .enumerate()
    {
        keep("owners", &number.to_string(), text.as_bytes());
    }
    keep(
        "owners",
        "descriptor",
        &[7, 1, 0, 0, 0, 3, 0, 0, 1, 2, 3, 4, 1, 9, 9, 9, 9],
    );
}

fn attributes() {
    let list = b"\x10\0\0\0\x06user.x\0\0\0\0\0\0\0\0\0\x06$LXUID\0";
    for how in [0u8, 1, 3, 5, 9, 17] {
        let mut seed = vec![how, 0, 2];
        seed.extend(list);
        keep("attributes", &how.to_string(), &seed);
    }
}

fn requests() {
    let opened = |name: &[u8]| {
        let mut seed = vec![name.len() as u8];
        seed.extend(name);
        // No units of its own; FILE_GENERIC_READ, no options, FILE_OPEN.
        seed.extend([0, 0x89, 0, 0x12, 0, 0, 0, 0, 0, 2]);
        seed
    };
    // By the pieces of the target: 0 is a separator, 1 "d", 2 "file".
    let names: [&[u8]; 7] = [
        &[0],
        &[0, 1],
        &[0, 1, 0, 2],
        &[0, 3],
        &[0, 1, 0, 2, 8],
        &[0, 4],
        &[0, 1, 0, 15],
    ];
    for (number, name) in names.iter().enumerate() {
        let mut seed = opened(name);
        for verb in 0..7u8 {
            seed.extend([verb | 0x30, 0, 1, if verb == 2 { 12 } else { 18 }]);
            match verb {
                2 => seed.extend([1, 11, 0]),
                3 => seed.extend([number as u8, 0]),
                4 => seed.extend([0, 16, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0]),
                _ => {}
            }
        }
        keep("requests", &number.to_string(), &seed);
    }
}

fn links() {
    // By the pieces of the target: "/" ".." "." "a" "b" "c" "f" "l" "up" ...
    let targets: [&[u8]; 8] = [
        &[3, 0, 6],
        &[1, 0, 7, 0, 8, 0, 6],
        &[18, 10, 0, 11],
        &[12],
        &[9],
        &[7, 0, 1, 0, 1],
        &[3, 0, 15],
        &[0],
    ];
    for (number, target) in targets.iter().enumerate() {
        let mut seed = vec![number as u8 & 3];
        seed.extend(*target);
        keep("links", &number.to_string(), &seed);
    }
    keep("links", "text", b"\x05../a/b/c/CON");
}

fn unpack() {
    let plain: Vec<u8> = (0..4096u32).map(|at| (at / 7 * at / 130) as u8 & 0x3f).collect();
    for (name, level) in [("fast", 1), ("best", 19)] {
        let mut out = vec![0; 8192];
        let length = zstd_safe::compress(&mut out[..], &plain[..], level).expect("room");
        let mut seed = vec![1];
        seed.extend(&out[..length]);
        keep("unpack", &format!("zstd-{name}"), &seed);
    }
    let mut seed = vec![0];
    seed.extend(miniz_oxide::deflate::compress_to_vec(&plain, 6));
    keep("unpack", "deflate", &seed);
    keep(
        "unpack",
        "zeros",
        &[
            &[1][..],
            &[0x28, 0xb5, 0x2f, 0xfd, 0x60, 0, 0x0f, 0x03, 0x80, 0, 7],
        ]
        .concat(),
    );
    keep(
        "unpack",
        "packed",
        &[&[1 | 4 | 24][..], b"the quick brown fox "].concat(),
    );
    keep(
        "unpack",
        "packed-deflate",
        &[&[4 | 2 | 48][..], b"the lazy dog, 0123456789"].concat(),
    );
}

/// Streams of packets, whole and cut, as they are and described.
fn streams() {
    let mut plain = vec![0, 9, 0, 0, 0, 2, 0, 0, 1];
    for packet in [&b"a packet"[..], b"", b"and another one"] {
        plain.extend((packet.len() as u32).to_be_bytes());
        plain.extend(packet);
    }
    keep("streams", "plain", &plain);
    plain.extend(65_554u32.to_be_bytes());
    keep("streams", "too-long", &plain);
    plain.truncate(plain.len() - 5);
    keep("streams", "cut", &plain);
    // Packets of 2 x 750 and 2 x 32,000 bytes, and one of which less comes than it has; reads of 64 KiB and of some bytes.
    let mut described = vec![7, 0xff, 0x0f, 3, 0, 0xff, 0xff, 0, 1];
    for (length, half) in [(0u32, 750u16), (0, 32_000), (0, 0)] {
        described.extend(length.to_le_bytes());
        described.extend(half.to_le_bytes());
    }
    keep("streams", "described", &described);
    described[0] = 5;
    described.extend(60_000u32.to_le_bytes());
    described.extend(16u16.to_le_bytes());
    keep("streams", "missing", &described);
}
