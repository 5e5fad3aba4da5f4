//! `wine-volume manifest DEVICE cached|direct` prints what `userctl manifest` prints, of a volume that `lklfs.sys` has mounted on
//! the device at this path of NT's. `wine-volume left-over` tells what the driver has not given back, which is nothing
//! once it is stopped. Both fail when the test driver has seen what must not be.

use std::process::ExitCode;

#[cfg(windows)]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("wine-volume: {message}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(windows)]
fn run() -> Result<(), String> {
    use std::rc::Rc;
    use userctl::manifest;
    use wine_volume::io_manager::IoManager;
    use wine_volume::volume::{DriverVolume, Reading};

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let manager = IoManager::open().map_err(|error| format!("the test driver: {error}"))?;
    let result = match arguments[..] {
        ["manifest", device, reading] => {
            let reading = match reading {
                "cached" => Reading::Cached,
                "direct" => Reading::Direct,
                _ => return Err("cached or direct?".into()),
            };
            let volume = DriverVolume::new(Rc::clone(&manager), device, reading);
            manifest::run(&volume, false, &mut std::io::stdout().lock())
                .map_err(|failure| failure.to_string())
        }
        ["left-over"] => {
            let left = manager.left_over().map_err(|status| format!("{status:?}"))?;
            let left: Vec<String> = left
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
        _ => Err("manifest DEVICE cached|direct, or left-over".into()),
    };
    let seen = manager.report().map_err(|status| format!("{status:?}"))?;
    if !seen.is_empty() {
        return Err(format!("seen: {}", seen.trim_end().replace('\n', "; ")));
    }
    result
}

#[cfg(not(windows))]
fn main() -> ExitCode {
    eprintln!("wine-volume runs under Wine only");
    ExitCode::FAILURE
}
