//! Events.

#![allow(non_snake_case)]

use crate::{
    ke::wait::{self, NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT},
    nt::*,
};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        KeInitializeEvent <= HIGH;
        KeSetEvent <= DISPATCH;
        KePulseEvent <= DISPATCH;
        KeClearEvent <= DISPATCH;
        KeResetEvent <= DISPATCH;
        KeReadStateEvent <= DISPATCH;
    }
}

fn expect(event: PRKEVENT) -> usize {
    wait::expect_type(
        event as usize,
        &[NOTIFICATION_EVENT, SYNCHRONIZATION_EVENT],
        "event",
    );
    event as usize
}

/// `KeInitializeEvent`: type 0 is a notification event, 1 a synchronization event.
pub unsafe extern "win64" fn KeInitializeEvent(event: PRKEVENT, event_type: i32, state: BOOLEAN) {
    wait::forbid_waiters(event as usize, "event");
    let object_type = if event_type == 0 {
        NOTIFICATION_EVENT
    } else {
        SYNCHRONIZATION_EVENT
    };
    // SAFETY: the driver passes memory for an event.
    unsafe {
        wait::initialize_header(
            event.cast(),
            object_type,
            size_of::<KEVENT>(),
            i32::from(state != 0),
        )
    };
}

/// `KeSetEvent`; returns the old state.
pub unsafe extern "win64" fn KeSetEvent(event: PRKEVENT, _increment: i32, wait: BOOLEAN) -> i32 {
    if wait != 0 {
        crate::fail!(BadArgument, "KeSetEvent with Wait = TRUE is not modelled");
    }
    wait::signal(expect(event), 1)
}

unsafe extern "win64" fn KePulseEvent(event: PRKEVENT, increment: i32, wait: BOOLEAN) -> i32 {
    // SAFETY: passed on from the driver.
    unsafe {
        let old = KeSetEvent(event, increment, wait);
        KeClearEvent(event);
        old
    }
}

/// `KeClearEvent`.
pub unsafe extern "win64" fn KeClearEvent(event: PRKEVENT) {
    let event = expect(event);
    let _dispatcher = wait::lock();
    wait::set_state(event, 0);
}

/// `KeResetEvent`; returns the old state.
pub unsafe extern "win64" fn KeResetEvent(event: PRKEVENT) -> i32 {
    let event = expect(event);
    let _dispatcher = wait::lock();
    let old = wait::state(event);
    wait::set_state(event, 0);
    old
}

/// `KeReadStateEvent`.
pub unsafe extern "win64" fn KeReadStateEvent(event: PRKEVENT) -> i32 {
    let event = expect(event);
    let _dispatcher = wait::lock();
    wait::state(event)
}
