//! One URL, from the request to the file: redirections, what is there already, and the body.

use crate::cli::Cli;
use crate::connect::Connection;
use crate::output;
use crate::place::{Draft, Place};
use crate::progress::Progress;
use crate::refusal;
use crate::reuse::Connections;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_RANGE, COOKIE, ETAG, HOST, HeaderValue, IF_RANGE, LAST_MODIFIED, LOCATION,
    PROXY_AUTHORIZATION, RANGE, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use lkl_session::exit::{Exit, Failure};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// Fetches URLs.
pub struct Fetcher {
    pub cli: Arc<Cli>,
    pub connections: Connections,
    pub progress: Progress,
}

/// An answer, and the connection that its body comes over.
struct Answer {
    response: Response<Incoming>,
    connection: Connection,
    url: Url,
}

impl Fetcher {
    /// Fetches one.
    pub async fn fetch(&self, url: &Url, place: &Place) -> Result<(), Failure> {
        let draft = match place {
            Place::File(path) => Some(Draft::new(path, &self.cli)?),
            Place::Stdout => None,
        };
        let answer = self.answer(url, draft.as_ref()).await?;
        if self.cli.head {
            return self.head(answer).await;
        }
        match draft {
            Some(draft) => self.to_file(answer, &draft).await,
            None => self.to_stdout(answer).await,
        }
    }

    /// Asks, and goes where the servers send.
    async fn answer(&self, first: &Url, draft: Option<&Draft>) -> Result<Answer, Failure> {
        let mut url = first.clone();
        for _ in 0..=self.cli.max_redirects {
            let answer = self.ask(&url, first, draft).await?;
            if !is_redirection(answer.response.status()) {
                return Ok(answer);
            }
            let next = answer.response.headers().get(LOCATION).map(HeaderValue::as_bytes);
            let next = next.and_then(|next| std::str::from_utf8(next).ok());
            let next = next.and_then(|next| url.join(next).ok());
            let Some(next) = next.filter(|next| matches!(next.scheme(), "http" | "https")) else {
                return Err(Failure::new(
                    Exit::Other,
                    format_args!("{url}: the server sends elsewhere, but not to a URL; tell who runs it"),
                ));
            };
            self.drained(answer).await;
            url = next;
        }
        Err(Failure::new(
            Exit::Other,
            format_args!(
                "{first}: more than {} redirections, the last to {url}; name that, or raise --max-redirects",
                self.cli.max_redirects
            ),
        ))
    }

    /// One request, over a connection that there is or a new one.
    async fn ask(&self, url: &Url, first: &Url, draft: Option<&Draft>) -> Result<Answer, Failure> {
        let (mut connection, used) = self.connections.take(url).await?;
        let mut sent = self.send(&mut connection, url, first, draft).await;
        if used && matches!(sent, Err(Unsent::Cut(_))) {
            // A server may end a connection just when it is used again.
            connection = self.connections.fresh(url).await?;
            sent = self.send(&mut connection, url, first, draft).await;
        }
        match sent {
            Ok(response) => Ok(Answer {
                response,
                connection,
                url: url.clone(),
            }),
            Err(Unsent::Cut(error)) => Err(refusal::cut(url.as_str(), &error, false)),
            Err(Unsent::Refused(failure)) => Err(failure),
        }
    }

