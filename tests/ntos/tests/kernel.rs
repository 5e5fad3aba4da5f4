//! Families of imports, used as they should be by `drivers/works.c` through the real border between driver and double.

mod subject;

use ntos::imports::Since;
use ntos::loader::{Image, Options};
use ntos::mm::{space::Protection, user::UserRegion};
use ntos::verifier::fault;

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
fn each_allocation_can_be_made_to_fail() {
    works(7);
}

#[test]
fn an_older_kernel_lacks_newer_names() {
    works(8);
}

#[test]
fn no_import_is_declared_twice_and_all_have_gates() {
    assert!(ntos::imports::find("KeSetEvent").is_some());
    assert!(ntos::imports::find("NotAnExportOfAnyKernel").is_none());
    let names: Vec<_> = ntos::imports::all().map(|import| import.name).collect();
    assert!(names.len() > 200, "{}", names.len());
}

/// Calls the driver's entry.
fn call(image: &Image, which: u32) -> i32 {
    let (user, read_only) = (UserRegion::new(64), UserRegion::new(64));
    user.write(b"0123456789abcdef");
    read_only.protect(Protection::Read);
    let arguments = [u64::from(which), user.ptr() as u64, read_only.ptr() as u64];
    // SAFETY: the test driver's entry takes these three.
    unsafe { ntos::ke::call_driver(image.entry_point(), arguments) as i32 }
}

/// Fails each call that can fail, one after the other; the driver must notice each and leave nothing behind.
fn fail_each(image: &Image) {
    fault::count(None);
    assert_eq!(call(image, 7), 0);
    let (count, _) = fault::disarm();
    assert_eq!(count, 4, "two blocks, an MDL and a thread");
    for index in 0..count {
        fault::arm(None, index);
        assert_eq!(call(image, 7), 1, "call {index}");
        let (_, failed) = fault::disarm();
        assert_eq!(failed.len(), 1, "call {index} was reached");
    }
    fault::arm(Some(fault::Site::Mdl), 1);
    assert_eq!(call(image, 7), 0);
    assert_eq!(fault::disarm().1.len(), 0, "there is no second MDL");
}

/// Plays three kernels.
fn play(path: &std::path::Path) {
    let hidden = Options {
        hide: vec!["KeGetCurrentIrql".to_owned()],
        ..Options::default()
    };
    let old = Options {
        nt: Since::Nt52,
        ..Options::default()
    };
    for (options, names) in [(Options::default(), 7), (hidden, 5), (old, 1)] {
        let image = Image::load(path, &options).expect("the image loads");
        assert_eq!(call(&image, 8), names, "{options:?}");
        image.unload();
    }
}

/// Run by the other tests in a process of its own.
#[test]
#[ignore = "runs only as a child"]
fn child() {
    let Some((path, which)) = subject::be_child() else {
        return;
    };
    if which == 8 {
        return play(&path);
    }
    let image = Image::load(&path, &Options::default()).expect("the image loads");
    if which == 7 {
        fail_each(&image);
        return image.unload();
    }
    assert_eq!(call(&image, which), 0, "the check in that line failed");
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
