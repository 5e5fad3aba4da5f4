//! Asks the C compiler for every size, offset and constant of host_write.h and compares sys.rs with the answers.

use super::*;
use layouts::{Layouts, constants, structures};

#[test]
fn layouts_and_constants_are_those_of_the_header() {
    let header = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../arch/lkl/include/asm/host_write.h"
    );
    let mut layouts = Layouts::of(header);
    structures! { layouts:
        lkl_disk_write { offset, len, segment_count, segments, flags, done, host_private, linux_private }
        lkl_disk_write_ops {
            size, version, disk, features, discard_granularity, max_discard, max_write_zeroes, write, flush, discard,
            write_zeroes,
        }
    }
    constants!(layouts: LKL_HOST_WRITE_VERSION, LKL_DISK_FUA, LKL_DISK_NOUNMAP, LKL_DISK_HAS_FUA);
    layouts.compare();
}
