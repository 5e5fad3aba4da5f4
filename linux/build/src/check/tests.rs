//! Each rule with an input that breaks it, and one that breaks none.

use super::{Rule, all};
use crate::fixture::{api, snippet};

/// What every snippet needs, so that the sections are all there.
const BASE: &str = r#"
    unsigned long written = 7;
    const int numbers[9] = { 1, 2, 3 };
    int zeroes[40];
    static int one(void) { return 1; }
    int (*const table[])(void) = { one, one };
    const char *lkl_name(int i) { return i ? "some text" : (char *)&zeroes[table[i & 1]()] + written; }
"#;
const API: &[&str] = &["lkl_name"];

fn findings(text: &str, flags: &[&str]) -> Vec<String> {
    findings_of(text, flags, API)
}

fn findings_of(text: &str, flags: &[&str], names: &[&str]) -> Vec<String> {
    let object = snippet(&format!("{BASE}{text}"), "c", flags, names);
    all(&object, &api(names))
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[track_caller]
fn expect(text: &str, flags: &[&str], expected: &str) {
    let found = findings(text, flags);
    assert!(
        found.iter().any(|f| f.contains(expected)),
        "expected `{expected}`, found {found:#?}"
    );
}

/// A function `f` with this assembly in it.
#[track_caller]
fn expect_in_asm(assembly: &str, expected: &str) {
    let text = format!("void f(void) {{ asm volatile(\"nop\\n\\t{assembly}\"); }}\n");
    let found = findings(&text, &[]);
    assert_eq!(found.len(), 1, "{assembly}: {found:#?}");
    assert!(
        found[0].contains(expected) && found[0].contains("`f+0x"),
        "{assembly}: {found:#?}"
    );
}

#[test]
fn a_good_object_has_no_findings() {
    assert_eq!(findings("", &[]), Vec::<String>::new());
    // Instructions that look like bad ones and are none.
    let text = r#"long f(long *p) {
        asm volatile("prefetcht0 (%0); mfence; lfence; rdtsc; cpuid; pause; ud2; lea -8(%%rsp), %%rax; clflush (%0);"
                     "lock cmpxchg16b (%%rsi); pushfq; popfq; mov 8(%%rsp), %%rax; mov -8(%%rsp,%%rcx), %%rdx" :: "r"(p) : "memory", "rax", "rbx", "rcx", "rdx");
        return p[-3]; }"#;
    let found = findings(text, &[]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn absolute_32_bit_addresses_are_refused_by_name() {
    let flags = &["-fno-pie", "-fno-pic", "-mcmodel=kernel"];
    expect(
        "extern char target[]; char target[9]; unsigned f(void) { return (unsigned)(unsigned long)target; }",
        flags,
        "relocation: `target`",
    );
    expect(
        "char target[9]; char f(long i) { return target[i]; }",
        flags,
        "R_X86_64_32S: a 32-bit absolute address",
    );
}

#[test]
fn other_relocations_without_a_counterpart_are_refused() {
    expect(
        "asm(\".pushsection .data; .quad zeroes - .; .popsection\");",
        &[],
        "R_X86_64_PC64: this kind has no counterpart",
    );
    expect(
        "asm(\".pushsection .rodata; .quad written; .popsection\");",
        &[],
        "an address in .rodata",
    );
    expect(
        "asm(\".pushsection .text; .quad written; .popsection\");",
        &[],
        "an address in the code",
    );
    expect(
        "extern long v; asm(\"mov written+4@GOTPCREL(%rip), %rax\");",
        &[],
        "an addend other than -4",
    );
}

#[test]
fn undefined_weak_and_visible_symbols_are_named() {
    expect(
        "int missing_one(void); int f(void) { return missing_one(); }",
        &[],
        "undefined symbol: `missing_one`: used 1 times, first by f",
    );
    expect(
        "int maybe(void) __attribute__((weak)); int f(void) { return maybe ? maybe() : 0; }",
        &[],
        "weak symbol: `maybe`",
    );
    let two = &["lkl_name", "lkl_absent"];
    let found = findings_of("", &[], two);
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("visible symbol: `lkl_absent`")),
        "{found:#?}"
    );
    let object = snippet(
        &format!("{BASE}int lkl_other(void) {{ return 2; }}"),
        "c",
        &[],
        &["lkl_name", "lkl_other"],
    );
    let found = all(&object, &api(API));
    assert!(
        found
            .iter()
            .any(|f| f.rule == Rule::Visible && f.symbol == "lkl_other"),
        "{found:#?}"
    );
}

#[test]
fn thread_local_data_is_refused() {
    expect(
        "static __thread int mine; int f(void) { return mine++; }",
        &["-fPIE"],
        "thread-local data: `",
    );
    expect(
        "__thread int mine = 4; int f(void) { return mine++; }",
        &["-fPIC"],
        "thread-local data: `",
    );
}

