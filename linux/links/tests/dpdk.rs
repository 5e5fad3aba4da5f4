//! Devices of DPDK's between Linux and the machine, and between two networks of Linux's. A process has one DPDK: it has all of them.

#![cfg(target_os = "linux")]

mod sides;

use lkl_links::Spec;
use lkl_netdev::Offloads;
use networks::{Machine, echoes, exchange};
use sides::{MUCH, over};
use std::net::Ipv4Addr;

#[test]
fn what_dpdk_drives_carries_linuxs_packets_whole() {
    let machine = Machine::new();
    let folder = tempfile::tempdir().unwrap();
    let memif = format!(
        "socket={},socket-abstract=no",
        folder.path().join("memif").display()
    );
    machine.veth("lkldpdk", 1);
    machine.completes("lkldpdkp");
    machine.veth("lkllong", 3);
    machine.completes("lkllongp");
    for end in ["lkllong", "lkllongp"] {
        machine.mtu(end, 9000);
    }
    let open = |words: &str| {
        machine.inside(|| {
            words
                .parse::<Spec>()
                .unwrap()
                .open(true)
                .map_err(|error| error.to_string())
        })
    };
    let refused = |words: &str, what: &str| {
        let said = open(words).map(drop).unwrap_err();
        assert!(said.contains(what) && !said.contains('\n'), "{words}: {said}");
    };
    // Of these some start a part of it, and it can be started all the same.
    refused("dpdk:net_tap0", "begin with a dash");
    refused("dpdk:--no-pci --no-such-word", "no-such-word");
    refused("dpdk:--no-pci -l some", "core");
    refused("dpdk:-h", "explain itself");

    let first = open(&format!(
        "dpdk:--no-huge --no-shconf --no-pci --no-telemetry -m 96 --vdev=net_af_packet0,iface=lkldpdk \
         --vdev=net_af_packet1,iface=lkllong,framesz=16384,blocksz=65536 --vdev=net_tap0,iface=lkldtap --vdev=net_memif0,role=server,{memif} --vdev=net_memif1,role=client,{memif}"
    ));
    let side = over(first.unwrap(), 1500, [10, 9, 1, 2]);
    assert!(machine.ping("10.9.1.2"));
    let listener = machine.inside(|| std::net::TcpListener::bind("10.9.1.1:7000"));
    echoes(&side, &listener.unwrap(), Ipv4Addr::new(10, 9, 1, 1), MUCH);
    // It goes down and up again.
    side.config.set_down("eth0").unwrap();
    side.config.set_up("eth0").unwrap();
    assert!(machine.ping("10.9.1.2"));
    side.device.remove().unwrap();

    refused("dpdk:--no-huge", "a process has one EAL");
    refused("dpdk:net_tap7", "no device net_tap7");

    refused("dpdk:net_tap0 --no-huge", "nothing else");

    let side = over(open("dpdk:net_af_packet1").unwrap(), 9000, [10, 9, 3, 2]);
    let listener = machine.inside(|| std::net::TcpListener::bind("10.9.3.1:7000"));
    echoes(&side, &listener.unwrap(), Ipv4Addr::new(10, 9, 3, 1), MUCH);
    drop(side);

    // The machine looks at each checksum that this one computes.
    let tap = open("dpdk:net_tap0").unwrap();
    assert!(tap.offloads().has(Offloads::HOST_CSUM));
    machine.address("lkldtap", 2);
    let side = over(tap, 1500, [10, 9, 2, 2]);
    assert!(machine.ping("10.9.2.2"));
    let listener = machine.inside(|| std::net::TcpListener::bind("10.9.2.1:7000"));
    echoes(&side, &listener.unwrap(), Ipv4Addr::new(10, 9, 2, 1), MUCH);
    drop(side);

    let (one, two) = (open("dpdk:net_memif0").unwrap(), open("dpdk:net_memif1").unwrap());
    let one = over(one, 1500, [10, 8, 0, 1]);
    let two = over(two, 1500, [10, 8, 0, 2]);
    one.waits_for_carrier(true);
    two.waits_for_carrier(true);
    exchange(&one, &two, MUCH);
    drop(two);
    one.waits_for_carrier(false);
}
