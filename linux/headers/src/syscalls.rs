//! The system calls with their prototypes: `lkl_sys_NAME` for each number of the port's table.
//!
//! The prototypes are those of Linux's own `include/linux/syscalls.h`.

use crate::token::{Kind, Token};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Names of Linux's functions that are not those of the numbers.
const FUNCTIONS: &[(&str, &str)] = &[
    ("stat", "newstat"),
    ("fstat", "newfstat"),
    ("lstat", "newlstat"),
    ("sendfile", "sendfile64"),
    ("uname", "newuname"),
    ("umount2", "umount"),
];

/// The parameters of each function `sys_NAME`, each as its tokens.
type Prototypes<'a> = BTreeMap<&'a str, Vec<Vec<&'a str>>>;

/// What the compiler sees outside of directives, without what is there for machines alone that pass 64 bits in two parameters.
fn code_of_64_bits<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    const SPLIT: &str = "CONFIG_ARCH_SPLIT_ARG64";
    let mut code = Vec::new();
    let mut split = false;
    let mut rest = tokens.iter().filter(|token| token.is_code()).peekable();
    while let Some(token) = rest.next() {
        if !token.in_directive {
            if !split {
                code.push(token.text);
            }
            continue;
        }
        // Each directive begins with its `#`.
        let mut words = Vec::new();
        while let Some(word) = rest.next_if(|word| word.in_directive && word.text != "#") {
            words.push(word.text);
        }
        match words.as_slice() {
            ["if", "defined", "(", SPLIT, ..] | ["ifdef", SPLIT, ..] => split = true,
            ["else" | "endif", ..] => split = false,
            _ => {}
        }
    }
    code
}

/// The prototypes that a header has.
fn prototypes<'a>(tokens: &[Token<'a>]) -> Prototypes<'a> {
    let code = code_of_64_bits(tokens);
    let mut found = Prototypes::new();
    for (at, words) in code.windows(4).enumerate() {
        let ["asmlinkage", "long", name, "("] = words else {
            continue;
        };
        let Some(name) = name.strip_prefix("sys_") else {
            continue;
        };
        let mut parameters = vec![Vec::new()];
        let mut depth = 0usize;
        for word in code.iter().skip(at + 4) {
            match *word {
                ")" if depth == 0 => break,
                "," if depth == 0 => parameters.push(Vec::new()),
                "__user" => {}
                word => {
                    match word {
                        "(" => depth += 1,
                        ")" => depth -= 1,
                        _ => {}
                    }
                    if let Some(last) = parameters.last_mut() {
                        last.push(word);
                    }
                }
            }
        }
        if matches!(parameters.as_slice(), [one] if one.as_slice() == ["void"] || one.is_empty()) {
            parameters.clear();
        }
        // Of two declarations the first is that of the generic table.
        found.entry(name).or_insert(parameters);
    }
    found
}

/// The names that have a number, in the header's order.
pub fn numbered<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    let code: Vec<&Token<'a>> = tokens.iter().filter(|token| token.is_code()).collect();
    code.windows(2)
        .filter(|words| matches!(words, [define, name] if define.text == "define" && name.kind == Kind::Word))
        .filter_map(|words| words.get(1)?.text.strip_prefix("__NR_"))
        .collect()
}

/// The text of a header with an inline function for each number, in Linux's own names.
pub fn header(numbers: &[Token<'_>], declarations: &[Token<'_>]) -> Result<String> {
    let prototypes = prototypes(declarations);
    let mut text = String::new();
    let mut tags = BTreeSet::<&str>::new();
    for name in numbered(numbers) {
        let function = FUNCTIONS
            .iter()
            .find(|(number, _)| *number == name)
            .map_or(name, |(_, function)| *function);
        let parameters = prototypes
            .get(function)
            .with_context(|| format!("Linux declares no sys_{function}"))?;
        for parameter in parameters {
            let pairs = parameter.windows(2);
            tags.extend(
                pairs
                    .filter(|pair| pair.first() == Some(&"struct"))
                    .filter_map(|pair| pair.last()),
            );
        }
        text.push_str(&inline(name, name, parameters));
        if function != name && !prototypes.contains_key(name) {
            continue;
        }
        if function != name {
            text.push_str(&inline(function, name, parameters));
        }
    }
    // What no public header has, or one that is not included.
    let mut head: String = tags.iter().map(|tag| format!("struct {tag};\n")).collect();
    head.push_str("\nlong lkl_syscall(long number, long *params);\n\n");
    Ok(head + &text)
}

