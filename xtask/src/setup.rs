//! `cargo xtask setup`: what a fresh Debian 12 machine lacks, by apt.
//!
//! Every task that needs packages calls [`ensure`] first. Nothing is run when nothing is missing, so an ordinary user
//! is asked for no password on a machine that is ready.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell};

/// A set of packages that are needed for one thing.
pub struct Group {
    /// What needs them.
    pub what: &'static str,
    packages: &'static [&'static str],
}

/// Linux as a library: source, kbuild's tools.
pub const KERNEL: Group = Group {
    what: "to build Linux",
    packages: &[
        "bc",
        "bison",
        "flex",
        "gcc",
        "libelf-dev",
        "linux-source-6.12",
        "make",
        "rsync",
        "xz-utils",
    ],
};

/// The second Linux, which shows that the port follows mainline.
pub const OTHER_KERNEL: Group = Group {
    what: "to build the port against another Linux",
    packages: &["linux-source-6.1"],
};

/// The driver and programs for Windows.
pub const WINDOWS: Group = Group {
    what: "to build for Windows",
    packages: &[
        "cargo-web",
        "clang-19",
        "gcc-mingw-w64-x86-64",
        "libclang-19-dev",
        "lld-19",
        "llvm-19",
        "mingw-w64-x86-64-dev",
        "rust-web-clippy",
        "rust-web-src",
        "rustc-web",
    ],
};

/// Tools that make file systems.
pub const VOLUMES: Group = Group {
    what: "to make test images",
    packages: &[
        "acl",
        "attr",
        "btrfs-progs",
        "bzip2",
        "dosfstools",
        "e2fsprogs",
        "erofs-utils",
        "exfat-fuse",
        "exfatprogs",
        "f2fs-tools",
        "fdisk",
        "gdisk",
        "genisoimage",
        "genromfs",
        "hfsutils",
        "jfsutils",
        "kmod",
        "makefs",
        "mtools",
        "nilfs-tools",
        "ntfs-3g",
        "qemu-utils",
        "squashfs-tools",
        "udfclient",
        "udftools",
        "util-linux",
        "xfsprogs",
    ],
};

/// References that results are compared with.
pub const REFERENCES: Group = Group {
    what: "to compare with",
    packages: &[
        "fuse2fs",
        "fuse3",
        "libarchive-tools",
        "user-mode-linux",
        "wine",
        "wine64",
    ],
};

/// A simulator of networks, to compare lklsim with.
pub const SIMULATORS: Group = Group {
    what: "to compare simulations with",
    packages: &["g++", "libgsl-dev", "libns3-dev", "pkg-config"],
};

/// What the package is made with.
pub const PACKAGING: Group = Group {
    what: "to make the package",
    packages: &["gcab", "nsis", "openssl", "osslsigncode"],
};

/// A screen for the pictures of the set-up program. No test needs it.
pub const SCREEN: Group = Group {
    what: "to draw windows",
    packages: &["xvfb"],
};

/// What programs in C are compiled with, as their authors do.
pub const PROGRAMS: Group = Group {
    what: "to compile programs that use the library",
    packages: &["g++", "pkgconf"],
};

/// What programs on the library are linked with.
pub const APPLICATIONS: Group = Group {
    what: "to build the applications",
    packages: &["libslirp-dev"],
};

/// The host that is off by default, beside libclang ([`WINDOWS`]).
pub const APR: Group = Group {
    what: "to try the host of the Apache Portable Runtime",
    packages: &["libapr1-dev"],
};

/// Devices for networks that are off by default, and interfaces of the machine's that do without offloads, of which those know nothing.
pub const DPDK: Group = Group {
    what: "to try DPDK's devices",
    packages: &["ethtool", "libdpdk-dev"],
};

/// What makes the machine's own networks do without offloads, and loads servers, for measurements.
pub const NETWORK_MEASURES: Group = Group {
    what: "to measure networks",
    packages: &["curl", "ethtool", "wrk"],
};

/// Clients that the servers are judged by.
pub const CLIENTS: Group = Group {
    what: "to judge the servers",
    packages: &[
        "cadaver",
        "curl",
        "lftp",
        "libnfs-dev",
        "libnfs-utils",
        "python3",
        "rclone",
        "smbclient",
        "vsftpd",
        "wget",
    ],
};

/// Networks of this machine's that tests make, and what speaks with Linux's own over them.
pub const NETWORKS: Group = Group {
    what: "to test networks",
    packages: &["iproute2", "iputils-ping"],
};

/// What else speaks with Linux's interfaces: machines, switches, and user-mode networks.
pub const PEERS: Group = Group {
    what: "to test what networks are connected to",
    packages: &["passt", "qemu-system-sparc", "slirp4netns", "vde2"],
};

/// Programs that know nothing of this Linux and run on its network.
pub const RUN_ON_IT: Group = Group {
    what: "to run on Linux's network",
    packages: &[
        "bird2",
        "iperf3",
        "libc6-dev",
        "nginx-light",
        "nodejs",
        "python3-requests",
        "redis-server",
        "redis-tools",
    ],
};

