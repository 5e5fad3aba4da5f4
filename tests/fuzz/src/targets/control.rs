//! Control requests of `\Device\Lklfs` and `\Device\LklfsStatus`, with the settings and policies in them: `lklfs_control::parse`.
//!
//! The bytes: interface, code, length of the output buffer, then the request. What must hold: parsing allocates nothing; what
//! is taken, encoded anew, is the same request; there is one way to write a request, so it is the same bytes, but for what a
//! newer sender may have added; on the interface for everyone nothing is taken that changes anything.

use crate::allocated::within;
use crate::input::Input;
use lklfs_control::{Code, Interface, Request, VERSION, parse, reply};

pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.u8();
    let interface = Interface::ALL[usize::from(how & 1)];
    let number = match how & 2 {
        0 => Code::ALL[usize::from(how >> 2) % Code::ALL.len()].number(),
        _ => input.u32(),
    };
    let output = usize::from(input.u8());
    let request = input.0;
    let taken = within(0, || parse(interface, number, request, output));
    let Ok(taken) = taken else { return };
    assert_eq!(taken.code().number(), number);
    assert!(output >= reply::shortest(taken.code()));
    if interface == Interface::Status {
        let looks = matches!(
            taken,
            Request::Version
                | Request::Status
                | Request::List { .. }
                | Request::Places { .. }
                | Request::Policies { .. }
        );
        assert!(looks, "{taken:?} by anyone");
    }
    let encoded = within(8 * request.len() + 1024, || taken.encode()).expect("what was taken can be written");
    assert_eq!(parse(interface, number, &encoded, output), Ok(taken));
    // Another minor version, and the zeros of a fixed part that is longer, are not written.
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if word(request, 8) == VERSION && word(request, 4) == word(&encoded, 4) {
        assert_eq!(encoded, request, "{taken:?} can be written in two ways");
    }
}
