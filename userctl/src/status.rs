//! `userctl status`: how the driver is doing.

use std::fmt::Write as _;
use std::io::Write;
use std::time::Duration;

use lklfs_client::Driver;
use lklfs_client::answer::{Linux, Status, Version};
use serde::Serialize;

use crate::driver::{self, failed, write_json, write_text};
use crate::exit::Failure;
use crate::text::{plain, size};

/// All of it, as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// This program's version.
    pub userctl: &'static str,
    /// The driver's.
    pub driver: String,
    /// The control interface's, as the driver speaks it.
    pub interface: String,
    /// Linux.
    pub linux: LinuxReport,
    /// Bytes of the NT pools that the driver holds.
    pub pool_held: u64,
    /// Mounted volumes.
    pub volumes: u32,
    /// Open handles on them.
    pub handles: u32,
    /// Write requests that were refused.
    pub refused_writes: u64,
}

/// The Linux inside.
#[derive(Debug, Serialize)]
pub struct LinuxReport {
    /// `not started`, `running` or `stopped` (by a panic).
    pub state: &'static str,
    /// Its release, once it has been started.
    pub release: Option<String>,
    /// How often it has panicked since the driver was loaded.
    pub panics: u32,
    /// Nanoseconds that its boot took.
    pub boot_ns: u64,
    /// Nanoseconds since.
    pub running_ns: u64,
    /// Bytes that it manages.
    pub pool_size: u64,
    /// Bytes of them that are free.
    pub pool_free: u64,
}

/// Asks the driver and writes what it says.
pub fn run(json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let report = ask(&driver::look()?)?;
    match json {
        true => write_json(&report, out),
        false => write_text(&text(&report), out),
    }
}

/// Asks the driver.
pub fn ask(driver: &Driver) -> Result<Report, Failure> {
    let version = driver.version().map_err(failed)?;
    Ok(report(&version, &driver.status().map_err(failed)?))
}

fn report(version: &Version, status: &Status) -> Report {
    let (major, minor, patch) = version.driver;
    Report {
        userctl: env!("CARGO_PKG_VERSION"),
        driver: format!("{major}.{minor}.{patch}"),
        interface: format!("{}.{}", version.interface >> 16, version.interface & 0xffff),
        linux: LinuxReport {
            state: match status.linux {
                Linux::NotStarted => "not started",
                Linux::Running => "running",
                Linux::Dead => "stopped",
            },
            release: Some(version.linux_release.clone()).filter(|release| !release.is_empty()),
            panics: status.linux_panics,
            boot_ns: status.boot_time,
            running_ns: status.running_time,
            pool_size: status.pool_size,
            pool_free: status.pool_free,
        },
        pool_held: status.pool_held,
        volumes: status.volumes,
        handles: status.handles,
        refused_writes: status.refused_writes,
    }
}

fn text(report: &Report) -> String {
    let linux = &report.linux;
    let release = linux.release.as_deref().map(|release| plain(release.as_bytes()));
    let release = release.map_or(String::new(), |release| format!("{release}, "));
    let state = match linux.state {
        "running" => format!(
            "{release}running for {}, booted in {} ms{}",
            time(linux.running_ns),
            linux.boot_ns / 1_000_000,
            match linux.panics {
                0 => String::new(),
                1 => ", started again after a panic: userctl log".into(),
                panics => format!(", started again after {panics} panics: userctl log"),
            }
        ),
        "stopped" => format!(
            "{release}stopped by a panic; the next request starts it again. If it stays so: userctl stop --force, userctl start"
        ),
        _ => "not started; the first volume starts it".to_string(),
    };
    let mut lines = vec![
        (
            "driver",
            format!("{}, control interface {}", report.driver, report.interface),
        ),
        ("userctl", report.userctl.to_string()),
        ("Linux", state),
    ];
    if linux.state == "running" {
        lines.push((
            "memory",
            format!("{}, {} of it free", size(linux.pool_size), size(linux.pool_free)),
        ));
    }
    // Not every driver counts it.
    if report.pool_held != 0 {
        lines.push(("NT pools", size(report.pool_held)));
    }
    lines.push((
        "volumes",
        format!("{}, {} open handles", report.volumes, report.handles),
    ));
    lines.push(("writes", format!("{} refused, as all are", report.refused_writes)));
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<10}{value}", format!("{name}:"));
    }
    text
}

/// A time for people, in its two largest units.
fn time(ns: u64) -> String {
    let seconds = Duration::from_nanos(ns).as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_before_and_after_its_first_volume() {
        let version = |release: &str| Version {
            interface: 0x0002_0001,
            driver: (1, 2, 3),
            linux_release: release.into(),
        };
        let idle = Status {
            linux: Linux::NotStarted,
            linux_panics: 0,
            pool_size: 128 << 20,
            pool_free: 0,
            boot_time: 0,
            running_time: 0,
            pool_held: 0,
            volumes: 0,
            handles: 0,
            refused_writes: 0,
        };
        let said = text(&report(&version(""), &idle));
        assert!(
            said.contains("driver:   1.2.3, control interface 2.1\n"),
            "{said}"
        );
        assert!(said.contains("not started") && !said.contains("memory"), "{said}");
        let busy = Status {
            linux: Linux::Running,
            boot_time: 74_500_000,
            running_time: 3_725_000_000_000,
            pool_free: 64 << 20,
            ..idle
        };
        let said = text(&report(&version("6.12.1"), &busy));
        assert!(
            said.contains("6.12.1, running for 1 h 2 min, booted in 74 ms"),
            "{said}"
        );
        assert!(said.contains("128 MiB, 64.0 MiB of it free"), "{said}");
        let dead = Status {
            linux: Linux::Dead,
            ..idle
        };
        assert!(text(&report(&version("6.12.1"), &dead)).contains("userctl start"));
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [
            (59, "59 s"),
            (61, "1 min 1 s"),
            (7260, "2 h 1 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(time(seconds * 1_000_000_000), text);
        }
    }
}
