//! The rules for the INF, by name. [`super::inf_rules`] checks them.
//!
//! They are those of Microsoft's pages on primitive drivers, on INF files for file-system drivers and on the directives used;
//! InfVerif, which is the judge on Windows, is not to be had here. Some are stricter than Windows, where what Windows lets
//! pass would leave something behind.

use std::fmt;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Only ASCII: SetupAPI reads other bytes in the machine's own code page.
    Ascii,
    /// No placeholder of the template is left.
    Filled,
    /// No section and no entry of `[Version]` twice: SetupAPI merges them silently.
    Once,
    /// `Signature` is `$WINDOWS NT$`.
    Signature,
    /// `Provider` names someone, who is not Microsoft.
    Provider,
    /// `Class` and `ClassGuid` are a class that Windows defines, and belong together.
    Class,
    /// `DriverVer` is a date that has come, and a version of four numbers up to 65535.
    DriverVer,
    /// `CatalogFile` is a name that ends in `.cat`.
    CatalogFile,
    /// `PnpLockdown` is 1: what is installed cannot be overwritten by another set-up.
    PnpLockdown,
    /// There is no `[Manufacturer]`: that is for devices.
    NoManufacturer,
    /// The install section is there for amd64, and neither plain nor for another processor.
    InstallDecorated,
    /// So is the uninstall section, with `LegacyUninstall = 1`.
    UninstallDecorated,
    /// Both have a `.Services` section.
    Services,
    /// Every section that is named is there.
    Reference,
    /// Every section that is there is named.
    Unused,
    /// Only directives that the driver store can undo.
    Directive,
    /// What is copied is in `[SourceDisksFiles]`, its disk in `[SourceDisksNames]`; neither the catalogue nor the INF is
    /// copied, since SetupAPI does that.
    Source,
    /// What is copied goes to System32\drivers, by folder 12.
    Destination,
    /// `ServiceType` is 2.
    ServiceType,
    /// `StartType` is 3: by this file alone nothing starts by itself. That it starts with Windows is the user's choice, and
    /// is set when it has started once.
    StartType,
    /// `ErrorControl` is 1: Windows starts without it.
    ErrorControl,
    /// There is no `LoadOrderGroup`: the group `File System` is one that Windows starts in safe mode as well.
    LoadOrderGroup,
    /// `ServiceBinary` is a file that is copied, in the folder to which it is copied.
    ServiceBinary,
    /// The service's events have their texts: the event log is told of a file that is copied, and of all kinds of events.
    EventLog,
    /// The uninstall section deletes each file that is copied and each service that is added, which it stops first, with what
    /// is registered for its events.
    Undone,
    /// Each token has a string, and each string a token.
    Strings,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// Where and how.
    pub how: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.how)
    }
}