/// Everything that tests need.
pub const ALL: &[&Group] = &[
    &KERNEL,
    &OTHER_KERNEL,
    &WINDOWS,
    &VOLUMES,
    &REFERENCES,
    &PACKAGING,
    &PROGRAMS,
    &APPLICATIONS,
    &APR,
    &DPDK,
    &CLIENTS,
    &NETWORKS,
    &PEERS,
    &RUN_ON_IT,
];

/// Installs what is missing of `groups`, saying so.
pub fn ensure(sh: &Shell, groups: &[&Group]) -> Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let mut missing = BTreeSet::new();
    for group in groups {
        let lacking = not_installed(sh, group.packages)?;
        if !lacking.is_empty() {
            eprintln!("setup: {}: {}", group.what, lacking.join(" "));
        }
        missing.extend(lacking);
    }
    if !missing.is_empty() {
        // One package of another release's keeps Debian 12's QEMU out, or would be taken away for it.
        if missing.contains("qemu-system-sparc") {
            missing.insert("qemu-utils/bookworm");
        }
        let missing: Vec<&str> = missing.into_iter().collect();
        without_services(sh, || install(sh, &missing))?;
    }
    list_of_mounts(sh)
}

/// A tree made by debootstrap alone lacks /etc/mtab, without which mkfs.nilfs2 makes nothing.
fn list_of_mounts(sh: &Shell) -> Result<()> {
    const MTAB: &str = "/etc/mtab";
    if Path::new(MTAB).exists() {
        return Ok(());
    }
    as_root(sh)?
        .args(["ln", "-sf", "../proc/self/mounts", MTAB])
        .run()
        .context("/etc/mtab cannot be made")
}

/// Those of `packages` that dpkg does not list as installed.
fn not_installed(sh: &Shell, packages: &[&'static str]) -> Result<Vec<&'static str>> {
    let listed = sh
        .cmd("dpkg-query")
        .args(["-W", "-f=${Package} ${db:Status-Status}\\n"])
        .args(packages)
        .quiet()
        .ignore_status()
        .ignore_stderr()
        .read()
        .context(
            "dpkg-query: the set-up knows Debian 12; on another system install the same tools by hand",
        )?;
    let installed: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .collect();
    Ok(packages
        .iter()
        .copied()
        .filter(|package| !installed.contains(package))
        .collect())
}

/// Keeps packages that are installed meanwhile from starting what they have for it (servers, routing daemons): tests start their own.
fn without_services<T>(sh: &Shell, act: impl FnOnce() -> Result<T>) -> Result<T> {
    /// What Debian asks before it starts a service. A machine that has one keeps it.
    const POLICY: &str = "/usr/sbin/policy-rc.d";
    if Path::new(POLICY).exists() {
        return act();
    }
    let script = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
    as_root(sh)?.args(["sh", "-c", &script]).run()?;
    let done = act();
    as_root(sh)?.args(["rm", "-f", POLICY]).run()?;
    done
}

/// Runs apt-get, as root or through sudo; the lists are fetched only when the packages are not in them.
fn install(sh: &Shell, packages: &[&str]) -> Result<()> {
    if apt(sh, &["install"], packages).is_ok() {
        return Ok(());
    }
    eprintln!("setup: the package lists are missing or old");
    apt(sh, &["update"], &[])?;
    apt(sh, &["install"], packages)
        .with_context(|| format!("apt-get could not install: {}", packages.join(" ")))
}

/// One run of apt-get that asks nothing.
fn apt(sh: &Shell, verb: &[&str], packages: &[&str]) -> Result<()> {
    let options = [
        "-q",
        "-y",
        "--no-install-recommends",
        "--allow-downgrades",
        "-o",
        "Dpkg::Use-Pty=0",
        "-o",
        "DPkg::Lock::Timeout=300",
    ];
    let cmd = as_root(sh).with_context(|| format!("install as root: {}", packages.join(" ")))?;
    cmd.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
        .args(options)
        .args(verb)
        .args(packages)
        .run()?;
    Ok(())
}

/// `env`, as root or through sudo: the command follows.
fn as_root(sh: &Shell) -> Result<Cmd<'_>> {
    if is_root(sh)? {
        return Ok(sh.cmd("env"));
    }
    let asked = sh.cmd("sudo").arg("-V").quiet().ignore_stdout().ignore_stderr();
    if asked.run().is_err() {
        bail!("not root, and there is no sudo");
    }
    Ok(sh.cmd("sudo").arg("env"))
}

/// Whether this process may install packages itself.
fn is_root(sh: &Shell) -> Result<bool> {
    Ok(sh.cmd("id").arg("-u").quiet().read()? == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_listed_once_and_in_order() {
        let mut seen = BTreeSet::new();
        for group in ALL.iter().chain([&&SCREEN]) {
            assert!(group.packages.is_sorted(), "{}: not in order", group.what);
            for package in group.packages {
                assert!(seen.insert(package), "{package} is in two groups");
            }
        }
    }

    #[test]
    fn a_package_that_does_not_exist_is_missing_and_one_that_must_exist_is_not() {
        let sh = Shell::new().unwrap();
        if sh
            .cmd("dpkg-query")
            .arg("--version")
            .quiet()
            .ignore_stdout()
            .run()
            .is_err()
        {
            return;
        }
        assert_eq!(
            not_installed(&sh, &["dpkg", "no-such-package"]).unwrap(),
            ["no-such-package"]
        );
    }
}
