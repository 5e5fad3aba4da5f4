//! Links the converted fixture as a PE image, loads the image into the test's own process at two addresses, and compares
//! it with the ELF object: every byte and every relocated field, and what the functions return, against the same
//! functions linked as a Linux shared object.

// UNSAFETY: calls functions of the image that it has just mapped.

mod image;
mod walk;

use super::{LIMITS, Summary, convert};
use crate::elf::{Object, Place};
use crate::fixture::{self, API, api};
use crate::{Target, archive};
use image::Image;
use object::elf;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The start of each section, by the symbols that the fixture's script puts there.
const STARTS: &[(&str, &str)] = &[
    (".text", "lkl_text"),
    (".rodata", "lkl_rodata"),
    (".data.rel.ro", "lkl_relro"),
    (".data", "lkl_data"),
    (".bss", "lkl_bss"),
];

const FUNCTIONS: &[&str] = &[
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
];

struct Fixture {
    dir: tempfile::TempDir,
    elf: PathBuf,
    object: Object,
    summary: Summary,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let (elf, object) = fixture::object(dir.path());
    let (coff, summary) = convert(&object, &api(API)).unwrap();
    let obj = dir.path().join("lkl.obj");
    fs::write(&obj, coff).unwrap();
    archive::write(Target::Coff, &obj, &dir.path().join("lkl.lib")).unwrap();
    archive::write(Target::Elf, &elf, &dir.path().join("liblkl.a")).unwrap();
    Fixture {
        dir,
        elf,
        object,
        summary,
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{command:?}: {text}");
}

/// Links the COFF library with LLVM's linker.
fn link_lld(dir: &Path) -> PathBuf {
    let dll = dir.join("lld.dll");
    let mut command = Command::new("lld-link-19");
    command
        .args(["/dll", "/noentry", "/nodefaultlib", "/machine:x64"])
        .arg(format!("/out:{}", dll.display()));
    command
        .args(API.iter().map(|name| format!("/export:{name}{}", data(name))))
        .arg(dir.join("lkl.lib"));
    run(&mut command);
    dll
}

fn data(name: &str) -> &'static str {
    if STARTS.iter().any(|(_, start)| *start == name) {
        ",DATA"
    } else {
        ""
    }
}

/// Links the COFF object with GNU's linker.
fn link_gnu(dir: &Path) -> PathBuf {
    let (dll, exports) = (dir.join("gnu.dll"), dir.join("gnu.def"));
    let lines: String = API
        .iter()
        .map(|name| format!("{name}{}\n", data(name).replace(',', " ")))
        .collect();
    fs::write(&exports, format!("EXPORTS\n{lines}")).unwrap();
    let mut command = Command::new("x86_64-w64-mingw32-ld");
    command
        .args(["--shared", "-e", "0", "--dynamicbase", "-o"])
        .arg(&dll)
        .arg(&exports)
        .arg(dir.join("lkl.obj"));
    run(&mut command);
    dll
}

/// Compares every byte of the image's copy of the object's sections with the object, relocations applied.
fn compare(object: &Object, image: &Image) -> usize {
    let start = |index: usize| {
        let name = object.sections[index].name.as_str();
        STARTS
            .iter()
            .find(|(section, _)| *section == name)
            .map(|(_, symbol)| image.export(symbol))
    };
    let mut fields = 0;
    for (index, section) in object.loaded() {
        let Some(base) = start(index) else { continue };
        assert_eq!(base % section.align, 0, "{}", section.name);
        let mut expected = section.data.clone();
        expected.resize(usize::try_from(section.size).unwrap(), 0);
        for relocation in &section.relocations {
            let symbol = &object.symbols[relocation.symbol];
            let Place::Section(target) = symbol.place else {
                panic!("{symbol:?}")
            };
            let target = start(target).unwrap().wrapping_add(symbol.value);
            let at = usize::try_from(relocation.offset).unwrap();
            let place = base + relocation.offset;
            let sum = target.wrapping_add_signed(relocation.addend);
            match relocation.kind {
                elf::R_X86_64_64 => expected[at..at + 8].copy_from_slice(&sum.to_le_bytes()),
                elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => {
                    expected[at..at + 4].copy_from_slice(&sum.wrapping_sub(place).to_le_bytes()[..4]);
                }
                elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
                    // The field leads to a slot of the converter's; what the slot holds is what counts.
                    let field: [u8; 4] = image.bytes(place, 4).try_into().unwrap();
                    let slot = (place + 4).wrapping_add_signed(i32::from_le_bytes(field).into());
                    assert_eq!(
                        image.bytes(slot, 8),
                        target.to_le_bytes(),
                        "slot for {}",
                        symbol.name
                    );
                    expected[at..at + 4].copy_from_slice(&field);
                }
                kind => panic!("relocation kind {kind}"),
            }
            fields += 1;
        }
        let found = image.bytes(base, expected.len());
        if let Some(at) = (0..expected.len()).find(|i| expected[*i] != found[*i]) {
            let near = object.names_in(index).at(at as u64);
            panic!(
                "{}+{at:#x} ({near:?}): {:x?} is not {:x?}",
                section.name,
                &found[at..at + 8],
                &expected[at..at + 8]
            );
        }
    }
    fields
}

