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

mod modules;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xshell::Shell;

use crate::repo;
use modules::{Figures, Modules};

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
        let figures = modules::figures(&package.source)?;
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
    broken.extend(broken_tops(&modules::read(&edge.source)?.0));
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

#[cfg(test)]
mod tests {
    use super::*;

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
