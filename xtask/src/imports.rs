//! What a Windows image imports, and whether a list has it: of the driver ([`crate::image_check`]) and of the programs
//! ([`crate::package`]).
//!
//! Windows loads an image only if it finds every import, so an image that imports what an older Windows does not export does
//! not start there, whatever it would have done without.

use std::fmt;

use anyhow::{Context, Result, ensure};
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ImageThunkData, PeFile64};

/// The data directory of imports that are looked for at their first use; the format calls it so.
const DELAYED: usize = pe::IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT;

/// One import.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// The image that it is from, as the import table has it.
    pub image: String,
    /// Its name; `#` and its number, if it has none.
    pub name: String,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}!{}", self.image, self.name)
    }
}

/// The imports of an image, in its own order.
pub fn of(file: &PeFile64<'_>) -> Result<Vec<Import>> {
    let delayed = file.data_directories().get(DELAYED);
    ensure!(
        delayed.is_none_or(|directory| directory.size.get(LE) == 0),
        "it has delayed imports, which this does not read"
    );
    let mut found = Vec::new();
    let Some(table) = file.import_table()? else {
        return Ok(found);
    };
    let mut descriptors = table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let image = String::from_utf8_lossy(table.name(descriptor.name.get(LE))?).into_owned();
        let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE))?;
        while let Some(thunk) = thunks.next::<pe::ImageNtHeaders64>()? {
            let name = if thunk.is_ordinal() {
                format!("#{}", thunk.ordinal())
            } else {
                let (_, name) = table.hint_name(thunk.address())?;
                String::from_utf8_lossy(name).into_owned()
            };
            found.push(Import {
                image: image.clone(),
                name,
            });
        }
    }
    Ok(found)
}

/// A line for each import that is not `known`; `list` is where it would have to be.
pub fn refused<'a>(
    imports: &'a [Import],
    known: impl Fn(&Import) -> bool + 'a,
    list: &'a str,
) -> impl Iterator<Item = String> + 'a {
    imports
        .iter()
        .filter(move |import| !known(import))
        .map(move |import| format!("import {import}: not in {list}"))
}

/// A list of what one Windows exports, `image!name` a line.
pub struct Exports<'a> {
    /// The name of the list.
    pub list: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl Exports<'_> {
    /// Whether the list has it. Windows does not tell capitals in the names of images, and does in those of imports.
    fn has(&self, import: &Import) -> bool {
        self.text
            .lines()
            .map(str::trim)
            .filter_map(|line| line.split_once('!'))
            .any(|(image, name)| image.eq_ignore_ascii_case(&import.image) && name == import.name)
    }

    /// What an image imports that the list does not have: a line each.
    pub fn missing(&self, data: &[u8]) -> Result<Vec<String>> {
        let file = PeFile64::parse(data).context("it is no x64 image")?;
        let found = of(&file)?;
        ensure!(!found.is_empty(), "it imports nothing");
        Ok(refused(&found, |import| self.has(import), self.list).collect())
    }
}
