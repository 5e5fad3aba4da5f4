use super::*;

fn settings(text: &str) -> Result<Settings, Failure> {
    Settings::from_json(Program::new("program"), "net.json", text)
}

/// As users' files have it: texts, and numbers in the place of some.
const WHOLE: &str = r#"{
    "gateway": "10.9.1.1",
    "gateway6": "2001:db8:0:f101::1",
    "nameserver": "10.9.1.3",
    "debug": "1",
    "singlecpu": 1,
    "sysctl": "net.ipv4.tcp_wmem=4096 87380 2147483647; net.ipv4.tcp_congestion_control=bbr",
    "mount": "proc,sysfs",
    "boot_cmdline": "mem=200M ip=dhcp loglevel=8",
    "interfaces": [
        {
            "mac": "12:34:56:78:9a:bc",
            "type": "tap",
            "param": "tap0",
            "ip": "10.9.1.2",
            "masklen": "24",
            "ifgateway": "10.9.1.1",
            "ipv6": "2001:db8:0:f101::2",
            "masklen6": 64,
            "ifgateway6": "2001:db8:0:f101::1",
            "neigh": "10.9.1.7|12:34:56:78:9a:be;2001:db8:0:f101::3|12:34:56:78:9a:bf",
            "qdisc": "root|fq",
            "mtu": 1400,
            "offload": "0xc803"
        },
        { "type": "raw", "param": "eth1", "offload": 0 },
        { "type": "pipe", "param": "/tmp/in|/tmp/out" }
    ]
}"#;

#[test]
fn each_key_says_what_it_says_elsewhere() {
    let settings = settings(WHOLE).unwrap();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(settings.gateways, [ip("10.9.1.1"), ip("2001:db8:0:f101::1")]);
    assert_eq!(settings.name_servers, [ip("10.9.1.3")]);
    assert!(settings.debug);
    assert_eq!(settings.memory, 200);
    assert_eq!(settings.command_line, "quiet loglevel=5 loglevel=8");
    assert_eq!(settings.mounts, ["proc", "sysfs"]);
    let [wmem, congestion] = &*settings.sysctls else {
        panic!("{:?}", settings.sysctls);
    };
    assert_eq!(wmem.1, "4096 87380 2147483647");
    assert_eq!(congestion.0, "net.ipv4.tcp_congestion_control");
    let [tap, raw, pipe] = &*settings.interfaces else {
        panic!("{:?}", settings.interfaces);
    };
    assert_eq!(tap.net, Spec::Tap("tap0".into()));
    assert_eq!(tap.mac.unwrap().to_string(), "12:34:56:78:9a:bc");
    let fixed = [("10.9.1.2", 24), ("2001:db8:0:f101::2", 64)];
    let fixed = fixed.map(|(text, prefix)| InterfaceAddress::new(ip(text), prefix).at_once());
    assert_eq!(tap.addressing, Addressing::Fixed(fixed.to_vec()));
    assert_eq!(tap.own_gateways, [ip("10.9.1.1"), ip("2001:db8:0:f101::1")]);
    assert_eq!(tap.neighbours.len(), 2);
    assert_eq!((tap.queue.as_deref(), tap.mtu), (Some("fq"), Some(1400)));
    assert_eq!(raw.net, Spec::Raw("eth1".into()));
    let csum = Offloads::HOST_CSUM.with(Offloads::GUEST_CSUM);
    assert_eq!(tap.offloads, csum.with(Offloads::HOST_TSO4));
    assert_eq!(raw.offloads, Offloads::NONE);
    assert_eq!(pipe.offloads, Offloads::ALL);
    // "ip=dhcp" is for those without an address.
    assert_eq!(raw.addressing, Addressing::Dhcp);
    assert_eq!(pipe.net, Spec::Pipe("/tmp/in".into(), "/tmp/out".into()));
}

