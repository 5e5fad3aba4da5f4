//! The public names of Linux's headers, and what each is called in the library's.
//!
//! | in Linux | here |
//! |---|---|
//! | a macro or an enumerator, `O_RDWR` | `LKL_O_RDWR`; one that begins with a small letter: `lkl_s6_addr` |
//! | a structure's tag, a type, a function, `struct stat` | `struct lkl_stat` |
//! | what begins with two underscores, `__NR_read` | `__lkl__NR_read` |
//!
//! Members keep their names, but for four that hosts have macros for ([`MEMBERS`]): `lkl_st_atime`. Tags are told by the keyword before them, and are renamed wherever they stand, also those that
//! Linux's headers only mention, as `struct sockaddr`.

use crate::token::{Kind, Token};
use std::collections::{HashMap, HashSet};

/// Names of the host's that must not be seen: what asks for them would leave definitions to the host's C library.
const HIDDEN: &[&str] = &["__GLIBC__"];

/// Members that a host's headers may have macros for.
const MEMBERS: &[&str] = &["st_atime", "st_mtime", "st_ctime", "s_addr"];

/// The names that are to be changed, other than tags.
#[derive(Debug, Default)]
pub struct Names {
    macros: HashSet<String>,
    /// Those of them that make names of parts, with the positions of the arguments that are parts.
    pasting: HashMap<String, HashSet<usize>>,
    others: HashSet<String>,
}

