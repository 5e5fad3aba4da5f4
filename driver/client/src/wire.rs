//! What goes over the socket between this crate and `double serve`: one connection is one handle.
//!
//! The first frame opens something by its NT name, or relative to another connection's handle, as user mode does; the
//! reply to it has the handle's number, 8 bytes, by which others open relative to it. The rest are requests on that
//! handle, each answered before the next is sent. Closing the connection closes the handle. So a connection that opens a
//! file on a mounted volume holds that file open until it is dropped: nothing more is needed to test what is in use.
//!
//! A frame is a head of four little-endian 32-bit numbers (verb, argument, room, length) and `length` bytes; a reply is
//! status, length and that many bytes.

use std::io::{self, ErrorKind, Read, Write};

use lklfs_nt::NtStatus;

/// The longest payload in either direction.
pub const MOST: usize = 1 << 20;

/// What is asked of the double.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// `NtOpenFile`: once, at first.
    Open {
        /// Desired access.
        access: u32,
        /// The NT name, UTF-16.
        name: Vec<u16>,
    },
    /// `NtCreateFile` with the disposition FILE_OPEN, everything shared: once, at first.
    Create {
        /// Desired access.
        access: u32,
        /// FILE_DIRECTORY_FILE and so on. Requests on the handle are synchronous in any case.
        options: u32,
        /// Without OBJ_CASE_INSENSITIVE.
        exact: bool,
        /// The handle that the name is relative to; 0 for none.
        root: u64,
        /// The NT name, UTF-16.
        name: Vec<u16>,
    },
    /// `NtDeviceIoControlFile`.
    Control {
        /// The control code.
        code: u32,
        /// Bytes of the output buffer.
        room: u32,
        /// The input buffer.
        input: Vec<u8>,
    },
    /// `NtReadFile`.
    Read {
        /// Where.
        offset: u64,
        /// How many bytes at most.
        length: u32,
    },
    /// `NtQueryDirectoryFile` without a pattern.
    Directory {
        /// The information class.
        class: u32,
        /// From the first entry on.
        restart: bool,
        /// Bytes of the output buffer.
        room: u32,
    },
    /// `NtFsControlFile`.
    FsControl {
        /// The control code.
        code: u32,
        /// Bytes of the output buffer.
        room: u32,
        /// The input buffer.
        input: Vec<u8>,
    },
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: NtStatus,
    /// The output; empty when the request failed.
    pub bytes: Vec<u8>,
}

const OPEN: u32 = 1;
const CONTROL: u32 = 2;
const READ: u32 = 3;
const CREATE: u32 = 4;
const DIRECTORY: u32 = 5;
const FS_CONTROL: u32 = 6;
/// Beside the class in a frame of [`DIRECTORY`].
const RESTART: u32 = 1 << 31;

impl Frame {
    /// Writes it.
    ///
    /// # Errors
    /// Those of `to`; InvalidInput for a payload that is too long.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (head, payload) = match self {
            Frame::Open { access, name } => (
                [OPEN, *access, 0],
                name.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            ),
            Frame::Create {
                access,
                options,
                exact,
                root,
                name,
            } => {
                let mut payload = options.to_le_bytes().to_vec();
                payload.extend_from_slice(&u32::from(*exact).to_le_bytes());
                payload.extend_from_slice(&root.to_le_bytes());
                payload.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
                ([CREATE, *access, 0], payload)
            }
            Frame::Control { code, room, input } => ([CONTROL, *code, *room], input.clone()),
            Frame::Read { offset, length } => ([READ, 0, *length], offset.to_le_bytes().to_vec()),
            Frame::Directory { class, restart, room } => {
                let restart = if *restart { RESTART } else { 0 };
                ([DIRECTORY, *class | restart, *room], Vec::new())
            }
            Frame::FsControl { code, room, input } => ([FS_CONTROL, *code, *room], input.clone()),
        };
        send(to, &head, &payload)
    }

    /// Reads one; `None` at the end of the connection.
    ///
    /// # Errors
    /// Those of `from`; InvalidData for what is no frame.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Frame>> {
        let Some(verb) = first(from)? else { return Ok(None) };
        let (argument, room) = (number(from)?, number(from)?);
        let payload = payload(from)?;
        if room as usize > MOST {
            return Err(wrong());
        }
        Ok(Some(match verb {
            OPEN => Frame::Open {
                access: argument,
                name: units(&payload)?,
            },
            CREATE => {
                let (options, rest) = payload.split_first_chunk().ok_or_else(wrong)?;
                let (exact, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
                let (root, name) = rest.split_first_chunk().ok_or_else(wrong)?;
                Frame::Create {
                    access: argument,
                    options: u32::from_le_bytes(*options),
                    exact: u32::from_le_bytes(*exact) != 0,
                    root: u64::from_le_bytes(*root),
                    name: units(name)?,
                }
            }
            CONTROL => Frame::Control {
                code: argument,
                room,
                input: payload,
            },
            READ => Frame::Read {
                offset: u64::from_le_bytes(payload.try_into().map_err(|_| wrong())?),
                length: room,
            },
            DIRECTORY => Frame::Directory {
                class: argument & !RESTART,
                restart: argument & RESTART != 0,
                room,
            },
            FS_CONTROL => Frame::FsControl {
                code: argument,
                room,
                input: payload,
            },
            _ => return Err(wrong()),
        }))
    }
}

impl Reply {
    /// Writes it.
    ///
    /// # Errors
    /// Those of `to`; InvalidInput for a payload that is too long.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        send(to, &[self.status.0], &self.bytes)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Those of `from`; UnexpectedEof when the connection ended.
    pub fn read(from: &mut impl Read) -> io::Result<Reply> {
        Ok(Reply {
            status: NtStatus(number(from)?),
            bytes: payload(from)?,
        })
    }
}

/// Numbers, the payload's length, and the payload, in one write.
fn send(to: &mut impl Write, numbers: &[u32], payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= MOST)
        .ok_or(ErrorKind::InvalidInput)?;
    let mut bytes: Vec<u8> = numbers
        .iter()
        .chain([&length])
        .flat_map(|number| number.to_le_bytes())
        .collect();
    bytes.extend_from_slice(payload);
    to.write_all(&bytes)?;
    to.flush()
}

/// UTF-16 of bytes.
fn units(bytes: &[u8]) -> io::Result<Vec<u16>> {
    let (units, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(units.iter().map(|unit| u16::from_le_bytes(*unit)).collect())
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// The first number of a frame; `None` when there is not one byte more.
fn first(from: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(u32::from_le_bytes(bytes)))
}

fn payload(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = number(from)? as usize;
    if length > MOST {
        return Err(wrong());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn wrong() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "this is no frame of the NT double's")
}
