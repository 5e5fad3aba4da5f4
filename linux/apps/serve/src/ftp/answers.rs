//! Answers that tell about the server, the session or a file.

use std::io;

use super::command::VERBS;
use super::listing::{Facts, Form, facts};
use super::paths;
use super::session::Session;

impl Session {
    pub(super) async fn feat(&mut self) -> io::Result<()> {
        let mut features = vec![
            "EPRT",
            "EPSV",
            "MDTM",
            "PASV",
            "REST STREAM",
            "SIZE",
            "TVFS",
            "UTF8",
        ];
        if self.server.tls.is_some() {
            features.extend(["AUTH TLS", "PBSZ", "PROT"]);
        }
        if self.server.writing.is_some() {
            features.extend(["MFMT", "SITE CHMOD", "SITE SYMLINK"]);
        }
        let mlst = format!("MLST {}", self.facts.written(true));
        features.push(&mlst);
        features.sort_unstable();
        self.control.say_lines(211, "Features:", &features, "End").await
    }

    pub(super) async fn help(&mut self, verb: Option<String>) -> io::Result<()> {
        match verb {
            Some(verb) if !VERBS.contains(&&verb[..]) => {
                self.control.say(502, &format!("{verb} is not known here.")).await
            }
            Some(verb) => {
                self.control
                    .say(214, &format!("{verb}: see RFC 959, 2228, 2428 and 3659."))
                    .await
            }
            None => {
                let rows: Vec<String> = VERBS.chunks(8).map(|row| row.join(" ")).collect();
                let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
                let last = match self.may_write {
                    true => "End",
                    false => "What changes files is refused.",
                };
                self.control.say_lines(214, "Known commands:", &rows, last).await
            }
        }
    }

    pub(super) async fn opts(&mut self, what: &[u8]) -> io::Result<()> {
        let upper = what.to_ascii_uppercase();
        match &upper[..] {
            b"UTF8 ON" | b"UTF8" | b"UTF-8 ON" => self.control.say(200, "Names are UTF-8.").await,
            b"UTF8 OFF" => self.control.say(504, "Names are bytes, most often UTF-8.").await,
            [b'M', b'L', b'S', b'T', rest @ ..] => {
                self.facts = Facts::chosen(rest.trim_ascii());
                let text = format!("MLST OPTS {}", self.facts.written(false));
                self.control.say(200, &text).await
            }
            _ => self.control.say(501, "There are OPTS UTF8 and OPTS MLST.").await,
        }
    }

    pub(super) async fn mlst(&mut self, path: &[u8]) -> io::Result<()> {
        let (names, stat, target, rights) = match self.facts_of(path) {
            Ok(found) => found,
            Err(errno) => return self.refuse(path, errno).await,
        };
        let mut line = Vec::new();
        facts(self.facts, &stat, target.as_deref(), rights, &mut line);
        line.push(b' ');
        line.extend(paths::sendable(&names));
        self.control.say_line(250, "The facts:", &line, "End").await
    }

    pub(super) async fn status(&mut self, path: &[u8]) -> io::Result<()> {
        if !path.is_empty() {
            let mut listing = match self.listing(path, Form::Long) {
                Ok(listing) => listing,
                Err(errno) => return self.refuse(path, errno).await,
            };
            let mut out = Vec::new();
            // By the control connection: no more than a screen or two.
            listing.fill(&mut out, 64 << 10);
            return self.control.say_block(213, "Status:", &out, "End").await;
        }
        let rows = [
            format!("Connected from {}", self.address),
            format!("TLS: {}", if self.control.is_tls() { "yes" } else { "no" }),
            format!("TYPE {:?}, STRU File, MODE Stream", self.representation),
            format!(
                "Idle clients are sent away after {} s",
                self.server.idle.as_secs()
            ),
        ];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        self.control.say_lines(211, "Status:", &rows, "End").await
    }
}
