//! A client's session: its state, and the answer to each command.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::change::Change;
use super::channel::Channel;
use super::command::{Command, Protection, Representation, parse};
use super::control::Control;
use super::listing::{Facts, Form};
use super::wire::{Line, Wire};
use super::{Server, paths};
use crate::place::{Names, Walker};
use crate::report::{Detail, shown};

/// How long a client may take to log in.
const LOGIN: Duration = Duration::from_secs(60);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// What a wrong password costs.
const PENALTY: Duration = Duration::from_secs(1);
/// Wrong passwords, and lines in a row that are no commands.
const MOST_LOGINS: u32 = 3;
const MOST_WRONG: u32 = 50;

enum Login {
    Open,
    Named(Vec<u8>),
    Done,
}

/// Whether the session goes on.
enum Next {
    Stay,
    Leave,
}

pub(super) struct Session {
    pub(super) server: Arc<Server>,
    pub(super) address: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) control: Control,
    pub(super) walker: Walker,
    pub(super) here: Names,
    login: Login,
    failures: u32,
    /// Whether this client may change files.
    pub(super) may_write: bool,
    /// What RNFR has named.
    pub(super) renamed: Option<Names>,
    /// Bytes that ALLO has told of.
    pub(super) allocated: u64,
    /// What the walker knows is as of then.
    moves: u64,
    pub(super) representation: Representation,
    pub(super) restart: u64,
    pub(super) channel: Channel,
    pub(super) extended_only: bool,
    pub(super) protection: Protection,
    pub(super) facts: Facts,
}

/// Serves one client until it leaves.
pub async fn run(server: Arc<Server>, stream: TcpStream, address: SocketAddr) {
    let report = server.report;
    let Ok(local) = stream.local_addr() else { return };
    report.say(Detail::Usual, Some(address), format_args!("connected"));
    let session = Session {
        walker: Walker::new(Arc::clone(&server.top)),
        server,
        address,
        local,
        control: Control::new(Wire::Plain(stream)),
        here: Names::new(),
        login: Login::Open,
        failures: 0,
        may_write: false,
        renamed: None,
        allocated: 0,
        moves: 0,
        representation: Representation::Text,
        restart: 0,
        channel: Channel::None,
        extended_only: false,
        protection: Protection::Clear,
        facts: Facts::ALL,
    };
    match session.converse().await {
        Ok(()) => report.say(Detail::Usual, Some(address), format_args!("left")),
        Err(error) => report.say(Detail::Usual, Some(address), format_args!("lost: {error}")),
    }
}

impl Session {
    async fn converse(mut self) -> io::Result<()> {
        let greeting = match (&self.server.writing, self.server.accounts.anonymous()) {
            (None, true) => "Disk images, read-only. Log in as anonymous.",
            (None, false) => "Disk images, read-only.",
            (Some(_), true) => "Disk images. Log in, or as anonymous.",
            (Some(_), false) => "Disk images. Log in.",
        };
        self.control.say(220, greeting).await?;
        let mut wrong = 0;
        loop {
            let patience = match self.login {
                Login::Done => self.server.idle,
                _ => self.server.idle.min(LOGIN),
            };
            let line = match timeout(patience, self.control.next()).await {
                Ok(line) => line?,
                Err(_) => {
                    self.control
                        .say(421, "Nothing was heard for too long; goodbye.")
                        .await?;
                    return Ok(());
                }
            };
            let line = match line {
                Line::Whole(line) => line,
                Line::End => return Ok(()),
                Line::TooLong => {
                    self.control.say(500, "The line is too long.").await?;
                    continue;
                }
            };
            self.note(&line);
            wrong = match parse(&line) {
                Ok(command) => match self.answer(command).await? {
                    Next::Stay => 0,
                    Next::Leave => return Ok(()),
                },
                Err(wrong_line) => {
                    self.control.say(wrong_line.code, &wrong_line.text).await?;
                    wrong + 1
                }
            };
            if wrong > MOST_WRONG {
                self.control
                    .say(421, "Too many lines that are no commands; goodbye.")
                    .await?;
                return Ok(());
            }
        }
    }

    /// For the log: a command, and no password.
    fn note(&self, line: &[u8]) {
        let secret = line
            .get(..4)
            .is_some_and(|verb| verb.eq_ignore_ascii_case(b"PASS"));
        let line = if secret {
            "PASS ...".to_owned()
        } else {
            shown(line)
        };
        self.say(Detail::Everything, format_args!("{line}"));
    }

    pub(super) fn say(&self, detail: Detail, what: std::fmt::Arguments<'_>) {
        self.server.report.say(detail, Some(self.address), what);
    }

