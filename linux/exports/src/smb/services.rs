//! What may be called in a server: the list of its shares, and who it is. Each call takes the bytes of its arguments and gives
//! those of its results.
//!
//! The numbers of the calls, and of the levels in which results are asked for, are Microsoft's (MS-SRVS, MS-WKST).

use super::ndr::{Reader, Writer};

/// What is told of a server.
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) shares: Vec<String>,
}

/// A service, by the pipe that leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// `srvsvc`
    Server,
    /// `wkssvc`
    Workstation,
}

/// There is no such call, or its arguments are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Unknown,
    Arguments,
}

const DONE: u32 = 0;
/// `WERR_INVALID_LEVEL`
const NO_SUCH_LEVEL: u32 = 124;
/// `WERR_NERR_NETNAMENOTFOUND`
const NO_SUCH_SHARE: u32 = 2310;

/// `STYPE_DISKTREE`, and `STYPE_IPC` of a hidden one.
const FILES: u32 = 0;
const PIPES: u32 = 0x8000_0003;
/// The share by which pipes are reached.
pub(super) const PIPE_SHARE: &str = "IPC$";

/// `PLATFORM_ID_NT`, and the version that is told by servers of that kind.
const PLATFORM: u32 = 500;
const VERSION: (u32, u32) = (6, 1);
/// `SV_TYPE_WORKSTATION | SV_TYPE_SERVER | SV_TYPE_SERVER_UNIX`
const KIND: u32 = 0x803;

impl Service {
    /// Makes a call.
    pub(super) fn call(self, facts: &Facts, number: u16, arguments: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut reader = Reader::new(arguments);
        let result = match (self, number) {
            (Service::Server, 15) => all_shares(facts, &mut reader),
            (Service::Server, 16) => one_share(facts, &mut reader),
            (Service::Server, 21) => server(facts, &mut reader),
            (Service::Workstation, 0) => workstation(facts, &mut reader),
            _ => return Err(Fault::Unknown),
        };
        result.map(|writer| writer.bytes).ok_or(Fault::Arguments)
    }
}

/// `NetrShareEnum`
fn all_shares(facts: &Facts, arguments: &mut Reader<'_>) -> Option<Writer> {
    arguments.pointer_to_text()?;
    let level = arguments.word()?;
    let shares: Vec<&str> = facts
        .shares
        .iter()
        .map(String::as_str)
        .chain([PIPE_SHARE])
        .collect();
    let count = u32::try_from(shares.len()).ok()?;
    let mut writer = Writer::default();
    writer.word(level).word(level);
    if level > 1 {
        writer.word(0).word(0).word(0).word(NO_SUCH_LEVEL);
        return Some(writer);
    }
    writer.pointer().word(count).pointer().word(count);
    for share in &shares {
        writer.pointer();
        if level == 1 {
            writer.word(kind(share)).pointer();
        }
    }
    for share in &shares {
        writer.text(share);
        if level == 1 {
            writer.text("");
        }
    }
    // All that there are, and nowhere to go on.
    writer.word(count).word(0).word(DONE);
    Some(writer)
}

/// `NetrShareGetInfo`
fn one_share(facts: &Facts, arguments: &mut Reader<'_>) -> Option<Writer> {
    arguments.pointer_to_text()?;
    let (name, level) = (arguments.text()?, arguments.word()?);
    let mut shares = facts.shares.iter().map(String::as_str).chain([PIPE_SHARE]);
    let found = shares.find(|share| share.to_lowercase() == name.to_lowercase());
    let mut writer = Writer::default();
    writer.word(level);
    match (found, level) {
        (Some(share), 0 | 1) => {
            writer.pointer().pointer();
            if level == 1 {
                writer.word(kind(share)).pointer();
            }
            writer.text(share);
            if level == 1 {
                writer.text("");
            }
            writer.word(DONE);
        }
        (Some(_), _) => drop(writer.word(0).word(NO_SUCH_LEVEL)),
        (None, _) => drop(writer.word(0).word(NO_SUCH_SHARE)),
    }
    Some(writer)
}

fn kind(share: &str) -> u32 {
    if share == PIPE_SHARE { PIPES } else { FILES }
}

/// `NetrServerGetInfo`
fn server(facts: &Facts, arguments: &mut Reader<'_>) -> Option<Writer> {
    arguments.pointer_to_text()?;
    let level = arguments.word()?;
    let mut writer = Writer::default();
    writer.word(level);
    match level {
        100 => drop(
            writer
                .pointer()
                .word(PLATFORM)
                .pointer()
                .text(&facts.name)
                .word(DONE),
        ),
        101 => {
            writer.pointer().word(PLATFORM).pointer();
            writer.word(VERSION.0).word(VERSION.1).word(KIND).pointer();
            writer.text(&facts.name).text("Disk images").word(DONE);
        }
        _ => drop(writer.word(0).word(NO_SUCH_LEVEL)),
    }
    Some(writer)
}

/// `NetrWkstaGetInfo`
fn workstation(facts: &Facts, arguments: &mut Reader<'_>) -> Option<Writer> {
    arguments.pointer_to_text()?;
    let level = arguments.word()?;
    let mut writer = Writer::default();
    writer.word(level);
    match level {
        100 => {
            writer.pointer().word(PLATFORM).pointer().pointer();
            writer.word(VERSION.0).word(VERSION.1);
            writer.text(&facts.name).text("WORKGROUP").word(DONE);
        }
        _ => drop(writer.word(0).word(NO_SUCH_LEVEL)),
    }
    Some(writer)
}
