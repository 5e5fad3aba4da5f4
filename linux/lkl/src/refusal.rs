//! Why a file system refused a volume, by what it printed meanwhile.
//!
//! An error number does not tell a volume that is damaged from one that is sound and beyond this Linux: both are EINVAL, or
//! whatever came first. The difference matters to whoever reads it, since a repair of a sound volume destroys it. Linux's
//! messages tell; they are stable, and a phrase that is not known here is taken for damage as before.

use crate::kernel::Kernel;
use alloc::string::String;
use fallible::try_zeroed;

/// Phrases by which Linux says that a volume needs what it does not have.
const UNSUPPORTED: &[&str] = &[
    // ext4, NILFS2
    "unsupported optional features",
    "unsupported filesystem blocksize",
    // ext4, before anything but the size of blocks is known
    "bad block size",
    "external journal",
    "journal device unknown-block",
    "without CONFIG_",
    // XFS
    "unknown incompatible",
    "Only pagesize",
    "not supported; Only block size",
    "having an external log",
    "has a realtime volume",
    "not supported by kernel",
    // btrfs
    "unknown incompat features",
    "not yet supported for page size",
    " is missing",
    // EROFS, squashfs
    "isn't supported",
    "unidentified incompatible feature",
    "unidentified algorithms",
    "This is not supported",
    "filesystems are unsupported",
    // BeFS
    "cannot be larger than system pagesize",
    "Filesystem not clean",
];

/// Words by which it complains of damage.
const COMPLAINTS: &[&str] = &["corrupt", "critical", "error", "bad "];

/// Bytes of the log that are looked at.
const MOST: usize = 16 << 10;

/// Where the log ends now.
pub(crate) fn mark(kernel: &Kernel) -> u64 {
    kernel.read_log(u64::MAX, &mut []).0
}

/// What Linux has printed since `mark`: the line that tells most, if any, and whether it says that the volume is not
/// supported. `said` is what the file system answered by other ways; it is looked at first.
pub(crate) fn reason(kernel: &Kernel, mark: u64, said: &str) -> (Option<String>, bool) {
    if said.lines().any(says_unsupported) {
        return (None, true);
    }
    let Some(mut buffer) = try_zeroed(MOST) else {
        return (None, false);
    };
    let (_, len) = kernel.read_log(mark, &mut buffer);
    let text = String::from_utf8_lossy(buffer.get(..len).unwrap_or(&[]));
    pick(&text)
}

fn says_unsupported(line: &str) -> bool {
    UNSUPPORTED.iter().any(|phrase| line.contains(phrase))
}

fn pick(text: &str) -> (Option<String>, bool) {
    let copy = |line: &str| {
        let mut copy = String::new();
        let line = line.trim();
        copy.try_reserve_exact(line.len()).ok()?;
        copy.push_str(line);
        Some(copy)
    };
    if let Some(line) = text.lines().find(|line| says_unsupported(line)) {
        return (copy(line), true);
    }
    let complains = |line: &&str| COMPLAINTS.iter().any(|word| line.contains(word));
    (text.lines().find(complains).and_then(copy), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_before_the_complaint() {
        let log = "BTRFS error (device x): failed to read chunk tree: -2\n\
                   BTRFS warning (device x): devid 2 uuid 1-2 is missing\n";
        let (line, unsupported) = pick(log);
        assert!(unsupported && line.unwrap().ends_with("devid 2 uuid 1-2 is missing"));
        // The journal is BeOS's to replay; the volume is sound.
        let log = "BeFS(x): Filesystem not clean! There are blocks in the journal. You must boot into BeOS and mount this\n";
        assert!(pick(log).1);
        let (line, unsupported) = pick("a\nXFS (x): Metadata corruption detected\n");
        assert!(!unsupported && line.unwrap().contains("corruption"));
        assert_eq!(pick("nothing of note\n"), (None, false));
    }
}
