//! Runs Linux's own build: kconfig, then the objects, as far as `vmlinux.o`.
//!
//! The environment is emptied but for what tools need: what cargo or a user sets (`TARGET`, `CFLAGS`, `MAKEFLAGS`, `V`,
//! ...) means something to kbuild too and would change the result behind the cache's back. Time, user and host are
//! fixed, so that the same input gives the same object.

use crate::Error;
use crate::cache;
use crate::compiler::Compiler;
use crate::error::io;
use crate::fragment::Fragment;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Variables given to make. A change of these changes the cache's key.
pub const VARIABLES: &[(&str, &str)] = &[
    ("ARCH", "lkl"),
    ("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970"),
    ("KBUILD_BUILD_USER", "lklfs"),
    ("KBUILD_BUILD_HOST", "lklfs"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
];

/// What make is asked for, and the file that comes of it: all objects joined in one, the one with the version's date
/// (which the tree's own link step compiles last), and the script of our last link.
pub const TARGETS: [(&str, &str); 3] = [
    ("vmlinux_o", "vmlinux.o"),
    ("init/version-timestamp.o", "init/version-timestamp.o"),
    ("arch/lkl/kernel/vmlinux.lds", "arch/lkl/kernel/vmlinux.lds"),
];

/// The objects to link and the script to do it with, in a folder of kbuild's.
pub fn outputs(objects: &Path) -> (Vec<PathBuf>, PathBuf) {
    let [joined, date, script] = TARGETS.map(|(_, file)| objects.join(file));
    (vec![joined, date], script)
}

/// A folder in which a kernel is built.
pub struct Kbuild {
    /// The tree with the port laid over it.
    pub tree: PathBuf,
    /// kbuild's output.
    pub objects: PathBuf,
    /// The log of the last run.
    pub log: PathBuf,
    /// How many compilers run at once.
    pub jobs: usize,
    /// Which one.
    pub compiler: Compiler,
}

impl Kbuild {
    /// Makes `.config` from `fragment` alone, everything else being off, and checks it.
    pub fn configure(&self, fragment: &Fragment) -> Result<(), Error> {
        let asked = self.objects.join("lkl.fragment");
        io(fs::write(&asked, fragment.for_kconfig()), "cannot write", &asked)?;
        self.make(&["allnoconfig"], &[("KCONFIG_ALLCONFIG", &asked)])?;
        let config = self.objects.join(".config");
        fragment.check(
            &io(fs::read_to_string(&config), "cannot read", &config)?,
            &self.tree,
        )
    }

    /// Compiles. Returns the objects to link and the script to do it with.
    pub fn compile(&self) -> Result<(Vec<PathBuf>, PathBuf), Error> {
        // One after the other: the second and the third are "single targets", which kbuild does not mix with others.
        for (target, _) in TARGETS {
            self.make(&[target], &[])?;
        }
        Ok(outputs(&self.objects))
    }

    /// Compiles what the port adds to the tree, and nothing else of it.
    pub fn compile_port(&self) -> Result<(), Error> {
        self.make(&["arch/lkl/"], &[])
    }

    /// Empties the object tree when the port's headers are others by name than those it was built with.
    ///
    /// For each header of asm-generic that the port does not have, kbuild makes a wrapper under
    /// `arch/lkl/include/generated`. When the port gets a header of that name or loses it, the wrapper goes or comes,
    /// and the objects that included the other one stay: the file that they depend on is gone, which for kbuild is no
    /// reason to compile them again.
    pub fn forget_other_headers(&self, overlay: &Path) -> Result<(), Error> {
        let mut names = String::new();
        for file in cache::files_under(overlay)? {
            if file.components().any(|part| part.as_os_str() == "include") {
                names.push_str(&file.to_string_lossy());
                names.push('\n');
            }
        }
        let stamp = self.objects.with_extension("headers");
        if fs::read_to_string(&stamp).is_ok_and(|built_with| built_with == names) {
            return Ok(());
        }
        cache::remove_folder(&self.objects)?;
        cache::make_folder(stamp.parent().unwrap_or(&stamp))?;
        cache::write_atomically(&stamp, names.as_bytes())
    }

    fn make(&self, targets: &[&str], variables: &[(&str, &Path)]) -> Result<(), Error> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = io(log, "cannot write", &self.log)?;
        let stdout = io(log.try_clone(), "cannot write", &self.log)?;
        let mut command = Command::new("make");
        command
            .arg("-C")
            .arg(&self.tree)
            .arg(format!("O={}", self.objects.display()));
        command
            .arg(format!("-j{}", self.jobs))
            .arg("--no-print-directory")
            .args(targets);
        self.compiler.tell(&mut command, &self.tree);
        clean_environment(&mut command);
        command
            .envs(VARIABLES.iter().copied())
            .envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(stdout).stderr(log);
        let status = command.status().map_err(|source| Error::ToolMissing {
            tool: "make".into(),
            package: "make gcc flex bison bc libelf-dev",
            source,
        })?;
        if status.success() {
            return Ok(());
        }
        let text = fs::read(&self.log).unwrap_or_default();
        Err(Error::Tool {
            tool: format!("make {}", targets.join(" ")),
            status: status.to_string(),
            tail: telling_lines(&String::from_utf8_lossy(&text)),
            log: self.log.clone(),
        })
    }
}