/// What the functions return for a few arguments, in order; several of them change the data, and the next call sees it.
fn results(mut function: impl FnMut(&str) -> extern "sysv64" fn(u64) -> u64) -> Vec<(String, u64, u64)> {
    let mut out = Vec::new();
    for round in 0..3u64 {
        for name in FUNCTIONS {
            for argument in
                [0, 1, 2, 3, 5, 6, 9, 11, 12, 0x1234_5678_9abc, u64::MAX].map(|x: u64| x.wrapping_add(round))
            {
                out.push(((*name).to_owned(), argument, function(name)(argument)));
            }
        }
    }
    out
}

/// The ELF library, linked as a shared object and loaded by the system's own loader.
fn reference(dir: &Path) -> Vec<(String, u64, u64)> {
    let (so, map) = (dir.join("reference.so"), dir.join("reference.map"));
    fs::write(&map, "{ global: lkl_*; local: *; };").unwrap();
    let mut command = Command::new("ld");
    command
        .args(["-shared", "-z", "text", "--whole-archive", "-o"])
        .arg(&so)
        .arg("--version-script")
        .arg(&map);
    run(command.arg(dir.join("liblkl.a")));
    let path = CString::new(so.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: the library has no initialisers; it is never unloaded.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!handle.is_null());
    results(|name| {
        let symbol = CString::new(name).unwrap();
        // SAFETY: the handle is open and the name is a C string.
        let address = unsafe { libc::dlsym(handle, symbol.as_ptr()) };
        assert!(!address.is_null(), "{name}");
        // SAFETY: the fixture declares each of these functions as taking and returning one unsigned long.
        unsafe { std::mem::transmute::<*mut libc::c_void, extern "sysv64" fn(u64) -> u64>(address) }
    })
}

#[test]
fn a_pe_image_holds_what_the_elf_object_says() {
    let fixture = fixture();
    let many = fixture
        .object
        .loaded()
        .filter(|(_, s)| s.relocations.len() > 0xffff)
        .count();
    assert_eq!(
        many, 2,
        "the fixture must overflow COFF's counter in two sections"
    );
    assert!(
        fixture.summary.slots >= 2,
        "the fixture must use the GOT: {:?}",
        fixture.summary
    );
    let addends = fixture.object.loaded().flat_map(|(_, s)| &s.relocations);
    let odd: std::collections::BTreeSet<i64> = addends
        .filter(|r| r.kind == elf::R_X86_64_PC32)
        .map(|r| r.addend.rem_euclid(8))
        .collect();
    assert!(
        odd.len() >= 3,
        "the fixture must have addends of several kinds: {odd:?}"
    );

    let expected = reference(fixture.dir.path());
    for linked in [link_lld(fixture.dir.path()), link_gnu(fixture.dir.path())] {
        // Two addresses, both far from the one that the image prefers; the second is as high as user mode goes.
        for base in [0x1234_5000_0000, 0x7e00_1110_0000] {
            let image = Image::load(&linked, base);
            let fields = compare(&fixture.object, &image);
            assert!(fields > 140_000, "{fields}");
            assert_eq!(
                results(|name| image.function(name)),
                expected,
                "{} at {base:#x}",
                linked.display()
            );
        }
    }
    assert!(fixture.elf.is_file());
}

#[test]
fn permissions_of_the_image_are_those_of_the_object() {
    let fixture = fixture();
    let image = Image::load(&link_lld(fixture.dir.path()), 0x2345_6000_0000);
    for (symbol, expected) in [
        ("lkl_text", "r-x"),
        ("lkl_rodata", "r--"),
        ("lkl_relro", "r--"),
        ("lkl_data", "rw-"),
        ("lkl_bss", "rw-"),
    ] {
        assert_eq!(image.permissions(image.export(symbol)), expected, "{symbol}");
    }
}

#[test]
fn only_the_api_is_visible_in_the_coff_object() {
    let fixture = fixture();
    let bytes = fs::read(fixture.dir.path().join("lkl.obj")).unwrap();
    use object::{Object as _, ObjectSymbol as _};
    let file = object::File::parse(&*bytes).unwrap();
    let mut visible: Vec<_> = file
        .symbols()
        .filter(|s| s.is_global())
        .map(|s| s.name().unwrap().to_owned())
        .collect();
    let mut expected = api(API);
    expected.extend(LIMITS.map(str::to_owned));
    visible.sort();
    expected.sort();
    assert_eq!(visible, expected);
    assert!(
        file.symbols()
            .any(|s| s.name() == Ok("many_registers") && s.is_local())
    );
}

