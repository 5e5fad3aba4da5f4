//! One image of a chain, whatever its format.

use crate::cache::Tables;
use crate::error::Error;
use crate::qcow2::Qcow2;
use crate::reference::{Declared, Reference};
use crate::source::Source;
use crate::vhd::{Footer, Vhd};
use crate::vhdx::Vhdx;
use crate::{DiskId, File, Format};

/// What lies at a place of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The bytes of the layer's data file from here on.
    Data(u64),
    /// Zeros.
    Zero,
    /// What the parent has; zeros if there is none.
    Below,
    /// A part of a cluster that must be unpacked first.
    Packed(Packed),
}

/// A compressed cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Where its packed bytes begin in the file.
    pub offset: u64,
    /// How many there are at most.
    pub length: u64,
    /// Bytes of the cluster that are before the place.
    pub skip: u64,
    /// Bytes of the cluster.
    pub size: u64,
    /// How it is packed.
    pub method: Method,
}

/// How a cluster is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Deflate,
    Zstd,
}

/// What lies at a place, and for how many bytes from there on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub found: Found,
    pub length: u64,
}

impl Run {
    pub fn new(found: Found, length: u64) -> Run {
        Run { found, length }
    }
}

/// What tells whether a parent is the one that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The format has none.
    None,
    /// The unique ID of a VHD.
    Vhd([u8; 16]),
    /// The data write GUID of a VHDX.
    Vhdx([u8; 16]),
    /// Either of two data write GUIDs (only what a child expects).
    EitherVhdx([u8; 16], [u8; 16]),
}

impl Identity {
    /// Whether an image with identity `self` is what a child means by `expected`.
    pub fn is(self, expected: Identity) -> bool {
        match (self, expected) {
            (_, Identity::None) => true,
            (Identity::Vhdx(id), Identity::EitherVhdx(one, other)) => id == one || id == other,
            _ => self == expected,
        }
    }
}

/// A layer, and what was learned about it when it was opened.
pub(crate) struct Opened<L> {
    pub layer: L,
    /// Bytes of its disk.
    pub size: u64,
    /// Bytes of a logical sector.
    pub sector_size: u32,
    pub disk_id: Option<DiskId>,
    pub identity: Identity,
    /// Its parent, and how that is known.
    pub parent: Option<(Reference, Option<Identity>)>,
    /// Where its data is, if not in its own file.
    pub data: Option<Reference>,
}

impl<L> Opened<L> {
    fn map<M>(self, make: impl FnOnce(L) -> M) -> Opened<M> {
        Opened {
            layer: make(self.layer),
            size: self.size,
            sector_size: self.sector_size,
            disk_id: self.disk_id,
            identity: self.identity,
            parent: self.parent,
            data: self.data,
        }
    }
}

/// How a layer maps its disk.
#[derive(Debug)]
pub(crate) enum Mapping {
    Raw {
        /// Bytes of the file.
        size: u64,
    },
    Vhd(Vhd),
    Vhdx(Vhdx),
    Qcow2(Qcow2),
}

