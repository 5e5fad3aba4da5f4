//! Asks the C compiler for every size, offset and constant of host_net.h and compares sys.rs with the answers.

use super::*;
use crate::header::Offloads;
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
        lkl_net_header {
            flags,
            gso_type,
            hdr_len,
            gso_size,
            csum_start,
            csum_offset,
            num_buffers
        }
    );
    structure!(
        both,
        lkl_net_transmit {
            next,
            segments,
            segment_count,
            len,
            header,
            error,
            host_private,
            linux_private
        }
    );
    structure!(
        both,
        lkl_net_receive {
            next,
            segments,
            segment_count,
            room,
            header,
            len,
            host_private,
            linux_private
        }
    );
    structure!(
        both,
        lkl_net_ops {
            size,
            version,
            net,
            transmit,
            receive,
            stop
        }
    );
    structure!(
        both,
        lkl_net_params {
            mac,
            down,
            mtu,
            max_mtu,
            offloads,
            transmit_depth,
            receive_depth,
            name
        }
    );
    structure!(
        both,
        lkl_net_info {
            interface,
            index,
            name
        }
    );
    constants!(both: LKL_HOST_NET_VERSION);
    for (name, offloads) in [
        ("LKL_NET_HOST_CSUM", Offloads::HOST_CSUM),
        ("LKL_NET_GUEST_CSUM", Offloads::GUEST_CSUM),
        ("LKL_NET_GUEST_TSO4", Offloads::GUEST_TSO4),
        ("LKL_NET_GUEST_TSO6", Offloads::GUEST_TSO6),
        ("LKL_NET_GUEST_ECN", Offloads::GUEST_ECN),
        ("LKL_NET_GUEST_UFO", Offloads::GUEST_UFO),
        ("LKL_NET_HOST_TSO4", Offloads::HOST_TSO4),
        ("LKL_NET_HOST_TSO6", Offloads::HOST_TSO6),
        ("LKL_NET_HOST_ECN", Offloads::HOST_ECN),
        ("LKL_NET_GUEST_USO4", Offloads::GUEST_USO4),
        ("LKL_NET_GUEST_USO6", Offloads::GUEST_USO6),
        ("LKL_NET_HOST_USO", Offloads::HOST_USO),
    ] {
        both.add(name, usize::try_from(offloads.bits()).unwrap(), name);
    }
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../arch/lkl/include/asm/host_net.h");
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