#[test]
fn sections_keep_their_place_and_permissions() {
    expect(
        "int odd __attribute__((section(\"odd_section\"))) = 3;",
        &[],
        "section: `odd_section`: 4 bytes that arch/lkl",
    );
    expect(
        "int w __attribute__((section(\".rodata.w\"))) = 3;",
        &[],
        "section: `.rodata`: it is writable, and must be read-only",
    );
    expect(
        "asm(\".pushsection .text.w, \\\"awx\\\", @progbits; .byte 0x90; .popsection\");",
        &[],
        "`.text`: it is writable and executable, and must be executable",
    );
    let mut object = snippet(BASE, "c", &[], API);
    let rodata = object.sections.iter_mut().find(|s| s.name == ".rodata").unwrap();
    rodata.flags |= u64::from(object::elf::SHF_MERGE);
    let found = all(&object, &api(API));
    assert!(
        found.len() == 1 && found[0].to_string().contains("`.rodata`: a linker could merge"),
        "{found:#?}"
    );
    expect(
        "int big __attribute__((aligned(8192))) = 3;",
        &[],
        "section: `.data`: aligned to 8192 bytes",
    );
}

#[test]
fn instructions_that_a_driver_may_not_hold_are_found() {
    for assembly in [
        "cli",
        "sti",
        "hlt",
        "inb %%dx, %%al",
        "outb %%al, %%dx",
        "mov %%cr3, %%rax",
        "mov %%rax, %%dr7",
        "wrmsr",
        "rdmsr",
        "lgdt (%%rax)",
        "iretq",
        "swapgs",
        "invlpg (%%rax)",
        "syscall",
        "int $0x80",
        "lidt (%%rax)",
        "ltr %%ax",
        "wbinvd",
        "sysretq",
        "lretq",
    ] {
        expect_in_asm(&assembly.replace("%%", "%"), "privileged instruction");
    }
    for assembly in [
        "mov %fs:0, %rax",
        "mov %gs:(%rdi), %rax",
        "mov %eax, %gs",
        "rdgsbase %rax",
        "mov %ds, %eax",
    ] {
        expect_in_asm(assembly, "segment register");
    }
    for assembly in [
        "movaps %xmm0, %xmm1",
        "fldz",
        "vpxor %ymm0, %ymm1, %ymm2",
        "movd %eax, %mm0",
        "fxsave (%rdi)",
        "ldmxcsr (%rdi)",
        "fninit",
    ] {
        expect_in_asm(assembly, "vector or x87 register");
    }
    expect_in_asm(".byte 0x06", "not an instruction");
}

#[test]
fn the_compilers_own_vector_code_is_found() {
    expect(
        "double f(double x) { return x * 3; }",
        &["-msse2"],
        "vector or x87 register: `f",
    );
}

#[test]
fn the_red_zone_is_found() {
    expect_in_asm("mov %rax, -8(%rsp)", "red zone");
    let leaf =
        "long f(long a, long b) { volatile long x[4]; x[a & 3] = a; x[b & 3] = b; return x[0] + x[1]; }";
    expect(leaf, &["-mred-zone", "-fomit-frame-pointer"], "red zone: `f");
    let fixed = "long f(long a, long b) { volatile long x = a, y = b, z = a ^ b; return x + y + z; }";
    expect(fixed, &["-mred-zone", "-fomit-frame-pointer"], "red zone: `f");
    expect(fixed, &["-mred-zone"], "red zone: `f");
    assert_eq!(findings(fixed, &[]), Vec::<String>::new());
    assert_eq!(findings(leaf, &[]), Vec::<String>::new());
    // Without frame pointers, rbp is a register like any other, and may be a copy of rsp first.
    let general = "long f(long *p) { long x; asm volatile(\"mov %%rsp, %%rbp\\n\\tmov 8(%1), %%rbp\\n\\tmov -72(%%rbp), %0\" : \"=r\" (x) : \"r\" (p) : \"rbp\"); return x; }";
    assert_eq!(findings(general, &["-fomit-frame-pointer"]), Vec::<String>::new());
}

#[test]
fn what_asks_the_host_to_write_is_named() {
    assert!(super::writes::check(&snippet(BASE, "c", &[], API)).is_empty());
    let text = "static int hostblk_write_start(void) { return written; } int (*const start[])(void) = { hostblk_write_start };
                long linux_disk_add_writable(void) { return start[0](); }";
    let names = &["lkl_name", "linux_disk_add_writable"];
    let object = snippet(&format!("{BASE}{text}"), "c", &[], names);
    assert!(
        all(&object, &api(names)).is_empty(),
        "nothing else is wrong with it"
    );
    let mut found: Vec<_> = super::writes::check(&object)
        .iter()
        .map(ToString::to_string)
        .collect();
    found.sort();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].starts_with("write to a disk: `hostblk_write_start`"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("write to a disk: `linux_disk_add_writable`"),
        "{found:#?}"
    );
}

/// The rule knows the functions by name: those that the header declares, and those of the one file.
#[test]
fn the_names_of_what_writes_are_those_of_the_port() {
    let port = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../arch/lkl");
    for name in crate::link::api(&port.join("include/asm/host_write.h")).unwrap() {
        assert!(
            super::writes::finding(&name).is_some(),
            "{name} is not known to the rule"
        );
    }
    let text = std::fs::read_to_string(port.join("drivers/hostblk_write.c")).unwrap();
    let heads = text
        .lines()
        .filter(|line| line.contains('(') && line.starts_with(|c: char| c.is_ascii_lowercase()));
    let mut functions = 0;
    for head in heads {
        let name = head.split('(').next().unwrap().rsplit([' ', '*']).next().unwrap();
        functions += 1;
        assert!(
            super::writes::finding(name).is_some() || head.starts_with("static unsigned int"),
            "{name} is not known to the rule"
        );
    }
    assert!(functions >= 6, "{functions} functions were found");
}
