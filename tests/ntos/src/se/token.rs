//! Tokens: who a thread is. A user's rights are set for the calling host thread with [`set_user`].

#![allow(non_snake_case)]

use crate::{
    nt::*,
    ob::{self, ObjectType},
    ps,
    se::sid,
};
use std::{cell::RefCell, ffi::c_void};

crate::table! {
    /// This module's imports.
    pub static IMPORTS = {
        SeCaptureSubjectContext <= PASSIVE;
        SeReleaseSubjectContext <= PASSIVE;
        SeLockSubjectContext <= PASSIVE;
        SeUnlockSubjectContext <= PASSIVE;
        SeSinglePrivilegeCheck <= PASSIVE;
        SeTokenIsAdmin <= PASSIVE;
        SeTokenIsRestricted <= PASSIVE;
        SeTokenType <= PASSIVE;
        PsReferencePrimaryToken <= PASSIVE;
        PsDereferencePrimaryToken <= PASSIVE;
        SeCreateClientSecurity <= PASSIVE;
        SeImpersonateClientEx <= PASSIVE;
        PsRevertToSelf <= PASSIVE;
        PsDereferenceImpersonationToken <= PASSIVE;
        data SeTokenObjectType = (&raw const TOKEN_POINTER).cast();
    }
}

/// TOKEN_HAS_TRAVERSE_PRIVILEGE, a flag of access states.
pub const TRAVERSE_PRIVILEGE: u32 = 1;

/// LUIDs of privileges.
pub mod privilege {
    /// SeTcbPrivilege.
    pub const TCB: u32 = 7;
    /// SeSecurityPrivilege.
    pub const SECURITY: u32 = 8;
    /// SeTakeOwnershipPrivilege.
    pub const TAKE_OWNERSHIP: u32 = 9;
    /// SeLoadDriverPrivilege.
    pub const LOAD_DRIVER: u32 = 10;
    /// SeBackupPrivilege.
    pub const BACKUP: u32 = 17;
    /// SeRestorePrivilege.
    pub const RESTORE: u32 = 18;
    /// SeChangeNotifyPrivilege.
    pub const CHANGE_NOTIFY: u32 = 23;
    /// SeManageVolumePrivilege.
    pub const MANAGE_VOLUME: u32 = 28;
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its user's SID.
    pub user: Vec<u8>,
    /// The SIDs of its groups.
    pub groups: Vec<Vec<u8>>,
    /// Its privileges' LUIDs.
    pub privileges: Vec<u32>,
}

impl Token {
    /// The local system's.
    pub fn system() -> Self {
        Self {
            user: sid::local_system(),
            groups: vec![sid::administrators(), sid::world(), sid::authenticated()],
            privileges: (2..=35).collect(),
        }
    }

    /// An administrator's.
    pub fn administrator() -> Self {
        Self {
            user: sid::make(5, &[21, 1, 2, 3, 500]),
            groups: vec![
                sid::administrators(),
                sid::users(),
                sid::world(),
                sid::authenticated(),
            ],
            privileges: vec![
                privilege::SECURITY,
                privilege::TAKE_OWNERSHIP,
                privilege::LOAD_DRIVER,
                privilege::BACKUP,
                privilege::RESTORE,
                privilege::CHANGE_NOTIFY,
                privilege::MANAGE_VOLUME,
            ],
        }
    }

    /// An ordinary user's.
    pub fn user() -> Self {
        Self {
            user: sid::make(5, &[21, 1, 2, 3, 1001]),
            groups: vec![sid::users(), sid::world(), sid::authenticated()],
            privileges: vec![privilege::CHANGE_NOTIFY],
        }
    }

    /// One of its SIDs is that one.
    pub fn has(&self, sid: &[u8]) -> bool {
        self.user == sid || self.groups.iter().any(|group| group == sid)
    }

    /// It has that privilege.
    pub fn has_privilege(&self, luid: u32) -> bool {
        self.privileges.contains(&luid)
    }
}

fn delete(body: *mut c_void) {
    // SAFETY: the last reference is gone.
    unsafe { std::ptr::drop_in_place(body.cast::<Token>()) };
}

/// The type of tokens.
pub static TOKEN_TYPE: ObjectType = ObjectType {
    name: "Token",
    close: None,
    delete,
};
static TOKEN_POINTER: ps::imports::TypePointer = ps::imports::TypePointer(&raw const TOKEN_TYPE);

thread_local! {
    static USER: RefCell<Option<Token>> = const { RefCell::new(None) };
    /// Whom the thread impersonates.
    static CLIENT: RefCell<Option<Token>> = const { RefCell::new(None) };
}

/// Who the calling host thread is from now on; `None` is an administrator (the system, for system threads).
pub fn set_user(token: Option<Token>) {
    USER.with(|user| *user.borrow_mut() = token);
}

/// Who the calling thread is: its client while it impersonates one.
pub fn current() -> Token {
    if let Some(client) = CLIENT.with(|client| client.borrow().clone()) {
        return client;
    }
    let set = USER.with(|user| user.borrow().clone());
    set.unwrap_or_else(|| {
        if ps::current().is_system {
            Token::system()
        } else {
            Token::administrator()
        }
    })
}

/// A token object for the calling thread, with one reference.
fn object() -> *mut c_void {
    let body = ob::create(&TOKEN_TYPE, size_of::<Token>());
    // SAFETY: the body is new and as long as a Token.
    unsafe { body.cast::<Token>().write(current()) };
    body
}

