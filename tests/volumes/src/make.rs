//! Makes an image of a kind, or finds the one that was made before.
//!
//! Images are kept in `$LKLFS_CACHE/images` (`~/.cache/lklfs/images`), each under keys that cover this crate's own
//! recipes and the plan, and are never changed afterwards: copy one before changing it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::kind::{Kind, Maker};
use crate::manifest::Manifest;
use crate::tree::{Plan, Tree};
use crate::uml::Job;

/// An image made here. Only such images are ever mounted by another Linux than ours.
#[derive(Clone, Debug)]
pub struct Made {
    /// What it is.
    pub kind: &'static Kind,
    /// Where it is; not to be changed.
    pub image: PathBuf,
    /// What was put on it.
    pub tree: Tree,
    /// What a Linux that is not ours read from it, mounted with its own rights. `None` where that Linux has no driver.
    pub reference: Option<Manifest>,
}

/// Everything that decides what an image holds.
const RECIPES: [&str; 6] = [
    include_str!("content.rs"),
    include_str!("kind_table.rs"),
    include_str!("make.rs"),
    include_str!("tree.rs"),
    include_str!("uml.rs"),
    include_str!("write.rs"),
];

/// An image of `kind` with the tree of `plan`.
pub fn make(kind: &'static Kind, plan: &Plan) -> io::Result<Made> {
    prepared(kind, plan, false)
}

/// An image whose file system was in use when its power failed: everything had been synchronised, but the journal was
/// not replayed yet.
pub fn make_dirty(kind: &'static Kind, plan: &Plan) -> io::Result<Made> {
    prepared(kind, plan, true)
}

/// Where images are kept.
pub fn cache() -> PathBuf {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = from("LKLFS_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|cache| cache.join("lklfs")))
        .or_else(|| from("HOME").map(|home| home.join(".cache/lklfs")))
        .unwrap_or_else(|| std::env::temp_dir().join("lklfs"));
    base.join("images")
}

fn prepared(kind: &'static Kind, plan: &Plan, dirty: bool) -> io::Result<Made> {
    let tree = Tree::new(plan, &kind.abilities);
    let mut digest = Sha256::new();
    digest.update(format!("{plan:?} {dirty} {} {}", kind.name, kind.size));
    let key: String = digest
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let recipes: String = Sha256::digest(RECIPES.concat())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let cache = cache().join(recipes);
    let state = if dirty { "-dirty" } else { "" };
    let place = cache.join(format!("{}{state}-{key}", kind.name));
    if !place.join("image").exists() {
        if !cache.exists() {
            forget_old_recipes(&cache)?;
        }
        let scratch = tempfile::Builder::new().prefix(".making-").tempdir_in(&cache)?;
        let reference = produce(kind, plan, &tree, dirty, &scratch.path().join("image"))?;
        if let Some(reference) = reference {
            fs::write(scratch.path().join("reference"), reference.to_string())?;
        }
        let scratch = scratch.keep();
        // Somebody else may have made it meanwhile; theirs is as good.
        if fs::rename(&scratch, &place).is_err() {
            fs::remove_dir_all(&scratch)?;
        }
    }
    let reference = match fs::read_to_string(place.join("reference")) {
        Ok(text) => Some(Manifest::parse(&text).map_err(io::Error::other)?),
        Err(_) => None,
    };
    Ok(Made {
        kind,
        image: place.join("image"),
        tree,
        reference,
    })
}

/// Makes the directory `current` and removes those beside it that nobody has made anything in for two weeks.
fn forget_old_recipes(current: &Path) -> io::Result<()> {
    const AGE: std::time::Duration = std::time::Duration::from_secs(14 * 86_400);
    fs::create_dir_all(current)?;
    for entry in current
        .parent()
        .map(fs::read_dir)
        .transpose()?
        .into_iter()
        .flatten()
        .flatten()
    {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > AGE)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn produce(kind: &Kind, plan: &Plan, tree: &Tree, dirty: bool, image: &Path) -> io::Result<Option<Manifest>> {
    match kind.maker {
        Maker::Filled { mkfs, .. } => {
            File::create_new(image)?.set_len(kind.size)?;
            // mke2fs and others take the time for identifiers and headers from here.
            run(
                mkfs,
                image,
                Path::new(""),
                Some(("SOURCE_DATE_EPOCH", "1000000000")),
            )?;
            Job::fill(kind, plan, dirty).run(image)
        }
        Maker::Packed { command } => {
            let source = tempfile::tempdir()?;
            tree.write(source.path())?;
            // Not here: mksquashfs would take it for the latest time that a file may have.
            run(command, image, source.path(), None)?;
            Job::read(kind).run(image)
        }
    }
}

/// Runs a command of the table.
/// What mkfs.btrfs says while any block device has the UUID that it is to give: as the loop device of another image has, for as
/// long as that is being compared with what this machine's own Linux reads.
const UUID_IN_USE: &str = "non-unique UUID";
/// How often it is asked again, and after what.
const RETRIES: (u32, Duration) = (120, Duration::from_millis(500));

fn run(command: &[&str], image: &Path, tree: &Path, setting: Option<(&str, &str)>) -> io::Result<()> {
    let (retries, pause) = RETRIES;
    for _ in 0..retries {
        match run_once(command, image, tree, setting) {
            Err(error) if error.to_string().contains(UUID_IN_USE) => std::thread::sleep(pause),
            result => return result,
        }
    }
    run_once(command, image, tree, setting)
}

fn run_once(command: &[&str], image: &Path, tree: &Path, setting: Option<(&str, &str)>) -> io::Result<()> {
    let words: Vec<String> = command
        .iter()
        .map(|word| {
            word.replace("{image}", &image.to_string_lossy())
                .replace("{tree}", &tree.to_string_lossy())
        })
        .collect();
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .envs(setting)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}; install its package")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
    Err(io::Error::other(format!(
        "{}: {}: {said}",
        words.join(" "),
        output.status
    )))
}
