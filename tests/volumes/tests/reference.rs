//! Every kind of image is what its description says: as a Linux that is not ours reads it.
//!
//! The user-mode Linux reads each image when it is made; this machine's own reads those that it knows, as root. So the
//! descriptions, which then judge `userctl` and the driver, are judged themselves.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use volumes::manifest::Fields;
use volumes::reference::{Mounted, obstacle};
use volumes::{Kind, Plan, kind, make};

fn check(kind: &'static Kind) -> Result<String, String> {
    let made = make(kind, &Plan::default()).map_err(|error| error.to_string())?;
    let wanted = made.tree.manifest();
    let mut judges = Vec::new();
    if let Some(reference) = &made.reference {
        let differences = made.differences(reference, 6);
        if !differences.is_empty() {
            return Err(format!("user-mode Linux:\n{}", differences.join("\n")));
        }
        judges.push("user-mode");
    }
    if obstacle(&made).is_none() {
        let mounted = Mounted::new(&made).map_err(|error| error.to_string())?;
        let found = mounted.manifest().map_err(|error| error.to_string())?;
        let differences = made.differences(&found, 6);
        if !differences.is_empty() {
            return Err(format!("this machine's Linux:\n{}", differences.join("\n")));
        }
        if let Some(reference) = &made.reference {
            let differences = reference.differences(&found, Fields::ALL, 6);
            if !differences.is_empty() {
                return Err(format!("the two Linuxes differ:\n{}", differences.join("\n")));
            }
        }
        judges.push("native");
    }
    let judges = if judges.is_empty() {
        "nobody".to_string()
    } else {
        judges.join(" and ")
    };
    Ok(format!(
        "{} entries, {} KiB of data, read by {judges}",
        wanted.0.len(),
        made.tree.data() >> 10
    ))
}

#[test]
fn images_hold_what_is_described() {
    let asked = std::env::var("LKLFS_KINDS").unwrap_or_default();
    let kinds: Vec<&'static Kind> = kind::all()
        .iter()
        .filter(|kind| asked.is_empty() || asked.split(',').any(|name| name == kind.name))
        .collect();
    assert!(!kinds.is_empty(), "LKLFS_KINDS={asked} names none");
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(kind) = kinds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match check(kind) {
                        Ok(said) => println!("{:<18} ok      {said}", kind.name),
                        Err(why) => {
                            println!("{:<18} FAILED  {why}", kind.name);
                            failed.lock().unwrap().push(kind.name);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {} kinds failed: {}",
        failed.len(),
        kinds.len(),
        failed.join(", ")
    );
}
