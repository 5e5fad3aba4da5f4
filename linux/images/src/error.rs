//! What can be wrong with an image, in words that name the thing.

use core::fmt;

use crate::Format;
use crate::reference::Role;

/// Why an image cannot be opened or read. `file` is an index into the image's files in the order in which they were
/// opened: 0 is the one that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read at this offset although it is that long.
    Read {
        /// Which file.
        file: usize,
        /// Bytes from its start.
        offset: u64,
    },
    /// A file ends before something that it says it holds.
    Truncated {
        /// Which file.
        file: usize,
        /// Its length in bytes.
        size: u64,
        /// Where the missing bytes should be.
        offset: u64,
    },
    /// No memory.
    NoMemory,
    /// The image contradicts itself or its format.
    Damaged {
        /// What the image is.
        format: Format,
        /// What is wrong.
        what: &'static str,
    },
    /// The image is sound, as far as one can see, but cannot be read here.
    Unsupported {
        /// What the image is.
        format: Format,
        /// What it is or has.
        what: &'static str,
    },
    /// It is an image of a format that is known by sight only.
    Foreign {
        /// What it is.
        what: &'static str,
        /// The command that makes a raw image of it.
        remedy: &'static str,
    },
    /// A qcow2 image needs a feature that is not known here.
    UnknownFeature {
        /// The feature's bit among the incompatible ones.
        bit: u32,
        /// Its name as the image tells it, if it does.
        name: FeatureName,
    },
    /// The file that this one needs was not found, or the caller did not want it.
    Unresolved {
        /// Which file needs it.
        file: usize,
        /// What for.
        role: Role,
    },
    /// More files are stacked on each other than [`crate::MAX_LAYERS`].
    TooDeep,
    /// A file is, directly or not, its own parent.
    Loop {
        /// Which file was met again.
        file: usize,
    },
    /// The parent is not the disk that this image was made on, or was changed since.
    WrongParent {
        /// Which file has it.
        file: usize,
    },
    /// The range is not inside the disk.
    Beyond,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Read { offset, .. } => write!(f, "cannot be read at byte {offset}"),
            Error::Truncated { size, offset, .. } => {
                write!(
                    f,
                    "is incomplete: it ends at byte {size}, and needs what was at byte {offset}"
                )
            }
            Error::NoMemory => f.write_str("there is not enough memory"),
            Error::Damaged { format, what } => write!(f, "is a damaged {} image: {what}", format.name()),
            Error::Foreign { what, .. } => write!(f, "is {what}, which cannot be read here"),
            Error::Unsupported { format, what } => {
                write!(
                    f,
                    "is a {} image with {what}, which cannot be read here",
                    format.name()
                )
            }
            Error::UnknownFeature { bit, name } if name.bytes().is_empty() => {
                write!(
                    f,
                    "is a qcow2 image with incompatible feature {bit}, which is not known here"
                )
            }
            Error::UnknownFeature { bit, name } => write!(
                f,
                "is a qcow2 image with incompatible feature {bit} ({name}), which is not known here"
            ),
            Error::Unresolved {
                role: Role::Parent, ..
            } => f.write_str("its parent image is not there"),
            Error::Unresolved { role: Role::Data, .. } => f.write_str("its data file is not there"),
            Error::TooDeep => write!(f, "has more than {} images below it", crate::MAX_LAYERS),
            Error::Loop { .. } => f.write_str("is its own parent"),
            Error::WrongParent { .. } => {
                f.write_str("its parent is not the one it was made on, or was changed since")
            }
            Error::Beyond => f.write_str("the range is beyond the end of the disk"),
        }
    }
}

impl core::error::Error for Error {}

/// The name of a feature as a qcow2 image tells it: at most 46 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FeatureName([u8; 46]);

impl FeatureName {
    pub(crate) const NONE: FeatureName = FeatureName([0; 46]);

    pub(crate) fn new(padded: [u8; 46]) -> FeatureName {
        FeatureName(padded)
    }

    /// Its bytes without padding.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl fmt::Display for FeatureName {
    /// What is printable of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.bytes() {
            let printable = byte.is_ascii_graphic() || *byte == b' ';
            write!(f, "{}", if printable { char::from(*byte) } else { '?' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for FeatureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
