//! How the driver is stopped, with NT's rules for unloading and a filter on every file system; how it lets go of a volume that
//! is dismounted; and what it tells listeners of volumes.

#![cfg(target_os = "linux")]

mod support;

use lklfs_control::{Interface, Request, Text, utf16};
use ntos::cc::segment::Role;
use ntos::disk::{DiskConfig, Fault, FaultKind};
use ntos::fsrtl::notify;
use ntos::nt::*;
use ntos::user::{Handle, Machine, OpenAs, cancel_synchronous};
use ntos::verifier::fault;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use support::{Control, driver, exists, read, run};

/// FSRTL_VOLUME_*.
const DISMOUNT: u32 = 1;
const DISMOUNT_FAILED: u32 = 2;
const LOCK: u32 = 3;
const LOCK_FAILED: u32 = 4;
const UNLOCK: u32 = 5;
const MOUNT: u32 = 6;

const DEVICE: &str = "\\Device\\HarddiskVolume1";
const HELLO: &str = "\\Device\\HarddiskVolume1\\hello.txt";

/// A folder with `ext4.img`. Made once.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let at = folder.path();
            std::fs::create_dir(at.join("tree")).expect("writable");
            std::fs::write(at.join("tree/hello.txt"), "hello\n").expect("writable");
            run(
                "mkfs.ext4",
                &["-q", "-F", "-L", "Image", "-d", "tree", "ext4.img", "12M"],
                at,
            );
            folder
        })
        .path()
}

/// A machine with the image as a disk, and the folder as drive C:.
fn machine() -> Machine {
    let mut machine = Machine::builder()
        .drive_c(folder())
        .mount_manager(true)
        .filter()
        .disk(DiskConfig::image(folder().join("ext4.img")))
        .start()
        .expect("starts");
    machine.load_driver(&driver()).expect("the driver loads");
    machine.settle();
    machine
}

fn end(machine: Machine) {
    let report = machine.unload();
    assert!(report.is_clean(), "left behind:\n{report}");
}

fn hello(machine: &Machine) -> Result<Vec<u8>, NTSTATUS> {
    machine
        .open(HELLO, OpenAs::read())?
        .read(Some(0), 100)
        .into_result()
}

fn volume(machine: &Machine) -> Handle {
    machine.open(DEVICE, OpenAs::volume()).expect("opens")
}

fn stop(control: &Control, force: bool) -> Result<(), NTSTATUS> {
    control.ask(Request::Stop { force }).map(|_| ())
}

#[test]
fn a_stop_of_the_service_alone_leaves_the_driver_loaded_and_shut() {
    let mut machine = machine();
    assert_eq!(hello(&machine).expect("reads"), b"hello\n");
    assert!(!machine.stop_service(), "a registered file system was unloaded");
    let control = machine.open(Interface::Control.device_name(), OpenAs::read());
    assert_eq!(control.map(drop), Err(STATUS_NO_SUCH_DEVICE));
    assert_eq!(hello(&machine).expect("its volumes live on"), b"hello\n");
    end(machine);
}

#[test]
fn a_driver_that_was_asked_to_stop_is_unloaded_with_its_service_and_starts_again() {
    let mut machine = machine();
    for _ in 0..3 {
        assert_eq!(hello(&machine).expect("reads"), b"hello\n");
        let control = Control::open(&machine);
        let image = control.mount("\\??\\C:\\ext4.img", None, &support::Said::default());
        let (_, letter) = image.expect("mounts");
        let letter = letter.expect("a letter");
        assert_eq!(read(&machine, letter, "hello.txt").expect("reads"), b"hello\n");
        assert_eq!(stop(&control, false), Ok(()));
        assert!(!exists(letter), "{letter}: is there still");
        drop(control);
        assert!(machine.stop_service(), "the driver was not unloaded");
        machine.load_driver(&driver()).expect("the driver loads again");
        machine.settle();
    }
    end(machine);
}

