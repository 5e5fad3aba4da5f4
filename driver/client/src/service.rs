//! The driver as a service of Windows: started, when it is installed and does not run; and stopped, when it has let go of
//! everything (`Driver::stop`).

use std::fmt;

/// Why the driver was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// This is no Windows.
    NotHere,
    /// It takes administrator rights.
    Denied,
    /// The service has been disabled by an administrator.
    Disabled,
    /// Windows does not accept the driver's signature.
    Signature,
    /// Windows says this.
    Other(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NotHere => f.write_str("the driver is not running; it is started on Windows only"),
            StartError::Denied => f.write_str(
                "the driver is not running, and starting it takes administrator rights; run this from an administrator's prompt",
            ),
            StartError::Disabled => f.write_str(
                "the driver is disabled; let it start again with: sc config lklfs start= demand",
            ),
            StartError::Signature => f.write_str(
                "Windows does not accept the driver's signature; a test build needs test signing, see README.txt beside this program",
            ),
            StartError::Other(why) => {
                write!(f, "the driver does not start: {why}; look at it with: sc query lklfs")
            }
        }
    }
}

impl std::error::Error for StartError {}

/// What became of a stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopError {
    /// This is no Windows.
    NotHere,
    /// It takes administrator rights.
    Denied,
    /// Windows has not unloaded the driver; it goes when Windows starts again.
    Pending,
    /// Windows says this.
    Other(String),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::NotHere => f.write_str("the driver is stopped on Windows only"),
            StopError::Denied => f.write_str(
                "stopping the driver takes administrator rights; run this from an administrator's prompt",
            ),
            StopError::Pending => f.write_str(
                "the driver has let go of everything, but Windows keeps it loaded; restart Windows",
            ),
            StopError::Other(why) => {
                write!(
                    f,
                    "the driver does not stop: {why}; look at it with: sc query lklfs"
                )
            }
        }
    }
}

impl std::error::Error for StopError {}

/// Stops the driver's service, and waits until it has stopped. Whether it ran.
///
/// # Errors
/// See [`StopError`].
#[cfg(unix)]
pub fn stop() -> Result<bool, StopError> {
    Err(StopError::NotHere)
}

/// Starts the driver's service, and waits until it runs.
///
/// # Errors
/// See [`StartError`].
#[cfg(unix)]
pub fn start() -> Result<(), StartError> {
    Err(StartError::NotHere)
}

#[cfg(windows)]
pub use windows::{start, stop};

#[cfg(windows)]
mod windows {
    use std::thread;
    use std::time::{Duration, Instant};

    use windows_service::service::{ServiceAccess, ServiceState};
    use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
    use windows_service::{Error, Result as Answer};

    use super::{StartError, StopError};

    const SERVICE: &str = "lklfs";
    /// How long a start that is under way is waited for. Windows' own limit for a service is 30 s.
    const PATIENCE: Duration = Duration::from_secs(60);
    const PAUSE: Duration = Duration::from_millis(50);

    /// Starts the driver's service, and waits until it runs.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start() -> Result<(), StartError> {
        match try_to_start() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StartError::Other("it stopped again".into())),
            Err(error) => Err(meaning(&error)),
        }
    }

    /// Whether it runs in the end.
    fn try_to_start() -> Answer<bool> {
        const ERROR_SERVICE_ALREADY_RUNNING: i32 = 1056;
        let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
        let service = manager.open_service(SERVICE, ServiceAccess::START | ServiceAccess::QUERY_STATUS)?;
        match service.start::<&str>(&[]) {
            // Somebody else was faster.
            Err(error) if code(&error) != Some(ERROR_SERVICE_ALREADY_RUNNING) => return Err(error),
            _ => {}
        }
        // For a driver, Windows answers when its entry has returned; this is for what stands in for Windows.
        let since = Instant::now();
        loop {
            match service.query_status()?.current_state {
                ServiceState::Running => return Ok(true),
                ServiceState::StartPending if since.elapsed() < PATIENCE => thread::sleep(PAUSE),
                _ => return Ok(false),
            }
        }
    }

    /// Stops the driver's service, and waits until it has stopped. Whether it ran.
    ///
    /// # Errors
    /// See [`StopError`].
    pub fn stop() -> Result<bool, StopError> {
        match try_to_stop() {
            Ok(Some(ran)) => Ok(ran),
            Ok(None) => Err(StopError::Pending),
            Err(error) => match meaning(&error) {
                StartError::Denied => Err(StopError::Denied),
                StartError::Other(why) => Err(StopError::Other(why)),
                other => Err(StopError::Other(other.to_string())),
            },
        }
    }

    /// Whether it ran; nothing if it runs in the end.
    fn try_to_stop() -> Answer<Option<bool>> {
        const ERROR_SERVICE_NOT_ACTIVE: i32 = 1062;
        let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
        let service = manager.open_service(SERVICE, ServiceAccess::STOP | ServiceAccess::QUERY_STATUS)?;
        match service.stop() {
            Ok(_) => {}
            Err(error) if code(&error) == Some(ERROR_SERVICE_NOT_ACTIVE) => return Ok(Some(false)),
            Err(error) => return Err(error),
        }
        let since = Instant::now();
        while service.query_status()?.current_state != ServiceState::Stopped {
            if since.elapsed() > PATIENCE {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
        Ok(Some(true))
    }

    /// Windows' number of an error.
    fn code(error: &Error) -> Option<i32> {
        match error {
            Error::Winapi(error) => error.raw_os_error(),
            _ => None,
        }
    }

    fn meaning(error: &Error) -> StartError {
        const ERROR_ACCESS_DENIED: i32 = 5;
        const ERROR_INVALID_IMAGE_HASH: i32 = 577;
        const ERROR_SERVICE_DISABLED: i32 = 1058;
        match (code(error), error) {
            (Some(ERROR_ACCESS_DENIED), _) => StartError::Denied,
            (Some(ERROR_INVALID_IMAGE_HASH), _) => StartError::Signature,
            (Some(ERROR_SERVICE_DISABLED), _) => StartError::Disabled,
            (Some(_), Error::Winapi(error)) => StartError::Other(error.to_string()),
            (_, error) => StartError::Other(error.to_string()),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn windows_numbers_have_meanings() {
            let of = |number| meaning(&Error::Winapi(std::io::Error::from_raw_os_error(number)));
            assert_eq!(of(5), StartError::Denied);
            assert_eq!(of(577), StartError::Signature);
            assert_eq!(of(1058), StartError::Disabled);
            assert!(matches!(of(2), StartError::Other(_)));
        }
    }
}
