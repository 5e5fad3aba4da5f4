//! Requests and their answers.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION, WWW_AUTHENTICATE,
};
use hyper::http::response::Builder;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use lkl::Errno;
use tokio::time::timeout;

use super::property::{self, Entry};
use super::propfind::{MOST_BYTES, Wanted};
use super::reply::Reply;
use super::{Server, file, page, path, propfind};
use crate::place::{MOST_SHOWN_LINKS, Names, Place, Walker};
use crate::report::{Detail, shown};
use crate::tree::{Kind, Stat, names as names_of};

/// What may be asked.
const METHODS: &str = "OPTIONS, GET, HEAD, PROPFIND";
/// What WebDAV has besides; known, and refused.
const REFUSED: [&str; 13] = [
    "PUT",
    "POST",
    "DELETE",
    "PATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPPATCH",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "MKCALENDAR",
];
/// Bytes of a body that are taken and thrown away before it is refused, and for how long.
const MOST_DRAINED: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Bytes of a page that are made at once.
const PIECE: usize = 64 << 10;

/// Answers a request.
pub async fn answer(
    server: &Server,
    walker: &RefCell<Walker>,
    who: SocketAddr,
    request: Request<Incoming>,
) -> Response<Reply> {
    let (method, target) = (request.method().clone(), request.uri().path().to_owned());
    let answered = judge(server, walker, who, request).await;
    let response = answered.unwrap_or_else(|errno| plain(status(errno), errno.text()));
    let (target, code) = (shown(target.as_bytes()), response.status().as_u16());
    server.report.say(
        Detail::Everything,
        Some(who),
        format_args!("{method} {target}: {code}"),
    );
    response
}

