//! What nfsd asks while it serves, and the answers: which domain a client belongs to, which export a path or a file handle
//! means.
//!
//! Linux keeps the answers in caches, and asks by a file for each (`/proc/net/rpc/NAME/channel`, `net/sunrpc/cache.c`,
//! `fs/nfsd/export.c`): a line is read, and a line that says so again, with an end and a value, is written. Machines have
//! `rpc.mountd` for that. Here each client comes over the loopback interface and all see the same, so there is one domain, and the
//! answers never end.

use super::Export;
use super::words::{quoted, words};

/// The caches that are asked by, in the order of [`Cache`].
pub(super) const CACHES: [(Cache, &str); 3] = [
    (Cache::Clients, "auth.unix.ip"),
    (Cache::Handles, "nfsd.fh"),
    (Cache::Exports, "nfsd.export"),
];

/// A cache of Linux's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cache {
    /// From a client's address to its domain.
    Clients,
    /// From the part of a file handle that names an export to the export's path.
    Handles,
    /// From a path to how it is exported.
    Exports,
}

/// Who clients are.
const DOMAIN: &[u8] = b"everybody";

/// Seconds since 1970 at which an answer ends: not while any of us serves.
const NEVER: &str = "9999999999";

/// `NFSEXP_*`: read-only, from any port, everybody is [`ROOT`], no checks of the folders above, locks without a name.
const FLAGS: u32 = 0x1 | 0x2 | 0x8 | 0x400 | 0x800;
/// `NFSEXP_FSID`: its file handles have the number zero, so that it is the root of NFSv4.
const NUMBERED: u32 = 0x2000;
/// `NFSEXP_CROSSMOUNT`: what is mounted on it is seen in it.
const WITH_VOLUMES: u32 = 0x4000;
/// The user that reads: what is exported has no other guard than that it can only be read.
const ROOT: u32 = 0;

/// How file handles begin that name their export by [`Export::identity`]: as such, or behind a number of an inode.
const BY_UUID: &[u8] = b"6";
const BY_INODE_AND_UUID: &[u8] = b"7";
/// By a number, as the top's do.
const BY_NUMBER: &[u8] = b"1";

/// The answer to a line; `None` for one that Linux does not write.
pub(super) fn answer(exports: &[Export], cache: Cache, line: &[u8]) -> Option<Vec<u8>> {
    let words = words(line)?;
    let mut answer: Vec<Vec<u8>> = words.iter().map(|word| quoted(word)).collect();
    answer.push(NEVER.into());
    match (cache, &words[..]) {
        (Cache::Clients, [_, _]) => answer.push(DOMAIN.to_vec()),
        (Cache::Handles, [_, kind, handle]) if kind.iter().all(u8::is_ascii_digit) => {
            let found = exports.iter().find(|export| export.is_meant_by(kind, handle));
            // The type is a number, which is not quoted.
            if let Some(place) = answer.get_mut(1) {
                place.clone_from(kind);
            }
            answer.extend(found.map(|export| quoted(&export.place)));
        }
        (Cache::Exports, [_, place]) => {
            let found = exports.iter().find(|export| export.place == *place);
            answer.extend(found.into_iter().flat_map(Export::words));
        }
        _ => return None,
    }
    let mut line = answer.join(&b' ');
    // A line without a value ends with a space where a word may be missing: it says "no".
    line.extend_from_slice(b" \n");
    Some(line)
}

/// What Linux asks of an export's path.
pub(super) fn question(place: &[u8]) -> Vec<u8> {
    [DOMAIN, b" ", &quoted(place)].concat()
}

impl Export {
    fn is_meant_by(&self, kind: &[u8], handle: &[u8]) -> bool {
        match (kind, self.identity) {
            (BY_NUMBER, None) => handle == [0; 4],
            (BY_UUID, Some(identity)) => handle == identity,
            (BY_INODE_AND_UUID, Some(identity)) => handle.len() == 24 && handle.ends_with(&identity),
            _ => false,
        }
    }

    /// Flags, user, group, number, and what else is to be said.
    fn words(&self) -> Vec<Vec<u8>> {
        let flags = match self.identity {
            None => FLAGS | NUMBERED | WITH_VOLUMES,
            Some(_) => FLAGS,
        };
        let mut words: Vec<Vec<u8>> = [flags, ROOT, ROOT, 0]
            .iter()
            .map(|number| number.to_string().into())
            .collect();
        if let Some(identity) = self.identity {
            words.extend([b"uuid".to_vec(), quoted(&identity)]);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exports() -> Vec<Export> {
        vec![
            Export {
                place: b"/exports".to_vec(),
                identity: None,
            },
            Export {
                place: b"/exports/a b".to_vec(),
                identity: Some([7; 16]),
            },
        ]
    }

    fn ask(cache: Cache, line: &str) -> Option<String> {
        let line = answer(&exports(), cache, line.as_bytes())?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    #[test]
    fn exports_are_found_by_path_and_by_handle_and_others_are_not() {
        let domain = "\\x6576657279626f6479";
        let path = "\\x2f6578706f7274732f612062";
        let seven = "07".repeat(16);
        assert_eq!(
            ask(Cache::Exports, "everybody /exports/a\\040b\n"),
            Some(format!(
                "{domain} {path} 9999999999 3083 0 0 0 uuid \\x{seven} \n"
            ))
        );
        assert_eq!(
            ask(Cache::Handles, &format!("everybody 6 \\x{seven}\n")),
            Some(format!("{domain} 6 \\x{seven} 9999999999 {path} \n"))
        );
        assert_eq!(
            ask(
                Cache::Handles,
                &format!("everybody 7 \\x0000000000000001{seven}\n")
            ),
            Some(format!(
                "{domain} 7 \\x0000000000000001{seven} 9999999999 {path} \n"
            ))
        );
        assert_eq!(
            ask(Cache::Handles, "everybody 1 \\x01000000\n"),
            Some(format!("{domain} 1 \\x01000000 9999999999 \n"))
        );
        assert_eq!(
            ask(Cache::Exports, "everybody /exports/c\n"),
            Some(format!("{domain} \\x2f6578706f7274732f63 9999999999 \n"))
        );
    }

    proptest! {
        #[test]
        fn any_line_is_answered_with_one_line_or_none(line in prop::collection::vec(any::<u8>(), 0..300)) {
            for (cache, _) in CACHES {
                if let Some(answer) = answer(&exports(), cache, &line) {
                    prop_assert_eq!(answer.iter().position(|byte| *byte == b'\n'), Some(answer.len() - 1));
                }
            }
        }
    }
}
