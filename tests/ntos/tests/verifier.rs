//! The double must find the bugs that are seeded in `drivers/bugs.c` and `testfs/testfs.c`, each under the rule that it
//! breaks and in a process of its own, and refuse images that break a rule. `cargo xtask test verifier` prints the table.

mod subject;
mod testfs;

use ntos::io::native::new_driver_object;
use ntos::loader::{Image, LoadError, Options};
use ntos::mm::{space::Protection, user::UserRegion};
use ntos::nt::PVOID;
use ntos::ps::suspend;
use ntos::verifier::{Code, hang};
use std::fmt;
use std::path::Path;
use std::time::Duration;

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
    (59, "BadArgument"),
    (60, "BadArgument"),
    (61, "Timer"),
    (HANGS, "Hang"),
    (63, "Leak"),
    (64, "BadArgument"),
    (65, "BadArgument"),
    (66, "BadArgument"),
    (70, "ForeignStack"),
    (71, "SuspendedHolder"),
    (72, "CalloutException"),
    (73, "InvalidKernelAddress"),
    (74, "UseAfterFree"),
    (75, "ShadowStack"),
    (77, "PageFaultAtDispatch"),
    (80, "Irp"),
    (81, "UseAfterFree"),
];
/// In `bugs.c`: what is nearly a bug.
const A_JUMP_THAT_IS_RIGHT: u32 = 76;

/// The bug that takes for ever.
const HANGS: u32 = 62;

/// What `testfs.c` is built with, the double's exit code, and words of its report. A file system's faults need one.
const FAULTS: &[(&str, i32, &str)] = &[
    ("COMPLETES_TWICE", RULE, "UseAfterFree: "),
    ("PENDS_UNMARKED", RULE, "Irp: "),
    ("MARKS_AND_RETURNS", RULE, "Irp: "),
    ("RETURNS_OTHER_STATUS", RULE, "Irp: "),
    ("LEAKS_POOL", LEFT, "tag Tsfs"),
    ("LEAKS_CACHE_MAP", LEFT, "cache map"),
    ("TOUCHES_COMPLETED_IRP", RULE, "UseAfterFree: "),
    ("KEEPS_CRITICAL_REGION", RULE, "CriticalRegion: "),
    ("FORGETS_TOP_LEVEL", RULE, "top-level"),
    ("LEAKS_IRP", LEFT, "IRP"),
    ("OVERRUNS_POOL", RULE, "GuardPage: "),
    ("WRITES_TO_DISK", LEFT, "write request"),
    ("KEEPS_SPIN_LOCK", RULE, "IrqlMismatch: "),
    ("USES_FREED_POOL", RULE, "UseAfterFree: "),
    ("INFORMATION_TOO_LARGE", RULE, "system buffer"),
    ("DELETES_DEVICE_TWICE", RULE, "UseAfterFree: "),
    ("REGISTERS_TWICE", RULE, "Device: "),
    ("UNPINS_NOTHING", RULE, "Cache: "),
    ("FORGETS_FILE_LOCK", RULE, "FsRtl: "),
    ("FREES_SENT_IRP", RULE, "Irp: "),
    ("COMPLETES_PENDING", RULE, "Irp: "),
    (
        "TELLS_WITH_A_LOCK_HELD",
        RULE,
        "FsRtl: FsRtlNotifyVolumeEvent with",
    ),
];

/// The double's exit code when a driver breaks a rule, and when it leaves something behind.
const RULE: i32 = ntos::verifier::EXIT_CODE;
const LEFT: i32 = 10;

/// A seeded bug and what became of it.
struct Row {
    seed: String,
    about: String,
    wanted: String,
    found: String,
    caught: bool,
    report: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { seed, about, .. } = self;
        let verdict = if self.caught { "caught" } else { "MISSED" };
        let found = if self.caught {
            self.found.clone()
        } else {
            format!("{} instead of {}", self.found, self.wanted)
        };
        write!(f, "{verdict}  {seed:<22} {about:<46} {found}")
    }
}

/// Sources whose comments say what each seeded bug is.
const BUGS_SOURCE: &str = include_str!("drivers/bugs.c");

/// What the source says of bug `which`: the comment beside its case.
fn about_bug(which: u32) -> String {
    let case = format!("case {which}:");
    let line = BUGS_SOURCE.lines().find(|line| line.trim().starts_with(&case));
    let comment = line.and_then(|line| Some(line.split_once("/*")?.1.split_once("*/")?.0.trim()));
    comment.unwrap_or("").to_owned()
}

