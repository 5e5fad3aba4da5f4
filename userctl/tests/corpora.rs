//! Damaged images of other projects' test suites: nothing may crash or hang; what panics is contained and listed.
//!
//! As many images as three minutes allow, in a fixed mixed order. `LKLFS_CORPORA_SECONDS` asks for more or less time,
//! 0 for none.

use volumes::corpora::{self, Options};

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