    async fn send(
        &self,
        connection: &mut Connection,
        url: &Url,
        first: &Url,
        draft: Option<&Draft>,
    ) -> Result<Response<Incoming>, Unsent> {
        let two = matches!(connection.sender, crate::connect::Sender::Http2(_));
        let request = self
            .request(url, first, draft, two)
            .map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format_args!("{url}: it cannot be asked for ({error}); look at the URL and --header"),
                )
            })
            .map_err(Unsent::Refused)?;
        connection.meter.begin();
        let limit = Duration::from_secs(self.cli.timeout.into());
        match timeout(limit, connection.send(request)).await {
            Ok(answer) => answer.map_err(Unsent::Cut),
            Err(_) => Err(Unsent::Refused(refusal::late(
                url.as_str(),
                "the server has not answered",
                self.cli.timeout,
            ))),
        }
    }

    fn request(
        &self,
        url: &Url,
        first: &Url,
        draft: Option<&Draft>,
        two: bool,
    ) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
        let method = if self.cli.head { Method::HEAD } else { Method::GET };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let authority = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or("").to_owned(),
        };
        let mut request = Request::builder().method(method);
        // HTTP/2 has the server's name in the URI, HTTP/1.1 in a header.
        request = if two {
            request.uri(format!("{}://{authority}{target}", url.scheme()))
        } else {
            request.uri(target).header(HOST, authority)
        };
        if let Some(draft) = draft.filter(|draft| draft.len > 0) {
            request = request.header(RANGE, format!("bytes={}-", draft.len));
            if let Some(tag) = &draft.tag {
                request = request.header(IF_RANGE, tag);
            }
        }
        let mut request = request.body(Empty::new())?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let agent = concat!("lklget/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        // Who the user is is for the server that was named, and for no other.
        let secret = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
        for (name, value) in &self.cli.header {
            if url.origin() == first.origin() || !secret.contains(name) {
                headers.insert(name, value.clone());
            }
        }
        Ok(request)
    }

    /// Reads a body that is not wanted, so that the connection can be used again; a long one is left.
    async fn drained(&self, answer: Answer) {
        const SHORT: u64 = 64 << 10;
        let Answer {
            response,
            connection,
            url,
        } = answer;
        let mut body = response.into_body();
        let mut left = SHORT;
        while !body.is_end_stream() {
            let Ok(Some(Ok(frame))) = timeout(Duration::from_secs(5), body.frame()).await else {
                break;
            };
            let len = frame.data_ref().map_or(0, |data| data.len() as u64);
            let Some(rest) = left.checked_sub(len) else {
                return;
            };
            left = rest;
        }
        connection.meter.end();
        if body.is_end_stream() {
            self.connections.give_back(&url, connection);
        }
    }

    async fn head(&self, answer: Answer) -> Result<(), Failure> {
        let response = &answer.response;
        let mut text = format!("{:?} {}\n", response.version(), response.status());
        for (name, value) in response.headers() {
            let value = lkl_session::text::plain(value.as_bytes());
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push('\n');
        let status = response.status();
        let url = answer.url.clone();
        self.drained(answer).await;
        output::write(text.as_bytes())?;
        if status.is_success() {
            Ok(())
        } else {
            Err(refusal::status(url.as_str(), status))
        }
    }

    /// The answer is one with the body that was asked for.
    async fn wanted(&self, answer: Answer) -> Result<Answer, Failure> {
        let status = answer.response.status();
        if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return Ok(answer);
        }
        let url = answer.url.clone();
        self.drained(answer).await;
        Err(refusal::status(url.as_str(), status))
    }

    async fn to_stdout(&self, answer: Answer) -> Result<(), Failure> {
        let answer = self.wanted(answer).await?;
        self.body(answer, 0, false, output::write).await
    }

    async fn to_file(&self, answer: Answer, draft: &Draft) -> Result<(), Failure> {
        let url = answer.url.clone();
        let status = answer.response.status();
        let range = answer
            .response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|range| range.to_str().ok());
        let start = match status {
            StatusCode::RANGE_NOT_SATISFIABLE if draft.len > 0 => {
                let whole = range.and_then(whole_length);
                self.drained(answer).await;
                return if whole == Some(draft.len) {
                    self.progress.note(&format!("{url}: it was complete already"));
                    draft.publish()
                } else {
                    Err(Failure::new(
                        Exit::Destination,
                        format_args!(
                            "{url}: what is there is not its beginning; fetch it anew, with --force and without -C"
                        ),
                    ))
                };
            }
            StatusCode::PARTIAL_CONTENT
                if draft.len > 0 && range.and_then(range_start) == Some(draft.len) =>
            {
                draft.len
            }
            StatusCode::PARTIAL_CONTENT => {
                return Err(Failure::new(
                    Exit::Other,
                    format_args!(
                        "{url}: the server sends another part than was asked for; fetch it without -C"
                    ),
                ));
            }
            _ => 0,
        };
        let answer = self.wanted(answer).await?;
        if draft.len > 0 && start == 0 {
            self.progress.note(&format!(
                "{url}: the server has another state of it, or no parts; it is fetched anew"
            ));
        }
        let tag = tag(&answer.response);
        let mut file = draft.open(start, tag.as_deref())?;
        let done = self
            .body(answer, start, true, |bytes| draft.write(&mut file, bytes))
            .await;
        drop(file);
        match done {
            Ok(()) => draft.publish(),
            Err(failure) => {
                draft.forget_if_empty();
                Err(failure)
            }
        }
    }

    /// Reads the body to its end.
    async fn body(
        &self,
        answer: Answer,
        start: u64,
        kept: bool,
        mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Answer {
            response,
            connection,
            url,
        } = answer;
        let meter = Arc::clone(&connection.meter);
        let mut body = response.into_body();
        let total = body.size_hint().exact().map(|rest| rest.saturating_add(start));
        let bar = self.progress.bar(url.as_str(), start, total);
        let limit = Duration::from_secs(self.cli.timeout.into());
        let done = loop {
            let frame = match timeout(limit, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => break Err(refusal::cut(url.as_str(), &error, kept)),
                Ok(None) => break Ok(()),
                Err(_) => {
                    break Err(refusal::late(
                        url.as_str(),
                        "nothing more has come",
                        self.cli.timeout,
                    ));
                }
            };
            if let Some(data) = frame.data_ref() {
                meter.add(data.len() as u64);
                if let Err(failure) = write(data) {
                    break Err(failure);
                }
                bar.inc(data.len() as u64);
            }
        };
        meter.end();
        match &done {
            Ok(()) => {
                bar.finish();
                self.connections.give_back(&url, connection);
            }
            Err(_) => bar.abandon(),
        }
        done
    }
}

/// Why there is no answer.
enum Unsent {
    Cut(hyper::Error),
    Refused(Failure),
}

fn is_redirection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What says of which state of a thing an answer is: a strong ETag, or the time of its last change.
fn tag(response: &Response<Incoming>) -> Option<String> {
    let text = |name| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let strong = text(ETAG).filter(|tag| !tag.starts_with("W/"));
    strong.or_else(|| text(LAST_MODIFIED))
}

/// Where `bytes 5-9/10` begins.
fn range_start(range: &str) -> Option<u64> {
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

/// How long the thing is that `bytes */10` is about.
fn whole_length(range: &str) -> Option<u64> {
    range.strip_prefix("bytes */")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_servers_write_them() {
        assert_eq!(range_start("bytes 5-9/10"), Some(5));
        assert_eq!(range_start("bytes */10"), None);
        assert_eq!(whole_length("bytes */10"), Some(10));
        assert_eq!(whole_length("bytes 5-9/10"), None);
    }
}
