//! Families of imports, used as they should be by `drivers/works.c` through the real border between driver and double.

mod subject;

use ntos::loader::{Image, Options};
use ntos::mm::{space::Protection, user::UserRegion};

fn works(which: u32) {
    let image = subject::driver("works", &format!("works{which}"), &[]);
    let (output, _) = subject::child(&image, which);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn events_semaphores_and_waits() {
    works(1);
}

#[test]
fn timers_and_dpcs() {
    works(2);
}

#[test]
fn resources() {
    works(3);
}

#[test]
fn structured_exceptions_and_user_memory() {
    works(4);
}

#[test]
fn pool_and_mdls() {
    works(5);
}

#[test]
fn stacks_strings_lists_and_printing() {
    works(6);
}

#[test]
fn no_import_is_declared_twice_and_all_have_gates() {
    assert!(ntos::imports::find("KeSetEvent").is_some());
    assert!(ntos::imports::find("NotAnExportOfAnyKernel").is_none());
    let names: Vec<_> = ntos::imports::all().map(|import| import.name).collect();
    assert!(names.len() > 200, "{}", names.len());
}

/// Run by the other tests in a process of its own.
#[test]
#[ignore = "runs only as a child"]
fn child() {
    let Some((path, which)) = subject::be_child() else {
        return;
    };
    let image = Image::load(&path, &Options::default()).expect("the image loads");
    let (user, read_only) = (UserRegion::new(64), UserRegion::new(64));
    user.write(b"0123456789abcdef");
    read_only.protect(Protection::Read);
    let arguments = [u64::from(which), user.ptr() as u64, read_only.ptr() as u64];
    // SAFETY: the test driver's entry takes these three.
    let status = unsafe { ntos::ke::call_driver(image.entry_point(), arguments) } as i32;
    assert_eq!(status, 0, "the check in that line failed");
    let report = ntos::verifier::report();
    let deepest = report.stack_high_water.values().max().copied().unwrap_or(0);
    assert!(deepest > 0, "stacks are measured");
    image.unload();
    if which == 6 {
        let line = ntos::rtl::print::last_lines(1).pop().unwrap_or_default();
        let wide = "STRA\u{DF}E \u{C9}T\u{C9}";
        let wanted =
            format!("-3|   42|ab  |00CD|text|wide|{wide}|-5000000000|0000000000001234|z|%|abc|-6000000000");
        assert_eq!(line, wanted);
        assert!(
            report
                .stack_high_water
                .get("expanded")
                .is_some_and(|depth| *depth > 48 * 1024),
            "{report:?}"
        );
    }
}
