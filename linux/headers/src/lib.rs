//! The C headers of the Linux kernel library, generated from Linux's own.
//!
//! Programs include them beside their host's: each public name of Linux's has a prefix ([`names`]). What comes out, below
//! one folder that a compiler is told to search:
//!
//! | file | made from |
//! |---|---|
//! | `lkl/linux/...`, `lkl/asm/...`, `lkl/asm-generic/...`, and so on | Linux's public headers, as its own `make headers` gives them |
//! | `lkl/libc.h` | what a C library adds to those ([`pieces`]) |
//! | `lkl/syscalls.h` | `lkl_sys_NAME()` for each system call that the port has ([`syscalls`]) |
//! | `lkl/abi.h` | the width of Linux's `long` |
//!
//! The order of work: [`uapi`] has Linux's build make the public headers; each is taken apart into [`token`]s; [`names`]
//! collects what all of them define; then each is written with the names changed.

#![forbid(unsafe_code)]

pub mod extract;
pub mod names;
pub mod pieces;
pub mod syscalls;
pub mod token;
pub mod uapi;

use anyhow::{Context, Result, anyhow};
use lkl_build::Request;
use lkl_build::cache::{self, Key};
use names::Names;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use token::{Token, tokens};

/// Headers of the host's that mean one of ours, or nothing, on a host that does not have them.
const HOSTS: &[(&str, &str)] = &[
    ("sys/socket.h", "lkl/libc.h"),
    ("sys/types.h", "lkl/libc.h"),
    ("sys/ioctl.h", "lkl/linux/ioctl.h"),
    ("sys/ioccom.h", "lkl/linux/ioctl.h"),
    ("sys/time.h", "lkl/linux/time.h"),
    ("netinet/in.h", "lkl/linux/in6.h"),
    ("netinet/if_ether.h", "lkl/linux/if_ether.h"),
    ("endian.h", "lkl/asm/byteorder.h"),
    ("time.h", "lkl/linux/time.h"),
];

/// Makes the headers for `request`'s Linux, or finds them in the cache: the folder that a compiler is told to search.
pub fn headers(request: &Request) -> Result<PathBuf> {
    let source_id = lkl_build::source::identity(&request.source, &request.cache)?;
    let mut key = Key::new();
    key.part("generator", env!("LKL_HEADERS_SELF").as_bytes());
    key.part("source", source_id.as_bytes());
    key.tree("overlay", &request.overlay().join("include"), |_| true)?;
    let dir = request.cache.join("headers").join(key.finish());
    let mut failed = None;
    let made = cache::once(&dir, |partial| {
        generate(request, &source_id, partial).map_err(|error| {
            failed = Some(error);
            lkl_build::Error::NoApi(partial.to_owned())
        })
    });
    match (made, failed) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(error.into()),
        (Ok(()), None) => Ok(dir),
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Generates the headers into the folder `out`.
pub fn generate(request: &Request, source_id: &str, out: &Path) -> Result<()> {
    let tree = lkl_build::source::unpack(&request.source, source_id, &request.cache)?;
    let scratch = tempfile::tempdir().context("cannot make a folder")?;
    let public = uapi::make(&tree.path, request, scratch.path())?;
    // Beside each stands a note of make's.
    let mut files = cache::files_under(&public)?;
    files.retain(|file| file.extension().is_some_and(|end| end == "h"));
    let texts = files
        .iter()
        .map(|file| read(&public.join(file)))
        .collect::<Result<Vec<_>>>()?;
    let library = library_header(&tree.path)?;
    let numbers = read(&public.join("asm/unistd.h"))?;
    let declarations = read(&tree.path.join("include/linux/syscalls.h"))?;
    let calls = syscalls::header(&tokens(&numbers), &tokens(&public_types(&declarations)))?;

    let sources: Vec<Vec<Token<'_>>> = texts.iter().map(|text| tokens(text)).collect();
    let library = tokens(&library);
    let mut names = Names::default();
    for source in sources.iter().chain([&library]) {
        names.collect(source);
    }
    let known: BTreeSet<&str> = files.iter().filter_map(|file| file.to_str()).collect();
    let changed = |tokens: &[Token<'_>]| names.change(tokens, |file| included(file, &known));
    for (file, source) in files.iter().zip(&sources) {
        let text = format!("#include <lkl/abi.h>\n{}", changed(source));
        write(&out.join("lkl").join(file), &text)?;
    }
    write(&out.join("lkl/abi.h"), pieces::ABI)?;
    write(
        &out.join("lkl/libc.h"),
        &guarded(
            "LIBC",
            "What a C library adds to Linux's public headers.",
            &changed(&library),
        ),
    )?;
    let text = format!("{}{calls}", pieces::CALLS_PRELUDE);
    write(
        &out.join("lkl/syscalls.h"),
        &guarded(
            "SYSCALLS",
            "Linux's system calls. Each returns what Linux does: at least 0, or a negative error.",
            &changed(&tokens(&text)),
        ),
    )
}

/// The text of `<lkl/libc.h>` in Linux's names.
fn library_header(tree: &Path) -> Result<String> {
    let mut text = String::new();
    for (file, pieces) in pieces::PIECES {
        let source = read(&tree.join(file))?;
        let found = extract::extract(&tokens(&source), pieces)
            .map_err(|piece| anyhow!("{file} has no {piece:?} any more"))?;
        text.push_str(&found);
    }
    Ok(pieces::PRELUDE.to_owned() + &public_types(&text))
}

/// The source with public names for the kernel's own types.
fn public_types(source: &str) -> String {
    tokens(source)
        .iter()
        .map(|token| {
            let public = pieces::PUBLIC.iter().find(|(own, _)| *own == token.text);
            public.map_or(token.text, |(_, public)| public)
        })
        .collect()
}

fn guarded(name: &str, story: &str, text: &str) -> String {
    format!(
        "/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */\n/* {story} */\n#ifndef __LKL_{name}_H\n#define __LKL_{name}_H\n\n#include <lkl/abi.h>\n\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n{text}\n#ifdef __cplusplus\n}}\n#endif\n\n#endif\n"
    )
}

/// What to include instead of a file, `<...>` or `"..."`.
fn included(file: &str, known: &BTreeSet<&str>) -> String {
    let Some(name) = file.strip_prefix('<').and_then(|file| file.strip_suffix('>')) else {
        return file.to_owned();
    };
    if known.contains(name) {
        return format!("<lkl/{name}>");
    }
    let ours = HOSTS.iter().find(|(host, _)| *host == name);
    ours.map_or(file.to_owned(), |(_, ours)| format!("<{ours}>"))
}
