//! Each function that the headers declare is called by a test, with its result checked.
//!
//! The programs of `linux/c/tests/calls` call all system calls, those of `linux/c/tests/network` the helpers of the network, and `everything.c`
//! what `lkl.h` has besides. Three lists are compared with
//! what the headers declare, so that a new function without a call, or without its line in the table, is an error here:
//!
//! - what the compiled programs refer to, by name;
//! - the numbers that Linux was called with when they ran, and those of which no call succeeded;
//! - the table of `linux/c/CALLS.md`.
//!
//! What the programs expect is judged by this machine's own Linux, which they are compiled for a second time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::network;
use super::trial::{Linkage, Workshop, path_with_sbin};
use crate::repo;

/// Where the programs are.
const FOLDER: &str = "linux/c/tests/calls";
/// The table, for readers.
const TABLE: &str = "linux/c/CALLS.md";

/// Calls that cannot succeed in this Linux. `CALLS.md` and the programs say why.
const NEVER: &[&str] = &["memfd_create", "pause", "setpgid", "wait4", "waitid"];
/// One more than the last number that Linux has given on x86-64.
const NUMBERS: u32 = 470;

/// A system call: `__lkl__NR_NAME`.
struct Number<'a> {
    name: &'a str,
    value: u32,
}

/// Calls everything, with both libraries.
pub fn tried(sh: &Shell, shop: &Workshop) -> Result<()> {
    let include = shop.path("prefix/include");
    let calls = fs::read_to_string(include.join("lkl/syscalls.h"))?;
    let own = fs::read_to_string(include.join("lkl.h"))?;
    let header = fs::read_to_string(include.join("lkl/asm/unistd.h"))?;
    let numbers = numbers(&header);
    ensure!(numbers.len() > 200, "{} numbers in the header", numbers.len());
    let wanted = declared(&calls).chain(declared(&own)).collect();
    all_there(&wanted, &referred(sh, shop)?, "a test that calls")?;
    let table = fs::read_to_string(repo::root().join(TABLE))?;
    let named: BTreeSet<String> = declared(&calls)
        .filter(|name| name.starts_with("lkl_sys_"))
        .map(str::to_owned)
        .collect();
    ensure!(
        table_names(&table) == named,
        "{TABLE} has other calls than the headers: {:?}",
        table_names(&table)
            .symmetric_difference(&named)
            .collect::<Vec<_>>()
    );

    let image = shop.path("calls.image");
    let fresh = || {
        sh.cmd("mkfs.ext4")
            .args(["-q", "-F", "-b", "4096"])
            .arg(&image)
            .arg("64M")
            .env("PATH", path_with_sbin())
            .quiet()
            .run()
    };
    fresh()?;
    judged_by_this_machine(sh, shop, &image)?;
    for linkage in [Linkage::Shared, Linkage::Static] {
        fs::remove_file(&image)?;
        fresh()?;
        let said = run(sh, shop, linkage, &image, &numbers)?;
        ensure!(said.ends_with(" checks, 0 failed\n"), "calls: {said}");
        let (called, failed) = (outcomes(&said, None), outcomes(&said, Some("failed")));
        for number in &numbers {
            let name = number.name;
            ensure!(called.contains(&number.value), "{name} was not called");
            ensure!(
                failed.contains(&number.value) == NEVER.contains(&name),
                "{name} {}, other than {TABLE} has it",
                if failed.contains(&number.value) {
                    "never succeeds"
                } else {
                    "succeeds"
                }
            );
        }
        sh.cmd("e2fsck")
            .args(["-f", "-n"])
            .arg(&image)
            .env("PATH", path_with_sbin())
            .quiet()
            .ignore_stderr()
            .read()
            .context("e2fsck finds fault")?;
    }
    Ok(())
}

/// The functions that a header declares or defines: at the beginning of a line, the word before the first parenthesis.
fn declared(header: &str) -> impl Iterator<Item = &str> {
    header
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase() || first == '_'))
        .filter(|line| !line.starts_with("typedef") && !line.contains("_takes_no_operations"))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("lkl_"))
}

fn numbers(header: &str) -> Vec<Number<'_>> {
    header
        .lines()
        .filter_map(|line| line.strip_prefix("#define __lkl__NR_"))
        .filter_map(|line| line.split_once(char::is_whitespace))
        .filter_map(|(name, value)| {
            Some(Number {
                name,
                value: value.trim().parse().ok()?,
            })
        })
        .collect()
}

/// The calls that the first table names, each in backquotes in the second cell of a row.
fn table_names(table: &str) -> BTreeSet<String> {
    table
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| "))
        .filter_map(|line| line.split('|').nth(2))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|name| format!("lkl_sys_{name}"))
        .collect()
}

/// The numbers of the lines "called NUMBER OUTCOME", or only those with this outcome.
fn outcomes(said: &str, wanted: Option<&str>) -> BTreeSet<u32> {
    said.lines()
        .filter_map(|line| line.strip_prefix("called ")?.split_once(' '))
        .filter(|(_, outcome)| wanted.is_none_or(|wanted| wanted == *outcome))
        .filter_map(|(number, _)| number.parse().ok())
        .collect()
}

fn all_there(wanted: &BTreeSet<&str>, found: &BTreeSet<String>, what: &str) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|name| !found.contains(**name)).collect();
    ensure!(missing.is_empty(), "there is not {what} {missing:?}");
    Ok(())
}

