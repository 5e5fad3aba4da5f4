//! The rules, by name.

/// Makes the rules, and the list of them.
macro_rules! rules {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// A rule that a driver can break. The comment names the bug check or Verifier code that NT would stop with.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
        pub enum Code {
            $($(#[$about])* $name,)*
        }

        impl Code {
            /// Every rule. `tests/verifier.rs` has a seeded bug for each.
            pub const ALL: &[Code] = &[$(Code::$name),*];
        }
    };
}

rules! {
    /// An import was called above its IRQL ceiling (0xA, 0xC4/0x30 and others).
    IrqlTooHigh,
    /// The driver returned, or a lock was released, at another IRQL than expected (0xC8, 0xC4/0x31).
    IrqlMismatch,
    /// A wait that may block at DISPATCH_LEVEL or above (0xA, 0xB8).
    WaitAtDispatch,
    /// Pool asked for wrongly: size 0, tag 0, paged pool at DISPATCH_LEVEL (0xC4).
    PoolRequest,
    /// Executable pool (0xC4/0x2000).
    ExecutablePool,
    /// A pool block freed twice (0xC2).
    DoubleFree,
    /// Free of something that is no pool block, or with another tag (0xC2).
    BadFree,
    /// Bytes before or after a pool block were written (0xC1, 0x19).
    PoolCorruption,
    /// Freed memory still holds a live lock, timer or awaited object (0xC7, 0xC4/0xD2).
    FreedInUse,
    /// Memory touched after it was freed (0xCC, 0xD5).
    UseAfterFree,
    /// A guard page was touched: overrun or underrun of a block (0xCD, 0xD6).
    GuardPage,
    /// Any other fault in the driver (0x50, 0x7E, 0x8E).
    AccessViolation,
    /// A page fault at an address of the kernel's half that nothing is at. No `__try` catches that (0x50).
    InvalidKernelAddress,
    /// A page fault at DISPATCH_LEVEL or above, where none can be served and no `__try` is asked (0xA, 0xD1).
    PageFaultAtDispatch,
    /// An exception left the callout of an expanded stack (0x1E).
    CalloutException,
    /// A kernel stack ran out (0x7F/8).
    StackOverflow,
    /// An import was called on a stack outside of the limits that NT has for the thread: a stack that the driver made
    /// itself. Whoever asks for the limits below it is wrong, and no exception is dispatched (0x1E, 0x139/4).
    ForeignStack,
    /// A return that the shadow stack has otherwise: a jump has left return addresses on it (0x139/0x39).
    ShadowStack,
    /// An illegal instruction, a division by zero, a breakpoint in the driver (0x7E).
    IllegalInstruction,
    /// An exception nobody handled (0x1E).
    UnhandledException,
    /// Locks were taken in two orders (0xC4/0x1001).
    LockOrder,
    /// A lock was taken twice, released by another thread, or not held (0xC4/0x1005, 0xE3, 0x162).
    LockOwner,
    /// A resource or fast mutex was used with APCs enabled (0xC4/0x37, 0x38).
    ApcsEnabled,
    /// KeLeaveCriticalRegion without an enter, or a return with one left (0xC4/0x39, 0x4000).
    CriticalRegion,
    /// A wrong or uninitialised dispatcher object.
    BadObject,
    /// A reference or handle count went wrong (0x18, 0x93).
    Reference,
    /// An MDL used wrongly: locked twice, unlocked unlocked, mapped twice, freed mapped (0xC4/0x140 and others).
    Mdl,
    /// A timer or DPC was freed or initialised while queued (0xC7).
    Timer,
    /// A thread ended holding something, or in a place where it must not (0xC4, 0x1F9).
    ThreadExit,
    /// What the driver leaves behind after unload (0xC4/0x62).
    Leak,
    /// An import that the double does not model was called.
    Unmodelled,
    /// The driver called KeBugCheck(Ex).
    BugCheck,
    /// The image breaks a loader or HVCI rule (0xC4/0x2001 to 0x2005).
    Image,
    /// An argument that NT would reject with a bug check or that Verifier flags.
    BadArgument,
    /// An IRP was completed twice or touched after its completion (0x44, 0xC9).
    IrpCompletedTwice,
    /// Any other misuse of an IRP or a stack location (0xC9).
    Irp,
    /// A misuse of a device object, VPB or file object (0xC9).
    Device,
    /// A misuse of the cache manager (0x34).
    Cache,
    /// A misuse of FsRtl (0x35 and others).
    FsRtl,
    /// A write reached a disk.
    DiskWrite,
    /// A user's thread, suspended where normal kernel APCs are on, has what others wait for (no bug check: they hang).
    SuspendedHolder,
    /// Nothing happened for too long.
    Hang,
}
