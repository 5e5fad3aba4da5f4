//! The program that libFuzzer drives: one target, which the variable [`fuzz_targets::VARIABLE`] names.

#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    static TARGET: OnceLock<&fuzz_targets::Target> = OnceLock::new();
    (TARGET.get_or_init(fuzz_targets::chosen).run)(input);
});
