//! The network of the C library: programs of `linux/c/tests/network`, each in a network of this machine's of its own, with this machine's own
//! stack at the other end of a TAP device, of an interface, of a macvtap; two programs at the ends of two pipes; and a program whose
//! own functions are the other end.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::trial::{Linkage, Workshop, path_with_sbin};
use crate::repo;

/// Where the programs are.
pub const FOLDER: &str = "linux/c/tests/network";

/// A TAP device, `$2`, with 10.9.1.1/24.
const TAP: &str = "ip link set lo up && ip tuntap add $2 mode tap vnet_hdr && ip addr add 10.9.1.1/24 dev $2 && \
                   ip link set $2 up && exec \"$0\" \"$@\"";
/// A wire, one end of which has 10.9.1.1/24; the other is `$2`.
const WIRE: &str = "ip link set lo up && ip link add $2 type veth peer name lklpeer && \
                    ip addr add 10.9.1.1/24 dev lklpeer && ip link set lklpeer up && ip link set $2 up && exec \"$0\" \"$@\"";
/// The same with a macvtap, whose device is one more argument.
const MACVTAP: &str = "ip link set lo up && ip link add $2 type veth peer name lklpeer && \
                       ip addr add 10.9.1.1/24 dev lklpeer && ip link set lklpeer up && ip link set $2 up && \
                       ip link add link $2 name lklmacvtap type macvtap mode bridge && ip link set lklmacvtap up && \
                       number=$(ip -o link show lklmacvtap) && exec \"$0\" \"$@\" /dev/tap${number%%:*}";

/// What is run, and in which network.
const GROUPS: &[(&[&str], Option<&str>)] = &[
    (&["wrong"], None),
    (&["helpers"], None),
    (&["own"], None),
    (&["tap", "lkltap"], Some(TAP)),
    (&["raw", "lklwire"], Some(WIRE)),
    (&["macvtap", "lklwire"], Some(MACVTAP)),
    (
        &["boot", "lkltap", "ip=10.9.1.2::10.9.1.1:255.255.255.0::eth0:off"],
        Some(TAP),
    ),
    (&["boot", "lkltap", "ip=dhcp"], Some(TAP)),
];

/// The programs' sources.
pub fn sources() -> Result<Vec<PathBuf>> {
    let folder = repo::root().join(FOLDER);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "c") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs all of them.
pub fn tried(sh: &Shell, shop: &Workshop, linkage: Linkage) -> Result<()> {
    let program = shop
        .compile_from(sh, "network", &sources()?, linkage, &["-lpthread"])?
        .map_err(|errors| anyhow::anyhow!("the programs of the network do not compile:\n{errors}"))?;
    for (arguments, script) in GROUPS {
        let said = match script {
            None => shop.run(sh, &program, linkage, |cmd| cmd.args(*arguments))?,
            Some(script) => {
                let unshare = PathBuf::from("unshare");
                shop.run(sh, &unshare, linkage, |cmd| {
                    cmd.args(["--net", "sh", "-c", script])
                        .arg(&program)
                        .args(*arguments)
                        .env("PATH", path_with_sbin())
                })?
            }
        };
        ensure!(
            said.ends_with(" checks, 0 failed\n"),
            "network {}: {said}",
            arguments.join(" ")
        );
    }
    pipes(sh, shop, linkage)
}

/// Two programs, one at each end of two FIFOs.
fn pipes(sh: &Shell, shop: &Workshop, linkage: Linkage) -> Result<()> {
    const SCRIPT: &str = "\"$0\" pipe-answer \"$1|$2\" > \"$3\" & until grep -q listening \"$3\"; do \
                          kill -0 $! || exit 1; sleep 0.05; done; \"$0\" pipe-ask \"$2|$1\" && wait $! && tail -n 1 \"$3\"";
    let (there, back, said) = (shop.path("there"), shop.path("back"), shop.path("said"));
    for fifo in [&there, &back] {
        if !fifo.exists() {
            sh.cmd("mkfifo").arg(fifo).quiet().run()?;
        }
    }
    let program = shop.path("network");
    let text = shop.run(sh, &PathBuf::from("sh"), linkage, |cmd| {
        cmd.args(["-c", SCRIPT])
            .arg(&program)
            .args([&there, &back, &said])
    })?;
    let sound = text
        .lines()
        .filter(|line| line.ends_with(" checks, 0 failed"))
        .count();
    ensure!(sound == 2, "network pipe-answer, pipe-ask: {text}");
    Ok(())
}