fn status(errno: Errno) -> StatusCode {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EINVAL => StatusCode::NOT_FOUND,
        Errno::ENAMETOOLONG => StatusCode::URI_TOO_LONG,
        Errno::EACCES | Errno::EPERM | Errno::ENOKEY => StatusCode::FORBIDDEN,
        Errno::ENOMEM | Errno::ENFILE | Errno::EMFILE => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A text for people. What is in it was made here, and is right.
fn plain(status: StatusCode, text: &str) -> Response<Reply> {
    let mut response = Response::new(Reply::bytes(format!("{text}\n")));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn finish(response: Builder, reply: Reply) -> Result<Response<Reply>, Errno> {
    response.body(reply).map_err(|_| Errno::EINVAL)
}

async fn judge(
    server: &Server,
    walker: &RefCell<Walker>,
    who: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Errno> {
    if server.loopback && !is_this_machine(&request) {
        // A page elsewhere, whose name was made to lead here, would read what is shown to this machine only.
        return Ok(plain(
            StatusCode::FORBIDDEN,
            "This server is known as localhost, or by its address.",
        ));
    }
    if !allowed(server, request.headers()) {
        let response = Response::builder().status(StatusCode::UNAUTHORIZED);
        let challenge = "Basic realm=\"disk images\", charset=\"UTF-8\"";
        return finish(response.header(WWW_AUTHENTICATE, challenge), Reply::empty());
    }
    match request.method() {
        &Method::OPTIONS => {
            // Windows takes a server for WebDAV's by the second, and mounts it by the third.
            let response = Response::builder().header(ALLOW, METHODS).header("DAV", "1");
            finish(response.header("MS-Author-Via", "DAV"), Reply::empty())
        }
        &Method::GET | &Method::HEAD => get(server, walker, who, &request),
        method if method.as_str() == "PROPFIND" => propfind(server, walker, request).await,
        method if REFUSED.contains(&method.as_str()) => {
            let body = request.into_body();
            // A client that is told while it sends would hear of a lost connection, and nothing else.
            let _ = timeout(DRAIN_TIME, Limited::new(body, MOST_DRAINED).collect()).await;
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Images are shown read-only.");
            let methods = hyper::header::HeaderValue::from_static(METHODS);
            response.headers_mut().insert(ALLOW, methods);
            Ok(response)
        }
        _ => Ok(plain(
            StatusCode::NOT_IMPLEMENTED,
            "The method is not known here.",
        )),
    }
}

/// Whether a request names this machine as its own programs do.
fn is_this_machine(request: &Request<Incoming>) -> bool {
    let field = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let Some(host) = request.uri().host().or(field) else {
        // HTTP/1.0, which no browser speaks.
        return true;
    };
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or(six),
        None => host.split(':').next().unwrap_or(host),
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<std::net::IpAddr>().is_ok()
}

/// Whether a request may read.
fn allowed(server: &Server, fields: &HeaderMap) -> bool {
    if server.accounts.anonymous() {
        return true;
    }
    let given = fields.get(AUTHORIZATION).and_then(|field| field.to_str().ok());
    let Some((scheme, rest)) = given.and_then(|given| given.split_once(' ')) else {
        return false;
    };
    let Ok(pair) = BASE64_STANDARD.decode(rest.trim()) else {
        return false;
    };
    let mut parts = pair.splitn(2, |byte| *byte == b':');
    let (name, word) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    scheme.eq_ignore_ascii_case("basic") && server.accounts.check(name, word)
}

fn get(
    server: &Server,
    walker: &RefCell<Walker>,
    who: SocketAddr,
    request: &Request<Incoming>,
) -> Result<Response<Reply>, Errno> {
    let (names, slash) = path::decode(request.uri().path())?;
    let place = walker.borrow_mut().find(&names)?;
    let stat = place.node().stat()?;
    let head = request.method() == Method::HEAD;
    match stat.kind {
        Kind::File if slash => Err(Errno::ENOTDIR),
        Kind::File => {
            let (node, fields) = (place.node(), request.headers());
            let asked = file::Asked {
                names: &names,
                node,
                stat,
                fields,
                head,
            };
            file::answer(&asked, server.report, who)
        }
        Kind::Folder if !slash => {
            let response = Response::builder().status(StatusCode::MOVED_PERMANENTLY);
            finish(
                response.header(LOCATION, path::encode(&names, true)),
                Reply::empty(),
            )
        }
        Kind::Folder => {
            let response = Response::builder()
                .header(CONTENT_TYPE, "text/html; charset=utf-8")
                .header(
                    CONTENT_SECURITY_POLICY,
                    "default-src 'none'; style-src 'unsafe-inline'",
                );
            let reply = match head {
                true => Reply::empty(),
                false => listing(&place, &names)?,
            };
            finish(response, reply)
        }
        _ => Err(Errno::EACCES),
    }
}

/// The entries of a folder that can be shown: files, folders, and links to those.
struct Entries {
    folder: Place,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl Entries {
    fn of(folder: &Place) -> Result<Entries, Errno> {
        let mut names = names_of(folder.node())?;
        names.sort_unstable();
        Ok(Entries {
            folder: folder.clone(),
            names: names.into_iter(),
        })
    }

    /// What an entry is, and where; the place of a link is what it leads to. `None`: it is not shown.
    fn look(&self, name: &[u8]) -> Option<(Option<Place>, Stat)> {
        let stat = self.folder.node().stat_of(name).ok()?;
        match stat.kind {
            Kind::File | Kind::Folder => Some((None, stat)),
            Kind::Link => {
                let place = self.folder.step(name).ok()?;
                let stat = place.node().stat().ok()?;
                let shown = match stat.kind {
                    Kind::File => true,
                    Kind::Folder => {
                        place.links() <= MOST_SHOWN_LINKS && !self.folder.is_within((stat.device, stat.inode))
                    }
                    _ => false,
                };
                shown.then_some((Some(place), stat))
            }
            _ => None,
        }
    }
}

fn listing(folder: &Place, names: &Names) -> Result<Reply, Errno> {
    let mut entries = Entries::of(folder)?;
    let mut head = Some(page::head(names));
    Ok(Reply::written(Box::new(move |out| {
        let mut text = head.take().unwrap_or_default();
        while text.len() < PIECE {
            let Some(name) = entries.names.next() else {
                text.push_str(page::TAIL);
                out.extend_from_slice(text.as_bytes());
                return false;
            };
            if let Some((_, stat)) = entries.look(&name) {
                page::row(&name, &stat, &mut text);
            }
        }
        out.extend_from_slice(text.as_bytes());
        true
    })))
}

async fn propfind(
    server: &Server,
    walker: &RefCell<Walker>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Errno> {
    let xml = |status| {
        Response::builder()
            .status(status)
            .header(CONTENT_TYPE, "application/xml; charset=utf-8")
    };
    let depth = request
        .headers()
        .get("depth")
        .map(|depth| depth.as_bytes().to_ascii_lowercase());
    let deep = match depth.as_deref() {
        Some(b"0") => false,
        Some(b"1" | b"1,noroot") => true,
        // Without the field it is infinity.
        None | Some(b"infinity") => {
            return finish(xml(StatusCode::FORBIDDEN), Reply::bytes(property::FINITE));
        }
        Some(_) => return Ok(plain(StatusCode::BAD_REQUEST, "Depth is 0 or 1.")),
    };
    let target = path::decode(request.uri().path());
    let body = Limited::new(request.into_body(), MOST_BYTES).collect();
    let body = match timeout(server.idle, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Ok(plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "That is too long a question.",
            ));
        }
        Err(_) => return Ok(plain(StatusCode::REQUEST_TIMEOUT, "The question did not end.")),
    };
    let Some(wanted) = propfind::parse(&body.to_bytes()) else {
        return Ok(plain(
            StatusCode::BAD_REQUEST,
            "The body is no propfind of WebDAV's.",
        ));
    };
    let (names, _) = target?;
    let place = walker.borrow_mut().find(&names)?;
    let stat = place.node().stat()?;
    match stat.kind {
        Kind::File | Kind::Folder => {}
        _ => return Err(Errno::EACCES),
    }
    let entries = match deep && stat.kind == Kind::Folder {
        true => Some(Entries::of(&place)?),
        false => None,
    };
    finish(
        xml(StatusCode::MULTI_STATUS),
        responses(place, stat, names, wanted, entries),
    )
}

/// A multi-status of something, and of its entries.
fn responses(place: Place, stat: Stat, names: Names, wanted: Wanted, mut entries: Option<Entries>) -> Reply {
    let mut first = true;
    Reply::written(Box::new(move |out| {
        let mut text = String::new();
        if std::mem::take(&mut first) {
            text.push_str(property::HEAD);
            let (names, node) = (&names[..], place.node());
            property::respond(&Entry { names, node, stat }, &wanted, &mut text);
        }
        while text.len() < PIECE {
            let next = entries.as_mut().and_then(|entries| entries.names.next());
            let (Some(name), Some(entries)) = (next, &entries) else {
                text.push_str(property::TAIL);
                out.extend_from_slice(text.as_bytes());
                return false;
            };
            if let Some((target, stat)) = entries.look(&name) {
                // Room is that of the volume that the folder is on, and of the top, that of each image.
                let own = match stat.inode {
                    0 => entries.folder.entry(&name).ok(),
                    _ => None,
                };
                let at = target.or(own).unwrap_or_else(|| place.clone());
                let names = [&names[..], &[name]].concat();
                let (names, node) = (&names[..], at.node());
                property::respond(&Entry { names, node, stat }, &wanted, &mut text);
            }
        }
        out.extend_from_slice(text.as_bytes());
        true
    }))
}
