//! Which edges of Linux were reached, for libFuzzer and for a person.
//!
//! libFuzzer is told where the counters are, and sets them to zero before each input. After each the edges that it reached are added
//! up here; `LKLFS_FUZZ_EDGES` names a file of one byte for each edge that several runs of the program add to. With
//! `LKLFS_FUZZ_FOLDERS` the program tells of each of Linux's folders how many of its edges that file has, and ends.
//
// UNSAFETY: counters that Linux writes are read, and libFuzzer's functions are declared.

use addr2line::Loader;
use linux_fuzz::{Coverage, Edge};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names the file.
const EDGES: &str = "LKLFS_FUZZ_EDGES";

unsafe extern "C" {
    fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8);
    fn __sanitizer_cov_pcs_init(start: *const Edge, stop: *const Edge);
}

/// Names a file that gets the numbers of the edges that the last input has reached, 4 bytes each, lowest first.
const LAST: &str = "LKLFS_FUZZ_LAST";
/// Asks for the table.
const FOLDERS: &str = "LKLFS_FUZZ_FOLDERS";

/// What was reached.
pub struct Reached {
    coverage: Coverage,
    seen: Vec<u8>,
    file: Option<PathBuf>,
    last: Option<PathBuf>,
    /// Something is new since it was saved.
    fresh: bool,
}

impl Reached {
    /// Tells libFuzzer where the counters are.
    pub fn new(coverage: Coverage) -> Reached {
        let Coverage { counters, edges } = coverage;
        let bounds = edges.as_ptr_range();
        let stop = counters.wrapping_add(edges.len());
        // SAFETY: Linux's tables, which stay as long as the program does.
        unsafe { __sanitizer_cov_8bit_counters_init(counters, stop) };
        // SAFETY: as many edges as counters, in their order.
        unsafe { __sanitizer_cov_pcs_init(bounds.start, bounds.end) };
        let file = std::env::var_os(EDGES).map(PathBuf::from);
        let before = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let seen = before.filter(|seen| seen.len() == edges.len());
        Reached {
            coverage,
            seen: seen.unwrap_or_else(|| vec![0; edges.len()]),
            file,
            last: std::env::var_os(LAST).map(PathBuf::from),
            fresh: true,
        }
    }

    /// Adds up what the last input has reached.
    pub fn note(&mut self) {
        // SAFETY: Linux's threads are at rest: they run only while one of the program's is in Linux.
        let counters = unsafe { std::slice::from_raw_parts(self.coverage.counters, self.seen.len()) };
        if let Some(last) = &self.last {
            let numbers = (0u32..).zip(counters).filter(|(_, count)| **count != 0);
            let bytes: Vec<u8> = numbers.flat_map(|(number, _)| number.to_le_bytes()).collect();
            let _ = std::fs::write(last, bytes);
        }
        // Most have none. Without an early end, so that the compiler takes many at once.
        let lines = self.seen.chunks_mut(64).zip(counters.chunks(64));
        for (seen, counted) in lines.filter(|(_, line)| line.iter().fold(0, |all, count| all | count) != 0) {
            for (seen, count) in seen.iter_mut().zip(counted) {
                let now = *seen | u8::from(*count != 0);
                self.fresh |= now != *seen;
                *seen = now;
            }
        }
    }

    /// Writes the file, if there is something new.
    pub fn save(&mut self) {
        let Some(file) = self.file.clone().filter(|_| self.fresh) else {
            return;
        };
        self.fresh = false;
        // What cannot be kept is only not told.
        let _ = std::fs::write(&file, &self.seen);
    }

    /// Prints the table and ends the program, if that is asked for.
    pub fn tell_if_asked(&self) {
        if std::env::var_os(FOLDERS).is_some() {
            for (folder, (reached, all)) in self.by_folder() {
                println!("{reached} {all} {folder}");
            }
            std::process::exit(0);
        }
    }

    /// Edges reached and edges in all, by folder of Linux's source.
    fn by_folder(&self) -> BTreeMap<String, (usize, usize)> {
        let mut folders = BTreeMap::new();
        let Ok(loader) = Loader::new("/proc/self/exe") else {
            return folders;
        };
        let base = image_base();
        for (edge, seen) in self.coverage.edges.iter().zip(&self.seen) {
            let place = edge
                .pc
                .checked_sub(base)
                .and_then(|pc| loader.find_location(pc as u64).ok()?);
            let file = place.and_then(|place| place.file).unwrap_or("?");
            let entry: &mut (usize, usize) = folders.entry(folder(file)).or_default();
            entry.0 += usize::from(*seen != 0);
            entry.1 += 1;
        }
        folders
    }
}

/// Where the program lies, which its file's addresses are counted from.
fn image_base() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    let line = maps.lines().find(|line| line.ends_with(&*own.to_string_lossy()));
    let start = line.and_then(|line| usize::from_str_radix(line.split('-').next()?, 16).ok());
    start.unwrap_or(0)
}

/// The folder that a file of Linux's is told under: of file systems their own, else the first.
fn folder(file: &str) -> String {
    // The build of Linux calls its source so.
    let path = file.strip_prefix("/linux/").unwrap_or("");
    let mut parts = path.split('/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some("fs"), Some(name), Some(_)) => format!("fs/{name}"),
        (Some(first), Some(_), _) => first.to_owned(),
        _ => "?".to_owned(),
    }
}