impl Mapping {
    /// Opens an image of the format that is declared, or that it is.
    pub fn open<F: File>(
        source: &mut Source<F>,
        declared: Declared,
    ) -> Result<(Format, Opened<Mapping>), Error> {
        let mut magic = [0; 72];
        let there = source.size().min(72);
        let start = usize::try_from(there)
            .ok()
            .and_then(|there| magic.get_mut(..there));
        source.read(0, start.unwrap_or_default())?;
        let not = |format, what| Err(Error::Damaged { format, what });
        let footer = match declared {
            Declared::Unknown | Declared::Vhd => Footer::find(source),
            _ => Ok(None),
        };
        match declared {
            Declared::Raw => Ok((Format::Raw, raw(source))),
            Declared::Unknown | Declared::Qcow2 if magic.starts_with(b"QFI\xfb") => {
                Ok((Format::Qcow2, Qcow2::open(source)?.map(Mapping::Qcow2)))
            }
            Declared::Unknown | Declared::Vhdx if magic.starts_with(b"vhdxfile") => {
                Ok((Format::Vhdx, Vhdx::open(source)?.map(Mapping::Vhdx)))
            }
            Declared::Qcow2 => not(Format::Qcow2, "it does not begin like one"),
            Declared::Vhdx => not(Format::Vhdx, "it does not begin like one"),
            Declared::Vhd | Declared::Unknown => match (footer?, declared) {
                (Some(footer), _) => {
                    let opened = Vhd::open(source, &footer)?.map(Mapping::Vhd);
                    Ok((Format::Vhd(footer.kind()), opened))
                }
                (None, Declared::Vhd) => not(Format::Vhd(crate::VhdKind::Fixed), "it has no footer"),
                (None, _) => match foreign(&magic) {
                    Some(error) => Err(error),
                    None => Ok((Format::Raw, raw(source))),
                },
            },
        }
    }

    /// What the layer's disk has at `offset`, for at most `length` bytes; both inside the disk.
    pub fn find<F: File>(&self, tables: &mut Tables<'_, F>, offset: u64, length: u64) -> Result<Run, Error> {
        match self {
            Mapping::Raw { size } => Ok(match size.checked_sub(offset).filter(|left| *left != 0) {
                Some(left) => Run::new(Found::Data(offset), length.min(left)),
                None => Run::new(Found::Zero, length),
            }),
            Mapping::Vhd(vhd) => vhd.find(tables, offset, length),
            Mapping::Vhdx(vhdx) => vhdx.find(tables, offset, length),
            Mapping::Qcow2(qcow2) => qcow2.find(tables, offset, length),
        }
    }
}

/// A file that is the disk itself. A sector that the file ends in is whole, with zeros behind the end.
fn raw<F: File>(source: &Source<F>) -> Opened<Mapping> {
    const SECTOR: u32 = 512;
    Opened {
        layer: Mapping::Raw { size: source.size() },
        size: source
            .size()
            .checked_next_multiple_of(SECTOR.into())
            .unwrap_or(u64::MAX),
        sector_size: SECTOR,
        disk_id: None,
        identity: Identity::None,
        parent: None,
        data: None,
    }
}

/// Image formats that are known by sight only. Taken for raw, they would look like disks without anything on them.
fn foreign(magic: &[u8; 72]) -> Option<Error> {
    const QEMU: &str = "qemu-img convert -O raw";
    const EWF: &str = "ewfexport -f raw, of libewf";
    const AFF: &str = "affcat, of afflib";
    type Sign = (usize, &'static [u8], &'static str, &'static str);
    let signs: [Sign; 11] = [
        (0, b"KDMV", "a VMDK image", QEMU),
        (0, b"COWD", "a VMDK image", QEMU),
        (0, b"# Disk DescriptorFile", "a VMDK description", QEMU),
        (64, b"\x7f\x10\xda\xbe", "a VDI image", QEMU),
        (0, b"QED\0", "a QED image", QEMU),
        (0, b"WithoutFreeSpace", "a Parallels image", QEMU),
        (0, b"WithouFreSpacExt", "a Parallels image", QEMU),
        (0, b"EVF\x09\x0d\x0a\xff\x00", "an EnCase image (E01)", EWF),
        (0, b"EVF2\x0d\x0a\x81\x00", "an EnCase image (Ex01)", EWF),
        (
            0,
            b"LVF\x09\x0d\x0a\xff\x00",
            "EnCase logical evidence (L01)",
            EWF,
        ),
        (0, b"AFF10\x0d\x0a\x00", "an AFF image", AFF),
    ];
    signs
        .iter()
        .find(|(at, sign, ..)| magic.get(*at..).is_some_and(|rest| rest.starts_with(sign)))
        .map(|(_, _, what, remedy)| Error::Foreign { what, remedy })
}
