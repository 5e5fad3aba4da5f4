//! For tests: compiles small sources as the kernel is compiled, and links them as the kernel is linked.

use crate::compiler::Compiler;
use crate::elf::Object;
use crate::link;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As in `arch/lkl/Makefile`, with the parts of Linux's own flags that change the code's shape.
const FLAGS: &[&str] = &[
    "-O2",
    "-ffreestanding",
    "-fno-strict-aliasing",
    "-fno-common",
    "-fno-omit-frame-pointer",
    "-m64",
    "-march=x86-64",
    "-mcmodel=small",
    "-fPIE",
    "-mno-red-zone",
    "-mgeneral-regs-only",
    "-fcf-protection=none",
    "-fno-stack-protector",
    "-fasynchronous-unwind-tables",
];

/// The functions and section starts that the fixture shows.
pub const API: &[&str] = &[
    "lkl_calls",
    "lkl_strings",
    "lkl_switch",
    "lkl_negative",
    "lkl_immediates",
    "lkl_data_and_bss",
    "lkl_special",
    "lkl_through_slots",
    "lkl_many_in_table",
    "lkl_many_in_code",
    "lkl_deep",
    "lkl_text",
    "lkl_rodata",
    "lkl_relro",
    "lkl_data",
    "lkl_bss",
];

/// A file of `linux/build/fixtures`.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The list of names as the builder takes it.
pub fn api(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Compiles `source` to `object`. `extra` comes after the usual flags.
pub fn compile(source: &Path, object: &Path, extra: &[&str]) {
    // The one flag that a later one does not take back.
    let usual = FLAGS
        .iter()
        .filter(|flag| **flag != "-mgeneral-regs-only" || !extra.contains(&"-msse2"));
    let output = Command::new("gcc")
        .args(usual)
        .args(extra)
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .output();
    let output = output.expect("gcc must be installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The whole fixture as one checked object, at `dir/lkl.o`.
pub fn object(dir: &Path) -> (PathBuf, Object) {
    let hidden = &["-fvisibility=hidden"][..];
    // Visible symbols of a library-like file, so that some accesses go through the GOT.
    let shared = &["-fPIC"][..];
    let mut objects = Vec::new();
    for (source, flags) in [("first.c", shared), ("second.c", hidden), ("many.S", hidden)] {
        let object = dir.join(source).with_extension("o");
        compile(&path(source), &object, flags);
        objects.push(object);
    }
    let linked = dir.join("lkl.o");
    link::link(Compiler::Gcc, &objects, &path("sections.lds"), &api(API), &linked).unwrap();
    let object = parse(&linked);
    (linked, object)
}

/// Reads an object.
pub fn parse(path: &Path) -> Object {
    Object::parse(&std::fs::read(path).unwrap(), &path.display().to_string()).unwrap()
}

/// One source text as one object, linked and with `names` global. `extension` is `c` or `S`.
pub fn snippet(text: &str, extension: &str, flags: &[&str], names: &[&str]) -> Object {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join(format!("snippet.{extension}"));
    std::fs::write(&source, text).unwrap();
    compile(&source, &dir.path().join("snippet.o"), flags);
    let linked = dir.path().join("linked.o");
    link::link(
        Compiler::Gcc,
        &[dir.path().join("snippet.o")],
        &path("sections.lds"),
        &api(names),
        &linked,
    )
    .unwrap();
    parse(&linked)
}
