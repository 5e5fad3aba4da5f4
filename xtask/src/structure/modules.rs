//! The modules of a crate: whom each names, which are in circles, and what is counted of them. Read from the tokens of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Modules of a crate by their paths (`a::b`, the root is empty), and whom each names.
pub type Modules = BTreeMap<String, BTreeSet<String>>;

/// What is counted of a crate.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Figures {
    pub files: usize,
    pub lines: usize,
    pub unsafe_blocks: usize,
    pub in_circles: usize,
    pub largest_circle: usize,
}

/// Counts what is in the crate with this root file.
pub fn figures(root: &Path) -> Result<Figures> {
    let (modules, mut figures) = read(root)?;
    let circles = circles(&modules);
    figures.in_circles = circles.iter().map(BTreeSet::len).sum();
    figures.largest_circle = circles.iter().map(BTreeSet::len).max().unwrap_or(0);
    Ok(figures)
}

/// The modules of the crate with this root file, and what is counted of them one by one.
pub fn read(root: &Path) -> Result<(Modules, Figures)> {
    let folder = root.parent().context("a crate without a folder")?;
    let mut files = BTreeMap::new();
    collect(folder, &mut Vec::new(), &mut files)?;
    let names: BTreeSet<String> = files.keys().cloned().collect();
    let mut figures = Figures {
        files: files.len(),
        ..Figures::default()
    };
    let mut modules = Modules::new();
    for (name, path) in &files {
        let text = fs::read_to_string(path)?;
        let tokens: TokenStream = text
            .parse()
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        figures.lines += text.lines().count();
        figures.unsafe_blocks += unsafe_blocks(tokens.clone());
        let mut named = BTreeSet::new();
        paths(tokens, name, &mut named);
        let known = named.iter().filter_map(|path| owner(path, &names));
        modules.insert(name.clone(), known.filter(|other| other != name).collect());
    }
    Ok((modules, figures))
}

/// The modules below a folder, with their files.
fn collect(folder: &Path, path: &mut Vec<String>, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?.path();
        let Some(stem) = entry.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        if entry.is_dir() {
            path.push(stem.to_owned());
            collect(&entry, path, files)?;
            path.pop();
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let mut name = path.clone();
            if !matches!(stem, "lib" | "main" | "mod") {
                name.push(stem.to_owned());
            }
            files.insert(name.join("::"), entry);
        }
    }
    Ok(())
}

/// Blocks of `unsafe`: the keyword before a brace.
fn unsafe_blocks(tokens: TokenStream) -> usize {
    let mut count = 0;
    let mut after = false;
    for token in tokens {
        if let TokenTree::Group(group) = &token {
            count += usize::from(after && group.delimiter() == Delimiter::Brace);
            count += unsafe_blocks(group.stream());
        }
        after = matches!(&token, TokenTree::Ident(ident) if ident == "unsafe");
    }
    count
}

/// Paths of this crate that a module's tokens name, as `a::b::Item`.
fn paths(tokens: TokenStream, module: &str, named: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => paths(group.stream(), module, named),
            TokenTree::Ident(ident) if *ident == "crate" => follow(&tokens[at + 1..], "", named),
            TokenTree::Ident(ident) if *ident == "super" && !comes_after_colon(&tokens, at) => {
                let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
                follow(&tokens[at + 1..], parent, named);
            }
            _ => {}
        }
    }
}

fn comes_after_colon(tokens: &[TokenTree], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    matches!(before, Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
}

/// Follows `::name::name` or `::{...}` from a module on.
fn follow(mut rest: &[TokenTree], start: &str, named: &mut BTreeSet<String>) {
    let mut path = start.to_owned();
    while let [TokenTree::Punct(first), TokenTree::Punct(second), next, ..] = rest {
        if (first.as_char(), second.as_char()) != (':', ':') {
            break;
        }
        rest = &rest[3..];
        match next {
            TokenTree::Ident(ident) => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                let _ = write!(path, "{ident}");
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for item in inner.split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ',')) {
                    if let [TokenTree::Ident(ident), after @ ..] = item {
                        let deeper = if path.is_empty() {
                            ident.to_string()
                        } else {
                            format!("{path}::{ident}")
                        };
                        follow(after, &deeper, named);
                    }
                }
                return;
            }
            _ => break,
        }
    }
    named.insert(path);
}

/// The module that a path leads into: the longest beginning of it that is one, the root left out.
fn owner(path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut part = path;
    loop {
        if part.is_empty() {
            return None;
        }
        if modules.contains(part) {
            return Some(part.to_owned());
        }
        part = part.rsplit_once("::").map_or("", |(parent, _)| parent);
    }
}

/// Sets of more than one module in which each reaches each.
fn circles(modules: &Modules) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = modules
        .keys()
        .map(|name| (name.as_str(), reach(modules, name)))
        .collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut circles = Vec::new();
    for (name, others) in &reached {
        if done.contains(name) {
            continue;
        }
        let circle: BTreeSet<&str> = others
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(name)))
            .copied()
            .collect();
        if circle.len() > 1 {
            done.extend(&circle);
            circles.push(circle.iter().map(|name| (*name).to_owned()).collect());
        }
    }
    circles
}

/// Whom a module reaches.
fn reach<'a>(modules: &'a Modules, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = modules
        .get(from)
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(modules.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, module: &str) -> Vec<String> {
        let mut found = BTreeSet::new();
        paths(text.parse().unwrap(), module, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn paths_are_followed_into_groups_and_up() {
        assert_eq!(
            named("use crate::a::{b::C, d}; fn f() { crate::e::g() }", "m"),
            ["a::b::C", "a::d", "e::g"]
        );
        assert_eq!(named("use super::x::Y;", "a::b"), ["a::x::Y"]);
        assert_eq!(named("let crate_ = \"crate::a\"; // crate::b", "m"), [""; 0]);
    }

    #[test]
    fn blocks_are_counted_and_functions_are_not() {
        let text = "unsafe fn f() { unsafe { g() } } // unsafe {}\nunsafe impl Send for X {} fn h() { unsafe { unsafe { i() } } }";
        assert_eq!(unsafe_blocks(text.parse().unwrap()), 3);
    }

    #[test]
    fn a_circle_is_whoever_reaches_each_other() {
        let modules: Modules = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")]
            .into_iter()
            .map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])))
            .collect();
        let found = circles(&modules);
        assert_eq!(found, [["a", "b", "c"].map(str::to_owned).into()]);
    }
}
