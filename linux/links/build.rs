//! Compiles what DPDK has in C alone, where the feature `dpdk` asks for it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "dpdk")]
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        dpdk::shim();
    }
}

#[cfg(feature = "dpdk")]
mod dpdk {
    use std::process::Command;

    pub(crate) fn shim() {
        let mut build = cc::Build::new();
        build.file("src/dpdk/shim.c").std("gnu11");
        // Of its own flags some are no folders: a header that comes first, and what the processor has to have.
        for flag in told("--cflags") {
            build.flag(flag);
        }
        build.compile("lkl-dpdk");
        for word in told("--libs") {
            if let Some(folder) = word.strip_prefix("-L") {
                println!("cargo::rustc-link-search=native={folder}");
            } else if let Some(library) = word.strip_prefix("-l") {
                println!("cargo::rustc-link-lib=dylib={library}");
            }
        }
        println!("cargo::rerun-if-changed=src/dpdk/shim.c");
        println!("cargo::rerun-if-changed=src/dpdk/shim.h");
    }

    /// What pkg-config has to say of libdpdk.
    fn told(question: &str) -> Vec<String> {
        let output = Command::new("pkg-config")
            .args([question, "libdpdk"])
            .output()
            .expect("pkg-config runs");
        assert!(output.status.success(), "DPDK: install libdpdk-dev");
        let words = String::from_utf8(output.stdout).expect("pkg-config prints text");
        words.split_whitespace().map(str::to_owned).collect()
    }
}
