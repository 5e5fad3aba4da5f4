//! Mount options that no reader of a volume may have. The driver and `userctl` ask here, so that both refuse the same.

/// The first would only be refused further down. The others would make Linux, and with it every volume, stop at the first
/// damage.
const REFUSED: [&str; 4] = ["rw", "errors=panic", "fatal_errors=panic", "onerror=panic"];

/// The first of these options (as for `mount -o`, separated by commas) that no reader may have.
pub fn refused_option(options: &str) -> Option<&str> {
    options
        .split(',')
        .map(str::trim)
        .find(|option| REFUSED.contains(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_and_panics_are_refused_wherever_they_stand() {
        assert_eq!(refused_option("noload, rw"), Some("rw"));
        assert_eq!(refused_option("errors=panic"), Some("errors=panic"));
        assert_eq!(refused_option("onerror=panic,degraded"), Some("onerror=panic"));
        for harmless in ["", "subvol=rw", "errors=remount-ro", "sb=8193,noload", "ro"] {
            assert_eq!(refused_option(harmless), None, "{harmless}");
        }
    }
}
