//! Targets of symbolic links, and the reparse points that stand for them: `lklfs_fsd::linksup`.
//!
//! The bytes: where the link is, then its target, spelt from pieces or as it is. What must hold: a link is one that Windows follows
//! exactly when Linux gets to something by it, by a resolution written down here; and Windows, which resolves the text of each
//! link by itself, gets to the same file.

use super::requests::Session;
use crate::allocated::within;
use crate::input::{Input, units};
use lklfs_fsd::memory::MemoryVolume;
use lklfs_fsd::{FileKind, Geometry, IrpContext, Requestor, Vcb, Volume, VolumeOptions, create, linksup};
use lklfs_nt::names::to_windows;
use lklfs_nt::reparse::{parse, parse_symlink};
use lklfs_nt::utf16::SEPARATOR;
use lklfs_nt::{AccessMask, CreateDisposition, CreateOptions, NtStatus, ReparseTag};

type Path = Vec<Vec<u8>>;

enum Entry {
    Directory,
    File,
    Link(Vec<u8>),
}

fn tree(place: usize, target: &[u8]) -> Vec<(&'static str, Entry)> {
    use Entry::{Directory, File, Link};
    let place = ["/new", "/a/new", "/a/b/new", "/a/b/c/new"][place];
    vec![
        ("/a", Directory),
        ("/a/b", Directory),
        ("/a/b/c", Directory),
        ("/a/f", File),
        ("/a/q:", File),
        ("/a/b/c/CON", File),
        ("/l", Link(b"a/b".to_vec())),
        ("/a/b/up", Link(b"..".to_vec())),
        ("/a/out", Link(b"../../x".to_vec())),
        ("/a/abs", Link(b"/a/b/c".to_vec())),
        ("/a/b/c/deep", Link(b"../../f".to_vec())),
        ("/a/loop", Link(b"loop2".to_vec())),
        ("/a/loop2", Link(b"./loop".to_vec())),
        ("/a/gone", Link(b"nothing".to_vec())),
        (place, Link(target.to_vec())),
    ]
}

fn components(path: &[u8]) -> Path {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.map(<[u8]>::to_vec).collect()
}

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let target = match how & 4 {
        0 => spelt(input.0),
        _ => input.0[..input.0.len().min(300)].to_vec(),
    };
    if target.is_empty() || target.contains(&0) {
        return;
    }
    let entries = tree(usize::from(how & 3), &target);
    let mut volume = MemoryVolume::new();
    for (path, entry) in &entries {
        match entry {
            Entry::Directory => volume.directory(path),
            Entry::File => volume.file(path, path),
            Entry::Link(target) => volume.symlink(path, target),
        };
    }
    let session = mounted(volume);
    let (path, _) = entries[entries.len() - 1];
    let mut directory = components(path.as_bytes());
    let name = directory.pop().expect("a name");
    let mut steps = 0;
    let truth = linux(&entries, directory.clone(), &target, &mut false, &mut 0, &mut steps);
    if steps > 900 {
        // Near the limit of steps, which the two count differently.
        return;
    }
    let node = node(&session, &directory, &name);
    let metadata = session.volume().metadata(&node).expect("it is there");
    assert_eq!(metadata.kind, FileKind::Symlink);
    let view = within(1 << 20, || linksup::view(&session, &windows(&directory), &node, &metadata));
    let view = view.expect("memory").expect("a link");
    let Some((truth, is_directory)) = truth else {
        assert_eq!(view.tag, ReparseTag::IO_REPARSE_TAG_LX_SYMLINK, "it leads nowhere");
        assert_eq!(&view.data[4..], target);
        return;
    };
    assert_eq!(view.tag, ReparseTag::IO_REPARSE_TAG_SYMLINK, "it leads to {truth:?}");
    assert_eq!(view.directory, is_directory);
    let mut link = windows(&directory);
    link.push(SEPARATOR);
    link.extend(to_windows(&name).expect("memory"));
    assert_eq!(followed(&session, link), followed(&session, windows(&truth)), "{truth:?}");
}

/// Bytes as what links are made of.
fn spelt(bytes: &[u8]) -> Vec<u8> {
    const PIECES: [&[u8]; 24] = [
        b"/", b"..", b".", b"a", b"b", b"c", b"f", b"l", b"up", b"out", b"abs", b"deep", b"loop", b"gone", b"new", b"q:",
        b"CON", b"../", b"/a/", b"a/b/", b"c/", b"../..", b"\xff", b"\\",
    ];
    let pieces = bytes.iter().take(64);
    pieces.flat_map(|byte| PIECES[usize::from(*byte) % PIECES.len()]).copied().collect()
}

