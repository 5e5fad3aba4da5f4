use super::*;
use proptest::prelude::*;

fn code(line: &str) -> u16 {
    parse(line.as_bytes()).unwrap_err().code
}

#[test]
fn commands_are_read() {
    for (line, command) in [
        ("USER joe", Command::User(b"joe".into())),
        ("user joe smith", Command::User(b"joe smith".into())),
        ("PASS", Command::Pass(b"".into())),
        ("PASS  two spaces", Command::Pass(b" two spaces".into())),
        ("RETR a b ", Command::Retr(b"a b ".into())),
        ("XPWD", Command::Pwd),
        ("LIST -al", Command::List(b"".into())),
        ("LIST -a -l /x y", Command::List(b"/x y".into())),
        ("LIST -strange-name", Command::List(b"-strange-name".into())),
        ("LIST", Command::List(b"".into())),
        ("TYPE I", Command::Type(Representation::Image)),
        ("type a n", Command::Type(Representation::Text)),
        ("TYPE L 8", Command::Type(Representation::Image)),
        ("REST 18446744073709551615", Command::Rest(u64::MAX)),
        (
            "PORT 192,0,2,1,4,1",
            Command::Port("192.0.2.1:1025".parse().unwrap()),
        ),
        (
            "EPRT |1|192.0.2.1|1025|",
            Command::Port("192.0.2.1:1025".parse().unwrap()),
        ),
        (
            "EPRT !2!2001:db8::1!1025!",
            Command::Port("[2001:db8::1]:1025".parse().unwrap()),
        ),
        ("EPSV all", Command::Epsv(Extended::All)),
        ("EPSV", Command::Epsv(Extended::Any)),
        ("PROT p", Command::Prot(Protection::Private)),
        ("auth tls", Command::Auth(b"TLS".into())),
        ("STOR x y", Command::Change(Change::Store(b"x y".into()))),
        ("STOU", Command::Change(Change::StoreUnique(b"".into()))),
        ("XMKD x", Command::Change(Change::MakeFolder(b"x".into()))),
        (
            "site chmod 0644 a b",
            Command::Change(Change::SetMode(0o644, b"a b".into())),
        ),
        (
            "SITE SYMLINK to from",
            Command::Change(Change::MakeLink {
                target: b"to".into(),
                path: b"from".into(),
            }),
        ),
        ("ALLO 10 R 20", Command::Allo(10)),
        ("HELP retr", Command::Help(Some("RETR".into()))),
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
    }
}

#[test]
fn what_is_no_command_gets_the_code_for_it() {
    for (line, expected) in [
        ("", 500),
        (" ", 500),
        ("GET / HTTP/1.1", 502),
        ("\u{ff}\u{f4}ABOR", 500),
        ("RETRIEVAL x", 500),
        ("FROB", 502),
        ("RETR", 501),
        ("CWD", 501),
        ("REST -1", 501),
        ("REST 18446744073709551616", 501),
        ("REST 1x", 501),
        ("TYPE E", 504),
        ("TYPE I I", 504),
        ("STRU R", 504),
        ("MODE B", 504),
        ("PORT 1,2,3,4,5", 501),
        ("PORT 1,2,3,4,5,6,7", 501),
        ("PORT 256,2,3,4,5,6", 501),
        ("EPRT |1|::1|1025|", 501),
        ("EPRT |3|x|1025|", 501),
        ("EPRT |3|::1|1025|", 522),
        ("EPRT |1|127.0.0.1|65536|", 501),
        ("EPRT |1|127.0.0.1|1025", 501),
        ("EPSV 3", 522),
        ("PROT E", 536),
        ("PBSZ x", 501),
        ("STOR", 501),
        ("ALLO", 501),
        ("MFMT 2026 x", 501),
        ("MFMT 20260101000000", 501),
        ("SITE CHMOD 8 x", 501),
        ("SITE CHMOD 10000 x", 501),
        ("SITE SYMLINK x", 501),
        ("SITE UMASK 022", 504),
    ] {
        assert_eq!(code(line), expected, "{line}");
    }
}

#[test]
fn help_lists_what_is_known() {
    for verb in VERBS {
        assert_ne!(
            parse(verb.as_bytes()).map_err(|wrong| wrong.code),
            Err(502),
            "{verb}"
        );
    }
}

proptest! {
    #[test]
    fn any_line_is_a_command_or_has_an_answer(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(wrong) = parse(&line) {
            prop_assert!((500..560).contains(&wrong.code));
            prop_assert!(wrong.text.chars().all(|letter| !letter.is_control()));
        }
    }

    #[test]
    fn any_argument_of_a_known_verb_is_taken_or_has_an_answer(
        verb in proptest::sample::select(VERBS),
        argument in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b','), Just(b'|'), Just(b'1'), Just(b'-'), Just(b' ')], 0..60,
        ),
    ) {
        let line = [verb.as_bytes(), b" ", &argument].concat();
        match parse(&line) {
            Err(wrong) => prop_assert!((500..560).contains(&wrong.code)),
            Ok(Command::Retr(path)) => prop_assert_eq!(path, argument),
            Ok(_) => {}
        }
    }

    #[test]
    fn ports_come_back_as_they_were(bytes in any::<[u8; 6]>()) {
        let text = bytes.map(|byte| byte.to_string()).join(",");
        let [a, b, c, d, high, low] = bytes;
        let expected = SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([high, low]));
        prop_assert_eq!(parse(format!("PORT {text}").as_bytes()), Ok(Command::Port(expected)));
        let extended = format!("EPRT |1|{}|{}|", expected.ip(), expected.port());
        prop_assert_eq!(parse(extended.as_bytes()), Ok(Command::Port(expected)));
    }
}
