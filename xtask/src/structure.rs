//! `cargo xtask structure`: how the driver is built of crates and modules, in numbers, and the rules about who may know whom.
//!
//! | rule | says |
//! |---|---|
//! | `one-door` | only [`DOOR`] depends on `wdk-sys` |
//! | `downwards` | a crate of the driver depends on crates of lower [`LAYERS`] alone |
//! | `top` | in [`EDGE`], no module but the root names a module of [`TOP`]; `load` alone names `dispatch` |
//!
//! [`check`] is part of `cargo xtask lint`. The table also says, for each crate, how many blocks of `unsafe` it has, how many
//! of its modules are in circles, and how many modules the largest circle holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use serde_json::Value;
use xshell::Shell;

use crate::repo;

/// The crates of the driver, from the lowest layer to the highest. A crate that is not here is outside of the rule.
const LAYERS: &[&[&str]] = &[
    &["fallible", "fs-probe", "lklfs-nt"],
    &[
        "disk-images",
        "disk-partitions",
        "lkl",
        "lklfs-control",
        "lklfs-fsd",
        "lklfs-kernel",
    ],
    &["lkl-host-ntk", "lkl-vfs", "lklfs-served"],
    &["lklfs-ntk"],
    &["lklfs"],
];

/// The crate that names NT's routines and records.
const DOOR: &str = "lklfs-kernel";

/// The crate between the core and NT.
const EDGE: &str = "lklfs-ntk";

/// Its modules that NT enters by, from the highest on. They know all others.
const TOP: &[&str] = &["load", "dispatch"];

/// A crate, as cargo tells of it.
struct Package {
    name: String,
    source: PathBuf,
    /// What it is linked with, on some target.
    dependencies: BTreeSet<String>,
}

/// Modules of a crate by their paths (`a::b`, the root is empty), and whom each names.
type Modules = BTreeMap<String, BTreeSet<String>>;

/// What is counted of a crate.
#[derive(Debug, PartialEq, Eq, Default)]
struct Figures {
    files: usize,
    lines: usize,
    unsafe_blocks: usize,
    in_circles: usize,
    largest_circle: usize,
}

/// The rules. Part of `cargo xtask lint`.
pub fn check(sh: &Shell) -> Result<()> {
    let broken = broken(&packages(sh)?)?;
    if !broken.is_empty() {
        bail!("the driver's layers have holes:\n  {}", broken.join("\n  "));
    }
    Ok(())
}

/// The table.
pub fn table(sh: &Shell) -> Result<String> {
    let packages = packages(sh)?;
    let mut out = format!(
        "{:<18}{:>7}{:>8}{:>9}{:>13}{:>16}\n",
        "crate", "files", "lines", "unsafe", "in circles", "largest circle"
    );
    let mut sum = Figures::default();
    for name in LAYERS.iter().copied().flatten() {
        let package = packages.iter().find(|package| package.name == **name);
        let package = package.with_context(|| format!("there is no crate {name}"))?;
        let figures = figures(&package.source)?;
        row(&mut out, name, &figures);
        sum.files += figures.files;
        sum.lines += figures.lines;
        sum.unsafe_blocks += figures.unsafe_blocks;
        sum.in_circles += figures.in_circles;
        sum.largest_circle = sum.largest_circle.max(figures.largest_circle);
    }
    row(&mut out, "together", &sum);
    let up = broken(&packages)?;
    let _ = writeln!(out, "rules that are broken: {}", up.len());
    for broken in up {
        let _ = writeln!(out, "  {broken}");
    }
    Ok(out)
}

fn row(out: &mut String, name: &str, figures: &Figures) {
    let _ = writeln!(
        out,
        "{name:<18}{:>7}{:>8}{:>9}{:>13}{:>16}",
        figures.files, figures.lines, figures.unsafe_blocks, figures.in_circles, figures.largest_circle
    );
}

/// The workspace's crates.
fn packages(sh: &Shell) -> Result<Vec<Package>> {
    let manifest = repo::root().join("Cargo.toml");
    let told = sh
        .cmd("cargo")
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(manifest)
        .quiet()
        .read()
        .context("cargo does not tell of the workspace")?;
    let told: Value = serde_json::from_str(&told)?;
    let packages = told["packages"].as_array().context("cargo lists no crates")?;
    packages.iter().map(package).collect()
}