/// Leaves a command only the variables that finding and running tools takes.
pub fn clean_environment(command: &mut Command) {
    command.env_clear();
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

/// The lines of a log that tell why it failed: those with an error, with what stands around them; else the last ones.
fn telling_lines(log: &str) -> String {
    const SHOWN: usize = 40;
    let lines: Vec<&str> = log.lines().collect();
    let mut shown = BTreeSet::new();
    for (index, line) in lines.iter().enumerate() {
        // make reports the end of a command: what it said stands before. A compiler shows the place after its error.
        if line.contains("*** ") {
            shown.extend(index.saturating_sub(2)..=index);
        } else if ["error:", "Error:", "undefined reference", "No rule to make"]
            .iter()
            .any(|m| line.contains(m))
        {
            shown.extend(index..lines.len().min(index + 3));
        }
    }
    if shown.is_empty() {
        shown.extend(lines.len().saturating_sub(SHOWN)..lines.len());
    }
    let text: Vec<&str> = shown
        .into_iter()
        .take(SHOWN)
        .filter_map(|index| lines.get(index).copied())
        .collect();
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_headers_by_name_empty_the_object_tree() {
        let dir = tempfile::tempdir().unwrap();
        let overlay = dir.path().join("overlay");
        let kbuild = Kbuild {
            tree: dir.path().join("tree"),
            objects: dir.path().join("obj"),
            log: dir.path().join("build.log"),
            jobs: 1,
            compiler: Compiler::Gcc,
        };
        let object = kbuild.objects.join("kernel/fork.o");
        let write = |path: &Path| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        // Whether the object outlives a build that begins now.
        let kept = || {
            write(&object);
            kbuild.forget_other_headers(&overlay).unwrap();
            object.exists()
        };
        let (header, other) = (
            overlay.join("include/asm/irq.h"),
            overlay.join("include/uapi/asm/bitsperlong.h"),
        );
        write(&header);
        assert!(!kept(), "nothing says what it was built with");
        assert!(kept());
        fs::write(&header, "/* another text: that is make's business */").unwrap();
        write(&overlay.join("kernel/new.c"));
        assert!(kept());
        write(&other);
        assert!(!kept(), "one more");
        assert!(kept());
        fs::rename(&other, overlay.join("include/uapi/asm/signal.h")).unwrap();
        assert!(!kept(), "another name");
        fs::remove_file(&header).unwrap();
        assert!(!kept(), "one less");
        assert!(kept());
    }

    #[test]
    fn a_log_is_reduced_to_its_errors() {
        let noise = "  CC      a.o\n".repeat(500);
        let log = format!(
            "{noise}a.c:3:1: error: no such thing\n    3 | x\n      | ^\n{noise}make: *** [x] Error 2\n"
        );
        let told = telling_lines(&log);
        assert!(
            told.starts_with("a.c:3:1: error: no such thing\n    3 | x"),
            "{told}"
        );
        assert!(
            told.ends_with("make: *** [x] Error 2") && told.lines().count() < 10,
            "{told}"
        );
        assert_eq!(telling_lines("one\ntwo"), "one\ntwo");
    }
}