#[test]
fn open_files_keep_the_driver_in_full_service() {
    let mut machine = machine();
    let file = machine.open(HELLO, OpenAs::read()).expect("opens");
    let control = Control::open(&machine);
    assert_eq!(stop(&control, false), Err(STATUS_ACCESS_DENIED));
    assert_eq!(file.read(Some(0), 100).bytes, b"hello\n");
    assert_eq!(hello(&machine).expect("reads"), b"hello\n");
    // By force it is dismounted, but the handle needs the driver: everything is taken up again.
    assert_eq!(stop(&control, true), Err(STATUS_ACCESS_DENIED));
    assert!(
        !nt_success(file.read(Some(0), 100).status),
        "a dismounted volume is read"
    );
    assert_eq!(hello(&machine).expect("mounted afresh"), b"hello\n");
    drop(file);
    machine.settle();
    assert_eq!(stop(&control, false), Ok(()));
    drop(control);
    assert!(machine.stop_service());
    end(machine);
}

#[test]
fn a_driver_in_standby_serves_again_when_it_is_asked_to() {
    let mut machine = machine();
    let control = Control::open(&machine);
    let other = Control::status(&machine);
    assert_eq!(stop(&control, true), Err(STATUS_SHARING_VIOLATION));
    drop(other);
    assert_eq!(stop(&control, false), Ok(()));
    let status = machine.open(Interface::Status.device_name(), OpenAs::read());
    assert_eq!(status.map(drop), Err(STATUS_DEVICE_NOT_READY));
    assert!(
        hello(&machine).is_err(),
        "a file system that is not registered mounts"
    );
    let list = control.ask(Request::List { after: 0 });
    assert_eq!(list, Err(STATUS_DEVICE_NOT_READY));
    assert!(control.ask(Request::Resume).is_ok());
    machine.settle();
    assert_eq!(hello(&machine).expect("mounts again"), b"hello\n");
    drop(Control::status(&machine));
    assert_eq!(stop(&control, false), Ok(()));
    drop(control);
    assert!(machine.stop_service());
    end(machine);
}

#[test]
fn a_request_that_has_outlived_its_handle_keeps_the_driver_in_full_service() {
    let mut machine = machine();
    let disk = Arc::clone(&machine.disks()[0]);
    let control = Control::open(&machine);
    let other = Control::overlapped(&machine);
    disk.fail(Fault::from(0, FaultKind::Hang));
    let name = utf16(DEVICE).expect("memory");
    let device = Text::new(&name).expect("UTF-16");
    let asked = other.start(Request::Superblock { device }).expect("is sent");
    // The handle goes. What it opened does not, so that NT does not unload the driver.
    drop(other);
    assert!(!asked.is_done(), "a disk that hangs has answered");
    assert_eq!(stop(&control, true), Err(STATUS_SHARING_VIOLATION));
    disk.answer();
    assert!(nt_success(asked.wait().status));
    assert_eq!(hello(&machine).expect("serves on"), b"hello\n");
    machine.settle();
    assert_eq!(stop(&control, false), Ok(()));
    drop(control);
    assert!(machine.stop_service(), "the driver was not unloaded");
    end(machine);
}

