use super::*;
use crate::Addressing;
use lkl_links::Spec;
use lkl_net::config::InterfaceAddress;
use std::net::IpAddr;

fn settings(variables: &[(&str, &str)]) -> Result<Option<Settings>, Failure> {
    let variables = variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    Settings::from_environment(Program::new("program"), variables)
}

#[test]
fn variables_make_an_interface_and_what_is_global() {
    let set = settings(&[
        ("HOME", "/root"),
        ("LKL_HIJACK_NET_IFTYPE", "tap"),
        ("LKL_HIJACK_NET_IFPARAMS", "tap0"),
        ("LKL_HIJACK_NET_IP", "10.9.1.2"),
        ("LKL_HIJACK_NET_NETMASK_LEN", "24"),
        ("LKL_HIJACK_NET_GATEWAY", "10.9.1.1"),
        ("LKL_HIJACK_NET_QDISC", "root|fq"),
        ("LKL_HIJACK_NET_NEIGHBOR", "10.9.1.7|12:34:56:78:9a:be"),
        ("LKL_HIJACK_OFFLOAD", "0xc803"),
        ("LKL_HIJACK_MOUNT", "proc"),
        ("LKL_HIJACK_DEBUG", "0"),
        (
            "LKL_HIJACK_SYSCTL",
            "net.ipv4.tcp_congestion_control=bbr;net.ipv4.tcp_wmem=4096 65536 67108864",
        ),
    ]);
    let set = set.unwrap().expect("settings");
    assert_eq!(set.source, Source::Environment);
    assert_eq!(set.gateways, ["10.9.1.1".parse::<IpAddr>().unwrap()]);
    assert_eq!((set.sysctls.len(), set.mounts.len(), set.debug), (2, 1, false));
    let interface = &set.interfaces[0];
    assert_eq!(interface.net, Spec::Tap("tap0".into()));
    let address = InterfaceAddress::new([10, 9, 1, 2], 24).at_once();
    assert_eq!(interface.addressing, Addressing::Fixed(vec![address]));
    assert_eq!(interface.queue.as_deref(), Some("fq"));
    assert_eq!(interface.neighbours.len(), 1);
}

#[test]
fn without_such_variables_there_are_no_settings() {
    assert!(settings(&[("HOME", "/root"), ("LKL", "1")]).unwrap().is_none());
}

#[test]
fn a_variable_takes_the_place_of_what_the_file_says() {
    let folder = std::env::temp_dir().join(format!("lkl-net-setup-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("net.json");
    let text = r#"{"debug": 0, "mount": "proc", "interfaces": [{"type": "tap", "param": "tap7"}]}"#;
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let both = settings(&[("LKL_HIJACK_CONFIG_FILE", path), ("LKL_HIJACK_DEBUG", "1")]);
    let twice = settings(&[("LKL_HIJACK_CONFIG_FILE", path), ("LKL_HIJACK_NET_TAP", "tap0")]);
    std::fs::write(&file, "{\n\"x\": 1}").unwrap();
    let wrong = settings(&[("LKL_HIJACK_CONFIG_FILE", path)]);
    std::fs::remove_dir_all(&folder).unwrap();
    let both = both.unwrap().expect("settings");
    assert!(both.debug && both.mounts == ["proc"]);
    assert_eq!(both.interfaces[0].net, Spec::Tap("tap7".into()));
    assert!(twice.unwrap_err().message.contains("leave one of them out"));
    let wrong = wrong.unwrap_err().message;
    assert!(wrong.contains(path) && wrong.contains("line 2 column"), "{wrong}");
}

#[test]
fn what_is_wrong_is_told_by_the_name_of_its_variable() {
    for (name, value, word) in [
        ("LKL_HIJACK_NET_IP", "10.0.0.256", "10.0.0.256"),
        ("LKL_HIJACK_NET_IPP", "10.0.0.1", "known"),
        ("LKL_HIJACK_NET_MTU", "0", "68 to 65535"),
        ("LKL_HIJACK_DEBUG", "yes", "yes"),
        ("LKL_HIJACK_CONFIG_FILE", "/nonexistent/file", "/nonexistent/file"),
    ] {
        let failure = settings(&[(name, value)]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let message = &failure.message;
        assert!(message.starts_with(name) && message.contains(word), "{message}");
    }
    let dpdk = settings(&[
        ("LKL_HIJACK_NET_IFTYPE", "dpdk"),
        ("LKL_HIJACK_NET_IFPARAMS", "dpdk0"),
    ]);
    match cfg!(feature = "dpdk") {
        true => assert_eq!(dpdk.unwrap().unwrap().interfaces[0].net.to_string(), "dpdk:dpdk0"),
        false => assert!(dpdk.unwrap_err().message.contains("not built in")),
    }
}
