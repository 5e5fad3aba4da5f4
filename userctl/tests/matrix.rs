//! The matrix: an image of every file system, by the distribution's makers or our own, read by the real `userctl`.
//!
//! Each manifest must equal, in every field, what another Linux reads from the same image (user-mode Linux of the
//! distribution, and this machine's own where it can, as root), and what the tree was described to be in the fields that
//! the file system keeps. `LKLFS_KINDS=ext4,xfs` asks for some only.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use volumes::manifest::Fields;
use volumes::reference::{Mounted, obstacle};
use volumes::{Kind, Made, Manifest, Plan, kind, make};

fn manifest_of(made: &Made, arguments: &[&str]) -> Result<Manifest, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_userctl"));
    let output = command
        .arg("manifest")
        .arg(&made.image)
        .args(arguments)
        .timeout(Duration::from_secs(120))
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.is_empty() {
        return Err(format!("userctl manifest: {}: {}", output.status, said.trim()));
    }
    Manifest::parse(&String::from_utf8_lossy(&output.stdout))
}

fn check(kind: &'static Kind) -> Result<String, String> {
    let made = make(kind, &Plan::default()).map_err(|error| format!("making it: {error}"))?;
    let started = Instant::now();
    // What no superblock tells must be named.
    let named = if kind.named {
        vec!["--fs", kind.linux]
    } else {
        Vec::new()
    };
    let found = manifest_of(&made, &named)?;
    let time = started.elapsed();
    let none = |what: &str, differences: Vec<String>| {
        if differences.is_empty() {
            Ok(())
        } else {
            Err(format!("against {what}:\n{}", differences.join("\n")))
        }
    };
    none("the description", made.differences(&found, 8))?;
    let mut judges = vec!["description"];
    if let Some(reference) = &made.reference {
        none("user-mode Linux", reference.differences(&found, Fields::ALL, 8))?;
        judges.push("user-mode Linux");
    }
    if obstacle(&made).is_none() {
        let native = Mounted::new(&made)
            .and_then(|mounted| mounted.manifest())
            .map_err(|error| error.to_string())?;
        none("this machine's Linux", native.differences(&found, Fields::ALL, 8))?;
        judges.push("native Linux");
    }
    Ok(format!(
        "{:>4} entries in {:>5} ms, equal to: {}",
        found.0.len(),
        time.as_millis(),
        judges.join(", ")
    ))
}

#[test]
fn every_file_system_reads_as_elsewhere() {
    let asked = std::env::var("LKLFS_KINDS").unwrap_or_default();
    let wanted = |kind: &&Kind| asked.is_empty() || asked.split(',').any(|name| name == kind.name);
    let kinds: Vec<&'static Kind> = kind::all().iter().filter(wanted).collect();
    assert!(!kinds.is_empty(), "LKLFS_KINDS={asked} names none");
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(kind) = kinds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = check(kind);
                    results.lock().unwrap().push((kind.name, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(name, _)| kinds.iter().position(|kind| kind.name == *name));
    for (name, result) in &results {
        match result {
            Ok(said) => println!("{name:<18} ok      {said}"),
            Err(why) => println!("{name:<18} FAILED  {why}"),
        }
    }
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, result)| result.is_err())
        .map(|(name, _)| *name)
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {}",
        failed.len(),
        results.len(),
        failed.join(", ")
    );
}
