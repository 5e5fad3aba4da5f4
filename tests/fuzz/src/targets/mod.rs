//! One target a file.

use crate::Target;

macro_rules! targets {
    ($($name:ident)*) => {
        $(mod $name;)*

        /// All of them, in the order of their names.
        pub const ALL: &[Target] = &[$(Target { name: stringify!($name), run: $name::run },)*];
    };
}

targets! {
    attributes
    control
    images
    links
    names
    owners
    partitions
    patterns
    reparse
    replies
    requests
    served
    streams
    superblocks
    unpack
}