/// Where a target leads, as Linux has it, and whether that is a directory. `rooted`: an absolute target came, so that the
/// volume's root is that of all.
fn linux(
    entries: &[(&str, Entry)],
    mut here: Path,
    target: &[u8],
    rooted: &mut bool,
    links: &mut u32,
    steps: &mut u32,
) -> Option<(Path, bool)> {
    if target.starts_with(b"/") {
        here.clear();
        *rooted = true;
    }
    let parts = components(target);
    let mut is_directory = true;
    for part in &parts {
        if !is_directory {
            return None;
        }
        if part == b".." {
            if here.pop().is_none() && !*rooted {
                return None;
            }
            continue;
        }
        *steps += 1;
        let mut path = here.clone();
        path.push(part.clone());
        let (_, entry) = entries.iter().find(|(name, _)| components(name.as_bytes()) == path)?;
        match entry {
            Entry::Directory => here = path,
            Entry::File => (here, is_directory) = (path, false),
            Entry::Link(target) => {
                *links += 1;
                if *links > 40 {
                    return None;
                }
                (here, is_directory) = linux(entries, here, target, rooted, links, steps)?;
            }
        }
    }
    Some((here, is_directory))
}

fn mounted(volume: MemoryVolume) -> Session {
    let geometry = Geometry {
        sector_size: 512,
        physical_sector_size: 512,
        size: 1 << 30,
        characteristics: 0,
        device_type: 7,
        alignment_requirement: 0,
    };
    match Vcb::new(volume, geometry, VolumeOptions::default()) {
        Ok(vcb) => vcb,
        Err(_) => panic!("the volume mounts"),
    }
}

fn node(session: &Session, directory: &Path, name: &[u8]) -> <MemoryVolume as Volume>::Node {
    let volume = session.volume();
    let mut node = volume.root().expect("a root");
    for part in directory {
        node = volume.lookup(&node, part).expect("it is there");
    }
    volume.lookup(&node, name).expect("it is there")
}

/// A path from the root in Windows' names; empty for the root.
fn windows(path: &Path) -> Vec<u16> {
    let mut text = Vec::new();
    for part in path {
        text.push(SEPARATOR);
        text.extend(to_windows(part).expect("memory"));
    }
    text
}

/// The file that Windows gets to: the I/O manager opens a name anew for each link on its way.
fn followed(session: &Session, mut name: Vec<u16>) -> lklfs_fsd::FileKey {
    for _ in 0..63 {
        if name.is_empty() {
            name.push(SEPARATOR);
        }
        let request = create::Request {
            related: None,
            name: &name,
            case_sensitive: true,
            open_target_directory: false,
            desired_access: AccessMask::FILE_READ_ATTRIBUTES,
            options: CreateOptions::empty(),
            disposition: CreateDisposition::FILE_OPEN,
            ea_length: 0,
            may_pass: None,
        };
        let context = IrpContext {
            requestor: Requestor::User,
            may_wait: true,
        };
        let shown = String::from_utf16_lossy(&name);
        let reparse = match create::open(session, context, &request) {
            Ok(create::Plan::Open(opening)) => return opening.fcb.key(),
            Ok(create::Plan::Reparse(reparse)) => reparse,
            Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND) => panic!("{shown} is not there"),
            Err(status) => panic!("{shown}: {status}"),
        };
        let parsed = parse(&reparse.data).expect("a reparse buffer");
        let (target, flags) = parse_symlink(parsed.data).expect("a link that Windows follows");
        assert_eq!((reparse.tag, flags), (ReparseTag::IO_REPARSE_TAG_SYMLINK, 1));
        let unparsed = usize::from(parsed.reserved) / 2;
        let (walked, rest) = name.split_at(name.len() - unparsed);
        let walked = walked.strip_suffix(&[SEPARATOR]).unwrap_or(walked);
        let parent = walked.iter().rposition(|unit| *unit == SEPARATOR).unwrap_or(0);
        let mut text = match target.first() {
            Some(&SEPARATOR) => Vec::new(),
            _ => walked[..parent].to_vec(),
        };
        text.push(SEPARATOR);
        text.extend(&target);
        text.push(SEPARATOR);
        text.extend(rest);
        name = normal(&text);
    }
    panic!("too many links")
}

/// What the I/O manager makes of dots, by text alone.
fn normal(text: &[u16]) -> Vec<u16> {
    let dots = |count: usize| units(&b".\0".repeat(count));
    let mut parts: Vec<&[u16]> = Vec::new();
    for part in text.split(|unit| *unit == SEPARATOR) {
        if part == dots(2) {
            assert!(parts.pop().is_some(), "a target that leads above the root");
        } else if !part.is_empty() && part != dots(1) {
            parts.push(part);
        }
    }
    parts.iter().flat_map(|part| [&[SEPARATOR], *part]).flatten().copied().collect()
}