fn package(told: &Value) -> Result<Package> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let library = told["targets"].as_array().and_then(|targets| {
        targets.iter().find(|target| {
            let kinds = target["kind"].as_array();
            kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind != "custom-build" && kind != "test"))
        })
    });
    let root = library
        .map(|target| text(&target["src_path"]))
        .unwrap_or_default();
    let linked = |dependency: &&Value| dependency["kind"].is_null();
    let dependencies = told["dependencies"]
        .as_array()
        .context("a crate without a list")?;
    Ok(Package {
        name: text(&told["name"]),
        source: PathBuf::from(root),
        dependencies: dependencies
            .iter()
            .filter(linked)
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    })
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&name))
}

/// What breaks a rule, a line each.
fn broken(packages: &[Package]) -> Result<Vec<String>> {
    let edge = packages.iter().find(|package| package.name == EDGE);
    let edge = edge.with_context(|| format!("there is no crate {EDGE}"))?;
    let mut broken = broken_rules(packages);
    broken.extend(broken_tops(&modules(&edge.source)?.0));
    Ok(broken)
}

fn broken_tops(modules: &Modules) -> Vec<String> {
    let mut broken = Vec::new();
    for (module, named) in modules.iter().filter(|(module, _)| !module.is_empty()) {
        let own = TOP.iter().position(|top| top == module).unwrap_or(TOP.len());
        for (place, top) in TOP.iter().enumerate() {
            if place < own && named.contains(*top) {
                broken.push(format!("top: {EDGE}'s {module} names {top}"));
            }
        }
    }
    broken
}

fn broken_rules(packages: &[Package]) -> Vec<String> {
    let mut broken = Vec::new();
    for package in packages {
        if package.dependencies.contains("wdk-sys") && package.name != DOOR {
            broken.push(format!("one-door: {} depends on wdk-sys", package.name));
        }
        let Some(own) = layer(&package.name) else { continue };
        for dependency in &package.dependencies {
            if layer(dependency).is_some_and(|other| other >= own) {
                broken.push(format!("downwards: {} depends on {dependency}", package.name));
            }
        }
    }
    broken
}

/// Counts what is in the crate with this root file.
fn figures(root: &Path) -> Result<Figures> {
    let (modules, mut figures) = modules(root)?;
    let circles = circles(&modules);
    figures.in_circles = circles.iter().map(BTreeSet::len).sum();
    figures.largest_circle = circles.iter().map(BTreeSet::len).max().unwrap_or(0);
    Ok(figures)
}

/// The modules of the crate with this root file, and what is counted of them one by one.
fn modules(root: &Path) -> Result<(Modules, Figures)> {
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

    #[test]
    fn whoever_names_the_top_is_named() {
        let modules: Modules = [("", "load"), ("load", "dispatch"), ("a", "b")]
            .into_iter()
            .map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])))
            .collect();
        assert!(broken_tops(&modules).is_empty());
        let holes: Modules = [("dispatch", "load"), ("a", "dispatch")]
            .into_iter()
            .map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])))
            .collect();
        assert_eq!(
            broken_tops(&holes),
            [
                "top: lklfs-ntk's a names dispatch",
                "top: lklfs-ntk's dispatch names load"
            ]
        );
    }

    #[test]
    fn an_arrow_up_and_a_second_door_are_named() {
        let package = |name: &str, dependencies: &[&str]| Package {
            name: name.to_owned(),
            source: PathBuf::new(),
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
        };
        let sound = [
            package("lklfs-ntk", &["lklfs-kernel", "spin"]),
            package(DOOR, &["wdk-sys"]),
        ];
        assert!(broken_rules(&sound).is_empty());
        let holes = [
            package("lklfs-kernel", &["lklfs-ntk"]),
            package("lkl-host-ntk", &["wdk-sys", "lkl-vfs"]),
        ];
        assert_eq!(
            broken_rules(&holes),
            [
                "downwards: lklfs-kernel depends on lklfs-ntk",
                "one-door: lkl-host-ntk depends on wdk-sys",
                "downwards: lkl-host-ntk depends on lkl-vfs",
            ]
        );
    }
}