/// The programs' sources; those for this machine's own Linux with `native.c`.
fn sources(native: bool) -> Result<Vec<PathBuf>> {
    let folder = repo::root().join(FOLDER);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "c") && (native || !path.ends_with("native.c")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The names that the compiled programs refer to. Without optimisation that is what they call, inline functions among it.
fn referred(sh: &Shell, shop: &Workshop) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let examples = repo::root().join("linux/examples/c/everything.c");
    for source in sources(false)?
        .iter()
        .chain([&examples])
        .chain(&network::sources()?)
    {
        let object = shop.path("referred.o");
        sh.cmd("cc")
            .args(["-O0", "-c", "-I"])
            .arg(shop.path("prefix/include"))
            .arg("-o")
            .arg(&object)
            .arg(source)
            .quiet()
            .run()
            .with_context(|| format!("{} does not compile", source.display()))?;
        let symbols = sh.cmd("nm").arg(&object).quiet().read()?;
        found.extend(
            symbols
                .lines()
                .filter_map(|line| Some(line.split(' ').next_back()?.to_owned())),
        );
    }
    Ok(found)
}

/// Whether this machine's own Linux does what the programs expect. They run as its process 1, in name spaces of their own.
fn judged_by_this_machine(sh: &Shell, shop: &Workshop, image: &Path) -> Result<()> {
    const SCRIPT: &str = "mount -o loop \"$1\" \"$2\" && mount -t proc proc /proc && exec \"$3\" \"$2\"";
    let (program, place) = (shop.path("native"), shop.path("place"));
    sh.cmd("cc")
        .args(["-Wall", "-Wextra", "-Werror", "-O1", "-DNATIVE", "-I"])
        .arg(shop.path("prefix/include"))
        .arg("-o")
        .arg(&program)
        .args(sources(true)?)
        .args(["-Wl,--wrap=lkl_syscall", "-lpthread"])
        .quiet()
        .run()
        .context("the calls do not compile for this machine's own Linux")?;
    fs::create_dir_all(&place)?;
    let said = sh
        .cmd("unshare")
        .args([
            "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "sh", "-c", SCRIPT, "sh",
        ])
        .args([image, &place, &program])
        .env("PATH", path_with_sbin())
        .quiet()
        .ignore_status()
        .output()?;
    let text = String::from_utf8_lossy(&said.stdout);
    ensure!(
        text.ends_with(" checks, 0 failed\n"),
        "this machine's own Linux, as root, does other than expected:\n{text}{}",
        String::from_utf8_lossy(&said.stderr)
    );
    Ok(())
}

/// Calls all that there is, and all that there is not.
fn run(
    sh: &Shell,
    shop: &Workshop,
    linkage: Linkage,
    image: &Path,
    numbers: &[Number<'_>],
) -> Result<String> {
    let program = shop
        .compile_from(
            sh,
            "calls",
            &sources(false)?,
            linkage,
            &["-Wl,--wrap=lkl_syscall", "-lpthread"],
        )?
        .map_err(|errors| anyhow::anyhow!("the calls do not compile:\n{errors}"))?;
    let there: BTreeSet<u32> = numbers.iter().map(|number| number.value).collect();
    let absent = (0..NUMBERS).filter(|number| !there.contains(number));
    shop.run(sh, &program, linkage, |cmd| {
        cmd.arg(image).args(absent.map(|number| number.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_in_headers() {
        let header = "int lkl_a(int b);\nstatic inline __lkl__long lkl_sys_b(void)\n{\n\treturn lkl_syscall(1, 0);\n}\n\
                      const char *lkl_c(int err);\n/* int lkl_d(void); */\n#define lkl_e(x) x\nstruct lkl_f *lkl_g(\nint other(void);\n";
        assert_eq!(
            declared(header).collect::<Vec<_>>(),
            ["lkl_a", "lkl_sys_b", "lkl_c", "lkl_g"]
        );
    }

    #[test]
    fn a_function_that_no_test_calls_is_told() {
        let found = BTreeSet::from(["lkl_a".to_owned()]);
        assert!(all_there(&BTreeSet::from(["lkl_a"]), &found, "a test that calls").is_ok());
        let error = all_there(&BTreeSet::from(["lkl_a", "lkl_b"]), &found, "a test that calls").unwrap_err();
        assert_eq!(error.to_string(), "there is not a test that calls [\"lkl_b\"]");
    }

    #[test]
    fn numbers_and_outcomes_are_read() {
        let numbers =
            numbers("#define __lkl__NR_read\t\t0\n#define __lkl__NR_syscalls 400\n#define OTHER 3\n");
        assert_eq!(
            numbers
                .iter()
                .map(|number| (number.name, number.value))
                .collect::<Vec<_>>(),
            [("read", 0), ("syscalls", 400)]
        );
        let said = "called 0 succeeded\ncalled 34 failed\n3 checks, 0 failed\n";
        assert_eq!(outcomes(said, None), BTreeSet::from([0, 34]));
        assert_eq!(outcomes(said, Some("failed")), BTreeSet::from([34]));
        assert_eq!(
            table_names("| files | `read`, `write` | `other` |\n`no`\n## More\n| a | `b` |\n"),
            BTreeSet::from(["lkl_sys_read".to_owned(), "lkl_sys_write".to_owned()])
        );
    }
}
