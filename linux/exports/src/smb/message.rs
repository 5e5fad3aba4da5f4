//! What ksmbd and the program beside it say to each other: C structures of `fs/smb/server/ksmbd_netlink.h`, each as an attribute
//! whose number is the event's.
//!
//! Numbers are in the machine's order. Texts have a fixed room and end with a NUL.

/// The family of generic netlink.
pub(super) const FAMILY: &str = "SMBD_GENL";

/// Events, by their numbers.
pub(super) mod event {
    pub(crate) const STARTING_UP: u8 = 2;
    pub(crate) const LOGIN: u8 = 4;
    pub(crate) const SHARE: u8 = 6;
    pub(crate) const TREE: u8 = 8;
    pub(crate) const RPC: u8 = 12;
}

/// Room for a user's name, a share's, and a hash.
const NAME: usize = 48;
pub(super) const SHARE_NAME: usize = 64;
const HASH: usize = 18;

/// What the server is told when it starts.
pub(super) struct Startup<'a> {
    pub(super) name: &'a str,
    pub(super) port: u16,
    pub(super) interface: &'a str,
    pub(super) connections: u32,
}

/// A structure under construction.
struct Structure(Vec<u8>);

impl Structure {
    fn new() -> Structure {
        Structure(Vec::new())
    }

    fn short(mut self, value: u16) -> Structure {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    fn word(mut self, value: u32) -> Structure {
        self.0.extend_from_slice(&value.to_ne_bytes());
        self
    }

    /// A text, cut to its room.
    fn text(self, text: &[u8], room: usize) -> Structure {
        let end = text.len().min(room.saturating_sub(1));
        self.bytes(text.get(..end).unwrap_or_default(), room)
    }

    fn bytes(mut self, bytes: &[u8], room: usize) -> Structure {
        let end = self.0.len().saturating_add(room);
        self.0.extend_from_slice(bytes);
        self.0.resize(end, 0);
        self
    }

    fn zeros(self, len: usize) -> Structure {
        self.bytes(&[], len)
    }
}

/// A read of at most so much, bytes: the least that ksmbd takes. It has each in memory in one piece, and Linux without an MMU finds longer
/// ones the less, the more of its memory is a cache.
const LARGEST_READ: u32 = 64 << 10;
/// Requests of 64 KiB that a connection may have under way.
const CREDITS: u32 = 64;
/// Files that all clients together may have open.
const FILES: u32 = 16_384;

impl Startup<'_> {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        const SIGNED_IF_WANTED: u32 = 2;
        let interface = [self.interface.as_bytes(), &[0]].concat();
        let list = u32::try_from(interface.len()).unwrap_or(0);
        let structure = Structure::new()
            .word(0)
            .word(SIGNED_IF_WANTED)
            // The oldest and newest dialect: ksmbd's own.
            .zeros(32)
            .text(self.name.to_ascii_uppercase().as_bytes(), 16)
            .text(b"WORKGROUP", 64)
            .text(b"Disk images", 64)
            .short(self.port)
            // No heartbeats: this program and Linux live and die together.
            .short(0)
            .word(0)
            .word(FILES)
            .word(LARGEST_READ)
            .word(LARGEST_READ)
            .word(LARGEST_READ)
            .word(0)
            // The domain that users are shown as of.
            .word(1)
            .word(2)
            .word(3)
            .word(CREDITS)
            .word(0)
            .word(self.connections)
            .bytes(&[1], 1)
            // As many from one address.
            .word(0)
            .zeros(499)
            .word(list)
            .bytes(&interface, interface.len());
        structure.0
    }
}

/// Who logs in, as ksmbd is told.
pub(super) enum Login<'a> {
    /// Who has no password here.
    Guest,
    /// A user with the hash of a password, which ksmbd compares.
    User { name: &'a str, hash: &'a [u8; 16] },
    /// Nobody that is let in.
    Unknown,
}

/// Answers to [`event::LOGIN`].
pub(super) fn login(handle: u32, login: &Login<'_>) -> Vec<u8> {
    const OK: u16 = 1;
    const BAD_USER: u16 = 8;
    const GUEST: u16 = 16;
    let (name, status, hash): (&str, u16, &[u8]) = match login {
        Login::Guest => ("guest", OK | GUEST, &[]),
        Login::User { name, hash } => (name, OK, *hash),
        Login::Unknown => ("", BAD_USER, &[]),
    };
    let structure = Structure::new()
        .word(handle)
        // Everybody reads as root does.
        .word(0)
        .word(0)
        .text(name.as_bytes(), NAME)
        .short(status)
        .short(u16::try_from(hash.len()).unwrap_or(0))
        .bytes(hash, HASH)
        .zeros(2 + 64);
    structure.0
}

