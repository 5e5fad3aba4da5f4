//! What the I/O manager makes of a file system's refusal to mount a volume.
//!
//! UNRECOGNIZED_VOLUME is the one status that leaves the volume to the next file system: so FAT turns an unreadable boot
//! sector of a CD into it, lest CDFS not be asked. A fault of sectors (FsRtlIsTotalDeviceFailure says of CRC_ERROR and
//! DEVICE_DATA_ERROR that they are none of the device) does so, too. What the user can do something about
//! (IoIsErrorUserInduced) ends the search, and the open fails with it. Any other status is taken for a failure of the
//! device: no file system is asked any more but the raw one, and that only when the whole volume is opened.

use super::harderror::is_user_induced;
use crate::nt::*;

/// What is done after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// The next file system is asked.
    Next,
    /// The raw file system alone is asked.
    RawOnly,
    /// No other is asked.
    Over,
}

/// What is done after a file system has refused a volume with `status`.
pub fn after(status: NTSTATUS) -> Search {
    match status {
        STATUS_UNRECOGNIZED_VOLUME | STATUS_CRC_ERROR | STATUS_DEVICE_DATA_ERROR => Search::Next,
        status if is_user_induced(status) => Search::Over,
        _ => Search::RawOnly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_is_not_recognised_is_the_next_file_systems() {
        assert_eq!(after(STATUS_UNRECOGNIZED_VOLUME), Search::Next);
        assert_eq!(after(STATUS_DEVICE_DATA_ERROR), Search::Next);
        assert_eq!(after(STATUS_NO_MEDIA_IN_DEVICE), Search::Over);
        assert_eq!(after(STATUS_VERIFY_REQUIRED), Search::Over);
        assert_eq!(after(STATUS_INSUFFICIENT_RESOURCES), Search::RawOnly);
        assert_eq!(after(STATUS_IO_DEVICE_ERROR), Search::RawOnly);
        assert_eq!(after(STATUS_NO_SUCH_DEVICE), Search::RawOnly);
    }
}
