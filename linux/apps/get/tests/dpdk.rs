//! lklget over a device that DPDK drives. DPDK prints, and ends programs, by itself: what a user sees is lklget's one line.

#![cfg(target_os = "linux")]

mod world;

use std::process::Command;
use world::{Run, World};

/// Words that have DPDK touch nothing of this machine's but what they name.
const EAL: &str = "--no-huge --no-shconf --no-pci --no-telemetry -m 64";

fn fetch(world: &World, net: &str, url: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lklget"));
    command.args(["--net", net, "--ip", "10.9.2.2/24", "-o", "-", url]);
    world.run_command(command.current_dir(world.place()))
}

#[test]
fn a_file_of_64_mib_comes_whole() {
    let world = World::new();
    world.machine.veth("lklgetd", 2);
    world.machine.completes("lklgetdp");
    let server = world.http("10.9.2.1:0");
    let net = format!("dpdk:{EAL} --vdev=net_af_packet0,iface=lklgetd");
    let run = fetch(&world, &net, &format!("http://{server}/big")).well();
    assert!(run.out == world.server.big(), "{} bytes", run.out.len());
    assert!(!run.err.contains("EAL"), "{}", run.err);
}

#[test]
fn what_dpdk_refuses_is_told_in_one_line_and_by_the_exit_code() {
    let world = World::new();
    for (words, said) in [
        ("--no-such-word".to_owned(), "no-such-word"),
        (format!("{EAL} -l some"), "core"),
        (format!("{EAL} --socket-mem=x"), "socket-mem"),
        (format!("{EAL} --help"), "end the program"),
        (format!("{EAL} -vh"), "end the program"),
        (format!("{EAL} --hel"), "end the program"),
        (format!("{EAL} and more"), "and is no argument"),
        ("net_tap0".to_owned(), "begin with a dash"),
        (EAL.to_owned(), "no device"),
        (format!("{EAL} --vdev=net_af_packet0,iface=lklnone"), "lklnone"),
        (format!("{EAL} --vdev=net_nothing0"), "net_nothing0"),
        (format!("{EAL} --proc-type=some"), "proc"),
    ] {
        let run = fetch(&world, &format!("dpdk:{words}"), "http://10.9.2.1/");
        assert_eq!(run.code, 1, "{words}: {}", run.err);
        assert!(
            run.out.is_empty(),
            "{words}: {}",
            String::from_utf8_lossy(&run.out)
        );
        assert_eq!(run.err.lines().count(), 1, "{words}: {}", run.err);
        assert!(run.err.starts_with("lklget: --net dpdk:"), "{words}: {}", run.err);
        assert!(
            run.err.contains("DPDK: ") && run.err.contains(said),
            "{words}: {}",
            run.err
        );
        println!("{}", run.err.trim_end());
    }
}
