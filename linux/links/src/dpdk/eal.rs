//! DPDK's environment (EAL): there is one in a process, and it is never ended.

// UNSAFETY: calls of a C library.

#![allow(unsafe_code)]

use super::sys;
use crate::dpdk_words::asks_for_help;
use std::ffi::{CString, c_char, c_int};
use std::io;
use std::sync::{Mutex, PoisonError};

/// Whether it is there.
static STARTED: Mutex<bool> = Mutex::new(false);

fn refused(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.into())
}

/// Starts it with these arguments, which begin with a dash; or takes it as it is, for the device that is named. That name.
pub(super) fn started(arguments: &str) -> io::Result<Option<&str>> {
    let mut there = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let words: Vec<&str> = arguments.split_whitespace().collect();
    match (words.first(), *there) {
        (Some(word), true) if !word.starts_with('-') && words.len() == 1 => Ok(Some(word)),
        (Some(word), true) if word.starts_with('-') => Err(io::Error::other(
            "a process has one EAL; name a device of it alone, as dpdk:net_tap1",
        )),
        (Some(word), false) if word.starts_with('-') => {
            if let Some(word) = words.iter().find(|word| asks_for_help(word)) {
                return Err(refused(format!(
                    "{word} has EAL explain itself and end the program"
                )));
            }
            let left = start(&words)?;
            *there = true;
            match left {
                None => Ok(None),
                Some(word) => Err(refused(format!("{word} is no argument of EAL's"))),
            }
        }
        (_, true) => Err(refused(
            "name a device of the EAL that was started, and nothing else",
        )),
        (_, false) => Err(refused(
            "arguments of EAL's begin with a dash, as --vdev=net_tap0; a device alone is named when it was started",
        )),
    }
}

/// A word that was neither an option nor the value of one.
fn start(words: &[&str]) -> io::Result<Option<String>> {
    let all = std::iter::once("EAL").chain(words.iter().copied());
    let all: Vec<CString> = all.map(CString::new).collect::<Result<_, _>>()?;
    // EAL keeps the thread that starts it on one processor.
    let starter = std::thread::Builder::new()
        .name("lkl-eal".into())
        .spawn(move || {
            let mut pointers: Vec<*mut c_char> = all.iter().map(|word| word.as_ptr().cast_mut()).collect();
            let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
            pointers.push(std::ptr::null_mut());
            // SAFETY: as many strings as is said, and NULL; EAL changes their order and not what is in them, and copies what it keeps.
            let parsed = unsafe { sys::lkl_dpdk_start(count, pointers.as_mut_ptr()) };
            let taken = usize::try_from(parsed).map_err(|_| parsed)?;
            // What it did not take it has put last.
            let left = pointers
                .get(taken.saturating_add(1)..all.len())
                .and_then(<[_]>::first);
            let left = left.and_then(|left| all.iter().find(|word| std::ptr::eq(word.as_ptr(), *left)));
            Ok(left.map(|word| word.to_string_lossy().into_owned()))
        })?;
    let left = starter.join().map_err(|_| io::Error::other("its thread died"))?;
    left.map_err(said_or)
}

/// The first thing that DPDK has said, or what the number means.
pub(super) fn said_or(number: c_int) -> io::Error {
    let mut text = [0u8; 4096];
    // SAFETY: as much room as is said.
    unsafe { sys::lkl_dpdk_said(text.as_mut_ptr().cast(), text.len()) };
    let text = text.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let text = String::from_utf8_lossy(text);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    let system = io::Error::from_raw_os_error(number.checked_neg().unwrap_or(0));
    match first {
        Some(line) => io::Error::new(system.kind(), line.trim_start_matches("EAL: ").to_owned()),
        None => system,
    }
}
