//! Boots Linux as the flavour `full` has it: `cargo xtask bench apps` compares the two.

use linux_full as _;

include!("../../boot.rs");
