//! A pipe to a service: DCE's remote calls (C706, chapter 12) without security of their own, since a pipe belongs to a session that
//! has it.
//!
//! A client first binds the pipe to the service's interface, then calls. What is answered is cut into fragments, which the client
//! fetches one by one.

use std::collections::VecDeque;

use super::services::{Facts, Fault, Service};

/// Bytes of a fragment's head.
const HEAD: usize = 16;
/// The longest fragment that is sent: what Windows asks for at once.
const LONGEST: usize = 1024;
/// The longest that is taken.
const LONGEST_TAKEN: u16 = 4280;
/// Bytes in front of a response's results.
const RESPONSE_HEAD: usize = 8;

/// Kinds of fragments.
mod kind {
    pub(super) const REQUEST: u8 = 0;
    pub(super) const RESPONSE: u8 = 2;
    pub(super) const FAULT: u8 = 3;
    pub(super) const BIND: u8 = 11;
    pub(super) const BIND_ACK: u8 = 12;
    pub(super) const ALTER: u8 = 14;
    pub(super) const ALTER_ANSWER: u8 = 15;
}

const FIRST: u8 = 1;
const LAST: u8 = 2;

/// `nca_s_op_rng_error`, `nca_s_fault_invalid_tag` and `nca_s_proto_error`.
const NO_SUCH_CALL: u32 = 0x1c01_0002;
const WRONG_ARGUMENTS: u32 = 0x1c00_0006;
const WRONG_FRAGMENT: u32 = 0x1c01_000b;

/// NDR as the way in which arguments are written, and its version.
const NDR: [u8; 20] = [
    0x04, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0,
    0,
];
/// The services' interfaces: 4b324fc8-1670-01d3-1278-5a47bf6ee188 version 3, 6bffd098-a112-3610-9833-46c3f87e345a version 1.
const SERVER: [u8; 20] = [
    0xc8, 0x4f, 0x32, 0x4b, 0x70, 0x16, 0xd3, 0x01, 0x12, 0x78, 0x5a, 0x47, 0xbf, 0x6e, 0xe1, 0x88, 3, 0, 0,
    0,
];
const WORKSTATION: [u8; 20] = [
    0x98, 0xd0, 0xff, 0x6b, 0x12, 0xa1, 0x10, 0x36, 0x98, 0x33, 0x46, 0xc3, 0xf8, 0x7e, 0x34, 0x5a, 1, 0, 0,
    0,
];

/// One that a client has open.
#[derive(Default)]
pub(super) struct Pipe {
    bound: Option<Service>,
    /// Fragments that the client has not fetched.
    waiting: VecDeque<Vec<u8>>,
}

/// A fragment, checked.
struct Fragment<'a> {
    kind: u8,
    flags: u8,
    call: [u8; 4],
    body: &'a [u8],
}

fn fragment(bytes: &[u8]) -> Option<Fragment<'_>> {
    let [5, 0 | 1, kind, flags, 0x10, _, _, _, low, high, 0, 0, call @ ..] = bytes else {
        return None;
    };
    let len = usize::from(u16::from_le_bytes([*low, *high]));
    Some(Fragment {
        kind: *kind,
        flags: *flags,
        call: *call.first_chunk()?,
        body: bytes.get(HEAD..len)?,
    })
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|pair| u16::from_le_bytes(*pair))
}

impl Pipe {
    /// Takes what a client writes. False for what is no fragment at all.
    pub(super) fn write(&mut self, facts: &Facts, bytes: &[u8]) -> bool {
        self.waiting.clear();
        let Some(fragment) = fragment(bytes) else {
            return false;
        };
        let answered = match fragment.kind {
            kind::BIND | kind::ALTER => self.bind(&fragment),
            kind::REQUEST => self.call(facts, &fragment),
            _ => None,
        };
        if answered.is_none() {
            self.fault(&fragment, WRONG_FRAGMENT);
        }
        true
    }

