//! `/etc/resolv.conf` as the program sees it: the name servers of its network, not the machine's.
//!
//! The file is mounted over in a mount name space of the program's own. An ordinary user needs a user name space for that, in which the user is
//! the same.

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;

const FILE: &str = "/etc/resolv.conf";

/// The file's text. `None` if no server is known.
pub fn text(servers: &[IpAddr], domains: &[String]) -> Option<String> {
    if servers.is_empty() {
        return None;
    }
    let mut text = String::new();
    if !domains.is_empty() {
        text.push_str(&format!("search {}\n", domains.join(" ")));
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    Some(text)
}

/// Mounts it over the machine's, for this process and those that it starts.
///
/// # Errors
/// In words: why the machine's stays.
pub fn replace(text: &str) -> Result<(), String> {
    let because = |what: &str, error: io::Error| {
        format!("names are asked of the servers in this machine's {FILE}: {what}: {error}")
    };
    enter().map_err(|error| because("no mount name space", error))?;
    let file = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix("lklrun-").tempfile()?;
        file.write_all(text.as_bytes())?;
        fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        // The mount keeps the file when its name is removed.
        mount_bind(file.path(), FILE)?;
        Ok(())
    };
    file().map_err(|error| because("it cannot be mounted over", error))
}

/// A mount name space whose changes nothing else sees.
fn enter() -> io::Result<()> {
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
        fs::write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))?;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_servers_and_domains() {
        let servers = ["10.0.2.3".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let domains = ["example.org".to_owned()];
        assert_eq!(
            text(&servers, &domains).unwrap(),
            "search example.org\nnameserver 10.0.2.3\nnameserver 2001:db8::1\n"
        );
        assert_eq!(text(&[], &domains), None);
    }
}
