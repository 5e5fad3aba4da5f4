//! Entries as clients parse them: LIST as `ls -l` has it, MLSD with facts (RFC 3659), NLST with names.
//!
//! A line feed or carriage return in a name would end the line. It is shown as a question mark, and such a file cannot be fetched
//! by what is shown; all others can.

use std::fmt::Write as _;

use crate::place::Place;
use crate::tree::{Kind, Stat, Time, names};
use crate::when;
use lkl::Errno;

/// How entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// LIST.
    Long,
    /// NLST.
    Names,
    /// MLSD.
    Facts(Facts),
}

/// Which facts MLSD and MLST tell: a bit for each of [`FACTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts(u16);

/// The facts, in their order.
pub const FACTS: [&str; 9] = [
    "type",
    "size",
    "modify",
    "create",
    "perm",
    "unique",
    "unix.mode",
    "unix.uid",
    "unix.gid",
];

impl Facts {
    /// All of them.
    pub const ALL: Facts = Facts((1 << FACTS.len()) - 1);

    /// Those that `OPTS MLST` names: `type;size;`.
    pub fn chosen(names: &[u8]) -> Facts {
        let mut bits = 0;
        for name in names.split(|byte| *byte == b';') {
            let found = FACTS
                .iter()
                .position(|fact| fact.as_bytes().eq_ignore_ascii_case(name));
            bits |= found.map_or(0, |at| 1 << at);
        }
        Facts(bits)
    }

    /// Their names, each with a semicolon; a star behind those that are on, if FEAT asks.
    pub fn written(self, all: bool) -> String {
        let mut text = String::new();
        for (at, fact) in FACTS.iter().enumerate() {
            match (self.has(at), all) {
                (true, true) => text.extend([fact, "*;"]),
                (false, true) | (true, false) => text.extend([fact, ";"]),
                (false, false) => {}
            }
        }
        text
    }

    fn has(self, at: usize) -> bool {
        self.0 & 1 << at != 0
    }
}

/// What a client may do with an entry, besides reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Change what is in it, if it can be changed.
    within: bool,
    /// Rename and remove it.
    around: bool,
}

impl Rights {
    /// Those of a client that may write or not, in a folder that can be written or not.
    pub fn of(may_write: bool, folder: bool) -> Rights {
        Rights {
            within: may_write,
            around: may_write && folder,
        }
    }

    /// As RFC 3659 has them, in its section 7.5.5.
    fn written(self, stat: &Stat) -> String {
        let (within, around) = (self.within && stat.writable, self.around);
        let (read, change): (&str, &str) = match stat.kind {
            Kind::Folder => ("el", "cmp"),
            Kind::File => ("r", "aw"),
            _ => ("", ""),
        };
        let parts = [
            (true, read),
            (within, change),
            // What is immutable is neither renamed nor removed.
            (around && stat.writable, "df"),
        ];
        parts
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, letters)| letters)
            .collect()
    }
}

/// Writes the facts of a file, without the space and the name that follow them. `target` is a link's.
pub fn facts(chosen: Facts, stat: &Stat, target: Option<&[u8]>, rights: Rights, out: &mut Vec<u8>) {
    let mut text = String::new();
    for at in (0..FACTS.len()).filter(|at| chosen.has(*at)) {
        // What String is written to never fails.
        let _ = match at {
            0 => kind(stat.kind, target, &mut text),
            1 if stat.kind == Kind::File => write!(text, "size={};", stat.size),
            2 => write!(text, "modify=")
                .and_then(|()| when::digits(stat.modified, &mut text))
                .and_then(|()| write!(text, ";")),
            3 => stat.created.map_or(Ok(()), |created| {
                write!(text, "create=")
                    .and_then(|()| when::digits(created, &mut text))
                    .and_then(|()| write!(text, ";"))
            }),
            4 => write!(text, "perm={};", rights.written(stat)),
            5 if stat.inode != 0 => write!(text, "unique={:x}g{:x};", stat.device, stat.inode),
            6 => write!(text, "unix.mode={:04o};", stat.permissions),
            7 => write!(text, "unix.uid={};", stat.uid),
            8 => write!(text, "unix.gid={};", stat.gid),
            _ => Ok(()),
        };
    }
    out.extend_from_slice(text.as_bytes());
}

