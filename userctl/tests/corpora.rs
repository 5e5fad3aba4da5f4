//! Images of other projects' test suites. Damaged ones: nothing may crash or hang; what panics is contained and listed. Those
//! of `blkid`: each is named as `blkid` names it.
//!
//! Of the damaged ones as many images as three minutes allow, in a fixed mixed order. `LKLFS_CORPORA_SECONDS` asks for more or less time,
//! 0 for none.

use fs_probe::{ReadAt, ReadError, probe, signature};
use volumes::corpora::{self, Options};

struct Image(std::fs::File);

impl ReadAt for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset).map_err(|_| ReadError)
    }
}

/// What this machine's blkid says of an image; nothing when it is in doubt.
fn blkid(image: &std::path::Path) -> Option<String> {
    let output = std::process::Command::new("/sbin/blkid")
        .args(["-p", "-s", "TYPE", "-o", "value"])
        .arg(image)
        .output()
        .expect("blkid (package util-linux)");
    let name = String::from_utf8(output.stdout).unwrap().trim().to_string();
    (!name.is_empty()).then_some(name)
}

#[test]
fn what_blkid_names_has_that_name() {
    if std::env::var("LKLFS_CORPORA_SECONDS").is_ok_and(|seconds| seconds == "0") {
        eprintln!("no time is given: skipped");
        return;
    }
    let images = corpora::named_images().expect("the images are there");
    let (mut named, mut wrong) = (0, Vec::new());
    for (name, path) in &images {
        let Some(wanted) = blkid(path) else { continue };
        let image = Image(std::fs::File::open(path).unwrap());
        let size = path.metadata().unwrap().len();
        let signature = signature::name(&image, size).map(|found| found.name);
        let kind = probe(&image).map(|found| found.kind.name());
        named += 1;
        // Of a member of an array that holds a file system both are told.
        if signature != Some(wanted.as_str()) && kind != Some(wanted.as_str()) {
            wrong.push(format!(
                "{name}: blkid says {wanted}, here it is {signature:?}, {kind:?}"
            ));
        }
    }
    println!("{named} of {} images have names", images.len());
    assert!(named > 50, "{named}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn damaged_images_are_survived() {
    let asked = std::env::var("LKLFS_CORPORA_SECONDS").ok();
    let budget = asked.map_or(150, |seconds| {
        seconds.parse().expect("LKLFS_CORPORA_SECONDS is a number")
    });
    if budget == 0 {
        eprintln!("no time is given: skipped");
        return;
    }
    let options = Options {
        userctl: Some(env!("CARGO_BIN_EXE_userctl").into()),
        budget,
        limit: 20,
        only: String::new(),
        jobs: 2,
        verbose: false,
    };
    let code = corpora::run(&options).expect("the images are there");
    assert_eq!(code, std::process::ExitCode::SUCCESS, "see the list above");
}