#[test]
fn what_cannot_be_said_in_coff_is_refused() {
    let base = "int lkl_x(void) { return 1; } int d = 2; int z; int (*const p)(void) = lkl_x; const char *s(void) { return \"s\"; }";
    for (text, expected) in [
        (
            "int gone(void); int f(void) { return gone(); }",
            "gone: undefined symbol",
        ),
        (
            "asm(\".pushsection .data; .quad lkl_x - .; .popsection\");",
            "kind 24 has no counterpart",
        ),
        (
            "asm(\".pushsection .data; .fill 64; edge: .popsection; mov edge+0x7fffffff(%rip), %eax\");",
            "does not fit in 32 bits",
        ),
        (
            "int big __attribute__((aligned(65536))) = 3;",
            ".data: aligned to 65536 bytes",
        ),
    ] {
        let object = fixture::snippet(&format!("{base}\n{text}"), "c", &[], &["lkl_x"]);
        let error = convert(&object, &api(&["lkl_x"]))
            .map(drop)
            .expect_err(text)
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Wine's unwinder as a second reader of the tables, and GNU's linker as the one that makes the program.
#[test]
#[ignore = "needs wine and a minute for its first start"]
fn the_systems_own_unwinder_walks_the_frames() {
    let fixture = fixture();
    let (dir, exe) = (fixture.dir.path(), fixture.dir.path().join("windows.exe"));
    // clang compiles, as gcc 12 has an internal error on functions of the other calling convention here.
    let mut clang = Command::new("clang-19");
    clang
        .args(["--target=x86_64-w64-windows-gnu", "-O2", "-c"])
        .arg(fixture::path("windows.c"));
    run(clang.arg("-o").arg(dir.join("windows.obj")));
    let mut gcc = Command::new("x86_64-w64-mingw32-gcc");
    run(gcc
        .arg("-o")
        .arg(&exe)
        .arg(dir.join("windows.obj"))
        .arg(dir.join("lkl.lib")));
    let mut wine = Command::new("wine");
    wine.arg(&exe)
        .env("WINEPREFIX", dir.join("wine"))
        .env("WINEDEBUG", "-all")
        .stdin(std::process::Stdio::null());
    let output = wine.output().expect("wine must be installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let calls = reference(dir)
        .into_iter()
        .find(|(name, x, _)| name == "lkl_calls" && *x == 5)
        .map(|(.., r)| r);
    let expected = format!("calls {:x} walks ", calls.unwrap());
    assert!(
        text.starts_with(&expected) && text.trim_end().ends_with("lost 0"),
        "{text}"
    );
    assert!(!text.contains("walks 0 "), "{text}");
}

/// Checks a whole kernel, built before: `LKL_TEST_OBJECT=.../lkl.o cargo test -p lkl-build -- --ignored`.
#[test]
#[ignore = "needs a built kernel, named by LKL_TEST_OBJECT"]
fn a_built_kernel_converts_byte_by_byte() {
    let path = PathBuf::from(std::env::var_os("LKL_TEST_OBJECT").expect("LKL_TEST_OBJECT names an lkl.o"));
    let mut object = fixture::parse(&path);
    let dir = tempfile::tempdir().unwrap();
    // The sections' starts become symbols of the API, for the comparison to find them.
    for (section, symbol) in STARTS {
        let (index, _) = object.section(section).unwrap();
        let name = (*symbol).to_owned();
        let binding = elf::STB_GLOBAL;
        object.symbols.push(crate::elf::Symbol {
            name,
            place: Place::Section(index),
            binding,
            ..Default::default()
        });
    }
    let names: Vec<&str> = STARTS.iter().map(|(_, symbol)| *symbol).collect();
    let (coff, summary) = convert(&object, &api(&names)).unwrap();
    let (obj, dll) = (dir.path().join("lkl.obj"), dir.path().join("lkl.dll"));
    fs::write(&obj, coff).unwrap();
    let mut command = Command::new("lld-link-19");
    command
        .args(["/dll", "/noentry", "/nodefaultlib", "/machine:x64"])
        .arg(format!("/out:{}", dll.display()));
    run(command
        .args(names.iter().map(|name| format!("/export:{name},DATA")))
        .arg(&obj));
    let fields = compare(&object, &Image::load(&dll, 0x3456_0000_0000));
    println!("{fields} relocated fields are right; {summary:?}");
}