/// What other servers say of what RFC 3659 has no word for.
fn kind(kind: Kind, target: Option<&[u8]>, text: &mut String) -> std::fmt::Result {
    let target = target.and_then(|target| str::from_utf8(target).ok());
    let target = target.filter(|target| !target.chars().any(|letter| letter == ';' || letter.is_control()));
    match (kind, target) {
        (Kind::File, _) => write!(text, "type=file;"),
        (Kind::Folder, _) => write!(text, "type=dir;"),
        (Kind::Link, Some(target)) => write!(text, "type=OS.unix=slink:{target};"),
        (Kind::Link, None) => write!(text, "type=OS.unix=symlink;"),
        (Kind::Fifo, _) => write!(text, "type=OS.unix=fifo;"),
        (Kind::Socket, _) => write!(text, "type=OS.unix=socket;"),
        (Kind::CharDevice, _) => write!(text, "type=OS.unix=chr;"),
        (Kind::BlockDevice, _) => write!(text, "type=OS.unix=blk;"),
    }
}

/// Writes a line as `ls -l` does.
fn long(name: &[u8], stat: &Stat, target: Option<&[u8]>, now: Time, out: &mut Vec<u8>) {
    let mut text = String::new();
    text.push(stat.kind.letter());
    for shift in [6, 3, 0] {
        let bits = stat.permissions >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(if bits & 1 != 0 { 'x' } else { '-' });
    }
    let _ = write!(
        text,
        " {:3} {:<8} {:<8} {:>10} ",
        stat.links, stat.uid, stat.gid, stat.size
    );
    let _ = when::listed(stat.modified, now, &mut text);
    text.push(' ');
    out.extend_from_slice(text.as_bytes());
    one_line(name, out);
    if let Some(target) = target {
        out.extend_from_slice(b" -> ");
        one_line(target, out);
    }
}

fn one_line(name: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(|byte| match byte {
        b'\n' | b'\r' => b'?',
        byte => *byte,
    }));
}

/// Entries that are to be written.
pub struct Listing {
    folder: Place,
    names: std::vec::IntoIter<Vec<u8>>,
    /// In front of each name of NLST.
    prefix: Vec<u8>,
    form: Form,
    rights: Rights,
    now: Time,
    /// Entries that could not be read.
    pub damaged: u32,
}

impl Listing {
    /// All entries of a folder, or those whose names fit a pattern, in the order of their names.
    pub fn of(
        folder: Place,
        pattern: Option<&[u8]>,
        prefix: Vec<u8>,
        form: Form,
        may_write: bool,
    ) -> Result<Listing, Errno> {
        let mut names = names(folder.node())?;
        if let Some(pattern) = pattern {
            names.retain(|name| fits(pattern, name));
        }
        names.sort_unstable();
        Ok(Listing::with(folder, names, prefix, form, may_write))
    }