#[test]
fn an_interface_without_an_address_asks_for_none_unless_it_is_told_to() {
    let with = |line: &str| {
        let text =
            format!(r#"{{"boot_cmdline": "{line}", "interfaces": [{{"type": "tap", "param": "t0"}}]}}"#);
        settings(&text).map(|settings| settings.interfaces[0].clone())
    };
    assert_eq!(with("").unwrap().addressing, Addressing::Fixed(vec![]));
    assert_eq!(with("ip=off").unwrap().addressing, Addressing::Fixed(vec![]));
    assert_eq!(with("ip=dhcp").unwrap().addressing, Addressing::Dhcp);
    let fixed = with("ip=10.9.1.2::10.9.1.1:255.255.0.0::eth0:off").unwrap();
    let address = InterfaceAddress::new([10, 9, 1, 2], 16);
    assert_eq!(fixed.addressing, Addressing::Fixed(vec![address]));
    assert_eq!(fixed.gateways, [IpAddr::from([10, 9, 1, 1])]);
    let failure = with("ip=:::::eth7:dhcp").unwrap_err();
    assert!(failure.message.contains("eth0"), "{failure}");
}

#[test]
fn nat_is_one_of_the_kinds_and_has_its_addresses() {
    let settings = settings(r#"{"interfaces": [{"type": "slirp"}]}"#).unwrap();
    let interface = &settings.interfaces[0];
    assert_eq!(*interface, Interface::new(Spec::Slirp));
    assert_eq!(settings.name_servers, [IpAddr::from(NAT.name_server)]);
}

#[test]
fn what_is_wrong_is_told_by_line_and_column() {
    for (text, place, word) in [
        ("{\n  \"gatway\": \"10.0.0.1\"\n}", "line 2 column", "gatway"),
        (
            "{\n  \"gateway\": \"10.0.0.256\"\n}",
            "line 2 column",
            "10.0.0.256",
        ),
        ("{\n  \"debug\": \"yes\"\n}", "line 2 column", "yes"),
        (
            "{\n\n  \"interfaces\": [{\"type\": \"tap\", \"parm\": \"t\"}]}",
            "line 3 column",
            "parm",
        ),
        #[cfg(not(feature = "dpdk"))]
        (
            "{\"interfaces\": [\n{\"type\": \"dpdk\", \"param\": \"dpdk0\"}]}",
            "line 2 column",
            "not built in",
        ),
        (
            "{\"interfaces\": [{\"type\": \"carrier\", \"param\": \"x\"}]}",
            "line 1 column",
            "carrier",
        ),
        ("{\"interfaces\": [{\"type\": \"tap\"}]}", "line 1 column", "tap"),
        ("{\"interfaces\": [{\"param\": \"t\"}]}", "line 1 column", "type"),
        (
            "{\"interfaces\": [{\"type\": \"tap\", \"param\": \"t\", \"ip\": \"10.0.0.1\"}]}",
            "line 1",
            "masklen",
        ),
        (
            "{\"interfaces\": [{\"type\": \"tap\", \"param\": \"t\", \"ip\": \"10.0.0.1\", \"masklen\": 33}]}",
            "line 1",
            "10.0.0.1/33",
        ),
        (
            "{\"interfaces\": [{\"type\": \"tap\", \"param\": \"t\", \"mac\": \"1:2\"}]}",
            "line 1",
            "1:2",
        ),
        (
            "{\"interfaces\": [{\"type\": \"tap\", \"param\": \"t\", \"qdisc\": \"fq\"}]}",
            "line 1",
            "root|fq",
        ),
        (
            "{\"sysctl\": \"net.ipv4.ip_forward\"}",
            "line 1 column",
            "KEY=VALUE",
        ),
        ("{\"gateway\": \"10.0.0.1\",}", "line 1 column", "trailing comma"),
        ("", "line 1 column 0", "EOF"),
    ] {
        let failure = settings(text).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{text}");
        assert!(failure.message.starts_with("net.json: "), "{failure}");
        assert!(
            failure.message.contains(place) && failure.message.contains(word),
            "{text}: {failure}"
        );
    }
    for (text, word) in [
        ("{\"gateway\": \"::1\"}", "gateway"),
        ("{\"boot_cmdline\": \"mem=much\"}", "mem=much"),
    ] {
        let failure = settings(text).unwrap_err();
        assert!(failure.message.contains(word), "{failure}");
    }
}