    /// The next fragment for the client.
    pub(super) fn read(&mut self) -> Vec<u8> {
        self.waiting.pop_front().unwrap_or_default()
    }

    fn send(&mut self, kind: u8, flags: u8, call: [u8; 4], body: &[u8]) {
        let len = u16::try_from(HEAD.saturating_add(body.len())).unwrap_or(u16::MAX);
        let head = [5, 0, kind, flags, 0x10, 0, 0, 0];
        self.waiting
            .push_back([&head[..], &len.to_le_bytes(), &[0; 2], &call, body].concat());
    }

    /// Binds to the first interface that is there, if arguments may be written as NDR.
    fn bind(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        const ACCEPTED: [u8; 4] = [0; 4];
        const NO_SUCH_INTERFACE: [u8; 4] = [2, 0, 1, 0];
        const NO_SUCH_SYNTAX: [u8; 4] = [2, 0, 2, 0];
        let body = fragment.body;
        let count = *body.get(8)?;
        let mut rest = body.get(12..)?;
        let mut results = Vec::new();
        for _ in 0..count {
            let syntaxes = usize::from(*rest.get(2)?);
            let interface: &[u8; 20] = rest.get(4..)?.first_chunk()?;
            let offered = rest.get(24..)?.get(..syntaxes.checked_mul(20)?)?;
            rest = rest.get(24 + offered.len()..)?;
            let service = match *interface {
                SERVER => Some(Service::Server),
                WORKSTATION => Some(Service::Workstation),
                _ => None,
            };
            let (result, syntax) = match service {
                None => (NO_SUCH_INTERFACE, [0; 20]),
                Some(_) if !offered.chunks_exact(20).any(|syntax| syntax == NDR) => (NO_SUCH_SYNTAX, [0; 20]),
                service => {
                    self.bound = self.bound.or(service);
                    (ACCEPTED, NDR)
                }
            };
            results.extend_from_slice(&result);
            results.extend_from_slice(&syntax);
        }
        let address: &[u8] = match self.bound {
            Some(Service::Workstation) => b"\\PIPE\\wkssvc\0",
            _ => b"\\PIPE\\srvsvc\0",
        };
        let longest = LONGEST_TAKEN.to_le_bytes();
        let group = 0x0001_2345u32.to_le_bytes();
        let mut answer = [&longest[..], &longest, &group].concat();
        answer.extend_from_slice(&u16::try_from(address.len()).ok()?.to_le_bytes());
        answer.extend_from_slice(address);
        answer.resize(answer.len().next_multiple_of(4), 0);
        answer.extend_from_slice(&[count, 0, 0, 0]);
        answer.extend_from_slice(&results);
        let kind = if fragment.kind == kind::BIND {
            kind::BIND_ACK
        } else {
            kind::ALTER_ANSWER
        };
        self.send(kind, FIRST | LAST, fragment.call, &answer);
        Some(())
    }

