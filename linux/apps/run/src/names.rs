//! What the program sees in place of the machine's files: `/etc/resolv.conf` with the name servers of its network, `/etc/hosts` with
//! the names of others there.
//!
//! The files are mounted over in a mount name space of the program's own. An ordinary user needs a user name space for that, in which the user is
//! the same.

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Which servers are asked for names.
pub const SERVERS: &str = "/etc/resolv.conf";
/// Names that are asked of none.
pub const HOSTS: &str = "/etc/hosts";

/// The text of [`SERVERS`]. `None` if no server is known.
pub fn servers(servers: &[IpAddr], domains: &[String]) -> Option<String> {
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

/// The text of [`HOSTS`]: the loopback interface, and each of the names with its addresses.
pub fn hosts<'a>(names: impl IntoIterator<Item = (&'a str, IpAddr)>) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    for (name, address) in names {
        text.push_str(&format!("{address} {name}\n"));
    }
    text
}

/// Mounts files over the machine's, for this process and those that it starts.
///
/// # Errors
/// In words: why the machine's stay.
pub(crate) fn replace(files: &[(PathBuf, String)]) -> Result<(), String> {
    let Some((first, _)) = files.first() else {
        return Ok(());
    };
    let because = |file: &Path, what: &str, error: io::Error| {
        let file = file.display();
        format!("names are looked up by this machine's {file}: {what}: {error}")
    };
    enter().map_err(|error| because(first, "no mount name space", error))?;
    for (path, text) in files {
        mount(path, text).map_err(|error| because(path, "it cannot be mounted over", error))?;
    }
    Ok(())
}

fn mount(path: &Path, text: &str) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix("lklrun-").tempfile()?;
    file.write_all(text.as_bytes())?;
    fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    // The mount keeps the file when its name is removed.
    mount_bind(file.path(), path)?;
    Ok(())
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
            super::servers(&servers, &domains).unwrap(),
            "search example.org\nnameserver 10.0.2.3\nnameserver 2001:db8::1\n"
        );
        assert_eq!(super::servers(&[], &domains), None);
    }
    #[test]
    fn a_file_of_hosts_has_the_loopback_interface_first() {
        let text = hosts([("server", "10.0.0.7".parse().unwrap())]);
        assert!(text.starts_with("127.0.0.1 localhost\n"), "{text}");
        assert!(text.ends_with("\n10.0.0.7 server\n"), "{text}");
    }
}
