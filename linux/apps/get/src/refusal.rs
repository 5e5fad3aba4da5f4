//! Why a URL could not be fetched, in a line that says what to do.

use hyper::StatusCode;
use lkl_net::errno;
use lkl_session::exit::{Exit, Failure, reason};
use rustls::CertificateError;
use std::error::Error;
use std::io;
use std::net::SocketAddr;

/// A name that could not be resolved.
pub fn unresolved(url: &str, error: &io::Error) -> Failure {
    let text = reason(error);
    let text = text.split("; Namespace").next().unwrap_or(&text);
    let (exit, advice) = match error.kind() {
        io::ErrorKind::TimedOut => (
            Exit::Timeout,
            "name a server that answers with --dns, or look at --gateway",
        ),
        io::ErrorKind::NotFound if text.ends_with("no name server is set") => {
            (Exit::Other, "name one with --dns, or write an address")
        }
        _ => (
            Exit::Other,
            "look at how it is spelled, or name another server with --dns",
        ),
    };
    let text = text
        .trim_end_matches(" is set")
        .replace("no name server", "there is no name server to ask");
    Failure::new(exit, format_args!("{url}: {text}; {advice}"))
}

/// A connection that was not made.
pub fn unconnected(url: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let number = errno(error).map_or(0, |errno| errno.number());
    let (exit, text) = match number {
        101 => (
            Exit::Other,
            format!(
                "there is no route to {}; give a --gateway, or another --net",
                address.ip()
            ),
        ),
        113 | 112 => (
            Exit::Other,
            format!(
                "no host answers at {}; look at the address, --ip, --gateway and --net",
                address.ip()
            ),
        ),
        111 => (
            Exit::Other,
            format!("{address} refuses the connection; no server listens at that port"),
        ),
        110 => (
            Exit::Timeout,
            format!("{address} does not answer; try again later"),
        ),
        97 | 99 => (
            Exit::Other,
            format!(
                "{address}: {}; give an address of that kind with --ip",
                reason(error)
            ),
        ),
        _ => (Exit::Other, format!("{address}: {}; try again", reason(error))),
    };
    Failure::new(exit, format_args!("{url}: {text}"))
}

/// A time limit that is over.
pub fn late(url: &str, what: &str, seconds: u32) -> Failure {
    Failure::new(
        Exit::Timeout,
        format_args!("{url}: {what} for {seconds} s; try again, or raise --timeout"),
    )
}

/// A handshake of TLS's that failed.
pub fn untrusted(url: &str, error: &io::Error) -> Failure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let text = match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            let why = certificate(why);
            format!("the server's certificate is wrong: {why}, or --insecure if that does not matter")
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            "the server does not speak TLS; is it http:// that is meant?".to_owned()
        }
        Some(other) => format!("TLS: {other}; the server or something before it does not take this"),
        None => format!(
            "the connection ended within the handshake of TLS ({}); is it http:// that is meant?",
            reason(error)
        ),
    };
    Failure::new(Exit::Other, format_args!("{url}: {text}"))
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; look at this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; look at this machine's clock".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name; use the name that it is for".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "no authority that is trusted has signed it; name one with --cacert".to_owned()
        }
        CertificateError::Revoked => "it was revoked; do not use this server".to_owned(),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is an authority's own, and none for a server; the server needs another".to_owned()
        }
        other => format!("{other}; the server needs another"),
    }
}

/// A status that is no success.
pub fn status(url: &str, status: StatusCode) -> Failure {
    let reason = status.canonical_reason().unwrap_or("a status without a name");
    let code = status.as_u16();
    let (exit, advice) = match code {
        404 | 410 => (Exit::Path, "the server has no such thing; look at the URL"),
        401 | 407 => (Exit::Path, "say who you are with --header \"Authorization: ...\""),
        403 => (Exit::Path, "the server does not give it to you"),
        400..=499 => (Exit::Path, "the server does not take this request"),
        500..=599 => (Exit::Other, "the server has a fault; try again later"),
        _ => (Exit::Other, "that is no answer to this request"),
    };
    Failure::new(exit, format_args!("{url}: {code} {reason}; {advice}"))
}

/// An exchange that ended before its end. `kept`: what came is kept.
pub fn cut(url: &str, error: &(dyn Error + 'static), kept: bool) -> Failure {
    let mut text = error.to_string();
    let mut cause = error.source();
    let is_parse = |error: &(dyn Error + 'static)| error.downcast_ref().is_some_and(hyper::Error::is_parse);
    let mut garbage = is_parse(error);
    while let Some(inner) = cause {
        garbage |= is_parse(inner);
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    if garbage {
        return Failure::new(
            Exit::Other,
            format_args!("{url}: what answers there does not speak HTTP ({text}); look at the port"),
        );
    }
    let advice = if kept { "go on with -C" } else { "try again" };
    Failure::new(
        Exit::Other,
        format_args!("{url}: the connection was cut ({text}); {advice}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_status_says_what_to_do() {
        let of = |code| status("http://x/", StatusCode::from_u16(code).unwrap());
        assert_eq!(of(404).exit, Exit::Path);
        assert_eq!(of(503).exit, Exit::Other);
        assert!(of(401).message.contains("--header"));
        assert!(of(404).message.starts_with("http://x/: 404 Not Found; "));
    }

    #[test]
    fn a_certificate_that_is_wrong_says_why() {
        let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let said = untrusted("https://x/", &io::Error::new(io::ErrorKind::InvalidData, error));
        assert!(said.message.contains("no authority") && said.message.contains("--cacert"));
    }
}