impl Names {
    /// Adds what a header defines.
    pub fn collect(&mut self, tokens: &[Token<'_>]) {
        self.collect_macros(tokens);
        let code: Vec<&str> = tokens
            .iter()
            .filter(|token| token.is_code() && !token.in_directive)
            .map(|token| token.text)
            .collect();
        self.collect_enumerators(&code);
        self.collect_types(&code);
        self.collect_functions(&code);
    }

    fn collect_macros(&mut self, tokens: &[Token<'_>]) {
        for line in tokens.split(|token| token.kind == Kind::Newline) {
            let code: Vec<&Token<'_>> = line.iter().filter(|token| token.is_code()).collect();
            let [hash, define, name, rest @ ..] = code.as_slice() else {
                continue;
            };
            if hash.text != "#"
                || define.text != "define"
                || name.kind != Kind::Word
                || is_of_the_language(name.text)
            {
                continue;
            }
            self.macros.insert(name.text.to_owned());
            let behind = line.iter().skip_while(|token| token.text != name.text).skip(1);
            let parameters = parameters_of(&behind.copied().collect::<Vec<_>>());
            let pasted = |text: &str| {
                rest.windows(2).any(|pair| matches!(pair, [one, other] if one.text == text && other.text == "##"))
                    || rest.windows(3).any(|words| {
                        // After a comma it takes the comma away.
                        matches!(words, [before, paste, one] if one.text == text && paste.text == "##" && before.text != ",")
                    })
            };
            let parts: HashSet<usize> = (0..parameters.len())
                .filter(|at| parameters.get(*at).is_some_and(|name| pasted(name)))
                .collect();
            if !parts.is_empty() {
                self.pasting.insert(name.text.to_owned(), parts);
            }
        }
    }

    fn collect_enumerators(&mut self, code: &[&str]) {
        let mut at = 0;
        while let Some(word) = code.get(at) {
            at += 1;
            if *word != "enum" {
                continue;
            }
            if code.get(at).is_some_and(|word| is_name(word)) {
                at += 1;
            }
            if code.get(at) != Some(&"{") {
                continue;
            }
            let mut expected = true;
            let mut depth = 0usize;
            for word in code.iter().skip(at + 1) {
                match *word {
                    "}" => break,
                    "(" => depth += 1,
                    ")" => depth = depth.saturating_sub(1),
                    "," if depth == 0 => expected = true,
                    word if expected && is_name(word) => {
                        self.macros.insert(word.to_owned());
                        expected = false;
                    }
                    _ => {}
                }
            }
        }
    }

    /// The name of a typedef: the one in `(*name)`, else the last one before the semicolon, past attributes and bounds.
    fn collect_types(&mut self, code: &[&str]) {
        let mut at = 0;
        while let Some(word) = code.get(at) {
            at += 1;
            if *word != "typedef" {
                continue;
            }
            let declaration = statement(code.get(at..).unwrap_or_default());
            if let Some(name) = declared_type(declaration)
                && !is_of_c(name)
            {
                self.others.insert(name.to_owned());
            }
        }
    }

    /// Functions with bodies; they are static.
    fn collect_functions(&mut self, code: &[&str]) {
        let mut depth = 0usize;
        let mut is_static = false;
        for (at, word) in code.iter().enumerate() {
            match *word {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    is_static = false;
                }
                ";" => is_static = false,
                "static" if depth == 0 => is_static = true,
                "(" if depth == 0 && is_static => {
                    if let Some(name) = at.checked_sub(1).and_then(|before| code.get(before))
                        && is_name(name)
                        && *name != "__attribute__"
                    {
                        self.others.insert((*name).to_owned());
                        is_static = false;
                    }
                }
                _ => {}
            }
        }
    }

    /// The source with the names changed. `file` says what a file that is included is called, or that it is not.
    pub fn change(&self, tokens: &[Token<'_>], file: impl Fn(&str) -> String) -> String {
        let mut changed = String::new();
        let mut before = "";
        let mut before_that = "";
        let mut depth = 0usize;
        // In the arguments of a macro that makes names: how deep in brackets, at which argument, and which are parts.
        let mut call: Option<(usize, usize, &HashSet<usize>)> = None;
        let mut parameters = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            if token.kind == Kind::Newline || !token.in_directive {
                parameters.clear();
            } else if before == "define" && token.kind == Kind::Word {
                parameters = parameters_of(tokens.get(at + 1..).unwrap_or_default());
            }
            match token.text {
                "(" => {
                    depth += 1;
                    if !token.in_directive
                        && let Some(parts) = self.pasting.get(before)
                    {
                        call = Some((depth, 0, parts));
                    }
                }
                "," => {
                    if let Some((outer, argument, _)) = &mut call
                        && *outer == depth
                    {
                        *argument += 1;
                    }
                }
                ")" => {
                    depth = depth.saturating_sub(1);
                    call = call.filter(|(outer, ..)| depth >= *outer);
                }
                _ => {}
            }
            match token.kind {
                Kind::Word
                    if call.is_some_and(|(outer, argument, parts)| {
                        outer == depth && parts.contains(&argument)
                    }) =>
                {
                    changed.push_str(token.text);
                }
                Kind::Text if token.in_directive && before == "include" => {
                    changed.push_str(&file(token.text));
                }
                Kind::Word if token.text == "long" => {
                    // Of a `long long` both stay.
                    let next = tokens.iter().skip(at + 1).find(|token| token.is_code());
                    let single = before != "long" && next.is_none_or(|next| next.text != "long");
                    changed.push_str(if single { "__lkl__long" } else { "long" });
                }
                // An argument is written without a keyword before it, and so without a prefix.
                Kind::Word if parameters.contains(&token.text) => {
                    if is_tag_keyword(before) {
                        changed.push_str("lkl_ ## ");
                    }
                    changed.push_str(token.text);
                }
                // The beginning of a macro's name; an argument is the rest.
                Kind::Word
                    if token.in_directive
                        && tokens.get(at + 1..).is_some_and(is_pasted)
                        && self.macros.iter().any(|name| name.starts_with(token.text)) =>
                {
                    changed.push_str(&prefixed(token.text));
                }
                Kind::Word => match self.called(token.text, before, before_that) {
                    Some(name) => changed.push_str(&name),
                    None => changed.push_str(token.text),
                },
                _ => changed.push_str(token.text),
            }
            if token.is_code() {
                before_that = before;
                before = token.text;
            }
        }
        changed
    }

    fn called(&self, word: &str, before: &str, before_that: &str) -> Option<String> {
        if HIDDEN.contains(&word) || MEMBERS.contains(&word) {
            return Some(prefixed(word));
        }
        if is_tag_keyword(before) && !(before_that == "#" || is_keyword(word)) {
            return Some(prefixed_type(word));
        }
        if self.macros.contains(word) {
            return Some(prefixed(word));
        }
        let member = matches!(before, "." | "->");
        (self.others.contains(word) && !member).then(|| prefixed_type(word))
    }
}

fn is_tag_keyword(word: &str) -> bool {
    matches!(word, "struct" | "union" | "enum")
}

/// Spellings of the compiler's own, which some headers define for compilers that lack them.
fn is_of_the_language(word: &str) -> bool {
    matches!(
        word,
        "inline"
            | "__inline"
            | "__inline__"
            | "__extension__"
            | "__volatile__"
            | "__signed__"
            | "__attribute__"
    )
}

/// A type of <stdint.h> or <stddef.h>, which some headers define where those are not to be had.
fn is_of_c(word: &str) -> bool {
    let wide = word.trim_start_matches('u').strip_prefix("int");
    word == "size_t" || wide.is_some_and(|rest| matches!(rest, "8_t" | "16_t" | "32_t" | "64_t" | "ptr_t"))
}

/// Whether `##` comes next.
fn is_pasted(tokens: &[Token<'_>]) -> bool {
    let next = tokens.iter().find(|token| token.is_code());
    next.is_some_and(|next| next.text == "##")
}

/// What may stand between `struct` and its tag or body.
fn is_keyword(word: &str) -> bool {
    matches!(word, "__attribute__" | "struct" | "union" | "enum")
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !is_keyword(word)
}

/// A macro's or an enumerator's name.
pub fn prefixed(name: &str) -> String {
    match name.strip_prefix("__") {
        Some(rest) => format!("__lkl__{rest}"),
        None if name.starts_with(|c: char| c.is_ascii_lowercase()) => format!("lkl_{name}"),
        None => format!("LKL_{name}"),
    }
}

/// A type's or a function's name.
pub fn prefixed_type(name: &str) -> String {
    match name.strip_prefix("__") {
        Some(rest) => format!("__lkl__{rest}"),
        None => format!("lkl_{name}"),
    }
}

/// The parameters of a macro, from behind its name on.
fn parameters_of<'a>(tokens: &[Token<'a>]) -> Vec<&'a str> {
    if tokens.first().is_none_or(|token| token.text != "(") {
        return Vec::new();
    }
    let list = tokens.iter().take_while(|token| token.text != ")");
    list.filter(|token| token.kind == Kind::Word)
        .map(|token| token.text)
        .collect()
}