/// Answers to [`event::SHARE`]: a volume's place, `None` for the share of pipes.
pub(super) fn share(handle: u32, name: &str, place: Option<&[u8]>, guests: bool) -> Vec<u8> {
    const AVAILABLE: u32 = 1;
    const BROWSABLE: u32 = 1 << 1;
    const READ_ONLY: u32 = 1 << 3;
    const GUESTS: u32 = 1 << 4;
    const PIPES: u32 = 1 << 8;
    /// What is mounted on the folder that a share is at is the share.
    const CROSS_MOUNTS: u32 = 1 << 15;
    /// `KSMBD_SHARE_INVALID_UID`: files are read as the user that logged in.
    const NO_OTHER_USER: u16 = u16::MAX;
    let kind = match place {
        Some(_) => AVAILABLE | BROWSABLE | READ_ONLY | CROSS_MOUNTS,
        None => AVAILABLE | PIPES,
    };
    let place = place.unwrap_or_default();
    let structure = Structure::new()
        .word(handle)
        .word(if guests { kind | GUESTS } else { kind })
        .zeros(8)
        .short(NO_OTHER_USER)
        .short(NO_OTHER_USER)
        .text(name.as_bytes(), SHARE_NAME)
        .zeros(444)
        .word(u32::try_from(place.len()).unwrap_or(0))
        // No patterns of names that are hidden: ksmbd compares them with names that have no end, and hides others.
        .word(0)
        .bytes(place, place.len());
    structure.0
}

/// The same for a name that no share has.
pub(super) fn no_share(handle: u32) -> Vec<u8> {
    Structure::new().word(handle).zeros(532).0
}

/// Answers to [`event::TREE`].
pub(super) fn tree(handle: u32, known: bool, guest: bool) -> Vec<u8> {
    const NO_SHARE: u16 = 2;
    const GUEST: u16 = 1;
    const READ_ONLY: u16 = 2;
    let flags = if guest { GUEST | READ_ONLY } else { READ_ONLY };
    let status = if known { 0 } else { NO_SHARE };
    Structure::new()
        .word(handle)
        .short(status)
        .short(flags)
        .zeros(64)
        .0
}

/// Answers to [`event::RPC`].
pub(super) fn rpc(handle: u32, status: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(0);
    let structure = Structure::new()
        .word(handle)
        .word(status)
        .word(len)
        .bytes(payload, payload.len());
    structure.0
}

fn word_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_ne_bytes(*word))
}

/// A text at a place with so much room. Names in other encodings than UTF-8 are none of ours.
fn text_at(bytes: &[u8], at: usize, room: usize) -> Option<&str> {
    let room = bytes.get(at..)?.get(..room)?;
    str::from_utf8(room.split(|byte| *byte == 0).next()?).ok()
}

/// The number by which ksmbd knows the answer to its question: the first of every structure.
pub(super) fn handle(request: &[u8]) -> Option<u32> {
    word_at(request, 0)
}

/// Who asks, in [`event::LOGIN`].
pub(super) fn login_name(request: &[u8]) -> Option<&str> {
    text_at(request, 4, NAME)
}

/// The share, in [`event::SHARE`].
pub(super) fn share_name(request: &[u8]) -> Option<&str> {
    text_at(request, 4, SHARE_NAME)
}

/// The share, and whether a guest asks, in [`event::TREE`].
pub(super) fn tree_name(request: &[u8]) -> Option<(&str, bool)> {
    const GUEST: u16 = 16;
    let flags = request
        .get(4..)?
        .first_chunk()
        .map(|flags| u16::from_ne_bytes(*flags))?;
    Some((text_at(request, 72, SHARE_NAME)?, flags & GUEST != 0))
}

/// What is to be done with a pipe, and the bytes for it, in [`event::RPC`].
pub(super) fn rpc_call(request: &[u8]) -> Option<(u32, &[u8])> {
    let len = usize::try_from(word_at(request, 8)?).ok()?;
    Some((word_at(request, 4)?, request.get(12..)?.get(..len)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn structures_are_as_long_as_linux_has_them() {
        let startup = Startup {
            name: "a name that is too long for it",
            port: 445,
            interface: "lo",
            connections: 7,
        };
        let bytes = startup.to_bytes();
        assert_eq!(bytes.len(), 744 + 3);
        assert_eq!(&bytes[40..56], b"A NAME THAT IS \0");
        assert_eq!(bytes[184..186], 445u16.to_ne_bytes());
        assert_eq!(bytes[232..237], [7, 0, 0, 0, 1]);
        assert_eq!(&bytes[740..], b"\x03\0\0\0lo\0");
        assert_eq!(login(1, &Login::Unknown).len(), 148);
        let user = Login::User {
            name: "joe",
            hash: &[9; 16],
        };
        assert_eq!(&login(1, &user)[60..66], [1, 0, 16, 0, 9, 9]);
        let share = share(1, "disk", Some(b"/exports/disk"), true);
        assert_eq!(share.len(), 536 + 13);
        assert_eq!(&share[20..25], b"disk\0");
        assert_eq!(share[528..532], [13, 0, 0, 0]);
        assert_eq!(no_share(1).len(), 536);
        assert_eq!(tree(1, true, true).len(), 72);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (handle(&bytes), login_name(&bytes), share_name(&bytes), tree_name(&bytes));
            if let Some((_, payload)) = rpc_call(&bytes) {
                prop_assert!(payload.len() + 12 <= bytes.len());
            }
        }
    }
}
