//! GET and HEAD of a file: whole, one range, or several.

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::SocketAddr;

use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED,
    RANGE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::response::Builder;
use hyper::{HeaderMap, Response, StatusCode};
use lkl::Errno;

use super::condition::{Verdict, judge, range_counts, tag};
use super::property::media_type;
use super::range::{Ranges, Span, parse};
use super::reply::{Reply, Stretch};
use crate::place::{Names, written};
use crate::report::{Progress, Report, shown};
use crate::tree::{Node, Stat};
use crate::when;

/// Between the parts of a response with several ranges. It is random enough: 128 bits that no file was made for.
const BOUNDARY: &str = "b9d1f6c2e07a43588f5ce1d0a6b7f3942";

/// A file that is asked for.
pub struct Asked<'a> {
    /// Its plain path.
    pub names: &'a Names,
    /// The file.
    pub node: &'a dyn Node,
    /// What is known of it.
    pub stat: Stat,
    /// The request's header.
    pub fields: &'a HeaderMap,
    /// Whether only the header is wanted.
    pub head: bool,
}

/// Answers.
pub fn answer(asked: &Asked<'_>, report: Report, who: SocketAddr) -> Result<Response<Reply>, Errno> {
    let (stat, fields) = (&asked.stat, asked.fields);
    let mut response = Response::builder()
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, tag(stat))
        .header(LAST_MODIFIED, when::http(stat.modified))
        // A page in an image runs nothing here, and is what it is called.
        .header(CONTENT_SECURITY_POLICY, "sandbox")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff");
    match judge(fields, stat) {
        Verdict::NotModified => return finish(response.status(StatusCode::NOT_MODIFIED), Reply::empty()),
        Verdict::Failed => return finish(response.status(StatusCode::PRECONDITION_FAILED), Reply::empty()),
        Verdict::Send => {}
    }
    let field = fields.get(RANGE).and_then(|field| field.to_str().ok());
    let ranges = match field.filter(|_| !asked.head && range_counts(fields, stat)) {
        Some(field) => parse(field, stat.size),
        None => Ranges::Whole,
    };
    let media = asked
        .names
        .last()
        .map_or("application/octet-stream", |name| media_type(name));
    let (status, media, stretches) = match ranges {
        Ranges::Nothing => {
            let response = response.status(StatusCode::RANGE_NOT_SATISFIABLE);
            return finish(
                response.header(CONTENT_RANGE, format!("bytes */{}", stat.size)),
                Reply::empty(),
            );
        }
        Ranges::Whole => {
            let whole = Span {
                start: 0,
                len: stat.size,
            };
            (StatusCode::OK, media.to_owned(), stretch(whole).into())
        }
        Ranges::Some(spans) => match spans[..] {
            [span] => {
                response = response.header(CONTENT_RANGE, content_range(span, stat.size));
                (
                    StatusCode::PARTIAL_CONTENT,
                    media.to_owned(),
                    stretch(span).into(),
                )
            }
            _ => {
                let several = format!("multipart/byteranges; boundary={BOUNDARY}");
                (
                    StatusCode::PARTIAL_CONTENT,
                    several,
                    parts(&spans, stat.size, media),
                )
            }
        },
    };
    response = response.status(status).header(CONTENT_TYPE, media);
    if asked.head {
        return finish(response.header(CONTENT_LENGTH, stat.size), Reply::empty());
    }
    let content = asked.node.open()?;
    let name = shown(&written(asked.names));
    let progress = Progress::new(report, who, format!("GET {name}"), None);
    let mut reply = Reply::parts(stretches, content, progress);
    reply.begin()?;
    let len = reply.len().unwrap_or(0);
    finish(response.header(CONTENT_LENGTH, len), reply)
}

fn finish(response: Builder, reply: Reply) -> Result<Response<Reply>, Errno> {
    // All that is in it was made here.
    response.body(reply).map_err(|_| Errno::EINVAL)
}

fn content_range(span: Span, size: u64) -> String {
    let last = span.start.saturating_add(span.len).saturating_sub(1);
    format!("bytes {}-{last}/{size}", span.start)
}

fn stretch(span: Span) -> [Stretch; 1] {
    match span.len {
        0 => [Stretch::Bytes(bytes::Bytes::new())],
        len => [Stretch::File(span.start, len)],
    }
}

fn parts(spans: &[Span], size: u64, media: &str) -> VecDeque<Stretch> {
    let mut stretches = VecDeque::new();
    let mut before = String::new();
    for span in spans {
        let range = content_range(*span, size);
        let _ = write!(
            before,
            "--{BOUNDARY}\r\nContent-Type: {media}\r\nContent-Range: {range}\r\n\r\n"
        );
        stretches.push_back(Stretch::Bytes(std::mem::take(&mut before).into()));
        stretches.push_back(Stretch::File(span.start, span.len));
        before.push_str("\r\n");
    }
    let _ = write!(before, "--{BOUNDARY}--\r\n");
    stretches.push_back(Stretch::Bytes(before.into()));
    stretches
}
