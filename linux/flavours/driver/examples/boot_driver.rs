//! Boots Linux as the flavour `driver` has it: `cargo xtask bench apps` compares the two.

use linux_driver as _;

include!("../../boot.rs");
