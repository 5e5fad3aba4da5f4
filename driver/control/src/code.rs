//! The control codes, and who may use which.

/// A device type from the range that vendors may choose.
const DEVICE_TYPE: u32 = 0x9c4b;
const FILE_READ_ACCESS: u32 = 1;
const FILE_WRITE_ACCESS: u32 = 2;

/// `CTL_CODE` with METHOD_BUFFERED.
const fn buffered(function: u32, access: u32) -> u32 {
    DEVICE_TYPE << 16 | access << 14 | function << 2
}

/// One of the driver's two control devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Interface {
    /// For administrators: everything.
    Control,
    /// For everyone: what only looks.
    Status,
}

impl Interface {
    /// Both.
    pub const ALL: [Interface; 2] = [Interface::Control, Interface::Status];

    /// The device's NT name.
    pub const fn device_name(self) -> &'static str {
        match self {
            Interface::Control => "\\Device\\Lklfs",
            Interface::Status => "\\Device\\LklfsStatus",
        }
    }

    /// The link by which Win32 programs find it.
    pub const fn link_name(self) -> &'static str {
        match self {
            Interface::Control => "\\DosDevices\\Lklfs",
            Interface::Status => "\\DosDevices\\LklfsStatus",
        }
    }

    /// Its name for `CreateFile`.
    pub const fn win32_name(self) -> &'static str {
        match self {
            Interface::Control => "\\\\.\\Lklfs",
            Interface::Status => "\\\\.\\LklfsStatus",
        }
    }

    /// Its security descriptor: SYSTEM and administrators may do all; others may read the status.
    pub const fn sddl(self) -> &'static str {
        match self {
            Interface::Control => "D:P(A;;GA;;;SY)(A;;GA;;;BA)",
            Interface::Status => "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GR;;;WD)",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Code {
    /// Which versions are there: [`crate::reply::Version`].
    Version,
    /// How the driver is doing: [`crate::reply::Status`].
    Status,
    /// The volumes: [`crate::reply::List`].
    List,
    /// Mount something: [`crate::reply::Mounted`].
    Mount,
    /// Let go of a volume or all: [`crate::Header`].
    Unmount,
    /// Log text: [`crate::reply::Log`].
    Log,
    /// Keep a policy for a volume, or forget it: [`crate::Header`].
    SetPolicy,
    /// Disks and partitions, whatever is on them: [`crate::reply::List`].
    Places,
    /// The policies that are kept: [`crate::reply::List`].
    Policies,
    /// What a volume begins with, for finding faults: [`crate::reply::Superblock`].
    Superblock,
    /// Serve nothing any more, so that the service can be stopped: [`crate::Header`].
    Stop,
    /// Serve again after a [`Code::Stop`] that no unload followed: [`crate::Header`].
    Resume,
}

impl Code {
    /// All of them.
    pub const ALL: [Code; 12] = [
        Code::Version,
        Code::Status,
        Code::List,
        Code::Mount,
        Code::Unmount,
        Code::Log,
        Code::SetPolicy,
        Code::Places,
        Code::Policies,
        Code::Superblock,
        Code::Stop,
        Code::Resume,
    ];

    /// The number. What only looks needs a handle that may read, the rest one that may write, too.
    pub const fn number(self) -> u32 {
        const BOTH: u32 = FILE_READ_ACCESS | FILE_WRITE_ACCESS;
        match self {
            Code::Version => buffered(0x810, FILE_READ_ACCESS),
            Code::Status => buffered(0x811, FILE_READ_ACCESS),
            Code::List => buffered(0x812, FILE_READ_ACCESS),
            Code::Mount => buffered(0x813, BOTH),
            Code::Unmount => buffered(0x814, BOTH),
            Code::Log => buffered(0x815, FILE_READ_ACCESS),
            Code::SetPolicy => buffered(0x816, BOTH),
            Code::Places => buffered(0x817, FILE_READ_ACCESS),
            Code::Policies => buffered(0x818, FILE_READ_ACCESS),
            Code::Superblock => buffered(0x819, FILE_READ_ACCESS),
            Code::Stop => buffered(0x81a, BOTH),
            Code::Resume => buffered(0x81b, BOTH),
        }
    }

    /// The code with this number.
    pub fn from_number(number: u32) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Whether it is answered on `interface`. Logs name files, and a superblock is what is on a disk, so they are not for
    /// everyone.
    pub const fn allowed(self, interface: Interface) -> bool {
        match interface {
            Interface::Control => true,
            Interface::Status => matches!(
                self,
                Code::Version | Code::Status | Code::List | Code::Places | Code::Policies
            ),
        }
    }
}
