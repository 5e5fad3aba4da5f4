//! What may not be among the arguments of EAL's. Compiled for tests without DPDK, too.

/// Letters of options that have a value: what follows in the same word is that.
const WITH_VALUE: &str = "abcdlmnrsSw";

/// Whether EAL would take a word for `-h` or `--help`, by which it ends the program.
pub(crate) fn asks_for_help(word: &str) -> bool {
    if let Some(name) = word.strip_prefix("--") {
        return !name.is_empty() && "help".starts_with(name);
    }
    word.strip_prefix('-').is_some_and(|letters| {
        letters
            .chars()
            .take_while(|letter| !WITH_VALUE.contains(*letter))
            .any(|letter| letter == 'h')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_by_which_eal_would_end_the_program_are_known() {
        for word in ["-h", "-vh", "--help", "--hel", "--h"] {
            assert!(asks_for_help(word), "{word}");
        }
        for word in [
            "-c0xh",
            "-lh",
            "--no-huge",
            "--",
            "-m",
            "h",
            "--huge-dir=/h",
            "-v",
        ] {
            assert!(!asks_for_help(word), "{word}");
        }
    }
}
