//! The name that programs ask the dynamic linker for. Windows' loader asks for the name of the file.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_UNIX").is_ok() {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,liblkl.so.0");
    }
}