/// Up to the semicolon that ends it.
fn statement<'a, 'b>(code: &'b [&'a str]) -> &'b [&'a str] {
    let mut depth = 0usize;
    for (at, word) in code.iter().enumerate() {
        match *word {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            ";" if depth == 0 => return code.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    code
}

fn declared_type<'a>(declaration: &[&'a str]) -> Option<&'a str> {
    // Past bodies and attributes; what is left of brackets is `(*name)`.
    let mut flat = Vec::new();
    let mut depth = 0usize;
    let mut attribute = None;
    for word in declaration {
        match *word {
            "__attribute__" => attribute = Some(depth),
            "{" | "[" => depth += 1,
            "}" | "]" => depth = depth.saturating_sub(1),
            "(" if attribute.is_some() => depth += 1,
            ")" if attribute.is_some() => {
                depth = depth.saturating_sub(1);
                if attribute == Some(depth) {
                    attribute = None;
                }
            }
            word if depth == 0 => flat.push(word),
            _ => {}
        }
    }
    let pointer = flat
        .windows(3)
        .find(|words| matches!(words, ["(", "*", _]))
        .and_then(|words| words.last().copied());
    pointer.or_else(|| {
        let end = flat.iter().position(|word| *word == "(").unwrap_or(flat.len());
        flat.get(..end)?.last().copied().filter(|word| is_name(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::tokens;

    fn changed(source: &str) -> String {
        let tokens = tokens(source);
        let mut names = Names::default();
        names.collect(&tokens);
        names.change(&tokens, |file| file.replace('<', "<lkl/"))
    }

    #[test]
    fn each_kind_of_name_has_its_prefix() {
        for (before, after) in [
            ("#define O_RDWR 2\n", "#define LKL_O_RDWR 2\n"),
            (
                "#define s6_addr in6_u.u6_addr8\n",
                "#define lkl_s6_addr in6_u.u6_addr8\n",
            ),
            ("#define __NR_read 0\n", "#define __lkl__NR_read 0\n"),
            (
                "struct stat { struct other *st; };",
                "struct lkl_stat { struct lkl_other *st; };",
            ),
            (
                "typedef long long __kernel_loff_t;",
                "typedef long long __lkl__kernel_loff_t;",
            ),
            (
                "typedef unsigned long size; size x;",
                "typedef unsigned __lkl__long lkl_size; lkl_size x;",
            ),
            (
                "typedef void (*handler)(int); handler h;",
                "typedef void (*lkl_handler)(int); lkl_handler h;",
            ),
            (
                "typedef struct { int id; } fsid_t; fsid_t a[2];",
                "typedef struct { int id; } lkl_fsid_t; lkl_fsid_t a[2];",
            ),
            (
                "typedef __u64 __attribute__((aligned(8))) wide_t; wide_t w;",
                "typedef __u64 __attribute__((aligned(8))) lkl_wide_t; lkl_wide_t w;",
            ),
            (
                "enum kind { A = 1, B = F(2, 3), c };",
                "enum lkl_kind { LKL_A = 1, LKL_B = F(2, 3), lkl_c };",
            ),
            (
                "static __inline__ int twice(int x) { return f(x); } int y = twice(2);",
                "static __inline__ int lkl_twice(int x) { return f(x); } int y = lkl_twice(2);",
            ),
            (
                "#define SIZE(type, n) f(sizeof(struct type), n)\nSIZE(a, 3)\n",
                "#define LKL_SIZE(type, n) f(sizeof(struct lkl_ ## type), n)\nLKL_SIZE(a, 3)\n",
            ),
            (
                "#define A_B 1\n#define F(x) A_##x\ntypedef unsigned int uint32_t; uint32_t i;\n",
                "#define LKL_A_B 1\n#define LKL_F(x) LKL_A_##x\ntypedef unsigned int uint32_t; uint32_t i;\n",
            ),
            (
                "#define MINOR 1\n#define A_MINOR 2\n#define F(x) A_##x\nint i = F(MINOR) + MINOR;\n",
                "#define LKL_MINOR 1\n#define LKL_A_MINOR 2\n#define LKL_F(x) LKL_A_##x\nint i = LKL_F(MINOR) + LKL_MINOR;\n",
            ),
            ("#include <linux/a.h>\n", "#include <lkl/linux/a.h>\n"),
            (
                "#if defined(__GLIBC__)\n#endif\n",
                "#if defined(__lkl__GLIBC__)\n#endif\n",
            ),
        ] {
            assert_eq!(changed(before), after);
        }
    }

    #[test]
    fn members_comments_and_strings_keep_their_names() {
        let source = "typedef int id_t; /* id_t */ int f(struct s *p) { return p->id_t + p2.id_t; } char *n = \"id_t\";";
        let after = changed(source);
        assert_eq!(after.matches("lkl_id_t").count(), 1, "{after}");
    }
}