    fn call(&mut self, facts: &Facts, fragment: &Fragment<'_>) -> Option<()> {
        // Arguments are short; a client that cuts them has another mind.
        if fragment.flags & (FIRST | LAST) != FIRST | LAST {
            return None;
        }
        let (context, number) = (short(fragment.body, 4)?, short(fragment.body, 6)?);
        let arguments = fragment.body.get(RESPONSE_HEAD..)?;
        let results = match self.bound?.call(facts, number, arguments) {
            Ok(results) => results,
            Err(fault) => {
                let why = match fault {
                    Fault::Unknown => NO_SUCH_CALL,
                    Fault::Arguments => WRONG_ARGUMENTS,
                };
                self.fault(fragment, why);
                return Some(());
            }
        };
        let pieces: Vec<&[u8]> = results.chunks(LONGEST - HEAD - RESPONSE_HEAD).collect();
        let last = pieces.len().saturating_sub(1);
        let mut left = results.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            let flags = if index == 0 { FIRST } else { 0 } | if index == last { LAST } else { 0 };
            let hint = u32::try_from(left).unwrap_or(u32::MAX).to_le_bytes();
            left = left.saturating_sub(piece.len());
            let body = [&hint[..], &context.to_le_bytes(), &[0; 2], piece].concat();
            self.send(kind::RESPONSE, flags, fragment.call, &body);
        }
        Some(())
    }

    fn fault(&mut self, fragment: &Fragment<'_>, why: u32) {
        let body = [&[0; 8][..], &why.to_le_bytes(), &[0; 4]].concat();
        self.send(kind::FAULT, FIRST | LAST, fragment.call, &body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts(shares: usize) -> Facts {
        Facts {
            name: "LKL".into(),
            shares: (0..shares).map(|number| format!("share-{number}")).collect(),
        }
    }

    fn said(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut pipe = Pipe::default();
        pipe.send(kind, FIRST | LAST, [1, 0, 0, 0], body);
        pipe.read()
    }

    fn bind(interface: [u8; 20], syntax: [u8; 20]) -> Vec<u8> {
        let body = [&[0; 8][..], &[1, 0, 0, 0], &[0, 0, 1, 0], &interface, &syntax].concat();
        said(kind::BIND, &body)
    }

    fn bound() -> Pipe {
        let mut pipe = Pipe::default();
        assert!(pipe.write(&facts(1), &bind(SERVER, NDR)));
        let answer = pipe.read();
        assert_eq!(answer[2], kind::BIND_ACK);
        assert_eq!(answer[answer.len() - 24..], [&[0; 4][..], &NDR].concat());
        pipe
    }

    #[test]
    fn what_is_not_there_is_not_bound() {
        for (interface, syntax, why) in [(NDR, NDR, 1), (SERVER, SERVER, 2)] {
            let mut pipe = Pipe::default();
            assert!(pipe.write(&facts(1), &bind(interface, syntax)));
            let answer = pipe.read();
            assert_eq!(answer[answer.len() - 24..][..4], [2, 0, why, 0]);
            assert!(pipe.write(&facts(1), &said(kind::REQUEST, &[0; 8])));
            assert_eq!(pipe.read()[2], kind::FAULT);
        }
    }

    #[test]
    fn a_long_list_of_shares_comes_in_fragments_that_are_one_answer() {
        let mut pipe = bound();
        let arguments = [
            0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let request = said(
            kind::REQUEST,
            &[&[0, 0, 0, 0, 0, 0, 15, 0][..], &arguments].concat(),
        );
        assert!(pipe.write(&facts(100), &request));
        let (mut results, mut flags) = (Vec::new(), Vec::new());
        loop {
            let piece = pipe.read();
            if piece.is_empty() {
                break;
            }
            let whole = fragment(&piece).unwrap();
            assert!(piece.len() <= LONGEST && piece.len() == whole.body.len() + HEAD);
            assert_eq!(whole.kind, kind::RESPONSE);
            flags.push(whole.flags);
            results.extend_from_slice(&whole.body[8..]);
        }
        assert!(flags.len() > 3);
        assert_eq!((flags[0], flags[1], flags[flags.len() - 1]), (FIRST, 0, LAST));
        assert_eq!(results[..8], [1, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(
            results[results.len() - 12..],
            [101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        let wide: Vec<u8> = "share-99".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(results.windows(wide.len()).any(|window| window == wide));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            kind in prop::sample::select(vec![0u8, 2, 11, 14, 15]),
            call in 0u8..24,
        ) {
            let mut pipe = bound();
            pipe.write(&facts(3), &bytes);
            pipe.write(&facts(3), &said(kind, &bytes));
            let request = [&[0, 0, 0, 0, 0, 0, call, 0][..], &bytes].concat();
            prop_assert!(pipe.write(&facts(3), &said(kind::REQUEST, &request)));
            prop_assert!(matches!(pipe.read()[2], kind::RESPONSE | kind::FAULT));
        }
    }
}
