//! The last link of the kernel: many sections become six, and every symbol but the API becomes local.
//!
//! `ld -r` with the port's script (`arch/lkl/kernel/vmlinux.lds.S`) orders the special sections and defines the symbols
//! around them. Then everything but the functions that the contract's header declares is made local: a `memcpy` of
//! Linux's that stayed visible would replace that of the program around it.

use crate::compiler::Compiler;
use crate::error::io;
use crate::kbuild::clean_environment;
use crate::{Error, cache};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, iter};

/// The functions named `linux_...` that the contract's header declares.
pub fn api(header: &Path) -> Result<Vec<String>, Error> {
    let names = declared(&io(fs::read_to_string(header), "cannot read", header)?);
    if names.is_empty() {
        return Err(Error::NoApi(header.to_owned()));
    }
    Ok(names)
}

/// Finds declarations: outside of comments, of what only C++ sees, and of the bodies of structures, a name `linux_...`
/// that an opening parenthesis follows.
fn declared(header: &str) -> Vec<String> {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        code.push(' ');
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);

    let mut plain = String::new();
    let mut for_cpp = false;
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or_default();
        match line.trim() {
            "#ifdef __cplusplus" => for_cpp = true,
            "#endif" if for_cpp => for_cpp = false,
            directive if directive.starts_with('#') => {}
            _ if for_cpp => {}
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }

    let mut depth = 0usize;
    let mut names = Vec::new();
    let mut word = String::new();
    for c in plain.chars().chain(iter::once(' ')) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '(' if depth == 0 && word.starts_with("linux_") && !names.contains(&word) => {
                names.push(word.clone())
            }
            _ => {}
        }
        word.clear();
    }
    names
}

/// Links `objects` by `script` into `output`, a relocatable object in which only the functions `api` are global.
pub fn link(
    compiler: Compiler,
    objects: &[PathBuf],
    script: &Path,
    api: &[String],
    output: &Path,
) -> Result<(), Error> {
    let (joined, list) = (output.with_extension("joined.o"), output.with_extension("api"));
    let mut ld = Command::new("ld");
    ld.args(["-r", "-m", "elf_x86_64", "-z", "noexecstack", "-T"])
        .arg(script)
        .arg("-o")
        .arg(&joined)
        .args(objects);
    compiler.tell_linker(&mut ld);
    run(ld, "ld", output)?;
    io(fs::write(&list, api.join("\n") + "\n"), "cannot write", &list)?;
    let mut objcopy = Command::new("objcopy");
    objcopy
        .arg("--keep-global-symbols")
        .arg(&list)
        .args(
            compiler
                .mentions()
                .iter()
                .map(|name| format!("--strip-symbol={name}")),
        )
        .arg(&joined)
        .arg(output);
    run(objcopy, "objcopy", output)?;
    for file in [&joined, &list] {
        io(fs::remove_file(file), "cannot remove", file)?;
    }
    Ok(())
}

/// The first line that a tool prints when it is asked for its version.
pub fn tool_version(tool: &str) -> Result<String, Error> {
    let output = Command::new(tool).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::ToolMissing {
        tool: tool.into(),
        package: package(tool),
        source,
    })?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}

fn package(tool: &str) -> &'static str {
    match tool {
        "gcc" => "gcc",
        "clang-19" => "clang-19",
        _ => "binutils",
    }
}

fn run(mut command: Command, tool: &str, output: &Path) -> Result<(), Error> {
    clean_environment(&mut command);
    let result = command.stdin(Stdio::null()).output();
    let result = result.map_err(|source| Error::ToolMissing {
        tool: tool.into(),
        package: package(tool),
        source,
    })?;
    if result.status.success() {
        return Ok(());
    }
    let log = output.with_extension(format!("{tool}.log"));
    cache::write_atomically(&log, &result.stderr)?;
    let text = String::from_utf8_lossy(&result.stderr);
    let tail = text.lines().take(40).collect::<Vec<_>>().join("\n");
    Err(Error::Tool {
        tool: tool.into(),
        status: result.status.to_string(),
        tail,
        log,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_declares_the_api() {
        let text = r#"
            /* linux_commented(void); */
            #define linux_macro(x) x
            #ifdef __cplusplus
            extern "C" {
            #endif
            struct lkl_ops { void (*linux_member)(int); int (linux_inner)(void); };
            long linux_boot(const struct lkl_ops *ops,
                            void (*fire)(void *)); // linux_remark(
            void linux_halt (void);
            int linux_is_dead(void); int linux_is_dead(void);
            int other(void);
            #ifdef __cplusplus
            }
            #endif
        "#;
        assert_eq!(declared(text), ["linux_boot", "linux_is_dead"]);
        assert_eq!(
            declared(&text.replace("linux_halt (", "linux_halt(")),
            ["linux_boot", "linux_halt", "linux_is_dead"]
        );
    }

    #[test]
    fn the_contract_as_it_stands_is_understood() {
        let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../arch/lkl/include/asm/host_ops.h");
        let api = api(&header).unwrap();
        for name in [
            "linux_boot",
            "linux_halt",
            "linux_syscall",
            "linux_disk_add",
            "linux_disk_read_done",
            "linux_is_dead",
        ] {
            assert!(api.iter().any(|n| n == name), "{name} is not in {api:?}");
        }
        assert!(
            !api.iter().any(|n| n == "lkl_host_ops" || n == "lkl_task"),
            "{api:?}"
        );
    }
}
