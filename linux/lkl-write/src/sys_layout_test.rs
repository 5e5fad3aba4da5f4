//! Asks the C compiler for every size, offset and constant of host_write.h and compares sys.rs with the answers.

use super::*;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

/// `name value` lines: what Rust says, and the C that prints the same.
#[derive(Default)]
struct Both {
    rust: String,
    c: String,
}

impl Both {
    fn add(&mut self, name: &str, value: usize, expression: &str) {
        self.rust.push_str(&format!("{name} {value}\n"));
        self.c
            .push_str(&format!("printf(\"{name} %zu\\n\", (size_t)({expression}));\n"));
    }
}

macro_rules! structure {
    ($both:ident, $name:ident { $($member:ident),* }) => {
        $both.add(stringify!($name), size_of::<$name>(), concat!("sizeof(struct ", stringify!($name), ")"));
        $($both.add(
            concat!(stringify!($name), ".", stringify!($member)),
            offset_of!($name, $member),
            concat!("offsetof(struct ", stringify!($name), ", ", stringify!($member), ")"),
        );)*
    };
}

macro_rules! constants {
    ($both:ident: $($name:ident),*) => {
        $($both.add(stringify!($name), usize::try_from($name).unwrap(), stringify!($name));)*
    };
}

#[test]
fn layouts_and_constants_are_those_of_the_header() {
    let mut both = Both::default();
    structure!(
        both,
        lkl_disk_write {
            offset,
            len,
            segment_count,
            segments,
            flags,
            done,
            host_private,
            linux_private
        }
    );
    structure!(
        both,
        lkl_disk_write_ops {
            size,
            version,
            disk,
            features,
            discard_granularity,
            max_discard,
            max_write_zeroes,
            write,
            flush,
            discard,
            write_zeroes
        }
    );
    constants!(both: LKL_HOST_WRITE_VERSION, LKL_DISK_FUA, LKL_DISK_NOUNMAP, LKL_DISK_HAS_FUA);
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../arch/lkl/include/asm/host_write.h");
    let program = format!(
        "#include <stdio.h>\n#include <stddef.h>\n#include \"{}\"\nint main(void) {{ {} return 0; }}\n",
        header.display(),
        both.c
    );
    let folder = tempfile::tempdir().unwrap();
    let (source, binary) = (folder.path().join("layout.c"), folder.path().join("layout"));
    std::fs::write(&source, program).unwrap();
    let compiled = Command::new("cc").arg("-o").arg(&binary).arg(&source).output();
    let compiled = compiled.expect("a C compiler");
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let output = Command::new(&binary).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), both.rust);
}
