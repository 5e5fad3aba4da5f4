//! What the judge says of a tree, and what this machine's own mount says of the same image.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::stage::{Server, lossy, run, try_run};
use crate::url;

/// The judge, compiled once.
pub fn judge() -> &'static str {
    static JUDGE: OnceLock<String> = OnceLock::new();
    JUDGE.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/nfs/judge.c");
        let program = format!("{}/nfs-judge-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        let flags = [
            "-D_GNU_SOURCE",
            "-O1",
            "-Wall",
            "-Werror",
            "-o",
            &program,
            source,
            "-lnfs",
        ];
        run("cc", &flags);
        program
    })
}

/// Facts of each path below a folder.
pub type Facts = BTreeMap<PathBuf, String>;

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// What a client finds below a folder of a server's.
pub fn found(server: &Server, path: &str) -> Facts {
    let output = try_run("timeout", &["120", judge(), &url(server, path)]);
    let (text, said) = (lossy(&output.stdout), lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{}", server.log());
    let lines = text.lines().map(|line| {
        let (facts, name) = line.rsplit_once(' ').unwrap();
        let digits = name.as_bytes().chunks(2);
        let name: Vec<u8> = digits
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let name = name.strip_prefix(b"/").unwrap_or(&name).to_vec();
        (OsString::from_vec(name).into(), facts.to_owned())
    });
    lines.collect()
}

/// What is below a folder of this machine's, in the same words.
pub fn expected(root: &Path) -> Facts {
    let mut facts = Facts::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let (kind, sum) = if stat.is_file() {
                ('f', hash(&fs::read(&path).unwrap()))
            } else if stat.is_dir() {
                folders.push(path.clone());
                ('d', 0)
            } else if stat.is_symlink() {
                ('l', hash(fs::read_link(&path).unwrap().as_os_str().as_bytes()))
            } else {
                ('o', 0)
            };
            let (mode, links) = (stat.mode() & 0o7777, stat.nlink());
            let (uid, gid, size, time) = (stat.uid(), stat.gid(), stat.size(), stat.mtime());
            let name = path.strip_prefix(root).unwrap().to_owned();
            let line = format!("{kind} {mode:o} {links} {uid} {gid} {size} {time} {sum:x}");
            facts.insert(name, line);
        }
    }
    facts
}
