//! Names for addresses of an image, from the linker's `.map` file or the PDB beside it.

use std::path::Path;

/// Symbols by RVA.
#[derive(Debug, Default)]
pub(super) struct Symbols(Vec<(u32, String)>);

impl Symbols {
    /// Looks for `<image>.pdb`, `<image without extension>.pdb` and the same with `.map`.
    pub(super) fn beside(path: &Path) -> Self {
        let mut names = from_pdb(&path.with_extension("pdb")).unwrap_or_default();
        if names.is_empty() {
            names = std::fs::read_to_string(path.with_extension("map"))
                .map_or_else(|_| Vec::new(), |map| from_map(&map));
        }
        names.sort();
        Self(names)
    }

    /// The RVA of a symbol.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let found = self.0.iter().find(|(_, each)| each == name)?;
        Some(found.0)
    }

    /// The symbol at or before an RVA, and how far before.
    pub(super) fn at(&self, rva: u32) -> Option<(&str, u32)> {
        let after = self.0.partition_point(|(start, _)| *start <= rva);
        let (start, name) = self.0.get(after.checked_sub(1)?)?;
        Some((name, rva - start))
    }
}

/// Public symbols and procedures of a PDB.
fn from_pdb(path: &Path) -> Option<Vec<(u32, String)>> {
    use pdb::FallibleIterator as _;
    let file = std::fs::File::open(path).ok()?;
    let mut pdb = pdb::PDB::open(file).ok()?;
    let symbols = pdb.global_symbols().ok()?;
    let addresses = pdb.address_map().ok()?;
    let mut names = Vec::new();
    let mut all = symbols.iter();
    while let Ok(Some(symbol)) = all.next() {
        if let Ok(pdb::SymbolData::Public(public)) = symbol.parse()
            && let Some(rva) = public.offset.to_rva(&addresses)
        {
            names.push((rva.0, demangle(&public.name.to_string())));
        }
    }
    Some(names)
}

/// The symbols of a link map: lines of `0001:00000000  name  0000000140001000  object`.
fn from_map(map: &str) -> Vec<(u32, String)> {
    let mut base = None;
    let mut names = Vec::new();
    for line in map.lines() {
        if let Some(rest) = line.trim().strip_prefix("Preferred load address is ") {
            base = u64::from_str_radix(rest.trim(), 16).ok();
        }
        let mut words = line.split_whitespace();
        let (Some(place), Some(name), Some(address)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let (Some(base), Ok(address)) = (base, u64::from_str_radix(address, 16)) else {
            continue;
        };
        if place.as_bytes().get(4) == Some(&b':') && address >= base {
            names.push(((address - base) as u32, demangle(name)));
        }
    }
    names
}

fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
