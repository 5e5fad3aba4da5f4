//! What a build says about its result: sizes, relocations, unwind tables, lines of the port, patches.

use crate::Error;
use crate::coff::Summary;
use crate::elf::Object;
use crate::error::io;
use object::elf;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Lines of `name: value`.
#[derive(Debug, Default)]
pub struct Report(String);

impl Report {
    /// An empty one.
    pub fn new() -> Report {
        Report::default()
    }

    /// Adds a line.
    pub fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name}: {value}");
    }

    /// Adds the sizes, symbols and relocations of an object.
    pub fn object(&mut self, object: &Object) {
        for (_, section) in object.loaded() {
            let (size, count) = (section.size, section.relocations.len());
            self.line(
                &format!("section {}", section.name),
                format!("{size} bytes, {count} relocations"),
            );
        }
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for relocation in object.loaded().flat_map(|(_, section)| &section.relocations) {
            *kinds.entry(crate::check::kind_name(relocation.kind)).or_default() += 1;
        }
        for (kind, count) in kinds {
            self.line(&format!("relocations {kind}"), count);
        }
        let functions = object.symbols.iter().filter(|s| s.kind == elf::STT_FUNC).count();
        self.line("functions", functions);
    }

    /// Adds what the conversion to COFF did.
    pub fn coff(&mut self, summary: &Summary) {
        for (kind, count) in &summary.relocations {
            self.line(&format!("relocations {kind}"), count);
        }
        self.line("address slots", summary.slots);
        let (entries, xdata) = summary.unwind_size;
        self.line("unwind entries", format!("{entries} (.xdata: {xdata} bytes)"));
        let unwind = summary.unwind;
        self.line(
            "functions with unwind data",
            format!("{} of {}", unwind.functions - unwind.incomplete, unwind.functions),
        );
        self.line(
            "code without unwind data",
            format!("{} of {} bytes", unwind.bytes_left_out, unwind.bytes),
        );
        for (name, size) in &summary.largest_frames {
            self.line(&format!("stack frame of {name}"), format!("{size} bytes"));
        }
    }

    /// Writes it.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        io(fs::write(path, &self.0), "cannot write", path)
    }
}

/// The symbols of an object, one a line as `section offset size name`, by section and offset.
pub fn symbol_list(object: &Object) -> String {
    let mut text = String::new();
    for (index, section) in object.loaded() {
        let mut symbols: Vec<_> = object
            .symbols
            .iter()
            .filter(|s| s.place == crate::elf::Place::Section(index) && s.kind != elf::STT_SECTION)
            .filter(|s| !s.name.is_empty() && !s.name.starts_with(".L"))
            .collect();
        symbols.sort_by_key(|s| (s.value, &s.name));
        for symbol in symbols {
            let _ = writeln!(
                text,
                "{} {:08x} {:6x} {}",
                section.name, symbol.value, symbol.size, symbol.name
            );
        }
    }
    text
}
