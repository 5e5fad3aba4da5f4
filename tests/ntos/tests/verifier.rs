//! The double must find the bugs that are seeded in `drivers/bugs.c`, each under the rule that it breaks, and refuse
//! images that break a rule.

mod subject;

use ntos::loader::{Image, LoadError, Options};
use ntos::mm::{space::Protection, user::UserRegion};
use ntos::ps::suspend;

/// Number in `bugs.c`, and the rule that must be named.
const BUGS: &[(u32, &str)] = &[
    (1, "DoubleFree"),
    (2, "UseAfterFree"),
    (3, "UseAfterFree"),
    (4, "GuardPage"),
    (5, "PoolCorruption"),
    (6, "PoolCorruption"),
    (7, "BadFree"),
    (8, "BadFree"),
    (9, "PoolRequest"),
    (10, "ExecutablePool"),
    (11, "PoolRequest"),
    (12, "Leak"),
    (13, "IrqlTooHigh"),
    (14, "WaitAtDispatch"),
    (15, "IrqlMismatch"),
    (16, "IrqlMismatch"),
    (17, "LockOrder"),
    (18, "LockOrder"),
    (19, "ApcsEnabled"),
    (20, "CriticalRegion"),
    (21, "CriticalRegion"),
    (22, "LockOwner"),
    (23, "UnhandledException"),
    (24, "UnhandledException"),
    (25, "FreedInUse"),
    (26, "FreedInUse"),
    (27, "BadObject"),
    (28, "AccessViolation"),
    (29, "StackOverflow"),
    (30, "Unmodelled"),
    (31, "BugCheck"),
    (32, "Leak"),
    (33, "Leak"),
    (34, "Reference"),
    (35, "UseAfterFree"),
    (36, "Mdl"),
    (37, "Mdl"),
    (38, "Mdl"),
    (39, "Mdl"),
    (40, "Leak"),
    (41, "AccessViolation"),
    (42, "AccessViolation"),
    (43, "LockOwner"),
    (44, "ThreadExit"),
    (45, "ThreadExit"),
    (46, "Leak"),
    (47, "FreedInUse"),
    (48, "IllegalInstruction"),
    (49, "LockOwner"),
    (50, "AccessViolation"),
    (51, "FreedInUse"),
    (52, "Timer"),
    (53, "IrqlMismatch"),
    (54, "LockOwner"),
    (55, "Mdl"),
    (56, "Leak"),
    (57, "UseAfterFree"),
    (58, "LockOrder"),
    (70, "ForeignStack"),
    (71, "SuspendedHolder"),
    (72, "CalloutException"),
    (73, "InvalidKernelAddress"),
    (74, "UseAfterFree"),
];

#[test]
fn every_seeded_bug_is_found_under_its_rule() {
    let image = subject::driver("bugs", "bugs", &[]);
    let mut missed = Vec::new();
    for &(which, rule) in BUGS {
        let (output, report) = subject::child(&image, which);
        let found = report
            .as_ref()
            .and_then(|report| report["code"].as_str())
            .unwrap_or("nothing")
            .to_owned();
        if output.status.code() != Some(ntos::verifier::EXIT_CODE) || found != rule {
            let text = String::from_utf8_lossy(&output.stderr);
            missed.push(format!(
                "bug {which}: {found} instead of {rule} ({})\n{text}",
                output.status
            ));
        }
    }
    assert!(
        missed.is_empty(),
        "{} of {} bugs missed:\n{}",
        missed.len(),
        BUGS.len(),
        missed.join("\n")
    );
}

#[test]
fn a_report_says_where_in_the_driver_it_happened() {
    let image = subject::driver("bugs", "places", &[]);
    let (_, report) = subject::child(&image, 1);
    let report = report.expect("a report");
    assert_eq!(report["imports"][0], "ExFreePoolWithTag", "{report}");
    let place = report["driver_stack"][0].as_str().expect("a place");
    assert!(
        place.starts_with("places.sys+0x") && place.contains("(DriverEntry+0x"),
        "{place}"
    );
    assert!(
        report["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("tag Test")),
        "{report}"
    );
}

/// What loading that image says is broken.
fn refusal(name: &str, link: &[&str]) -> String {
    let image = subject::driver("bugs", name, link);
    match Image::load(&image, &Options::default()) {
        Err(LoadError::Rules(rules)) => rules.join("; "),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{name} was loaded"),
    }
}

#[test]
fn images_that_break_a_rule_are_not_loaded() {
    assert!(refusal("wx", &["/SECTION:.text,ERW"]).contains(".text is writable and executable"));
    assert!(refusal("iat", &["/SECTION:.rdata,RW"]).contains("its import table lies in .rdata"));
    assert!(refusal("console", &["/SUBSYSTEM:CONSOLE"]).contains("its subsystem is 3"));
    let image = subject::driver("bugs", "checksum", &[]);
    let mut bytes = std::fs::read(&image).expect("it was linked");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&image, bytes).expect("the target folder is writable");
    let error = Image::load(&image, &Options::default()).expect_err("its checksum is wrong");
    assert!(error.to_string().contains("its checksum is"), "{error}");
    let damaged = image.with_extension("damaged");
    std::fs::write(&damaged, b"MZ and no more").expect("the target folder is writable");
    assert!(matches!(
        Image::load(&damaged, &Options::default()),
        Err(LoadError::Format(_))
    ));
    let absent = image.with_extension("absent");
    assert!(matches!(
        Image::load(&absent, &Options::default()),
        Err(LoadError::Read(..))
    ));
}

/// Run by the other tests in a process of its own.
#[test]
#[ignore = "runs only as a child"]
fn child() {
    let Some((path, which)) = subject::be_child() else {
        return;
    };
    let image = Image::load(&path, &Options::default()).expect("the image loads");
    let user = UserRegion::new(64);
    let read_only = UserRegion::new(64);
    read_only.protect(Protection::Read);
    let arguments = [u64::from(which), user.ptr() as u64, read_only.ptr() as u64];
    // SAFETY: the test driver's entry takes these three.
    let call = || unsafe { ntos::ke::call_driver(image.entry_point(), arguments) } as i32;
    if which == 71 {
        // Suspended with the driver's own lock, which a second thread wants.
        let other = || {
            let _watch = ntos::verifier::hang::watch("a second request", std::time::Duration::from_secs(1));
            assert_eq!(call(), 0);
        };
        let came = suspend::within(3, || assert_eq!(call(), 0), other);
        assert_eq!(came, suspend::Came::Suspended);
        return image.unload();
    }
    let status = call();
    image.unload();
    assert_eq!(status, 0, "DriverEntry({which})");
}
