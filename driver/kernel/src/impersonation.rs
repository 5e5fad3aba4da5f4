//! Whoever sent a request, for work that another thread does in his name: files are opened with his rights, and by his
//! drive letters and network sessions, not with the system's.
//
// UNSAFETY: calls Se* and Ps* on a client's security context.

use crate::nt::{
    self, _SECURITY_IMPERSONATION_LEVEL, NO, PsDereferenceImpersonationToken, PsDereferencePrimaryToken,
    PsGetCurrentThread, PsRevertToSelf, SECURITY_CLIENT_CONTEXT, SECURITY_QUALITY_OF_SERVICE,
    SeCreateClientSecurity, SeImpersonateClientEx, SeTokenType,
};
use core::ptr::null_mut;
use lklfs_nt::NtStatus;

/// `SECURITY_STATIC_TRACKING`: the client as he is now.
const STATIC_TRACKING: u8 = 0;
/// `TokenPrimary`.
const TOKEN_PRIMARY: u32 = 1;

/// The client of a request.
pub struct Client(SECURITY_CLIENT_CONTEXT);

// SAFETY: the context holds a referenced token, which any thread may use and give back.
unsafe impl Send for Client {}

impl Client {
    /// The one that the calling thread acts for.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn current() -> Result<Self, NtStatus> {
        let mut quality = SECURITY_QUALITY_OF_SERVICE {
            Length: size_of::<SECURITY_QUALITY_OF_SERVICE>() as u32,
            ImpersonationLevel: _SECURITY_IMPERSONATION_LEVEL::SecurityImpersonation,
            ContextTrackingMode: STATIC_TRACKING,
            EffectiveOnly: NO,
        };
        let mut context = SECURITY_CLIENT_CONTEXT::default();
        // SAFETY: may be called anywhere.
        let thread = unsafe { PsGetCurrentThread() };
        // SAFETY: the thread is the current one; both structures outlive the call.
        let status = unsafe { SeCreateClientSecurity(thread.cast(), &mut quality, NO, &mut context) };
        if status < 0 {
            return Err(nt::status(status));
        }
        Ok(Client(context))
    }

    /// Has the calling thread, one of the driver's own, do `act` in the client's name.
    ///
    /// IRQL: PASSIVE_LEVEL.
    pub fn act<R>(&mut self, act: impl FnOnce() -> R) -> Result<R, NtStatus> {
        // SAFETY: the context was made by current(); the thread is the current one.
        let status = unsafe { SeImpersonateClientEx(&mut self.0, null_mut()) };
        if status < 0 {
            return Err(nt::status(status));
        }
        let result = act();
        // SAFETY: the thread acts for the client, and for nobody else before.
        unsafe { PsRevertToSelf() };
        Ok(result)
    }
}

impl Drop for Client {
    /// This is SeDeleteClientSecurity, a macro of NT's.
    fn drop(&mut self) {
        let token = self.0.ClientToken;
        // SAFETY: the context holds a reference to its token.
        if unsafe { SeTokenType(token) } == TOKEN_PRIMARY {
            // SAFETY: as above.
            unsafe { PsDereferencePrimaryToken(token) };
        } else {
            // SAFETY: as above.
            unsafe { PsDereferenceImpersonationToken(token) };
        }
    }
}