#[test]
fn a_dismounted_volume_is_mounted_afresh_while_its_old_handles_are_open() {
    let machine = machine();
    let file = machine.open(HELLO, OpenAs::read()).expect("opens");
    let old = volume(&machine);
    assert_eq!(old.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
    assert_eq!(hello(&machine).expect("mounted afresh"), b"hello\n");
    assert_eq!(file.read(Some(0), 100).status, STATUS_VOLUME_DISMOUNTED);
    let new = volume(&machine);
    assert_eq!(new.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
    let since = Instant::now();
    assert_eq!(new.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
    assert_eq!(hello(&machine).expect("mounted afresh"), b"hello\n");
    eprintln!("from DISMOUNT to the first byte: {:?}", since.elapsed());
    drop((file, old, new));
    machine.settle();
    end(machine);
}

/// The events of volumes from now on.
fn listen() -> Arc<Mutex<Vec<u32>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    notify::listen_to_volumes(Arc::new(move |_, event| {
        seen.lock().expect("no panic").push(event);
    }));
    events
}

#[test]
fn the_handle_that_dismounted_a_volume_reads_its_sectors_and_no_other_handle_does() {
    let machine = machine();
    assert_eq!(hello(&machine).expect("mounts"), b"hello\n");
    let image = std::fs::read(folder().join("ext4.img")).expect("it was made");
    // As a backup does it: LOCK, DISMOUNT, sectors.
    let handle = volume(&machine);
    assert_eq!(handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
    assert_eq!(handle.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
    for at in [0_usize, 65536, image.len() - 8192] {
        let outcome = handle.read(Some(at as u64), 8192);
        assert_eq!(outcome.status, STATUS_SUCCESS, "sectors at {at}");
        assert!(outcome.bytes == image[at..at + 8192], "sectors at {at}");
    }
    drop(handle);
    assert_eq!(hello(&machine).expect("mounted afresh"), b"hello\n");
    // Without a lock there may be others.
    let other = volume(&machine);
    let handle = volume(&machine);
    assert_eq!(handle.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
    assert_eq!(other.read(Some(0), 8192).status, STATUS_VOLUME_DISMOUNTED);
    assert!(handle.read(Some(0), 8192).bytes == image[..8192]);
    drop((handle, other));
    machine.settle();
    end(machine);
}

#[test]
fn listeners_hear_of_a_dismount_that_fails() {
    let machine = machine();
    assert_eq!(hello(&machine).expect("mounts"), b"hello\n");
    let handle = volume(&machine);
    machine.settle();
    let events = listen();
    assert_eq!(handle.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
    // There is nothing left to dismount by this handle.
    assert_eq!(
        handle.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status,
        STATUS_VOLUME_DISMOUNTED
    );
    assert_eq!(
        *events.lock().expect("no panic"),
        [DISMOUNT, DISMOUNT, DISMOUNT_FAILED]
    );
    notify::forget_volume_listeners();
    drop(handle);
    machine.settle();
    end(machine);
}

#[test]
fn a_lock_that_is_cancelled_is_none_and_listeners_hear_of_it() {
    let machine = machine();
    let file = machine.open(HELLO, OpenAs::read()).expect("opens");
    // A view keeps the file object, for whose end the lock waits for a while.
    let view = file.map(Role::Data).expect("maps");
    drop(file);
    let handle = volume(&machine);
    machine.settle();
    let events = listen();
    let status = std::thread::scope(|scope| {
        let sender = scope.spawn(|| handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status);
        while *events.lock().expect("no panic") != [LOCK] {
            std::thread::sleep(Duration::from_millis(1));
        }
        while cancel_synchronous(sender.thread().id()) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        sender.join().expect("no panic")
    });
    assert_eq!(status, STATUS_CANCELLED);
    machine.settle();
    assert_eq!(*events.lock().expect("no panic"), [LOCK, LOCK_FAILED]);
    notify::forget_volume_listeners();
    assert_eq!(hello(&machine).expect("it is not locked"), b"hello\n");
    drop(view);
    drop(handle);
    machine.settle();
    end(machine);
}

#[test]
fn a_lock_that_lacks_memory_is_none_and_listeners_hear_of_it() {
    let machine = machine();
    assert_eq!(hello(&machine).expect("mounts"), b"hello\n");
    machine.trim();
    let handle = volume(&machine);
    machine.settle();
    let mut failed = 0;
    for number in 0..40 {
        let events = listen();
        fault::arm(None, number);
        let status = handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status;
        let (_, met) = fault::disarm();
        machine.settle();
        let heard = events.lock().expect("no panic").clone();
        notify::forget_volume_listeners();
        if status == STATUS_SUCCESS {
            assert_eq!(heard, [LOCK], "allocation {number}");
            assert_eq!(handle.fsctl(FSCTL_UNLOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
        } else {
            assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES, "allocation {number}");
            failed += usize::from(heard == [LOCK, LOCK_FAILED]);
            // Before the driver was asked, or after.
            assert!(
                heard.is_empty() || heard == [LOCK, LOCK_FAILED],
                "allocation {number}: {heard:?}"
            );
        }
        assert_eq!(hello(&machine).expect("it is not locked"), b"hello\n");
        machine.trim();
        if met.is_empty() {
            break;
        }
    }
    assert!(failed > 0, "no lock failed");
    drop(handle);
    machine.settle();
    end(machine);
}

/// Times for a person to read: `--nocapture` shows them.
fn figure(what: &str, since: Instant) -> Instant {
    eprintln!("{what:<56} {:>10.3} ms", since.elapsed().as_secs_f64() * 1e3);
    Instant::now()
}

#[test]
fn a_lock_a_dismount_and_a_new_mount_take_less_than_a_second() {
    let machine = machine();
    assert_eq!(hello(&machine).expect("mounts"), b"hello\n");
    let handle = volume(&machine);
    machine.settle();
    let begin = Instant::now();
    assert_eq!(handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
    let since = figure("LOCK", begin);
    assert_eq!(handle.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
    let since = figure("DISMOUNT", since);
    assert_eq!(hello(&machine).expect("mounted afresh"), b"hello\n");
    figure("from DISMOUNT to the first byte of the new mount", since);
    figure("from LOCK to the first byte of the new mount", begin);
    assert!(begin.elapsed() < Duration::from_secs(1));
    drop(handle);
    machine.settle();
    end(machine);
}

#[test]
fn a_stop_is_answered_soon_with_open_files_and_without() {
    let mut machine = machine();
    let file = machine.open(HELLO, OpenAs::read()).expect("opens");
    let control = Control::open(&machine);
    let begin = Instant::now();
    assert_eq!(stop(&control, false), Err(STATUS_ACCESS_DENIED));
    figure("a stop that open files are in the way of", begin);
    drop(file);
    machine.settle();
    let begin = Instant::now();
    assert_eq!(stop(&control, false), Ok(()));
    let since = figure("a stop without open files", begin);
    drop(control);
    assert!(machine.stop_service());
    figure("the unload after it", since);
    assert!(begin.elapsed() < Duration::from_secs(5));
    end(machine);
}

#[test]
fn listeners_let_go_of_a_volume_before_it_is_locked() {
    let machine = machine();
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::new(Mutex::new(Some(
        machine.open(HELLO, OpenAs::read()).expect("opens"),
    )));
    machine.settle();
    let (seen, handle) = (Arc::clone(&events), Arc::clone(&kept));
    notify::listen_to_volumes(Arc::new(move |_, event| {
        seen.lock().expect("no panic").push(event);
        if event == LOCK {
            drop(handle.lock().expect("no panic").take());
        }
    }));
    let handle = volume(&machine);
    assert_eq!(handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
    assert!(
        kept.lock().expect("no panic").is_none(),
        "the listener has not heard"
    );
    assert_eq!(handle.fsctl(FSCTL_UNLOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
    let file = machine.open(HELLO, OpenAs::read()).expect("opens");
    assert_eq!(
        handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status,
        STATUS_ACCESS_DENIED
    );
    drop(file);
    assert_eq!(handle.fsctl(FSCTL_LOCK_VOLUME, &[], 0).status, STATUS_SUCCESS);
    // A lock that ends with its handle is told of, too.
    drop(handle);
    let handle = volume(&machine);
    assert_eq!(handle.fsctl(FSCTL_DISMOUNT_VOLUME, &[], 0).status, STATUS_SUCCESS);
    drop(handle);
    assert_eq!(hello(&machine).expect("mounted afresh"), b"hello\n");
    machine.settle();
    assert_eq!(
        *events.lock().expect("no panic"),
        [LOCK, UNLOCK, LOCK, LOCK_FAILED, LOCK, UNLOCK, DISMOUNT, MOUNT]
    );
    notify::forget_volume_listeners();
    end(machine);
}
