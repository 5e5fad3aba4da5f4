//! What ksmbd asks while it serves, and the answers: who may log in, where a share is, what pipes are told.
//!
//! Machines have `ksmbd.mountd` for that. One thread answers, and nothing that it does waits.

use std::collections::HashMap;

use super::User;
use super::message::{self, Login, event};
use super::pipe::Pipe;
use super::services::{Facts, PIPE_SHARE};

/// Pipes that are open at once.
const MOST_PIPES: usize = 4096;

/// What to do with a pipe, and how the answers are.
mod rpc {
    pub(super) const KINDS: u32 = 0x1ff;
    pub(super) const IOCTL: u32 = 1 << 3 | 1;
    pub(super) const OPEN: u32 = 1 << 4;
    pub(super) const WRITE: u32 = 1 << 5;
    pub(super) const READ: u32 = 1 << 6 | 1;
    pub(super) const CLOSE: u32 = 1 << 7;
    pub(super) const OK: u32 = 0;
    pub(super) const BAD_DATA: u32 = 0x0d;
    pub(super) const NOT_IMPLEMENTED: u32 = 0x40;
}

/// A share.
pub(super) struct Placed {
    pub(super) name: String,
    /// From Linux's root on.
    pub(super) place: Vec<u8>,
}

/// Whoever answers.
pub(super) struct Answerer {
    shares: Vec<Placed>,
    users: Vec<User>,
    guests: bool,
    facts: Facts,
    pipes: HashMap<u32, Pipe>,
}

impl Answerer {
    pub(super) fn new(name: &str, shares: Vec<Placed>, users: Vec<User>, guests: bool) -> Answerer {
        let facts = Facts {
            name: name.to_ascii_uppercase(),
            shares: shares.iter().map(|share| share.name.clone()).collect(),
        };
        Answerer {
            shares,
            users,
            guests,
            facts,
            pipes: HashMap::new(),
        }
    }

    /// The answer to an event, if it has one. Its number is the event's and one.
    pub(super) fn answer(&mut self, event: u8, request: &[u8]) -> Option<Vec<u8>> {
        let handle = message::handle(request)?;
        match event {
            event::LOGIN => {
                let name = message::login_name(request);
                Some(message::login(handle, &self.login(name)))
            }
            event::SHARE => Some(self.share(handle, message::share_name(request))),
            event::TREE => {
                let (name, guest) = message::tree_name(request)?;
                let known = same(name, PIPE_SHARE) || self.find(name).is_some();
                Some(message::tree(handle, known, guest))
            }
            event::RPC => {
                let (call, bytes) = message::rpc_call(request)?;
                let (status, payload) = self.pipe(handle, call, bytes);
                Some(message::rpc(handle, status, &payload))
            }
            _ => None,
        }
    }

    fn login(&self, name: Option<&str>) -> Login<'_> {
        let user = self
            .users
            .iter()
            .find(|user| name.is_some_and(|name| same(name, &user.name)));
        match user {
            Some(user) => Login::User {
                name: &user.name,
                hash: &user.hash,
            },
            None if self.guests => Login::Guest,
            None => Login::Unknown,
        }
    }

    fn find(&self, name: &str) -> Option<&Placed> {
        self.shares.iter().find(|share| same(name, &share.name))
    }

    fn share(&self, handle: u32, name: Option<&str>) -> Vec<u8> {
        match name {
            Some(name) if same(name, PIPE_SHARE) => message::share(handle, PIPE_SHARE, None, self.guests),
            name => match name.and_then(|name| self.find(name)) {
                Some(share) => message::share(handle, &share.name, Some(&share.place), self.guests),
                None => message::no_share(handle),
            },
        }
    }

    fn pipe(&mut self, handle: u32, call: u32, bytes: &[u8]) -> (u32, Vec<u8>) {
        let nothing = |status| (status, Vec::new());
        let whole = self.pipes.len() < MOST_PIPES;
        // The bits above say which service, and the client what it binds to.
        let call = call & rpc::KINDS & !(1 << 1 | 1 << 2);
        match call {
            rpc::OPEN if whole => {
                self.pipes.insert(handle, Pipe::default());
                return nothing(rpc::OK);
            }
            rpc::CLOSE => {
                self.pipes.remove(&handle);
                return nothing(rpc::OK);
            }
            _ => {}
        }
        let Some(pipe) = self.pipes.get_mut(&handle) else {
            return nothing(rpc::BAD_DATA);
        };
        match call {
            rpc::WRITE | rpc::IOCTL if !pipe.write(&self.facts, bytes) => nothing(rpc::BAD_DATA),
            rpc::WRITE => nothing(rpc::OK),
            rpc::IOCTL | rpc::READ => (rpc::OK, pipe.read()),
            _ => nothing(rpc::NOT_IMPLEMENTED),
        }
    }
}

/// Whether two names are one to SMB, which knows no case.
fn same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answerer(guests: bool) -> Answerer {
        let share = Placed {
            name: "Disk.img".into(),
            place: b"/shares/0".to_vec(),
        };
        let user = User::new("Joe", "word");
        Answerer::new("lkl", vec![share], vec![user], guests)
    }

    fn login(guests: bool, name: &str) -> (u16, Vec<u8>) {
        let request = [&[7, 0, 0, 0], name.as_bytes(), &[0; 112][name.len()..]].concat();
        let answer = answerer(guests).answer(event::LOGIN, &request).unwrap();
        assert_eq!(answer[..4], [7, 0, 0, 0]);
        (
            u16::from_ne_bytes([answer[60], answer[61]]),
            answer[64..80].to_vec(),
        )
    }

    #[test]
    fn users_are_known_by_name_and_others_are_guests_or_none() {
        let hash = User::new("", "word").hash.to_vec();
        assert_eq!(login(false, "jOE"), (1, hash.clone()));
        assert_eq!(login(true, "joe"), (1, hash));
        assert_eq!(login(true, "ann").0, 1 | 16);
        assert_eq!(login(true, "").0, 1 | 16);
        assert_eq!(login(false, "ann").0, 8);
        assert_eq!(login(false, "").0, 8);
    }

    #[test]
    fn shares_are_found_whatever_the_case() {
        let ask = |name: &[u8]| {
            let request = [&[7, 0, 0, 0], name, &[0; 128][name.len()..]].concat();
            answerer(true).answer(event::SHARE, &request).unwrap()
        };
        assert!(ask(b"disk.img").ends_with(b"/shares/0"));
        assert_eq!(ask(b"ipc$").len(), 536);
        assert_eq!(ask(b"other")[4..8], [0; 4]);
        assert_eq!(ask(b"\xff\xff")[4..8], [0; 4]);
    }

    proptest! {
        #[test]
        fn any_event_is_answered_or_not(
            events in prop::collection::vec((0u8..20, prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        ) {
            let mut answerer = answerer(true);
            for (event, request) in events {
                if let Some(answer) = answerer.answer(event, &request) {
                    prop_assert_eq!(&answer[..4], &request[..4]);
                }
            }
        }
    }
}
