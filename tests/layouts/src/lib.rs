//! Asks the C compiler for the sizes, offsets and constants of a header, and compares what Rust's mirror of it has.
//!
//! [`structures!`] and [`constants!`] say what is compared; [`Layouts::compare`] does it.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::Command;

/// `name value` lines: what Rust says, and the C that prints the same.
#[derive(Debug)]
pub struct Layouts {
    includes: String,
    rust: String,
    c: String,
}

impl Layouts {
    /// Nothing yet of the header in that file.
    pub fn of(header: impl AsRef<Path>) -> Layouts {
        Layouts::including(&format!("\"{}\"", header.as_ref().display()))
    }

    /// Nothing yet of headers, which stand one a line as `#include` has them.
    pub fn including(headers: &str) -> Layouts {
        let lines = headers.lines().map(|header| format!("#include {header}\n"));
        Layouts {
            includes: lines.collect(),
            rust: String::new(),
            c: String::new(),
        }
    }

    /// Rust has that value for an expression of C's.
    pub fn add(&mut self, name: &str, value: usize, expression: &str) {
        self.rust.push_str(&format!("{name} {value}\n"));
        self.c
            .push_str(&format!("printf(\"{name} %zu\\n\", (size_t)({expression}));\n"));
    }

    /// A structure has that size.
    pub fn size(&mut self, structure: &str, size: usize) {
        self.add(structure, size, &format!("sizeof(struct {structure})"));
    }

    /// A member is there in its structure.
    pub fn offset(&mut self, structure: &str, member: &str, offset: usize) {
        let expression = format!("offsetof(struct {structure}, {member})");
        self.add(&format!("{structure}.{member}"), offset, &expression);
    }

    /// Compiles and runs the C, which must say the same.
    pub fn compare(self) {
        let Layouts { includes, rust, c } = self;
        assert!(!rust.is_empty(), "nothing is compared");
        let program = format!(
            "#include <stdio.h>\n#include <stddef.h>\n{includes}int main(void) {{ {c} return 0; }}\n"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let (source, binary) = (folder.path().join("layout.c"), folder.path().join("layout"));
        std::fs::write(&source, program).expect("written");
        let compiled = Command::new("cc").arg("-o").arg(&binary).arg(&source).output();
        let compiled = compiled.expect("a C compiler");
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let output = Command::new(&binary).output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), rust);
    }
}

/// Structures that are compared, with all of their members; where Rust's name of one is another, C's follows it.
#[macro_export]
macro_rules! structures {
    ($layouts:ident: $($structure:ident { $($member:ident $(= $c:literal)?),* $(,)? })*) => {
        $(
            $layouts.size(stringify!($structure), ::core::mem::size_of::<$structure>());
            $($layouts.offset(
                stringify!($structure),
                $crate::member!($member $(= $c)?),
                ::core::mem::offset_of!($structure, $member),
            );)*
        )*
    };
}

/// C's name of a member.
#[doc(hidden)]
#[macro_export]
macro_rules! member {
    ($member:ident) => {
        stringify!($member)
    };
    ($member:ident = $c:literal) => {
        $c
    };
}

/// Constants that are compared.
#[macro_export]
macro_rules! constants {
    ($layouts:ident: $($name:ident),* $(,)?) => {
        $($layouts.add(stringify!($name), usize::try_from($name).unwrap(), stringify!($name));)*
    };
}

#[cfg(test)]
mod tests {
    use super::Layouts;

    #[repr(C)]
    #[allow(non_camel_case_types, dead_code, reason = "as C has it")]
    struct pair {
        one: u8,
        type_: u32,
    }

    const PAIR_MOST: u32 = 7;

    fn compared(c: &str) {
        let folder = tempfile::tempdir().unwrap();
        let header = folder.path().join("pair.h");
        std::fs::write(&header, c).unwrap();
        let mut layouts = Layouts::of(header);
        structures! { layouts:
            pair { one, type_ = "type" }
        }
        constants!(layouts: PAIR_MOST);
        layouts.compare();
    }

    #[test]
    fn a_mirror_that_is_right_is_found_right() {
        compared("#define PAIR_MOST 7\nstruct pair { char one; int type; };\n");
    }

    #[test]
    #[should_panic(expected = "pair.type")]
    fn a_member_that_has_moved_is_found() {
        compared("#define PAIR_MOST 7\nstruct pair { char one; short between; short type; int more; };\n");
    }

    #[test]
    #[should_panic(expected = "PAIR_MOST")]
    fn a_constant_that_has_changed_is_found() {
        compared("#define PAIR_MOST 8\nstruct pair { char one; int type; };\n");
    }
}
