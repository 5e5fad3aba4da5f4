//! Callback objects, as far as the kernel's own are concerned: `\Callback\PowerState`, which tells that the machine is about to
//! leave its working state, and that it is back.

#![allow(non_snake_case)]

use crate::{
    cc::segment::choose,
    io::{kernel, names},
    ke,
    nt::*,
    ob::{self, ObjectType},
    verifier::ledger::{self, Kind as Held},
};
use std::sync::{Mutex, PoisonError};

const POWER_STATE: &str = "\\Callback\\PowerState";
/// `PO_CB_SYSTEM_STATE_LOCK`.
const SYSTEM_STATE_LOCK: usize = 3;

static CALLBACK_TYPE: ObjectType = ObjectType {
    name: "Callback",
    close: None,
    delete: |_| (),
};

#[derive(Clone, Copy)]
struct Registered {
    handle: usize,
    routine: usize,
    context: usize,
}

static REGISTERED: Mutex<(usize, Vec<Registered>)> = Mutex::new((0, Vec::new()));
/// One notification at a time; taking a registration back waits for it.
static TELLING: Mutex<()> = Mutex::new(());

fn registered() -> std::sync::MutexGuard<'static, (usize, Vec<Registered>)> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine is about to leave its working state, or is `back`. Listeners are called at DISPATCH_LEVEL at most, which is why they
/// come there now and then.
pub fn tell_power_state(back: bool) {
    let _one = TELLING.lock().unwrap_or_else(PoisonError::into_inner);
    let listeners = registered().1.clone();
    for listener in listeners {
        let arguments = [listener.context, SYSTEM_STATE_LOCK, usize::from(back)];
        let before = (choose(2) == 0).then(|| ke::raise_irql(2));
        // SAFETY: the driver gave the routine, and has not taken it back.
        unsafe { kernel::call(listener.routine as *const (), arguments) };
        if let Some(before) = before {
            ke::lower_irql(before);
        }
    }
}

/// `ExCreateCallback`, for the kernel's own object.
unsafe extern "win64" fn ExCreateCallback(
    object: *mut PVOID,
    attributes: *const OBJECT_ATTRIBUTES,
    create: BOOLEAN,
    _multiple: BOOLEAN,
) -> NTSTATUS {
    // SAFETY: the driver passes attributes with a name.
    let name = String::from_utf16_lossy(&unsafe { names::characters((*attributes).ObjectName) });
    if create != 0 {
        crate::fail!(Reference, "a callback object of the driver's own is not modelled");
    }
    if !name.eq_ignore_ascii_case(POWER_STATE) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    let body = ob::create(&CALLBACK_TYPE, 16);
    ledger::add(Held::Reference, body as usize, CALLBACK_TYPE.name);
    // SAFETY: the driver passes a place for the object.
    unsafe { *object = body };
    STATUS_SUCCESS
}

/// `ExRegisterCallback`.
unsafe extern "win64" fn ExRegisterCallback(object: PVOID, routine: PVOID, context: PVOID) -> PVOID {
    if ob::type_of(object).is_none_or(|kind| kind.name != CALLBACK_TYPE.name) {
        crate::fail!(
            Reference,
            "ExRegisterCallback with {object:p}, which is no callback object"
        );
    }
    let (next, list) = &mut *registered();
    *next += 16;
    list.push(Registered {
        handle: *next,
        routine: routine as usize,
        context: context as usize,
    });
    ledger::add(Held::Registration, *next, "callback");
    *next as PVOID
}

/// `ExUnregisterCallback`: waits for a callback that runs.
unsafe extern "win64" fn ExUnregisterCallback(handle: PVOID) {
    let known = {
        let (_, list) = &mut *registered();
        let before = list.len();
        list.retain(|known| known.handle != handle as usize);
        before != list.len()
    };
    if !known {
        crate::fail!(
            Reference,
            "ExUnregisterCallback of {handle:p}, which is not registered"
        );
    }
    ledger::remove(Held::Registration, handle as usize);
    drop(TELLING.lock().unwrap_or_else(PoisonError::into_inner));
}

crate::table! {
    /// Callback objects.
    pub static IMPORTS = {
        ExCreateCallback <= PASSIVE;
        ExRegisterCallback <= APC;
        ExUnregisterCallback <= APC;
    }
}
