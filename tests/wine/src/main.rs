//! What the driver shows of a volume that it has mounted, DEVICE being a path of NT's:
//!
//! - `wine-volume manifest DEVICE cached|direct|userctl [THREADS]` prints what `userctl manifest` prints: by requests that
//!   every file system knows, files being read through the cache or past it; or as `userctl` reads a mounted volume. Several
//!   threads read the whole tree each, at the same time, and must see the same.
//! - `wine-volume rights DEVICE everyone|other|UID` opens everything as an administrator and as a standard user, who may read
//!   all, or what the modes allow to others or to this owner, and prints how many opens were allowed and denied.
//! - `wine-volume busy DEVICE FILE LETTER` keeps a file open while `userctl.exe` unmounts the volume, which is then gone.
//! - `wine-volume left-over` fails when the driver has not given everything back, which it must once it is stopped.
//!
//! All fail when the test driver has seen what must not be.

use std::process::ExitCode;

#[cfg(windows)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match command::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("wine-volume: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(windows))]
fn main() -> ExitCode {
    eprintln!("wine-volume runs under Wine only");
    ExitCode::FAILURE
}

#[cfg(windows)]
mod command {
    use std::io::Write;
    use std::rc::Rc;
    use std::thread;

    use lklfs_nt::NtStatus;
    use userctl::manifest;
    use userctl::mounted::Mounted;
    use wine_volume::busy;
    use wine_volume::io_manager::IoManager;
    use wine_volume::rights::{self, Who};
    use wine_volume::volume::{DriverVolume, Reading, root};

    const USAGE: &str =
        "manifest DEVICE cached|direct|userctl [THREADS], rights DEVICE everyone|other|UID, or left-over";

    fn refused(status: NtStatus) -> String {
        format!("the test driver refuses: {status:?}")
    }

    fn io_manager() -> Result<Rc<IoManager>, String> {
        IoManager::open().map_err(|error| format!("the test driver: {error}"))
    }

    fn volume(device: &str, reading: Reading) -> Result<DriverVolume, String> {
        Ok(DriverVolume::new(io_manager()?, device, reading))
    }

    pub fn run(arguments: &[&str]) -> Result<(), String> {
        let result = match *arguments {
            ["manifest", device, reading] => print(device, reading, "1"),
            ["manifest", device, reading, threads] => print(device, reading, threads),
            ["rights", device, who] => {
                let who = Who::parse(who).ok_or(USAGE)?;
                rights::check(&volume(device, Reading::Cached)?, who)
                    .map(|opens| println!("{} allowed, {} denied", opens.allowed, opens.denied))
            }
            ["busy", device, file, letter] => busy::check(&io_manager()?, device, file, letter),
            ["left-over"] => left_over(),
            _ => return Err(USAGE.into()),
        };
        let seen = io_manager()?.report().map_err(refused)?;
        if !seen.is_empty() {
            return Err(format!("seen: {}", seen.trim_end().replace('\n', "; ")));
        }
        result
    }

    /// The manifest as one thread sees it.
    fn manifest(device: &str, how: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let printed = match how {
            "cached" => manifest::run(&volume(device, Reading::Cached)?, false, &mut out),
            "direct" => manifest::run(&volume(device, Reading::Direct)?, false, &mut out),
            "userctl" => {
                let root = root(&io_manager()?, device).map_err(|status| format!("{device}: {status:?}"))?;
                let volume = Mounted::over(root, device).ok_or("this is not the driver's")?;
                manifest::run(&volume, false, &mut out)
            }
            _ => return Err(USAGE.into()),
        };
        printed.map_err(|failure| failure.to_string())?;
        Ok(out)
    }

    fn print(device: &str, how: &str, threads: &str) -> Result<(), String> {
        let threads: usize = threads.parse().map_err(|_| USAGE)?;
        let seen: Vec<Result<Vec<u8>, String>> = thread::scope(|scope| {
            let readers: Vec<_> = (0..threads)
                .map(|_| scope.spawn(|| manifest(device, how)))
                .collect();
            let joined = readers.into_iter().map(thread::ScopedJoinHandle::join);
            joined
                .map(|joined| joined.unwrap_or_else(|_| Err("a reader panicked".into())))
                .collect()
        });
        let seen: Vec<Vec<u8>> = seen.into_iter().collect::<Result<_, _>>()?;
        let first = seen.first().ok_or(USAGE)?;
        if let Some(other) = seen.iter().position(|other| other != first) {
            return Err(format!("reader {other} saw something else than reader 0"));
        }
        let written = std::io::stdout().write_all(first);
        written.map_err(|error| error.to_string())
    }

    fn left_over() -> Result<(), String> {
        let left: Vec<String> = io_manager()?
            .left_over()
            .map_err(refused)?
            .counts
            .iter()
            .filter(|(_, count)| *count != 0)
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("left over: {}", left.join(", "))),
        }
    }
}
