//! Asks the C compiler for every size, offset and constant of host_ops.h and compares sys.rs with the answers.

use super::*;
use layouts::{Layouts, constants, structures};
use std::vec::Vec;

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../arch/lkl/include/asm/host_ops.h");

#[test]
fn layouts_are_those_of_the_header() {
    let mut layouts = Layouts::of(HEADER);
    structures! { layouts:
        lkl_segment { addr, len }
        lkl_disk_read { offset, len, segment_count, segments, host_private, linux_private }
        lkl_host_ops {
            size, version, host, print, panicked, stuck, sem_alloc, sem_free, sem_up, sem_down, thread_create,
            thread_exit, thread_join, thread_self, thread_ran_ns, thread_urgent, pool_alloc, pool_free, pages_map, pages_unmap, monotonic_ns, realtime_ns, timer_alloc,
            timer_arm, timer_free, disk_read, overlay_alloc, yield_ = "yield",
        }
        lkl_death { why, why_len, task, disk }
        lkl_image { data, data_size, zeros, zeros_size }
        lkl_boot_params { pool_size, command_line }
        lkl_disk_params { disk, size, block_size, queue_depth, overlay_limit, padding }
        lkl_disk_info { major, minor, name }
        lkl_disk_stats { reads, read_bytes, overlay_bytes, writes_refused }
    }
    constants!(layouts: LKL_HOST_OPS_VERSION, LKL_PAGE_SIZE);
    layouts.compare();
}

/// Each member of each struct of the header is in the mirror: a new one changes a size, and a new function would be
/// missed at the link only when it is used, so the names are compared, too.
#[test]
fn functions_are_those_of_the_header() {
    let header = std::fs::read_to_string(HEADER).unwrap();
    let declared = header
        .lines()
        .filter(|line| line.ends_with(';') && !line.starts_with(['\t', ' ', '}']));
    let mut names: Vec<&str> = declared
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("linux_"))
        .collect();
    names.sort_unstable();
    let mirrored = include_str!("sys.rs");
    let block = mirrored
        .split("unsafe extern \"sysv64\" {")
        .nth(1)
        .unwrap()
        .split("\n}")
        .next()
        .unwrap();
    let mut ours: Vec<&str> = block
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub fn ")?.split('(').next())
        .collect();
    ours.sort_unstable();
    assert_eq!(names, ours);
    assert!(ours.len() >= 13);
}