    async fn answer(&mut self, command: Command) -> io::Result<Next> {
        let open = matches!(
            command,
            Command::User(_)
                | Command::Pass(_)
                | Command::Quit
                | Command::Auth(_)
                | Command::Pbsz
                | Command::Prot(_)
                | Command::Feat
                | Command::Help(_)
                | Command::Noop
                | Command::Syst
                | Command::Opts(_)
        );
        if !open && !matches!(self.login, Login::Done) {
            self.control.say(530, "Log in first, with USER and PASS.").await?;
            return Ok(Next::Stay);
        }
        if let Some(writing) = &self.server.writing {
            let moves = writing.moves.load(Ordering::Acquire);
            if moves != self.moves {
                self.moves = moves;
                self.walker.forget();
            }
        }
        if !matches!(command, Command::Change(Change::RenameTo(_))) {
            self.renamed = None;
        }
        match command {
            Command::User(name) => return self.user(name).await,
            Command::Pass(word) => return self.pass(&word).await,
            Command::Auth(kind) => return self.auth(&kind).await,
            Command::Quit => {
                self.control.say(221, "Goodbye.").await?;
                return Ok(Next::Leave);
            }
            Command::Cwd(path) => self.cwd(&path).await?,
            Command::Cdup => self.cwd(b"..").await?,
            Command::Pwd => {
                let path = paths::quoted(&self.here);
                self.control
                    .say_bytes(257, &[&path[..], b" is the current folder."].concat())
                    .await?;
            }
            Command::Noop => self.control.say(200, "Yes.").await?,
            Command::Allo(bytes) => self.allo(bytes).await?,
            Command::Syst => self.control.say(215, "UNIX Type: L8").await?,
            Command::Feat => self.feat().await?,
            Command::Help(verb) => self.help(verb).await?,
            Command::Opts(what) => self.opts(&what).await?,
            Command::Type(representation) => {
                self.representation = representation;
                let name = match representation {
                    Representation::Text => "TYPE is A: lines end with CR LF on the way.",
                    Representation::Image => "TYPE is I: bytes as they are.",
                };
                self.control.say(200, name).await?;
            }
            Command::Stru => self.control.say(200, "STRU is F.").await?,
            Command::Mode => self.control.say(200, "MODE is S.").await?,
            Command::Port(address) => self.port(address).await?,
            Command::Pasv => self.pasv().await?,
            Command::Epsv(what) => self.epsv(what).await?,
            Command::Rest(offset) => {
                self.restart = offset;
                self.control
                    .say(350, &format!("The next transfer begins at byte {offset}."))
                    .await?;
            }
            Command::Retr(path) => self.retr(&path).await?,
            Command::Size(path) => self.size(&path).await?,
            Command::Mdtm(path) => self.mdtm(&path).await?,
            Command::List(path) => self.list(&path, Form::Long).await?,
            Command::Nlst(path) => self.list(&path, Form::Names).await?,
            Command::Mlsd(path) => self.list(&path, Form::Facts(self.facts)).await?,
            Command::Mlst(path) => self.mlst(&path).await?,
            Command::Stat(path) => self.status(&path).await?,
            Command::Abor => self.control.say(226, "There is no transfer.").await?,
            Command::Pbsz if !self.control.is_tls() => self.control.say(503, "AUTH TLS comes first.").await?,
            Command::Pbsz => self.control.say(200, "PBSZ=0").await?,
            Command::Prot(_) if !self.control.is_tls() => {
                self.control.say(503, "AUTH TLS comes first.").await?
            }
            Command::Prot(protection) => {
                self.protection = protection;
                self.control.say(200, "Data connections are made so.").await?;
            }
            Command::Change(change) => self.change(change).await?,
        }
        Ok(Next::Stay)
    }

    async fn user(&mut self, name: Vec<u8>) -> io::Result<Next> {
        if self.server.tls_only && !self.control.is_tls() {
            self.control.say(530, "AUTH TLS comes first.").await?;
            return Ok(Next::Stay);
        }
        let text = match self.server.accounts.is_anonymous(&name) {
            true => "Any password will do.",
            false => "The password, please.",
        };
        self.login = Login::Named(name);
        self.control.say(331, text).await?;
        Ok(Next::Stay)
    }

    async fn pass(&mut self, word: &[u8]) -> io::Result<Next> {
        let name = match std::mem::replace(&mut self.login, Login::Open) {
            Login::Named(name) => name,
            other => {
                self.login = other;
                self.control.say(503, "USER comes first.").await?;
                return Ok(Next::Stay);
            }
        };
        let accounts = &self.server.accounts;
        if accounts.is_anonymous(&name) || accounts.check(&name, word) {
            self.say(Detail::Usual, format_args!("logged in as {}", shown(&name)));
            self.may_write = match &self.server.writing {
                Some(writing) => writing.anonymous || !accounts.is_anonymous(&name),
                None => false,
            };
            self.login = Login::Done;
            self.control.say(230, "Welcome.").await?;
            return Ok(Next::Stay);
        }
        self.failures += 1;
        self.say(Detail::Usual, format_args!("login refused: {}", shown(&name)));
        sleep(PENALTY).await;
        if self.failures >= MOST_LOGINS {
            self.control.say(421, "That was the last try; goodbye.").await?;
            return Ok(Next::Leave);
        }
        self.control.say(530, "Name or password is wrong.").await?;
        Ok(Next::Stay)
    }

    async fn auth(&mut self, kind: &[u8]) -> io::Result<Next> {
        let Some(acceptor) = self.server.tls.clone() else {
            self.control
                .say(502, "There is no TLS here: the server has no certificate.")
                .await?;
            return Ok(Next::Stay);
        };
        if self.control.is_tls() {
            self.control.say(503, "This is TLS already.").await?;
            return Ok(Next::Stay);
        }
        if !matches!(kind, b"TLS" | b"TLS-C" | b"SSL" | b"TLS-P") {
            self.control.say(504, "AUTH TLS.").await?;
            return Ok(Next::Stay);
        }
        if self.control.is_ahead() {
            // What came before the handshake may be another's who stands in the middle.
            self.control
                .say(421, "Nothing may follow AUTH before the handshake; goodbye.")
                .await?;
            return Ok(Next::Leave);
        }
        self.control.say(234, "Begin the handshake.").await?;
        match timeout(HANDSHAKE, self.control.secure(&acceptor)).await {
            Ok(done) => done?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.login = Login::Open;
        Ok(Next::Stay)
    }

    pub(super) fn is_text(&self) -> bool {
        self.representation == Representation::Text
    }
}
