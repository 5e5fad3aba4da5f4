//! Mount options that no reader of a volume may have. The driver and `userctl` ask here, so that both refuse the same.

/// The first would only be refused further down. The others would make Linux, and with it every volume, stop at the first
/// damage.
const REFUSED: [&str; 4] = ["rw", "errors=panic", "fatal_errors=panic", "onerror=panic"];

/// Options by which a file system is given a second disk, or another one: a volume is on the disk that was asked for.
const NAMES_A_DISK: [&str; 6] = [
    "source",
    "device",
    "logdev",
    "rtdev",
    "journal_path",
    "journal_dev",
];

/// The first of these options (as for `mount -o`, separated by commas) that no reader may have.
pub fn refused_option(options: &str) -> Option<&str> {
    options
        .split(',')
        .map(str::trim)
        .find(|option| REFUSED.contains(option) || names_a_disk(option))
}

/// Whether an option would give the file system another disk.
pub fn names_a_disk(option: &str) -> bool {
    let key = option.split_once('=').map_or(option, |(key, _)| key.trim_end());
    NAMES_A_DISK.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn writing_and_panics_are_refused_wherever_they_stand() {
        assert_eq!(refused_option("noload, rw"), Some("rw"));
        assert_eq!(refused_option("errors=panic"), Some("errors=panic"));
        assert_eq!(refused_option("onerror=panic,degraded"), Some("onerror=panic"));
        for disk in [
            "device=/dev/b",
            "logdev=/dev/b",
            "rtdev =/dev/b",
            "journal_dev=8",
            "source=/dev/b",
        ] {
            assert_eq!(refused_option(&format!("degraded,{disk}")), Some(disk));
        }
        for harmless in [
            "",
            "subvol=rw",
            "subvol=device",
            "errors=remount-ro",
            "sb=8193,noload",
            "ro",
        ] {
            assert_eq!(refused_option(harmless), None, "{harmless}");
        }
    }
}
