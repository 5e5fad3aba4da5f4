//! Opens an image and all that it needs.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::fields::push;
use crate::layer::{Identity, Mapping};
use crate::reference::{Declared, Reference};
use crate::source::Source;
use crate::{DiskId, File, Format, MAX_LAYERS};

/// The caller did not find a file, or does not want it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unresolved;

/// An opened image: a disk that can be read.
#[derive(Debug)]
pub struct Image<F> {
    /// Tells caches from those of other images.
    pub(crate) number: u64,
    pub(crate) files: Vec<Source<F>>,
    /// The image itself, its parent, that one's parent...
    pub(crate) layers: Vec<Layer>,
    format: Format,
    sector_size: u32,
    disk_id: Option<DiskId>,
}

/// One image of the chain.
#[derive(Debug)]
pub(crate) struct Layer {
    pub mapping: Mapping,
    /// Bytes of its disk.
    pub size: u64,
    /// The file that its tables are in.
    pub file: usize,
    /// The file that its data is in.
    pub data: usize,
}

/// Opens the image in `file`. `resolve` opens each further file that it needs; a name in the image is relative to the
/// file that says it, which is [`Reference::file`] in the order in which `resolve` was called, from 1.
///
/// # Errors
/// Whatever is wrong with any of the files. May block for as long as `file` and `resolve` do.
pub fn open<F: File>(
    file: F,
    resolve: &mut dyn FnMut(&Reference) -> Result<F, Unresolved>,
) -> Result<Image<F>, Error> {
    open_as(file, Declared::Unknown, resolve)
}

/// Opens the image in `file`, which has the format `declared`.
///
/// # Errors
/// As [`open`].
pub fn open_as<F: File>(
    file: F,
    declared: Declared,
    resolve: &mut dyn FnMut(&Reference) -> Result<F, Unresolved>,
) -> Result<Image<F>, Error> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let mut files = Vec::new();
    let mut layers = Vec::new();
    let mut top = None;
    let mut next = Some((file, declared, None));
    while let Some((file, declared, expected)) = next.take() {
        if layers.len() >= MAX_LAYERS {
            return Err(Error::TooDeep);
        }
        let index = add(&mut files, file)?;
        let source = files.get_mut(index).ok_or(Error::NoMemory)?;
        let (format, opened) = Mapping::open(source, declared)?;
        if expected.is_some_and(|expected: Identity| !opened.identity.is(expected)) {
            return Err(Error::WrongParent { file: index });
        }
        top.get_or_insert((format, opened.sector_size, opened.disk_id));
        let mut find = |reference: &Reference| {
            resolve(reference).map_err(|Unresolved| Error::Unresolved {
                file: index,
                role: reference.role,
            })
        };
        let data = match &opened.data {
            Some(reference) => add(&mut files, find(reference)?)?,
            None => index,
        };
        let layer = Layer {
            mapping: opened.layer,
            size: opened.size,
            file: index,
            data,
        };
        push(&mut layers, layer)?;
        if let Some((reference, identity)) = &opened.parent {
            next = Some((find(reference)?, reference.format, *identity));
        }
    }
    let (format, sector_size, disk_id) = top.ok_or(Error::NoMemory)?;
    Ok(Image {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        files,
        layers,
        format,
        sector_size,
        disk_id,
    })
}

/// Adds a file that is not among them.
fn add<F: File>(files: &mut Vec<Source<F>>, file: F) -> Result<usize, Error> {
    if let Some(known) = files.iter().find(|known| known.file.is_same(&file)) {
        return Err(Error::Loop { file: known.index });
    }
    let index = files.len();
    push(files, Source::new(file, index))?;
    Ok(index)
}

impl<F> Image<F> {
    /// Bytes of the disk.
    pub fn virtual_size(&self) -> u64 {
        self.layers.first().map_or(0, |layer| layer.size)
    }

    /// Bytes of a logical sector: 512, or 4096 for some VHDX.
    pub fn logical_sector_size(&self) -> u32 {
        self.sector_size
    }

    /// What the image is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The disk's own identity: VHD and VHDX have one.
    pub fn disk_id(&self) -> Option<DiskId> {
        self.disk_id
    }

    /// Images in the chain, this one included.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// A file of the image, by the index that [`crate::Extent::Data`] and errors have: 0 is the image itself, the
    /// others follow in the order in which they were resolved.
    pub fn file(&self, index: usize) -> Option<&F> {
        self.files.get(index).map(|source| &source.file)
    }
}