    /// These entries of a folder.
    pub fn with(folder: Place, names: Vec<Vec<u8>>, prefix: Vec<u8>, form: Form, may_write: bool) -> Listing {
        let writable = may_write && folder.node().stat().is_ok_and(|stat| stat.writable);
        Listing {
            rights: Rights::of(may_write, writable),
            folder,
            names: names.into_iter(),
            prefix,
            form,
            now: when::now(),
            damaged: 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.len() == 0
    }

    /// Writes entries until there are so many bytes. False when that was all.
    pub fn fill(&mut self, out: &mut Vec<u8>, most: usize) -> bool {
        while out.len() < most {
            let Some(name) = self.names.next() else {
                return false;
            };
            if self.form == Form::Names {
                out.extend_from_slice(&self.prefix);
                one_line(&name, out);
                out.extend_from_slice(b"\r\n");
                continue;
            }
            let Ok(stat) = self.folder.node().stat_of(&name) else {
                self.damaged += 1;
                continue;
            };
            let target = match stat.kind {
                Kind::Link => self
                    .folder
                    .node()
                    .child(&name)
                    .and_then(|link| link.read_link())
                    .ok(),
                _ => None,
            };
            match self.form {
                Form::Facts(chosen) => {
                    facts(chosen, &stat, target.as_deref(), self.rights, out);
                    out.push(b' ');
                    one_line(&name, out);
                }
                _ => long(&name, &stat, target.as_deref(), self.now, out),
            }
            out.extend_from_slice(b"\r\n");
        }
        true
    }
}

/// Whether a path's last name is a pattern.
pub fn is_pattern(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// Whether a name fits a pattern: `*` for any bytes, `?` for one. Takes no longer than the product of their lengths.
pub fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the last star was, and what it has taken so far.
    let mut star = None;
    while place < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    place = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(kind: Kind) -> Stat {
        Stat {
            kind,
            permissions: 0o754,
            uid: 1000,
            gid: 0,
            links: 1,
            size: 5_000_000_000,
            inode: 18,
            device: 255,
            modified: Time {
                seconds: 1_764_445_619,
                nanoseconds: 1,
            },
            created: None,
            writable: false,
        }
    }

    fn line(name: &[u8], stat: &Stat, target: Option<&[u8]>) -> String {
        let now = Time {
            seconds: stat.modified.seconds + 5,
            nanoseconds: 0,
        };
        let mut out = Vec::new();
        long(name, stat, target, now, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_those_of_ls() {
        assert_eq!(
            line(b"a b", &stat(Kind::File), None),
            "-rwxr-xr--   1 1000     0        5000000000 Nov 29 19:46 a b"
        );
        assert_eq!(
            line(b"l\nk", &stat(Kind::Link), Some(b"x\r\ny")),
            "lrwxr-xr--   1 1000     0        5000000000 Nov 29 19:46 l?k -> x??y"
        );
    }

    #[test]
    fn facts_are_those_that_were_chosen() {
        let mut out = Vec::new();
        facts(
            Facts::ALL,
            &stat(Kind::File),
            None,
            Rights::of(true, true),
            &mut out,
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "type=file;size=5000000000;modify=20251129194659;perm=r;unique=ffg12;unix.mode=0754;unix.uid=1000;unix.gid=0;"
        );
        let chosen = Facts::chosen(b"TYPE;size;unknown;");
        assert_eq!(chosen.written(false), "type;size;");
        let mut out = Vec::new();
        facts(
            chosen,
            &stat(Kind::Link),
            Some(b"../x y"),
            Rights::default(),
            &mut out,
        );
        facts(
            chosen,
            &stat(Kind::Link),
            Some(b"a;b"),
            Rights::default(),
            &mut out,
        );
        assert_eq!(out, b"type=OS.unix=slink:../x y;type=OS.unix=symlink;");
    }

    #[test]
    fn what_a_client_may_do_is_told_and_no_more() {
        let perm = |kind, writable, may_write, folder| {
            let stat = Stat {
                writable,
                ..stat(kind)
            };
            Rights::of(may_write, folder).written(&stat)
        };
        for (kind, read, full) in [
            (Kind::File, "r", "rawdf"),
            (Kind::Folder, "el", "elcmpdf"),
            (Kind::Fifo, "", "df"),
        ] {
            assert_eq!(perm(kind, true, true, true), full);
            assert_eq!(perm(kind, true, false, true), read, "a client that may not write");
            assert_eq!(perm(kind, false, true, true), read, "what is immutable");
        }
        assert_eq!(perm(Kind::Folder, true, true, false), "elcmp", "a volume's root");
        assert_eq!(perm(Kind::Folder, false, true, false), "el", "what has no volume");
        assert_eq!(perm(Kind::Link, true, true, true), "df");
    }

    #[test]
    fn patterns_fit() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*.img", "a.img", true),
            ("*.img", "a.imgx", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("", "", true),
            ("", "a", false),
            ("****", "x", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_nasty_pattern_takes_no_time() {
        let pattern = b"*a".repeat(500);
        assert!(!fits(&pattern, &[b'b'; 4000]));
    }
}