/// The token behind a pointer of the driver's.
pub fn of(body: PACCESS_TOKEN) -> Token {
    if !ob::type_of(body).is_some_and(|t| std::ptr::eq(t, &raw const TOKEN_TYPE)) {
        crate::fail!(BadObject, "{body:p} is no token");
    }
    // SAFETY: a live token object, checked above.
    unsafe { (*body.cast::<Token>()).clone() }
}

/// Whether the calling thread acts for a client.
pub fn impersonates() -> bool {
    // At the very end of a host thread there may be none left.
    CLIENT
        .try_with(|client| client.borrow().is_some())
        .unwrap_or(false)
}

/// Fills in a subject context for the calling thread.
pub fn capture(context: &mut SECURITY_SUBJECT_CONTEXT) {
    context.ClientToken = std::ptr::null_mut();
    context.PrimaryToken = object();
    context.ProcessAuditId = ps::process_id(ps::current_process()) as PVOID;
}

/// Gives a subject context's token back.
pub fn release(context: &mut SECURITY_SUBJECT_CONTEXT) {
    ob::dereference(context.PrimaryToken);
    context.PrimaryToken = std::ptr::null_mut();
}

/// The token that access checks use: the client's if there is one.
pub fn effective(context: &SECURITY_SUBJECT_CONTEXT) -> Token {
    of(if context.ClientToken.is_null() {
        context.PrimaryToken
    } else {
        context.ClientToken
    })
}

unsafe extern "win64" fn SeCaptureSubjectContext(context: *mut SECURITY_SUBJECT_CONTEXT) {
    // SAFETY: the driver passes memory for a context.
    capture(unsafe { &mut *context });
}

unsafe extern "win64" fn SeReleaseSubjectContext(context: *mut SECURITY_SUBJECT_CONTEXT) {
    // SAFETY: the driver passes a captured context.
    release(unsafe { &mut *context });
}

unsafe extern "win64" fn SeLockSubjectContext(context: *mut SECURITY_SUBJECT_CONTEXT) {
    // SAFETY: the driver passes a captured context, whose token is looked at.
    effective(unsafe { &*context });
}

unsafe extern "win64" fn SeUnlockSubjectContext(_context: *mut SECURITY_SUBJECT_CONTEXT) {}

unsafe extern "win64" fn SeSinglePrivilegeCheck(luid: LUID, mode: i8) -> BOOLEAN {
    u8::from(mode == 0 || (luid.HighPart == 0 && current().has_privilege(luid.LowPart)))
}

unsafe extern "win64" fn SeTokenIsAdmin(token: PACCESS_TOKEN) -> BOOLEAN {
    u8::from(of(token).has(&sid::administrators()))
}

unsafe extern "win64" fn SeTokenIsRestricted(token: PACCESS_TOKEN) -> BOOLEAN {
    of(token);
    0
}

/// TokenPrimary.
unsafe extern "win64" fn SeTokenType(token: PACCESS_TOKEN) -> i32 {
    of(token);
    1
}

unsafe extern "win64" fn PsReferencePrimaryToken(_process: PEPROCESS) -> PACCESS_TOKEN {
    object()
}

unsafe extern "win64" fn PsDereferencePrimaryToken(token: PACCESS_TOKEN) {
    ob::dereference(token);
}

/// For a copy of the client's token as it is now (SECURITY_STATIC_TRACKING) of the calling thread.
unsafe extern "win64" fn SeCreateClientSecurity(
    thread: PETHREAD,
    quality: *mut SECURITY_QUALITY_OF_SERVICE,
    remote: BOOLEAN,
    context: *mut SECURITY_CLIENT_CONTEXT,
) -> NTSTATUS {
    if thread.cast::<c_void>() != ps::current().object() {
        crate::fail!(
            BadArgument,
            "SeCreateClientSecurity for another thread: not modelled"
        );
    }
    // SAFETY: the driver passes both structures.
    unsafe {
        if (*quality).Length as usize != size_of::<SECURITY_QUALITY_OF_SERVICE>()
            || (*quality).ContextTrackingMode != 0
            || remote != 0
        {
            crate::fail!(
                BadArgument,
                "SeCreateClientSecurity for other than a static copy of a local client: not modelled"
            );
        }
        (*context).SecurityQos = *quality;
        (*context).ClientToken = object();
        (*context).DirectlyAccessClientToken = 0;
        (*context).DirectAccessEffectiveOnly = 0;
        (*context).ServerIsRemote = 0;
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn SeImpersonateClientEx(
    context: *mut SECURITY_CLIENT_CONTEXT,
    thread: PETHREAD,
) -> NTSTATUS {
    if !thread.is_null() {
        crate::fail!(
            BadArgument,
            "SeImpersonateClientEx for another thread: not modelled"
        );
    }
    if impersonates() {
        crate::fail!(
            BadArgument,
            "SeImpersonateClientEx in a thread that acts for a client already"
        );
    }
    // SAFETY: the driver passes a context that SeCreateClientSecurity filled.
    let token = of(unsafe { (*context).ClientToken });
    CLIENT.with(|client| *client.borrow_mut() = Some(token));
    STATUS_SUCCESS
}

unsafe extern "win64" fn PsRevertToSelf() {
    if CLIENT.with(|client| client.borrow_mut().take()).is_none() {
        crate::fail!(BadArgument, "PsRevertToSelf in a thread that acts for no client");
    }
}

unsafe extern "win64" fn PsDereferenceImpersonationToken(token: PACCESS_TOKEN) {
    ob::dereference(token);
}