/// The name of a parameter, if it has one: the last word, of more than a type's.
fn name_of<'a>(parameter: &[&'a str]) -> Option<&'a str> {
    const TYPES: &[&str] = &["int", "long", "unsigned", "char", "short", "*"];
    let [.., before, last] = parameter else {
        return None;
    };
    let is_word = last.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let after_tag = matches!(*before, "struct" | "union" | "enum" | "const");
    (is_word && !after_tag && !TYPES.contains(last)).then_some(last)
}

/// A parameter's name that C++ may have, too.
fn own_name(given: &str) -> String {
    match given {
        "new" | "old" | "class" | "this" | "delete" | "template" | "private" => format!("{given}_"),
        given => given.to_owned(),
    }
}

fn inline(name: &str, number: &str, parameters: &[Vec<&str>]) -> String {
    let mut declared = Vec::new();
    let mut words = Vec::new();
    for (at, parameter) in parameters.iter().enumerate() {
        let given = name_of(parameter);
        let kind = match given {
            Some(_) => parameter.get(..parameter.len() - 1).unwrap_or_default(),
            None => parameter.as_slice(),
        };
        let own = given.map_or_else(|| format!("a{at}"), own_name);
        let kind = kind.join(" ").replace("* *", "**");
        let blank = if kind.ends_with('*') { "" } else { " " };
        declared.push(format!("{kind}{blank}{own}"));
        words.push(format!("(long)(__lkl__word){own}"));
    }
    let list = if declared.is_empty() {
        "void".to_owned()
    } else {
        declared.join(", ")
    };
    let words = if words.is_empty() {
        "0".to_owned()
    } else {
        words.join(", ")
    };
    format!(
        "static inline long lkl_sys_{name}({list})\n{{\n\tlong params[6] = {{ {words} }};\n\n\treturn lkl_syscall(__lkl__NR_{number}, params);\n}}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tokens;

    #[test]
    fn each_number_has_a_function_with_its_parameters() {
        let numbers = tokens("#define __NR_read 0\n#define __NR_stat 4\n#define __NR_getpid 39\n");
        let declarations = tokens(
            "asmlinkage long sys_read(unsigned int fd, char __user *buf, size_t count);\nasmlinkage long sys_newstat(const char __user *filename,\n\tstruct stat __user *statbuf);\nasmlinkage long sys_getpid(void);",
        );
        let text = header(&numbers, &declarations).unwrap();
        assert!(
            text.contains("lkl_sys_read(unsigned int fd, char *buf, size_t count)\n{\n\tlong params[6] = { (long)(__lkl__word)fd, (long)(__lkl__word)buf, (long)(__lkl__word)count };"),
            "{text}"
        );
        assert!(text.contains("lkl_sys_stat(const char *filename, struct stat *statbuf)"));
        assert!(text.contains("lkl_sys_getpid(void)\n{\n\tlong params[6] = { 0 };"));
        assert!(header(&tokens("#define __NR_other 1\n"), &declarations).is_err());
    }

    #[test]
    fn of_two_declarations_that_of_machines_of_64_bits_counts() {
        let numbers = tokens("#define __NR_fanotify_mark 301\n#define __NR_getpid 39\n");
        let declarations = tokens(
            "#if defined(CONFIG_ARCH_SPLIT_ARG64)\nasmlinkage long sys_fanotify_mark(int fd, unsigned int mask_1,\n\tunsigned int mask_2);\n#else\nasmlinkage long sys_fanotify_mark(int fd, u64 mask,\n\tint dir);\n#endif\nasmlinkage long sys_getpid(void);",
        );
        let text = header(&numbers, &declarations).unwrap();
        assert!(text.contains("mask, int dir)"), "{text}");
        assert!(
            !text.contains("mask_1") && text.contains("lkl_sys_getpid(void)"),
            "{text}"
        );
    }
}