/// The rule that a report on standard error names.
fn rule_in(text: &str) -> Option<&str> {
    let line = text.lines().find_map(|line| line.strip_prefix("*** "))?;
    Some(line.split_once(':')?.0)
}

fn try_bug(image: &Path, which: u32, rule: &str) -> Row {
    let (output, report) = subject::child(image, which);
    let named = report.as_ref().and_then(|report| report["code"].as_str());
    let found = named.unwrap_or("nothing").to_owned();
    Row {
        seed: format!("bug {which}"),
        about: about_bug(which),
        wanted: rule.to_owned(),
        caught: output.status.code() == Some(RULE) && found == rule,
        found,
        report: format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

fn try_fault(bug: &str, code: i32, words: &str) -> Row {
    let output = testfs::manifest(bug, 1);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = match output.status.code() {
        Some(LEFT) => "Leak",
        Some(RULE) => rule_in(&text).unwrap_or("nothing"),
        _ => "nothing",
    };
    Row {
        seed: bug.to_owned(),
        about: bug.to_lowercase().replace('_', " "),
        wanted: words.to_owned(),
        found: found.to_owned(),
        caught: output.status.code() == Some(code) && text.contains(words),
        report: format!("{}\n{text}", output.status),
    }
}

#[test]
fn every_seeded_bug_is_found_under_its_rule() {
    let image = subject::driver("bugs", "bugs", &[]);
    let mut rows: Vec<Row> = BUGS
        .iter()
        .map(|&(which, rule)| try_bug(&image, which, rule))
        .collect();
    rows.extend(
        FAULTS
            .iter()
            .map(|&(bug, code, words)| try_fault(bug, code, words)),
    );
    let caught = rows.iter().filter(|row| row.caught).count();
    let mut table: String = rows.iter().map(|row| format!("{row}\n")).collect();
    table += &format!("{caught} of {} seeded bugs caught\n", rows.len());
    println!("{table}");
    if let Some(path) = std::env::var_os("NTOS_SEEDED_BUGS") {
        std::fs::write(path, &table).expect("the table can be written where the caller wants it");
    }
    let missed: Vec<&Row> = rows.iter().filter(|row| !row.caught).collect();
    for row in &missed {
        println!("{row}\n{}", row.report);
    }
    assert!(
        missed.is_empty(),
        "{} of {} seeded bugs missed",
        missed.len(),
        rows.len()
    );
}

#[test]
fn every_rule_has_a_seeded_bug() {
    let elsewhere = [
        // Images that break a rule of the loader are refused: see below.
        Code::Image,
        // testfs.c's WRITES_TO_DISK, which the report of the run names.
        Code::DiskWrite,
        // The state of an IRP that is gone is unmapped memory, so it is most often found as that; see io/ledger.rs.
        Code::IrpCompletedTwice,
    ];
    let seeded = |code: Code| {
        let name = format!("{code:?}");
        let rule = format!("{name}: ");
        BUGS.iter().any(|(_, rule)| *rule == name) || FAULTS.iter().any(|(_, _, words)| *words == rule)
    };
    let bare: Vec<&Code> = Code::ALL
        .iter()
        .filter(|code| !elsewhere.contains(code) && !seeded(**code))
        .collect();
    assert!(bare.is_empty(), "rules without a seeded bug: {bare:?}");
}

#[test]
fn a_driver_without_faults_passes_with_every_seed() {
    for seed in 0..8 {
        let output = testfs::manifest("NO_BUG", seed);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), text.as_ref()),
            (Some(0), ""),
            "seed {seed}"
        );
        let lines = String::from_utf8_lossy(&output.stdout).lines().count();
        assert_eq!(lines, 1 + testfs::files().len(), "seed {seed}");
    }
}

#[test]
fn a_jump_that_takes_what_it_leaves_off_the_shadow_stack_is_right() {
    let image = subject::driver("bugs", "jumps", &[]);
    let (output, report) = subject::child(&image, A_JUMP_THAT_IS_RIGHT);
    assert!(output.status.success() && report.is_none(), "{report:?}");
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
    let _limit = (which == HANGS).then(|| hang::watch("the seeded bug", Duration::from_secs(1)));
    let image = Image::load(&path, &Options::default()).expect("the image loads");
    let user = UserRegion::new(64);
    let read_only = UserRegion::new(64);
    read_only.protect(Protection::Read);
    let driver = new_driver_object("\\Driver\\bugs");
    // SAFETY: the object is new and ours to fill in.
    unsafe { (*driver).DriverStart = image.base() as PVOID };
    let arguments = [
        u64::from(which),
        user.ptr() as u64,
        read_only.ptr() as u64,
        driver as u64,
    ];
    // SAFETY: the test driver's entry takes these four.
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
