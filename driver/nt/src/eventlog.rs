//! Events: what the driver tells Windows' event log.
//!
//! Event Viewer shows an event as the text that the driver's image has for its number (the message table that `build.rs` of the image
//! makes of these) with the inserts in their places: `%1` is the driver's name, `%2` and on are what the driver gives.

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// Linux has ended because of a volume. Inserts: the volume's device, its file system.
    VolumeOffline,
    /// Linux has ended while it mounted a volume. Inserts: the volume's device, its file system.
    VolumeNotMounted,
    /// Linux has ended, and no volume is known to be the cause.
    LinuxEnded,
    /// Linux has ended too often. Inserts: how often, within how many minutes.
    LinuxNotStarted,
}

impl LogEvent {
    /// All of them, by number.
    pub const ALL: [LogEvent; 4] = [
        LogEvent::VolumeOffline,
        LogEvent::VolumeNotMounted,
        LogEvent::LinuxEnded,
        LogEvent::LinuxNotStarted,
    ];

    /// Its number, as `NTSTATUS` has them: the severity (3 is an error, 2 a warning), the bit of those that are not Microsoft's, the
    /// facility (4 is I/O), and what Event Viewer shows as the event's ID.
    pub const fn id(self) -> u32 {
        match self {
            LogEvent::VolumeOffline => 0xE004_0001,
            LogEvent::VolumeNotMounted => 0xE004_0002,
            LogEvent::LinuxEnded => 0xA004_0003,
            LogEvent::LinuxNotStarted => 0xE004_0004,
        }
    }

    /// Its text.
    pub const fn text(self) -> &'static str {
        match self {
            LogEvent::VolumeOffline => {
                "The volume on %2 (%3) is offline: Linux, in which lklfs reads volumes, ended because of it. All other \
                 volumes are served by a new Linux. The volume is mounted again when it is next opened; after it has ended \
                 Linux twice, only by \"userctl mount\". The file system may be damaged: check it on Linux. \
                 \"userctl log --driver\" shows what Linux said last."
            }
            LogEvent::VolumeNotMounted => {
                "The volume on %2 (%3) is not mounted: Linux, in which lklfs reads volumes, ended because of it. All other \
                 volumes are served by a new Linux. The file system may be damaged: check it on Linux. After it has ended \
                 Linux twice, only \"userctl mount\" has it tried again. \"userctl log --driver\" shows what Linux said last."
            }
            LogEvent::LinuxEnded => {
                "Linux, in which lklfs reads volumes, ended, and no volume is known to be the cause. All volumes are served \
                 by a new Linux. \"userctl log --driver\" shows what Linux said last."
            }
            LogEvent::LinuxNotStarted => {
                "Linux, in which lklfs reads volumes, ended %2 times within %3 minutes. It is not started again, and no \
                 volume can be read, until the driver is: \"userctl stop\", then \"userctl start\". \"userctl log --driver\" \
                 shows what Linux said last."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogEvent;

    #[test]
    fn numbers_differ_and_are_warnings_or_errors_of_our_own() {
        for (index, event) in LogEvent::ALL.iter().enumerate() {
            assert!(matches!(event.id() >> 29, 0b111 | 0b101), "{event:?}");
            assert_eq!(event.id() & 0xFFFF, index as u32 + 1, "{event:?}");
        }
    }

    #[test]
    fn inserts_follow_the_drivers_name() {
        for event in LogEvent::ALL {
            assert!(
                !event.text().contains("%1"),
                "{event:?}: nothing is said of the driver's own name"
            );
            assert!(
                !event.text().contains("%3") || event.text().contains("%2"),
                "{event:?}"
            );
        }
    }
}
