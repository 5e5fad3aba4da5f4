//! Asks the C compiler for every size, offset and constant of host_ops.h and compares sys.rs with the answers.

use super::*;
use std::collections::BTreeMap;
use std::format;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;
use std::string::{String, ToString};
use std::vec::Vec;

/// `name = value` for each struct and member of the mirror.
struct Mirror {
    values: BTreeMap<String, usize>,
    c_lines: Vec<String>,
}

impl Mirror {
    fn structure(&mut self, name: &str, size: usize, members: &[(&str, usize)]) {
        self.values.insert(name.to_string(), size);
        self.c_lines.push(format!("SIZE({name})"));
        for (member, offset) in members {
            self.values.insert(format!("{name}.{member}"), *offset);
            self.c_lines.push(format!("MEMBER({name}, {member})"));
        }
    }
}

macro_rules! mirror {
    ($mirror:ident: $($name:ident { $($member:ident $(= $c:literal)?),* $(,)? })*) => {
        $($mirror.structure(
            stringify!($name),
            size_of::<$name>(),
            &[$((mirror!(@name $member $($c)?), offset_of!($name, $member))),*],
        );)*
    };
    (@name $member:ident $c:literal) => { $c };
    (@name $member:ident) => { stringify!($member) };
}

fn mirror() -> Mirror {
    let mut mirror = Mirror {
        values: BTreeMap::new(),
        c_lines: Vec::new(),
    };
    mirror! { mirror:
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
    mirror
}

/// Compiles and runs a program that prints what the mirror claims to know.
fn ask_c(mirror: &Mirror) -> BTreeMap<String, usize> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../arch/lkl/include/asm/host_ops.h");
    let program = format!(
        "#include <stdio.h>\n#include <stddef.h>\n#include \"{}\"\n\
         #define SIZE(s) printf(#s \" %zu\\n\", sizeof(struct s));\n\
         #define MEMBER(s, m) printf(#s \".\" #m \" %zu\\n\", offsetof(struct s, m));\n\
         int main(void) {{ {}\nprintf(\"version %d\\npage %lu\\n\", LKL_HOST_OPS_VERSION, LKL_PAGE_SIZE); }}\n",
        header.display(),
        mirror.c_lines.join("\n")
    );
    let folder = tempfile::tempdir().unwrap();
    let (source, binary) = (folder.path().join("layout.c"), folder.path().join("layout"));
    std::fs::write(&source, program).unwrap();
    let compiled = Command::new("cc")
        .arg("-o")
        .arg(&binary)
        .arg(&source)
        .output()
        .expect("a C compiler");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let output = Command::new(&binary).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, value)| (name.to_string(), value.parse().unwrap()))
        .collect()
}

#[test]
fn layouts_are_those_of_the_header() {
    let mirror = mirror();
    let mut said = ask_c(&mirror);
    assert_eq!(said.remove("version"), usize::try_from(LKL_HOST_OPS_VERSION).ok());
    assert_eq!(said.remove("page"), Some(LKL_PAGE_SIZE));
    assert_eq!(mirror.values, said);
}

/// Each member of each struct of the header is in the mirror: a new one changes a size, and a new function would be
/// missed at the link only when it is used, so the names are compared, too.
#[test]
fn functions_are_those_of_the_header() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../arch/lkl/include/asm/host_ops.h");
    let header = std::fs::read_to_string(header).unwrap();
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
